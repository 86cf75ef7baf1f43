-- Blocks of pointers and masks: what is read and written, what is refused, and when.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local tiles = require "tests.lua.tiles"

local same, with_pointer, took, i32 = tiles.same, tiles.with_pointer, tiles.took, tiles.i32

-- fn(pointer) in a kernel, where it raises something that contains the pattern.
local function refused(pattern, array, fn)
  with_pointer(array, function(p)
    local ok, message = pcall(fn, p)
    lu.assertFalse(ok, "no error: " .. pattern)
    lu.assertStrContains(tostring(message), pattern)
  end)
end

-- ---- gathers ----

local TestGather = {}

function TestGather:test_every_lane_reads_where_it_leads()
  local random = np.random(1)
  for _, dtype in ipairs { "f8e4m3", "f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32",
    "u64" } do
    for _, shape in ipairs { { 1 }, { 7 }, { 33 }, { 3, 5 }, { 2, 3, 4 } } do
      local words = random:randint(0, 100, { 50 }, "i32"):astype(dtype)
      local at = random:randint(0, 50, shape, "i32")
      local got
      helper.simulate(function()
        torch.launch("k", function(p, i)
          got = tl.values(tl.load(p + tl.load(i)))
        end, torch.from_numpy(words), torch.from_numpy(at)):wait()
      end)
      local flat, want = at:flatten():tolist(), {}
      for i, index in ipairs(flat) do want[i] = words[index] end
      same(got, np.array(want, dtype):reshape(shape), dtype)
    end
  end
end

function TestGather:test_a_block_made_of_rows_and_columns_is_the_strided_block()
  local a = np.arange(120, "i32"):reshape { 10, 12 }
  local got = with_pointer(a, function(p)
    local rows, cols = tl.arange(2, 6), tl.arange(3, 10)
    local block = p + tl.expand_dims(rows, 1) * 12 + tl.expand_dims(cols, 0)
    lu.assertEquals(block.shape, { 4, 7 })
    lu.assertEquals(block.dtype, "i32")
    return { tl.load(block), tl.load(tl.expand_dims(cols, 0) + (p + tl.expand_dims(rows, 1) * 12)),
      tl.load(p + tl.broadcast_to(rows:expand_dims(1) * 12, { 4, 7 }) + 1), tl.load(block - 3) }
  end)
  same(got[1], a[{ { 2, 6 }, { 3, 10 } }], "block")
  same(got[2], a[{ { 2, 6 }, { 3, 10 } }], "tile + pointers")
  same(got[3], np.broadcast_to(a[{ { 2, 6 }, { 1, 2 } }], { 4, 7 }), "one element of each row, again and again")
  same(got[4], a[{ { 2, 6 }, { 0, 7 } }], "moved back")
end

function TestGather:test_masked_off_lanes_give_other_and_may_lead_anywhere()
  local a = np.arange(10, "f32")
  local got = with_pointer(a, function(p)
    local at = tl.arange(-3, 13)
    local inside = tl.ge(at, 0) & tl.lt(at, 10)
    return { tl.load(p + at, { mask = inside, other = -1 }), tl.load { p + at, mask = inside },
      tl.load(p + at, { mask = false, other = 2 }), tl.load(p + 7, { 5 }, { mask = tl.lt(tl.arange(7, 12), 10) }),
      tl.load(p, { 2, 4 }, { mask = tl.lt(tl.arange(0, 4), 3), other = 0.5 }),
      tl.load(p + 2, { 3 }, { mask = true, other = 9 }),
      tl.load(p, { 2, 2 }, { mask = tl.eq(tl.arange(0, 2), 0), other = tl.load(p + 8, { 2 }) }) }
  end)
  lu.assertEquals(got[1]:tolist(), { -1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, -1, -1, -1 })
  lu.assertEquals(got[2]:tolist(), { 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0 })
  lu.assertEquals(got[3]:tolist(), np.full({ 16 }, 2, "f32"):tolist())
  lu.assertEquals(got[4]:tolist(), { 7, 8, 9, 0, 0 })
  lu.assertEquals(got[5]:tolist(), { { 0, 1, 2, 0.5 }, { 4, 5, 6, 0.5 } })
  lu.assertEquals(got[6]:tolist(), { 2, 3, 4 })
  lu.assertEquals(got[7]:tolist(), { { 0, 9 }, { 2, 9 } })
end

function TestGather:test_loads_under_way_bring_what_they_led_to()
  local got = with_pointer(np.arange(8, "i32"), function(p)
    local down = tl.load_async(p + (7 - tl.arange(0, 8)))
    local some = tl.load_async(p + tl.arange(0, 8), { mask = tl.lt(tl.arange(0, 8), 3), other = -1 })
    return { tl.wait(down, some) }
  end)
  lu.assertEquals(got[1]:tolist(), { 7, 6, 5, 4, 3, 2, 1, 0 })
  lu.assertEquals(got[2]:tolist(), { 0, 1, 2, -1, -1, -1, -1, -1 })
end

-- ---- scatters ----

local TestScatter = {}

function TestScatter:test_every_lane_writes_where_it_leads()
  local _, after = with_pointer(np.zeros({ 12 }, "i32"), function(p)
    tl.store(p + tl.arange(0, 4) * 3, tl.arange(1, 5))
    tl.wait(tl.store_async(p + (5 - tl.arange(0, 2)), tl.arange(10, 12)))
  end)
  lu.assertEquals(after:tolist(), { 1, 0, 0, 2, 11, 10, 3, 0, 0, 4, 0, 0 })
end

function TestScatter:test_masked_off_lanes_write_nothing()
  local _, after = with_pointer(np.zeros({ 10 }, "i32"), function(p)
    local at = tl.arange(-2, 14)
    tl.store(p + at, at, { mask = tl.ge(at, 1) & tl.lt(at, 10) & tl.ne(at, 5) })
    tl.store(p, tl.full({ 10 }, 7, "i32"), { mask = false })
    tl.store { p + 8, tl.full({ 4 }, 3, "i32"), mask = tl.eq(tl.arange(0, 4), 1) }
  end)
  lu.assertEquals(after:tolist(), { 0, 1, 2, 3, 4, 0, 6, 7, 8, 3 })
end

function TestScatter:test_of_lanes_that_lead_to_one_element_the_last_wins()
  local _, after = with_pointer(np.zeros({ 2 }, "i32"), function(p)
    tl.store(p + tl.arange(0, 6) // 3, tl.arange(0, 6))
  end)
  lu.assertEquals(after:tolist(), { 2, 5 })
end

function TestScatter:test_gather_after_scatter_gives_back_any_permutation()
  local n, random = 64, np.random(3)
  local keys = random:rand({ n }, "f64"):tolist()
  local order = {}
  for i = 1, n do order[i] = i - 1 end
  table.sort(order, function(a, b) return keys[a + 1] < keys[b + 1] end)
  local values = random:randn({ n }, "f32")
  local got = {}
  helper.simulate(function()
    local out = torch.zeros(n, { dtype = "f32" })
    torch.launch("k", function(x, i, p)
      local at = tl.load(i)
      tl.store(p + at, tl.load(x))
      got.back = tl.values(tl.load(p + at))
    end, torch.from_numpy(values), torch.from_numpy(np.array(order, "i64")), out)
    got.out = out:numpy()
  end)
  same(got.back, values, "permuted and back")
  for i = 0, n - 1 do lu.assertEquals(got.out[order[i + 1]], values[i]) end
end

-- ---- errors ----

local TestRefusals = {}

function TestRefusals:test_no_lane_leaves_the_tensor()
  local text = "lane (4,) leads to element 10, outside of tensor"
  refused(text, i32(10), function(p) tl.load(p + 6 + tl.arange(0, 5)) end)
  refused(text, i32(10), function(p) tl.store(p + 6 + tl.arange(0, 5), tl.arange(0, 5)) end)
  refused("lane (0, 1) leads to element -1, outside of tensor", i32(10), function(p)
    tl.load(p + tl.expand_dims(tl.arange(0, 2) * -1, 0))
  end)
  refused("lane (2,) leads to element 10, outside of tensor", i32(10), function(p)
    tl.load(p + 8, { 4 }, { mask = tl.ne(tl.arange(0, 4), 3) })
  end)
  refused("which has 10 elements here", i32(10), function(p)
    tl.load(p + tl.full({ 1 }, math.maxinteger, "i64") + 1)
  end)
end

function TestRefusals:test_the_error_names_line_place_and_time()
  local line = debug.getinfo(1, "l").currentline + 3
  local message = helper.fails(function()
    torch.launch("k", function(p)
      tl.load(p + tl.arange(0, 5))
    end, torch.zeros(4, { name = "short" })):wait()
  end)
  lu.assertStrContains(message, ("test_tile_pointers.lua:%d: tl.load: lane (4,) leads to element 4, outside of "
    .. "tensor 'short', which has 4 elements here [sip0.cube0.pe0, t="):format(line))
end

function TestRefusals:test_pointers_and_masks_that_make_no_sense()
  local a = i32(10)
  refused("pointer arithmetic: a tile of f32; expected integers", a, function(p) return p + tl.zeros { 3 } end)
  refused("pointer arithmetic: both are pointers", a, function(p) return p + (p + 1) end)
  refused("pointer arithmetic: expected an integer number of elements", a, function(p) return p + 0.5 end)
  refused("a pointer cannot be subtracted", a, function(p) return 1 - p end)
  refused("add the negative", a, function(p) return p - tl.arange(0, 2) end)
  refused("shapes (3,) and (2,) do not broadcast", a, function(p) return p + tl.arange(0, 3) + tl.arange(0, 2) end)
  refused("mask is (8,) i32; expected bool", a, function(p) tl.load(p, { 8 }, { mask = tl.arange(0, 8) }) end)
  refused("mask is (3,) bool; the block is (8,)", a, function(p)
    tl.load(p, { 8 }, { mask = tl.lt(tl.arange(0, 3), 1) })
  end)
  refused("other without a mask", a, function(p) tl.load(p, { other = 1 }) end)
  refused("other: 0.5 has no value in i32", a, function(p) tl.load(p, { mask = false, other = 0.5 }) end)
  refused("other is (3,) i32; the block is (10,) i32", a, function(p)
    tl.load(p, { mask = false, other = tl.arange(0, 3) })
  end)
  refused("a block of pointers has a shape", a, function(p) tl.load(p + tl.arange(0, 2), { 2 }) end)
  refused("holds i32, not f32", a, function(p) tl.load(p + tl.arange(0, 2), nil, "f32") end)
  refused("the tile is (3,) i32, the block of pointers (2,)", a, function(p)
    tl.store(p + tl.arange(0, 2), tl.arange(0, 3))
  end)
  refused("shape is given twice", a, function(p) tl.load(p, { 8 }, { shape = { 8 } }) end)
  refused("unknown option 'maks'", a, function(p) tl.load(p, { maks = false }) end)
  refused("a block of pointers has no field 'stride'", a, function(p) return (p + tl.arange(0, 2)).stride end)
end

function TestRefusals:test_pointers_of_a_freed_tensor_lead_nowhere()
  helper.simulate(function()
    local t = torch.zeros(8)
    local kept
    torch.launch("k", function(p) kept = p + tl.arange(0, 4) end, t):wait()
    t:free()
    local ok, message = pcall(function() return kept + 1 end)
    lu.assertFalse(ok)
    lu.assertStrContains(tostring(message), "has been freed")
    lu.assertStrContains(tostring(select(2, pcall(tostring, kept))), "has been freed")
  end)
end

-- ---- without numbers ----

local TestWithoutNumbers = {}

function TestWithoutNumbers:test_offsets_and_masks_made_of_constants_are_known()
  local times = {}
  for _, data in ipairs { true, false } do
    helper.simulate(function()
      local t = torch.empty(8, 16, { dtype = "f16" })
      torch.launch("k", function(p)
        local from = tl.now()
        local rows, cols = tl.arange(0, 4) * 2, tl.arange(0, 16)
        local at = rows:expand_dims(1) * 16 + tl.permute(cols:reshape { 16, 1 }, { 1, 0 })
        local x = tl.load(p + at, { mask = tl.lt(cols, 11) & tl.ne(at % 3, 1), other = 1 })
        tl.store(p + tl.where(tl.lt(cols, 8), 15 - cols, cols), x:sum(0))
        tl.store(p + tl.arange(0, 4) * 16, tl.load(p, { 4 }), { mask = tl.ge(rows, 2) })
        times[#times + 1] = { tl.now() - from, rows:sum():item() }
      end, t):wait()
    end, { data = data })
  end
  lu.assertEquals(times[1][2], 12)
  lu.assertEquals(times[1], times[2])
end

function TestWithoutNumbers:test_what_depends_on_memory_is_an_error()
  for _, case in ipairs {
    { "where these pointers lead depends on what memory holds", function(p) tl.load(p + tl.load(p)) end },
    { "where these pointers lead depends on what memory holds", function(p) tl.store(p + tl.load(p), tl.load(p)) end },
    { "mask depends on what memory holds", function(p) tl.load(p, { mask = tl.lt(tl.load(p), 3) }) end },
  } do
    local message = helper.fails(function()
      torch.launch("k", case[2], torch.empty(4, { dtype = "i32" })):wait()
    end, { data = false })
    lu.assertStrContains(message, case[1])
    lu.assertStrContains(message, "numbers are switched off (--no-data or data = false)")
  end
end

-- ---- times ----

local TestTimes = {}

-- One cube of the default machine, pe0 and its own slice: a command of 3 ns; a read of one flit of b bytes:
-- request 2 + 0.12 of wire, a burst of 10, two links of 256 GB/s, the crossbar's 2 and the wires' 0.12 back.
-- A write: the links, the crossbar and the wires, the burst, and the acknowledgement of 2.12.
local function flit(b) return 2 * math.floor(b / 256 * 1000 + 0.5) / 1000 end
local function read_ns(b) return 2.12 + 10 + flit(b) + 2.12 end
local function write_ns(b) return flit(b) + 2.12 + 10 + 2.12 end

local function is(expected, got)
  lu.assertEquals(("%.3f"):format(got), ("%.3f"):format(expected))
end

function TestTimes:test_adjacent_pointers_take_exactly_as_long_as_the_block()
  for _, n in ipairs { 1, 7, 128, 129, 2048, 5000 } do
    with_pointer(np.zeros({ 5000 }, "f16"), function(p)
      local at = tl.arange(0, n)
      is(took(tl.load, p, { n }), (took(tl.load, p + at)))
      local x = tl.load(p, { n })
      is(took(tl.store, p, x), (took(tl.store, p + at, x)))
    end)
  end
end

function TestTimes:test_pointers_to_rows_take_exactly_as_long_as_the_strided_block()
  with_pointer(np.zeros({ 64, 96 }, "f16"), function(p)
    for _, case in ipairs { { 32, 64, 96 }, { 5, 3, 200 }, { 64, 1, 96 } } do
      local rows, cols, stride = table.unpack(case)
      local block = p + tl.arange(0, rows):expand_dims(1) * stride + tl.arange(0, cols):expand_dims(0)
      is(took(tl.load, { p, { rows, cols }, stride = { stride, 1 } }), (took(tl.load, block)))
    end
  end)
end

function TestTimes:test_scattered_elements_take_a_transaction_each()
  for _, n in ipairs { 1, 2, 5, 16 } do
    with_pointer(np.zeros({ 64 }, "f32"), function(p)
      local down = p + (n - 1 - tl.arange(0, n)) -- no element follows its predecessor
      is(3 + n * read_ns(4), (took(tl.load, down)))
      local x = tl.zeros({ n }, "f32")
      is(3 + n * write_ns(4), (took(tl.store, down, x)))
    end)
  end
end

function TestTimes:test_masked_off_lanes_cost_nothing()
  with_pointer(np.zeros({ 64 }, "f32"), function(p)
    local at = tl.arange(0, 64)
    is(3 + read_ns(40), (took(tl.load, p + at, { mask = tl.lt(at, 10) })))
    is(3 + read_ns(80), (took(tl.load, p, { mask = tl.ge(at, 44) })))
    is(3, (took(tl.load, p + at, { mask = false })))
    is(3, (took(tl.store, p + at, tl.load(p), { mask = tl.lt(at, 0) })))
  end)
end

function TestTimes:test_runs_around_a_gap_are_transactions_of_their_own()
  with_pointer(np.zeros({ 64 }, "f32"), function(p)
    local at = tl.arange(0, 20)
    local x = tl.ne(at, 12) -- 12 elements, then 7
    is(3 + read_ns(48) + read_ns(28), (took(tl.load, p + at, { mask = x })))
  end)
end

function TestTimes:test_pointer_arithmetic_costs_what_the_tiles_cost()
  with_pointer(np.zeros({ 64 }, "f32"), function(p)
    local at = tl.arange(0, 64)
    is(0, (took(function() return p + at end)))
    is(0, (took(function() return p + at + 1 - 1 end)))
    is(3 + 1, (took(function() return p + at + at end))) -- 64 elements of four bytes: one cycle
  end)
end

helper.main { TestGather = TestGather, TestScatter = TestScatter, TestRefusals = TestRefusals,
  TestWithoutNumbers = TestWithoutNumbers, TestTimes = TestTimes }
