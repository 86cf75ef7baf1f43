-- Bias and GELU of a matrix, its rows cut over all PEs.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.bias_gelu"
local reference = require "kernels.reference"

local function run(args)
  local M, N = args.M, args.N
  local rows, whole = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }, torch.DPPolicy {}
  local random = np.random(1)
  local x, bias = random:randn({ M, N }, "f16"), random:randn({ N }, "f16")
  local out = torch.empty(M, N, { dtype = "f16", dp = rows, name = "out" })

  torch.launch("bias_gelu", kernel, torch.from_numpy(x, { dp = rows, name = "x" }),
    torch.from_numpy(bias, { dp = whole, name = "bias" }), out, args.rows)

  local result = { shape = ("%dx%d"):format(M, N) }
  if torch.ahbm.has_data() then
    local got, expected = out:numpy():astype "f64", reference.bias_gelu(x, bias)
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 1e-3, atol = 1e-3 }), "GELU is wrong")
  end
  return result
end

return {
  name = "kernel_bias_gelu",
  description = "GELU(x + bias) of x[M,N] in f16, rows cut over all PEs.",
  args = { M = 256, N = 128, rows = { default = 16, help = "Rows of a block." } },
  run = run,
}
