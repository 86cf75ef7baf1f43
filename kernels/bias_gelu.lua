-- out = GELU(x + bias), GELU(y) = y / 2 * (1 + erf(y / sqrt(2))), computed in f32.
--
-- x, out: (M, N), rows cut over PEs as one likes; bias: (N), on every PE or on one. The PE takes its
-- rows in blocks of `rows`.
local tl = require "kernbench.tl"

return function(x_ptr, bias_ptr, out_ptr, rows)
  local m, n = x_ptr.shape[1], x_ptr.shape[2]
  local bias = tl.cast(tl.load(bias_ptr), "f32")
  for first = 0, m - 1, rows do
    local x = tl.load(x_ptr + first * n, { math.min(rows, m - first), n })
    local y = tl.cast(x, "f32") + bias
    y = y * 0.5 * (1 + tl.erf(y * (1 / math.sqrt(2))))
    tl.store(out_ptr + first * n, tl.cast(y, out_ptr.dtype))
  end
end
