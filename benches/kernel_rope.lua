-- Rotary position embedding, positions cut over all PEs.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.rope"
local reference = require "kernels.reference"

local function run(args)
  local S, H, D = args.S, args.H, args.D
  local rows = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
  local x = np.random(1):randn({ S, H, D }, "f16")
  local cos, sin = reference.rope_tables(S, D)
  cos, sin = cos:astype "f32", sin:astype "f32"
  local out = torch.empty(S, H, D, { dtype = "f16", dp = rows, name = "out" })

  torch.launch("rope", kernel, torch.from_numpy(x, { dp = rows, name = "x" }),
    torch.from_numpy(cos, { dp = rows, name = "cos" }), torch.from_numpy(sin, { dp = rows, name = "sin" }),
    out, args.rows)

  local result = { shape = ("%dx%dx%d"):format(S, H, D) }
  if torch.ahbm.has_data() then
    local got, expected = out:numpy():astype "f64", reference.rope(x, cos, sin)
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 1e-3, atol = 1e-3 }), "the rotation is wrong")
  end
  return result
end

return {
  name = "kernel_rope",
  description = "Rotary embedding of x[S,H,D] in f16, positions cut over all PEs.",
  args = { S = 256, H = 4, D = 64, rows = { default = 16, help = "Positions of a block." } },
  run = run,
}
