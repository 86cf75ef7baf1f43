--- Broadcast on a ring: both ways around from the root, piece by piece.
local steps = require "kernbench.ccl.steps"

local M = { collective = "broadcast", topology = "ring_1d", description = "both ways around a ring from the root" }

function M.kernel(c, x)
  local distance = (c.rank - c.root) % c.world -- going east
  local east = c.world // 2 -- ranks served from the west
  local parent, children
  if distance == 0 then
    children = steps.present(east > 0 and c.E or nil, c.world - 1 > east and c.W or nil)
  elseif distance <= east then
    parent, children = c.W, steps.present(distance < east and c.E or nil)
  else
    parent, children = c.E, steps.present(distance > east + 1 and c.W or nil)
  end
  for at, n in steps.segments(steps.count(x), x.dtype, 2) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local tiles = steps.broadcast_down(c, x.dtype, cuts, not parent and steps.load(x, cuts) or nil, children, parent)
    if parent then steps.store(x, cuts, tiles) end
  end
end

return M
