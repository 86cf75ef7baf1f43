-- Attention over blocks of keys, one head on each PE of a cube.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.flash_attention"
local reference = require "kernels.reference"

local function run(args)
  local H, S, D, G = args.H, args.S, args.D, args.groups > 0 and args.groups or args.H
  local heads = torch.DPPolicy { pe = "row_wise", num_cubes = 1, pad = true }
  local shared = G == H and heads or torch.DPPolicy { num_cubes = 1, num_pes = math.min(H, 8) }
  local random = np.random(1)
  local arrays, tensors = {}, {}
  for i, name in ipairs { "q", "k", "v" } do
    arrays[i] = random:randn({ name == "q" and H or G, S, D }, "f16")
    tensors[i] = torch.from_numpy(arrays[i], { dp = name == "q" and heads or shared, name = name })
  end
  tensors[4] = torch.empty(H, S, D, { dtype = "f16", dp = heads, name = "out" })

  torch.launch("flash_attention", kernel, tensors[1], tensors[2], tensors[3], tensors[4],
    { args.block_q, args.block_k }, args.causal)

  local result = { shape = ("%dx%dx%d"):format(H, S, D) }
  if torch.ahbm.has_data() then
    local got = tensors[4]:numpy():astype "f64"
    local expected = reference.attention(arrays[1], arrays[2], arrays[3], args.causal)
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 2e-3, atol = 2e-3 }), "the attention is wrong")
  end
  return result
end

return {
  name = "kernel_flash_attention",
  description = "softmax(Q K^T) V of [H,S,D] in f16 over blocks of keys, heads cut over the PEs of a cube.",
  args = {
    H = 8, S = 128, D = 64, block_q = 64, block_k = 64, causal = true,
    groups = { default = 0, help = "Heads of keys and values, which H / groups queries share; 0: H." },
  },
  run = run,
}
