-- Tile arithmetic in kernels: numbers and types.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local tiles = require "tests.lua.tiles"

local FLOATS, INTEGERS, NUMBERS, EPS, SHAPES, PAIRS, on_device, random_of, same, text_of
  = tiles.FLOATS, tiles.INTEGERS, tiles.NUMBERS, tiles.EPS, tiles.SHAPES, tiles.PAIRS, tiles.on_device,
    tiles.random_of, tiles.same, tiles.text_of

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

local WIDENED = { i8 = "i32", i16 = "i32", u8 = "u32", u16 = "u32", bool = "i32" }

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

-- ---- properties ----

local TestProperties = {}

local function is_integer(dtype) return not EPS[dtype] end
local function any() return true end

-- what, which types, fn(x, y): two tiles that are the same bits.
local EQUAL = {
  { "x + 0", any, function(x) return x + 0, x end },
  { "x * 1", any, function(x) return x * 1, x end },
  { "x - x", any, function(x) return x - x, tl.zeros_like(x) end },
  { "-(-x)", any, function(x) return -(-x), x end },
  { "min(x, x)", any, function(x) return tl.minimum(x, x), x end },
  { "fma(x, 1, 0)", any, function(x) return tl.fma(x, 1, 0), x end },
  { "cast to f64 and back", function(dtype) return dtype ~= "i64" and dtype ~= "u64" end,
    function(x) return tl.cast(tl.cast(x, "f64"), x.dtype), x end },
  { "~~x", is_integer, function(x) return ~~x, x end },
  { "x ~ x", is_integer, function(x) return x ~ x, tl.zeros_like(x) end },
  { "x + y", any, function(x, y) return x + y, y + x end },
  { "x * y", any, function(x, y) return x * y, y * x end },
  { "max(x, y)", any, function(x, y) return tl.maximum(x, y), tl.maximum(y, x) end },
  { "x < y", any, function(x, y) return tl.lt(x, y), tl.gt(y, x) end },
  { "not (x < y)", any, function(x, y) return ~tl.lt(x, y), tl.ge(x, y) end },
  { "min + max", any, function(x, y) return tl.minimum(x, y) + tl.maximum(x, y), x + y end },
  { "where", any, function(x, y) return tl.where(tl.lt(x, y), x, y), tl.minimum(x, y) end },
}

function TestProperties:test_identities_hold_and_operands_may_change_places()
  for _, dtype in ipairs(NUMBERS) do
    for i, shape in ipairs(SHAPES) do
      local got = on_device({ random_of(shape, dtype, i), random_of(shape, dtype, i + 40) }, function(x, y)
        local out = {}
        for k, case in ipairs(EQUAL) do out[k] = case[2](dtype) and { case[3](x, y) } end
        return out
      end)
      for k, case in ipairs(EQUAL) do
        if got[k] then same(got[k][1], got[k][2], text_of(case[1], dtype, shape)) end
      end
    end
  end
end

function TestProperties:test_bits_are_kept_under_another_type()
  local words = { f16 = "u16", bf16 = "i16", f32 = "i32", f64 = "u64", i8 = "u8", u32 = "f32" }
  for from, to in pairs(words) do
    local a = random_of({ 3, 11 }, from, 1)
    local got = on_device({ a }, function(x)
      local at = tl.now()
      local bits = tl.cast(x, to, true)
      return { bits, tl.cast(bits, from, true), tl.now() - at,
        tl.cast { tl.full({ 2 }, 1, "f32"), "i32", bitcast = true } }
    end)
    lu.assertEquals(got[1].dtype, to)
    same(got[2], a, from)
    lu.assertEquals(got[3], 0.0)
    lu.assertEquals(got[4]:tolist(), { 0x3f800000, 0x3f800000 })
  end
  tiles.fails("tl.cast: the bits of f16 are not those of a f32", function(x) tl.cast(x, "f32", true) end,
    np.zeros({ 3 }, "f16"))
  tiles.fails("tl.cast: the bits of u8 are not those of a bool", function(x) tl.cast(x, "bool", true) end,
    np.zeros({ 3 }, "u8"))
end

helper.main { TestNumbers = TestNumbers, TestReductions = TestReductions, TestTypes = TestTypes,
  TestProperties = TestProperties }
