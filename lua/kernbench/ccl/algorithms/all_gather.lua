--- All-gather on a ring: output holds the ranks' inputs one after another; N - 1 rounds of S/N bytes, with
--- S the output's size.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_gather", topology = "ring_1d", takes_shares = true, description = "ring, N - 1 rounds" }

function M.kernel(c, x, out, share)
  local ring = { n = c.world, me = c.rank, next = c.E, previous = c.W }
  local count = share and share.n or steps.count(x)
  for at, n in steps.segments(count, x.dtype, c.world + 2) do
    local parts = steps.blocks(c, x.dtype, at, n, c.world, share and share.stride or count)
    local tiles = { [c.rank] = steps.load(x, parts[0]) }
    steps.all_gather(c, ring, x.dtype, parts, tiles, out)
  end
end

return M
