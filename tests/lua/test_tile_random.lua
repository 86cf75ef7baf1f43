-- tl.randint, tl.rand, tl.randn: Philox4x32-10 as Triton has it; and tl.histogram.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local tiles = require "tests.lua.tiles"

local on_device, fails, same = tiles.on_device, tiles.fails, tiles.same

-- ---- an implementation for comparison, in Lua's integers ----

local LOW = 0xffffffff

local function philox(seed, offset, rounds)
  local c0, c1, c2, c3 = offset & LOW, offset >> 32, 0, 0
  local k0, k1 = seed & LOW, seed >> 32
  for _ = 1, rounds or 10 do
    local x, y = 0xD2511F53 * c0, 0xCD9E8D57 * c2 -- below 2^64; >> is logical
    c0, c1, c2, c3 = (y >> 32) ~ c1 ~ k0, y & LOW, (x >> 32) ~ c3 ~ k1, x & LOW
    k0, k1 = (k0 + 0x9E3779B9) & LOW, (k1 + 0xBB67AE85) & LOW
  end
  return c0, c1
end

local function f32(x) return (string.unpack("f", string.pack("f", x))) end

local function uniform(bits)
  local x = bits >= 1 << 31 and bits - (1 << 32) or bits
  return f32(f32(x < 0 and -x - 1 or x) * f32(4.6566127342e-10))
end

local function normal(first, second)
  local u, angle = math.max(f32(1e-7), uniform(first)), f32(f32(2 * math.pi) * uniform(second))
  return math.sqrt(-2 * math.log(u)) * math.cos(angle)
end

local SEEDS = { 0, 1, 42, -1, 0x123456789abcdef, math.mininteger }
local OFFSETS = np.array({ 0, 1, 2, 1000, 1 << 31, (1 << 32) + 5, 1 << 60, -1 }, "i64")

local TestRandom = {}

-- Philox4x32-10 of counter 0 and key 0 is 6627e8d5 e169c58d bc57ac4c 9b00dbd8 (Random123's known answers).
function TestRandom:test_the_first_number_is_the_known_answer()
  local got = on_device({}, function() return tl.randint(0, tl.arange(0, 1)) end)
  same(got, np.array({ 0x6627e8d5 }, "u32"))
end

function TestRandom:test_numbers_are_those_of_philox()
  for _, seed in ipairs(SEEDS) do
    for _, rounds in ipairs { 10, 6 } do
      local got = on_device({ OFFSETS }, function(offsets)
        return { tl.randint(seed, offsets, rounds), tl.rand(seed, offsets, rounds),
          tl.randn { seed = seed, offset = offsets, n_rounds = rounds } }
      end)
      local bits, units, normals = {}, {}, {}
      for i, offset in ipairs(OFFSETS:tolist()) do
        local first, second = philox(seed, offset, rounds)
        bits[i], units[i], normals[i] = first, uniform(first), normal(first, second)
      end
      same(got[1], np.array(bits, "u32"), "randint")
      same(got[2], np.array(units, "f32"), "rand")
      -- four roundings to f32, of factors below 6
      lu.assertEquals(got[3].dtype, "f32")
      lu.assertTrue(np.max_abs_diff(got[3]:astype "f64", np.array(normals, "f64")) < 6 * 4 * 2 ^ -24)
    end
  end
end

-- An offset is an element's own number: a block can be made in parts, by whoever needs them.
function TestRandom:test_parts_are_parts_of_the_whole_in_every_type_of_offsets()
  local got = on_device({}, function()
    local list = { tl.rand(7, tl.arange(0, 100)) }
    for _, dtype in ipairs { "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64" } do
      list[#list + 1] = tl.rand(7, tl.arange(40, 100, dtype))
    end
    list[#list + 1] = tl.rand(7, tl.reshape(tl.arange(40, 100), { 4, 15 }))
    return list
  end)
  for i = 2, #got do same(got[i]:flatten(), got[1][{ { 40, 100 } }], i) end
end

-- 16,384 numbers: the mean of a uniform one has a standard deviation of 1 / sqrt(12 * 16384) = 0.0023, of a normal
-- one 1 / 128 = 0.0078, its variance sqrt(2 / 16384) = 0.011; six of them are allowed.
function TestRandom:test_the_distributions_are_what_they_should_be()
  local got = on_device({}, function()
    local at = tl.arange(0, 16384)
    return { tl.rand(3, at), tl.randn(3, at) }
  end)
  local unit, bell = got[1]:astype "f64", got[2]:astype "f64"
  lu.assertTrue(unit:min() >= 0 and unit:max() < 1)
  lu.assertAlmostEquals(unit:mean(), 0.5, 6 * 0.0023)
  lu.assertAlmostEquals(bell:mean(), 0, 6 * 0.0078)
  lu.assertAlmostEquals((bell * bell):mean(), 1, 6 * 0.011)
end

function TestRandom:test_integers_are_known_without_numbers()
  local seen
  on_device({}, function() seen = tl.randint(0, tl.arange(0, 1)):item() end, false)
  lu.assertEquals(seen, 0x6627e8d5)
end

-- Ten rounds of 8 passes; 6 for a float of them; for a normal number 2 x 6 + 1 + 3 + 3 x 4 = 28.
function TestRandom:test_what_it_takes()
  on_device({}, function()
    local at = tl.arange(0, 128) -- of 4 bytes: 64 lanes, 2 cycles a pass
    for name, passes in pairs { randint = 80, rand = 86, randn = 108 } do
      lu.assertAlmostEquals(tiles.took(tl[name], 1, at), 3 + 2 * passes, 1e-9)
    end
    lu.assertAlmostEquals(tiles.took(tl.rand, 1, at, 7), 3 + 2 * (7 * 8 + 6), 1e-9)
  end, false)
end

function TestRandom:test_wrong_arguments_are_refused()
  local x = np.zeros({ 4 }, "f32")
  fails("tl.rand: seed is 1.5; expected an integer", function(t) tl.rand(1.5, t) end, x)
  fails("tl.rand: expected a tile, got number", function() tl.rand(1, 2) end)
  fails("tl.randn: offsets of f32: expected integers", function(t) tl.randn(1, t) end, x)
  fails("tl.randint: n_rounds is 0; expected 1 to 100", function(t) tl.randint(1, t, 0) end, x)
end

local TestHistogram = {}

local function count(x, mask, bins)
  local counts = {}
  for bin = 1, bins do counts[bin] = 0 end
  for i, value in ipairs(x) do
    if value >= 0 and value < bins and (not mask or mask[i]) then counts[value + 1] = counts[value + 1] + 1 end
  end
  return np.array(counts, "i32")
end

function TestHistogram:test_elements_are_counted_in_every_type()
  for _, dtype in ipairs(tiles.INTEGERS) do
    local x = tiles.random_of({ 12, 25 }, dtype, 5, 0, 20)
    local got = on_device({ x }, function(t) return { tl.histogram(t, 20), t:histogram(7), tl.histogram(t, 1) } end)
    local list = x:flatten():tolist()
    same(got[1], count(list, nil, 20), dtype)
    same(got[2], count(list, nil, 7), dtype)
    same(got[3], count(list, nil, 1), dtype)
  end
end

function TestHistogram:test_a_mask_leaves_out()
  local x = np.array({ 3, -1, 0, 3, 9, 3, 1, 2 }, "i32")
  local got = on_device({ x }, function(t)
    return { tl.histogram(t, 4, tl.gt(t, 1)), tl.histogram { t, num_bins = 4, mask = tl.full({ 1 }, 0, "bool") } }
  end)
  same(got[1], np.array({ 0, 0, 1, 3 }, "i32"))
  same(got[2], np.zeros({ 4 }, "i32"))
end

function TestHistogram:test_wrong_arguments_are_refused()
  local x, i = np.zeros({ 4 }, "f32"), np.zeros({ 4 }, "i32")
  fails("tl.histogram: elements of f32: expected integers", function(t) tl.histogram(t, 3) end, x)
  fails("tl.histogram: 0 bins; expected at least 1", function(t) tl.histogram(t, 0) end, i)
  fails("tl.histogram: a mask of i32: expected bool", function(t) tl.histogram(t, 3, t) end, i)
  fails("a mask of shape (2, 4) is larger than the elements, (4,)", function(t)
    tl.histogram(t, 3, tl.full({ 2, 4 }, 1, "bool"))
  end, i)
end

helper.main { TestRandom = TestRandom, TestHistogram = TestHistogram }
