-- Histogram: how many elements of x fall into each of the bins of counts.
--
-- x: any shape, i32, cut over PEs or not; counts: (bins), i32, in one place that all of them see. A PE counts
-- its own elements bin by bin in its TCM, then adds what it found in one atomic operation; elements outside
-- [0, bins) are not counted. Timing does not depend on the elements, so it runs without numbers, too.
local tl = require "kernbench.tl"

return function(x_ptr, counts_ptr)
  local bins = counts_ptr.shape[1]
  local x = tl.load(x_ptr)
  local found
  for bin = 0, bins - 1 do
    local here = tl.where(tl.eq(tl.arange(0, bins), bin), tl.sum(tl.eq(x, bin)), 0)
    found = found and found + here or here
  end
  tl.atomic_add(counts_ptr, found)
end
