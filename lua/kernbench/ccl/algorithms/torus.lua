--- All-reduce on a torus of X x Y ranks: reduce-scatter along X, then Y, all-gather along Y, then X. What
--- travels along Y is S/X. A part of S/X goes along X as one message if a ring holds it, and is cut to parts for
--- the column in TCM; else the pieces in which it goes are such that each belongs to one part of the column.
local steps = require "kernbench.ccl.steps"
local tl = require "kernbench.tl"

local M = { collective = "all_reduce", topology = "torus_2d",
  description = "torus, reduce-scatter along X and Y, all-gather along Y and X" }

-- The tile in parts of one piece each.
local function cut_tile(tile, parts, count)
  local tiles = {}
  for j = 0, count - 1 do
    local part = parts[j][1]
    tiles[j] = part and { count == 1 and tile or tl.narrow(tile, 0, part.at, part.n) } or {}
  end
  return tiles
end

-- Tiles of pieces, dealt out to the parts that the pieces make up; and the reverse.
local function deal(tiles, parts, count)
  local dealt, next_piece = {}, 1
  for j = 0, count - 1 do
    dealt[j] = table.move(tiles, next_piece, next_piece + #parts[j] - 1, 1, {})
    next_piece = next_piece + #parts[j]
  end
  return dealt
end

local function in_one_list(parts, count)
  local list = {}
  for j = 0, count - 1 do table.move(parts[j], 1, #parts[j], #list + 1, list) end
  return list
end

-- All-reduce of this rank's part of the row; `parts` are those of the column if it comes in pieces.
local function along_column(c, dtype, tiles, cuts, parts)
  local column = { n = c.h, me = c.y, next = c.S, previous = c.N }
  local mine = parts and deal(tiles, parts, c.h)
  if not parts then
    parts = steps.parts(c, dtype, 0, cuts[1] and cuts[1].n or 0, c.h)
    mine = cut_tile(tiles[1], parts, c.h)
  end
  steps.reduce_scatter(c, column, dtype, parts, mine)
  mine[c.y] = steps.finish(c, mine[c.y])
  steps.all_gather(c, column, dtype, parts, mine)
  return #cuts == 1 and { steps.joined(mine, c.h) } or in_one_list(mine, c.h)
end

function M.kernel(c, x)
  local row, dtype = { n = c.w, me = c.x, next = c.E, previous = c.W }, x.dtype
  for at, n in steps.segments(steps.count(x), dtype, 5) do
    local longest = (n + c.w - 1) // c.w
    local whole = steps.piece(c, dtype, longest) == longest
    local by_x, by_xy, tiles, from = {}, {}, {}, at
    for i = 0, c.w - 1 do
      local size = n // c.w + (i < n % c.w and 1 or 0)
      if whole then
        by_x[i] = steps.cut(c, dtype, from, size)
      else
        by_xy[i] = steps.parts(c, dtype, from, size, c.h)
        by_x[i] = in_one_list(by_xy[i], c.h)
      end
      tiles[i] = steps.fetch(x, by_x[i])
      from = from + size
    end
    steps.reduce_scatter(c, row, dtype, by_x, tiles)
    tiles[c.x] = along_column(c, dtype, steps.ready(tiles[c.x]), by_x[c.x], by_xy[c.x])
    steps.all_gather(c, row, dtype, by_x, tiles, x)
  end
end

return M
