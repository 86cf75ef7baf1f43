-- Softmax of every row: out[i] = exp(x[i] - max x[i]) / sum, computed in f32.
--
-- x, out: (M, N), rows cut over PEs as one likes. The PE takes its rows in blocks of `rows`; while one is
-- computed, the next one is on its way.
local tl = require "kernbench.tl"

return function(x_ptr, out_ptr, rows)
  local m, n = x_ptr.shape[1], x_ptr.shape[2]
  local function fetch(first)
    return first < m and tl.load_async(x_ptr + first * n, { math.min(rows, m - first), n })
  end
  local coming = fetch(0)
  for first = 0, m - 1, rows do
    local x = tl.wait(coming)
    coming = fetch(first + rows)
    local y = tl.softmax(tl.cast(x, "f32"))
    tl.store_async(out_ptr + first * n, tl.cast(y, out_ptr.dtype))
  end
end
