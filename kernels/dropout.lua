-- Dropout: out = x / (1 - p) where a random number is at least p, and 0 elsewhere.
--
-- x, out: (M, N), rows cut over PEs as one likes, in blocks of `rows`. An element's number depends on the seed and on
-- where the element is in the whole tensor: the mask is the same for every placement, and whoever needs it again, such
-- as a backward pass, makes it again from the seed. See "Low-memory dropout" in Triton's tutorials.
local tl = require "kernbench.tl"

return function(x_ptr, out_ptr, rows, p, seed)
  local m, n = x_ptr.shape[1], x_ptr.shape[2]
  local function fetch(first)
    return first < m and tl.load_async(x_ptr + first * n, { math.min(rows, m - first), n })
  end
  local coming = fetch(0)
  for first = 0, m - 1, rows do
    local x = tl.wait(coming)
    coming = fetch(first + rows)
    local start = (x_ptr.offset[1] + first) * n
    local offsets = tl.reshape(tl.arange(start, start + x.shape[1] * n), x.shape)
    local kept = tl.ge(tl.rand(seed, offsets), p)
    local y = tl.where(kept, tl.cast(x, "f32") * (1 / (1 - p)), 0)
    tl.store_async(out_ptr + first * n, tl.cast(y, out_ptr.dtype))
  end
end
