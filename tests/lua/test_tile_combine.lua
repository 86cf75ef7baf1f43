-- tl.reduce and tl.associative_scan by functions of the kernel, and what else is made of other operations.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local tiles = require "tests.lua.tiles"

local on_device, fails, same, i32 = tiles.on_device, tiles.fails, tiles.same, tiles.i32

local function add(a, b) return a + b end

-- x -> m x + c, one after the other: associative, but not commutative. Elements are pairs.
local function compose(m1, c1, m2, c2) return m1 * m2, c1 * m2 + c2 end

local SHAPES = { { 1 }, { 2 }, { 7 }, { 16 }, { 3, 5 }, { 4, 1, 6 }, { 2, 9, 3 } }

-- Prefixes of pairs along an axis of arrays, by a loop.
local function prefixes(m, c, axis, reverse)
  local shape, outer, inner = m.shape, 1, 1
  for d = 1, axis do outer = outer * shape[d] end
  for d = axis + 2, #shape do inner = inner * shape[d] end
  local n = shape[axis + 1]
  local ms, cs = m:reshape { outer, n, inner }:astype "i32", c:reshape { outer, n, inner }:astype "i32"
  for o = 0, outer - 1 do
    for i = 0, inner - 1 do
      local from, to, step = 1, n - 1, 1
      if reverse then from, to, step = n - 2, 0, -1 end
      for k = from, to, step do
        local before, here = { o, k - step, i }, { o, k, i }
        ms[here], cs[here] = compose(ms[before], cs[before], ms[here], cs[here])
      end
    end
  end
  return ms:reshape(shape), cs:reshape(shape)
end

-- Factors of 1 and -1, so that numbers stay small.
local function pairs_of(shape)
  return np.random(1):randint(0, 2, shape, "i32") * 2 - 1, np.random(2):randint(-9, 10, shape, "i32")
end

local TestReduce = {}

function TestReduce:test_sums_are_those_of_tl_sum()
  for _, shape in ipairs(SHAPES) do
    local x = tiles.random_of(shape, "i32", 1)
    on_device({ x }, function(t)
      for axis = -#shape, #shape - 1 do
        for _, keep in ipairs { false, true } do
          same(tl.values(tl.reduce(t, axis, add, keep)), tl.values(tl.sum(t, axis, keep)))
        end
      end
      same(tl.values(t:reduce(nil, add)), tl.values(t:sum()))
      same(tl.values(tl.reduce(t, nil, add, true)), tl.values(tl.sum(t, nil, true)))
    end)
  end
end

function TestReduce:test_neighbours_are_put_together_in_their_order()
  for _, shape in ipairs(SHAPES) do
    local m, c = pairs_of(shape)
    on_device({ m, c }, function(p, q)
      for axis = 0, #shape - 1 do
        local all_m, all_c = prefixes(m, c, axis)
        local got_m, got_c = tl.reduce({ p, q }, axis, compose, true)
        local last = {}
        for d = 1, #shape do last[d] = d == axis + 1 and { shape[d] - 1, shape[d] } or {} end
        same(tl.values(got_m), all_m[last])
        same(tl.values(got_c), all_c[last])
      end
    end)
  end
end

function TestReduce:test_xor_sum()
  local x = np.array({ { 1, 2, 4 }, { 1, 3, 12 } }, "u8")
  local got = on_device({ x }, function(t) return { tl.xor_sum(t, 0), tl.xor_sum(t, 1), t:xor_sum() } end)
  same(got[1], np.array({ 0, 1, 8 }, "u8"))
  same(got[2], np.array({ 7, 14 }, "u8"))
  lu.assertEquals(got[3]:tolist(), 7 ~ 14)
end

-- Commands on up to 64 elements of 4 bytes take 3 + 1 ns. Of 8 elements there are 3 rounds, of both halves and a sum;
-- of 5 and of 3 one is left over: the others, that one, and putting it back.
function TestReduce:test_a_round_takes_what_its_commands_take()
  on_device({ np.zeros({ 8 }, "f32"), np.zeros({ 5 }, "f32") }, function(x, y)
    lu.assertAlmostEquals(tiles.took(tl.reduce, x, 0, add), 3 * 3 * 4, 1e-9)
    lu.assertAlmostEquals(tiles.took(tl.reduce, y, 0, add), (6 + 6 + 3) * 4, 1e-9)
  end, false)
end

local TestScan = {}

function TestScan:test_sums_are_those_of_tl_cumsum()
  for _, shape in ipairs(SHAPES) do
    local x = tiles.random_of(shape, "i32", 1)
    on_device({ x }, function(t)
      for axis = -#shape, #shape - 1 do
        for _, reverse in ipairs { false, true } do
          same(tl.values(tl.associative_scan(t, axis, add, reverse)), tl.values(tl.cumsum(t, axis, reverse)))
        end
      end
    end)
  end
end

function TestScan:test_prefixes_keep_their_order()
  for _, shape in ipairs(SHAPES) do
    local m, c = pairs_of(shape)
    on_device({ m, c }, function(p, q)
      for axis = 0, #shape - 1 do
        for _, reverse in ipairs { false, true } do
          local all_m, all_c = prefixes(m, c, axis, reverse)
          local got_m, got_c = tl.associative_scan({ p, q }, axis, compose, reverse)
          same(tl.values(got_m), all_m)
          same(tl.values(got_c), all_c)
        end
      end
    end)
  end
end

-- Three rounds for 8 elements, of three parts, a sum and putting together; a reverse scan turns round twice.
function TestScan:test_log2_rounds()
  on_device({ np.zeros({ 8 }, "f32") }, function(x)
    lu.assertAlmostEquals(tiles.took(x.associative_scan, x, 0, add), 3 * 5 * 4, 1e-9)
    lu.assertAlmostEquals(tiles.took(tl.associative_scan, x, 0, add, true), (3 * 5 + 2) * 4, 1e-9)
  end, false)
end

local TestRefusals = {}

function TestRefusals:test_what_does_not_fit()
  local x = i32(2, 4)
  fails("tl.reduce: axis 2 of a tile with 2 dimensions", function(t) tl.reduce(t, 2, add) end, x)
  fails("tl.associative_scan: axis nil of a tile", function(t) tl.associative_scan(t, nil, add) end, x)
  fails("tl.reduce: combine_fn is a nil; expected a function", function(t) tl.reduce(t, 0) end, x)
  fails("tl.reduce: expected a tile, or a sequence of tiles, got 3", function() tl.reduce(3, 0, add) end)
  fails("tl.reduce: element 2 is 1; expected a tile", function(t) tl.reduce({ t, 1 }, 0, add) end, x)
  fails("tl.reduce: the tiles differ in shape: <tile (2, 4) i32> and <tile (4, 2) i32>", function(t)
    tl.reduce({ t, tl.trans(t) }, 0, compose)
  end, x)
  fails("tl.reduce: combine_fn returned 1 values for 2 tiles", function(t) tl.reduce({ t, t }, 0, add) end, x)
  fails("tl.associative_scan: combine_fn returned <tile (1, 3, 2) f32> for <tile (1, 3, 2) i32>", function(t)
    tl.associative_scan(t, 1, function(a, b) return a / b end)
  end, np.zeros({ 1, 4, 2 }, "i32"))
  fails("tl.broadcast: <tile (2, 4) i32> and <tile (3,) i32> do not broadcast", function(t)
    tl.broadcast(t, tl.arange(0, 3))
  end, x)
end

local TestShapes = {}

function TestShapes:test_interleave_takes_turns()
  local a, b = np.array({ { 1, 2 }, { 3, 4 } }, "f16"), np.array({ { 5, 6 }, { 7, 8 } }, "f16")
  same(on_device({ a, b }, tl.interleave), np.array({ { 1, 5, 2, 6 }, { 3, 7, 4, 8 } }, "f16"))
end

function TestShapes:test_broadcast_gives_both_the_common_shape()
  local a, b = np.array({ { 1 }, { 2 } }, "i32"), np.array({ 5, 6, 7 }, "f32")
  local got = on_device({ a, b }, function(x, y) return { tl.broadcast(x, y) } end)
  same(got[1], np.array({ { 1, 1, 1 }, { 2, 2, 2 } }, "i32"))
  same(got[2], np.array({ { 5, 6, 7 }, { 5, 6, 7 } }, "f32"))
end

-- Five rows of three in groups of two: down each column of a group, then the next group, the last of one row.
function TestShapes:test_swizzle2d_goes_down_the_columns_of_groups()
  local expected = { { 0, 0 }, { 1, 0 }, { 0, 1 }, { 1, 1 }, { 0, 2 }, { 1, 2 },
    { 2, 0 }, { 3, 0 }, { 2, 1 }, { 3, 1 }, { 2, 2 }, { 3, 2 }, { 4, 0 }, { 4, 1 }, { 4, 2 } }
  local got = on_device({}, function()
    local at = tl.arange(0, 15)
    return { tl.swizzle2d(at // 3, at % 3, 5, 3, 2) }
  end)
  for at = 0, 14 do
    lu.assertEquals({ tl.swizzle2d(at // 3, at % 3, 5, 3, 2) }, expected[at + 1])
    lu.assertEquals({ got[1][at], got[2][at] }, expected[at + 1])
  end
end

helper.main { TestReduce = TestReduce, TestScan = TestScan, TestRefusals = TestRefusals, TestShapes = TestShapes }
