--- All-gather on a ring: output holds the ranks' inputs one after another; N - 1 rounds of S/N bytes, with
--- S the output's size.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_gather", topology = "ring_1d", description = "ring, N - 1 rounds" }

function M.kernel(c, x, out)
  local ring = { n = c.world, me = c.rank, next = c.E, previous = c.W }
  local count = steps.count(x)
  for at, n in steps.segments(count, x.dtype, c.world + 2) do
    local parts = steps.blocks(c, x.dtype, at, n, c.world, count)
    local tiles = { [c.rank] = steps.load(x, parts[0]) }
    steps.all_gather(c, ring, x.dtype, parts, tiles, out)
  end
end

return M
