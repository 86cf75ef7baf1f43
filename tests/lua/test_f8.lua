-- 8-bit floats and integers: stored, moved, multiplied at double rate; no arithmetic on tiles of f8.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local launch, simulate = helper.launch, helper.simulate
local ONE_PE = { topology = "one_pe" }
local F8 = { "f8e4m3", "f8e5m2" }

local TestArrays = {}

function TestArrays:test_np_converts_and_rounds_once()
  -- e4m3: steps of 1/8 from 1 to 2, largest 448; e5m2: steps of 1/4, largest 57344
  local x = np.array({ 1.0625, 1.1875, 1.125, 448, 470, 0.001953125, -1e6 }, "f32")
  lu.assertEquals(x:astype("f8e4m3"):astype("f64"):tolist(), { 1, 1.25, 1.125, 448, 448, 0.001953125, -448 })
  lu.assertEquals(x:astype("f8e5m2"):astype("f64"):tolist(), { 1, 1.25, 1, 448, 448, 0.001953125, -57344 })
  local a = np.array({ 1.125, 240 }, "f8e4m3")
  lu.assertEquals((a * a).dtype, "f8e4m3")
  -- 1.265625 lies nearer to 1.25 than to 1.375
  lu.assertEquals((a * a):astype("f64"):tolist(), { 1.25, 448 })
  -- printed with as many digits as tell it from its neighbours, as f16 is
  lu.assertEquals(tostring(a), "array([  1.1, 240. ], dtype=f8e4m3)")
end

function TestArrays:test_tensors_hold_them()
  simulate(function()
    for _, dtype in ipairs(F8) do
      local x = np.random(1):randn({ 8, 24 }, "f32"):astype(dtype)
      local t = torch.from_numpy(x, { dp = torch.DPPolicy { pe = "column_wise", num_cubes = 1 } })
      lu.assertEquals(t.shards[1].nbytes, 8 * 24 // #t.shards)
      lu.assertTrue(np.array_equal(t:numpy(), x))
      lu.assertEquals(torch.ones({ 3 }, { dtype = dtype }):numpy():astype("f64"):tolist(), { 1, 1, 1 })
      lu.assertEquals(torch.full({ 2 }, -0.5, { dtype = dtype }):numpy():astype("f64"):tolist(), { -0.5, -0.5 })
      local u = torch.zeros({ 8, 24 }, { dtype = dtype })
      u:copy_(x:astype "f32")
      lu.assertTrue(np.array_equal(u:numpy(), x))
    end
  end)
end

local TestKernels = {}

function TestKernels:test_dot_and_composites_multiply_them_in_f32()
  simulate(function()
    for _, dtype in ipairs(F8) do
      for _, shape in ipairs { { 32, 64, 32 }, { 33, 65, 7 }, { 1, 200, 40 } } do
        local M, K, N = table.unpack(shape)
        -- whole numbers up to 4: sums of their products are exact in f32
        local a = np.random(1):randint(-4, 5, { M, K }, "i32"):astype(dtype)
        local b = np.random(2):randint(-4, 5, { K, N }, "i32"):astype(dtype)
        local exact = np.matmul(a:astype "f64", b:astype "f64")
        local by_dot, composite = torch.empty { M, N }, torch.empty({ M, N }, { dtype = "f16" })
        local rounded = torch.empty({ M, N }, { dtype = dtype })
        launch(function(p, q, r, s, t)
          tl.composite { op = "gemm", a = p, b = tl.load(q), out = s }
          local product = tl.dot(tl.load(p), tl.load(q))
          lu.assertEquals(product.dtype, "f32")
          tl.store(r, product)
          tl.store(t, tl.cast(product, dtype))
        end, torch.from_numpy(a), torch.from_numpy(b), by_dot, composite, rounded)
        lu.assertTrue(np.array_equal(by_dot:numpy(), exact:astype "f32"))
        lu.assertTrue(np.array_equal(composite:numpy(), exact:astype "f16"))
        lu.assertTrue(np.array_equal(rounded:numpy(), exact:astype(dtype)))
      end
    end
  end, ONE_PE)
end

-- Each product of an e4m3 with an e5m2 has 3 + 2 + 2 significant bits: exact in f32, as their small sums are.
function TestKernels:test_products_mix_both_types()
  simulate(function()
    for i, in_a in ipairs(F8) do
      local in_b, M, K, N = F8[3 - i], 33, 130, 40
      local a, b = np.random(1):randint(-4, 5, { M, K }, "i32"), np.random(2):randint(-4, 5, { K, N }, "i32")
      local exact = np.matmul(a:astype "f64", b:astype "f64"):astype "f32"
      local by_dot, composite = torch.empty { M, N }, torch.empty { M, N }
      launch(function(p, q, r, s)
        tl.composite { op = "gemm", a = p, b = q, out = s }
        tl.store(r, tl.dot(tl.load(p), tl.load(q)))
      end, torch.from_numpy(a:astype(in_a)), torch.from_numpy(b:astype(in_b)), by_dot, composite)
      lu.assertTrue(np.array_equal(by_dot:numpy(), exact))
      lu.assertTrue(np.array_equal(composite:numpy(), exact))
    end
    local message
    launch(function(p, q)
      message = select(2, pcall(tl.dot, tl.load(p), tl.load(q)))
    end, torch.empty({ 4, 4 }, { dtype = "f8e4m3" }), torch.empty({ 4, 4 }, { dtype = "f16" }))
    lu.assertStrContains(tostring(message), "a is (4, 4) f8e4m3, b is (4, 4) f16: the types differ")
  end, ONE_PE)
end

function TestKernels:test_tiles_move_and_change_shape_and_type()
  simulate(function()
    local x = np.random(1):randn({ 4, 6 }, "f8e4m3")
    local out = torch.empty({ 6, 4 }, { dtype = "f8e4m3" })
    launch(function(p, o)
      local t = tl.load(p)
      tl.store(o, tl.trans(tl.reshape(tl.cast(tl.cast(t, "f16"), "f8e4m3"), { 4, 6 })))
    end, torch.from_numpy(x), out)
    lu.assertTrue(np.array_equal(out:numpy(), np.transpose(x)))
  end, ONE_PE)
end

function TestKernels:test_arithmetic_on_them_is_refused()
  simulate(function()
    local messages = {}
    launch(function(p, r)
      local x, y = tl.load(p), tl.load(r)
      local zeros = tl.zeros({ 2, 2 }, "f8e5m2")
      for _, fn in ipairs { function() return x + 1 end, function() return x * x end, function() return tl.exp(x) end,
        function() return tl.sum(x) end, function() return -zeros end, function() return tl.lt(x, 0) end,
        function() return tl.cumsum(x) end, function() return tl.softmax(x) end,
        function() return tl.where(tl.lt(y, 0), x, 0) end,
        function() return tl.composite { op = "gemm", a = x, b = x, out = r, epilogue = { { "bias", x } } } end,
        function()
          return tl.composite { op = "gemm", a = x, b = x, out = r, epilogue = { { "cast", "f8e4m3" }, { "relu" } } }
        end } do
        local ok, message = pcall(fn)
        messages[#messages + 1] = ok and "nothing was raised" or tostring(message)
      end
    end, torch.zeros({ 1, 1 }, { dtype = "f8e4m3" }), torch.zeros { 1, 1 })
    lu.assertEquals(#messages, 11)
    for i, message in ipairs(messages) do
      lu.assertStrContains(message, ("there is no arithmetic on %s; convert with tl.cast to f16 or f32 first"):format(
        i == 5 and "f8e5m2" or "f8e4m3"))
    end
  end, ONE_PE)
end

function TestKernels:test_eight_bits_are_multiplied_at_twice_the_rate()
  local function took(dtype)
    local ns
    simulate(function()
      local a, b = torch.empty({ 32, 2048 }, { dtype = dtype }), torch.empty({ 2048, 32 }, { dtype = dtype })
      launch(function(p, q)
        local x, y = tl.load(p), tl.load(q)
        local before = tl.now()
        tl.dot(x, y)
        ns = tl.now() - before
      end, a, b)
    end, { topology = "default", data = false, sets = { "pe.pe_tcm.read_bw_gbs=100000" } })
    return ns
  end
  -- 32 tiles of 32 x 64 x 32, hardly any time to fetch them: ceil(64 / 8) cycles each in f16, ceil(64 / 16) in
  -- 8 bits, ceil(64 / 4) in f32; the first tile's fetch (bytes / 100 TB/s), 16 for the pipeline, 4 KiB stored in 8
  local function expected(cycles, bytes)
    return 3 + 32 * cycles + 16 + 8 + math.floor(2 * 2048 * bytes / 100 + 0.5) / 1000
  end
  lu.assertAlmostEquals(took "f16", expected(8, 2), 1e-9)
  lu.assertAlmostEquals(took "f32", expected(16, 4), 1e-9)
  for _, dtype in ipairs { "f8e4m3", "f8e5m2", "i8", "u8" } do
    lu.assertAlmostEquals(took(dtype), expected(4, 1), 1e-9)
  end
end

-- i8 products add up in i32: 65 x 127 x 127 is beyond i16
function TestKernels:test_dot_of_i8_gives_i32()
  simulate(function()
    local a, b = np.full({ 2, 65 }, 127, "i8"), np.full({ 65, 3 }, -128, "i8")
    local out = torch.empty({ 2, 3 }, { dtype = "i32" })
    launch(function(p, q, r) tl.store(r, tl.dot(tl.load(p), tl.load(q))) end,
      torch.from_numpy(a), torch.from_numpy(b), out)
    lu.assertTrue(np.array_equal(out:numpy(), np.full({ 2, 3 }, 65 * 127 * -128, "i32")))
  end, ONE_PE)
end

helper.main { TestArrays = TestArrays, TestKernels = TestKernels }
