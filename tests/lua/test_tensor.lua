-- Elements and slices of device tensors, what they cost, and what tensors say about themselves.
local lu = require "luaunit"
local core = require "kernbench.core"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local simulate = helper.simulate

local PLACEMENTS = {
  {}, { pe = "row_wise" }, { pe = "column_wise", num_cubes = 1 }, { cube = "row_wise", pe = "column_wise" },
  { cube = "tiled_2d", pe = "tiled_2d" }, { cube = "column_wise", pe = "replicate" },
  { pe = "row_wise", pad = true, num_pes = 3 },
}

local function counting(shape)
  local n = 1
  for _, extent in ipairs(shape) do n = n * extent end
  return np.arange(0, n, 1, "f32"):reshape(shape)
end

local function assert_same(got, expected)
  if type(expected) == "number" then
    lu.assertEquals(got, expected)
    return
  end
  lu.assertEquals(got.shape, expected.shape)
  lu.assertEquals(got:tolist(), expected:tolist())
end

local function ps(ns)
  return math.floor(ns * 1000 + 0.5)
end

-- Time that a call takes, in ps.
local function time_of(fn)
  local began = ps(runtime.engine:now_ns())
  fn()
  return ps(runtime.engine:now_ns()) - began
end

local KEYS = {
  0, 7, -1, { 3 }, { 3, 5 }, { -1, -16 }, { {}, 2 }, { {}, {} }, {}, { { 2, 5 } }, { { 1, 8, 3 }, { 0, 16, 5 } },
  { { -3, -1 }, { 4 } }, { { 5, 5 }, {} }, { 6, { 3, 14, 2 } }, { { 0, 8 }, { 15, 16 } }, { { 3, 4 }, { 1, 2 } },
}

local TestKeys = {}

function TestKeys:test_every_key_reads_what_it_reads_of_an_array()
  simulate(function()
    local a = counting { 8, 16 }
    for _, options in ipairs(PLACEMENTS) do
      local t <close> = torch.from_numpy(a, { dp = torch.DPPolicy(options) })
      for _, key in ipairs(KEYS) do assert_same(t[key], a[key]) end
    end
  end)
end

function TestKeys:test_every_key_writes_what_it_writes_of_an_array()
  simulate(function()
    for _, options in ipairs(PLACEMENTS) do
      local a = counting { 8, 16 }
      local t <close> = torch.from_numpy(a, { dp = torch.DPPolicy(options) })
      for i, key in ipairs(KEYS) do
        local value = i % 2 == 0 and i * 0.5 or -(a[key] + 0)
        t[key], a[key] = value, value
        assert_same(t:numpy(), a)
      end
    end
  end)
end

function TestKeys:test_three_dimensions_with_steps_across_parts()
  simulate(function()
    local a = counting { 4, 6, 8 }
    local t = torch.from_numpy(a, { dp = torch.DPPolicy { cube = "row_wise", pe = "column_wise" } })
    local key = { { 0, 4, 3 }, { 1, 6, 2 }, { 1, 8, 3 } }
    assert_same(t[key], a[key])
    local value = np.arange(3, { dtype = "i16" }):reshape { 3, 1 } * 100
    t[key], a[key] = value, value
    assert_same(t:numpy(), a)
  end)
end

function TestKeys:test_arrays_and_tensors_are_broadcast_and_converted()
  simulate(function()
    local t = torch.zeros({ 4, 6 }, { dtype = "i32", dp = torch.DPPolicy { pe = "row_wise" } })
    t[{ {}, { 1, 3 } }] = np.array({ 2.75, -3.5 })
    t[1] = torch.arange(6)
    t[{ 3, { 4 } }] = true
    lu.assertEquals(t:numpy():tolist(),
      { { 0, 2, -3, 0, 0, 0 }, { 0, 1, 2, 3, 4, 5 }, { 0, 2, -3, 0, 0, 0 }, { 0, 2, -3, 0, 1, 1 } })
  end)
end

function TestKeys:test_a_write_reaches_every_copy()
  simulate(function()
    local t = torch.zeros({ 8, 8 }, { dp = torch.DPPolicy {} })
    t[{ { 2, 4 }, { 0, 8, 2 } }] = 1.0 -- 2 x 4 elements
    local sums = {}
    torch.launch("sum", function(p)
      sums[tl.program_id(1) * 4 + tl.program_id(0) + 1] = tl.sum(tl.load(p)):item()
    end, t)
    lu.assertEquals(t[{ 2, 2 }], 1)
    lu.assertEquals(#sums, 16)
    for _, sum in ipairs(sums) do lu.assertEquals(sum, 8) end
  end)
end

function TestKeys:test_a_read_waits_for_the_launches_before_it()
  simulate(function()
    local t = torch.zeros { 64 }
    torch.launch("write", function(p)
      tl.store(p, tl.full({ 64 }, 3, "f32"))
    end, t)
    lu.assertEquals(t[5], 3)
  end)
end

function TestKeys:test_tensors_are_copied_between_devices()
  simulate(function()
    local here = torch.from_numpy(counting { 8, 8 }, { dp = torch.DPPolicy { pe = "row_wise" } })
    torch.ahbm.set_device(1)
    local there = torch.zeros({ 8, 8 }, { dtype = "f64", dp = torch.DPPolicy { pe = "column_wise" } })
    there:copy_(here)
    assert_same(there:numpy(), counting { 8, 8 })
    there[{ { 0, 2 } }] = here[{ { 6, 8 } }]
    lu.assertEquals(there[{ 1, 7 }], 63)
  end)
end

local TestCost = {}

function TestCost:test_only_the_bytes_of_a_slice_move()
  local stats = simulate(function()
    local t = torch.empty({ 16, 32 }, { dtype = "f16", dp = torch.DPPolicy { pe = "row_wise" } })
    t[{ { 2, 14, 3 }, { 5, 20 } }] = 1.0 -- 4 rows of 15 elements, in 4 cubes
    lu.assertEquals(t[{ {}, 31 }].shape, { 16 })
    lu.assertEquals(t[{ { 3, 3 } }].shape, { 0, 32 })
  end)
  lu.assertEquals(stats.bytes_to_device, 4 * 4 * 15 * 2)
  lu.assertEquals(stats.bytes_to_host, 16 * 2)
end

-- The first tensor of a machine begins its HBM slice, as the probe's transfer does.
function TestCost:test_a_contiguous_slice_takes_the_time_of_the_closed_form()
  local bytes = 3 * 1024 * 4
  local cases = core.probe(helper.topology "small", {}, { "h2d_write", bytes, "d2h_read", bytes }).cases
  simulate(function()
    local t = torch.empty({ 16, 1024 })
    lu.assertEquals(time_of(function() t[{ { 0, 3 }, {} }] = 1.0 end), ps(cases[1].formula_ns))
    lu.assertEquals(time_of(function() return t[{ { 0, 3 } }] end), ps(cases[2].formula_ns))
  end)
end

-- Each row is a flit of 64 B on its own. All are ready at the host at once; the slowest link is PCIe at
-- 64 GB/s, 1 ns per such flit, so that the last arrives 31 ns after the first. A single row takes the
-- time of the closed form; the channel of the last flit is free by then.
function TestCost:test_rows_of_a_column_block_are_flits_of_their_own()
  local one = core.probe(helper.topology "small", {}, { "h2d_write", 64 }).cases[1]
  simulate(function()
    local t = torch.empty({ 32, 1024 }, { dtype = "u8" })
    lu.assertEquals(time_of(function() t[{ 0, { 0, 64 } }] = 1 end), ps(one.formula_ns))
    local took = time_of(function() t[{ { 0, 32 }, { 0, 64 } }] = 1 end)
    lu.assertTrue(took >= ps(one.formula_ns) + 31 * 1000)
  end)
end

function TestCost:test_nothing_selected_moves_nothing()
  simulate(function()
    local t = torch.empty { 4, 4 }
    lu.assertEquals(time_of(function() t[{ { 2, 2 } }] = 5 end), 0)
    lu.assertEquals(time_of(function() lu.assertEquals(t[{ {}, { 4 } }].shape, { 4, 0 }) end), 0)
  end)
end

local TestFacts = {}

function TestFacts:test_data_is_the_contents()
  simulate(function()
    local t = torch.from_numpy(counting { 3, 2 })
    assert_same(t.data, counting { 3, 2 })
    t.data = counting { 3, 2 } * 2
    lu.assertEquals(t[{ 2, 1 }], 10)
  end)
end

function TestFacts:test_the_local_shape_is_what_a_pe_holds()
  simulate(function()
    local t = torch.empty({ 12, 10 }, { dp = torch.DPPolicy { cube = "row_wise", num_cubes = 2, pe = "column_wise",
      pad = true } })
    lu.assertEquals(t:local_shape(), { 6, 3 })
    lu.assertEquals(t:local_shape(1, 2), { 6, 3 })
    lu.assertEquals(t:local_shape(1, 3), { 6, 1 }) -- 10 columns are 3 + 3 + 3 + 1
    lu.assertEquals(t:local_shape(1), { 6, 3 })
    lu.assertNil(t:local_shape(2, 0))
  end)
end

function TestFacts:test_text_shows_values_and_takes_the_time_of_reading_them()
  simulate(function()
    local t = torch.from_numpy(np.array { { 1, 2.5 }, { -3, 4 } }:astype "f32")
    lu.assertEquals(tostring(t), "tensor([[ 1. ,  2.5],\n        [-3. ,  4. ]], dtype=f32)")
    lu.assertEquals(time_of(function() tostring(t) end), time_of(function() t:numpy() end))
    lu.assertStrContains(("%s"):format(t), "tensor 'tensor0' (2, 2) f32 on sip0, 1 shards")
    t:free()
    lu.assertStrContains(tostring(t), "(freed)")
  end)
end

function TestFacts:test_without_numbers_reading_raises_and_writing_takes_its_time()
  local function written(data)
    local took
    simulate(function()
      local t = torch.zeros({ 8, 8 }, { dp = torch.DPPolicy { pe = "row_wise", num_pes = 2 }, name = "t" })
      took = time_of(function() t[{ {}, { 2, 6 } }] = np.ones { 4 } end)
      if data then return end
      lu.assertStrContains(tostring(t), "no contents: numbers are switched off")
      for _, read in ipairs { function() return t[{ 0, 0 }] end, function() return t.data end, t.numpy } do
        lu.assertErrorMsgContains("tensor 't' has no contents: numbers are switched off", read, t)
      end
      lu.assertErrorMsgContains("does not fit the (8, 4)", function() t[{ {}, { 2, 6 } }] = np.ones { 3 } end)
    end, { data = data })
    return took
  end
  lu.assertEquals(written(false), written(true))
end

function TestFacts:test_wrong_keys_and_values_say_what_is_wrong()
  simulate(function()
    local t = torch.zeros({ 4, 8 }, { name = "t", dtype = "i8" })
    local function refused(pattern, fn)
      local ok, message = pcall(fn)
      lu.assertFalse(ok)
      lu.assertStrContains(message, pattern)
      lu.assertStrContains(message, ("test_tensor.lua:%d: "):format(debug.getinfo(fn, "S").linedefined))
    end
    refused("tensor 't': dimension 0: index 4 outside an extent of 4", function() return t[4] end)
    refused("tensor 't': dimension 1: index -9 outside an extent of 8", function() return t[{ 0, -9 }] end)
    refused("tensor 't': dimension 1: a range's step is at least 1", function() return t[{ {}, { 0, 8, 0 } }] end)
    refused("tensor 't': 3 indices for an array of rank 2", function() return t[{ 0, 0, 0 }] end)
    refused("dimension 1: expected an integer index or a range", function() return t[{ 0, "x" }] end)
    refused("array of shape (3,) does not fit the (4, 8) that are assigned", function() t[{}] = np.zeros { 3 } end)
    refused("Tensor[...]: tensor 't' of i8 cannot hold 300", function() t[0] = 300 end)
    refused("Tensor[...]: tensor 't' of i8 cannot hold 0.5", function() t[{ 0, 0 }] = 0.5 end)
    refused("Tensor[...]: expected a number, an np array or a tensor, got table", function() t[0] = { 1 } end)
    refused("Tensor[...]: tensor 't' has been freed", function() t:free() return t[0] end)
    lu.assertNil(t.nothing)
  end)
end

helper.main { TestKeys = TestKeys, TestCost = TestCost, TestFacts = TestFacts }
