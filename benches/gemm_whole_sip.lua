-- A product on all PEs of a SIP; --size 4096 is large enough to matter. A is cut by rows over the cubes, B by columns
-- over the PEs of each cube, so that a PE loads its rows of A and its columns of B into TCM once and multiplies them.
--
-- All numbers are checked in a small part of the time of the product: C x against A (B x) for random x, which sees
-- every element, and sixteen whole rows bit for bit against np.matmul.
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local function gemm(a_ptr, b_ptr, out_ptr)
  local a, b = tl.wait(tl.load_async(a_ptr), tl.load_async(b_ptr))
  tl.wait(tl.composite { op = "gemm", a = a, b = b, out = out_ptr })
end

-- Operands are uniform in [0, 1), so elements of C are about K / 4. Rounding one to f16 moves it by a
-- 2^-11th at most, at random; with signs x, N of them add up to this standard deviation at most.
local function deviation(K, N)
  return math.sqrt(N) * K / 4 * 2 ^ -11
end

-- Largest distance of C x from A (B x) for a vector x of random signs, in such deviations.
local function distance(a, b, c, random)
  local K, N = b.shape[1], b.shape[2]
  local x = random:randint(0, 2, { N, 1 }, "i32"):astype("f32") * 2 - 1
  local expected = np.matmul(a, np.matmul(b, x))
  return np.max_abs_diff(np.matmul(c, x), expected) / deviation(K, N)
end

local function check(a, b, c, random)
  local far = distance(a, b, c, random)
  assert(far < 6, ("C x is %.1f standard deviations from A (B x)"):format(far))
  local step = math.max(1, a.shape[1] // 16)
  local some = { { step // 2, a.shape[1], step }, {} }
  assert(np.max_abs_diff(c[some], np.matmul(a[some], b)) == 0, "a row is wrong")
  return far
end

local function run(args)
  local M, K, N = args.size, args.size, args.size
  local rows = torch.DPPolicy { cube = "row_wise", pe = "replicate" }
  local columns = torch.DPPolicy { cube = "replicate", pe = "column_wise" }
  local both = torch.DPPolicy { cube = "row_wise", pe = "column_wise" }
  local random = np.random(1)
  local a, b = random:rand({ M, K }, "f16"), random:rand({ K, N }, "f16")
  local ta = torch.from_numpy(a, { dp = rows, name = "a" })
  local tb = torch.from_numpy(b, { dp = columns, name = "b" })
  local out = torch.empty({ M, N }, { dtype = "f16", dp = both, name = "c" })
  torch.launch("gemm", gemm, ta, tb, out)

  local result = { shape = ("%dx%dx%d"):format(M, K, N) }
  if torch.ahbm.has_data() then
    result.deviations = check(a, b, out:numpy(), random)
  end
  return result
end

return {
  name = "gemm_whole_sip",
  description = "C[N,N] = A[N,N] B[N,N] in f16 on all PEs of a SIP, operands in TCM.",
  args = { size = 256 },
  run = run,
}
