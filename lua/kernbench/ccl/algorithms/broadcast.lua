--- Broadcast on a ring: both ways around from the root, piece by piece.
local steps = require "kernbench.ccl.steps"

local M = { collective = "broadcast", topology = "ring_1d", description = "both ways around a ring from the root" }

function M.kernel(c, x)
  local parent, children = steps.ring_tree(c)
  for at, n in steps.segments(steps.count(x), x.dtype, 2) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local tiles = steps.broadcast_down(c, x.dtype, cuts, not parent and steps.load(x, cuts) or nil, children, parent)
    if parent then steps.store(x, cuts, tiles) end
  end
end

return M
