-- Q, K and V projections as one GEMM over every PE of the SIP: the activations are loaded into TCM,
-- the weights, cut by columns over the PEs of each cube, are streamed from HBM tile by tile.
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local function gemm(a_ptr, b_ptr, out_ptr)
  local a = tl.load(a_ptr) -- all of A, into TCM
  local b = tl.ref(b_ptr) -- this PE's columns of B, left in HBM
  tl.wait(tl.composite { op = "gemm", a = a, b = b, out = out_ptr })
end

local function run(args)
  local M, K, N = args.M, args.K, args.N
  local whole = torch.DPPolicy { cube = "replicate", pe = "replicate" }
  local columns = torch.DPPolicy { cube = "replicate", pe = "column_wise" }
  local random = np.random(1)
  local a, b = random:randn({ M, K }, "f16"), random:randn({ K, N }, "f16")
  local ta = torch.from_numpy(a, { dp = whole, name = "x" })
  local tb = torch.from_numpy(b, { dp = columns, name = "w_qkv" })
  local out = torch.empty({ M, N }, { dtype = "f16", dp = columns, name = "qkv" })

  torch.launch("qkv_gemm", gemm, ta, tb, out)

  if not torch.ahbm.has_data() then
    return { shape = ("%dx%dx%d"):format(M, K, N) }
  end
  local expected = np.matmul(a:astype("f64"), b:astype("f64"))
  local got = out:numpy():astype("f64")
  assert(np.allclose(got, expected, { rtol = 1e-2, atol = 1e-2 }), "the product is wrong")
  return { max_abs_diff = np.max_abs_diff(got, expected), shape = ("%dx%dx%d"):format(M, K, N) }
end

return {
  name = "qkv_gemm",
  description = "C[M,N] = A[M,K] B[K,N] in f16 on all PEs: A loaded, B streamed, cut by columns.",
  args = { M = 128, K = 256, N = 128 },
  run = run,
}
