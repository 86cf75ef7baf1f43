--- A cube: routers at their places, everything else as near to its place as there is room.
local svg = require "kernbench.cli.svg"

local M = {}

local LEFT <const>, AIR <const> = 56, 4 -- AIR: px kept free between boxes
local SIDE_LETTERS <const> = { [0] = "N", "E", "S", "W" }

function M.remark()
  return "Routers, crossbars and ports to scale; parts that share a router's place are drawn beside it. "
    .. "N0: ucie_n.conn0. Hover for names, bandwidths and lengths."
end

-- ---- placing ----

---@class Placer
local Placer = {}
Placer.__index = Placer

function Placer:free(cx, cy, w, h)
  if cx - w / 2 < self.left or cx + w / 2 > self.right or cy - h / 2 < self.top or cy + h / 2 > self.bottom then
    return false
  end
  for _, box in ipairs(self.boxes) do
    if math.abs(cx - box.x) < (w + box.w) / 2 + AIR and math.abs(cy - box.y) < (h + box.h) / 2 + AIR then
      return false
    end
  end
  return true
end

function Placer:put(x, y, w, h)
  local box = { x = x, y = y, w = w, h = h }
  self.boxes[#self.boxes + 1] = box
  return box
end

-- Offsets to try, nearest first.
local function spiral(step, rings)
  local list = {}
  for dy = -rings, rings do
    for dx = -rings, rings do list[#list + 1] = { x = dx * step, y = dy * step, d = dx * dx + dy * dy, n = #list } end
  end
  table.sort(list, function(a, b) return a.d == b.d and a.n < b.n or a.d < b.d end)
  return list
end

--- The box at the first free one of the wanted offsets, else at the nearest free place.
function Placer:near(x, y, w, h, offsets)
  for _, list in ipairs { offsets, self.spiral } do
    for _, offset in ipairs(list) do
      if self:free(x + offset.x, y + offset.y, w, h) then
        return self:put(x + offset.x, y + offset.y, w, h)
      end
    end
  end
  return self:put(x, y, w, h) -- no room at all
end

-- ---- boxes ----

-- Least distance of routers in a row or column, in mm.
local function router_distance(nodes)
  local places, least = { x_mm = {}, y_mm = {} }, math.huge
  for _, node in ipairs(nodes) do
    if node.kind == "router" then
      for axis, list in pairs(places) do list[#list + 1] = node[axis] end
    end
  end
  for _, axis in ipairs { "x_mm", "y_mm" } do
    table.sort(places[axis])
    for i = 2, #places[axis] do
      local distance = places[axis][i] - places[axis][i - 1]
      if distance > 1e-6 then least = math.min(least, distance) end
    end
  end
  return least
end

local function new_view(machine, top)
  local v = { nodes = machine:nodes("cube"), edges = machine:edges("cube"), box = {} }
  v.width = machine:param("sip.cube_mesh.pitch_mm")
  v.pitch = router_distance(v.nodes)
  v.scale = math.min(math.max(840 / v.width, 104 / v.pitch), 2400 / v.width)
  v.pitch = math.min(v.pitch, 112 / v.scale)
  v.size = v.width * v.scale
  v.x, v.y = LEFT, top + 26
  v.placer = setmetatable({ boxes = {}, spiral = spiral(9, 60), left = v.x + 2, right = v.x + v.size - 2,
    top = v.y + 2, bottom = v.y + v.size - 2 }, Placer)
  return v
end

local function place_of(v, node)
  return v.x + node.x_mm * v.scale, v.y + node.y_mm * v.scale
end

-- Beside a router: its four corners, those towards the middle of the die first.
local function corners(v, x, y)
  local dx, dy = 0.28 * v.pitch * v.scale, 0.29 * v.pitch * v.scale
  local sx, sy = x < v.x + v.size / 2 and 1 or -1, y < v.y + v.size / 2 and 1 or -1
  return { { x = sx * dx, y = sy * dy }, { x = -sx * dx, y = sy * dy }, { x = sx * dx, y = -sy * dy },
    { x = -sx * dx, y = -sy * dy } }
end

-- Of each kind: least size in px, and label if it is not the name.
local LOOKS <const> = {
  router = { w = 38, h = 18 },
  ucie = { w = 26, h = 16, label = function(node) return SIDE_LETTERS[node.a] .. node.b end },
  xbar = { w = 190, h = 34 },
  bridge = { w = 70, h = 22 },
  hbm_ctrl = { w = 46, h = 20, label = function(node) return "slice" .. node.a end },
}

local function place_node(v, node)
  local look = LOOKS[node.kind] or {}
  local label = look.label and look.label(node) or node.name
  local x, y = place_of(v, node)
  local w = math.max(look.w or 0, svg.text_width(label, 11) + 12)
  local h = look.h or 20
  local at_home = node.home and node.kind ~= "router"
  local box
  if node.kind == "ucie" then
    box = v.placer:put(x, y, w, h)
  else
    local offsets = at_home and corners(v, x, y) or {}
    table.insert(offsets, at_home and node.kind ~= "hbm_ctrl" and 5 or 1, { x = 0, y = 0 })
    box = v.placer:near(x, y, w, h, offsets)
  end
  box.label, box.kind, box.node = label, node.kind, node
  return box
end

-- The parts of a PE share one box.
local function pe_of(node)
  return node.name:match("^(pe%d+)%.")
end

local function place_all(v)
  local order = { router = 1, ucie = 2, xbar = 3, bridge = 4, hbm_ctrl = 5 }
  local list, pes = {}, {}
  for index, node in ipairs(v.nodes) do list[index] = { index = index, node = node, rank = order[node.kind] or 6 } end
  table.sort(list, function(a, b) return a.rank == b.rank and a.index < b.index or a.rank < b.rank end)
  for _, entry in ipairs(list) do
    local pe = pe_of(entry.node)
    if not pe then
      v.box[entry.index] = place_node(v, entry.node)
    else
      pes[pe] = pes[pe] or place_node(v, { kind = "pe", name = pe, home = entry.node.home, x_mm = entry.node.x_mm,
        y_mm = entry.node.y_mm })
      v.box[entry.index] = pes[pe]
    end
  end
end

-- Two connections of a side at the same router: moved apart along the side.
local function spread_ports(v)
  local taken = {}
  for index, node in ipairs(v.nodes) do
    local box = v.box[index]
    if node.kind == "ucie" then
      local across = node.a % 2 == 0
      local key = ("%d:%s"):format(node.a, svg.num(across and box.x or box.y))
      local n = taken[key] or 0
      taken[key] = n + 1
      local shift = (n + 1) // 2 * (n % 2 == 1 and 1 or -1) * (across and 30 or 19)
      box.x, box.y = box.x + (across and shift or 0), box.y + (across and 0 or shift)
    end
  end
end

-- ---- links ----

local function link_class(a, b)
  local kinds = { [a.kind] = true, [b.kind] = true }
  if kinds.xbar or kinds.hbm_ctrl or kinds.bridge then
    return "hbm"
  elseif kinds.pe then
    return "pe"
  end
  return "noc"
end

-- The crossbar of a line and what it joins to it; nil if there is none.
local function at_crossbar(line)
  if line.b.kind == "xbar" then
    return line.b, line.a
  elseif line.a.kind == "xbar" then
    return line.a, line.b
  end
end

-- Where a part's line to a crossbar leaves it: beside the links of a router, inwards for a slice.
local function lane_x(bar, part)
  local inwards = part.x < bar.x and 1 or -1
  return part.x + (part.kind == "router" and 8 or part.kind == "hbm_ctrl" and 14 or 0) * inwards
end

-- Lanes along which lines come to the side of a crossbar: those from above first, the nearest on
-- top, then those from below, the nearest at the bottom. So they do not cross.
local function assign_lanes(lines)
  local sides = {}
  for _, line in ipairs(lines) do
    local bar, part = at_crossbar(line)
    local x = bar and lane_x(bar, part)
    if bar and math.abs(x - bar.x) >= bar.w / 2 - 4 then
      local side = x < bar.x and "left" or "right"
      bar[side] = bar[side] or {}
      if #bar[side] == 0 then sides[#sides + 1] = { bar, bar[side] } end
      table.insert(bar[side], { line = line, below = part.y > bar.y, far = math.abs(x - bar.x), n = #bar[side] })
    end
  end
  for _, side in ipairs(sides) do
    local bar, list = side[1], side[2]
    table.sort(list, function(p, q)
      if p.below ~= q.below then return q.below end
      if p.far ~= q.far then return (p.far < q.far) ~= p.below end
      return p.n < q.n
    end)
    for i, entry in ipairs(list) do entry.line.lane = bar.y - bar.h / 2 + bar.h * i / (#list + 1) end
  end
end

-- A way between two boxes; to a crossbar down or up beside its part, then along a lane.
local function way(line)
  local bar, part = at_crossbar(line)
  if not bar or part.kind == "xbar" then
    return { line.a.x, line.a.y, line.b.x, line.b.y }
  end
  local x = lane_x(bar, part)
  return line.lane and { x, part.y, x, line.lane, bar.x, line.lane } or { x, part.y, x, bar.y }
end

-- Edges between the same two boxes are one line; its title lists them.
local function draw_links(v, canvas)
  local lines, order = {}, {}
  for _, edge in ipairs(v.edges) do
    local a, b = v.box[edge.from], edge.to and v.box[edge.to]
    if b and edge.from < edge.to and a ~= b then
      local key = tostring(a) .. tostring(b)
      if not lines[key] then
        lines[key] = { a = a, b = b, gbs = edge.gbs, titles = {} }
        order[#order + 1] = lines[key]
      end
      table.insert(lines[key].titles, ("%s to %s: %s GB/s each way, %s mm"):format(v.nodes[edge.from].name,
        v.nodes[edge.to].name, svg.num(edge.gbs), svg.num(edge.length_mm)))
    end
  end
  assign_lanes(order)
  for _, line in ipairs(order) do
    canvas:link(link_class(line.a, line.b), way(line), line.gbs, table.concat(line.titles, "\n"))
  end
end

-- Wires to the neighbours, cut off.
local function draw_links_to_neighbours(v, canvas)
  local dx, dy = { [0] = 0, 1, 0, -1 }, { [0] = -1, 0, 1, 0 }
  for _, edge in ipairs(v.edges) do
    local node = v.nodes[edge.from]
    if edge.exit == "peer" and node.kind == "ucie" then
      local box = v.box[edge.from]
      canvas:link("ucie", { box.x, box.y, box.x + 26 * dx[node.a], box.y + 24 * dy[node.a] }, edge.gbs,
        ("%s to the neighbour: %s GB/s each way, %s mm"):format(node.name, svg.num(edge.gbs), svg.num(edge.length_mm)))
    end
  end
end

local function draw_boxes(v, canvas)
  local drawn = {}
  for _, box in ipairs(v.placer.boxes) do
    if not drawn[box] then
      drawn[box] = true
      local title = box.kind == "pe" and box.label
        or ("%s: %s, %s ns"):format(box.node.name, box.kind, svg.num(box.node.overhead_ns))
      canvas:labelled(box.kind, box.x, box.y, box.w, box.h, box.label, title)
    end
  end
end

function M.draw(canvas, machine, _, top)
  local v = new_view(machine, top)
  canvas:box("die", v.x + v.size / 2, v.y + v.size / 2, v.size, v.size,
    ("a cube of %s x %s mm"):format(svg.num(v.width), svg.num(v.width)))
  place_all(v)
  spread_ports(v)
  draw_links_to_neighbours(v, canvas)
  draw_links(v, canvas)
  draw_boxes(v, canvas)
  return v.x + v.size + LEFT - 28, v.y + v.size + 28, v.scale
end

return M
