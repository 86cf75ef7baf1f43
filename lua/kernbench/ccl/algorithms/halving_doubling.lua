--- All-reduce by recursive halving and doubling: log2 N exchanges of S/2, S/4, ... bytes with ranks at
--- distances N/2, N/4, ..., 1, and back. For a power of two of ranks, each linked to log2 N others.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_reduce", topology = "none",
  description = "recursive halving and doubling: 2 log2 N rounds; N a power of two" }

function M.requires(layout)
  if layout.world & (layout.world - 1) ~= 0 then
    return ("needs a power of two of ranks, not %d"):format(layout.world)
  end
end

function M.neighbors(rank, world)
  local list, k = {}, 0
  while 1 << k < world do
    list[#list + 1] = { name = "d" .. k, rank = rank ~ (1 << k), peer_direction = "d" .. k }
    k = k + 1
  end
  return list
end

-- Pieces of parts first to last - 1, and the tiles of them.
local function range(parts, tiles, first, last)
  local cuts, some = {}, {}
  for i = first, last - 1 do
    if tiles[i] then steps.ready(tiles[i]) end
    table.move(parts[i], 1, #parts[i], #cuts + 1, cuts)
    if tiles[i] then table.move(tiles[i], 1, #tiles[i], #some + 1, some) end
  end
  return cuts, some
end

-- The reverse: give the tiles of parts first to last - 1 their places.
local function distribute(parts, tiles, first, last, some)
  local next_piece = 1
  for i = first, last - 1 do
    tiles[i] = table.move(some, next_piece, next_piece + #parts[i] - 1, 1, {})
    next_piece = next_piece + #parts[i]
  end
end

-- With the rank at distance 2^k: send parts out.first to out.last - 1, receive coming's.
local function swap(c, dtype, k, parts, tiles, out, coming, each)
  local direction = c["d" .. k]
  local _, some = range(parts, tiles, out[1], out[2])
  local cuts, own = range(parts, tiles, coming[1], coming[2])
  local got = steps.exchange(c, dtype, { to = direction, tiles = some, from = direction, cuts = cuts,
    each = each and function(i, tile) return each(own[i], tile) end })
  distribute(parts, tiles, coming[1], coming[2], got)
end

local function all_reduce(c, dtype, parts, tiles)
  local first, last, k = 0, c.world, 0
  while 1 << k < c.world do k = k + 1 end
  for bit = k - 1, 0, -1 do
    local middle = (first + last) // 2
    local low, high = { first, middle }, { middle, last }
    local upper = c.rank & (1 << bit) ~= 0
    -- the lower rank's operand first, on both sides
    swap(c, dtype, bit, parts, tiles, upper and low or high, upper and high or low, function(own, came)
      return steps.combine(c, upper and came or own, upper and own or came)
    end)
    if upper then first = middle else last = middle end
  end
  tiles[c.rank] = steps.finish(c, steps.ready(tiles[c.rank]))
  for bit = 0, k - 1 do
    local size = 1 << bit
    local other = first ~ size
    swap(c, dtype, bit, parts, tiles, { first, first + size }, { other, other + size })
    first = math.min(first, other)
  end
end

function M.kernel(c, x)
  for at, n in steps.segments(steps.count(x), x.dtype, 4) do
    local parts, tiles = steps.parts(c, x.dtype, at, n, c.world), {}
    for i = 0, c.world - 1 do tiles[i] = steps.fetch(x, parts[i]) end
    all_reduce(c, x.dtype, parts, tiles)
    if steps.are_short(x.dtype, n, parts) then
      steps.store_joined(x, at, tiles, c.world)
    else
      for i = 0, c.world - 1 do steps.store(x, parts[i], tiles[i]) end
    end
  end
end

return M
