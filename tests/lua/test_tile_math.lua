-- Tile arithmetic in kernels: numbers, types, shapes, errors, times.
--
-- Numbers are held against np's (the same arithmetic on the host), and np's in turn against references
-- in f64 or written out here, so that an error in what both share is found as well.
local lu = require "luaunit"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local TOPOLOGY = require("kernbench.core").home() .. "/topology.yaml"
local SETS = { "system.sips.count=1", "sip.cube_mesh.w=1", "sip.cube_mesh.h=1" }

local FLOATS = { "f16", "bf16", "f32", "f64" }
local INTEGERS = { "i8", "i32", "i64", "u8" }
local NUMBERS = { "f16", "bf16", "f32", "f64", "i8", "i32", "i64", "u8" }
local EPS = { f16 = 2 ^ -10, bf16 = 2 ^ -7, f32 = 2 ^ -23, f64 = 2 ^ -52 }
local BYTES = { f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i32 = 4, i64 = 8, u8 = 1, bool = 1 }
local SHAPES = { { 1 }, { 7 }, { 33 }, { 128 }, { 3, 5 }, { 1, 9 }, { 4, 1, 3 } }
local PAIRS = { { { 7 }, { 1 } }, { { 3, 5 }, { 5 } }, { { 3, 1 }, { 1, 5 } }, { { 4, 1, 3 }, { 2, 3 } },
  { { 1, 9 }, { 4, 1 } }, { { 33 }, { 33 } } }

-- Run `body` as a bench on a machine of one cube; raises what it raises. Nothing may be left over.
local function simulate(body, data)
  local outcome, stats = runtime.with_engine({ topology = TOPOLOGY, sets = SETS, data = data }, body)
  if outcome.status ~= "ok" then
    error(outcome.error or outcome.status, 0)
  end
  lu.assertNil(outcome.waiting)
  lu.assertTrue(stats.audit.ok)
end

-- Elements and type of what a kernel computed.
local function fetched(value)
  if type(value) == "table" then
    local out = {}
    for key, each in pairs(value) do out[key] = fetched(each) end
    return out
  end
  return tl.is_tile(value) and tl.values(value) or value
end

-- Run fn(tiles...) in a kernel on one PE, the tiles loaded from the arrays. Returns what fn does, with
-- arrays for tiles.
local function on_device(arrays, fn, data)
  local result
  simulate(function()
    local tensors = {}
    for i, array in ipairs(arrays) do
      tensors[i] = data == false and torch.empty(array.shape, { dtype = array.dtype }) or torch.from_numpy(array)
    end
    if #tensors == 0 then tensors[1] = torch.empty(1) end
    torch.launch("k", function(...)
      local tiles = {}
      for i, ptr in ipairs { ... } do tiles[i] = tl.load(ptr) end
      result = fn(table.unpack(tiles))
      if data ~= false then result = fetched(result) end
    end, table.unpack(tensors))
    torch.accelerator.synchronize()
  end, data)
  return result
end

-- What fn raises in a kernel (which goes on).
local function fails(pattern, fn, ...)
  local message = on_device({ ... }, function(...)
    local ok, raised = pcall(fn, ...)
    return { ok = ok, text = tostring(raised) }
  end)
  lu.assertFalse(message.ok, "no error: " .. pattern)
  lu.assertStrContains(message.text, pattern)
end

local function random_of(shape, dtype, seed, low, high)
  local random = np.random(seed)
  if EPS[dtype] then
    if low then return (random:rand(shape, "f64") * (high - low) + low):astype(dtype) end
    return random:randn(shape, dtype)
  end
  local lows = { i8 = -100, i32 = -70000, i64 = -(1 << 40), u8 = 0, bool = 0 }
  local highs = { i8 = 100, i32 = 70000, i64 = 1 << 40, u8 = 256, bool = 2 }
  return random:randint(math.tointeger(low) or lows[dtype], math.tointeger(high) or highs[dtype], shape, dtype)
end

-- The same type, shape and bits (NaN counts as equal to NaN).
local function same(got, expected, what)
  if not np.isarray(expected) then expected = np.array(expected) end
  lu.assertEquals(got.dtype, expected.dtype, what)
  lu.assertEquals(got.shape, expected.shape, what)
  local equal, at = np.allclose(got, expected, { rtol = 0, atol = 0, equal_nan = true })
  if not equal then
    lu.fail(("%s: element %d of %s is %s, expected %s"):format(what, at, got.dtype,
      tostring(got:flatten()[at]), tostring(expected:flatten()[at])))
  end
end

local function text_of(...)
  local words = {}
  for i, value in ipairs { ... } do
    words[i] = type(value) == "table" and "(" .. table.concat(value, ",") .. ")" or tostring(value)
  end
  return table.concat(words, " ")
end

-- ---- numbers ----

local TestNumbers = {}

local OPERATORS = {
  add = function(a, b) return a + b end,
  sub = function(a, b) return a - b end,
  mul = function(a, b) return a * b end,
  mod = function(a, b) return a % b end,
  floordiv = function(a, b) return a // b end,
  minimum = function(a, b) return tl.minimum(a, b) end,
  maximum = function(a, b) return tl.maximum(a, b) end,
}
local COMPARISONS = { "lt", "le", "gt", "ge", "eq", "ne" }

function TestNumbers:test_arithmetic_of_two_tiles_is_that_of_the_host()
  for _, dtype in ipairs(NUMBERS) do
    for i, pair in ipairs(PAIRS) do
      local a = random_of(pair[1], dtype, i)
      local b = random_of(pair[2], dtype, i + 50)
      b = np.where(np.eq(b, 0), np.ones_like(b), b)
      local got = on_device({ a, b }, function(x, y)
        local out = {}
        for name, fn in pairs(OPERATORS) do out[name] = fn(x, y) end
        for _, name in ipairs(COMPARISONS) do out[name] = tl[name](x, y) end
        return out
      end)
      for name in pairs(OPERATORS) do
        same(got[name], np[name](a, b), text_of(name, dtype, pair[1], pair[2]))
      end
      for _, name in ipairs(COMPARISONS) do
        same(got[name], np[name](a, b), text_of(name, dtype, pair[1], pair[2]))
      end
    end
  end
end

function TestNumbers:test_every_ragged_shape_goes_through_the_vector_engine()
  for _, dtype in ipairs(NUMBERS) do
    for i, shape in ipairs(SHAPES) do
      local a = random_of(shape, dtype, i, 0, 8)
      local got = on_device({ a }, function(x) return { x + x, x - 1, 2 * x, tl.maximum(x, 3) } end)
      same(got[1], a + a, text_of("x + x", dtype, shape))
      same(got[2], a - 1, text_of("x - 1", dtype, shape))
      same(got[3], 2 * a, text_of("2 * x", dtype, shape))
      same(got[4], np.maximum(a, 3), text_of("maximum", dtype, shape))
    end
  end
end

function TestNumbers:test_integers_wrap_shift_and_combine_bit_by_bit()
  local cases = { i8 = { 100, 100, -56 }, u8 = { 200, 100, 44 }, i32 = { 2147483647, 1, -2147483648 },
    i64 = { math.maxinteger, 1, math.mininteger } }
  for dtype, case in pairs(cases) do
    local a, b = np.full({ 5 }, case[1], dtype), np.full({ 5 }, case[2], dtype)
    local got = on_device({ a, b }, function(x, y) return { x + y, x & y, x | y, x ~ y, ~x, x << 1, x >> 1 } end)
    lu.assertEquals(got[1][0], case[3])
    lu.assertEquals(got[2][0], case[1] & case[2])
    lu.assertEquals(got[3][0], case[1] | case[2])
    lu.assertEquals(got[4][0], case[1] ~ case[2])
    lu.assertEquals(got[5][0], dtype == "u8" and 255 - case[1] or ~case[1])
    same(got[6], np.left_shift(a, np.ones_like(a)), "<< " .. dtype)
    lu.assertEquals(got[7][0], case[1] >> 1)
  end
end

function TestNumbers:test_constants_keep_all_bits()
  local big = (1 << 53) + 1
  local got = on_device({}, function()
    return { tl.full({ 2 }, big, "i64"), tl.full({ 2 }, 1, "i64") + big, big - tl.full({ 2 }, 1, "i64") }
  end)
  lu.assertEquals(got[1]:tolist(), { big, big })
  lu.assertEquals(got[2]:tolist(), { big + 1, big + 1 })
  lu.assertEquals(got[3]:tolist(), { big - 1, big - 1 })
end

-- name, reference in f64, range of arguments
local UNARIES = {
  { "abs", math.abs, -3, 3 }, { "exp", math.exp, -4, 4 }, { "exp2", function(x) return 2 ^ x end, -4, 4 },
  { "log", math.log, 0.1, 9 }, { "log2", function(x) return math.log(x) / math.log(2) end, 0.1, 9 },
  { "sin", math.sin, -6, 6 }, { "cos", math.cos, -6, 6 }, { "sqrt", math.sqrt, 0, 9 },
  { "rsqrt", function(x) return 1 / math.sqrt(x) end, 0.1, 9 },
  { "floor", math.floor, -9, 9 }, { "ceil", math.ceil, -9, 9 },
  { "tanh", function(x) return 1 - 2 / (math.exp(2 * x) + 1) end, -3, 3 },
  { "sigmoid", function(x) return 1 / (1 + math.exp(-x)) end, -6, 6 },
}

function TestNumbers:test_functions_agree_with_the_host_bit_by_bit_and_with_f64_to_half_an_ulp()
  for _, dtype in ipairs(FLOATS) do
    for _, case in ipairs(UNARIES) do
      local name, reference, low, high = table.unpack(case)
      local a = random_of({ 3, 43 }, dtype, 5, low, high)
      local got = on_device({ a }, function(x) return tl[name](x) end)
      same(got, np[name](a), name .. " " .. dtype)
      local x, y = a:flatten():astype("f64"), got:flatten():astype("f64")
      for i = 0, x.size - 1 do
        local exact = reference(x[i])
        -- half an ulp of the type and a few of f64's for what libm and the formula above lose
        local bound = math.abs(exact) * (EPS[dtype] / 2 + 2 ^ -49) + 2 ^ -50
        lu.assertTrue(math.abs(y[i] - exact) <= bound, ("%s(%.17g) = %.17g in %s"):format(name, x[i], y[i], dtype))
      end
    end
  end
end

function TestNumbers:test_erf_of_known_arguments()
  -- Abramowitz and Stegun, table 7.1
  local at = { 0, 0.5, 1, 1.5, 2, -1 }
  local value = { 0, 0.5204998778, 0.8427007929, 0.9661051465, 0.9953222650, -0.8427007929 }
  local got = on_device({ np.array(at, "f64") }, function(x) return tl.erf(x) end)
  for i, expected in ipairs(value) do lu.assertAlmostEquals(got[i - 1], expected, 1e-10) end
end

function TestNumbers:test_special_values_follow_ieee()
  local inf, nan = math.huge, 0 / 0
  for _, dtype in ipairs(FLOATS) do
    local a = np.array({ inf, -inf, nan, 0 }, dtype)
    local got = on_device({ a }, function(x)
      return { exp = tl.exp(x), max = tl.maximum(x, 1), sub = x - x, div = 1 / x, log = tl.log(x), eq = tl.eq(x, x),
        sum = tl.sum(x), argmax = tl.argmax(x) }
    end)
    lu.assertEquals({ got.exp[0], got.exp[1], got.exp[3] }, { inf, 0, 1 })
    lu.assertNotEquals(got.exp[2], got.exp[2])
    lu.assertEquals({ got.max[0], got.max[1], got.max[3] }, { inf, 1, 1 })
    lu.assertNotEquals(got.max[2], got.max[2])
    lu.assertNotEquals(got.sub[0], got.sub[0])
    lu.assertEquals({ got.div[0], got.div[3] }, { 0, inf })
    lu.assertEquals(got.log[3], -inf)
    lu.assertEquals(got.eq:tolist(), { true, true, false, true })
    lu.assertNotEquals(got.sum:item(), got.sum:item())
    lu.assertEquals(got.argmax:item(), 2) -- the NaN
  end
end

function TestNumbers:test_division_and_power()
  for _, dtype in ipairs(FLOATS) do
    local a, b = random_of({ 3, 5 }, dtype, 1, 0.5, 4), random_of({ 5 }, dtype, 2, 0.5, 4)
    local got = on_device({ a, b }, function(x, y) return { x / y, x ^ y, tl.fdiv(x, y), 2 ^ x } end)
    same(got[1], a / b, "/ " .. dtype)
    same(got[2], a ^ b, "^ " .. dtype)
    same(got[3], a / b, "fdiv " .. dtype)
    same(got[4], np.pow(2, a), "2 ^ x " .. dtype)
  end
  local got = on_device({ np.array({ 7, -7, 9 }, "i32") }, function(x) return { x / 2, x // 2, x % 4, x ^ 2 } end)
  same(got[1], np.array({ 3.5, -3.5, 4.5 }, "f32"), "/ of integers")
  same(got[2], np.array({ 3, -4, 4 }, "i32"), "// rounds down")
  same(got[3], np.array({ 3, 1, 1 }, "i32"), "% has the divisor's sign")
  same(got[4], np.array({ 49, 49, 81 }, "i32"), "^ of integers")
end

function TestNumbers:test_fma_rounds_once()
  -- (1 + eps)^2 - (1 + 2 eps) = eps^2: nothing is left of it after a product that rounds
  for _, dtype in ipairs(FLOATS) do
    local e = EPS[dtype]
    local x, c = np.full({ 3 }, 1 + e, dtype), np.full({ 3 }, -(1 + 2 * e), dtype)
    local got = on_device({ x, c }, function(a, b) return { tl.fma(a, a, b), a * a + b } end)
    lu.assertEquals(got[1]:astype("f64")[0], e * e)
    lu.assertEquals(got[2]:astype("f64")[0], 0)
  end
  -- 9 * 29 = 261 lies halfway between two bf16 values, 260 and 262; any c above 0 decides
  local got = on_device({ np.array({ 9 }, "bf16"), np.array({ 29 }, "bf16") }, function(a, b)
    return { tl.fma(a, b, 2 ^ -60), tl.fma(a, b, -2 ^ -60), tl.fma(a, b, 0) }
  end)
  lu.assertEquals({ got[1][0], got[2][0], got[3][0] }, { 262, 260, 260 })
  -- 4097^2 = 2^24 + 2^13 + 1 = 16785409 lies halfway between two f32 values
  got = on_device({ np.array({ 4097 }, "f32"), np.array({ 4097 }, "f32") }, function(a, b)
    return { tl.fma(a, b, 2 ^ -60), tl.fma(a, b, -2 ^ -60) }
  end)
  lu.assertEquals({ got[1][0], got[2][0] }, { 16785410, 16785408 })
  got = on_device({ np.array({ 7, 100 }, "i8") }, function(a) return tl.fma(a, 2, 3) end)
  same(got, np.array({ 17, -53 }, "i8"), "fma i8")
end

function TestNumbers:test_where_chooses_and_broadcasts()
  for _, dtype in ipairs(NUMBERS) do
    local a, b = random_of({ 3, 5 }, dtype, 1), random_of({ 5 }, dtype, 2)
    local got = on_device({ a, b }, function(x, y)
      return { tl.where(tl.lt(x, y), x, y), tl.where(tl.lt(x, y), x, 1), tl.where(tl.lt(x, y), 0, y) }
    end)
    same(got[1], np.where(np.lt(a, b), a, b), "where " .. dtype)
    same(got[2], np.where(np.lt(a, b), a, np.array(1, dtype)), "where " .. dtype)
    same(got[3], np.where(np.lt(a, b), np.array(0, dtype), b), "where " .. dtype)
  end
  local got = on_device({ np.array { true, false } }, function(m) return { tl.where(m, 1, 2), tl.where(m, 1, 0.5) } end)
  same(got[1], np.array({ 1, 2 }, "i32"), "two integers")
  same(got[2], np.array({ 1, 0.5 }, "f32"), "two numbers")
end

function TestNumbers:test_casts_convert_as_the_host_does()
  for _, from in ipairs(NUMBERS) do
    local a = random_of({ 4, 9 }, from, 3)
    local got = on_device({ a }, function(x)
      local out = {}
      for _, to in ipairs(NUMBERS) do out[to] = tl.cast(x, to) end
      out.bool = x:cast("bool")
      return out
    end)
    for to, array in pairs(got) do same(array, a:astype(to), from .. " to " .. to) end
  end
  local got = on_device({ np.array({ 3e9, -3e9, 2.9, -2.9, 0 / 0 }, "f32") }, function(x) return tl.cast(x, "i32") end)
  lu.assertEquals(got:tolist(), { 2147483647, -2147483648, 2, -2, 0 })
end

function TestNumbers:test_masks_combine()
  local a, b = np.array { true, true, false, false }, np.array { true, false, true, false }
  local got = on_device({ a, b }, function(x, y) return { x & y, x | y, x ~ y, ~x, x & true, x * 3, x * 0.5 } end)
  same(got[1], np.array { true, false, false, false }, "&")
  same(got[2], np.array { true, true, true, false }, "|")
  same(got[3], np.array { false, true, true, false }, "~")
  same(got[4], np.array { false, false, true, true }, "not")
  same(got[5], a, "& true")
  same(got[6], np.array({ 3, 3, 0, 0 }, "i32"), "a mask times an integer")
  same(got[7], np.array({ 0.5, 0.5, 0, 0 }, "f32"), "a mask times a fraction")
end

function TestNumbers:test_clamp_and_softmax()
  local a = random_of({ 3, 33 }, "f32", 9)
  local got = on_device({ a }, function(x)
    return { tl.clamp(x, -1, 0.5), tl.softmax(x), tl.softmax(x, 0), x:clamp(0, 1), x:softmax(-1) }
  end)
  same(got[1], np.clip(a, -1, 0.5), "clamp")
  same(got[4], np.clip(a, 0, 1), "x:clamp")
  same(got[5], got[2], "x:softmax")
  local wide = a:astype("f64")
  for axis = 0, 1 do
    local e = np.exp(wide - np.max(wide, axis, true))
    local expected = e / np.sum(e, axis, true)
    -- exp, sum and division round once each
    lu.assertTrue(np.allclose(got[3 - axis]:astype("f64"), expected, { rtol = 4 * EPS.f32, atol = 0 }))
  end
end

-- ---- reductions ----

local TestReductions = {}

local WIDENED = { i8 = "i32", u8 = "u32", bool = "i32" }

function TestReductions:test_reductions_over_every_axis_agree_with_the_host()
  for _, dtype in ipairs(NUMBERS) do
    for i, shape in ipairs { { 1 }, { 33 }, { 3, 5 }, { 1, 9 }, { 4, 1, 3 }, { 128, 2 } } do
      local a = random_of(shape, dtype, i)
      local got = on_device({ a }, function(x)
        local out = {}
        for axis = -#shape, #shape - 1 do
          for _, name in ipairs { "sum", "max", "min", "argmax", "argmin" } do
            out[name .. axis] = tl[name](x, axis)
            out[name .. axis .. "keep"] = tl[name] { x, axis = axis, keep_dims = true }
          end
          out["cumsum" .. axis] = tl.cumsum(x, axis)
        end
        return out
      end)
      local function reduced(name, axis, keep)
        local expected = np[name](a, axis, keep)
        if not np.isarray(expected) then expected = np.array(expected) end
        if name:find "^arg" then return expected:astype("i32") end
        return expected:astype(name == "sum" and WIDENED[dtype] or dtype)
      end
      for axis = -#shape, #shape - 1 do
        for _, name in ipairs { "sum", "max", "min", "argmax", "argmin" } do
          local what = text_of(name, dtype, shape, "axis", axis)
          if #shape > 1 then same(got[name .. axis], reduced(name, axis, false), what) end
          same(got[name .. axis .. "keep"], reduced(name, axis, true), what)
        end
        same(got["cumsum" .. axis], np.cumsum(a, axis):astype(WIDENED[dtype] or dtype), text_of("cumsum", dtype, axis))
      end
    end
  end
end

function TestReductions:test_without_an_axis_everything_is_reduced()
  local a = np.arange(15, "i32"):reshape { 3, 5 }
  local got = on_device({ a }, function(x)
    return { sum = x:sum(), keep = tl.sum { x, keep_dims = true }, argmax = x:argmax(), min = x:min(),
      again = x:sum(0):sum(0) }
  end)
  lu.assertEquals(got.sum.ndim, 0)
  lu.assertEquals(got.sum:item(), 105) -- 14 * 15 / 2
  lu.assertEquals(got.keep:tolist(), { { 105 } })
  lu.assertEquals(got.argmax:item(), 14)
  lu.assertEquals(got.min:item(), 0)
  lu.assertEquals(got.again:item(), 105)
end

function TestReductions:test_narrow_integers_and_masks_do_not_overflow_in_sums()
  local got = on_device({ np.full({ 300 }, 100, "i8"), np.full({ 300 }, 255, "u8"), np.full({ 300 }, true, "bool") },
    function(x, y, m) return { x:sum(), y:sum(), m:sum(), tl.cumsum(x) } end)
  lu.assertEquals({ got[1]:item(), got[2]:item(), got[3]:item() }, { 30000, 76500, 300 })
  lu.assertEquals({ got[1].dtype, got[2].dtype, got[3].dtype, got[4].dtype }, { "i32", "u32", "i32", "i32" })
  lu.assertEquals(got[4][299], 30000)
end

function TestReductions:test_a_float_sum_is_within_half_an_ulp_of_the_exact_one()
  for _, dtype in ipairs { "f16", "bf16", "f32" } do
    local a = random_of({ 1000 }, dtype, 4)
    local exact = 0
    local wide = a:astype("f64")
    for i = 0, 999 do exact = exact + wide[i] end
    local got = on_device({ a }, function(x) return x:sum() end):astype("f64"):item()
    lu.assertTrue(math.abs(got - exact) <= math.abs(exact) * EPS[dtype] / 2 + 2 ^ -24 * 2 ^ -1)
  end
end

function TestReductions:test_sums_are_linear_and_do_not_depend_on_the_order_of_integers()
  for _, dtype in ipairs { "i32", "i64" } do
    local a, b = random_of({ 4, 33 }, dtype, 1), random_of({ 4, 33 }, dtype, 2)
    local reversed = np.array(a)
    for i = 0, 32 do reversed[{ {}, i }] = a[{ {}, 32 - i }] end
    local got = on_device({ a, b, reversed }, function(x, y, r)
      return { tl.sum(3 * x + y, 1), 3 * tl.sum(x, 1) + tl.sum(y, 1), tl.sum(r, 1), tl.sum(x, 1),
        tl.sum(tl.trans(x), 0), tl.max(r, 1), tl.max(x, 1), tl.argmax(r, 1) + tl.argmax(x, 1) }
    end)
    same(got[1], got[2], "sum(3 x + y) = 3 sum(x) + sum(y)")
    same(got[3], got[4], "the order of the axis")
    same(got[5], got[4], "the transpose")
    same(got[6], got[7], "the greatest")
    lu.assertEquals(got[8]:tolist(), { 32, 32, 32, 32 }) -- no two of them are equal
  end
end

function TestReductions:test_the_first_of_equal_elements_wins()
  local a = np.array({ { 1, 5, 5, 1 }, { 2, 2, 2, 2 } }, "f16")
  local got = on_device({ a }, function(x) return { x:argmax(1), x:argmin(1) } end)
  lu.assertEquals(got[1]:tolist(), { 1, 0 })
  lu.assertEquals(got[2]:tolist(), { 0, 0 })
end

-- ---- shapes ----

local TestShapes = {}

function TestShapes:test_shapes_change_as_on_the_host()
  for _, dtype in ipairs(NUMBERS) do
    local a = random_of({ 4, 3, 5 }, dtype, 1)
    local got = on_device({ a }, function(x)
      return { tl.reshape(x, { 15, 4 }), tl.permute(x, { 2, 0, 1 }), tl.trans(x), tl.broadcast_to(x, { 2, 4, 3, 5 }),
        tl.expand_dims(x, 1), tl.expand_dims(x, -1), tl.cat(x, x, 1), tl.cat { x, x, axis = -1 }, x:view { 60 } }
    end)
    same(got[1], a:reshape { 15, 4 }, "reshape")
    same(got[2], a:transpose { 2, 0, 1 }, "permute")
    same(got[3], a:transpose { 0, 2, 1 }, "trans")
    same(got[4], a:broadcast_to { 2, 4, 3, 5 }, "broadcast_to")
    same(got[5], a:reshape { 4, 1, 3, 5 }, "expand_dims")
    same(got[6], a:reshape { 4, 3, 5, 1 }, "expand_dims")
    same(got[7], np.concatenate({ a, a }, 1), "cat")
    same(got[8], np.concatenate({ a, a }, 2), "cat")
    same(got[9], a:reshape { 60 }, "view")
  end
end

function TestShapes:test_transposing_twice_and_reshaping_back_change_nothing()
  for _, shape in ipairs { { 3, 5 }, { 1, 9 }, { 4, 1, 3 } } do
    local a = random_of(shape, "f16", 1)
    local got = on_device({ a }, function(x)
      local flat = x:reshape { a.size }
      return { x:trans():trans(), flat:reshape(x.shape), -(-x), x + 0, x * 1, tl.where(tl.eq(x, x), x, 0) }
    end)
    for i, array in ipairs(got) do same(array, a, text_of("identity", i, shape)) end
  end
end

function TestShapes:test_tiles_made_from_nothing()
  local got = on_device({}, function()
    local x = tl.full({ 2, 3 }, 7, "i8")
    return { tl.arange(3, 8), tl.arange(0, 5, "f16"), tl.full({ 3 }, 2.5, "bf16"), tl.zeros({ 2, 3 }, "i32"),
      tl.zeros_like(x), x, tl.zeros { shape = { 4 }, dtype = "f16" }, tl.full { { 2 }, 1 }, tl.zeros { 2 },
      tl.arange { 0, 2, dtype = "u8" }, tl.full({ 2 }, true, "bool"), tl.broadcast_to(4, { 2 }) }
  end)
  same(got[1], np.arange(3, 8, 1, "i32"), "arange")
  same(got[2], np.arange(0, 5, 1, "f16"), "arange f16")
  same(got[3], np.full({ 3 }, 2.5, "bf16"), "full")
  same(got[4], np.zeros({ 2, 3 }, "i32"), "zeros")
  same(got[5], np.zeros({ 2, 3 }, "i8"), "zeros_like")
  same(got[6], np.full({ 2, 3 }, 7, "i8"), "full i8")
  same(got[7], np.zeros({ 4 }, "f16"), "zeros with options")
  same(got[8], np.ones({ 2 }, "f32"), "full with options")
  same(got[9], np.zeros({ 2 }, "f32"), "zeros of one extent")
  same(got[10], np.arange(2, "u8"), "arange u8")
  same(got[11], np.full({ 2 }, true, "bool"), "full bool")
  same(got[12], np.full({ 2 }, 4, "i32"), "broadcast_to of a number")
end

-- ---- types ----

local TestTypes = {}

function TestTypes:test_arithmetic_of_two_types()
  -- two of one kind: the wider; an integer with a float: the float's, as in Triton and PyTorch
  local rules = { { "f16", "f32", "f32" }, { "f16", "bf16", "f32" }, { "i8", "i32", "i32" }, { "u8", "i8", "i16" },
    { "i64", "f16", "f16" }, { "i32", "f32", "f32" }, { "bool", "f16", "f16" }, { "bool", "i8", "i8" },
    { "f32", "f64", "f64" }, { "i64", "bf16", "bf16" } }
  for _, rule in ipairs(rules) do
    local a, b = np.full({ 3 }, 1, rule[1]), np.full({ 3 }, 2, rule[2])
    local got = on_device({ a, b }, function(x, y)
      return { x + y, y + x, x * y, tl.maximum(x, y), tl.where(tl.lt(x, y), x, y), tl.fma(x, y, x), tl.lt(x, y) }
    end)
    for i = 1, 6 do lu.assertEquals(got[i].dtype, rule[3], text_of(i, rule[1], rule[2])) end
    lu.assertEquals(got[7].dtype, "bool")
    lu.assertEquals({ got[1][0], got[3][0], got[6][0] }, { 3, 2, 3 })
  end
end

function TestTypes:test_a_number_takes_the_type_of_the_tile()
  for _, dtype in ipairs(NUMBERS) do
    local got = on_device({ np.ones({ 2 }, dtype) }, function(x) return { x + 1, 1 + x, x * 2.0, tl.maximum(0, x) } end)
    for _, array in ipairs(got) do lu.assertEquals(array.dtype, dtype) end
  end
end

function TestTypes:test_what_becomes_f32()
  for _, dtype in ipairs(INTEGERS) do
    local got = on_device({ np.full({ 2 }, 4, dtype) }, function(x) return { x / x, x / 3, tl.sqrt(x), tl.exp(x) } end)
    for _, array in ipairs(got) do lu.assertEquals(array.dtype, "f32") end
    lu.assertEquals(got[3][0], 2)
    lu.assertAlmostEquals(got[4][0], math.exp(4), math.exp(4) * EPS.f32 / 2)
  end
end

function TestTypes:test_an_integer_is_rounded_to_the_type_of_the_float()
  local got = on_device({ np.array({ 2049 }, "i32"), np.array({ 0 }, "f16") }, function(x, y)
    return { x + y, tl.fma(x, 1, y), tl.where(tl.eq(y, 0), x, y) }
  end)
  for _, array in ipairs(got) do lu.assertEquals(array:tolist(), { 2048 }) end -- f16 has 11 bits
end

-- ---- errors ----

local TestErrors = {}

local function f32(...) return np.zeros({ ... }, "f32") end
local function i32(...) return np.zeros({ ... }, "i32") end

function TestErrors:test_operands_that_do_not_go_together()
  fails("+: shapes (3,) and (4,) do not broadcast", function(a, b) return a + b end, f32(3), f32(4))
  fails("tl.where: shapes (3,) and (3, 2) do not broadcast",
    function(a, b) return tl.where(a, b, 1) end, f32(3), f32(3, 2))
  fails("&: bitwise_and of f32: expected integers or masks", function(a) return a & 1 end, f32(3))
  fails("unary ~: bitwise_not of f32: expected integers or masks", function(a) return ~a end, f32(3))
  fails("-: sub of bool: expected numbers; masks combine with & | ~", function(a)
    local m = tl.lt(a, 1)
    return m - m
  end, f32(3))
  fails("tl.cat: (3,) f32 and (3,) i32 cannot be put together along axis 0", tl.cat, f32(3), i32(3))
  fails("tl.cat: (2, 3) f32 and (2, 4) f32 cannot be put together along axis 0", tl.cat, f32(2, 3), f32(2, 4))
end

function TestErrors:test_numbers_that_the_type_does_not_have()
  fails("+: 0.5 has no value in i32; convert the tile with tl.cast first", function(a) return a + 0.5 end, i32(3))
  fails("+: 300 has no value in u8", function(a) return a + 300 end, np.zeros({ 3 }, "u8"))
  fails("*: -1 has no value in u8", function(a) return a * -1 end, np.zeros({ 3 }, "u8"))
  fails("tl.full: 1.5 has no value in i32", function() return tl.full({ 2 }, 1.5, "i32") end)
  fails("tl.full: 128 has no value in i8", function() return tl.full({ 2 }, 128, "i8") end)
  fails("tl.arange: 0 to 299 have no value in u8", function() return tl.arange(0, 300, "u8") end)
  fails("tl.arange: the end 2 is not above the start 2", function() return tl.arange(2, 2) end)
end

function TestErrors:test_integers_that_have_no_quotient_say_so_where_it_happens()
  fails("test_tile_math.lua:" .. debug.getinfo(1, "l").currentline + 1 .. ": // of integers: division by zero",
    function(a) return a // 0 end, i32(3))
  fails("% of integers: division by zero", function(a) return a % a end, i32(3))
  fails("^ of integers: the right operand is negative", function(a) return a ^ -1 end, i32(3))
  fails("<< of integers: the right operand is negative", function(a) return a << (a - 1) end, i32(3))
  -- and the run goes on
  local got = on_device({ i32(3) }, function(a)
    pcall(function() return a // a end)
    return { a // 2.0, a + 1 }
  end)
  same(got[2], np.ones({ 3 }, "i32"), "after the error")
end

function TestErrors:test_axes_and_shapes()
  fails("tl.sum: axis 2 of a tile with 2 dimensions", function(a) return tl.sum(a, 2) end, f32(2, 3))
  fails("tl.max: axis -3 of a tile with 2 dimensions", function(a) return tl.max(a, -3) end, f32(2, 3))
  fails("tl.cumsum: axis 1 of a tile with 1 dimensions", function(a) return tl.cumsum(a, 1) end, f32(3))
  fails("tl.sum: axis is 0.5; expected an integer", function(a) return tl.sum(a, 0.5) end, f32(3))
  fails("tl.softmax: axis 1 of a tile with 1 dimensions", function(a) return tl.softmax(a, 1) end, f32(3))
  fails("tl.reshape: a tile of shape (2, 3) has not as many elements as (7,)",
    function(a) return tl.reshape(a, { 7 }) end, f32(2, 3))
  fails("tl.permute: the axes are not a permutation of 0 to 1",
    function(a) return tl.permute(a, { 0, 0 }) end, f32(2, 3))
  fails("tl.permute: expected 2 axes in a table", function(a) return tl.permute(a, { 0 }) end, f32(2, 3))
  fails("tl.trans: a tile of one dimension has nothing to swap", tl.trans, f32(3))
  fails("tl.broadcast_to: a tile of shape (2, 3) cannot be broadcast to (2, 4)",
    function(a) return tl.broadcast_to(a, { 2, 4 }) end, f32(2, 3))
  fails("tl.expand_dims: axis 4 of a tile with 2 dimensions", function(a) return tl.expand_dims(a, 4) end, f32(2, 3))
  fails("tl.full: extent 0 is 0; expected an integer of at least 1", function() return tl.full({ 0 }, 1) end)
end

function TestErrors:test_what_is_not_a_tile()
  fails("tl.exp: expected a tile, got only numbers", function() return tl.exp(5) end)
  fails("tl.minimum: expected a tile, got only numbers", function() return tl.minimum(5, 6) end)
  fails("tl.exp: expected a tile or a number, got table", function() return tl.exp {} end)
  fails("+: expected a tile or a number, got string", function(a) return a + "x" end, f32(3))
  fails("tl.reshape: expected a tile, got only numbers", function() return tl.reshape(5, { 1 }) end)
  fails("tl.where: condition: expected a tile, got boolean", function(a) return tl.where(true, a, a) end, f32(3))
  fails("tl.sum: unknown option 'axes'", function(a) return tl.sum { a, axes = 1 } end, f32(3))
  fails("a tile has no field or method 'nothing'", function(a) return a.nothing end, f32(3))
  fails("tl.nothing does not exist", function() return tl.nothing end)
end

function TestErrors:test_comparison_operators_point_to_the_functions()
  local hint = "tiles are compared element by element with tl.lt, le, gt, ge, eq, ne"
  fails(hint, function(a, b) return a < b end, f32(3), f32(3))
  fails(hint, function(a) return a >= 1 end, f32(3))
  fails(hint, function(a, b) return a == b end, f32(3), f32(3))
end

function TestErrors:test_tiles_of_other_kernels_are_refused()
  local kept
  local ok, message = pcall(simulate, function()
    local t = torch.empty(4)
    torch.launch("first", function(p) kept = tl.load(p) end, t)
    torch.launch("second", function() return kept + 1 end, t)
    torch.accelerator.synchronize()
  end)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "+: the tile belongs to a kernel that has ended")
  ok, message = pcall(simulate, function()
    local shared
    torch.launch("both", function(p)
      local mine = tl.load(p)
      if tl.program_id() == 0 then
        shared = mine
        for _ = 1, 100 do mine = mine + 1 end
      else
        while not shared do mine = mine + 1 end
        return tl.exp(shared)
      end
    end, torch.empty({ 2, 4 }, { dp = torch.DPPolicy { pe = "row_wise", num_pes = 2, num_cubes = 1 } }))
    torch.accelerator.synchronize()
  end)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "tl.exp: the tile lies in the TCM of sip0.cube0.pe0")
end

function TestErrors:test_results_that_do_not_fit_into_tcm_list_what_is_live()
  local n = 1 << 20 -- 4 MiB of f32; kernels have 12
  fails("out of TCM", function()
    local a, b, c = tl.zeros { n }, tl.zeros { n }, tl.zeros { n }
    return a + b + c
  end)
  fails("live tiles: (1048576,) f32 from tl.zeros, (1048576,) f32 from tl.zeros", function()
    local a, b, c = tl.zeros { n }, tl.zeros { n }, tl.zeros { n }
    return a + b + c
  end)
  -- what nobody can reach makes room
  local got = on_device({}, function()
    local a = tl.zeros { n }
    for _ = 1, 10 do a = a + 1 end
    return a:max()
  end)
  lu.assertEquals(got:item(), 10)
end

-- ---- times ----

local TestTimes = {}

-- Issue 2 ns (pe_cpu), dispatch 1 ns (pe_scheduler), then cycles of 1 ns: ceil(E / lanes) * passes, 128 lanes
-- of two bytes or fewer; a reduction folds the lanes in log2(lanes) cycles more.
local function math_ns(elements, bytes, passes, reduction)
  local lanes = 128 * 2 // math.max(bytes, 2)
  return 2 + 1 + (elements + lanes - 1) // lanes * passes + (reduction and math.log(lanes, 2) or 0)
end

local function took(fn, ...)
  local from = tl.now()
  local result = fn(...)
  return tl.now() - from, result
end

-- name, passes, function; elements in = elements out
local TIMED = {
  { "add", 1, function(x) return x + x end }, { "sub", 1, function(x) return x - 1 end },
  { "mul", 1, function(x) return 2 * x end }, { "maximum", 1, function(x) return tl.maximum(x, x) end },
  { "div", 4, function(x) return x / x end }, { "fma", 1, function(x) return tl.fma(x, x, x) end },
  { "mod", 4, function(x) return x % x end }, { "floordiv", 4, function(x) return x // x end },
  { "pow", 9, function(x) return x ^ x end }, { "lt", 1, function(x) return tl.lt(x, x) end },
  { "where", 1, function(x) return tl.where(x, x, x) end }, { "neg", 1, function(x) return -x end },
  { "abs", 1, function(x) return tl.abs(x) end },
}
for _, name in ipairs { "exp", "exp2", "log", "log2", "sin", "cos", "sqrt", "rsqrt", "erf", "sigmoid", "tanh" } do
  TIMED[#TIMED + 1] = { name, 4, function(x) return tl[name](x) end }
end
for _, name in ipairs { "floor", "ceil" } do
  TIMED[#TIMED + 1] = { name, 1, function(x) return tl[name](x) end }
end

function TestTimes:test_elements_over_lanes_times_passes()
  for _, dtype in ipairs(FLOATS) do
    for _, n in ipairs { 1, 7, 128, 129, 1000 } do
      local got = on_device({ np.ones({ n }, dtype) }, function(x)
        local out = {}
        for _, case in ipairs(TIMED) do
          out[case[1]] = took(case[3], x)
        end
        return out
      end)
      for _, case in ipairs(TIMED) do
        lu.assertAlmostEquals(got[case[1]], math_ns(n, BYTES[dtype], case[2]), 1e-6, text_of(case[1], dtype, n))
      end
    end
  end
end

function TestTimes:test_bytes_go_as_fast_as_f16()
  for _, dtype in ipairs { "i8", "u8", "bool" } do
    local got = on_device({ np.ones({ 300 }, dtype) }, function(x) return { (took(function() return x | x end)) } end)
    lu.assertAlmostEquals(got[1], math_ns(300, 1, 1), 1e-6) -- 2 + 1 + 3
  end
end

function TestTimes:test_the_widest_type_sets_the_pace()
  local got = on_device({ np.ones({ 256 }, "f16"), np.ones({ 256 }, "i64") }, function(x, y)
    return { (took(tl.cast, x, "f32")), (took(tl.cast, x, "f64")), (took(function() return x + y end)),
      (took(tl.where, tl.lt(x, 2), x, 0)), (took(tl.lt, y, y)) }
  end)
  lu.assertAlmostEquals(got[1], 2 + 1 + 256 / 64, 1e-6)
  lu.assertAlmostEquals(got[2], 2 + 1 + 256 / 32, 1e-6)
  lu.assertAlmostEquals(got[3], 2 + 1 + 256 / 32, 1e-6)
  lu.assertAlmostEquals(got[4], 2 + 1 + 256 / 128, 1e-6)
  lu.assertAlmostEquals(got[5], 2 + 1 + 256 / 32, 1e-6)
end

function TestTimes:test_reductions_and_scans_fold_the_lanes()
  for _, dtype in ipairs(FLOATS) do
    local bytes = BYTES[dtype]
    local got = on_device({ np.ones({ 5, 100 }, dtype) }, function(x)
      local out = {}
      for _, name in ipairs { "sum", "max", "min" } do
        out[#out + 1] = took(tl[name], x)
        out[#out + 1] = took(tl[name], x, 0)
        out[#out + 1] = took(tl[name], x, 1)
      end
      out[#out + 1] = took(tl.cumsum, x, 1)
      return out
    end)
    for i, ns in ipairs(got) do lu.assertAlmostEquals(ns, math_ns(500, bytes, 1, true), 1e-6, text_of(i, dtype)) end
  end
  local got = on_device({ np.ones({ 256 }, "f16"), np.ones({ 256 }, "i8") }, function(x, y)
    return { (took(tl.argmax, x)), (took(tl.sum, y)) }
  end)
  lu.assertAlmostEquals(got[1], math_ns(256, 4, 1, true), 1e-6) -- i32 indices: 3 + 4 + 6
  lu.assertAlmostEquals(got[2], math_ns(256, 4, 1, true), 1e-6) -- sums of i8 are i32
end

function TestTimes:test_broadcasting_counts_the_elements_of_the_result()
  local got = on_device({ np.ones({ 40, 1 }, "f16"), np.ones({ 1, 50 }, "f16") }, function(x, y)
    return { (took(function() return x + y end)), (took(tl.broadcast_to, x, { 40, 50 })),
      (took(tl.trans, x)), (took(tl.cat, x, x)), (took(tl.full, { 300 }, 1, "f16")), (took(tl.arange, 0, 300)) }
  end)
  lu.assertAlmostEquals(got[1], math_ns(2000, 2, 1), 1e-6)
  lu.assertAlmostEquals(got[2], math_ns(2000, 2, 1), 1e-6)
  lu.assertAlmostEquals(got[3], math_ns(40, 2, 1), 1e-6)
  lu.assertAlmostEquals(got[4], math_ns(80, 2, 1), 1e-6)
  lu.assertAlmostEquals(got[5], math_ns(300, 2, 1), 1e-6)
  lu.assertAlmostEquals(got[6], math_ns(300, 4, 1), 1e-6)
end

function TestTimes:test_views_and_looking_take_no_time()
  local got = on_device({ np.ones({ 4, 64 }, "f16") }, function(x)
    local ns = took(function()
      local y = x:reshape({ 256 }):reshape({ 2, 128 })
      return tl.expand_dims(y, 0)
    end)
    local sum = x:sum()
    return { ns, (took(function() return sum:item() end)) }
  end)
  lu.assertEquals(got, { 0.0, 0.0 })
end

function TestTimes:test_without_numbers_everything_takes_as_long()
  local function kernel(x)
    local from = tl.now()
    local y = tl.softmax(x) + tl.fma(x, 2, 1)
    y = tl.where(tl.lt(y, 1), y, 0):sum(1) // 1
    return { tl.now() - from, y.dtype, y.shape }
  end
  local a = np.ones({ 7, 33 }, "f16")
  local with, without = on_device({ a }, kernel), on_device({ a }, kernel, false)
  lu.assertAlmostEquals(without[1], with[1], 1e-6)
  lu.assertEquals({ without[2], without[3] }, { "f16", { 7 } })
end

-- ---- looking at values ----

local TestLooking = {}

function TestLooking:test_item_lets_a_kernel_branch_on_data()
  local got = on_device({ np.array({ 3, 9, 4 }, "f16") }, function(x)
    local steps = 0
    while x:max():item() > 1 do
      x, steps = x / 2, steps + 1
    end
    return { steps, x }
  end)
  lu.assertEquals(got[1], 4) -- 9, 4.5, 2.25, 1.125, 0.5625
  lu.assertEquals(got[2]:tolist(), { 0.1875, 0.5625, 0.25 })
end

function TestLooking:test_item_has_the_kind_of_the_tile()
  local got = on_device({ np.full({ 1 }, 3, "i64"), np.full({ 1, 1 }, 0.5, "bf16") }, function(x, y)
    return { x:item(), y:item(), tl.lt(x, 4):item(), (x + math.maxinteger - 3):item() }
  end)
  lu.assertEquals(math.type(got[1]), "integer")
  lu.assertEquals(got, { 3, 0.5, true, math.maxinteger })
  fails("item: a tile of 3 elements; expected one", function(a) return a:item() end, f32(3))
end

function TestLooking:test_item_takes_indices()
  local a = random_of({ 3, 5 }, "i32", 1)
  local got = on_device({ a }, function(x) return { x:item(0, 0), x:item(2, 4), x:item(-1, 1), x:sum(0):item(3) } end)
  lu.assertEquals(got, { a[{ 0, 0 }], a[{ 2, 4 }], a[{ 2, 1 }], a[{ 0, 3 }] + a[{ 1, 3 }] + a[{ 2, 3 }] })
  fails("item: 1 indices for a tile with 2 dimensions", function(x) return x:item(1) end, i32(3, 5))
  fails("item: index 5 outside an extent of 5 in dimension 1", function(x) return x:item(0, 5) end, i32(3, 5))
  fails("item: an index is 0.5; expected an integer", function(x) return x:item(0, 0.5) end, i32(3, 5))
end

function TestLooking:test_item_without_numbers_is_an_error()
  local ok, message = pcall(on_device, { f32(3) }, function(x) return x:sum():item() end, false)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "item: numbers are switched off (--no-data or data = false)")
end

-- What print is given while fn runs.
local function printed(fn)
  local lines, original = {}, print
  rawset(_G, "print", function(...) lines[#lines + 1] = table.concat({ ... }, "\t") end)
  local ok, message = pcall(fn)
  rawset(_G, "print", original)
  if not ok then error(message, 0) end
  return lines
end

function TestLooking:test_device_print_says_where_and_when()
  local line
  local lines = printed(function()
    on_device({ np.array({ 1, 2 }, "i32") }, function(x)
      line = ("sip0.cube0.pe0 t=%.3f ns: x = array([1, 2], dtype=i32) nil 7"):format(tl.now())
      tl.device_print("x =", x, nil, 7)
    end)
  end)
  lu.assertEquals(lines, { line })
end

function TestLooking:test_device_print_without_numbers_shows_the_shape()
  local lines = printed(function()
    on_device({ i32(2) }, function(x) tl.device_print(x) end, false)
  end)
  lu.assertStrMatches(lines[1], "sip0%.cube0%.pe0 t=[%d.]+ ns: <tile %(2,%) i32>")
end

function TestLooking:test_device_assert_checks_every_element()
  on_device({ np.array({ 1, 2 }, "i32") }, function(x) tl.device_assert(tl.gt(x, 0), "positive") end)
  fails("positive", function(x) tl.device_assert(tl.gt(x, 0), "positive") end, i32(2))
  fails("device_assert failed", function() tl.device_assert(1 > 2) end)
  on_device({ i32(2) }, function(x) tl.device_assert(tl.gt(x, 0), "positive") end, false)
  fails("test_tile_math.lua:" .. debug.getinfo(1, "l").currentline + 1 .. ": device_assert failed",
    function() tl.device_assert(false) end)
end

-- ---- blocks in memory ----

local TestBlocks = {}

-- Run fn(pointer to a copy of the array) in a kernel; returns what fn does and the tensor afterwards.
local function with_pointer(array, fn)
  local result, after
  simulate(function()
    local t = torch.from_numpy(array)
    torch.launch("k", function(ptr) result = fetched(fn(ptr)) end, t)
    after = t:numpy()
  end)
  return result, after
end

function TestBlocks:test_loads_take_strides()
  local a = np.arange(60, "i32"):reshape { 3, 4, 5 }
  local got = with_pointer(a, function(p)
    return { column = tl.load { p + 2, { 12 }, stride = { 5 } }, part = tl.load(p + 5, { 3, 1, 5 }),
      rows = tl.load { p, { 3, 5 }, stride = { 20, 1 } }, every = tl.load { p, shape = { 2, 2 }, stride = { 10, 5 } },
      again = tl.load { p, { 3, 5 }, stride = { 1, 1 } } }
  end)
  lu.assertEquals(got.column:tolist(), { 2, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57 })
  same(got.part, a[{ {}, { 1, 2 }, {} }], "one row of each plane")
  same(got.rows, a[{ {}, 0, {} }], "the first rows")
  lu.assertEquals(got.every:tolist(), { { 0, 5 }, { 10, 15 } })
  lu.assertEquals(got.again:tolist(), { { 0, 1, 2, 3, 4 }, { 1, 2, 3, 4, 5 }, { 2, 3, 4, 5, 6 } })
end

function TestBlocks:test_stores_take_strides()
  local _, after = with_pointer(np.zeros({ 3, 4 }, "i32"), function(p)
    tl.store { p + 1, tl.arange(1, 4), stride = { 4 } }
  end)
  lu.assertEquals(after:tolist(), { { 0, 1, 0, 0 }, { 0, 2, 0, 0 }, { 0, 3, 0, 0 } })
end

function TestBlocks:test_strides_that_lead_outside_or_make_no_sense_are_refused()
  local function refused(pattern, fn)
    with_pointer(i32(3, 4), function(p)
      local ok, message = pcall(fn, p)
      lu.assertFalse(ok)
      lu.assertStrContains(tostring(message), pattern)
    end)
  end
  refused("reaches to element 13, outside of tensor", function(p) tl.load { p, { 4 }, stride = { 4 } } end)
  refused("stride: expected 1 strides in a table", function(p) tl.load { p, { 4 }, stride = { 4, 1 } } end)
  refused("stride 0 is 0; expected an integer from 1", function(p) tl.load { p, { 4 }, stride = { 0 } } end)
  refused("are not equally far apart", function(p) tl.load { p, { 2, 2, 2 }, stride = { 5, 2, 1 } } end)
  refused("the elements of a row are 2 apart; a product takes them adjacent", function(p)
    tl.composite { op = "gemm", a = tl.ref { p, { 2, 2 }, stride = { 4, 2 } }, b = tl.load(p), out = p }
  end)
end

local runner = lu.LuaUnit.new()
local result = runner:runSuiteByInstances {
  { "TestNumbers", TestNumbers }, { "TestReductions", TestReductions }, { "TestShapes", TestShapes },
  { "TestTypes", TestTypes }, { "TestErrors", TestErrors }, { "TestTimes", TestTimes },
  { "TestLooking", TestLooking }, { "TestBlocks", TestBlocks } }
collectgarbage()
os.exit(result == 0, true)
