-- Composites with b as (N, K): weights as PyTorch keeps them, keys for Q K^T.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local launch, simulate = helper.launch, helper.simulate
local ONE_PE = { topology = "one_pe" }

local TestNumbers = {}

-- Whole numbers from -5 to 5: products and sums of 130 of them are exact in every accumulator.
function TestNumbers:test_every_operand_form_and_type_agrees_with_f64()
  simulate(function()
    for _, dtype in ipairs { "f8e4m3", "f16", "f32", "i8", "i32" } do
      for _, shape in ipairs { { 1, 1, 1 }, { 32, 64, 32 }, { 33, 130, 31 }, { 5, 7, 70 } } do
        local M, K, N = table.unpack(shape)
        local a = np.random(1):randint(-5, 6, { M, K }, "i64"):astype(dtype)
        local b = np.random(2):randint(-5, 6, { N, K }, "i64"):astype(dtype)
        local expected = np.matmul(a:astype "f64", b:astype "f64":transpose())
        local out_dtype = dtype:sub(1, 1) == "i" and "i32" or "f32"
        local ta, tb = torch.from_numpy(a), torch.from_numpy(b)
        for form = 0, 3 do
          local out = torch.zeros({ M, N }, { dtype = out_dtype })
          launch(function(p, q, r)
            local x = form & 1 == 1 and tl.load(p) or tl.ref(p)
            local y = form & 2 == 2 and tl.load(q) or tl.ref(q)
            tl.wait(tl.composite { op = "gemm", a = x, b = y, out = r, trans_b = true })
          end, ta, tb, out)
          lu.assertTrue(np.array_equal(out:numpy():astype "f64", expected),
            ("%s %dx%dx%d form %d"):format(dtype, M, K, N, form))
        end
      end
    end
  end, ONE_PE)
end

-- The order of additions is the same, so results that were rounded agree to the bit.
function TestNumbers:test_bits_and_epilogues_are_those_of_the_product_with_the_transpose()
  simulate(function()
    local M, K, N = 40, 150, 70
    local a, w = np.random(3):randn({ M, K }, "f16"), np.random(4):randn({ N, K }, "f16")
    local bias = np.random(5):randn({ N }, "f16")
    local function product(b, trans_b, epilogue)
      local out = torch.empty({ M, N }, { dtype = "f16" })
      launch(function(p, q, r, s)
        local steps = epilogue and { { "bias", r }, { "gelu" }, { "softmax" } } or nil
        tl.wait(tl.composite { op = "gemm", a = p, b = q, out = s, epilogue = steps, trans_b = trans_b })
      end, torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(bias), out)
      return out:numpy()
    end
    for _, epilogue in ipairs { false, true } do
      local straight = product(w:transpose(), false, epilogue)
      lu.assertTrue(np.array_equal(product(w, true, epilogue), straight))
      lu.assertTrue(np.array_equal(product(w:transpose(), nil, epilogue), straight))
    end
  end, ONE_PE)
end

-- A part of a larger matrix: rows of K elements that lie further apart.
function TestNumbers:test_b_may_be_a_part_of_a_larger_matrix()
  simulate(function()
    local a, b = np.random(1):randint(-5, 6, { 8, 24 }, "i32"), np.random(2):randint(-5, 6, { 40, 64 }, "i32")
    local out = torch.empty({ 8, 40 }, { dtype = "i32" })
    launch(function(p, q, r)
      tl.wait(tl.composite { op = "gemm", a = p, b = tl.ref(q + 16, { 40, 24 }), out = r, trans_b = true })
    end, torch.from_numpy(a), torch.from_numpy(b), out)
    local part = b[{ {}, { 16, 40 } }]
    lu.assertTrue(np.array_equal(out:numpy(), np.matmul(a, part:transpose())))
  end, ONE_PE)
end

function TestNumbers:test_what_does_not_fit_is_refused()
  simulate(function()
    local messages = {}
    launch(function(p, q, r)
      local function try(options)
        messages[#messages + 1] = tostring(select(2, pcall(tl.composite, options)))
      end
      try { op = "gemm", a = p, b = q, out = r, trans_b = true }
      try { op = "gemm", a = q, b = p, out = r, trans_b = "yes" }
      try { op = "gemm", a = q, b = q, out = p, trans_b = true }
    end, torch.empty({ 32, 64 }, { dtype = "f16" }), torch.empty({ 48, 32 }, { dtype = "f16" }),
      torch.empty({ 32, 48 }, { dtype = "f16" }))
    lu.assertStrContains(messages[1],
      "tl.composite: a is (32, 64) f16, b is (48, 32) f16, transposed: inner extents 64 and 32 differ")
    lu.assertStrContains(messages[2], "tl.composite: trans_b is yes; expected true or false")
    lu.assertStrContains(messages[3], "the product is (48, 48), out is (32, 64)")
  end, ONE_PE)
end

local TestTimes = {}

-- What the kernel takes from its first command to its last, without numbers.
local function took(shape_a, shape_b, options)
  local ns
  simulate(function()
    local a, b = torch.empty(shape_a, { dtype = "f16" }), torch.empty(shape_b, { dtype = "f16" })
    local out = torch.empty({ shape_a[1], options.trans_b and shape_b[1] or shape_b[2] }, { dtype = "f16" })
    launch(function(p, q, r)
      local x, y = p, q
      if options.load == "a" then x = tl.load(p) end
      if options.load == "b" then y = tl.load(q) end
      local before = tl.now()
      tl.wait(tl.composite { op = "gemm", a = x, b = y, out = r, trans_b = options.trans_b })
      ns = tl.now() - before
    end, a, b, out)
  end, { topology = "default", data = false })
  return ns
end

-- A tile of b is 32 rows of 64 elements, 4 KiB in one piece where K is 64, as it is of (64, 32) otherwise.
function TestTimes:test_one_tile_takes_what_it_takes_otherwise()
  for _, load in ipairs { "a", "b", "neither" } do
    lu.assertAlmostEquals(took({ 32, 64 }, { 32, 64 }, { trans_b = true, load = load }),
      took({ 32, 64 }, { 64, 32 }, { load = load }), 1e-9)
  end
end

-- With M = N = 32, b's tiles lie as a's do: streaming either takes the same, whether rows are short or long.
function TestTimes:test_rows_of_b_are_read_as_they_lie()
  for _, K in ipairs { 64, 128, 200, 1024 } do
    local b_streams = took({ 32, K }, { 32, K }, { trans_b = true, load = "a" })
    lu.assertAlmostEquals(b_streams, took({ 32, K }, { 32, K }, { trans_b = true, load = "b" }), 1e-9)
    lu.assertAlmostEquals(b_streams, took({ 32, K }, { K, 32 }, { load = "b" }), 1e-9)
  end
  -- 16 tiles that are cut out of rows of 1,024 take longer than 16 in one piece, which (1024, 32) has
  lu.assertTrue(took({ 32, 1024 }, { 32, 1024 }, { trans_b = true, load = "a" }) >
    took({ 32, 1024 }, { 1024, 32 }, { load = "a" }))
end

helper.main { TestNumbers = TestNumbers, TestTimes = TestTimes }
