-- Epilogues of composites: numbers, times, errors.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local launch, simulate = helper.launch, helper.simulate
local ONE_PE = { topology = "one_pe" }

-- out = epilogue(a b), its operands streamed or loaded. `epilogue(operand)` gets the bias's, the
-- residual's operand.
local function composite(shapes, dtypes, epilogue, form)
  local random = np.random(3)
  local M, K, N = table.unpack(shapes)
  local a, b = random:randn({ M, K }, "f16"), random:randn({ K, N }, "f16")
  local bias, residual = random:randn({ N }, dtypes.bias or "f16"), random:randn({ M, N }, dtypes.residual or "f16")
  local out = torch.empty({ M, N }, { dtype = dtypes.out or "f32" })
  local one_by_one = torch.empty({ M, N }, { dtype = dtypes.out or "f32" })
  launch(function(p, q, v, r, o, o1)
    local load = form == "load" and tl.load or tl.ref
    local steps = epilogue.steps(load(v), load(r))
    tl.wait(tl.composite { op = "gemm", a = load(p), b = load(q), out = o, epilogue = steps })
    local x = epilogue.commands(tl.dot(tl.load(p), tl.load(q)), tl.load(v), tl.load(r))
    if x.dtype ~= o1.dtype then x = tl.cast(x, o1.dtype) end
    tl.store(o1, x)
  end, torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(bias), torch.from_numpy(residual), out, one_by_one)
  local f64 = { a = a:astype "f64", b = b:astype "f64", bias = bias:astype "f64", residual = residual:astype "f64" }
  return out:numpy(), one_by_one:numpy(), f64
end

-- Steps of an epilogue, the same as commands, and the same in f64.
local EPILOGUES = {
  { steps = function(bias) return { { "bias", bias }, { "relu" } } end,
    commands = function(x, bias) return tl.maximum(x + bias, 0) end,
    exact = function(x, f) return np.maximum(x + f.bias, 0) end },
  { steps = function(bias) return { { "bias", bias }, { "gelu" } } end,
    commands = function(x, bias)
      x = x + bias
      return x * 0.5 * (tl.erf(x * 0.70710678118654752440) + 1)
    end,
    exact = function(x, f)
      x = x + f.bias
      return x * 0.5 * (np.erf(x / math.sqrt(2)) + 1)
    end },
  { steps = function(_, residual) return { { "scale", 0.125 }, { "silu" }, { "residual", residual } } end,
    commands = function(x, _, residual)
      x = x * 0.125
      return x * tl.sigmoid(x) + residual
    end,
    exact = function(x, f)
      x = x * 0.125
      return x * np.sigmoid(x) + f.residual
    end },
  { steps = function(bias) return { { "scale", bias }, { "softmax" } } end,
    commands = function(x, bias) return tl.softmax(x * bias) end,
    exact = function(x, f)
      x = x * f.bias
      local e = np.exp(x - x:max(1, true))
      return e / e:sum(1, true)
    end },
  { steps = function(bias, residual)
      return { { "scale", 0.125 }, { "softmax" }, { "scale", 2 }, { "residual", residual }, { "bias", bias },
        { "tanh" } }
    end,
    commands = function(x, bias, residual) return tl.tanh(tl.softmax(x * 0.125) * 2 + residual + bias) end,
    exact = function(x, f)
      x = x * 0.125
      local e = np.exp(x - x:max(1, true))
      return np.tanh(e / e:sum(1, true) * 2 + f.residual + f.bias)
    end },
}

local TestNumbers = {}

function TestNumbers:test_an_epilogue_gives_the_bits_of_the_same_commands_one_by_one()
  simulate(function()
    for i, epilogue in ipairs(EPILOGUES) do
      for _, shapes in ipairs { { 32, 64, 32 }, { 7, 5, 3 }, { 33, 65, 100 } } do
        for _, form in ipairs { "ref", "load" } do
          local got, commands, f = composite(shapes, {}, epilogue, form)
          local where = ("epilogue %d, %dx%dx%d, %s"):format(i, shapes[1], shapes[2], shapes[3], form)
          lu.assertTrue(np.array_equal(got, commands), where)
          local exact = epilogue.exact(np.matmul(f.a, f.b), f)
          lu.assertTrue(np.allclose(got:astype "f64", exact, { rtol = 1e-4, atol = 1e-5 }), where)
        end
      end
    end
  end, ONE_PE)
end

function TestNumbers:test_every_function_is_the_command_of_that_name()
  simulate(function()
    for _, name in ipairs { "abs", "exp", "exp2", "sin", "cos", "erf", "floor", "ceil", "sigmoid", "tanh" } do
      local got, commands = composite({ 8, 16, 40 }, {}, {
        steps = function() return { { "scale", 0.5 }, { name } } end,
        commands = function(x) return tl[name](x * 0.5) end }, "ref")
      lu.assertTrue(np.array_equal(got, commands), name)
    end
    for _, name in ipairs { "log", "log2", "sqrt", "rsqrt" } do
      local got, commands = composite({ 8, 16, 40 }, {}, {
        steps = function() return { { "abs" }, { name } } end,
        commands = function(x) return tl[name](tl.abs(x)) end }, "load")
      lu.assertTrue(np.array_equal(got, commands), name)
    end
  end, ONE_PE)
end

-- Accumulators are f32 until a cast or the store; from a cast on, every operation rounds to its type.
function TestNumbers:test_a_cast_changes_the_type_of_what_follows()
  simulate(function()
    local epilogue = {
      steps = function(bias) return { { "cast", "f16" }, { "bias", bias }, { "gelu" } } end,
      commands = function(x, bias)
        x = tl.cast(x, "f16") + bias
        return x * 0.5 * (tl.erf(x * 0.70710678118654752440) + 1)
      end,
    }
    local got, commands = composite({ 33, 64, 65 }, { out = "f16" }, epilogue, "ref")
    lu.assertTrue(np.array_equal(got, commands))
  end, ONE_PE)
end

-- i8 products add up in i32; a fraction makes them f32: what dequantisation does.
function TestNumbers:test_integers_become_floats_by_a_scale()
  simulate(function()
    local random = np.random(4)
    local a, b = random:randint(-128, 128, { 33, 65 }, "i8"), random:randint(-128, 128, { 65, 40 }, "i8")
    local scales, bias = random:rand({ 40 }, "f32"), random:randint(-9, 9, { 40 }, "i32")
    local scaled, huge = torch.empty { 33, 40 }, torch.empty { 33, 40 }
    local whole = torch.empty({ 33, 40 }, { dtype = "i32" })
    launch(function(p, q, s, v, r, w, h)
      tl.composite { op = "gemm", a = p, b = q, out = r,
        epilogue = { { "bias", v }, { "scale", s }, { "scale", 0.25 } } }
      tl.composite { op = "gemm", a = p, b = q, out = w, epilogue = { { "bias", v }, { "scale", 2 }, { "relu" } } }
      -- beyond i32: f32, too
      tl.composite { op = "gemm", a = p, b = q, out = h, epilogue = { { "scale", 1 << 33 } } }
    end, torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(scales), torch.from_numpy(bias), scaled, whole,
      huge)
    local sum = np.matmul(a:astype "i32", b:astype "i32") + bias
    -- below 2^24, so exact in f32; each product rounds once
    lu.assertTrue(np.array_equal(scaled:numpy(), sum:astype "f32" * scales * 0.25))
    lu.assertTrue(np.array_equal(whole:numpy(), np.maximum(sum * 2, 0)))
    lu.assertTrue(np.array_equal(huge:numpy(), (sum - bias):astype "f32" * 2.0 ^ 33))
  end, ONE_PE)
end

local TestErrors = {}

local function refused(pattern, epilogue, dtype)
  simulate(function()
    local a, b = torch.zeros({ 32, 64 }, { dtype = "f16" }), torch.zeros({ 64, 48 }, { dtype = "f16" })
    local row, matrix = torch.zeros({ 48 }, { dtype = "f16" }), torch.zeros({ 32, 48 }, { dtype = "f16" })
    local short = torch.zeros({ 32 }, { dtype = "f16" })
    local out = torch.zeros({ 32, 48 }, { dtype = dtype or "f16" })
    local message
    launch(function(p, q, v, m, s, o)
      local ok, raised = pcall(tl.composite,
        { op = "gemm", a = p, b = q, out = o, epilogue = epilogue { row = v, matrix = m, short = s } })
      message = ok and "nothing was raised" or tostring(raised)
    end, a, b, row, matrix, short, out)
    lu.assertStrContains(message, pattern)
  end, ONE_PE)
end

function TestErrors:test_what_is_no_epilogue_is_refused()
  refused("epilogue is a string; expected a sequence of steps", function() return "gelu" end)
  refused("step 2 of the epilogue is a string; expected a table such as {\"gelu\"}",
    function() return { { "relu" }, "gelu" } end)
  refused("a step of an epilogue begins with its name, not a number", function() return { { 1 } } end)
  refused("there is no step 'gleu' of an epilogue; there are: bias, residual, scale, cast, relu, gelu,",
    function() return { { "gleu" } } end)
  refused("tl.composite: gelu takes no operand", function() return { { "gelu", 1 } } end)
  refused("the epilogue has the key 'bias'; expected a sequence of steps, such as {{\"bias\", b}, {\"gelu\"}}",
    function(t) return { bias = t.row } end)
  refused("tl.composite: bias has 2 operands; a step takes at most one",
    function(t) return { { "bias", t.row, t.row } } end)
  refused("step 9 of the epilogue, bias: more than 8 operands", function(t)
    local steps = {}
    for i = 1, 9 do steps[i] = { "bias", t.row } end
    return steps
  end)
  refused("tl.composite: cast: to which dtype?", function() return { { "cast" } } end)
  refused("f17", function() return { { "cast", "f17" } } end)
  refused("tl.composite: bias: expected a tile, got number", function() return { { "bias", 1 } } end)
  refused("tl.composite: residual: expected a tile, got nil", function() return { { "residual" } } end)
end

function TestErrors:test_operands_of_the_wrong_shape_are_refused()
  refused("tl.composite: bias is (32,) f16, the product is (32, 48): expected (48)",
    function(t) return { { "bias", t.short } } end)
  refused("tl.composite: bias is (32, 48) f16, the product is (32, 48): expected (48)",
    function(t) return { { "bias", t.matrix } } end)
  refused("tl.composite: residual is (48,) f16, the product is (32, 48): expected (32, 48)",
    function(t) return { { "residual", t.row } } end)
end

function TestErrors:test_a_result_of_another_kind_than_out_is_refused()
  refused("out holds i32, the result is f32: end the epilogue with {\"cast\", ...}",
    function() return { { "relu" } } end, "i32")
  refused("nothing was raised", function() return { { "relu" }, { "cast", "i32" } } end, "i32")
end

local TestTimes = {}

-- A tile of 32 x 64 x 32 in f16: fetched in 16 ns, multiplied in 8 + 16. The vector engine has 64 lanes of f32
-- and 128 of f16: a pass over 32 x 32 results takes 16 and 8 ns. A result in f16 is stored in 4 ns, and
-- written in 4.12 + 7 + 10 + 2.12 (docs/latency-model.md).
local ISSUE, FETCH, GEMM, STORE, WRITE = 3, 16, 24, 4, 23.24

local function timed(epilogue, N)
  local took
  simulate(function()
    N = N or 32
    local a, b = torch.empty({ 32, 64 }, { dtype = "f16" }), torch.empty({ 64, N }, { dtype = "f16" })
    local row, matrix = torch.empty({ N }, { dtype = "f16" }), torch.empty({ 32, N }, { dtype = "f16" })
    local out = torch.empty({ 32, N }, { dtype = "f16" })
    launch(function(p, q, v, m, o)
      local x, y, row_tile = tl.load(p), tl.load(q), tl.load(v)
      local steps = epilogue { row = v, matrix = m, row_tile = row_tile }
      local before = tl.now()
      tl.wait(tl.composite { op = "gemm", a = x, b = y, out = o, epilogue = steps })
      took = tl.now() - before
    end, a, b, row, matrix, out)
  end, { topology = "default", data = false })
  return took
end

function TestTimes:test_each_operation_costs_its_passes()
  local plain = ISSUE + FETCH + GEMM + STORE + WRITE
  local function check(epilogue, ns)
    lu.assertAlmostEquals(timed(epilogue), plain + ns, 1e-9)
  end
  check(function() return {} end, 0)
  check(function() return { { "relu" } } end, 16)
  check(function() return { { "scale", 2 }, { "exp" } } end, (1 + 4) * 16)
  check(function() return { { "silu" } } end, (4 + 1) * 16)
  check(function() return { { "gelu" } } end, (1 + 4 + 1 + 1 + 1) * 16)
  check(function() return { { "cast", "f16" }, { "relu" } } end, 16 + 8)
  -- of one tile that holds whole rows: 1 + 1 + 4 + 1 + 4 passes, and two trees of 6 levels over 64 lanes
  check(function() return { { "softmax" } } end, 11 * 16 + 2 * 6)
  -- a bias in TCM is fetched: 64 B at 512 GB/s
  check(function(t) return { { "bias", t.row_tile } } end, 16 + 0.125)
  -- in memory, it is read first: one short flit of 64 B, 0.25 on each of two links, 2 at the crossbar
  check(function(t) return { { "bias", t.row } } end, 2.12 + 10 + 0.25 + 2 + 0.25 + 0.12 + 16 + 0.125)
  -- a residual of 2 KiB: eight bursts at once, eight flits one after the other
  check(function(t) return { { "residual", t.matrix } } end, 2.12 + 10 + 8 + 2 + 1 + 0.12 + 16 + 4)
end

-- Two tiles of 32 columns: the second result is in TCM (4 KiB of f32: 8 ns) after the second gemm. Then the block
-- of 32 x 64 results is fetched (8 KiB), computed (11 passes of 32 ns, two trees) and stored (4 KiB of f16).
function TestTimes:test_whole_rows_are_computed_when_all_their_tiles_are_there()
  local write = 4.12 + 7 + 2 * 10 + 2.12 -- 16 flits, two to each channel
  lu.assertAlmostEquals(timed(function() return { { "softmax" } } end, 64),
    ISSUE + FETCH + 2 * GEMM + 8 + 16 + 11 * 32 + 2 * 6 + 8 + write, 1e-9)
end

helper.main { TestNumbers = TestNumbers, TestErrors = TestErrors, TestTimes = TestTimes }
