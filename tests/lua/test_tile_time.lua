-- How long tile operations take.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local tiles = require "tests.lua.tiles"

local FLOATS, BYTES, on_device, text_of, took
  = tiles.FLOATS, tiles.BYTES, tiles.on_device, tiles.text_of, tiles.took

-- ---- times ----

local TestTimes = {}

-- Issue 2 ns (pe_cpu), dispatch 1 ns (pe_scheduler), then cycles of 1 ns: ceil(E / lanes) * passes, 128 lanes
-- of two bytes or fewer; a reduction folds the lanes in log2(lanes) cycles more.
local function math_ns(elements, bytes, passes, reduction)
  local lanes = 128 * 2 // math.max(bytes, 2)
  return 2 + 1 + (elements + lanes - 1) // lanes * passes + (reduction and math.log(lanes, 2) or 0)
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

helper.main { TestTimes = TestTimes }
