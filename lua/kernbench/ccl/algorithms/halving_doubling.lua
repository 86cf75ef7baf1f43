--- All-reduce by recursive halving and doubling: log2 N exchanges of S/2, S/4, ... bytes with ranks at
--- distances N/2, N/4, ..., 1, and back. For a power of two of ranks, each linked to log2 N others.
---
--- S is cut into a part for each rank. Parts that follow one another travel as one message as far as a ring
--- holds them: they are a block, which is one tile.
local steps = require "kernbench.ccl.steps"
local tl = require "kernbench.tl"

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

-- ---- whole blocks ----

-- Pieces of blocks first to last - 1, and the tiles of them.
local function range(blocks, tiles, first, last)
  local cuts, some = {}, {}
  for i = first, last - 1 do
    if tiles[i] then steps.ready(tiles[i]) end
    table.move(blocks[i], 1, #blocks[i], #cuts + 1, cuts)
    if tiles[i] then table.move(tiles[i], 1, #tiles[i], #some + 1, some) end
  end
  return cuts, some
end

-- The reverse: give the tiles of blocks first to last - 1 their places.
local function distribute(blocks, tiles, first, last, some)
  local next_piece = 1
  for i = first, last - 1 do
    tiles[i] = table.move(some, next_piece, next_piece + #blocks[i] - 1, 1, {})
    next_piece = next_piece + #blocks[i]
  end
end

-- What a rank knows: c, dtype, `way` to the rank at a distance, the first element `start(i)` of part i, and
-- how many parts are a block.
---@class ccl.Halving
---@field c ccl.Rank
---@field dtype string
---@field way table<integer, string>
---@field start fun(part: integer): integer
---@field parts integer

-- With the rank at that distance: send `count` blocks from `out` on, receive as many from `coming` on.
local function swap(h, distance, blocks, tiles, count, out, coming, each)
  local _, some = range(blocks, tiles, out, out + count)
  local cuts, own = range(blocks, tiles, coming, coming + count)
  local got = steps.exchange(h.c, h.dtype, { to = h.way[distance], tiles = some, from = h.way[distance], cuts = cuts,
    each = each and function(i, tile) return each(own[i], tile) end })
  distribute(blocks, tiles, coming, coming + count, got)
end

-- The two operands, the lower rank's first: the same on both sides.
local function combine(h, upper, own, came)
  return steps.combine(h.c, upper and came or own, upper and own or came)
end

-- ---- parts of a block ----

local function piece(tile, from, n)
  return n > 0 and tl.narrow(tile, 0, from, n) or nil
end

-- From the tile of this rank's block to that of its part: nil if the part is empty.
local function halve(h, tile)
  local rank, size = h.c.rank, h.parts
  local first = rank // size * size
  while size > 1 do
    size = size // 2
    local upper, way = rank & size ~= 0, h.way[size]
    local low = h.start(first + size) - h.start(first)
    local high = h.start(first + 2 * size) - h.start(first + size)
    local out = upper and piece(tile, 0, low) or not upper and piece(tile, low, high)
    if out then tl.send(way, out) end
    local own = upper and piece(tile, low, high) or not upper and piece(tile, 0, low)
    tile = own and combine(h, upper, own, tl.recv(way, own.shape, h.dtype)) or nil
    if upper then first = first + size end
  end
  return tile
end

-- And back.
local function double(h, tile)
  local first, size = h.c.rank, 1
  while size < h.parts do
    local other, way = first ~ size, h.way[size]
    local n = h.start(other + size) - h.start(other)
    if tile then tl.send(way, tile) end
    local came = n > 0 and tl.recv(way, { n }, h.dtype) or nil
    if tile and came then
      tile = tl.cat(other < first and came or tile, other < first and tile or came, 0)
    end
    tile, first, size = tile or came, math.min(first, other), 2 * size
  end
  return tile
end

-- ---- all of it ----

local function all_reduce(h, blocks, tiles)
  local c, here, first, distance = h.c, h.c.rank // h.parts, 0, h.c.world // 2
  while distance >= h.parts do
    local count, upper = distance // h.parts, c.rank & distance ~= 0
    local low, high = first, first + count
    swap(h, distance, blocks, tiles, count, upper and low or high, upper and high or low,
      function(own, came) return combine(h, upper, own, came) end)
    if upper then first = high end
    distance = distance // 2
  end
  local own = steps.ready(tiles[here])
  if h.parts > 1 then own = { halve(h, own[1]) } end
  own = steps.finish(c, own)
  if h.parts > 1 then own = { double(h, own[1]) } end
  tiles[here] = own
  local count = 1
  while count * h.parts < c.world do
    swap(h, count * h.parts, blocks, tiles, count, first, first ~ count)
    first, count = math.min(first, first ~ count), 2 * count
  end
end

-- The most parts, a power of two, of which a message can be made.
local function parts_of_block(c, dtype, n, start)
  local most, parts = steps.piece(c, dtype, n), c.world
  while parts > 1 and start(parts) > most do parts = parts // 2 end
  return parts
end

function M.kernel(c, x)
  local dtype, way, distance = x.dtype, {}, 1
  for k = 0, 62 do
    if distance >= c.world then break end
    way[distance], distance = c["d" .. k], 2 * distance
  end
  for at, n in steps.segments(steps.count(x), dtype, 4) do
    local function start(part) return part * (n // c.world) + math.min(part, n % c.world) end
    local parts, blocks, tiles = parts_of_block(c, dtype, n, start), {}, {}
    for b = 0, c.world // parts - 1 do
      blocks[b] = steps.cut(c, dtype, at + start(b * parts), start((b + 1) * parts) - start(b * parts))
      tiles[b] = steps.fetch(x, blocks[b])
    end
    all_reduce({ c = c, dtype = dtype, way = way, start = start, parts = parts }, blocks, tiles)
    for b = 0, c.world // parts - 1 do steps.store(x, blocks[b], tiles[b]) end
  end
end

return M
