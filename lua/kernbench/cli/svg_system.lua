--- The system: host, switch, and the first SIPs with their IO chiplets.
local svg = require "kernbench.cli.svg"

local M = {}

local LEFT <const>, MOST_SIPS <const>, MOST_PX <const>, GAP <const> = 28, 8, 1500, 36

function M.remark()
  return "SIPs to scale; the links' lengths as written."
end

-- The mesh of cubes, small.
local function draw_mesh(canvas, info, x, y, scale, pitch)
  local cube = pitch * scale
  for row = 0, info.mesh_h - 1 do
    for col = 0, info.mesh_w - 1 do
      canvas:box("die", x + (col + 0.5) * cube, y + (row + 0.5) * cube, cube * 0.86, cube * 0.86,
        ("cube%d"):format(row * info.mesh_w + col))
    end
  end
end

-- The parts of a SIP's chiplets that have links out of the SIP: {io, name, kind, edges}.
local function ends_of(machine, info)
  local list = {}
  for io = 0, info.ios - 1 do
    local nodes, found = machine:nodes("io" .. io), {}
    for _, edge in ipairs(machine:edges("io" .. io)) do
      if edge.exit and edge.exit ~= "peer" then
        local part = found[edge.from]
        if not part then
          part = { name = ("io%d.%s"):format(io, nodes[edge.from].name), kind = nodes[edge.from].kind, exits = {} }
          found[edge.from], list[#list + 1] = part, part
        end
        part.exits[edge.exit] = edge
      end
    end
  end
  return list
end

-- One SIP: what leads out of it on top, the cubes below. Adds to `ports`, by where they lead.
local function draw_sip(canvas, facts, sip, place, ends, ports)
  local info, height = facts.info, 44 + place.mesh_h + 12
  canvas:box("sip", place.x + place.w / 2, place.y + height / 2, place.w, height,
    ("sip%d: %d x %d cubes of %s mm"):format(sip, info.mesh_w, info.mesh_h, svg.num(place.pitch)))
  local step = place.w / #ends
  for i, part in ipairs(ends) do
    local cx, cy, w = place.x + (i - 0.5) * step, place.y + 16, math.min(step - 6, 120)
    local name = ("sip%d.%s"):format(sip, part.name)
    local label = svg.text_width(part.name, 11) < w and part.name or part.name:match("^io%d+%.%a")
    canvas:labelled(part.kind, cx, cy, w, 22, label, name)
    for exit, list in pairs(ports) do
      if part.exits[exit] then
        local shift = part.exits.host and part.exits.switch and (exit == "host" and -5 or 5) or 0
        list[#list + 1] = { x = cx + shift, y = cy - 11, name = name, edge = part.exits[exit] }
      end
    end
  end
  draw_mesh(canvas, info, place.x + (place.w - place.mesh_w) / 2, place.y + 40, place.scale, place.pitch)
  canvas:text(place.x + place.w / 2, place.y + height + 18, ("sip%d"):format(sip),
    { size = 13, anchor = "middle", weight = "bold" })
end

-- Links from the lower edge of a box, spread along it, to the SIPs.
local function draw_fan(canvas, class, box, ports)
  for i, port in ipairs(ports) do
    local x = box.x - box.w / 2 + box.w * i / (#ports + 1)
    canvas:link(class, { x, box.y + box.h / 2, port.x, port.y }, port.edge.gbs, ("%s to %s: %s GB/s each way, %s mm")
      :format(box.name, port.name, svg.num(port.edge.gbs), svg.num(port.edge.length_mm)))
  end
end

-- Where the SIPs are drawn: as many as there is room for, two at least.
local function sip_places(machine, info, ends, y)
  local pitch = machine:param("sip.cube_mesh.pitch_mm")
  local scale = 200 / (math.max(info.mesh_w, info.mesh_h) * pitch)
  local mesh_w, mesh_h = info.mesh_w * pitch * scale, info.mesh_h * pitch * scale
  local w = math.max(mesh_w + 16, #ends * 44, 120)
  local room = math.max(2, math.min(MOST_SIPS, MOST_PX // (w + GAP)))
  local shown = math.tointeger(math.min(info.sips, room))
  local width = shown * (w + GAP) - GAP
  local places = { scale = scale, right = LEFT + math.max(width, 700) }
  for i = 1, shown do
    places[i] = { x = (LEFT + places.right - width) / 2 + (i - 1) * (w + GAP), y = y, w = w, scale = scale,
      pitch = pitch, mesh_w = mesh_w, mesh_h = mesh_h }
  end
  return places
end

-- The host or a switch, with what its links amount to.
local function draw_hub(layers, class, node, x, y, ports, times)
  if #ports == 0 then
    return
  end
  local hub = { name = node.name, x = x, y = y, w = 240, h = 48 }
  draw_fan(layers.links, class, hub, ports)
  local edge = ports[1].edge
  layers.boxes:labelled(node.kind, hub.x, hub.y, hub.w, hub.h, hub.name,
    ("%s: %s ns"):format(node.name, svg.num(node.overhead_ns)), { ("%d × %s GB/s, %s mm"):format(
      #ports * times // 1, svg.num(edge.gbs), svg.num(edge.length_mm)) })
end

function M.draw(canvas, machine, facts, top)
  local info = facts.info
  local ends = ends_of(machine, info)
  local places = sip_places(machine, info, ends, top + 170)
  local layers = { links = canvas:layer(), boxes = canvas:layer() }
  local ports = { host = {}, switch = {} }
  for sip, place in ipairs(places) do draw_sip(layers.boxes, facts, sip - 1, place, ends, ports) end
  local nodes, span = machine:nodes("system"), places.right - LEFT
  local times = info.sips / #places
  draw_hub(layers, "pcie", nodes[1], LEFT + span * 0.25, top + 26, ports.host, times)
  draw_hub(layers, "fabric", nodes[2], LEFT + span * 0.75, top + 26, ports.switch, times)
  local bottom = places[1].y + places[1].mesh_h + 80
  if #places < info.sips then
    canvas:text(LEFT + span / 2, bottom + 16, ("%d of %d SIPs are drawn"):format(#places, info.sips),
      { size = 13, anchor = "middle" })
    bottom = bottom + 24
  end
  canvas:merge(layers.links)
  canvas:merge(layers.boxes)
  return places.right, bottom, places.scale
end

return M
