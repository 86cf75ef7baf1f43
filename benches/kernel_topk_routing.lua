-- Routing for a mixture of experts: tokens cut over the PEs of a cube.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.topk_routing"
local reference = require "kernels.reference"

local function run(args)
  local T, E, D, k, capacity = args.T, args.E, args.D, args.top, args.capacity
  local tokens = { dp = torch.DPPolicy { pe = "row_wise", num_cubes = 1, pad = true } }
  local random = np.random(1)
  local logits, x = random:randn({ T, E }, "f16"), random:randn({ T, D }, "f16")
  local tx = torch.from_numpy(x, tokens)
  local parts = #tx.shards
  local experts = torch.empty(T, k, { dtype = "i32", dp = tokens.dp, name = "experts" })
  local weights = torch.empty(T, k, { dp = tokens.dp, name = "weights" })
  local share = torch.DPPolicy { pe = "row_wise", num_cubes = 1, num_pes = parts }
  local bins = torch.zeros(parts * E * capacity, D, { dtype = "f16", dp = share, name = "bins" })

  torch.launch("topk_routing", kernel, torch.from_numpy(logits, tokens), tx, experts, weights, bins, capacity)

  local result = { shape = ("%d tokens to %d of %d"):format(T, k, E) }
  if torch.ahbm.has_data() then
    local chosen, shares = reference.topk(logits, k)
    result.max_abs_diff = np.max_abs_diff(weights:numpy():astype "f64", shares)
    assert(np.array_equal(experts:numpy(), chosen), "an expert is wrong")
    assert(result.max_abs_diff < 1e-6, "a weight is wrong")
    local expected = reference.bins(x, chosen, E, capacity, parts)
    assert(np.array_equal(bins:numpy(), expected), "a token is in the wrong bin")
  end
  return result
end

return {
  name = "kernel_topk_routing",
  description = "The best experts of T tokens with weights, and the tokens sorted into the experts' bins.",
  args = { T = 64, E = 8, D = 64, top = { default = 2, help = "Experts of a token." },
    capacity = { default = 4, help = "Tokens that an expert takes from one PE." } },
  run = run,
}
