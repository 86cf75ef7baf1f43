--- Reduce to a root on a ring: from both sides towards it. Only the root's tensor changes.
local steps = require "kernbench.ccl.steps"

local M = { collective = "reduce", topology = "ring_1d", description = "both ways around a ring to the root" }

function M.kernel(c, x)
  local distance = (c.rank - c.root) % c.world -- going east
  local east = c.world // 2 -- ranks whose way to the root leads west
  local parent, children
  if distance == 0 then
    children = steps.present(east > 0 and c.E or nil, c.world - 1 > east and c.W or nil)
  elseif distance <= east then
    parent, children = c.W, steps.present(distance < east and c.E or nil)
  else
    parent, children = c.E, steps.present(distance > east + 1 and c.W or nil)
  end
  for at, n in steps.segments(steps.count(x), x.dtype, 4) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local total = steps.reduce_up(c, x.dtype, cuts, steps.load(x, cuts), children, parent)
    if not parent then steps.store(x, cuts, steps.finish(c, total)) end
  end
end

return M
