-- Tensors, placements and launches as a host program sees them, on small machines.
local lu = require "luaunit"
local dp = require "kernbench.dp"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local TOPOLOGY = require("kernbench.core").home() .. "/topology.yaml"
local SMALL = { "sip.cube_mesh.w=2", "sip.cube_mesh.h=2" }

-- Run `body` as a bench on a machine of 2 x 2 cubes; raises what it raises. Nothing may be left over.
local function simulate(body, options)
  options = options or {}
  local sets = table.move(options.sets or {}, 1, #(options.sets or {}), #SMALL + 1, table.move(SMALL, 1, #SMALL, 1, {}))
  local outcome, stats, launches = runtime.with_engine(
    { topology = TOPOLOGY, sets = sets, data = options.data }, body)
  collectgarbage()
  if outcome.status ~= "ok" then
    error(outcome.error or outcome.status, 0)
  end
  lu.assertNil(outcome.waiting)
  lu.assertTrue(stats.audit.ok)
  return stats, launches
end

local function fails(body, options)
  local ok, message = pcall(simulate, body, options)
  lu.assertFalse(ok)
  return message
end

local function policies()
  local list = {}
  for _, cube in ipairs { "replicate", "column_wise", "row_wise" } do
    for _, pe in ipairs { "replicate", "column_wise", "row_wise" } do
      list[#list + 1] = { cube = cube, pe = pe }
    end
  end
  return list
end

local TestTensors = {}

function TestTensors:test_every_placement_and_type_comes_back_as_it_went()
  simulate(function()
    for _, policy in ipairs(policies()) do
      for _, dtype in ipairs { "f16", "f64", "i8", "u32" } do
        local a = np.random(7):randint(0, 100, { 32, 64 }, dtype)
        local t = torch.from_numpy(a, { dp = torch.DPPolicy(policy) })
        lu.assertEquals(np.max_abs_diff(t:numpy():astype("f64"), a:astype("f64")), 0)
        t:free()
      end
    end
  end)
end

function TestTensors:test_column_and_row_policies_cut_cubes_first()
  local machine = { cubes = 4, pes = 8 }
  local pieces, flat = dp.shards({ 64, 64 }, torch.DPPolicy { cube = "row_wise", pe = "column_wise" }, machine)
  lu.assertEquals(#pieces, 32)
  lu.assertEquals(#flat, 32 * 3)
  -- cube 1, PE 2: rows 16 to 31, columns 16 to 23
  local piece = pieces[flat[(8 + 2) * 3 + 3] + 1]
  lu.assertEquals(piece.start, { 16, 16 })
  lu.assertEquals(piece.extent, { 16, 8 })
end

function TestTensors:test_shards_name_their_place_and_size()
  simulate(function()
    local t = torch.empty({ 4, 16 }, { dtype = "f16", dp = torch.DPPolicy { pe = "column_wise", num_cubes = 1 } })
    lu.assertEquals(#t.shards, 8)
    lu.assertEquals(t.shards[4].pe, 3)
    lu.assertEquals(t.shards[4].offset_bytes, 3 * 2 * 2) -- columns 6 and 7 of row 0
    lu.assertEquals(t.shards[4].nbytes, 4 * 2 * 2)
  end)
end

function TestTensors:test_copying_converts_types()
  simulate(function()
    local t = torch.zeros({ 3 }, { dtype = "i32" })
    t:copy_(np.array({ 1.0, -2.0, 3.0 }))
    lu.assertEquals(t:numpy():tolist(), { 1, -2, 3 })
  end)
end

function TestTensors:test_dropped_tensors_give_their_memory_back()
  simulate(function()
    for _ = 1, 40 do -- each takes half of a slice of 6 GiB
      torch.empty({ 3 << 30 }, { dtype = "u8" })
      collectgarbage()
    end
  end, { data = false })
end

function TestTensors:test_a_close_variable_frees_at_the_end_of_its_scope()
  simulate(function()
    local kept
    do
      local t <close> = torch.zeros({ 8 })
      kept = t
    end
    local ok, message = pcall(kept.numpy, kept)
    lu.assertFalse(ok)
    lu.assertStrContains(message, "has been freed")
  end)
end

function TestTensors:test_without_numbers_a_tensor_may_be_larger_than_the_host()
  simulate(function()
    local dp_all = torch.DPPolicy { cube = "row_wise", pe = "row_wise" }
    local t = torch.empty({ 32, 1 << 32 }, { dtype = "u8", dp = dp_all }) -- 128 GiB
    torch.launch("touch", function(p) tl.load(p + (1 << 31), { 256 }) end, t)
  end, { data = false, sets = { "address.va_gb=256" } })
end

function TestTensors:test_exhausted_addresses_name_the_tensor_once()
  simulate(function()
    local ok, message = pcall(torch.empty, 1 << 31, { dtype = "u8", name = "big" })
    lu.assertFalse(ok)
    lu.assertStrContains(message,
      "tensor 'big': virtual address space (address.va_gb): cannot allocate 2147483648 bytes")
    lu.assertEquals(select(2, message:gsub("'big'", "")), 1)
  end, { data = false, sets = { "address.va_gb=1" } })
end

local TestLaunches = {}

function TestLaunches:test_a_kernel_sees_its_part()
  simulate(function()
    local t = torch.zeros({ 64, 32 }, { dp = torch.DPPolicy { cube = "row_wise", pe = "column_wise" } })
    local seen = {}
    torch.launch("look", function(p, n)
      seen[tl.program_id(1) * 8 + tl.program_id(0)] = { p.shape, p.offset, p.global_shape, p.strides, p.dtype, n }
    end, t, 64)
    torch.accelerator.synchronize()
    -- cube 3, PE 5 of 4 x 8: rows 48.., columns 20..; 64 arrives as 64 although it is an extent
    lu.assertEquals(seen[29], { { 16, 4 }, { 48, 20 }, { 64, 32 }, { 4, 1 }, "f32", 64 })
  end)
end

function TestLaunches:test_launches_run_in_the_order_of_submission()
  local _, launches = simulate(function()
    local a = torch.from_numpy(np.full({ 8, 8 }, 2.0, "f32"))
    local function double(p) local x = tl.load(p); tl.store(p, x + x) end
    for _ = 1, 5 do torch.launch("double", double, a) end
    lu.assertEquals(a:numpy()[{ 7, 7 }], 64)
  end)
  for i = 2, #launches do
    lu.assertTrue(launches[i].start_ns >= launches[i - 1].end_ns)
  end
end

function TestLaunches:test_the_instances_of_a_launch_begin_at_the_same_time()
  simulate(function()
    local t, times = torch.zeros({ 64 }, { dp = torch.DPPolicy {} }), {}
    torch.launch("clock", function() times[#times + 1] = tl.now() end, t)
    torch.accelerator.synchronize()
    lu.assertEquals(#times, 32)
    for _, time in ipairs(times) do lu.assertEquals(time, times[1]) end
  end)
end

-- The worked example of docs/latency-model.md: 32 KB from the own slice take 171.0 + 2p ns, where p = 0.01 ns/mm x
-- (8 + 4) mm; pe_cpu's 2 and pe_scheduler's 1 come before.
function TestLaunches:test_a_load_takes_what_the_law_says()
  simulate(function()
    local t = torch.zeros({ 32 * 1024 }, { dtype = "u8" })
    local took
    torch.launch("load", function(p)
      local before = tl.now()
      tl.load(p)
      took = tl.now() - before
    end, t)
    torch.accelerator.synchronize()
    lu.assertAlmostEquals(took, 2 + 1 + 171 + 2 * 0.01 * (8 + 4), 1e-9)
  end)
end

function TestLaunches:test_products_agree_in_all_operand_forms()
  simulate(function()
    for _, s in ipairs { { 1, 1, 1 }, { 7, 33, 65 }, { 32, 64, 32 }, { 33, 100, 31 } } do
      local M, K, N = table.unpack(s)
      local a, b = np.random(1):randn({ M, K }, "f16"), np.random(2):randn({ K, N }, "f16")
      local ta, tb = torch.from_numpy(a), torch.from_numpy(b)
      local expected = np.matmul(a:astype("f64"), b:astype("f64"))
      for form = 0, 3 do
        local out = torch.zeros({ M, N }, { dtype = "f16" })
        torch.launch("gemm", function(p, q, r)
          local x = form & 1 == 0 and tl.ref(p) or tl.load(p)
          local y = form & 2 == 0 and tl.ref(q) or tl.load(q)
          tl.wait(tl.composite { op = "gemm", a = x, b = y, out = r })
        end, ta, tb, out)
        -- f32 accumulation and one rounding to f16 (2^-11), K terms of size about 1
        local worst = np.max_abs_diff(out:numpy():astype("f64"), expected)
        local where = ("%dx%dx%d form %d: %g"):format(M, K, N, form, worst)
        lu.assertTrue(worst <= 2 ^ -11 * 4 * math.sqrt(K) + 2 ^ -11, where)
      end
    end
  end)
end

function TestLaunches:test_a_failing_kernel_leaves_the_engine_usable()
  simulate(function()
    local t = torch.zeros({ 8, 8 }, { dp = torch.DPPolicy {} })
    torch.launch("bad", function(p)
      if tl.program_id(0) == 3 then error("on purpose") end
      tl.load(p)
    end, t)
    local ok, message = pcall(torch.accelerator.synchronize)
    lu.assertFalse(ok)
    lu.assertStrContains(message, "kernel 'bad' failed")
    lu.assertStrContains(message, "on purpose [sip0.cube0.pe3")
    torch.launch("good", function(p) tl.store(p, tl.load(p) + 1) end, t)
    lu.assertEquals(t:numpy()[{ 0, 0 }], 1)
  end)
end

function TestLaunches:test_errors_of_blocking_calls_can_be_caught_in_kernels()
  simulate(function()
    local t, caught = torch.zeros({ 4 })
    torch.launch("k", function(p)
      local _, message = pcall(function() return tl.load(p + 1, { 4 }) end)
      caught = message
      tl.load(p)
    end, t)
    torch.accelerator.synchronize()
    lu.assertStrContains(caught, "outside of tensor")
  end)
end

function TestLaunches:test_a_loop_of_tiles_does_not_run_out_of_tcm()
  simulate(function()
    local t = torch.zeros({ 1 << 18 }) -- 1 MiB
    torch.launch("loop", function(p)
      for _ = 1, 50 do tl.load(p) end
    end, t)
  end)
end

function TestLaunches:test_a_kernel_ends_when_its_operations_do()
  local _, launches = simulate(function()
    local t = torch.zeros({ 1 << 16 }, { dtype = "u8" })
    torch.launch("leave", function(p) tl.load_async(p) end, t)
  end)
  -- 64 KB from the own slice: 256 flits, 32 bursts of 10 ns on each channel
  lu.assertAlmostEquals(launches[1].end_ns - launches[1].start_ns, 2 + 1 + 2 + 320 + 8 + 1 + 2 * 0.12, 1e-6)
end

local TestErrors = {}

function TestErrors:test_placements_that_do_not_fit_are_named()
  lu.assertStrContains(fails(function()
    torch.zeros({ 4, 100 }, { dp = torch.DPPolicy { pe = "column_wise" } })
  end), "dimension 1 has 100 elements, which 8 PEs cannot share evenly")
  lu.assertStrContains(fails(function()
    torch.zeros({ 4 }, { dp = torch.DPPolicy { num_cubes = 5 } })
  end), "num_cubes is 5, a SIP has 4")
end

function TestErrors:test_arguments_with_different_placements_are_refused()
  lu.assertStrContains(fails(function()
    local a = torch.zeros({ 64 }, { dp = torch.DPPolicy { pe = "row_wise", num_cubes = 1 } })
    local b = torch.zeros({ 64 }, { dp = torch.DPPolicy {} })
    torch.launch("k", function() end, a, b)
  end), "give both the same placement")
end

function TestErrors:test_pinned_and_streamed_matrices_are_checked_at_the_call()
  lu.assertStrContains(fails(function()
    local a, b = torch.zeros({ 4, 8 }), torch.zeros({ 4, 8 })
    torch.launch("k", function(p, q) tl.composite { op = "gemm", a = tl.ref(p), b = tl.ref(q), out = p } end, a, b)
    torch.accelerator.synchronize()
  end), "inner extents 8 and 4 differ")
end

local runner = lu.LuaUnit.new()
local result = runner:runSuiteByInstances {
  { "TestTensors", TestTensors }, { "TestLaunches", TestLaunches }, { "TestErrors", TestErrors } }
collectgarbage()
os.exit(result == 0, true)
