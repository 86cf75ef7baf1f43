-- Device tensors: contents in every type and placement, memory given back, devices, errors.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local simulate = helper.simulate

local BYTES = { f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i16 = 2, i32 = 4, i64 = 8, u8 = 1, u16 = 2,
  u32 = 4, u64 = 8, bool = 1 }
local DTYPES = { "f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool" }
local POLICIES = { "replicate", "column_wise", "row_wise" }

-- An array with another small integer at every place; exact in every type but bool.
local function counting(shape, dtype)
  local n = 1
  for _, extent in ipairs(shape) do n = n * extent end
  local values = np.arange(0, n, 1, "i64"):reshape(shape) % 113
  return dtype == "bool" and (values % 3):astype("bool") or values:astype(dtype)
end

local function assert_same(got, expected)
  lu.assertEquals(got.dtype, expected.dtype)
  lu.assertEquals(got.shape, expected.shape)
  lu.assertEquals(np.max_abs_diff(got:astype("f64"), expected:astype("f64")), 0)
end

local TestContents = {}

function TestContents:test_every_type_comes_back_as_it_went()
  simulate(function()
    for _, dtype in ipairs(DTYPES) do
      local a = counting({ 7, 33 }, dtype)
      local t = torch.from_numpy(a)
      lu.assertEquals(t.dtype, dtype)
      lu.assertEquals(t.shards[1].nbytes, 7 * 33 * BYTES[dtype])
      assert_same(t:numpy(), a)
    end
  end)
end

function TestContents:test_every_placement_comes_back_as_it_went()
  simulate(function()
    local a = counting({ 16, 48 }, "i16")
    for _, cube in ipairs(POLICIES) do
      for _, pe in ipairs(POLICIES) do
        for _, used in ipairs { { 4, 4 }, { 2, 4 }, { 1, 3 }, { 4, 1 }, { 2, 2 } } do
          local whole = not (used[2] == 3 and pe == "row_wise") -- 16 rows over 3 PEs
          if whole then
            local t <close> = torch.from_numpy(a, { dp = torch.DPPolicy {
              cube = cube, pe = pe, num_cubes = used[1], num_pes = used[2] } })
            lu.assertEquals(#t.shards, used[1] * used[2])
            assert_same(t:numpy(), a)
          end
        end
      end
    end
  end)
end

function TestContents:test_tensors_of_more_dimensions()
  simulate(function()
    for _, shape in ipairs { { 1 }, { 31 }, { 4, 1, 65 }, { 4, 3, 2, 8 } } do
      local policy = #shape > 2 and torch.DPPolicy { cube = "row_wise", num_cubes = 4 } or nil
      local a = counting(shape, "f32")
      assert_same(torch.from_numpy(a, { dp = policy }):numpy(), a)
    end
  end)
end

function TestContents:test_filled_tensors()
  simulate(function()
    lu.assertEquals(torch.zeros(2, 3):numpy():tolist(), { { 0, 0, 0 }, { 0, 0, 0 } })
    lu.assertEquals(torch.ones({ 3 }, { dtype = "i8" }):numpy():tolist(), { 1, 1, 1 })
    lu.assertEquals(torch.full({ 2 }, 2.5):numpy():tolist(), { 2.5, 2.5 })
    lu.assertEquals(torch.empty({ 2 }):numpy():tolist(), { 0, 0 })
    lu.assertEquals(torch.arange(4):numpy():tolist(), { 0, 1, 2, 3 })
    lu.assertEquals(torch.arange(4).dtype, "i64")
  end)
end

function TestContents:test_ranges_have_a_start_and_a_step()
  simulate(function()
    lu.assertEquals(torch.arange(2, 5):numpy():tolist(), { 2, 3, 4 })
    lu.assertEquals(torch.arange(7, 0, -3):numpy():tolist(), { 7, 4, 1 })
    lu.assertEquals(torch.arange(0, 1, 0.25):numpy():tolist(), { 0, 0.25, 0.5, 0.75 })
    lu.assertEquals(torch.arange(0, 1, 0.25).dtype, "f32")
    lu.assertEquals(torch.arange(1, 10, 4, { dtype = "f16", name = "odd" }):numpy():tolist(), { 1, 5, 9 })
    lu.assertEquals(torch.arange(2.5).shape, { 3 })
  end)
end

function TestContents:test_random_tensors_follow_the_seed()
  local function drawn(seed)
    local values
    simulate(function()
      values = { torch.rand({ 40 }):numpy():tolist(), torch.randn({ 40 }):numpy():tolist() }
    end, { seed = seed })
    return values
  end
  local first = drawn(5)
  lu.assertEquals(drawn(5), first)
  lu.assertNotEquals(drawn(6), first)
  for _, x in ipairs(first[1]) do lu.assertTrue(x >= 0 and x < 1) end
  simulate(function()
    torch.manual_seed(5)
    lu.assertEquals(torch.rand({ 40 }):numpy():tolist(), first[1])
  end, { seed = 6 })
end

function TestContents:test_copying_goes_from_arrays_and_tensors_to_every_copy()
  simulate(function()
    local a = counting({ 8, 8 }, "f16")
    local from = torch.from_numpy(a, { dp = torch.DPPolicy { pe = "row_wise" } })
    local to = torch.zeros({ 8, 8 }, { dtype = "f32", dp = torch.DPPolicy {} })
    lu.assertIs(to:copy_(from), to)
    -- each of the 16 PEs adds what its own copy holds
    local sums = {}
    torch.launch("sum", function(p)
      sums[tl.program_id(1) * 4 + tl.program_id(0) + 1] = tl.sum(tl.load(p)):item()
    end, to)
    torch.accelerator.synchronize()
    local expected = a:astype("f64"):sum()
    lu.assertEquals(#sums, 16)
    for _, sum in ipairs(sums) do lu.assertEquals(sum, expected) end
  end)
end

function TestContents:test_a_tensor_lies_on_the_device_that_is_set()
  simulate(function()
    lu.assertEquals(torch.accelerator.device_count(), 2)
    torch.ahbm.set_device(1)
    lu.assertEquals(torch.accelerator.current_device_index(), 1)
    local there = torch.from_numpy(counting({ 8 }, "u8"), { name = "there" })
    lu.assertEquals(there.sip, 1)
    lu.assertEquals(there.shards[1].sip, 1)
    local ran
    torch.launch("where", function() ran = tl.program_id(2) end, there)
    assert_same(there:numpy(), counting({ 8 }, "u8"))
    lu.assertEquals(ran, 1)
  end)
end

function TestContents:test_what_the_host_moves_is_counted()
  -- 6 x 5 x 4 B, written to 16 replicas; one copy is read
  local stats = simulate(function() torch.ones({ 6, 5 }, { dp = torch.DPPolicy {} }):numpy() end)
  lu.assertEquals(stats.bytes_to_device, 16 * 6 * 5 * 4)
  lu.assertEquals(stats.bytes_to_host, 6 * 5 * 4)
end

local TestMemory = {}

-- A slice of the machine "one_pe" has 1 GiB.
local HALF = { topology = "one_pe", data = false }

function TestMemory:test_a_tensor_that_nobody_can_reach_makes_room()
  simulate(function()
    for _ = 1, 20 do torch.empty({ 600 << 20 }, { dtype = "u8" }) end
  end, HALF)
end

function TestMemory:test_a_launch_that_nobody_waited_for_makes_room_when_it_is_done()
  simulate(function()
    for _ = 1, 20 do
      local t = torch.empty({ 600 << 20 }, { dtype = "u8" })
      torch.launch("touch", function(p) tl.load(p, { 64 }) end, t)
    end
  end, HALF)
end

function TestMemory:test_a_freed_tensor_makes_room_at_once()
  simulate(function()
    collectgarbage("stop")
    for _ = 1, 20 do torch.empty({ 600 << 20 }, { dtype = "u8" }):free() end
    collectgarbage("restart")
  end, HALF)
end

function TestMemory:test_a_close_variable_makes_room_after_an_error()
  simulate(function()
    for _ = 1, 5 do
      local ok, message = pcall(function()
        local t <close> = torch.empty({ 600 << 20 }, { dtype = "u8", name = "big" })
        error("out of " .. t.name, 0)
      end)
      lu.assertFalse(ok)
      lu.assertEquals(message, "out of big")
    end
  end, HALF)
end

function TestMemory:test_a_full_slice_names_the_tensor_and_the_largest_hole()
  local message = helper.fails(function()
    local kept = torch.empty({ 600 << 20 }, { dtype = "u8" })
    torch.empty({ 500 << 20 }, { dtype = "u8", name = "too_much" })
    kept:free()
  end, HALF)
  lu.assertStrContains(message, "tensor 'too_much': sip0.cube0.hbm_ctrl.slice0")
  lu.assertStrContains(message, "the largest hole is " .. (1024 - 600) * 1024 * 1024 .. " bytes")
end

function TestMemory:test_after_a_refusal_the_slice_is_as_full_as_before()
  simulate(function()
    for _ = 1, 3 do
      local ok = pcall(torch.empty, { 2, 600 << 20 }, { dtype = "u8" })
      lu.assertFalse(ok)
    end
    torch.empty({ 1023 << 20 }, { dtype = "u8" })
  end, HALF)
end

function TestMemory:test_numbers_can_be_switched_off_before_the_first_tensor_only()
  simulate(function()
    local t <close> = torch.zeros({ 4 })
    lu.assertErrorMsgContains("while there are tensors", function() runtime.engine:without_data() end)
    lu.assertEquals(t:numpy():tolist(), { 0, 0, 0, 0 })
  end)
  simulate(function()
    runtime.engine:without_data()
    local t = torch.ones({ 4 })
    lu.assertErrorMsgContains("no contents: numbers are switched off", t.numpy, t)
    lu.assertStrContains(tostring(t), "no contents")
  end)
end

function TestMemory:test_without_numbers_everything_takes_as_long()
  local function timed(data)
    local stats, launches = simulate(function()
      local t = torch.ones({ 64, 64 }, { dtype = "f16", dp = torch.DPPolicy { pe = "row_wise" } })
      torch.launch("work", function(p) tl.store(p, tl.load(p) * 2) end, t)
      torch.accelerator.synchronize()
    end, { data = data })
    return { stats.sim_ns, stats.events, launches[1].start_ns, launches[1].end_ns }
  end
  lu.assertEquals(timed(false), timed(true))
end

local TestErrors = {}

-- One tensor, then the call; the message must name this file's line.
local function refused(pattern, fn)
  local line = debug.getinfo(fn, "S").linedefined
  local message = helper.fails(function()
    fn(torch.zeros({ 4, 8 }, { name = "t", dtype = "f16" }))
  end)
  lu.assertStrContains(message, ("test_torch.lua:%d: "):format(line))
  lu.assertStrContains(message, pattern)
end

function TestErrors:test_shapes_types_and_options()
  refused("torch.zeros: expected a shape such as {128, 256}", function() torch.zeros() end)
  refused("torch.ones: extent 1 is 0; expected an integer of at least 1", function() torch.ones { 4, 0 } end)
  refused("torch.empty: extent 0 is 1.5; expected", function() torch.empty(1.5) end)
  refused("torch.zeros: expected 1 to 8 extents, got 9", function() torch.zeros(1, 1, 1, 1, 1, 1, 1, 1, 1) end)
  refused("torch.rand: unknown dtype 'f12'", function() torch.rand({ 4 }, { dtype = "f12" }) end)
  refused("unknown option 'dytpe'; it takes dtype, dp, memory, name",
    function() torch.rand({ 4 }, { dytpe = "f16" }) end)
  refused("dp is not a torch.DPPolicy{...}", function() torch.rand({ 4 }, { dp = {} }) end)
  refused("torch.full: bad argument #2 to 'full' (300 has no exact value in i8)",
    function() torch.full({ 4 }, 300, { dtype = "i8" }) end)
  refused("torch.arange: there is nothing from 0 to 0 in steps of 1", function() torch.arange(0) end)
  refused("torch.arange: there is nothing from 1 to 5 in steps of -1", function() torch.arange(1, 5, -1) end)
  refused("torch.arange: there is nothing from 1 to 5 in steps of 0", function() torch.arange(1, 5, 0) end)
  refused("torch.arange: argument 1 is a string; expected a number", function() torch.arange("4") end)
  refused("torch.arange: expected stop; start, stop; or start, stop, step", function() torch.arange() end)
  refused("unknown option 'dtpye'; it takes dtype, dp, memory, name", function() torch.arange(4, { dtpye = "f16" }) end)
  refused("the size overflows", function() torch.zeros(1 << 40, 1 << 40) end)
end

function TestErrors:test_errors_name_the_line_of_the_call()
  simulate(function()
    local rows = torch.DPPolicy { pe = "row_wise", num_cubes = 1, num_pes = 2 }
    for _, call in ipairs {
      function() local _ = torch.empty(3, { dp = rows }) end,
      function() local _ = torch.zeros(3, { dp = rows }) end,
      function() local _ = torch.from_numpy(np.ones { 3 }, { dp = rows }) end,
      function() local _ = torch.DPPolicy { cube = "rows" } end,
      function() torch.ones(3):copy_(np.ones { 4 }) end,
      function() torch.launch("k", print) end,
    } do
      local ok, message = pcall(call)
      lu.assertFalse(ok)
      local at = debug.getinfo(call, "S")
      lu.assertStrContains(message, ("%s:%d: "):format(at.short_src, at.linedefined))
    end
  end)
end

function TestErrors:test_arrays_that_do_not_fit()
  refused("tensor 't' is (4, 8) f16, the source is (8, 4) f64", function(t) t:copy_(np.zeros { 8, 4 }) end)
  refused("Tensor:copy_: expected an np array or a tensor, got number", function(t) t:copy_(3) end)
  refused("torch.from_numpy: expected an np array, got table", function() torch.from_numpy {} end)
  refused("torch.from_numpy: extent 0 is 0", function() torch.from_numpy(np.zeros { 0 }) end)
  refused("unknown option 'dtype'; it takes dp, memory, name",
    function() torch.from_numpy(np.zeros { 4 }, { dtype = "f16" }) end)
end

function TestErrors:test_freed_tensors()
  local function freed(t) t:free() return t end
  refused("Tensor:numpy: tensor 't' has been freed", function(t) freed(t):numpy() end)
  refused("Tensor:free: tensor 't' has been freed", function(t) freed(t):free() end)
  refused("Tensor:copy_: tensor 't' has been freed", function(t) freed(t):copy_(np.zeros { 4, 8 }) end)
  refused("torch.launch: tensor 't' has been freed", function(t) torch.launch("k", print, freed(t)) end)
end

function TestErrors:test_launches_that_make_no_sense()
  refused("torch.launch: no tensor among the arguments", function() torch.launch("k", print, 1, "two") end)
  refused("torch.launch: expected a name, a function, and its arguments", function(t) torch.launch(print, t) end)
  refused("device 2 does not exist; there are 2, from 0", function() torch.ahbm.set_device(2) end)
end

function TestErrors:test_the_host_program_s_calls_are_refused_in_kernels()
  for name, call in pairs {
    ["torch.zeros"] = function() torch.zeros { 4 } end,
    ["torch.launch"] = function(t) torch.launch("k", print, t) end,
    ["Tensor:numpy"] = function(t) t:numpy() end,
    ["Tensor:copy_"] = function(t) t:copy_(np.zeros { 4 }) end,
    ["Tensor:free"] = function(t) t:free() end,
    ["torch.accelerator.synchronize"] = function() torch.accelerator.synchronize() end,
    ["torch.ahbm.set_device"] = function() torch.ahbm.set_device(1) end,
  } do
    simulate(function()
      local t, message = torch.zeros { 4 }, nil
      torch.launch("k", function() message = select(2, pcall(call, t)) end, t)
      torch.accelerator.synchronize()
      lu.assertStrContains(message, name .. ": called inside a kernel; only the host program may do that")
      lu.assertEquals(torch.ahbm.current_device(), 0)
    end)
  end
end

function TestErrors:test_outside_of_a_simulation_nothing_can_be_made()
  lu.assertErrorMsgContains("torch.zeros: no simulation is open", torch.zeros, { 4 })
  lu.assertErrorMsgContains("torch.launch: no simulation is open", torch.launch, "k", print)
  lu.assertFalse(torch.accelerator.is_available())
end

helper.main { TestContents = TestContents, TestMemory = TestMemory, TestErrors = TestErrors }
