-- Softmax of the rows of a matrix, cut over all PEs.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.softmax"
local reference = require "kernels.reference"

local function run(args)
  local M, N = args.M, args.N
  local rows = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
  local x = np.random(1):randn({ M, N }, "f16")
  local out = torch.empty(M, N, { dtype = "f16", dp = rows, name = "out" })

  torch.launch("softmax", kernel, torch.from_numpy(x, { dp = rows, name = "x" }), out, args.rows)

  local result = { shape = ("%dx%d"):format(M, N) }
  if torch.ahbm.has_data() then
    local got, expected = out:numpy():astype "f64", reference.softmax(x)
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 1e-3, atol = 1e-6 }), "the softmax is wrong")
  end
  return result
end

return {
  name = "kernel_softmax",
  description = "Softmax of the rows of x[M,N] in f16, cut over all PEs.",
  args = { M = 256, N = 128, rows = { default = 16, help = "Rows of a block." } },
  run = run,
}
