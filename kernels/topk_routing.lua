-- Routing for a mixture of experts: each token's k best experts with their weights, and the tokens sorted
-- into the experts' bins.
--
-- logits: (T, E), x: (T, D), experts (i32), weights: (T, k), all cut over PEs alike (row_wise); bins:
-- (PEs * E * capacity, D), every PE its own share. Weights are the softmax over the chosen logits. A
-- token beyond an expert's capacity is dropped; of equal logits the first wins. Where a token goes
-- depends on data, read with item(); without numbers, tokens go round robin.
local tl = require "kernbench.tl"

-- The k best columns of every row, as lists of (T, 1) tiles.
local function best(logits, k)
  local columns, indices, values = tl.arange(0, logits.shape[2]), {}, {}
  for j = 1, k do
    values[j], indices[j] = tl.max(logits, 1, true), tl.argmax(logits, 1, true)
    logits = tl.where(tl.eq(columns, indices[j]), -math.huge, logits)
  end
  return indices, values
end

local function beside(tiles)
  local all = tiles[1]
  for j = 2, #tiles do all = tl.cat(all, tiles[j], 1) end
  return all
end

-- Copy every token to the next free place of each of its experts.
local function dispatch(x_ptr, bins_ptr, experts, expert_count, capacity)
  local tokens, k, d = experts.shape[1], experts.shape[2], x_ptr.shape[2]
  local used = {}
  for token = 0, tokens - 1 do
    local x = tl.load(x_ptr + token * d, { d })
    for j = 0, k - 1 do
      local expert = tl.has_values() and experts:item(token, j) or (token * k + j) % expert_count
      local place = used[expert] or 0
      if place < capacity then
        tl.store_async(bins_ptr + (expert * capacity + place) * d, x)
        used[expert] = place + 1
      end
    end
  end
end

return function(logits_ptr, x_ptr, experts_ptr, weights_ptr, bins_ptr, capacity)
  local logits = tl.cast(tl.load(logits_ptr), "f32")
  local indices, values = best(logits, experts_ptr.shape[2])
  local experts = beside(indices)
  tl.store(experts_ptr, experts)
  tl.store(weights_ptr, tl.cast(tl.softmax(beside(values)), weights_ptr.dtype))
  dispatch(x_ptr, bins_ptr, experts, logits.shape[2], capacity)
end
