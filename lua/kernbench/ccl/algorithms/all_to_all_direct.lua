--- All-to-all between all pairs of ranks: block j of rank i goes to block i of rank j, in one message. In round r
--- everybody sends to the r-th rank after it. For ranks that reach each other at once, as SIPs do through the
--- switch.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_to_all", topology = "none", takes_shares = true,
  description = "every pair of ranks on its own, N - 1 rounds" }

-- The direction to a rank, which leads back from there under the number of this one.
local function name_of(rank)
  return "rank" .. rank
end

function M.neighbors(rank, world)
  local list = {}
  for distance = 1, world - 1 do
    local other = (rank + distance) % world
    list[distance] = { name = name_of(other), rank = other, peer_direction = name_of(rank) }
  end
  return list
end

function M.kernel(c, x, out, share)
  local world, dtype = c.world, x.dtype
  local count = share and share.n or steps.count(x) // world
  local stride = share and share.stride or count
  for at, n in steps.segments(count, dtype, 4) do
    local function block(rank)
      return steps.cut(c, dtype, rank * stride + at, n)
    end
    local own = steps.fetch(x, block(c.rank))
    local tiles = world > 1 and steps.fetch(x, block((c.rank + 1) % world))
    steps.store(out, block(c.rank), steps.ready(own))
    for round = 1, world - 1 do
      local to, from = (c.rank + round) % world, (c.rank - round) % world
      local going, coming = steps.ready(tiles), block(from)
      tiles = round + 1 < world and steps.fetch(x, block((to + 1) % world)) -- while these travel
      steps.store(out, coming, (steps.exchange(c, dtype, { to = c[name_of(to)], tiles = going, from = c[name_of(from)],
        cuts = coming })))
    end
  end
end

return M
