--- Reduce-scatter on a ring: rank i is left with part i of the reduced inputs; N - 1 rounds of S/N bytes,
--- with S the input's size.
local steps = require "kernbench.ccl.steps"

local M = { collective = "reduce_scatter", topology = "ring_1d", takes_shares = true,
  description = "ring, N - 1 rounds" }

function M.kernel(c, x, out, share)
  local ring = { n = c.world, me = c.rank, next = c.E, previous = c.W }
  local count = share and share.n or steps.count(out)
  for at, n in steps.segments(count, x.dtype, c.world + 3) do
    local parts, tiles = steps.blocks(c, x.dtype, at, n, c.world, share and share.stride or count), {}
    for i = 0, c.world - 1 do tiles[i] = steps.fetch(x, parts[i]) end
    steps.reduce_scatter(c, ring, x.dtype, parts, tiles)
    steps.store(out, steps.cut(c, x.dtype, at, n), steps.finish(c, steps.ready(tiles[c.rank])))
  end
end

return M
