-- Root-mean-square normalisation of every row: out = x / sqrt(mean(x^2) + eps) * gamma, in f32.
--
-- x, out: (M, N), rows cut over PEs as one likes; gamma: (N), on every PE or on one. The PE takes its
-- rows in blocks of `rows`.
local tl = require "kernbench.tl"

return function(x_ptr, gamma_ptr, out_ptr, eps, rows)
  local m, n = x_ptr.shape[1], x_ptr.shape[2]
  local gamma = tl.cast(tl.load(gamma_ptr), "f32")
  for first = 0, m - 1, rows do
    local x = tl.cast(tl.load(x_ptr + first * n, { math.min(rows, m - first), n }), "f32")
    local scale = tl.rsqrt(tl.sum(x * x, 1, true) * (1 / n) + eps)
    tl.store(out_ptr + first * n, tl.cast(x * scale * gamma, out_ptr.dtype))
  end
end
