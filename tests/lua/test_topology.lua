-- The machine as the graph describes it: topo.open and what kernbench topology makes of it.
local core = require "kernbench.core"
local facts_of = require "kernbench.cli.topology_facts"
local lu = require "luaunit"
local svg = require "kernbench.cli.svg"
local topo = require "kernbench.core.topo"

local FILE <const> = core.home() .. "/tests/data/topologies/small.yaml"

local VARIANTS <const> = {
  {},
  { "cube.hbm_access=router" },
  { "sip.io_chiplets=[{side: W}, {side: E}]", "sip.cube_mesh.w=3", "sip.cube_mesh.h=1" },
  { "cube.noc.missing=[]", "cube.noc.rows=3", "cube.noc.cols=5", "cube.ucie.connections=3" },
  { "system.sips.count=3", "sip.cube_mesh.w=1", "sip.cube_mesh.h=1", "system.ns_per_mm=0" },
}

local function open(sets)
  return assert(topo.open(FILE, sets))
end

-- Names of the nodes of some kinds in all cubes of some SIPs.
local function ends(machine, kinds, sips)
  local list, info = {}, machine:info()
  for _, sip in ipairs(sips) do
    for cube = 0, info.cubes - 1 do
      for _, node in ipairs(machine:nodes("cube")) do
        if kinds[node.kind] then
          list[#list + 1] = { name = ("sip%d.cube%d.%s"):format(sip, cube, node.name), cube = cube, sip = sip }
        end
      end
    end
  end
  return list
end

local MEMORIES <const> = { hbm_ctrl = true, sram = true, pe_tcm = true }

-- The longest command over all pairs, by trying them.
local function tried(machine, scope)
  local info, longest = machine:info(), nil
  local last = info.sips - 1
  local from = scope == "host" and { { name = "host" } } or ends(machine, { pe_dma = true }, { 0 })
  for _, a in ipairs(from) do
    for _, b in ipairs(ends(machine, MEMORIES, { scope == "sips" and last or 0 })) do
      if scope ~= "cube" or a.cube == b.cube then
        local ns = machine:route(a.name, b.name).command_ns
        longest = longest and math.max(longest, ns) or ns
      end
    end
  end
  return longest
end

local queries = {}

function queries.test_the_longest_routes_are_those_that_trying_all_pairs_finds()
  for _, sets in ipairs(VARIANTS) do
    local machine <close> = open(sets)
    for _, scope in ipairs { "cube", "sip", "sips", "host" } do
      lu.assertEquals(machine:longest(scope).command_ns, tried(machine, scope),
        table.concat(sets, " ") .. " " .. scope)
    end
  end
end

function queries.test_a_machine_of_one_sip_has_no_route_between_sips()
  local machine <close> = open { "system.sips.count=1" }
  lu.assertNil(machine:longest("sips"))
  lu.assertEquals(#facts_of.of(machine).longest_routes, 3)
end

function queries.test_a_route_is_a_chain_of_links_between_its_ends()
  local machine <close> = open {}
  local route = machine:route("host", "sip1.cube3.sram")
  local at = "host"
  for _, link in ipairs(route.links) do
    lu.assertEquals(link.from, at)
    at = link.to
  end
  lu.assertEquals(at, "sip1.cube3.sram")
  lu.assertEquals(route.to_kind, "sram")
end

function queries.test_nodes_and_edges_describe_one_die()
  local machine <close> = open {}
  local nodes = machine:nodes("cube")
  for _, edge in ipairs(machine:edges("cube")) do
    lu.assertNotNil(nodes[edge.from])
    lu.assertTrue(edge.to ~= nil and nodes[edge.to] ~= nil or edge.exit == "peer")
    lu.assertEquals(edge.propagation_ns, math.floor(edge.length_mm * 0.01 * 1000 + 0.5) / 1000)
  end
  lu.assertEquals(machine:nodes("system")[1].name, "host")
  lu.assertErrorMsgContains("expected system, cube, or the number", machine.nodes, machine, "io1")
  lu.assertErrorMsgContains("no node of that name", machine.route, machine, "host", "sip0.cube9.sram")
end

function queries.test_parameters_are_found_by_their_path()
  local machine <close> = open { "cube.noc.pitch_mm=1.5" }
  lu.assertEquals(machine:param("cube.noc.pitch_mm"), 1.5)
  lu.assertEquals(machine:param("system.sips.count"), 2)
  lu.assertEquals(machine:param("cube.hbm_access"), "xbar")
  lu.assertEquals(machine:param("sip.io_chiplets[0].side"), "N")
  lu.assertNil(machine:param("cube.noc"))
  lu.assertNil(machine:param("sip.io_chiplets.side"))
  lu.assertNil(machine:param("nothing.at.all"))
end

function queries.test_a_closed_machine_is_refused_and_a_wrong_file_is_a_message()
  local machine = open {}
  machine:close()
  machine:close()
  lu.assertErrorMsgContains("the topology is closed", machine.info, machine)
  local none, why = topo.open("/nowhere.yaml", {})
  lu.assertNil(none)
  lu.assertStrContains(why, "/nowhere.yaml: cannot open")
end

local drawing = {}

function drawing.test_text_that_xml_cannot_hold_is_replaced()
  lu.assertEquals(svg.escape("a<b>&\"'"), "a&lt;b&gt;&amp;&quot;&#39;")
  lu.assertEquals(svg.escape("\1x\xffy\xEF\xBF\xBFz"), "?x?y?z")
  lu.assertEquals(svg.escape("4 × 4"), "4 × 4")
end

function drawing.test_numbers_have_at_most_two_decimals_and_no_minus_zero()
  lu.assertEquals(svg.num(100), "100")
  lu.assertEquals(svg.num(2.50), "2.5")
  lu.assertEquals(svg.num(1 / 3), "0.33")
  lu.assertEquals(svg.num(-0.001), "0")
end

-- Boxes with labels must not cover each other: rectangles of parts, in the order of the file.
local function part_boxes(text)
  local boxes = {}
  for kind, x, y, w, h in text:gmatch('<rect class="k%-([%w_]+)" x="(%S+)" y="(%S+)" width="(%S+)" height="(%S+)"') do
    if kind ~= "die" and kind ~= "sip" and kind ~= "chiplet" and tonumber(h) ~= 13 then -- 13: of the legend
      boxes[#boxes + 1] = { x = tonumber(x), y = tonumber(y), w = tonumber(w), h = tonumber(h) }
    end
  end
  return boxes
end

function drawing.test_no_two_parts_of_a_cube_cover_each_other()
  for _, sets in ipairs { {}, { "cube.hbm_access=router" }, { "cube.pe_layout.pe_per_corner=8",
    "cube.memory_map.hbm_slices_per_cube=32", "cube.memory_map.hbm_total_gb_per_cube=32" } } do
    local machine <close> = open(sets)
    local text = require("kernbench.cli.svg_views").draw(machine, facts_of.of(machine),
      { path = FILE, sets = sets, view = "cube" })
    local boxes = part_boxes(text)
    lu.assertTrue(#boxes > 40)
    for i, a in ipairs(boxes) do
      for j = 1, i - 1 do
        local b = boxes[j]
        lu.assertTrue(a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y,
          ("boxes %d and %d"):format(j, i))
      end
    end
  end
end

local runner = lu.LuaUnit.new()
local result = runner:runSuiteByInstances { { "TestQueries", queries }, { "TestDrawing", drawing } }
collectgarbage()
os.exit(result == 0, true)
