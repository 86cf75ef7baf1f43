--- A PE: its parts, what passes between them, and its links to the cube. A PE has no extent in the
-- file, so this view is a diagram.
local svg = require "kernbench.cli.svg"

local M = {}

local LEFT <const> = 28
-- Column and row of each part; others go below.
local PLACES <const> = {
  pe_cpu = { 1, 0 }, pe_scheduler = { 2, 0 }, pe_dma = { 1, 1 }, pe_tcm = { 2, 1 }, pe_fetch_store = { 3, 1 },
  registers = { 4, 1 }, pe_gemm = { 5, 0.5 }, pe_math = { 5, 1.5 }, pe_mmu = { 1, 2 }, pe_ipcq = { 2, 2 },
}
local WIRES <const> = { { "pe_dma", "pe_tcm" }, { "pe_tcm", "pe_fetch_store" }, { "pe_fetch_store", "registers" },
  { "registers", "pe_gemm" }, { "registers", "pe_math" }, { "pe_dma", "pe_mmu" }, { "pe_dma", "pe_ipcq" } }

function M.remark()
  return "PE 0 of a cube, as a diagram: its parts have one place, that of its router. Wires inside it have no "
    .. "bandwidth but TCM's ports."
end

local function details(machine, facts)
  local function param(path) return svg.num(machine:param("pe." .. path)) end
  local rate = facts.compute_tflops
  return {
    pe_cpu = { param("pe_cpu.overhead_ns") .. " ns a command" },
    pe_scheduler = { param("pe_scheduler.overhead_ns") .. " ns a command", param("pe_scheduler.tile_queue")
      .. " tiles ahead" },
    pe_dma = { "1 read, 1 write channel", param("pe_dma.outstanding") .. " at a time in each" },
    pe_tcm = { param("pe_tcm.size_mb") .. " MiB", param("pe_tcm.reserved_mb") .. " MiB for the scheduler" },
    pe_fetch_store = { param("pe_fetch_store.overhead_ns") .. " ns a tile" },
    pe_gemm = { ("%s × %s × %s at %s GHz"):format(param("pe_gemm.rows"), param("pe_gemm.cols"), param("pe_gemm.depth"),
      param("pe_gemm.ghz")), ("%.4g"):format(rate.gemm_f16.each) .. " TFLOP/s f16" },
    pe_math = { ("%s lanes at %s GHz"):format(param("pe_math.lanes"), param("pe_math.ghz")),
      ("%.4g"):format(rate.math_f16.each) .. " TFLOP/s f16" },
    pe_mmu = { ("pages of %s B"):format(param("pe_mmu.page_bytes")) },
    pe_ipcq = { param("pe_ipcq.overhead_ns") .. " ns a command" },
    registers = { "operands and", "accumulators" },
  }
end

local function box_at(top, column, row)
  return { x = LEFT + 96 + 204 * column, y = top + 46 + 112 * row, w = 164, h = 62 }
end

-- The parts of PE 0 with their boxes, in the order of the graph; then the register file.
local function parts_of(machine, top)
  local parts, by_name, extra = {}, {}, 0
  for index, node in ipairs(machine:nodes("cube")) do
    local name = node.name:match("^pe0%.(.*)")
    if name then
      local place = PLACES[name]
      if not place then
        place = { 2 + extra, 2 }
        extra = extra + 1
      end
      local box = box_at(top, place[1], place[2])
      box.name, box.kind, box.index, box.node = name, node.kind, index, node
      parts[#parts + 1], by_name[name] = box, box
    end
  end
  local file = box_at(top, PLACES.registers[1], PLACES.registers[2])
  file.name, file.kind, file.w = "register file", "registers", 120
  parts[#parts + 1], by_name.registers = file, file
  return parts, by_name
end

-- From edge to edge of two boxes, level or upright where they face each other.
local function between(a, b, shift)
  if math.abs(a.y - b.y) < a.h / 2 then
    local sign = a.x < b.x and 1 or -1
    return { a.x + sign * a.w / 2, a.y + shift, b.x - sign * b.w / 2, a.y + shift }
  elseif math.abs(a.x - b.x) < a.w / 2 then
    local sign = a.y < b.y and 1 or -1
    return { a.x + shift, a.y + sign * a.h / 2, a.x + shift, b.y - sign * b.h / 2 }
  end
  local sign, half = a.x < b.x and 1 or -1, (a.x + b.x) / 2
  return { a.x + sign * a.w / 2, a.y, half, a.y, half, b.y, b.x - sign * b.w / 2, b.y }
end

local function draw_wires(canvas, machine, by_name)
  local tcm_gbs = { machine:param("pe.pe_tcm.read_bw_gbs"), machine:param("pe.pe_tcm.write_bw_gbs") }
  for _, wire in ipairs(WIRES) do
    local a, b = by_name[wire[1]], by_name[wire[2]]
    if a and b then
      local port = wire[2] == "pe_fetch_store"
      local title = port and ("TCM ports: %s GB/s read, %s GB/s write"):format(svg.num(tcm_gbs[1]), svg.num(tcm_gbs[2]))
        or ("%s, %s: a wire"):format(wire[1], wire[2])
      canvas:link("wire", between(a, b, 0), port and tcm_gbs[1] or nil, title, { width = not port and 1.6 or nil })
    end
  end
end

-- The scheduler's commands go along a rail above the engines.
local function draw_commands(canvas, by_name)
  local cpu, scheduler = by_name.pe_cpu, by_name.pe_scheduler
  canvas:link("command", between(cpu, scheduler, 0), nil, "commands of the kernel", { dashed = true, arrow = true })
  local rail = scheduler.y + scheduler.h / 2 + 22
  for _, name in ipairs { "pe_dma", "pe_fetch_store" } do
    local box = by_name[name]
    if box then
      canvas:link("command", { scheduler.x, scheduler.y + scheduler.h / 2, scheduler.x, rail, box.x, rail, box.x,
        box.y - box.h / 2 }, nil, "commands to " .. name, { dashed = true, arrow = true })
    end
  end
  for i, name in ipairs { "pe_gemm", "pe_math" } do
    local box = by_name[name]
    local y, x = scheduler.y - 12 * (2 - i), box.x + box.w / 2 + 14 * i
    canvas:link("command", { scheduler.x + scheduler.w / 2, y, x, y, x, box.y, box.x + box.w / 2, box.y }, nil,
      "commands to " .. name, { dashed = true, arrow = true })
  end
end

-- What the PE's parts are linked to in the cube, crossbars first: {node, {part, edge}...}.
local function neighbours(machine, parts)
  local nodes, by_index, found, list = machine:nodes("cube"), {}, {}, {}
  for _, part in ipairs(parts) do
    if part.index then by_index[part.index] = part end
  end
  for _, edge in ipairs(machine:edges("cube")) do
    local part = by_index[edge.from]
    if part and edge.to and not by_index[edge.to] then
      local other = found[edge.to]
      if not other then
        other = { node = nodes[edge.to], index = edge.to }
        found[edge.to], list[#list + 1] = other, other
      end
      table.insert(other, { part = part, edge = edge })
    end
  end
  table.sort(list, function(a, b)
    local ra, rb = a.node.kind == "router" and 1 or 0, b.node.kind == "router" and 1 or 0
    return ra < rb or ra == rb and a.index < b.index
  end)
  return list
end

-- To the left side of a part, or to pe_tcm from below, since pe_dma is in the way.
local function way_in(x0, y0, x, part, from_router)
  if part.name == "pe_tcm" then
    local y = part.y + part.h / 2 + 25
    return { x0, y0, x, y0, x, y, part.x, y, part.x, part.y + part.h / 2 }
  end
  local y = part.y + (part.name == "pe_dma" and (from_router and 12 or -12) or 0)
  return { x0, y0, x, y0, x, y, part.x - part.w / 2, y }
end

local function draw_neighbours(canvas, boxes, list, top)
  local lane = 0
  for position, other in ipairs(list) do
    local node = other.node
    local box = { x = LEFT + 60, y = top + 46 + 112 * (position - 1 + (#list == 1 and 1 or 0)), w = 120, h = 44 }
    local from_router = node.kind == "router"
    for i, link in ipairs(other) do
      lane = lane + 1
      local y = box.y - box.h / 2 + box.h * i / (#other + 1)
      canvas:link(from_router and "pe" or "hbm",
        way_in(box.x + box.w / 2, y, box.x + box.w / 2 + 6 + 10 * lane, link.part, from_router), link.edge.gbs,
        ("pe0.%s to %s: %s GB/s each way, %s mm"):format(link.part.name, node.name, svg.num(link.edge.gbs),
          svg.num(link.edge.length_mm)))
    end
    boxes:labelled(node.kind, box.x, box.y, box.w, box.h, node.name, node.name,
      { ("%s ns"):format(svg.num(node.overhead_ns)) })
  end
end

function M.draw(canvas, machine, facts, top)
  local parts, by_name = parts_of(machine, top)
  local boxes, about = canvas:layer(), details(machine, facts)
  draw_neighbours(canvas, boxes, neighbours(machine, parts), top)
  draw_wires(canvas, machine, by_name)
  draw_commands(canvas, by_name)
  for _, part in ipairs(parts) do
    boxes:labelled(part.kind, part.x, part.y, part.w, part.h, part.name,
      part.node and ("%s: %s ns"):format(part.node.name, svg.num(part.node.overhead_ns)) or part.name,
      about[part.kind])
  end
  canvas:merge(boxes)
  return box_at(top, 5, 0).x + 130, top + 46 + 224 + 50, nil
end

return M
