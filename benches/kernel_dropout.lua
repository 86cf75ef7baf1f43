-- Dropout of a matrix, its rows cut over all PEs.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.dropout"
local reference = require "kernels.reference"

local function run(args)
  local M, N = args.M, args.N
  local rows = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
  local x = np.random(1):randn({ M, N }, "f16")
  local out = torch.empty(M, N, { dtype = "f16", dp = rows, name = "out" })

  torch.launch("dropout", kernel, torch.from_numpy(x, { dp = rows, name = "x" }), out, args.rows, args.p, args.seed)

  local result = { shape = ("%dx%d"):format(M, N) }
  if torch.ahbm.has_data() then
    local got, expected = out:numpy():astype "f64", reference.dropout(x, args.p, args.seed)
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 1e-3, atol = 1e-6 }), "the result is wrong")
  end
  return result
end

return {
  name = "kernel_dropout",
  description = "Dropout of x[M,N] in f16, its rows cut over all PEs; the mask comes from the seed alone.",
  args = {
    M = 128, N = 64, rows = { default = 16, help = "Rows of a block." },
    p = { default = 0.25, help = "Share of the elements that become 0." }, seed = 42,
  },
  run = run,
}
