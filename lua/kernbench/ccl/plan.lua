--- Install plans: which PE is which rank, and which PE each of its directions leads to.
--
--     {name =, buffer_kind =, n_slots =, slot_size =, backpressure =, credit_bytes =, vc_chunk =, pes = {
--       {sip =, cube =, pe =, rank =, directions = {{name =, peer = {sip, cube, pe}, peer_direction =}, ...}}, ...}}
--
-- A plan is plain data: made here from an algorithm (or a topology) and a machine, checked here, printed
-- by `kernbench list --plan`, and installed by engine:install_ipcq.
local algorithms = require "kernbench.ccl.algorithms"
local topologies = require "kernbench.ccl.topologies"

local M = {}

---@class ccl.PlanOptions
---@field ranks "pe"|"cube"|"sip" what a rank is
---@field world_size? integer all there are if absent
---@field num_cubes? integer cubes used of each SIP, from 0
---@field rank_to_pe? table|fun(rank: integer): integer, integer, integer {sip, cube, pe} of every rank, rank 0 first
---@field sips? integer[] the SIP of every rank, if ranks are SIPs
---@field shards? table[] {cube =, pe =}: the PEs of a SIP that take part, if ranks are SIPs; all if absent
---@field grid? {w: integer, h: integer}
---@field sip_topology? string between SIPs, for centre_root; that of the machine's grid if absent
---@field prefix? string before the names of directions

local function check_count(what, value, most, of)
  if math.type(value) ~= "integer" or value < 1 or value > most then
    error(("install_ipcq: %s is %s; expected 1 to %d, %s"):format(what, tostring(value), most, of), 0)
  end
  return value
end

-- ---- ranks and PEs ----

-- Places of ranks in the order PE, cube, SIP: {sip, cube, pe}.
local function linear(rank, pes, cubes)
  local cube = rank // pes
  return { cube // cubes, cube % cubes, rank % pes }
end

local function mapped(rank, map)
  local place
  if type(map) == "function" then
    place = { map(rank) }
  else
    place = map[rank + 1]
  end
  if type(place) ~= "table" or #place ~= 3 then
    error(("install_ipcq: rank_to_pe gives no {sip, cube, pe} for rank %d"):format(rank), 0)
  end
  return place
end

local function check_place(place, rank, machine)
  for i, part in ipairs { "sip", "cube", "pe" } do
    local most = machine[part .. "s"]
    if math.type(place[i]) ~= "integer" or place[i] < 0 or place[i] >= most then
      error(("install_ipcq: rank %d is on %s %s; there are %d, from 0"):format(rank, part, tostring(place[i]), most), 0)
    end
  end
end

-- World, and how many ranks are in a cube and cubes in a SIP.
local function extent(options, machine)
  local cubes = check_count("num_cubes", options.num_cubes or machine.cubes, machine.cubes, "the cubes of a SIP")
  if options.ranks == "sip" then
    local world = options.sips and #options.sips or options.world_size or machine.sips
    return check_count("world_size", world, machine.sips, "the SIPs there are"), 1, 1
  elseif options.ranks == "cube" then
    local most = cubes * machine.sips
    return check_count("world_size", options.world_size or most, most, "the cubes there are"), 1, cubes
  elseif options.ranks ~= "pe" then
    error(("install_ipcq: ranks is %s; expected \"pe\", \"cube\" or \"sip\""):format(tostring(options.ranks)), 0)
  end
  local most = machine.pes * cubes * machine.sips
  return check_count("world_size", options.world_size or most, most, "the PEs there are"), machine.pes, cubes
end

--- How the ranks of a plan lie: the layout that algorithms are asked with.
---@param options ccl.PlanOptions
---@param machine table
---@return ccl.Layout
function M.layout(options, machine)
  local world, pes, cubes = extent(options, machine)
  local layout = topologies.layout(world, { pes = pes, cubes = cubes, grid = options.grid })
  local two_dimensional = machine.sip_grid and machine.sip_grid ~= "ring_1d"
  if options.ranks == "sip" and not options.grid and two_dimensional and world == machine.sips then
    layout.w, layout.h = machine.sip_w, machine.sip_h
  elseif options.ranks == "cube" and layout.cubes == machine.cubes then
    layout.mesh = { w = machine.mesh_w, h = machine.mesh_h }
    if layout.sips == 1 and not options.grid then layout.w, layout.h = machine.mesh_w, machine.mesh_h end
  end
  layout.sip_topology = options.sip_topology or machine.sip_grid
  if two_dimensional and layout.sips == machine.sips then
    layout.sip_grid = { w = machine.sip_w, h = machine.sip_h }
  end
  return layout
end

--- The place of every rank, by rank from 0. Ranks that are SIPs are on many PEs; theirs has the SIP only.
---@return table<integer, integer[]> {sip, cube, pe}
function M.places(options, machine, layout)
  local places, taken = {}, {}
  local _, pes, cubes = extent(options, machine)
  if not options.rank_to_pe and options.ranks ~= "sip" then
    for rank = 0, layout.world - 1 do places[rank] = linear(rank, pes, cubes) end
    return places
  end
  for rank = 0, layout.world - 1 do
    local place = options.rank_to_pe and mapped(rank, options.rank_to_pe)
      or { options.sips and options.sips[rank + 1] or rank, 0, 0 }
    check_place(place, rank, machine)
    local key = (place[1] * machine.cubes + place[2]) * machine.pes + place[3]
    if taken[key] then
      error(("install_ipcq: ranks %d and %d are both on sip%d.cube%d.pe%d"):format(taken[key], rank, place[1], place[2],
        place[3]), 0)
    end
    places[rank], taken[key] = place, rank
  end
  return places
end

-- ---- plans ----

-- PEs on which every rank has a copy of the rings: {{cube, pe}, ...}.
local function positions(options, machine)
  if options.ranks ~= "sip" then
    return nil
  elseif options.shards then
    local list, seen = {}, {}
    for _, shard in ipairs(options.shards) do
      local key = shard.cube * machine.pes + shard.pe
      if not seen[key] then
        seen[key] = true
        list[#list + 1] = { shard.cube, shard.pe }
      end
    end
    table.sort(list, function(a, b) return a[1] < b[1] or a[1] == b[1] and a[2] < b[2] end)
    return list
  end
  local list = {}
  for cube = 0, (options.num_cubes or machine.cubes) - 1 do
    for pe = 0, machine.pes - 1 do list[#list + 1] = { cube, pe } end
  end
  return list
end

local function entry(place, rank, neighbors, places, prefix, position)
  local directions = {}
  for i, to in ipairs(neighbors) do
    local peer = places[to.rank]
    if not peer then
      error(("install_ipcq: direction %s of rank %d leads to rank %s, which does not exist"):format(to.name, rank,
        tostring(to.rank)), 0)
    end
    directions[i] = { name = prefix .. to.name, peer_direction = prefix .. to.peer_direction,
      peer = position and { peer[1], position[1], position[2] } or peer }
  end
  return { sip = place[1], cube = position and position[1] or place[2], pe = position and position[2] or place[3],
    rank = rank, directions = directions }
end

local function key_of(machine, sip, cube, pe)
  return (sip * machine.cubes + cube) * machine.pes + pe
end

-- By place of the PE and direction: the direction.
local function index_of(plan, machine)
  local index = {}
  for _, pe in ipairs(plan.pes) do
    local by_name = {}
    for _, direction in ipairs(pe.directions) do
      if by_name[direction.name] then
        error(("install_ipcq: rank %d has two directions %s"):format(pe.rank, direction.name), 0)
      end
      by_name[direction.name] = direction
    end
    index[key_of(machine, pe.sip, pe.cube, pe.pe)] = by_name
  end
  return index
end

--- Raise unless every direction leads to one that leads back: for plans that are only shown.
---@param plan table
---@param machine table
function M.check(plan, machine)
  local index = index_of(plan, machine)
  for _, pe in ipairs(plan.pes) do
    for _, to in ipairs(pe.directions) do
      local there = index[key_of(machine, to.peer[1], to.peer[2], to.peer[3])]
      local back = there and there[to.peer_direction]
      if not back or back.peer_direction ~= to.name or back.peer[1] ~= pe.sip or back.peer[2] ~= pe.cube
        or back.peer[3] ~= pe.pe then
        error(("install_ipcq: direction %s of sip%d.cube%d.pe%d leads to %s of sip%d.cube%d.pe%d, which does not lead "
          .. "back"):format(to.name, pe.sip, pe.cube, pe.pe, to.peer_direction, to.peer[1], to.peer[2], to.peer[3]), 0)
      end
    end
  end
end

-- Nearly all that this makes stays, and is much on a large machine: collecting meanwhile would only visit it
-- again and again.
local function without_collecting(fn, ...)
  local collects = collectgarbage "isrunning"
  collectgarbage "stop"
  local results = table.pack(pcall(fn, ...))
  if collects then collectgarbage "restart" end
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

local function make(wiring, settings, options, machine)
  if type(wiring) == "string" then
    wiring = { name = wiring, topology = wiring }
  end
  local layout = M.layout(options, machine)
  algorithms.check_layout(wiring, layout, options.n_elem)
  local places = M.places(options, machine, layout)
  local plan = { name = wiring.name, buffer_kind = settings.buffer_kind, n_slots = settings.n_slots,
    slot_size = settings.slot_size, backpressure = settings.backpressure, credit_bytes = settings.credit_bytes,
    vc_chunk = settings.vc_chunk, pes = {} }
  local where, prefix = positions(options, machine), options.prefix or (options.ranks == "sip" and "global_" or "")
  for rank = 0, layout.world - 1 do
    local neighbors = algorithms.neighbors(wiring, rank, layout)
    if where then
      for _, position in ipairs(where) do
        plan.pes[#plan.pes + 1] = entry(places[rank], rank, neighbors, places, prefix, position)
      end
    else
      plan.pes[rank + 1] = entry(places[rank], rank, neighbors, places, prefix)
    end
  end
  return plan, layout, places
end

--- The plan of an algorithm, or of a bare topology. Who installs it has it checked by the engine; see M.check.
---@param wiring ccl.Algorithm|string an algorithm, or the name of a topology
---@param settings ccl.Settings
---@param options ccl.PlanOptions
---@param machine table engine:machine()
---@return table plan
---@return ccl.Layout
---@return table<integer, integer[]> places by rank
function M.make(wiring, settings, options, machine)
  return without_collecting(make, wiring, settings, options, machine)
end

--- A plan as text, one line per PE.
---@param plan table
---@return string
function M.text(plan)
  local directions = 0
  for _, pe in ipairs(plan.pes) do directions = directions + #pe.directions end
  local lines = { ("plan '%s': %d PEs, %d directions; rings of %d slots of %d B in %s, %s, credits of %d B%s"):format(
    plan.name, #plan.pes, directions, plan.n_slots, plan.slot_size, plan.buffer_kind, plan.backpressure,
    plan.credit_bytes, plan.vc_chunk > 0 and (", sent in chunks of %d B"):format(plan.vc_chunk) or "") }
  for _, pe in ipairs(plan.pes) do
    local words = {}
    for i, to in ipairs(pe.directions) do
      words[i] = ("%s -> sip%d.cube%d.pe%d %s"):format(to.name, to.peer[1], to.peer[2], to.peer[3], to.peer_direction)
    end
    lines[#lines + 1] = ("  rank %-4d sip%d.cube%d.pe%d  %s"):format(pe.rank, pe.sip, pe.cube, pe.pe,
      #words > 0 and table.concat(words, ", ") or "(no neighbours)")
  end
  return table.concat(lines, "\n")
end

return M
