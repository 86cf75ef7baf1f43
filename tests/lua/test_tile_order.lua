-- Scans, sorting, and what rearranges or chooses elements: against references in f64 written here.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local tiles = require "tests.lua.tiles"

local NUMBERS, EPS, on_device, random_of, same, fails, took, i32 = tiles.NUMBERS, tiles.EPS, tiles.on_device,
  tiles.random_of, tiles.same, tiles.fails, tiles.took, tiles.i32

local SHAPES = { { 1 }, { 7 }, { 33 }, { 3, 5 }, { 1, 9 }, { 4, 1, 3 }, { 2, 17, 2 } }
local WIDENED = { i8 = "i32", i16 = "i32", u8 = "u32", u16 = "u32" }

-- Apply fn to every line of the array along the axis: fn(sequence of elements) returns a sequence.
local function along(array, axis, dtype, fn)
  local rank = #array.shape
  if axis < 0 then axis = axis + rank end
  local order, back = {}, {}
  for d = 0, rank - 1 do
    if d ~= axis then order[#order + 1] = d end
  end
  order[rank] = axis
  for i, d in ipairs(order) do back[d + 1] = i - 1 end
  local lines = np.transpose(array, order)
  local shape, n = lines.shape, array.shape[axis + 1]
  local flat, out, length = lines:flatten():tolist(), {}, nil
  for first = 1, #flat, n do
    local line = fn({ table.unpack(flat, first, first + n - 1) })
    length = #line
    for _, element in ipairs(line) do out[#out + 1] = element end
  end
  shape[rank] = length
  return np.transpose(np.array(out, dtype):reshape(shape), back)
end

local function axes_of(shape)
  local axes = {}
  for axis = -#shape, #shape - 1 do axes[#axes + 1] = axis end
  return axes
end

-- Call check(array, what, dtype, axis) for every type, shape and axis.
local function each(low, high, check)
  for _, dtype in ipairs(NUMBERS) do
    for seed, shape in ipairs(SHAPES) do
      check(random_of(shape, dtype, seed, low, high), ("%s (%s)"):format(dtype, table.concat(shape, ",")), dtype)
    end
  end
end

-- ---- scans ----

local TestScans = {}

local function scanned(fn, reverse)
  return function(line)
    local out = {}
    local first, last, step = 1, #line, 1
    if reverse then first, last, step = #line, 1, -1 end
    local total
    for i = first, last, step do
      total = total and fn(total, line[i]) or line[i]
      out[i] = total
    end
    return out
  end
end

function TestScans:test_running_sums_and_products_along_any_axis_in_both_directions()
  local function add(a, b) return a + b end
  local function mul(a, b) return a * b end
  each(0, 4, function(a, what, dtype)
    local got = on_device({ a }, function(x)
      local out = {}
      for _, axis in ipairs(axes_of(a.shape)) do
        out[axis] = { tl.cumsum(x, axis), tl.cumsum(x, axis, true), tl.cumprod(x, axis),
          tl.cumprod { x, axis = axis, reverse = true } }
      end
      return out
    end)
    local given = WIDENED[dtype] or dtype
    for _, axis in ipairs(axes_of(a.shape)) do
      local expected = { along(a, axis, "f64", scanned(add)), along(a, axis, "f64", scanned(add, true)),
        along(a, axis, "f64", scanned(mul)), along(a, axis, "f64", scanned(mul, true)) }
      for i = 1, 4 do
        local text = ("%d of %s along %d"):format(i, what, axis)
        lu.assertEquals(got[axis][i].dtype, given, text)
        if EPS[dtype] then -- one rounding each; the reference sums in another order of roundings, in f64
          lu.assertTrue(np.allclose(got[axis][i]:astype "f64", expected[i]:astype(dtype):astype "f64",
            { rtol = EPS[dtype], atol = 0 }), text)
        elseif i <= 2 then
          same(got[axis][i], expected[i]:astype(given), text)
        end
      end
    end
  end)
end

function TestScans:test_integer_products_wrap()
  local got = on_device({ np.array({ 1 << 20, 1 << 20, 3 }, "i32"), np.array({ 3, 7, 0, 5 }, "u64") }, function(x, y)
    return { tl.cumprod(x), tl.cumprod(y), tl.cumprod(y, 0, true) }
  end)
  lu.assertEquals(got[1]:tolist(), { 1 << 20, 0, 0 })
  lu.assertEquals(got[2]:tolist(), { 3, 21, 0, 0 })
  lu.assertEquals(got[3]:tolist(), { 0, 0, 0, 5 })
end

function TestScans:test_scans_are_linear_and_end_in_the_reduction()
  local a, b = random_of({ 5, 33 }, "i64", 1), random_of({ 5, 33 }, "i64", 2)
  local got = on_device({ a, b }, function(x, y)
    return { tl.cumsum(3 * x + y, 1), 3 * tl.cumsum(x, 1) + tl.cumsum(y, 1), tl.narrow(tl.cumsum(x, 1), 1, 32, 1),
      tl.sum(x, 1, true), tl.cumsum(x, 1, true), tl.flip(tl.cumsum(tl.flip(x, 1), 1), 1) }
  end)
  same(got[1], got[2], "linear")
  same(got[3], got[4], "the last is the sum")
  same(got[5], got[6], "reverse is flip, scan, flip")
end

-- ---- order ----

local TestOrder = {}

function TestOrder:test_sorting_along_any_axis()
  each(nil, nil, function(a, what, dtype)
    local got = on_device({ a }, function(x)
      local out = { tl.sort(x) }
      for _, axis in ipairs(axes_of(a.shape)) do
        out["up" .. axis], out["down" .. axis] = tl.sort(x, axis), tl.sort(x, axis, true)
        out["at" .. axis] = tl.argsort(x, axis)
        out["gathered" .. axis] = tl.gather(x, out["at" .. axis], axis)
      end
      return out
    end)
    for _, axis in ipairs(axes_of(a.shape)) do
      local up = along(a, axis, dtype, function(line) table.sort(line) return line end)
      local down = along(a, axis, dtype, function(line)
        table.sort(line, function(x, y) return x > y end)
        return line
      end)
      same(got["up" .. axis], up, what .. " up")
      same(got["down" .. axis], down, what .. " down")
      same(got["gathered" .. axis], up, what .. " by argsort")
      lu.assertEquals(got["at" .. axis].dtype, "i32")
    end
    same(got[1], got["up-1"], "the last axis unless told otherwise")
  end)
end

function TestOrder:test_sorting_is_stable_and_nan_is_the_greatest()
  local nan = 0 / 0
  local got = on_device({ np.array({ 2, 1, 2, 1, 2 }, "i32"), np.array({ 1, nan, -math.huge, math.huge }, "f16") },
    function(x, y)
      return { tl.argsort(x), tl.argsort(x, 0, true), tl.argsort(y), tl.argsort(y, 0, true) }
    end)
  lu.assertEquals(got[1]:tolist(), { 1, 3, 0, 2, 4 })
  lu.assertEquals(got[2]:tolist(), { 0, 2, 4, 1, 3 })
  lu.assertEquals(got[3]:tolist(), { 2, 0, 3, 1 })
  lu.assertEquals(got[4]:tolist(), { 1, 3, 0, 2 })
end

function TestOrder:test_the_greatest_k()
  local a = random_of({ 3, 17 }, "f32", 4)
  local got = on_device({ a }, function(x)
    return { tl.topk(x, 1), x:topk(5), tl.topk(x, 2, 0), tl.max(x, 1, true) }
  end)
  local function greatest(k)
    return function(line)
      table.sort(line, function(x, y) return x > y end)
      return { table.unpack(line, 1, k) }
    end
  end
  same(got[1], got[4], "the greatest")
  same(got[2], along(a, 1, "f32", greatest(5)), "five of each row")
  same(got[3], along(a, 0, "f32", greatest(2)), "two of each column")
end

function TestOrder:test_permuting_before_sorting_changes_nothing()
  local a = random_of({ 4, 33 }, "i32", 7)
  local got = on_device({ a }, function(x)
    return { tl.sort(x, 1), tl.sort(tl.flip(x, 1), 1), tl.flip(tl.sort(x, 1, true), 1), tl.sort(tl.sort(x, 1), 1) }
  end)
  for i = 2, 4 do same(got[i], got[1], "variant " .. i) end
end

-- ---- choosing and moving ----

local TestMoves = {}

function TestMoves:test_flip_narrow_and_gather()
  each(nil, nil, function(a, what, dtype)
    local got = on_device({ a }, function(x)
      local out = { tl.flip(x) }
      for _, axis in ipairs(axes_of(a.shape)) do
        local extent = a.shape[(axis < 0 and axis + #a.shape or axis) + 1]
        out["flip" .. axis] = tl.flip(x, axis)
        out["part" .. axis] = tl.narrow(x, axis, extent // 3, extent - extent // 3)
      end
      return out
    end)
    for _, axis in ipairs(axes_of(a.shape)) do
      local backwards = along(a, axis, dtype, function(line)
        local out = {}
        for i = #line, 1, -1 do out[#out + 1] = line[i] end
        return out
      end)
      same(got["flip" .. axis], backwards, what .. " flipped")
      same(got["part" .. axis], along(a, axis, dtype, function(line)
        return { table.unpack(line, #line // 3 + 1) }
      end), what .. " narrowed")
      if axis == -1 then same(got[1], backwards, "the last axis unless told otherwise") end
    end
  end)
end

function TestMoves:test_gather_takes_along_an_axis()
  local a = np.arange(24, "f32"):reshape { 2, 3, 4 }
  local random = np.random(2)
  for axis, shape in pairs { [0] = { 5, 3, 4 }, [1] = { 2, 7, 4 }, [2] = { 2, 3, 1 } } do
    for _, dtype in ipairs { "i8", "u16", "i32", "i64" } do
      local index = random:randint(0, a.shape[axis + 1], shape, dtype)
      local got = on_device({ a, index }, function(x, i) return tl.gather(x, i, axis) end)
      local expected = np.zeros(shape, "f32")
      for i = 0, shape[1] - 1 do
        for j = 0, shape[2] - 1 do
          for k = 0, shape[3] - 1 do
            local at = { i, j, k }
            at[axis + 1] = index[{ i, j, k }]
            expected[{ i, j, k }] = a[at]
          end
        end
      end
      same(got, expected, dtype .. " along " .. axis)
    end
  end
end

function TestMoves:test_tiles_put_together()
  for _, dtype in ipairs(NUMBERS) do
    local a, b, c = random_of({ 2, 3 }, dtype, 1), random_of({ 2, 1 }, dtype, 2), random_of({ 2, 5 }, dtype, 3)
    local got = on_device({ a, b, c }, function(x, y, z)
      return { tl.cat(x, y, z, 1), tl.cat({ x, y, z }, -1), tl.cat { x, y, z, axis = 1 }, tl.cat(x, y, z, { axis = 1 }),
        tl.cat(x, x), tl.cat(x), tl.cat({ x, x, x, x, x, x, x, x }, 0) }
    end)
    local all = np.concatenate({ a, b, c }, 1)
    for i = 1, 4 do same(got[i], all, dtype .. " " .. i) end
    same(got[5], np.concatenate({ a, a }, 0), "rows")
    same(got[6], a, "one")
    same(got[7], np.concatenate({ a, a, a, a, a, a, a, a }, 0), "eight")
  end
end

function TestMoves:test_join_and_split_ravel_and_squeeze()
  local a, b = random_of({ 3, 5 }, "f16", 1), random_of({ 3, 5 }, "f16", 2)
  local got = on_device({ a, b }, function(x, y)
    local both = tl.join(x, y)
    local first, second = tl.split(both)
    local tall = x:expand_dims(1):expand_dims(0)
    return { both, first, second, x:ravel(), tall:squeeze(), tall:squeeze(0), tl.squeeze(tall, -2),
      tl.max(x):ravel(), tl.max(x):expand_dims(0):squeeze() }
  end)
  lu.assertEquals(got[1].shape, { 3, 5, 2 })
  lu.assertEquals({ got[1][{ 2, 4, 0 }], got[1][{ 2, 4, 1 }] }, { a[{ 2, 4 }], b[{ 2, 4 }] })
  same(got[2], a, "the first half")
  same(got[3], b, "the second half")
  same(got[4], a:flatten(), "ravel")
  same(got[5], a, "without all extents of 1")
  lu.assertEquals(got[6].shape, { 3, 1, 5 })
  lu.assertEquals(got[7].shape, { 1, 3, 5 })
  lu.assertEquals(got[8].shape, { 1 })
  lu.assertEquals(got[9].ndim, 0)
end

function TestMoves:test_cdiv_rounds_up()
  local a = np.array({ 0, 1, 31, 32, 33, 100 }, "u32")
  local got = on_device({ a }, function(x) return { tl.cdiv(x, 32), tl.cdiv(tl.arange(0, 3) + 7, 4), x:cdiv(1) } end)
  lu.assertEquals(got[1]:tolist(), { 0, 1, 1, 1, 2, 4 })
  lu.assertEquals(got[2]:tolist(), { 2, 2, 3 })
  same(got[3], a, "by one")
  lu.assertEquals({ tl.cdiv(7, 2), tl.cdiv(8, 2), tl.cdiv(-7, 2) }, { 4, 4, -3 })
end

-- ---- refusals and times ----

local TestRefusals = {}

function TestRefusals:test_what_makes_no_sense()
  fails("tl.gather: index 5 outside an extent of 3 in dimension 1", function(x) tl.gather(x, x + 5, 1) end, i32(2, 3))
  fails("tl.gather: index -1 outside an extent of 2 in dimension 0", function(x) tl.gather(x, x - 1, 0) end, i32(2, 3))
  fails("tl.gather: elements (2, 3) and indices (3, 4) differ in more than the extent of axis 0",
    function(x, y) tl.gather(x, y, 0) end, i32(2, 3), i32(3, 4))
  fails("tl.gather: indices of f32: expected integers", function(x, y) tl.gather(x, y, 0) end, i32(3), tiles.f32(3))
  fails("tl.narrow: 2 elements from 2 in an extent of 3", function(x) tl.narrow(x, 0, 2, 2) end, i32(3))
  fails("tl.narrow: 0 elements from 0 in an extent of 3", function(x) tl.narrow(x, 0, 0, 0) end, i32(3))
  fails("tl.narrow: 5 elements from 0 in an extent of 3", function(x) tl.topk(x, 5) end, i32(3))
  fails("tl.sort: axis 1 of a tile with 1 dimensions", function(x) tl.sort(x, 1) end, i32(3))
  fails("tl.flip: a tile of one element has no axis", function(x) tl.flip(tl.max(x)) end, i32(3))
  fails("tl.squeeze: axis 0 has an extent of 3, not 1", function(x) tl.squeeze(x, 0) end, i32(3))
  fails("tl.split: the last extent is 3; expected 2", function(x) tl.split(x) end, i32(3))
  fails("tl.cat: 0 tiles; expected 1 to 8", function() tl.cat() end)
  fails("tl.cat: 9 tiles; expected 1 to 8", function(x) tl.cat(x, x, x, x, x, x, x, x, x) end, i32(3))
  fails("tl.cat: 9 tiles; expected 1 to 8", function(x) tl.cat { x, x, x, x, x, x, x, x, x } end, i32(3))
  fails("tl.cat: expected a tile, got table", function(x) tl.cat({ x, {} }, 0) end, i32(3))
  fails("(4, 3) i32 and (2, 4) i32 cannot be put together along axis 0",
    function(x, y) tl.cat(x, x, y, 0) end, i32(2, 3), i32(2, 4))
  fails("tl.sort: there is no arithmetic on f8e5m2", function(x) tl.sort(x) end, np.zeros({ 3 }, "f8e5m2"))
  fails("tl.cumprod: axis 2 of a tile with 1 dimensions", function(x) tl.cumprod(x, 2) end, i32(3))
end

function TestRefusals:test_unknown_indices_are_not_looked_at_without_numbers()
  on_device({ i32(3) }, function(x) return tl.gather(x, x, 0).shape[1] end, false)
  local ok, message = pcall(on_device, { i32(3) }, function(x) tl.gather(x, tl.arange(2, 5), 0) end, false)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "tl.gather: index 3 outside an extent of 3")
end

local TestTimes = {}

-- 2 ns of pe_cpu, 1 of pe_scheduler, 64 lanes of four bytes at 1 GHz.
function TestTimes:test_sorting_takes_the_stages_of_a_bitonic_network_and_moves_take_a_pass()
  for n, levels in pairs { [1] = 0, [2] = 1, [3] = 2, [64] = 6, [65] = 7, [1000] = 10 } do
    local passes = math.max(levels * (levels + 1) // 2, 1)
    local rows = (3 * n + 63) // 64
    local got = on_device({ i32(3, n) }, function(x)
      local function ns(...) return ("%.3f"):format((took(...))) end
      return { ns(tl.sort, x), ns(tl.argsort, x, 1, true), ns(tl.flip, x), ns(tl.narrow, x, 1, 0, n),
        ns(tl.cat, x, x), ns(tl.topk, x, 1), ns(tl.ravel, x), ns(tl.squeeze, x:expand_dims(0)) }
    end)
    local expected = { 3 + rows * passes, 3 + rows * passes, 3 + rows, 3 + rows, 3 + (6 * n + 63) // 64,
      3 + rows * passes + 3 + rows, 0, 0 }
    for i, each_ns in ipairs(expected) do expected[i] = ("%.3f"):format(each_ns) end
    lu.assertEquals(got, expected)
  end
end

function TestTimes:test_cycles_count_the_clock_of_the_vector_engine()
  tiles.simulate(function()
    require("kernbench.torch").launch("k", function()
      local from, ns = tl.cycles(), tl.now()
      tl.arange(0, 640) -- 10 cycles, and 3 ns of issue and dispatch
      lu.assertEquals(tl.cycles(), math.floor(ns + 13 + 1e-6))
      lu.assertEquals(math.type(from), "integer")
    end, require("kernbench.torch").empty(1)):wait()
  end)
end

helper.main { TestScans = TestScans, TestOrder = TestOrder, TestMoves = TestMoves, TestRefusals = TestRefusals,
  TestTimes = TestTimes }
