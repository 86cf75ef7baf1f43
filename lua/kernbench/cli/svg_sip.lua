--- A SIP: its cubes, the UCIe wires between them, its IO chiplets.
local svg = require "kernbench.cli.svg"

local M = {}

local LEFT <const>, THICK <const> = 28, 66 -- THICK: of an IO chiplet
local SIDES <const> = { N = 0, E = 1, S = 2, W = 3 }

function M.remark()
  return "Cubes to scale, drawn apart by the length of the wires between them; an IO chiplet has no size of its own."
end

-- The connections of each side: offset in mm along the side, and the wire's edge.
local function connections(machine)
  local nodes, sides = machine:nodes("cube"), { [0] = {}, {}, {}, {} }
  for _, edge in ipairs(machine:edges("cube")) do
    local node = nodes[edge.from]
    if edge.exit == "peer" and node.kind == "ucie" then
      local along = (node.a % 2 == 0) and node.x_mm or node.y_mm
      table.insert(sides[node.a], { at = along, edge = edge, name = node.name })
    end
  end
  return sides
end

-- Connections that cannot be told apart in the drawing become one line of their joint bandwidth.
local function joined(list, px_per_mm)
  local least = math.huge
  for i = 2, #list do least = math.min(least, math.abs(list[i].at - list[i - 1].at) * px_per_mm) end
  if #list < 2 or least >= svg.link_width(list[1].edge.gbs) + 1 then
    return list
  end
  local gbs, at = 0, 0
  for _, one in ipairs(list) do gbs, at = gbs + one.edge.gbs, at + one.at / #list end
  local edge = { gbs = gbs, length_mm = list[1].edge.length_mm }
  return { { at = at, edge = edge, name = ("%d connections"):format(#list) } }
end

local function geometry(machine, info, top)
  local pitch = machine:param("sip.cube_mesh.pitch_mm")
  local scale = math.max(44 / pitch, math.min(860 / (math.max(info.mesh_w, info.mesh_h) * pitch), 190 / pitch))
  local g = { pitch = pitch, scale = scale, cell = pitch * scale, info = info }
  g.gap = math.max(6, math.min(machine:param("cube.ucie.length_mm") * scale, 0.3 * g.cell))
  local count = { N = 0, E = 0, S = 0, W = 0 }
  for _, chiplet in ipairs(info.chiplets) do count[chiplet.side] = 1 end
  local deep = THICK + g.gap
  g.x = LEFT + count.W * deep + (count.W > 0 and 120 or 0)
  g.y = top + count.N * deep + (count.N > 0 and 30 or 0)
  g.right = g.x + info.mesh_w * g.cell + count.E * deep + (count.E > 0 and 120 or 0)
  g.bottom = g.y + info.mesh_h * g.cell + count.S * deep + (count.S > 0 and 30 or 0)
  return g
end

-- Where a place along a cube's side is, in px from the cube's corner: cubes are drawn smaller.
local function along(g, mm)
  return g.gap / 2 + mm / g.pitch * (g.cell - g.gap)
end

local function wire_title(from, to, one)
  return ("%s to %s, %s: %s GB/s each way, %s mm"):format(from, to, one.name, svg.num(one.edge.gbs),
    svg.num(one.edge.length_mm))
end

local function draw_wires(canvas, g, sides, col, row)
  local x, y, cube = g.x + col * g.cell, g.y + row * g.cell, row * g.info.mesh_w + col
  if col + 1 < g.info.mesh_w then
    for _, one in ipairs(joined(sides[1], g.scale)) do
      local at = y + along(g, one.at)
      canvas:link("ucie", { x + g.cell - g.gap / 2, at, x + g.cell + g.gap / 2, at }, one.edge.gbs,
        wire_title("cube" .. cube, "cube" .. cube + 1, one))
    end
  end
  if row + 1 < g.info.mesh_h then
    for _, one in ipairs(joined(sides[2], g.scale)) do
      local at = x + along(g, one.at)
      canvas:link("ucie", { at, y + g.cell - g.gap / 2, at, y + g.cell + g.gap / 2 }, one.edge.gbs,
        wire_title("cube" .. cube, "cube" .. cube + g.info.mesh_w, one))
    end
  end
end

local function draw_cube(canvas, g, facts, col, row)
  local info, cube = facts.info, row * g.info.mesh_w + col
  local cx, cy, size = g.x + (col + 0.5) * g.cell, g.y + (row + 0.5) * g.cell, g.cell - g.gap
  local hbm = svg.num(facts.capacity_bytes.hbm.cube / (1 << 30))
  canvas:box("die", cx, cy, size, size, ("cube%d: %d PEs, %s GiB of HBM"):format(cube, info.pes, hbm))
  if size < 96 then
    canvas:text(cx, cy + 4, size < 60 and tostring(cube) or "cube" .. cube, { anchor = "middle", size = 11 })
    return
  end
  canvas:text(cx, cy - 10, "cube" .. cube, { anchor = "middle", size = 13, weight = "bold" })
  canvas:text(cx, cy + 8, ("%d PEs"):format(info.pes), { anchor = "middle" })
  canvas:text(cx, cy + 24, ("HBM %s GiB"):format(hbm), { anchor = "middle" })
end

-- ---- IO chiplets ----

-- Frame in which a chiplet lies along its side: from its first cube on, and outwards.
local function frame(g, chiplet)
  local side = chiplet.side
  local across = side == "N" or side == "S"
  local outer = side == "N" and g.y or side == "S" and g.y + g.info.mesh_h * g.cell or side == "W" and g.x
    or g.x + g.info.mesh_w * g.cell
  local sign = (side == "N" or side == "W") and -1 or 1
  local first = chiplet.first * g.cell
  return { length = chiplet.cubes * g.cell, across = across, sign = sign, place = function(along_px, out_px)
    if across then
      return g.x + first + along_px, outer + sign * out_px
    end
    return outer + sign * out_px, g.y + first + along_px
  end }
end

local function draw_phys(canvas, g, sides, f, chiplet, io)
  for phy = 0, chiplet.cubes - 1 do
    for _, one in ipairs(joined(sides[SIDES[chiplet.side]], g.scale)) do
      local at = phy * g.cell + along(g, one.at)
      local x1, y1 = f.place(at, -g.gap / 2)
      local x2, y2 = f.place(at, g.gap / 2)
      canvas:link("ucie", { x1, y1, x2, y2 }, one.edge.gbs,
        wire_title(("io%d.ucie%d"):format(io, phy), "its edge cube", one))
    end
  end
end

-- The chiplet's parts but its PHYs, io_noc in the middle: sequence of {index, node}.
local function parts_of(nodes)
  local parts, noc = {}, nil
  for index, node in ipairs(nodes) do
    if node.kind == "io_noc" then
      noc = { index = index, node = node }
    elseif node.kind ~= "io_ucie" then
      parts[#parts + 1] = { index = index, node = node }
    end
  end
  if noc then table.insert(parts, #parts // 2 + 1, noc) end
  return parts
end

-- Straight to the next part, beside those that lie between.
local function way_past(a, b, across)
  if math.abs(a.i - b.i) == 1 then
    return { a.x, a.y, b.x, b.y }
  elseif across then
    return { a.x, a.y, a.x, a.y + 18, b.x, b.y + 18, b.x, b.y }
  end
  return { a.x, a.y, a.x + 28, a.y, b.x + 28, b.y, b.x, b.y }
end

local function draw_parts(layers, machine, f, g, io)
  local die = "io" .. io
  local parts, at = parts_of(machine:nodes(die)), {}
  -- Behind the chiplet's name, which is at its left or at its top.
  local first = g.gap / 2 + (f.across and 36 or 20)
  local step = (f.length - g.gap / 2 - first) / #parts
  local w = f.across and math.min(96, step - 8) or 46
  for i, part in ipairs(parts) do
    local node = part.node
    local x, y = f.place(first + (i - 0.5) * step, g.gap / 2 + THICK / 2)
    at[part.index] = { x = x, y = y, i = i }
    local label = w < svg.text_width(node.name, 11) and node.name:gsub("^%a+_", "") or node.name
    layers.boxes:labelled(node.kind, x, y, w, 22, w < svg.text_width(label, 11) and "" or label,
      ("%s: %s, %s ns"):format(die, node.name, svg.num(node.overhead_ns)))
  end
  for _, edge in ipairs(machine:edges(die)) do
    local a, b = at[edge.from], at[edge.to]
    if a and b and edge.from < edge.to then
      layers.inner:link("io", way_past(a, b, f.across), edge.gbs, ("%s to %s: %s GB/s each way, %s mm"):format(
        machine:nodes(die)[edge.from].name, machine:nodes(die)[edge.to].name, svg.num(edge.gbs),
        svg.num(edge.length_mm)))
    end
  end
end

local function draw_outside(canvas, machine, f, g, io)
  local texts = {}
  for _, edge in ipairs(machine:edges("io" .. io)) do
    if edge.exit and edge.exit ~= "peer" then
      texts[#texts + 1] = ("%s %s GB/s"):format(edge.exit, svg.num(edge.gbs))
    end
  end
  if f.across then
    local x, y = f.place(f.length / 2, g.gap / 2 + THICK)
    local line = "to " .. table.concat(texts, ", to ")
    local lines = svg.text_width(line, 11) < f.length and { line } or { "to " .. texts[1], "to " .. texts[2] }
    y = f.sign < 0 and y - 14 * #lines + 6 or y + 18
    for i, text in ipairs(lines) do
      canvas:text(x, y + 14 * (i - 1), text, { anchor = "middle", size = 11 })
    end
  else
    local x, y = f.place(f.length / 2, g.gap / 2 + THICK + 8)
    for i, text in ipairs(texts) do
      canvas:text(x, y + 14 * i, "to " .. text, { anchor = f.sign < 0 and "end" or "start", size = 11 })
    end
  end
end

local function draw_chiplet(layers, machine, g, sides, io)
  local chiplet = g.info.chiplets[io + 1]
  local f = frame(g, chiplet)
  draw_phys(layers.links, g, sides, f, chiplet, io)
  local x1, y1 = f.place(g.gap / 2, g.gap / 2)
  local x2, y2 = f.place(f.length - g.gap / 2, g.gap / 2 + THICK)
  local cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
  layers.dies:box("chiplet", cx, cy, math.abs(x2 - x1), math.abs(y2 - y1),
    ("io%d on side %s"):format(io, chiplet.side))
  local tx, ty = f.place(g.gap / 2 + 8, g.gap / 2 + THICK / 2)
  layers.boxes:text(f.across and tx or cx, ty + (f.across and 4 or 8), "io" .. io,
    { size = 13, weight = "bold", anchor = not f.across and "middle" or nil })
  draw_parts(layers, machine, f, g, io)
  draw_outside(layers.boxes, machine, f, g, io)
end

function M.draw(canvas, machine, facts, top)
  local info = facts.info
  local g, sides = geometry(machine, info, top + 6), connections(machine)
  local layers = { links = canvas:layer(), dies = canvas:layer(), inner = canvas:layer(), boxes = canvas:layer() }
  for row = 0, info.mesh_h - 1 do
    for col = 0, info.mesh_w - 1 do
      draw_wires(layers.links, g, sides, col, row)
      draw_cube(layers.dies, g, facts, col, row)
    end
  end
  for io = 0, info.ios - 1 do draw_chiplet(layers, machine, g, sides, io) end
  for _, name in ipairs { "links", "dies", "inner", "boxes" } do canvas:merge(layers[name]) end
  return g.right, g.bottom, g.scale
end

return M
