-- The product of qkv_gemm on 1, 2, 4, ... PEs of one cube: how it scales. A is loaded into every PE's TCM, B is cut
-- by columns and streamed.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernels = require "kernels.gemm"
local reference = require "kernels.reference"

local function print_row(...)
  print(("%4s  %14s  %8s  %10s  %8s  %10s"):format(...))
end

local function percent(share)
  return ("%.1f %%"):format(100 * share)
end

-- The product on that many PEs.
local function measure(x, y, pes)
  local M, N = x.shape[1], y.shape[2]
  local whole = torch.DPPolicy { num_cubes = 1, num_pes = pes }
  local columns = torch.DPPolicy { pe = "column_wise", num_cubes = 1, num_pes = pes }
  local a <close> = torch.from_numpy(x, { dp = whole, name = "x" })
  local b <close> = torch.from_numpy(y, { dp = columns, name = "w_qkv" })
  local out <close> = torch.empty({ M, N }, { dtype = "f16", dp = columns, name = "qkv" })
  local s = torch.launch(("qkv_gemm on %d"):format(pes), kernels.streamed, a, b, out, "load", "ref"):stats()
  if torch.ahbm.has_data() then
    assert(np.allclose(out:numpy():astype "f64", reference.gemm(x, y), { rtol = 1e-2, atol = 1e-2 }),
      ("the product on %d PEs is wrong"):format(pes))
  end
  return s
end

local function run(args)
  local random = np.random(1)
  local x, y = random:randn({ args.M, args.K }, "f16"), random:randn({ args.K, args.N }, "f16")
  local one, last
  print_row("PEs", "ns", "TFLOP/s", "speed-up", "gemm", "read")
  local pes = 1
  while pes <= args.pes do
    local s = measure(x, y, pes)
    one = one or s.time_ns
    last = one / s.time_ns
    print_row(pes, ("%.3f"):format(s.time_ns), ("%.3f"):format(s.tflops), ("%.2f"):format(last),
      percent(s.engines.pe_gemm.utilization), percent(s.engines.pe_dma_read.utilization))
    pes = pes * 2
  end
  return { shape = ("%dx%dx%d"):format(args.M, args.K, args.N), speed_up = ("%.2f"):format(last) }
end

return {
  name = "qkv_gemm_multi_pe",
  description = "C[M,N] = A[M,K] B[K,N] in f16 on 1, 2, 4, ... PEs of a cube: how it scales.",
  args = { M = 128, K = 256, N = 256, pes = { default = 8, help = "At most so many." } },
  run = run,
}
