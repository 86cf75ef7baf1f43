-- Embedding lookup: tokens cut over the PEs of a cube, each of which holds the table.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.embedding"
local reference = require "kernels.reference"

local function run(args)
  local T, V, D = args.T, args.V, args.D
  local tokens = torch.DPPolicy { pe = "row_wise", num_cubes = 1, pad = true }
  local whole = torch.DPPolicy { num_cubes = 1 }
  local random = np.random(1)
  local ids, rows = random:randint(0, V, { T }, "i32"), random:randn({ V, D }, "f16")
  local out = torch.empty(T, D, { dtype = "f16", dp = tokens, name = "out" })

  torch.launch("embedding", kernel, torch.from_numpy(ids, { dp = tokens, name = "ids" }),
    torch.from_numpy(rows, { dp = whole, name = "table" }), out)

  local result = { shape = ("%d of %dx%d"):format(T, V, D) }
  if torch.ahbm.has_data() then
    local got, expected = out:numpy(), reference.embedding(ids, rows)
    result.max_abs_diff = np.max_abs_diff(got:astype "f64", expected:astype "f64")
    assert(np.array_equal(got, expected), "a row is wrong")
  end
  return result
end

return {
  name = "kernel_embedding",
  description = "T rows of a table[V,D] in f16 chosen by ids, tokens cut over the PEs of a cube.",
  args = { T = 128, V = 256, D = 128 },
  run = run,
}
