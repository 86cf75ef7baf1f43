-- A product by tiles that the kernel moves itself: rows of A and C cut over the PEs of one cube, or K cut
-- (--split_k true), the shares of the sum laid out anew by the host and added by a second launch.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernels = require "kernels.gemm"
local reference = require "kernels.reference"

local function policy(kind)
  return torch.DPPolicy { cube = kind, pe = kind, num_cubes = 1, pad = true }
end

local function by_rows(a, b, block)
  local M, N = a.shape[1], b.shape[2]
  local out = torch.empty(M, N, { dtype = "f16", dp = policy "row_wise", name = "c" })
  torch.launch("gemm", kernels.gemm, torch.from_numpy(a, { dp = policy "row_wise", name = "a" }),
    torch.from_numpy(b, { dp = policy "replicate", name = "b" }), out, block)
  return out
end

local function by_slices(a, b, block)
  local M, N = a.shape[1], b.shape[2]
  local ta = torch.from_numpy(a, { dp = policy "column_wise", name = "a" })
  local tb = torch.from_numpy(b, { dp = policy "row_wise", name = "b" })
  local shape = { #ta.shards, M * N }
  local parts = torch.empty(shape, { dp = policy "row_wise", name = "parts" })
  torch.launch("split_k", kernels.split_k, ta, tb, parts, block)
  torch.accelerator.synchronize()
  local columns = torch.zeros(shape, { dp = policy "column_wise", name = "columns" })
  if torch.ahbm.has_data() then
    columns:copy_(parts)
  end
  local out = torch.empty(1, M * N, { dtype = "f16", dp = policy "column_wise", name = "c" })
  torch.launch("add_parts", kernels.add_parts, columns, out)
  return out
end

local function run(args)
  local M, K, N = args.M, args.K, args.N
  local random = np.random(1)
  local a, b = random:randn({ M, K }, "f16"), random:randn({ K, N }, "f16")
  local out = (args.split_k and by_slices or by_rows)(a, b, { args.block_m, args.block_k, args.block_n })

  local result = { shape = ("%dx%dx%d"):format(M, K, N) }
  if torch.ahbm.has_data() then
    local got, expected = out:numpy():astype("f64"):reshape { M, N }, reference.gemm(a, b)
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 1e-3, atol = 1e-2 }), "the product is wrong")
  end
  return result
end

return {
  name = "kernel_gemm",
  description = "C[M,N] = A[M,K] B[K,N] in f16 by tl.dot on the PEs of a cube, cut by rows or along K.",
  args = {
    M = 128, K = 256, N = 64, block_m = 32, block_k = 64, block_n = 32,
    split_k = { default = false, help = "Cut K over the PEs and add their shares." },
  },
  run = run,
}
