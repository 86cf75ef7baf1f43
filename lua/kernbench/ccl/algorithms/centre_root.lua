--- All-reduce through the middle of each SIP's mesh: along the rows to the centre column, along it to the
--- centre, between the centres of the SIPs, and back the same way.
local steps = require "kernbench.ccl.steps"
local topologies = require "kernbench.ccl.topologies"

local M = { collective = "all_reduce", topology = "none",
  description = "rows, then the centre column, then between SIPs (ring, torus or mesh)" }

-- The ranks of a SIP as a grid, and the SIPs as another.
local function grids(layout)
  local in_sip = layout.world // layout.sips
  local w, h = topologies.square(in_sip)
  if layout.mesh and layout.mesh.w * layout.mesh.h == in_sip then
    w, h = layout.mesh.w, layout.mesh.h
  end
  return { world = in_sip, w = w, h = h }, topologies.layout(layout.sips, { grid = layout.sip_grid })
end

function M.requires(layout)
  if layout.world % layout.sips ~= 0 or layout.pes * layout.cubes * layout.sips ~= layout.world then
    return ("needs as many ranks in every SIP: %d ranks, %d SIPs"):format(layout.world, layout.sips)
  end
end

-- Between SIPs: the exchange's topology.
local function exchange_of(layout)
  return layout.sip_topology or "ring_1d"
end

function M.neighbors(rank, _, layout)
  local inside, outside = grids(layout)
  local sip, at = rank // inside.world, rank % inside.world
  local list = {}
  for i, to in ipairs(topologies.neighbors("mesh_2d", at, inside.world, inside)) do
    list[i] = { name = to.name, rank = sip * inside.world + to.rank, peer_direction = to.peer_direction }
  end
  local centre = inside.h // 2 * inside.w + inside.w // 2
  if at == centre and layout.sips > 1 then
    for _, to in ipairs(topologies.neighbors(exchange_of(layout), sip, layout.sips, outside)) do
      list[#list + 1] = { name = "global_" .. to.name, rank = to.rank * inside.world + centre,
        peer_direction = "global_" .. to.peer_direction }
    end
  end
  return list
end

function M.kernel_args(_, _, layout, rank)
  local inside, outside = grids(layout)
  local at = rank % inside.world
  return { x = at % inside.w, y = at // inside.w, w = inside.w, h = inside.h, sip = rank // inside.world,
    sips = layout.sips, sip_w = outside.w, sip_h = outside.h, exchange = exchange_of(layout) }
end

-- Neighbours towards the middle of a line and away from it.
local function towards(position, extent, before, after)
  local centre = extent // 2
  if position < centre then
    return after, steps.present(before)
  elseif position > centre then
    return before, steps.present(after)
  end
  return nil, steps.present(before, after)
end

local function line(c, dtype, cuts, tiles, parent, child)
  local children = steps.present(child)
  tiles = steps.reduce_up(c, dtype, cuts, tiles, children, parent)
  return steps.broadcast_down(c, dtype, cuts, tiles, children, parent)
end

-- Between the centres; every SIP has the same result.
local function between_sips(c, dtype, cuts, tiles)
  local column, row = c.sip // c.sip_w, c.sip % c.sip_w
  if c.exchange == "ring_1d" then
    return steps.ring_reduce_both_ways(c, { n = c.sips, me = c.sip, next = c.global_E, previous = c.global_W },
      dtype, cuts, tiles)
  elseif c.exchange == "torus_2d" then
    tiles = steps.ring_reduce_both_ways(c, { n = c.sip_w, me = row, next = c.global_E, previous = c.global_W },
      dtype, cuts, tiles)
    return steps.ring_reduce_both_ways(c, { n = c.sip_h, me = column, next = c.global_S, previous = c.global_N },
      dtype, cuts, tiles)
  end
  tiles = line(c, dtype, cuts, tiles, c.global_W, c.global_E)
  return line(c, dtype, cuts, tiles, c.global_N, c.global_S)
end

function M.kernel(c, x)
  local dtype = x.dtype
  local along, beside = towards(c.x, c.w, c.W, c.E)
  local up, below = towards(c.y, c.h, c.N, c.S)
  local on_column = along == nil
  local most = c.exchange == "ring_1d" and c.sips or math.max(c.sip_w, c.sip_h)
  for at, n in steps.segments(steps.count(x), dtype, most + 4) do
    local cuts = steps.cut(c, dtype, at, n)
    local tiles = steps.reduce_up(c, dtype, cuts, steps.load(x, cuts), beside, along)
    if on_column then
      tiles = steps.reduce_up(c, dtype, cuts, tiles, below, up)
      if not up and c.sips > 1 then
        tiles = between_sips(c, dtype, cuts, tiles)
      end
      tiles = steps.broadcast_down(c, dtype, cuts, tiles, below, up)
    end
    tiles = steps.broadcast_down(c, dtype, cuts, tiles, beside, along)
    steps.store(x, cuts, steps.finish(c, tiles))
  end
end

return M
