-- Kernels: pointers, moving data, products of matrices, tiles and handles, and what all that takes.
-- Arithmetic on tiles has files of its own, test_tile_*.lua.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local launch, simulate = helper.launch, helper.simulate
local ONE_PE = { topology = "one_pe" }

-- What a kernel raises: fn(pointers...) is called protected, in a kernel that goes on.
local function refused(pattern, fn, ...)
  local message
  launch(function(...)
    local ok, raised = pcall(fn, ...)
    message = ok and "nothing was raised" or tostring(raised)
  end, ...)
  lu.assertStrContains(message, pattern)
end

-- Whole numbers from -5 to 5: their products and short sums are exact in every type.
local function small_numbers(shape, dtype, seed)
  return np.random(seed):randint(dtype == "u8" and 0 or -5, 6, shape, "i64"):astype(dtype)
end

local TestPointers = {}

function TestPointers:test_a_kernel_sees_what_its_pe_holds()
  simulate(function()
    local t = torch.zeros({ 8, 64 }, { dtype = "i16", name = "t", dp = torch.DPPolicy {
      cube = "row_wise", pe = "column_wise" } })
    local seen = {}
    launch(function(p, n)
      seen[tl.program_id(1) .. "." .. tl.program_id(0)] =
        { p.shape, p.offset, p.global_shape, p.strides, p.dtype, p.name, n }
    end, t, 64)
    -- 4 cubes share 8 rows, 4 PEs 64 columns; the scalar 64 stays 64
    for cube = 0, 3 do
      for pe = 0, 3 do
        lu.assertEquals(seen[cube .. "." .. pe],
          { { 2, 16 }, { 2 * cube, 16 * pe }, { 8, 64 }, { 16, 1 }, "i16", "t", 64 })
      end
    end
  end)
end

function TestPointers:test_who_runs_and_how_many()
  simulate(function()
    local t = torch.zeros({ 8 }, { dp = torch.DPPolicy { num_cubes = 3, num_pes = 2 } })
    local seen = {}
    launch(function()
      seen[#seen + 1] = { tl.program_id(), tl.program_id(1), tl.program_id(2), tl.num_programs(0),
        tl.num_programs(1), tl.num_programs(2) }
    end, t)
    table.sort(seen, function(a, b) return a[2] * 4 + a[1] < b[2] * 4 + b[1] end)
    lu.assertEquals(seen, { { 0, 0, 0, 2, 3, 2 }, { 1, 0, 0, 2, 3, 2 }, { 0, 1, 0, 2, 3, 2 },
      { 1, 1, 0, 2, 3, 2 }, { 0, 2, 0, 2, 3, 2 }, { 1, 2, 0, 2, 3, 2 } })
  end)
end

function TestPointers:test_arithmetic_counts_elements_in_every_type()
  simulate(function()
    for _, dtype in ipairs { "i8", "f16", "bf16", "i32", "f64" } do
      local t, u = torch.from_numpy(np.arange(0, 100, 1, "i64"):astype(dtype)), torch.zeros({ 5 }, { dtype = dtype })
      launch(function(p, q) tl.store(q, tl.load(3 + p + 10 - 1, { 5 })) end, t, u)
      lu.assertEquals(u:numpy():astype("i64"):tolist(), { 12, 13, 14, 15, 16 })
    end
  end, ONE_PE)
end

function TestPointers:test_a_block_of_a_matrix_keeps_the_rows_apart()
  simulate(function()
    local a = np.arange(0, 6 * 10, 1, "i32"):reshape { 6, 10 }
    local t, u = torch.from_numpy(a), torch.zeros({ 2, 3 }, { dtype = "i32" })
    launch(function(p, q)
      tl.store(q, tl.load(p + 2 * 10 + 4, { 2, 3 }))
      tl.store(p + 1 * 10 + 7, tl.load(q)) -- over rows 1 and 2, columns 7 to 9
    end, t, u)
    local expected = { { 24, 25, 26 }, { 34, 35, 36 } }
    lu.assertEquals(u:numpy():tolist(), expected)
    lu.assertEquals(t:numpy()[{ { 1, 3 }, { 7, 10 } }]:tolist(), expected)
    a[{ { 1, 3 }, { 7, 10 } }] = u:numpy()
    lu.assertEquals(t:numpy():tolist(), a:tolist())
  end, ONE_PE)
end

function TestPointers:test_nothing_reaches_outside_of_what_the_pe_holds()
  simulate(function()
    local dp = torch.DPPolicy { num_cubes = 1, pe = "row_wise", num_pes = 2 }
    local t = torch.zeros({ 8, 64 }, { name = "t", dp = dp })
    local outside = "outside of tensor 't', which has 256 elements here" -- 4 of 8 rows
    refused("shape (5, 64) at element 0 reaches to element 320, " .. outside, function(p) tl.load(p, { 5, 64 }) end, t)
    refused("at element 1 reaches to element 257, " .. outside, function(p) tl.load(p + 1) end, t)
    refused("at element -1 reaches to element 0, " .. outside, function(p) tl.load(p - 1, { 1 }) end, t)
    refused("at element 256 reaches to element 257, " .. outside, function(p) tl.load_async(p + 256, { 1 }) end, t)
    refused("tl.ref: a block of shape (4, 64) at element 64", function(p) tl.ref(p + 64) end, t)
    refused("tl.store: a block of shape (2,) at element 255", function(p) tl.store(p + 255, tl.load(p, { 2 })) end, t)
    refused("at element 0 is larger than any tensor", function(p) tl.load(p, { 1 << 32, 1 << 32, 4 }) end, t)
    refused("is larger than any tensor", function(p) tl.load(p + math.maxinteger, { 1 }) end, t)
    refused("the number of the element overflows", function(p) return p + math.maxinteger + 1 end, t)
    refused("the number of the element overflows", function(p) return p - math.mininteger end, t)
  end)
end

function TestPointers:test_a_pointer_to_a_tensor_that_was_freed_leads_nowhere()
  simulate(function()
    local t, u, kept = torch.zeros({ 64 }, { dtype = "f16" }), torch.zeros({ 64 }, { dtype = "f16" }), {}
    launch(function(p) kept = { p, p + 4, tl.ref(p, { 8, 8 }) } end, t)
    t:free()
    lu.assertEquals(tostring(kept[1]), "<pointer to a freed tensor>")
    for _, pointer in ipairs(kept) do
      refused("has been freed", function() tl.load(pointer) end, u)
      refused("has been freed", function() return pointer + 1 end, u)
      refused("has been freed", function(p) tl.composite { op = "gemm", a = pointer, b = pointer, out = p } end, u)
    end
  end)
end

function TestPointers:test_a_pointer_that_somebody_keeps_keeps_its_tensor()
  simulate(function()
    local kept
    do
      local t = torch.ones({ 64 })
      launch(function(p) kept = p + 60 end, t)
    end
    collectgarbage()
    collectgarbage()
    local u = torch.zeros({ 4 })
    launch(function(q) tl.store(q, tl.load(kept, { 4 })) end, u)
    lu.assertEquals(u:numpy():tolist(), { 1, 1, 1, 1 })
  end, ONE_PE)
end

function TestPointers:test_arguments_that_make_no_sense()
  simulate(function()
    local t = torch.zeros({ 8, 8 }, { dtype = "f16", name = "t" })
    refused("tl.load: expected a pointer (a tensor argument of the kernel), got number", function() tl.load(3) end, t)
    refused("tl.store: expected a tile, got number", function(p) tl.store(p, 3) end, t)
    refused("tl.load: tensor 't' holds f16, not f32", function(p) tl.load(p, nil, "f32") end, t)
    refused("unknown dtype 'f33'", function(p) tl.load(p, nil, "f33") end, t)
    refused("tl.load: unknown option 'shap'", function(p) tl.load { p, shap = { 1 } } end, t)
    refused("tl.load: extent 1 is 0; expected an integer of at least 1", function(p) tl.load(p, { 4, 0 }) end, t)
    refused("expected an integer number of elements", function(p) return p + 1.5 end, t)
    refused("a pointer has no field 'foo'; it has dtype, shape,", function(p) return p.foo end, t)
    refused("tl.wait: argument 1 is a number", function() tl.wait(3) end, t)
    refused("tl.wait: expected the handle of an operation", function() tl.wait() end, t)
    refused("tl.program_id: axis 7; expected 0", function() tl.program_id(7) end, t)
    refused("tl.lod does not exist", function(p) tl.lod(p) end, t)
    refused("op is conv; the only composite is \"gemm\"", function(p)
      tl.composite { op = "conv", a = p, b = p, out = p }
    end, t)
  end, ONE_PE)
end

-- What arithmetic makes shares the sizes of what it was made from, however far back that is.
function TestPointers:test_arithmetic_keeps_the_shape_when_all_it_came_from_has_gone()
  simulate(function()
    local t = torch.from_numpy(np.arange(0, 32, 1, "i32"):reshape { 4, 8 }, { name = "t" })
    launch(function(p)
      local moved = tl.ref(p, { 2, 3 }, nil, { 8, 1 }) + 1
      for _ = 1, 3 do moved = 1 + moved - 0 end
      local block = moved + 1 + tl.arange(0, 2) + 2 -- elements 7 and 8
      collectgarbage()
      for _ = 1, 100 do tl.ref(p, { 4, 1 }) end -- where what has gone lay
      lu.assertEquals({ moved.shape, moved.strides, moved.dtype }, { { 2, 3 }, { 8, 1 }, "i32" })
      lu.assertEquals(tostring(moved), "<pointer to element 4 of t (2, 3) i32>")
      lu.assertEquals(tl.values(tl.load(moved)):tolist(), { { 4, 5, 6 }, { 12, 13, 14 } })
      lu.assertEquals(tl.values(tl.load(block)):tolist(), { 7, 8 })
      lu.assertEquals(moved:whole().shape, { 4, 8 })
      lu.assertEquals((moved:part(0, 0) + 2).shape, { 4, 8 })
    end, t)
    for _, by in ipairs { math.maxinteger, math.mininteger } do
      refused("the number of the element overflows", function(p) return p + by + by end, t)
      refused("the number of the element overflows", function(p) return p - by - by - 2 end, t)
      refused("the number of the element overflows", function(p) return p + tl.arange(0, 2) + by + by end, t)
    end
  end, ONE_PE)
end

function TestPointers:test_options_may_come_by_name()
  simulate(function()
    local t, u = torch.from_numpy(np.arange(0, 12, 1, "i32")), torch.zeros({ 3 }, { dtype = "i32" })
    launch(function(p, q) tl.store { q, value = tl.load { ptr = p + 2, shape = { 3 }, dtype = "i32" } } end, t, u)
    lu.assertEquals(u:numpy():tolist(), { 2, 3, 4 })
  end, ONE_PE)
end

local TestMoving = {}

function TestMoving:test_ragged_blocks_of_every_type_arrive_whole()
  simulate(function()
    for _, dtype in ipairs { "f16", "bf16", "f32", "i8", "i32" } do
      for _, shape in ipairs { { 1 }, { 7 }, { 31, 33 }, { 1, 65 }, { 65, 1 }, { 3, 5, 7 } } do
        local a = small_numbers(shape, dtype, 3)
        local t, u = torch.from_numpy(a), torch.zeros(shape, { dtype = dtype })
        launch(function(p, q) tl.store(q, tl.load(p)) end, t, u)
        lu.assertEquals(u:numpy():tolist(), a:tolist())
      end
    end
  end, ONE_PE)
end

function TestMoving:test_asynchronous_loads_and_stores_yield_their_results_when_waited_for()
  simulate(function()
    local t, u = torch.from_numpy(np.arange(0, 64, 1, "i32")), torch.zeros({ 64 }, { dtype = "i32" })
    launch(function(p, q)
      local first, second = tl.load_async(p, { 32 }), tl.load_async(p + 32, { 32 })
      local x, y = tl.wait(first, second)
      local stores = { tl.store_async(q, y), tl.store_async(q + 32, x) }
      lu.assertNil(tl.wait(stores[1], stores[2]))
      lu.assertEquals(tl.wait(first).shape, { 32 }) -- again: the same tile
      lu.assertStrContains(tostring(first), "complete")
    end, t, u)
    local got = u:numpy():tolist()
    for i = 0, 63 do lu.assertEquals(got[i + 1], (i + 32) % 64) end
  end, ONE_PE)
end

function TestMoving:test_what_a_kernel_leaves_under_way_is_done_before_the_launch_is()
  simulate(function()
    local t, u = torch.ones({ 4096 }), torch.zeros({ 4096 })
    torch.launch("leave", function(p, q) tl.store_async(q, tl.load(p)) end, t, u)
    lu.assertEquals(u:numpy():sum(), 4096)
  end, ONE_PE)
end

function TestMoving:test_launches_see_each_other_s_results_without_a_wait_in_between()
  simulate(function()
    local dp = torch.DPPolicy { cube = "row_wise", pe = "column_wise" }
    local a = torch.ones({ 8, 64 }, { dtype = "i32", dp = dp })
    local b = torch.zeros({ 8, 64 }, { dtype = "i32", dp = dp })
    local function add(p, q) tl.store(q, tl.load(p) + tl.load(q)) end
    for _ = 1, 4 do -- (1, 0), (1, 1), (2, 1), (2, 3), (5, 3), ...
      torch.launch("add", add, a, b)
      torch.launch("add", add, b, a)
    end
    local x, y = 1, 0
    for _ = 1, 4 do
      y = y + x
      x = x + y
    end
    lu.assertEquals(a:numpy():min(), x)
    lu.assertEquals(a:numpy():max(), x)
    lu.assertEquals(b:numpy():max(), y)
  end)
end

function TestMoving:test_a_thousand_tiles_of_a_mebibyte_pass_through_tcm()
  simulate(function()
    local t = torch.empty({ 1 << 19 }, { dtype = "f16" })
    launch(function(p)
      for _ = 1, 1000 do tl.load(p) end
    end, t)
  end, { topology = "one_pe", data = false, sets = { "cube.hbm_ctrl.burst_bytes=65536", "system.flit_bytes=65536" } })
end

function TestMoving:test_tiles_that_are_kept_fill_tcm_and_are_listed()
  simulate(function()
    local t = torch.zeros({ 1024, 1024 }, { dtype = "f16" }) -- 2 MiB; 12 of 16 are the kernel's
    local held
    launch(function(p)
      local kept = {}
      local ok, message = pcall(function()
        while true do kept[#kept + 1] = tl.load(p) end
      end)
      lu.assertFalse(ok)
      lu.assertStrContains(message, "out of TCM: sip0.cube0.pe0")
      lu.assertStrContains(message, "live tiles: (1024, 1024) f16 from tl.load")
      held, kept = #kept, nil
      tl.load(p) -- there is room again
    end, t)
    lu.assertEquals(held, 6)
    launch(function(p) -- and for the next kernel in any case
      local kept = {}
      for i = 1, 6 do kept[i] = tl.load(p) end
      lu.assertEquals(#kept, 6)
    end, t)
  end, ONE_PE)
end

local TestTiles = {}

function TestTiles:test_tiles_know_their_shape_and_type()
  simulate(function()
    launch(function(p)
      local x = tl.load(p)
      lu.assertEquals(x.shape, { 3, 5 })
      lu.assertEquals(x.dtype, "bf16")
      lu.assertStrContains(tostring(x), "(3, 5) bf16")
    end, torch.zeros({ 3, 5 }, { dtype = "bf16" }))
  end, ONE_PE)
end

function TestTiles:test_a_tile_ends_with_its_kernel()
  simulate(function()
    local t, kept, handle = torch.zeros({ 8 }), nil, nil
    launch(function(p) kept, handle = tl.load(p), tl.load_async(p) end, t)
    refused("tl.store: the tile belongs to a kernel that has ended", function(p) tl.store(p, kept) end, t)
    refused("the tile belongs to a kernel that has ended", function(p) tl.store(p, tl.wait(handle)) end, t)
    refused("the tile belongs to a kernel that has ended", function() return kept + 1 end, t)
    lu.assertEquals(kept.shape, { 8 })
  end, ONE_PE)
end

function TestTiles:test_a_tile_lies_in_the_tcm_of_one_pe()
  simulate(function()
    local t, theirs = torch.zeros({ 8 }, { dp = torch.DPPolicy { num_cubes = 1, num_pes = 2 } }), {}
    local messages = {}
    launch(function(p)
      local me = tl.program_id(0)
      theirs[me] = tl.load(p)
      tl.load(p) -- both have one now
      messages[me] = select(2, pcall(tl.store, p, theirs[1 - me]))
      tl.load(p) -- neither ends before the other has tried
    end, t)
    lu.assertStrContains(messages[0], "the tile lies in the TCM of sip0.cube0.pe1")
    lu.assertStrContains(messages[1], "the tile lies in the TCM of sip0.cube0.pe0")
  end)
end

local TestProducts = {}

local SHAPES = { { 1, 1, 1 }, { 7, 31, 33 }, { 32, 64, 32 }, { 33, 65, 31 }, { 65, 129, 7 } }

-- Operands of one product and its exact value.
local function operands(shape, dtype)
  local M, K, N = table.unpack(shape)
  local a, b = small_numbers({ M, K }, dtype, 1), small_numbers({ K, N }, dtype, 2)
  return a, b, np.matmul(a:astype("f64"), b:astype("f64"))
end

function TestProducts:test_composites_agree_with_f64_in_every_operand_form_and_type()
  simulate(function()
    for _, dtype in ipairs { "f16", "bf16", "f32", "i8", "i32" } do
      for _, shape in ipairs(SHAPES) do
        local a, b, expected = operands(shape, dtype)
        local integer = dtype:sub(1, 1) == "i"
        -- sums of 129 products up to 25 leave bf16's and i8's exact range: results in a wider type
        local out_dtype = integer and "i32" or "f32"
        local ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        for form = 0, 3 do
          local out = torch.zeros(expected.shape, { dtype = out_dtype })
          launch(function(p, q, r)
            local x, y = p, q
            if form & 1 == 1 then x = tl.load(p) end
            if form & 2 == 2 then y = tl.load(q) end
            tl.wait(tl.composite { op = "gemm", a = x, b = y, out = r })
          end, ta, tb, out)
          lu.assertEquals(np.max_abs_diff(out:numpy():astype("f64"), expected), 0,
            ("%s %dx%dx%d form %d"):format(dtype, shape[1], shape[2], shape[3], form))
        end
      end
    end
  end, ONE_PE)
end

function TestProducts:test_dot_agrees_with_f64_and_adds_its_accumulator()
  simulate(function()
    for _, dtype in ipairs { "f16", "bf16", "f32", "i8", "i32" } do
      for _, shape in ipairs(SHAPES) do
        local a, b, expected = operands(shape, dtype)
        local accumulator = { i8 = "i32", i32 = "i64" }
        local out = torch.zeros(expected.shape, { dtype = accumulator[dtype] or "f32" })
        launch(function(p, q, r)
          local x, y = tl.load(p), tl.load(q)
          tl.store(r, tl.dot(x, y, tl.dot(x, y)))
        end, torch.from_numpy(a), torch.from_numpy(b), out)
        lu.assertEquals(np.max_abs_diff(out:numpy():astype("f64"), expected * 2), 0)
      end
    end
  end, ONE_PE)
end

-- Each result rounds once to f16, half a unit in the last place of a value below 2^k is 2^(k - 12);
-- the f32 accumulation is far more precise.
function TestProducts:test_results_in_f16_are_rounded_once()
  simulate(function()
    local a, b = np.random(5):randn({ 31, 65 }, "f16"), np.random(6):randn({ 65, 33 }, "f16")
    local expected = np.matmul(a:astype("f64"), b:astype("f64"))
    local out = torch.zeros({ 31, 33 }, { dtype = "f16" })
    launch(function(p, q, r) tl.wait(tl.composite { op = "gemm", a = p, b = q, out = r }) end,
      torch.from_numpy(a), torch.from_numpy(b), out)
    local largest = np.abs(expected):max()
    local worst = np.max_abs_diff(out:numpy():astype("f64"), expected)
    lu.assertTrue(worst <= 2 ^ (math.ceil(math.log(largest, 2)) - 12) * 1.01, worst)
  end, ONE_PE)
end

function TestProducts:test_several_composites_before_one_wait()
  simulate(function()
    local a, b, expected = operands({ 33, 64, 31 }, "f32")
    local ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    local outs = {}
    for i = 1, 4 do outs[i] = torch.zeros({ 33, 31 }) end
    launch(function(p, q, ...)
      local handles = {}
      for i, r in ipairs { ... } do handles[i] = tl.composite { op = "gemm", a = p, b = q, out = r } end
      tl.wait(table.unpack(handles))
    end, ta, tb, table.unpack(outs))
    for _, out in ipairs(outs) do
      lu.assertEquals(np.max_abs_diff(out:numpy():astype("f64"), expected), 0)
    end
  end, ONE_PE)
end

function TestProducts:test_shapes_and_types_that_do_not_go_together()
  simulate(function()
    local p, q = torch.zeros({ 32, 64 }, { dtype = "f16" }), torch.zeros({ 32, 32 }, { dtype = "f16" })
    local f, v = torch.zeros({ 64, 8 }), torch.zeros({ 64 }, { dtype = "f16" })
    refused("tl.dot: a is (32, 64) f16, b is (32, 32) f16: inner extents 64 and 32 differ", function(a, b)
      tl.dot(tl.load(a), tl.load(b))
    end, p, q)
    refused("tl.composite: a is (32, 64) f16, b is (32, 32) f16: inner extents 64 and 32 differ", function(a, b)
      tl.composite { op = "gemm", a = a, b = b, out = b }
    end, p, q)
    refused("tl.dot: a is (32, 64) f16, b is (64, 8) f32: the types differ", function(a, b)
      tl.dot(tl.load(a), tl.load(b))
    end, p, f)
    refused("tl.dot: b is (64,) f16: expected two dimensions", function(a, b)
      tl.dot(tl.load(a), tl.load(b))
    end, p, v)
    refused("tl.composite: the product is (32, 32), out is (64,)", function(a, b, r)
      tl.composite { op = "gemm", a = b, b = b, out = r }
    end, p, q, v)
    refused("tl.dot: acc is (32, 64) f16: expected (32, 32) f32", function(a, b)
      local x = tl.load(b)
      tl.dot(x, x, tl.load(a))
    end, p, q)
  end, ONE_PE)
end

-- Times on the idle machine, in ns. Wires of the default xbar cube: 8 mm and 4 mm at 0.01 ns/mm.
local TestTimes = {}

local P = 0.01 * (8 + 4)
local ISSUE = 2 + 1 -- pe_cpu's issue, pe_scheduler's dispatch

-- The time that fn(pointers...) takes in a kernel, on the default topology.
local function timed(fn, ...)
  local took
  launch(function(...)
    local before = tl.now()
    fn(...)
    took = tl.now() - before
  end, ...)
  return took
end

local FULL = { data = false, topology = "default" }

function TestTimes:test_the_worked_examples_of_the_latency_model()
  simulate(function()
    local t = torch.empty({ 32 * 1024 }, { dtype = "u8" })
    -- read: request 2 + p; 16 rounds of bursts of 10; 8 flits of 1 and one more link, p
    lu.assertAlmostEquals(timed(function(p) tl.load(p) end, t), ISSUE + 2 + P + 160 + 8 + 1 + P, 1e-9)
    local x
    -- write: first flit at the slice after 4 + p; channel 7 begins 7 later, 16 bursts of 10; ack 2 + p
    lu.assertAlmostEquals(timed(function(p)
      x = tl.load(p)
      local before = tl.now()
      tl.store(p, x)
      lu.assertAlmostEquals(tl.now() - before, ISSUE + 4 + P + 7 + 160 + 2 + P, 1e-9)
    end, t), 2 * ISSUE + 171 + 173 + 4 * P, 1e-9)
  end, FULL)
end

-- One tile of 32 x 64 x 32 in f16: A and B are 4 KiB each, C is 2 KiB.
-- A read of 4 KiB: request 2 + p, two rounds of bursts on 8 channels, 8 flits of 1, one more link, p.
local READ = 2 + P + 2 * 10 + 8 + 1 + P
-- A write of 2 KiB in one piece: 8 flits, one to each channel; the last arrives 7 later.
local WRITE = 4 + P + 7 + 10 + 2 + P
local FETCH, GEMM, STORE = 8192 / 512, 64 / 8 + 16, 2048 / 512

function TestTimes:test_a_composite_of_one_tile()
  simulate(function()
    local a, b = torch.empty({ 32, 64 }, { dtype = "f16" }), torch.empty({ 64, 32 }, { dtype = "f16" })
    local out = torch.empty({ 32, 32 }, { dtype = "f16" })
    -- issued in pe_cpu's 2; the rest while it waits. The read channel takes one operand after the other.
    lu.assertAlmostEquals(timed(function(p, q, r)
      tl.wait(tl.composite { op = "gemm", a = p, b = q, out = r })
    end, a, b, out), ISSUE + 2 * READ + FETCH + GEMM + STORE + WRITE, 1e-9)
    -- pinned operands skip their part
    lu.assertAlmostEquals(timed(function(p, q, r)
      local x, y = tl.load(p), tl.load(q)
      local before = tl.now()
      tl.wait(tl.composite { op = "gemm", a = x, b = q, out = r })
      lu.assertAlmostEquals(tl.now() - before, ISSUE + READ + FETCH + GEMM + STORE + WRITE, 1e-9)
      before = tl.now()
      tl.wait(tl.composite { op = "gemm", a = x, b = y, out = r })
      lu.assertAlmostEquals(tl.now() - before, ISSUE + FETCH + GEMM + STORE + WRITE, 1e-9)
    end, a, b, out), 2 * (ISSUE + READ) + 2 * (ISSUE + FETCH + GEMM + STORE + WRITE) + READ, 1e-9)
  end, FULL)
end

function TestTimes:test_a_dot_of_one_tile()
  simulate(function()
    local a, b = torch.empty({ 32, 64 }, { dtype = "f16" }), torch.empty({ 64, 32 }, { dtype = "f16" })
    timed(function(p, q)
      local x, y = tl.load(p), tl.load(q)
      local before = tl.now()
      local acc = tl.dot(x, y)
      -- the result is f32: 4 KiB to store
      lu.assertAlmostEquals(tl.now() - before, ISSUE + FETCH + GEMM + 4096 / 512, 1e-9)
      before = tl.now()
      tl.dot(x, y, acc)
      lu.assertAlmostEquals(tl.now() - before, ISSUE + (8192 + 4096) / 512 + GEMM + 4096 / 512, 1e-9)
    end, a, b)
  end, FULL)
end

function TestTimes:test_issuing_takes_the_time_of_pe_cpu_alone()
  simulate(function()
    local t = torch.empty({ 32 * 1024 }, { dtype = "u8" })
    lu.assertAlmostEquals(timed(function(p)
      local h = tl.load_async(p)
      lu.assertAlmostEquals(tl.now(), tl.now(), 0)
      tl.load_async(p, { 256 })
      tl.wait(h)
    end, t), ISSUE + 171 + 2 * P, 1e-9)
    lu.assertAlmostEquals(timed(function(p) tl.load_async(p) end, t), 2, 1e-9)
  end, FULL)
end

helper.main { TestPointers = TestPointers, TestMoving = TestMoving, TestTiles = TestTiles,
  TestProducts = TestProducts, TestTimes = TestTimes }
