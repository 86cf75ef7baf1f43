--- Reductions and scans by a function of the kernel's own: tl.reduce, tl.associative_scan.
--
-- Both take log2(n) rounds along an axis of n elements, and what a round takes is what its commands take. The
-- function gets tiles, the earlier elements first, and works element by element. The tiles' shape is outer x n x
-- inner, whatever theirs is: changing shapes takes no time.
local core = require "kernbench.core.tl"
local fail = require("kernbench.core").raise

local M = {}

local function map(tiles, fn)
  local out = {}
  for i, tile in ipairs(tiles) do out[i] = fn(tile) end
  return out
end

local function same_shape(a, b)
  for d = 1, math.max(#a, #b) do
    if a[d] ~= b[d] then return false end
  end
  return true
end

-- A tile, or a sequence of tiles of one shape, as a sequence.
local function check_tiles(call, x)
  local tiles = core.is_tile(x) and { x } or x
  if type(tiles) ~= "table" or #tiles == 0 then
    fail(("%s: expected a tile, or a sequence of tiles, got %s"):format(call, tostring(x)))
  end
  for i, tile in ipairs(tiles) do
    if not core.is_tile(tile) then
      fail(("%s: element %d is %s; expected a tile"):format(call, i, tostring(tile)))
    elseif not same_shape(tile.shape, tiles[1].shape) then
      fail(("%s: the tiles differ in shape: %s and %s"):format(call, tostring(tiles[1]), tostring(tile)))
    end
  end
  return tiles
end

local function check_axis(call, axis, rank)
  if math.type(axis) ~= "integer" or axis < -rank or axis >= rank then
    fail(("%s: axis %s of a tile with %d dimensions"):format(call, tostring(axis), rank))
  end
  return axis % rank
end

local function check_function(call, fn)
  if type(fn) ~= "function" then
    fail(("%s: combine_fn is a %s; expected a function"):format(call, type(fn)))
  end
end

local function product(shape, from, to)
  local count = 1
  for d = from, to do count = count * shape[d] end
  return count
end

-- fn(a1, a2, ..., b1, b2, ...): as many tiles as a has, of the same types and shape.
local function combine(call, fn, a, b)
  local operands = table.move(b, 1, #b, #a + 1, { table.unpack(a) })
  local results = table.pack(fn(table.unpack(operands)))
  if results.n ~= #a then
    fail(("%s: combine_fn returned %d values for %d tiles"):format(call, results.n, #a))
  end
  for i, result in ipairs(a) do
    local made = results[i]
    if not core.is_tile(made) or made.dtype ~= result.dtype or not same_shape(made.shape, result.shape) then
      fail(("%s: combine_fn returned %s for %s"):format(call, tostring(made), tostring(result)))
    end
  end
  return results
end

-- Pairs of neighbours become one; one that is left over stays the last.
local function halve(call, fn, tiles)
  local outer, n, inner = table.unpack(tiles[1].shape)
  local half = n // 2
  local couples = map(tiles, function(x)
    local even = n % 2 == 0 and x or core.narrow(x, 1, 0, n - 1)
    return core.reshape(even, { outer, half, 2, inner })
  end)
  local function side(which)
    return map(couples, function(x) return core.reshape(core.narrow(x, 2, which, 1), { outer, half, inner }) end)
  end
  local combined = combine(call, fn, side(0), side(1))
  if n % 2 == 0 then return combined end
  for i, x in ipairs(tiles) do
    combined[i] = core.cat(combined[i], core.narrow(x, 1, n - 1, 1), 1)
  end
  return combined
end

--- Elements along an axis (all of them if absent) put together, neighbours first, by an associative function. Of
--- a sequence of tiles the function takes and returns several: fn(a1, a2, b1, b2) returns two.
---@param x Tile|Tile[]
---@param axis integer?
---@param combine_fn fun(...: Tile): Tile, ...
---@param keep_dims boolean?
---@return Tile ...
function M.reduce(x, axis, combine_fn, keep_dims)
  local call = "tl.reduce"
  local tiles = check_tiles(call, x)
  check_function(call, combine_fn)
  local shape = tiles[1].shape
  local rank, outer, n, inner = #shape, 1, product(shape, 1, #shape), 1
  local left = {}
  if axis ~= nil then
    axis = check_axis(call, axis, rank)
    outer, n, inner = product(shape, 1, axis), shape[axis + 1], product(shape, axis + 2, rank)
  end
  for d, extent in ipairs(shape) do
    local gone = axis == nil or d == axis + 1
    if keep_dims or not gone then left[#left + 1] = gone and 1 or extent end
  end
  tiles = map(tiles, function(tile) return core.reshape(tile, { outer, n, inner }) end)
  while tiles[1].shape[2] > 1 do tiles = halve(call, combine_fn, tiles) end
  return table.unpack(map(tiles, function(tile)
    return #left > 0 and core.reshape(tile, left) or core.squeeze(tile)
  end))
end

--- What the elements up to each one along an axis give, put together by an associative function (Hillis and
--- Steele); from the end on with `reverse`. Of a sequence of tiles as tl.reduce.
---@param x Tile|Tile[]
---@param axis integer
---@param combine_fn fun(...: Tile): Tile, ...
---@param reverse boolean?
---@return Tile ...
function M.associative_scan(x, axis, combine_fn, reverse)
  local call = "tl.associative_scan"
  local tiles = check_tiles(call, x)
  check_function(call, combine_fn)
  local shape = tiles[1].shape
  axis = check_axis(call, axis, #shape)
  local n = shape[axis + 1]
  local flat = { product(shape, 1, axis), n, product(shape, axis + 2, #shape) }
  tiles = map(tiles, function(tile)
    local whole = core.reshape(tile, flat)
    return reverse and core.flip(whole, 1) or whole
  end)
  local distance = 1
  while distance < n do
    local by = distance
    local function part(start, count)
      return map(tiles, function(tile) return core.narrow(tile, 1, start, count) end)
    end
    local first, moved = part(0, by), combine(call, combine_fn, part(0, n - by), part(by, n - by))
    for i, tile in ipairs(first) do tiles[i] = core.cat(tile, moved[i], 1) end
    distance = 2 * distance
  end
  return table.unpack(map(tiles, function(tile)
    return core.reshape(reverse and core.flip(tile, 1) or tile, shape)
  end))
end

--- Exclusive or of integers or masks along an axis (of all if absent).
---@param x Tile
---@param axis integer?
---@param keep_dims boolean?
---@return Tile
function M.xor_sum(x, axis, keep_dims)
  return (M.reduce(x, axis, function(a, b) return a ~ b end, keep_dims))
end

return M
