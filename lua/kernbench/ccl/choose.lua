--- The automatic choice of an all-reduce algorithm, by size and number of ranks.
--
-- Every algorithm is R messages one after another that carry B bytes over the busiest link. In units of
-- one message's latency that is R + B / L, with L the bytes that a link carries in that time; the choice
-- is where this is least. It is a guess from two numbers, so it knows nothing of contention; `ccl_bench`
-- shows how good it is.
local M = {}

-- Bytes that a link carries while one short message is on its way, by what a rank is.
M.LATENCY_BYTES = { pe = 5000, cube = 10000, sip = 50000 }

local function log2(n)
  local k = 0
  while 1 << k < n do k = k + 1 end
  return k
end

-- Rounds and bytes for S bytes on N ranks; nil where an algorithm does not suit.
local COSTS = {
  { "ring", function(N, S) return N - 1, (N - 1) * S end },
  { "ring_chunked", function(N, S) return 2 * (N - 1), 2 * (N - 1) / N * S end },
  { "halving_doubling", function(N, S)
    if N & (N - 1) == 0 then return 2 * log2(N), 2 * (N - 1) / N * S end
  end },
  { "tree", function(N, S) return 2 * log2(N), 4 * S end },
}

--- The algorithm for an all-reduce of `bytes` on `world` ranks.
---@param world integer
---@param bytes integer per rank
---@param ranks "pe"|"cube"|"sip"
---@return string
function M.all_reduce(world, bytes, ranks)
  local best, least = "ring", math.huge
  for _, candidate in ipairs(COSTS) do
    local rounds, load = candidate[2](world, bytes)
    local cost = rounds and rounds + load / M.LATENCY_BYTES[ranks]
    if cost and cost < least then best, least = candidate[1], cost end
  end
  return best
end

return M
