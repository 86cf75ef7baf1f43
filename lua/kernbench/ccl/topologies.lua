--- Who talks to whom: the named topologies over ranks 0 to world - 1.
--
-- A neighbour is {name = "E", rank = 1, peer_direction = "W"}: what a rank sends in its direction E
-- arrives at rank 1, which receives it from its direction W. Neighbours come in a fixed order. A rank
-- has no neighbour in a dimension of extent 1, and may have the same one in two directions.
local M = {}

---@class ccl.Neighbor
---@field name string direction of this rank
---@field rank integer whom it leads to
---@field peer_direction string the direction of that rank which leads back

---@class ccl.Layout
---@field world integer
---@field w integer ranks in a row of the grid
---@field h integer rows
---@field pes integer ranks in a cube
---@field cubes integer cubes of ranks in a SIP
---@field sips integer

local PES, CUBES = 8, 16 -- of the default machine

--- The most square grid that holds exactly `world` ranks: {w, h} with w >= h.
---@param world integer
---@return integer w
---@return integer h
function M.square(world)
  for h = math.floor(math.sqrt(world)), 1, -1 do
    if world % h == 0 then
      return world // h, h
    end
  end
  return world, 1
end

local function check_grid(world, grid)
  local w, h = grid.w, grid.h
  if math.type(w) ~= "integer" or math.type(h) ~= "integer" or w < 1 or h < 1 or w * h ~= world then
    error(("ccl: a grid of %s x %s does not hold %d ranks exactly"):format(tostring(w), tostring(h), world), 0)
  end
  return w, h
end

-- Ranks per cube, cubes per SIP, SIPs: as many as are full. Ranks fill cubes first, then SIPs.
local function levels(world, pes, cubes)
  local in_cube = math.min(world, pes)
  local filled = world // in_cube
  local in_sip = math.max(1, math.min(filled, cubes))
  return in_cube, in_sip, filled // in_sip
end

--- How `world` ranks lie: as a grid, and over cubes and SIPs.
---@param world integer
---@param options? {grid?: {w: integer, h: integer}, pes?: integer, cubes?: integer}
---@return ccl.Layout
function M.layout(world, options)
  options = options or {}
  local layout = { world = world }
  if options.grid then
    layout.w, layout.h = check_grid(world, options.grid)
  else
    layout.w, layout.h = M.square(world)
  end
  layout.pes, layout.cubes, layout.sips = levels(world, options.pes or PES, options.cubes or CUBES)
  return layout
end

local function ring(rank, world)
  if world == 1 then
    return {}
  end
  return { { name = "E", rank = (rank + 1) % world, peer_direction = "W" },
    { name = "W", rank = (rank - 1) % world, peer_direction = "E" } }
end

-- {name, dx, dy, the way back}; y grows to the south
local COMPASS = { { "E", 1, 0, "W" }, { "W", -1, 0, "E" }, { "S", 0, 1, "N" }, { "N", 0, -1, "S" } }

local function grid(rank, layout, wraps)
  local w, h = layout.w, layout.h
  local x, y = rank % w, rank // w
  local list = {}
  for _, way in ipairs(COMPASS) do
    local to_x, to_y = x + way[2], y + way[3]
    local inside = to_x >= 0 and to_x < w and to_y >= 0 and to_y < h
    local extent = way[2] ~= 0 and w or h
    if inside or wraps and extent > 1 then
      list[#list + 1] = { name = way[1], rank = to_y % h * w + to_x % w, peer_direction = way[4] }
    end
  end
  return list
end

local function tree(rank, world)
  local list = {}
  if rank > 0 then
    list[1] = { name = "parent", rank = (rank - 1) // 2, peer_direction = rank % 2 == 1 and "child0" or "child1" }
  end
  for child = 0, 1 do
    local peer = 2 * rank + 1 + child
    if peer < world then
      list[#list + 1] = { name = "child" .. child, rank = peer, peer_direction = "parent" }
    end
  end
  return list
end

local KINDS = {
  ring_1d = function(rank, world) return ring(rank, world) end,
  mesh_2d = function(rank, _, layout) return grid(rank, layout, false) end,
  torus_2d = function(rank, _, layout) return grid(rank, layout, true) end,
  tree_binary = function(rank, world) return tree(rank, world) end,
}

--- The names, in order.
M.names = { "ring_1d", "mesh_2d", "torus_2d", "tree_binary" }

--- Whether there is a topology of that name.
---@param name any
---@return boolean
function M.exists(name)
  return KINDS[name] ~= nil
end

--- Neighbours of a rank.
---@param kind string one of M.names
---@param rank integer
---@param world integer
---@param layout ccl.Layout
---@return ccl.Neighbor[]
function M.neighbors(kind, rank, world, layout)
  return KINDS[kind](rank, world, layout)
end

--- Neighbours under other names: `E` becomes `prefixE`, both ways.
---@param list ccl.Neighbor[]
---@param prefix string
---@return ccl.Neighbor[]
function M.prefixed(list, prefix)
  local renamed = {}
  for i, to in ipairs(list) do
    renamed[i] = { name = prefix .. to.name, rank = to.rank, peer_direction = prefix .. to.peer_direction }
  end
  return renamed
end

return M
