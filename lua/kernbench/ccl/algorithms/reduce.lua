--- Reduce to a root on a ring: from both sides towards it. Only the root's tensor changes.
local steps = require "kernbench.ccl.steps"

local M = { collective = "reduce", topology = "ring_1d", description = "both ways around a ring to the root" }

function M.kernel(c, x)
  local parent, children = steps.ring_tree(c)
  for at, n in steps.segments(steps.count(x), x.dtype, 4) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local total = steps.reduce_up(c, x.dtype, cuts, steps.load(x, cuts), children, parent)
    if not parent then steps.store(x, cuts, steps.finish(c, total)) end
  end
end

return M
