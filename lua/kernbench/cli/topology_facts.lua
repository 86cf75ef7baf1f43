--- What a machine amounts to: counts, capacities, bandwidths, computing rates, longest routes.
--
-- Everything is added up from the graph (topo.open) and its parameters. Bandwidths are GB/s of one
-- direction, capacities bytes, rates TFLOP/s; a multiply-add counts as two operations.
local M = {}

local GIB <const>, MIB <const> = 1 << 30, 1 << 20
local ROUTES = { { "cube", "inside a cube" }, { "sip", "within a SIP" }, { "sips", "between SIPs" },
  { "host", "from the host" } }

-- What one of something comes to in a cube, in a SIP, in the system; `each` may be nil.
local function levels(info, each, in_cube)
  return { each = each, cube = in_cube, sip = in_cube * info.cubes, system = in_cube * info.cubes * info.sips,
    __order = { "each", "cube", "sip", "system" } }
end

local function count_kind(nodes, kind)
  local count = 0
  for _, node in ipairs(nodes) do
    count = count + (node.kind == kind and 1 or 0)
  end
  return count
end

local function per_sip(info, in_sip)
  return { sip = in_sip, system = in_sip * info.sips, __order = { "sip", "system" } }
end

-- Sum over the edges for which choose(edge, from, to) is true; `to` is nil for edges out of the die.
local function sum_gbs(nodes, edges, choose)
  local sum, count = 0, 0
  for _, edge in ipairs(edges) do
    if choose(edge, nodes[edge.from], edge.to and nodes[edge.to]) then
      sum, count = sum + edge.gbs, count + 1
    end
  end
  return sum, count
end

-- Of the wires between dies on one side of a cube.
local function ucie_side(nodes, edges)
  return sum_gbs(nodes, edges, function(edge, from)
    return edge.exit == "peer" and from.kind == "ucie" and from.a == 0
  end)
end

-- Pairs of edges, one for each direction: inside a cube; of a SIP; in all. Ports at which no
-- neighbour is do not count.
local function count_links(machine, info)
  local function inside(die)
    local count = 0
    for _, edge in ipairs(machine:edges(die)) do count = count + (edge.to and 1 or 0) end
    return count // 2
  end
  local _, connections = ucie_side(machine:nodes("cube"), machine:edges("cube"))
  local neighbours = (info.mesh_w - 1) * info.mesh_h + info.mesh_w * (info.mesh_h - 1)
  local cube = inside("cube")
  local sip, out = info.cubes * cube + neighbours * connections, 0
  for io, chiplet in ipairs(info.chiplets) do
    local die = "io" .. io - 1
    sip = sip + inside(die) + chiplet.cubes * connections
    for _, edge in ipairs(machine:edges(die)) do
      out = out + (edge.exit and edge.exit ~= "peer" and 1 or 0)
    end
  end
  return { cube = cube, sip = sip, system = (sip + out) * info.sips, __order = { "cube", "sip", "system" } }
end

local function counts(machine, info)
  local nodes = machine:nodes("cube")
  return {
    sips = { system = info.sips },
    cubes = per_sip(info, info.cubes),
    io_chiplets = per_sip(info, info.ios),
    pes = levels(info, nil, info.pes),
    hbm_slices = levels(info, nil, info.slices),
    routers = levels(info, nil, count_kind(nodes, "router")),
    nodes = { cube = #nodes, sip = info.sip_nodes, system = info.nodes, __order = { "cube", "sip", "system" } },
    links = count_links(machine, info),
    __order = { "sips", "cubes", "io_chiplets", "pes", "hbm_slices", "routers", "nodes", "links" },
  }
end

local function capacities(machine, info)
  local hbm = machine:param("cube.memory_map.hbm_total_gb_per_cube") * GIB
  local tcm = machine:param("pe.pe_tcm.size_mb") * MIB
  return {
    hbm = levels(info, hbm // info.slices, hbm),
    sram = levels(info, nil, machine:param("cube.sram.size_mb") * MIB),
    tcm = levels(info, tcm, tcm * info.pes),
    __order = { "hbm", "sram", "tcm" },
  }
end

-- The lesser one of the cuts through the middle of the mesh of routers; nil if there is none.
local function noc_bisection(machine, nodes, edges)
  local least
  for _, cut in ipairs { { "a", machine:param("cube.noc.rows") }, { "b", machine:param("cube.noc.cols") } } do
    local axis, extent = cut[1], cut[2]
    local gbs, links = sum_gbs(nodes, edges, function(_, from, to)
      return to and from.kind == "router" and to.kind == "router" and from[axis] < extent // 2
        and to[axis] >= extent // 2
    end)
    if extent > 1 and (not least or gbs < least.gbs) then
      least = { gbs = gbs, links = links, __order = { "gbs", "links" } }
    end
  end
  return least
end

local function sip_bisection(info, side_gbs, side_links)
  local cubes
  if info.mesh_w > 1 and info.mesh_h > 1 then
    cubes = math.min(info.mesh_w, info.mesh_h)
  elseif info.cubes > 1 then
    cubes = 1
  end
  return cubes and { gbs = cubes * side_gbs, links = cubes * side_links, __order = { "gbs", "links" } }
end

-- Of the IO chiplets' edges that leave in this way.
local function io_exits(machine, info, exit)
  local in_sip, each = 0, nil
  for io = 0, info.ios - 1 do
    local die = "io" .. io
    local gbs = sum_gbs(machine:nodes(die), machine:edges(die), function(edge) return edge.exit == exit end)
    each = each or gbs
    in_sip = in_sip + gbs
  end
  return { each = each, sip = in_sip, system = in_sip * info.sips, __order = { "each", "sip", "system" } }
end

local function pe_to_hbm(nodes, edges)
  local each
  local sum = sum_gbs(nodes, edges, function(edge, from, to)
    local chosen = to and (from.kind == "pe_dma" and to.kind == "xbar")
      or (to and from.kind == "router" and to.kind == "hbm_ctrl")
    each = chosen and (each or edge.gbs) or each
    return chosen
  end)
  return each, sum
end

local function slice_gbs(machine)
  local peak = machine:param("cube.hbm_ctrl.pseudo_channels") * machine:param("cube.hbm_ctrl.pc_bw_gbs")
  return peak, peak * machine:param("cube.hbm_ctrl.efficiency")
end
M.slice_gbs = slice_gbs

local function bandwidths(machine, info)
  local nodes, edges = machine:nodes("cube"), machine:edges("cube")
  local peak, reached = slice_gbs(machine)
  local side_gbs, side_links = ucie_side(nodes, edges)
  local sram = sum_gbs(nodes, edges, function(_, _, to) return to and to.kind == "sram" end)
  return {
    hbm_peak = levels(info, peak, peak * info.slices),
    hbm_efficiency = levels(info, reached, reached * info.slices),
    pe_to_hbm = levels(info, pe_to_hbm(nodes, edges)),
    sram = levels(info, nil, sram),
    noc_bisection = noc_bisection(machine, nodes, edges),
    ucie_side = { gbs = side_gbs, links = side_links, __order = { "gbs", "links" } },
    sip_bisection = sip_bisection(info, side_gbs, side_links),
    pcie = io_exits(machine, info, "host"),
    fabric = io_exits(machine, info, "switch"),
    __order = { "hbm_peak", "hbm_efficiency", "pe_to_hbm", "sram", "noc_bisection", "ucie_side", "sip_bisection",
      "pcie", "fabric" },
  }
end

local function compute(machine, info)
  local macs = machine:param("pe.pe_gemm.rows") * machine:param("pe.pe_gemm.cols") * machine:param("pe.pe_gemm.depth")
  local gemm = 2 * macs * machine:param("pe.pe_gemm.ghz") / 1000
  local math_rate = machine:param("pe.pe_math.lanes") * machine:param("pe.pe_math.ghz") / 1000
  return { gemm_f16 = levels(info, gemm, gemm * info.pes), math_f16 = levels(info, math_rate, math_rate * info.pes),
    __order = { "gemm_f16", "math_f16" } }
end

-- The slowest part of a route: a link, or the slice at its end.
local function bottleneck(machine, route)
  local least, where
  for _, link in ipairs(route.links) do
    if not least or link.gbs < least then
      least, where = link.gbs, link.from .. " -> " .. link.to
    end
  end
  local _, reached = slice_gbs(machine)
  if route.to_kind == "hbm_ctrl" and reached < least then
    return reached, route.to
  end
  return least, where
end

--- The longest route of a scope ("cube", "sip", "sips", "host"); nil if the machine has none.
local function longest(machine, scope)
  local route = machine:longest(scope)
  if not route then
    return nil
  end
  local mm = 0
  for _, link in ipairs(route.links) do mm = mm + link.length_mm end
  local gbs, where = bottleneck(machine, route)
  return { scope = scope, from = route.from, to = route.to, links = #route.links, mm = mm,
    command_ns = route.command_ns, bottleneck_gbs = gbs, bottleneck = where,
    __order = { "scope", "from", "to", "links", "mm", "command_ns", "bottleneck_gbs", "bottleneck" } }
end

local function longest_routes(machine)
  local list = setmetatable({}, { __name = "json.array" })
  for _, scope in ipairs(ROUTES) do
    list[#list + 1] = longest(machine, scope[1])
  end
  return list
end

--- What a scope of a longest route is called.
function M.scope_title(scope)
  for _, entry in ipairs(ROUTES) do
    if entry[1] == scope then return entry[2] end
  end
end

---@param machine table from topo.open
---@return table facts {info, counts, capacity_bytes, bandwidth_gbs, compute_tflops, longest_routes}
function M.of(machine)
  local info = machine:info()
  return {
    info = info,
    counts = counts(machine, info),
    capacity_bytes = capacities(machine, info),
    bandwidth_gbs = bandwidths(machine, info),
    compute_tflops = compute(machine, info),
    longest_routes = longest_routes(machine),
  }
end

return M
