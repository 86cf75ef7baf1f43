-- Rotary position embedding: the two halves (x1, x2) of every head's vector are turned by the angles of
-- its position, out = (x1 cos - x2 sin, x2 cos + x1 sin), in f32.
--
-- x, out: (S, H, D), cut by positions (row_wise) as one likes; cos, sin: (S, D / 2), cut alike. The PE
-- takes its positions in blocks of `rows`. A half is a block with the strides of the whole.
local tl = require "kernbench.tl"

return function(x_ptr, cos_ptr, sin_ptr, out_ptr, rows)
  local s, heads, d = x_ptr.shape[1], x_ptr.shape[2], x_ptr.shape[3]
  local half = d // 2
  local function table_of(ptr, first, count)
    local angles = tl.load(ptr + first * half, { count, half })
    return tl.expand_dims(tl.cast(angles, "f32"), 1)
  end
  for first = 0, s - 1, rows do
    local count, at = math.min(rows, s - first), first * heads * d
    local cos, sin = table_of(cos_ptr, first, count), table_of(sin_ptr, first, count)
    local x1 = tl.cast(tl.load(x_ptr + at, { count, heads, half }), "f32")
    local x2 = tl.cast(tl.load(x_ptr + at + half, { count, heads, half }), "f32")
    tl.store(out_ptr + at, tl.cast(x1 * cos - x2 * sin, out_ptr.dtype))
    tl.store(out_ptr + at + half, tl.cast(x2 * cos + x1 * sin, out_ptr.dtype))
  end
end
