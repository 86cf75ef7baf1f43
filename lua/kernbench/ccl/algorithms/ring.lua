--- All-reduce on a ring: everybody passes on everything, N - 1 rounds of S bytes. Fewest rounds of the
--- ring algorithms, hence good for short messages; every rank reduces in the order of the ranks.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_reduce", topology = "ring_1d", description = "ring, N - 1 rounds of all of S" }

function M.kernel(c, x)
  local ring = { n = c.world, me = c.rank, next = c.E, previous = c.W }
  for at, n in steps.segments(steps.count(x), x.dtype, c.world + 3) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local total = steps.ring_reduce(c, ring, x.dtype, cuts, steps.load(x, cuts))
    steps.store(x, cuts, steps.finish(c, total))
  end
end

return M
