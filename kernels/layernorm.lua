-- Layer normalisation of every row: out = (x - mean) / sqrt(variance + eps) * gamma + beta, in f32.
--
-- x, out: (M, N), rows cut over PEs as one likes; gamma, beta: (N), on every PE or on one. The PE takes
-- its rows in blocks of `rows`. The variance is that of the differences from the mean (two passes over
-- the tile), which loses nothing to cancellation.
local tl = require "kernbench.tl"

return function(x_ptr, gamma_ptr, beta_ptr, out_ptr, eps, rows)
  local m, n = x_ptr.shape[1], x_ptr.shape[2]
  local gamma, beta = tl.cast(tl.load(gamma_ptr), "f32"), tl.cast(tl.load(beta_ptr), "f32")
  for first = 0, m - 1, rows do
    local x = tl.cast(tl.load(x_ptr + first * n, { math.min(rows, m - first), n }), "f32")
    local d = x - tl.sum(x, 1, true) * (1 / n)
    local variance = tl.sum(d * d, 1, true) * (1 / n)
    local y = tl.fma(d * tl.rsqrt(variance + eps), gamma, beta)
    tl.store(out_ptr + first * n, tl.cast(y, out_ptr.dtype))
  end
end
