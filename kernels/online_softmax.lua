-- Softmax over keys that come block by block, and of parts that several PEs have seen (Milakov and Gimelshein
-- 2018; Dao et al. 2022): what attention kernels share.
--
-- A state is of R queries: m (R, 1), the greatest score so far; ol (R, D + 1), the sum of exp(score - m) times
-- the value vectors, and in the last column the sum of exp(score - m) itself. All in f32. A query that has
-- seen no key has m = LEAST and zeros.
local tl = require "kernbench.tl"

local M = {}

M.LEAST = -1e30 -- finite, so that a difference of two is a number

---@class OnlineSoftmax
---@field m Tile
---@field ol Tile

--- The state of queries that have seen no key.
---@param rows integer
---@param d integer
---@return OnlineSoftmax
function M.nothing(rows, d)
  return { m = tl.full({ rows, 1 }, M.LEAST), ol = tl.zeros { rows, d + 1 } }
end

--- The state after one more block of keys. scores: products of queries and keys, (queries, keys) in f32, which
--- `scale` multiplies; v: (keys, D); state: nil at first.
---@param state {m: Tile, l: Tile, o: Tile}?
---@param scores Tile
---@param scale number greater than 0
---@param v Tile
---@return {m: Tile, l: Tile, o: Tile}
function M.step(state, scores, scale, v)
  local m = tl.max(scores, 1, true) * scale
  if state then m = tl.maximum(state.m, m) end
  local p = tl.exp(tl.fma(scores, scale, -m))
  local l = tl.sum(p, 1, true)
  local weights = tl.cast(p, v.dtype)
  if not state then
    return { m = m, l = l, o = tl.dot(weights, v) }
  end
  local shrink = tl.exp(state.m - m)
  return { m = m, l = tl.fma(state.l, shrink, l), o = tl.dot(weights, v, state.o * shrink) }
end

--- What to hand on of a state that `step` returned.
---@param state {m: Tile, l: Tile, o: Tile}
---@return OnlineSoftmax
function M.packed(state)
  return { m = state.m, ol = tl.cat(state.o, state.l, 1) }
end

--- The state of queries of which `a` has seen some keys and `b` the others.
---@param a OnlineSoftmax
---@param b OnlineSoftmax
---@return OnlineSoftmax
function M.merge(a, b)
  local m = tl.maximum(a.m, b.m)
  return { m = m, ol = tl.fma(a.ol, tl.exp(a.m - m), b.ol * tl.exp(b.m - m)) }
end

--- The rows from `first` on.
---@param state OnlineSoftmax
---@param first integer
---@param count integer
---@return OnlineSoftmax
function M.rows(state, first, count)
  if first == 0 and count == state.m.shape[1] then
    return state
  end
  return { m = tl.narrow(state.m, 0, first, count), ol = tl.narrow(state.ol, 0, first, count) }
end

--- Tiles below one another; a cat takes eight.
---@param tiles Tile[]
---@return Tile
function M.stack(tiles)
  while #tiles > 1 do
    local fewer = {}
    for i = 1, #tiles, 8 do
      local group = table.move(tiles, i, math.min(i + 7, #tiles), 1, {})
      group[#group + 1] = 0
      fewer[#fewer + 1] = #group > 2 and tl.cat(table.unpack(group)) or group[1]
    end
    tiles = fewer
  end
  return tiles[1]
end

--- States below one another.
---@param states OnlineSoftmax[]
---@return OnlineSoftmax
function M.stacked(states)
  local ms, ols = {}, {}
  for i, state in ipairs(states) do ms[i], ols[i] = state.m, state.ol end
  return { m = M.stack(ms), ol = M.stack(ols) }
end

--- The attention: (R, D).
---@param state OnlineSoftmax
---@return Tile
function M.finish(state)
  local d = state.ol.shape[2] - 1
  return tl.narrow(state.ol, 1, 0, d) / tl.narrow(state.ol, 1, d, 1)
end

return M
