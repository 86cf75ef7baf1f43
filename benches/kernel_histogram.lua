-- Histogram over all PEs of a SIP, in one tensor that all of them see.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernel = require "kernels.histogram"
local reference = require "kernels.reference"

local function run(args)
  local N, bins = args.N, args.bins
  local everywhere = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
  local x = np.random(1):randint(0, bins, { N }, "i32")
  local counts = torch.zeros(bins, { dtype = "i32", name = "counts" })

  torch.launch("histogram", kernel, torch.from_numpy(x, { dp = everywhere, name = "x" }), counts)

  local result = { shape = ("%d into %d"):format(N, bins) }
  if torch.ahbm.has_data() then
    assert(np.array_equal(counts:numpy(), reference.histogram(x, bins)), "a bin is wrong")
  end
  return result
end

return {
  name = "kernel_histogram",
  description = "Counts of N integers in bins, over all PEs, added up by atomics in one tensor.",
  args = { N = 16384, bins = 16 },
  run = run,
}
