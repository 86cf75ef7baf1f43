--- All-reduce on a ring in chunks of S/N: reduce-scatter, then all-gather; 2 (N - 1) rounds of S/N bytes,
--- the least that any algorithm can send.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_reduce", topology = "ring_1d",
  description = "ring, reduce-scatter and all-gather: 2 (N - 1) rounds of S/N" }

function M.kernel(c, x)
  local ring = { n = c.world, me = c.rank, next = c.E, previous = c.W }
  for at, n in steps.segments(steps.count(x), x.dtype, 4) do
    local parts, tiles = steps.parts(c, x.dtype, at, n, c.world), {}
    for i = 0, c.world - 1 do tiles[i] = steps.fetch(x, parts[i]) end
    steps.reduce_scatter(c, ring, x.dtype, parts, tiles)
    tiles[c.rank] = steps.finish(c, steps.ready(tiles[c.rank]))
    local short = steps.are_short(x.dtype, n, parts)
    steps.all_gather(c, ring, x.dtype, parts, tiles, not short and x or nil)
    if short then steps.store_joined(x, at, tiles, c.world) end
  end
end

return M
