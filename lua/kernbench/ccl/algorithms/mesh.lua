--- All-reduce on a mesh without wrapping around: along the rows to the first column and back, then along
--- the columns to the first row and back.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_reduce", topology = "mesh_2d", description = "mesh, along the rows, then the columns" }

local function line(c, dtype, cuts, tiles, parent, child)
  local children = steps.present(child)
  tiles = steps.reduce_up(c, dtype, cuts, tiles, children, parent)
  return steps.broadcast_down(c, dtype, cuts, tiles, children, parent)
end

function M.kernel(c, x)
  for at, n in steps.segments(steps.count(x), x.dtype, 4) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local tiles = line(c, x.dtype, cuts, steps.load(x, cuts), c.x > 0 and c.W or nil, c.x < c.w - 1 and c.E or nil)
    tiles = line(c, x.dtype, cuts, tiles, c.y > 0 and c.N or nil, c.y < c.h - 1 and c.S or nil)
    steps.store(x, cuts, steps.finish(c, tiles))
  end
end

return M
