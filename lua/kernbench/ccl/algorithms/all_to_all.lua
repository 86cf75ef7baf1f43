--- All-to-all on a ring: block j of rank i goes to block i of rank j. Blocks travel the shorter way around,
--- and every round drops those that have arrived.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_to_all", topology = "ring_1d", takes_shares = true,
  description = "ring, the shorter way around" }

-- Pieces of the blocks at places first, first + 1, ..., last of a sequence.
local function flatten(blocks, first, last)
  local all = {}
  for i = first, last do table.move(blocks[i], 1, #blocks[i], #all + 1, all) end
  return all
end

function M.kernel(c, x, out, share)
  local world, dtype = c.world, x.dtype
  local count = share and share.n or steps.count(x) // world
  local stride = share and share.stride or count
  for at, n in steps.segments(count, dtype, 2 * world) do
    local cuts = steps.cut(c, dtype, at, n)
    local function shifted(block)
      return steps.cut(c, dtype, block * stride + at, n)
    end
    -- ways[1]: to the east, to ranks 1, 2, ... onwards; ways[2]: to the west
    local ways = { { to = c.E, from = c.W, sign = 1, far = world // 2 },
      { to = c.W, from = c.E, sign = -1, far = (world - 1) // 2 } }
    for _, way in ipairs(ways) do
      way.blocks = {}
      for d = 1, way.far do
        way.blocks[d] = steps.load(x, shifted((c.rank + way.sign * d) % world))
      end
    end
    steps.store(out, shifted(c.rank), steps.load(x, shifted(c.rank)))
    for round = 1, world // 2 do
      local flows = {}
      for i, way in ipairs(ways) do
        if round <= way.far then
          local coming = {}
          for d = 1, way.far - round + 1 do coming[d] = cuts end
          flows[#flows + 1] = { to = way.to, tiles = flatten(way.blocks, 1, #way.blocks), from = way.from,
            cuts = flatten(coming, 1, #coming), way = i }
        end
      end
      local got = { steps.exchange(c, dtype, table.unpack(flows)) }
      for i, flow in ipairs(flows) do
        local way, next_piece, blocks = ways[flow.way], 1, {}
        for d = 1, way.far - round + 1 do
          blocks[d] = table.move(got[i], next_piece, next_piece + #cuts - 1, 1, {})
          next_piece = next_piece + #cuts
        end
        steps.store(out, shifted((c.rank - way.sign * round) % world), table.remove(blocks, 1))
        way.blocks = blocks
      end
    end
  end
end

return M
