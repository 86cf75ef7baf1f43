--- The smallest algorithm: every rank sends its tensor to the next one, and keeps what it receives.
local steps = require "kernbench.ccl.steps"

local M = { collective = "shift", topology = "ring_1d", description = "everybody sends to the next rank" }

function M.kernel(c, x)
  for at, n in steps.segments(steps.count(x), x.dtype, 2) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local tiles = steps.load(x, cuts)
    if c.world > 1 then
      tiles = steps.exchange(c, x.dtype, { to = c.E, tiles = tiles, from = c.W, cuts = cuts })
    end
    steps.store(x, cuts, tiles)
  end
end

return M
