-- Atomic operations: what they do to memory, what they return, in which order, and when.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local tiles = require "tests.lua.tiles"

local same, with_pointer, took = tiles.same, tiles.with_pointer, tiles.took

local EVERYWHERE = torch.DPPolicy {} -- a part or copy on every PE
local OPERATIONS = { add = np.add, min = np.minimum, max = np.maximum }
local BITS = { ["and"] = function(a, b) return a & b end, ["or"] = function(a, b) return a | b end,
  xor = function(a, b) return a ~ b end }

-- ---- numbers ----

local TestNumbers = {}

function TestNumbers:test_every_operation_and_type_agrees_with_the_host()
  for i, dtype in ipairs { "f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64" } do
    local a, b = tiles.random_of({ 3, 11 }, dtype, i), tiles.random_of({ 3, 11 }, dtype, i + 20)
    local expected = { xchg = b }
    for name, fn in pairs(OPERATIONS) do expected[name] = fn(a, b) end
    if not tiles.EPS[dtype] then
      for name, fn in pairs(BITS) do expected[name] = fn(a, b) end
    end
    for _, name in ipairs { "add", "min", "max", "and", "or", "xor", "xchg" } do
      if expected[name] then
        local old, after
        helper.simulate(function()
          local t = torch.from_numpy(a)
          torch.launch("k", function(p, q) old = tl.values(tl["atomic_" .. name](p, tl.load(q))) end,
            t, torch.from_numpy(b))
          after = t:numpy()
        end)
        same(old, a, name .. " of " .. dtype .. " returns what was there")
        same(after, expected[name], name .. " of " .. dtype)
      end
    end
  end
end

function TestNumbers:test_swaps_where_the_bits_are_equal()
  for _, dtype in ipairs { "i8", "u16", "i32", "i64", "f16", "f32" } do
    local old, after
    helper.simulate(function()
      local t = torch.from_numpy(np.array({ 1, 2, 3, 4 }, dtype))
      torch.launch("k", function(p)
        old = tl.values(tl.atomic_cas(p, tl.cast(tl.arange(4, 0 + 8) * 0 + 3, dtype), 9))
      end, t)
      after = t:numpy()
    end)
    lu.assertEquals(old:tolist(), { 1, 2, 3, 4 })
    lu.assertEquals(after:tolist(), { 1, 2, 9, 4 })
  end
end

function TestNumbers:test_8_bit_floats_are_swapped()
  local old, after = with_pointer(np.array({ 1, 2, 3 }, "f8e4m3"), function(p)
    return { tl.atomic_xchg(p, 8), tl.atomic_cas(p + 1, 2, 16), tl.atomic_cas(p + 2, 2, 16) }
  end)
  lu.assertEquals({ old[1]:item(), old[2]:item(), old[3]:item() }, { 1.0, 2.0, 3.0 })
  lu.assertEquals(after:tolist(), { 8, 16, 3 })
end

function TestNumbers:test_a_number_is_for_one_element_or_for_every_pointer()
  local old, after = with_pointer(np.arange(6, "i32"), function(p)
    return { tl.atomic_add(p + 2, 10), tl.atomic_max(p + 3 + tl.arange(0, 3), 4),
      tl.atomic_cas(p + tl.arange(0, 2), tl.arange(1, 3), -1) }
  end)
  lu.assertEquals(old[1]:item(), 2)
  lu.assertEquals(old[2]:tolist(), { 3, 4, 5 })
  lu.assertEquals(old[3]:tolist(), { 0, 1 })
  lu.assertEquals(after:tolist(), { 0, 1, 12, 4, 4, 5 })
end

function TestNumbers:test_masked_off_elements_are_left_alone_and_give_0()
  local old, after = with_pointer(np.arange(1, 5, "i32"), function(p)
    local at = tl.arange(-1, 6)
    return { tl.atomic_add(p + at, 10, { mask = tl.gt(at, 0) & tl.lt(at, 4) }),
      tl.atomic_xchg { p, tl.arange(0, 4), mask = false },
      tl.atomic_cas(p, tl.load(p), tl.arange(70, 74), { mask = tl.eq(tl.arange(0, 4), 0) }) }
  end)
  lu.assertEquals(old[1]:tolist(), { 0, 0, 2, 3, 4, 0, 0 })
  lu.assertEquals(old[2]:tolist(), { 0, 0, 0, 0 })
  lu.assertEquals(old[3]:tolist(), { 1, 0, 0, 0 })
  lu.assertEquals(after:tolist(), { 70, 12, 13, 14 })
end

function TestNumbers:test_lanes_that_lead_to_one_element_follow_each_other()
  local old, after = with_pointer(np.zeros({ 4 }, "i32"), function(p)
    return tl.atomic_add(p + tl.arange(0, 9) % 3, tl.arange(1, 10))
  end)
  lu.assertEquals(old:tolist(), { 0, 0, 0, 1, 2, 3, 1 + 4, 2 + 5, 3 + 6 })
  lu.assertEquals(after:tolist(), { 1 + 4 + 7, 2 + 5 + 8, 3 + 6 + 9, 0 })
end

function TestNumbers:test_nan_is_the_least_and_the_greatest()
  local nan = 0 / 0
  local _, after = with_pointer(np.array({ nan, 1, 1 }, "f32"), function(p)
    tl.atomic_min(p, 5)
    tl.atomic_max(p + 1, nan)
    tl.atomic_add(p + 2, math.huge)
  end)
  local got = after:tolist()
  lu.assertNotEquals(got[1], got[1])
  lu.assertNotEquals(got[2], got[2])
  lu.assertEquals(got[3], math.huge)
end

-- ---- several PEs ----

local TestContention = {}

-- Every PE of a launch over `like` calls fn(pointer to one element, ...); returns what the element is in the end.
local function together(like, dtype, fn, options)
  local after
  helper.simulate(function()
    local counter = torch.zeros(1, { dtype = dtype })
    torch.launch("k", fn, counter, torch.empty(like, { dtype = "f16", dp = EVERYWHERE }))
    after = counter:numpy():item()
  end, options)
  return after
end

function TestContention:test_16_pes_count_exactly_and_each_gets_another_number()
  local seen = {}
  local total = together({ 8 }, "i32", function(counter)
    for _ = 1, 3 do
      local old = tl.atomic_add(counter, 1):item()
      seen[#seen + 1] = old
    end
  end)
  lu.assertEquals(total, 16 * 3)
  table.sort(seen)
  for i, number in ipairs(seen) do lu.assertEquals(number, i - 1) end
end

function TestContention:test_all_128_pes_of_the_default_machine_count_exactly()
  local runtime = require "kernbench.runtime"
  local pes, total = 0, nil
  local outcome = runtime.with_engine({ topology = require("kernbench.core").home() .. "/topology.yaml" }, function()
    local counter = torch.zeros(1, { dtype = "i64" })
    torch.launch("k", function(p)
      pes = pes + 1
      tl.atomic_add(p, 1 << 40)
    end, counter, torch.empty(8, { dp = EVERYWHERE }))
    total = counter:numpy():item()
  end)
  lu.assertEquals(outcome.status, "ok")
  lu.assertEquals(pes, 128)
  lu.assertEquals(total, 128 << 40)
end

function TestContention:test_float_sums_are_taken_in_the_order_of_time_and_equal_in_every_run()
  local function total()
    local order = {}
    local sum = together({ 8 }, "f32", function(p)
      local mine = 1 / (1 + tl.program_id(0) + 4 * tl.program_id(1))
      local old = tl.atomic_add(p, mine):item()
      order[#order + 1] = { old, mine }
    end)
    table.sort(order, function(a, b) return a[1] < b[1] end)
    local expected = np.zeros({ 1 }, "f32")
    for _, each in ipairs(order) do
      lu.assertEquals(expected:item(), each[1])
      expected = expected + np.array({ each[2] }, "f32")
    end
    lu.assertEquals(expected:item(), sum)
    return sum
  end
  lu.assertEquals(total(), total())
end

function TestContention:test_a_lock_made_of_compare_and_swap_lets_one_in_at_a_time()
  local after
  helper.simulate(function()
    local lock, shared = torch.zeros(1, { dtype = "i32" }), torch.zeros(1, { dtype = "i32" })
    torch.launch("k", function(l, s)
      while tl.atomic_cas(l, 0, 1):item() ~= 0 do end
      tl.store(s, tl.load(s) + 1) -- not atomic by itself
      tl.atomic_xchg(l, 0)
    end, lock, shared, torch.empty(8, { dp = torch.DPPolicy { num_cubes = 1 } }))
    after = shared:numpy():item()
  end)
  lu.assertEquals(after, 4)
end

function TestContention:test_pes_of_two_cubes_build_one_histogram()
  local bins = np.random(5):randint(0, 10, { 8, 32 }, "i32")
  local after
  helper.simulate(function()
    local dp = torch.DPPolicy { cube = "row_wise", pe = "row_wise", num_cubes = 2 }
    local counts = torch.zeros(10, { dtype = "i32" })
    torch.launch("k", function(x, h) tl.atomic_add(h + tl.load(x), 1) end, torch.from_numpy(bins, { dp = dp }), counts)
    after = counts:numpy()
  end)
  for bin = 0, 9 do lu.assertEquals(after[bin], np.eq(bins, bin):sum()) end
end

function TestContention:test_other_pes_parts_and_srams_can_be_reached()
  local after, shared
  helper.simulate(function()
    local dp = torch.DPPolicy { pe = "row_wise", num_cubes = 1 }
    local counts = torch.zeros(4, { dtype = "i32", dp = dp }) -- an element on each PE
    local sram = torch.zeros(1, { dtype = "i32", memory = "sram", dp = torch.DPPolicy { num_cubes = 1 } })
    torch.launch("k", function(c, s)
      for pe = 0, 3 do tl.atomic_add(c:part(0, pe), 1 + pe) end
      tl.atomic_add(s, 1)
    end, counts, sram)
    after, shared = counts:numpy(), sram:numpy()
  end)
  lu.assertEquals(after:tolist(), { 4, 8, 12, 16 })
  lu.assertEquals(shared:tolist(), { 4 })
end

-- ---- errors ----

local TestRefusals = {}

function TestRefusals:test_what_makes_no_sense_or_leads_outside()
  local function refused(pattern, dtype, fn)
    with_pointer(np.zeros({ 4 }, dtype), function(p)
      local ok, message = pcall(fn, p)
      lu.assertFalse(ok, "no error: " .. pattern)
      lu.assertStrContains(tostring(message), pattern)
    end)
  end
  refused("tl.atomic_add: a block of shape () at element 4 reaches to element 5, outside of tensor", "i32",
    function(p) tl.atomic_add(p + 4, 1) end)
  refused("tl.atomic_max: lane (1,) leads to element 4, outside of tensor", "i32",
    function(p) tl.atomic_max(p + 3 + tl.arange(0, 2), 1) end)
  refused("holds f32; expected integers", "f32", function(p) tl.atomic_xor(p, 1) end)
  refused("holds f8e4m3, on which there is no arithmetic", "f8e4m3", function(p) tl.atomic_max(p, 1) end)
  refused("holds bool; expected numbers", "bool", function(p) tl.atomic_add(p, 1) end)
  refused("tl.atomic_add: value: 300 has no value in i8", "i8", function(p) tl.atomic_add(p, 300) end)
  refused("value is (2,) i32; the block in memory is (3,) i32", "i32",
    function(p) tl.atomic_add(p + tl.arange(0, 3), tl.arange(0, 2)) end)
  refused("value is (4,) f32; the block in memory is (4,) i32", "i32",
    function(p) tl.atomic_add(p, tl.zeros { 4 }) end)
  refused("tl.atomic_cas: value: expected a tile or a number, got nil", "i32", function(p) tl.atomic_cas(p, 1) end)
  refused("tl.atomic_cas: cmp: expected a tile or a number", "i32", function(p) tl.atomic_cas(p, p, 1) end)
  refused("unknown option 'sem'", "i32", function(p) tl.atomic_add(p, 1, { sem = "relaxed" }) end)
end

-- ---- times ----

local TestTimes = {}

-- pe0 of the default machine and its own slice. `b` bytes of operands go out: two links of 256 GB/s, 0.12 ns of
-- wires, the crossbar's 2, a burst of 10; the old values come back the same way, after a burst of 10.
local function flit(b) return 2 * math.floor(b / 256 * 1000 + 0.5) / 1000 end
local function out_ns(b) return flit(b) + 2.12 + 10 end
local function back_ns(b) return 10 + flit(b) + 2.12 end

local function is(expected, got)
  lu.assertEquals(("%.3f"):format(got), ("%.3f"):format(expected))
end

function TestTimes:test_operands_out_then_old_values_back()
  with_pointer(np.zeros({ 64 }, "f32"), function(p)
    is(3 + out_ns(4) + back_ns(4), (took(tl.atomic_add, p, 1)))
    is(3 + out_ns(256) + back_ns(256), (took(tl.atomic_add, p, tl.load(p))))
    is(3 + out_ns(8) + back_ns(4), (took(tl.atomic_cas, p, 0, 1)))
    is(3, (took(tl.atomic_add, p + tl.arange(0, 4), 1, { mask = false })))
  end)
end

function TestTimes:test_scattered_elements_follow_each_other()
  with_pointer(np.zeros({ 64 }, "f64"), function(p)
    is(3 + 5 * (out_ns(8) + back_ns(8)), (took(tl.atomic_add, p + (4 - tl.arange(0, 5)), 1)))
  end)
end

function TestTimes:test_without_numbers_it_takes_as_long()
  local times = {}
  for _, data in ipairs { true, false } do
    helper.simulate(function()
      torch.launch("k", function(p)
        local from = tl.now()
        tl.atomic_add(p + tl.arange(0, 8) % 3, 1)
        times[#times + 1] = tl.now() - from
      end, torch.empty(4, { dtype = "i32" }), torch.empty(8, { dp = EVERYWHERE })):wait()
    end, { data = data })
  end
  lu.assertEquals(#times, 32)
  for i = 1, 16 do lu.assertEquals(times[i], times[i + 16]) end
end

-- k PEs whose operands reach the memory while the first burst is served. Writes were queued first: the j-th (from 0)
-- is committed at a + 10 (j + 1), a being the first arrival; reads follow in that order, the j-th ends at
-- a + 10 k + 10 (j + 1).
function TestTimes:test_one_memory_serves_pes_one_after_another()
  local k = 4
  local function times(alone)
    local result = {}
    tiles.simulate(function()
      torch.launch("k", function(p)
        local me = tl.program_id(0)
        if me >= k or alone and me ~= alone then return end
        local from = tl.now()
        tl.atomic_add(p, 1)
        result[me + 1] = tl.now() - from
      end, torch.empty(1, { dtype = "i32" }), torch.empty(8, { dp = EVERYWHERE })):wait()
    end)
    return result
  end
  local order, first = {}, math.huge
  for pe = 0, k - 1 do
    local way = (times(pe)[pe + 1] - 3 - 20) / 2 -- as long there as back
    order[#order + 1] = { pe = pe, way = way }
    first = math.min(first, way)
  end
  -- equally far ones in the order in which they started, that of their numbers
  table.sort(order, function(a, b) return a.way < b.way or a.way == b.way and a.pe < b.pe end)
  lu.assertTrue(order[k].way - first < 10)
  local together_ = times()
  for j, each in ipairs(order) do
    is(3 + first + 10 * k + 10 * j + each.way, together_[each.pe + 1])
  end
end

helper.main { TestNumbers = TestNumbers, TestContention = TestContention, TestRefusals = TestRefusals,
  TestTimes = TestTimes }
