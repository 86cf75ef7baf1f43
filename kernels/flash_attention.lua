-- Attention without the matrix of scores: softmax(q k^T / sqrt(D)) v, over blocks of keys with a running
-- maximum and sum (Dao et al. 2022).
--
-- q, k, v, out: (H, S, D), cut by heads (row_wise), so that a PE holds one head or several. `block` is
-- {queries, keys}. With `causal`, a query sees the keys up to its own position; blocks of keys that it
-- does not see at all are not loaded.
local tl = require "kernbench.tl"

-- One block of keys: the running maximum m, sum l and output acc before and after it.
local function step(q, k, v, visible, scale, m, l, acc)
  local scores = tl.dot(q, tl.trans(k)) * scale
  if visible then
    scores = tl.where(visible, scores, -math.huge)
  end
  local m_new = tl.maximum(m, tl.max(scores, 1, true))
  local p, shrink = tl.exp(scores - m_new), tl.exp(m - m_new)
  return m_new, tl.fma(l, shrink, tl.sum(p, 1, true)), tl.dot(tl.cast(p, v.dtype), v, acc * shrink)
end

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
  local scale = 1 / math.sqrt(d)
  for head = 0, heads - 1 do
    local base = head * s * d
    for first = 0, s - 1, block[1] do
      local rows = math.min(block[1], s - first)
      local q = tl.load(q_ptr + base + first * d, { rows, d })
      local m, l, acc = tl.full({ rows, 1 }, -math.huge), tl.zeros { rows, 1 }, tl.zeros { rows, d }
      for key = 0, (causal and first + rows or s) - 1, block[2] do
        local keys = math.min(block[2], s - key)
        local k = tl.load(k_ptr + base + key * d, { keys, d })
        local v = tl.load(v_ptr + base + key * d, { keys, d })
        local visible = causal and visible_of(first, rows, key, keys) or nil
        m, l, acc = step(q, k, v, visible, scale, m, l, acc)
      end
      tl.store(out_ptr + base + first * d, tl.cast(acc / l, out_ptr.dtype))
    end
  end
end
