--- All-reduce on a torus of X x Y ranks: reduce-scatter along X, then Y, all-gather along Y, then X. What
--- travels along Y is S/X.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_reduce", topology = "torus_2d",
  description = "torus, reduce-scatter along X and Y, all-gather along Y and X" }

function M.kernel(c, x)
  local row = { n = c.w, me = c.x, next = c.E, previous = c.W }
  local column = { n = c.h, me = c.y, next = c.S, previous = c.N }
  local dtype = x.dtype
  for at, n in steps.segments(steps.count(x), dtype, 5) do
    -- parts of the row, each of them in parts of the column: by_x[i] has the pieces of all its by_xy[i]
    local by_x, by_xy, tiles = {}, {}, {}
    local from = at
    for i = 0, c.w - 1 do
      local size = n // c.w + (i < n % c.w and 1 or 0)
      by_xy[i], by_x[i] = steps.parts(c, dtype, from, size, c.h), {}
      for j = 0, c.h - 1 do table.move(by_xy[i][j], 1, #by_xy[i][j], #by_x[i] + 1, by_x[i]) end
      tiles[i] = steps.fetch(x, by_x[i])
      from = from + size
    end
    steps.reduce_scatter(c, row, dtype, by_x, tiles)
    steps.ready(tiles[c.x])
    local parts, mine, next_piece = by_xy[c.x], {}, 1
    for j = 0, c.h - 1 do
      mine[j] = table.move(tiles[c.x], next_piece, next_piece + #parts[j] - 1, 1, {})
      next_piece = next_piece + #parts[j]
    end
    steps.reduce_scatter(c, column, dtype, parts, mine)
    mine[c.y] = steps.finish(c, mine[c.y])
    steps.all_gather(c, column, dtype, parts, mine)
    tiles[c.x] = {}
    for j = 0, c.h - 1 do table.move(mine[j], 1, #mine[j], #tiles[c.x] + 1, tiles[c.x]) end
    steps.all_gather(c, row, dtype, by_x, tiles, x)
  end
end

return M
