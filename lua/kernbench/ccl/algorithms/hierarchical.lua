--- All-reduce on three levels: the PEs of a cube on a ring E/W in both directions, the first PEs of the
--- cubes of a SIP on a ring N/S, the first PEs of the SIPs on a tree; then back along chains. Long ways
--- carry one message for all PEs behind them.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_reduce", topology = "none",
  description = "three levels: E/W in a cube, N/S between cubes, a tree between SIPs" }

function M.requires(layout)
  local whole = layout.pes * layout.cubes * layout.sips
  if whole ~= layout.world then
    return ("needs whole cubes and SIPs: %d SIPs x %d cubes x %d PEs are %d ranks, not %d"):format(
      layout.sips, layout.cubes, layout.pes, whole, layout.world)
  end
end

local function place(rank, layout)
  local cube = rank // layout.pes
  return rank % layout.pes, cube % layout.cubes, cube // layout.cubes
end

function M.neighbors(rank, _, layout)
  local pe, cube, sip = place(rank, layout)
  local list = {}
  local function add(name, to_pe, to_cube, to_sip, back)
    list[#list + 1] = { name = name, rank = (to_sip * layout.cubes + to_cube) * layout.pes + to_pe,
      peer_direction = back }
  end
  if layout.pes > 1 then
    add("E", (pe + 1) % layout.pes, cube, sip, "W")
    add("W", (pe - 1) % layout.pes, cube, sip, "E")
  end
  if pe == 0 and layout.cubes > 1 then
    add("S", 0, (cube + 1) % layout.cubes, sip, "N")
    add("N", 0, (cube - 1) % layout.cubes, sip, "S")
  end
  if pe == 0 and cube == 0 then
    if sip > 0 then add("parent", 0, 0, (sip - 1) // 2, sip % 2 == 1 and "child0" or "child1") end
    for child = 0, 1 do
      local peer = 2 * sip + 1 + child
      if peer < layout.sips then add("child" .. child, 0, 0, peer, "parent") end
    end
  end
  return list
end

function M.kernel_args(_, _, layout, rank)
  local pe, cube, sip = place(rank, layout)
  return { pe = pe, cube = cube, sip = sip, pes = layout.pes, cubes = layout.cubes, sips = layout.sips }
end

-- From member 0 of a line to all others.
local function chain(c, dtype, cuts, tiles, member, members, next, previous)
  return steps.broadcast_down(c, dtype, cuts, tiles, steps.present(member + 1 < members and next or nil),
    member > 0 and previous or nil)
end

local function between_sips(c, dtype, cuts, tiles)
  local children = steps.present(c.child0, c.child1)
  tiles = steps.reduce_up(c, dtype, cuts, tiles, children, c.parent)
  return steps.broadcast_down(c, dtype, cuts, tiles, children, c.parent)
end

function M.kernel(c, x)
  local dtype = x.dtype
  local in_cube = { n = c.pes, me = c.pe, next = c.E, previous = c.W }
  local in_sip = { n = c.cubes, me = c.cube, next = c.S, previous = c.N }
  for at, n in steps.segments(steps.count(x), dtype, math.max(c.pes, c.cubes) + 3) do
    local cuts = steps.cut(c, dtype, at, n)
    local tiles = steps.ring_reduce_both_ways(c, in_cube, dtype, cuts, steps.load(x, cuts))
    if c.pe == 0 then
      tiles = steps.ring_reduce_both_ways(c, in_sip, dtype, cuts, tiles)
      if c.sips > 1 then
        if c.cube == 0 then tiles = between_sips(c, dtype, cuts, tiles) end
        tiles = chain(c, dtype, cuts, tiles, c.cube, c.cubes, c.S, c.N)
      end
    end
    if c.cubes * c.sips > 1 then
      tiles = chain(c, dtype, cuts, tiles, c.pe, c.pes, c.E, c.W)
    end
    steps.store(x, cuts, steps.finish(c, tiles))
  end
end

return M
