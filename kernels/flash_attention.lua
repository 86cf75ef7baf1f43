-- Attention without the matrix of scores: softmax(q k^T / sqrt(D)) v, over blocks of keys with a running
-- maximum and sum (Dao et al. 2022).
--
-- q, out: (H, S, D), cut by heads (row_wise), so that a PE holds one head or several. k, v: (G, S, D), cut alike
-- or held whole by every PE; H / G heads of queries share a head of keys and values (grouped-query attention).
-- `block` is {queries, keys}. With `causal`, a query sees the keys up to its own position; blocks of keys that it
-- does not see at all are not loaded.
local softmax = require "kernels.online_softmax"
local tl = require "kernbench.tl"

-- Which of the keys from `first_key` each of the queries from `first` sees; nil: all of them.
local function visible_of(first, rows, first_key, keys)
  if first_key + keys - 1 <= first then
    return nil
  end
  local query = tl.expand_dims(tl.arange(first, first + rows), 1)
  return tl.le(tl.arange(first_key, first_key + keys), query)
end

return function(q_ptr, k_ptr, v_ptr, out_ptr, block, causal)
  local heads, s, d = q_ptr.shape[1], q_ptr.shape[2], q_ptr.shape[3]
  local per = q_ptr.global_shape[1] // k_ptr.global_shape[1]
  tl.static_assert(per * k_ptr.global_shape[1] == q_ptr.global_shape[1],
    ("flash_attention: %d heads of queries cannot share %d heads of keys evenly"):format(q_ptr.global_shape[1],
      k_ptr.global_shape[1]))
  local scale = 1 / math.sqrt(d)
  for head = 0, heads - 1 do
    local base, shared = head * s * d, ((q_ptr.offset[1] + head) // per - k_ptr.offset[1]) * s * d
    for first = 0, s - 1, block[1] do
      local rows = math.min(block[1], s - first)
      local q, state = tl.load(q_ptr + base + first * d, { rows, d }), nil
      for key = 0, (causal and first + rows or s) - 1, block[2] do
        local keys = math.min(block[2], s - key)
        local k = tl.load(k_ptr + shared + key * d, { keys, d })
        local v = tl.load(v_ptr + shared + key * d, { keys, d })
        local scores = tl.dot(q, tl.trans(k))
        local visible = causal and visible_of(first, rows, key, keys)
        if visible then scores = tl.where(visible, scores, -math.huge) end
        state = softmax.step(state, scores, scale, v)
      end
      tl.store(out_ptr + base + first * d, tl.cast(state.o / state.l, out_ptr.dtype))
    end
  end
end
