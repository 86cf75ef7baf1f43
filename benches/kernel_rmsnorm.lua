-- Root-mean-square normalisation of the rows of a matrix, cut over all PEs.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.rmsnorm"
local reference = require "kernels.reference"

local EPSILON = 1e-6

local function run(args)
  local M, N = args.M, args.N
  local rows, whole = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }, torch.DPPolicy {}
  local random = np.random(1)
  local x, gamma = random:randn({ M, N }, "f16"), random:randn({ N }, "f16")
  local out = torch.empty(M, N, { dtype = "f16", dp = rows, name = "out" })

  torch.launch("rmsnorm", kernel, torch.from_numpy(x, { dp = rows, name = "x" }),
    torch.from_numpy(gamma, { dp = whole, name = "gamma" }), out, EPSILON, args.rows)

  local result = { shape = ("%dx%d"):format(M, N) }
  if torch.ahbm.has_data() then
    local got, expected = out:numpy():astype "f64", reference.rmsnorm(x, gamma, EPSILON)
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 1e-3, atol = 1e-3 }), "the normalisation is wrong")
  end
  return result
end

return {
  name = "kernel_rmsnorm",
  description = "RMS normalisation of the rows of x[M,N] in f16, cut over all PEs.",
  args = { M = 256, N = 128, rows = { default = 16, help = "Rows of a block." } },
  run = run,
}
