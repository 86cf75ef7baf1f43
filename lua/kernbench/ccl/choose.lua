--- The automatic choice of an algorithm: of an all-reduce by size and number of ranks, of an all-to-all by how ranks
--- are joined.
--
-- Short messages take the way with the fewest rounds, long ones the way that sends the fewest bytes. Where
-- short ends was found with `ccl_bench --crossover true` on the default machine; on others the choice is a
-- guess.
--
--              short                              long
--   PEs, cubes centre_root: once to the middle    torus: 2 (N - 1) / N of the bytes in 2 (X + Y - 2) rounds
--   SIPs       ring up to 4 ranks, tree beyond    ring_chunked: as few bytes; every hop costs the same
local topologies = require "kernbench.ccl.topologies"

local M = {}

-- Bytes per rank up to which messages are short.
local function short_bytes(world, ranks)
  return ranks == "sip" and 4096 + 256 * world or 2048 + 64 * world
end

--- The algorithm for an all-reduce of `bytes` on `world` ranks.
---@param world integer
---@param bytes integer per rank
---@param ranks "pe"|"cube"|"sip"
---@param layout ccl.Layout
---@return string
function M.all_reduce(world, bytes, ranks, layout)
  local short = bytes <= short_bytes(world, ranks)
  if ranks == "sip" then
    return not short and "ring_chunked" or world <= 4 and "ring" or "tree"
  elseif short then
    local whole = layout.pes * layout.cubes * layout.sips == world
    return whole and "centre_root" or "tree"
  end
  local _, rows = topologies.square(world)
  return rows > 1 and "torus" or "ring_chunked"
end

local MOST = 16 -- ranks, each of whose PEs has a ring for every other one

--- The algorithm for an all-to-all. Between SIPs all wires lead to the switch, so every pair does well on its own;
--- around a ring, parts pass through the ranks in between. Up to 3 ranks, a ring joins all pairs.
---@param world integer
---@param ranks "pe"|"cube"|"sip"
---@return string
function M.all_to_all(world, ranks)
  return ranks == "sip" and world > 3 and world <= MOST and "all_to_all_direct" or "all_to_all"
end

return M
