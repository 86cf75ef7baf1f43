-- One GEMM on one PE, both operands streamed from the PE's own HBM slice, tile by tile.
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local function gemm(a_ptr, b_ptr, out_ptr, M, K, N)
  local a = tl.ref(a_ptr, { M, K })
  local b = tl.ref(b_ptr, { K, N })
  tl.wait(tl.composite { op = "gemm", a = a, b = b, out = out_ptr })
end

local function run(args)
  local M, K, N = args.M, args.K, args.N
  local dp = torch.DPPolicy { num_cubes = 1, num_pes = 1 }
  local random = np.random(1)
  local a, b = random:randn({ M, K }, "f16"), random:randn({ K, N }, "f16")
  local ta = torch.from_numpy(a, { dp = dp, name = "a" })
  local tb = torch.from_numpy(b, { dp = dp, name = "b" })
  local out = torch.empty({ M, N }, { dtype = "f16", dp = dp, name = "out" })

  torch.launch("gemm", gemm, ta, tb, out, M, K, N)

  if not torch.ahbm.has_data() then
    return { shape = ("%dx%dx%d"):format(M, K, N) }
  end
  local expected = np.matmul(a:astype("f64"), b:astype("f64"))
  local got = out:numpy():astype("f64")
  assert(np.allclose(got, expected, { rtol = 1e-2, atol = 1e-2 }), "the product is wrong")
  return { max_abs_diff = np.max_abs_diff(got, expected), shape = ("%dx%dx%d"):format(M, K, N) }
end

return {
  name = "gemm_single_pe",
  description = "C[M,N] = A[M,K] B[K,N] in f16 on one PE, operands streamed from HBM.",
  args = { M = 32, K = 128, N = 32 },
  run = run,
}
