--- Drawing in SVG: shapes with hover texts, panels below each other, a legend. Numbers are written
-- with at most two decimals, so that equal drawings are equal bytes.
local M = {}

local KINDS = { -- fill, stroke
  die = { "#f6f8fa", "#8b949e" }, sip = { "#ffffff", "#24292f" }, chiplet = { "#fdf0f7", "#a3336f" },
  router = { "#dfe7ef", "#47607a" }, ucie = { "#d2f0dc", "#1c7441" }, io_ucie = { "#d2f0dc", "#1c7441" },
  xbar = { "#e7ddf9", "#6239ad" }, bridge = { "#f1eafd", "#6239ad" }, hbm_ctrl = { "#ffe0b5", "#9a5200" },
  sram = { "#fff2a8", "#7d6300" }, pe_tcm = { "#fff2a8", "#7d6300" }, pe = { "#cde5ff", "#0f53a0" },
  pe_dma = { "#cde5ff", "#0f53a0" }, pe_fetch_store = { "#cde5ff", "#0f53a0" }, pe_mmu = { "#cde5ff", "#0f53a0" },
  pe_ipcq = { "#cde5ff", "#0f53a0" },
  pe_gemm = { "#ffd9d6", "#a82020" }, pe_math = { "#ffd9d6", "#a82020" }, registers = { "#fff2a8", "#7d6300" },
  pe_cpu = { "#e6e6e6", "#444444" }, pe_scheduler = { "#e6e6e6", "#444444" }, m_cpu = { "#e6e6e6", "#444444" },
  io_cpu = { "#e6e6e6", "#444444" }, host = { "#e6e6e6", "#444444" },
  pcie_ep = { "#fbd3e8", "#942060" }, ual_ep = { "#fbd3e8", "#942060" },
  io_noc = { "#dfe7ef", "#47607a" }, switch = { "#fbd3e8", "#942060" }, other = { "#ffffff", "#24292f" },
}
local LINKS = { noc = "#5f7993", hbm = "#7a4bc9", ucie = "#1c8a4a", pcie = "#444444", fabric = "#c02a7d",
  io = "#5f7993", pe = "#0f53a0", command = "#777777", wire = "#7d6300" }

local function num(value)
  return (("%.2f"):format(value):gsub("0+$", ""):gsub("%.$", ""):gsub("^%-0$", "0"))
end
M.num = num

--- Text as XML; what is no character there becomes "?".
function M.escape(text)
  local clean = text:gsub("[%z\1-\8\11\12\14-\31\127]", "?"):gsub("\xEF\xBF[\xBE\xBF]", "?")
  while true do
    local ok, at = utf8.len(clean)
    if ok then break end
    clean = clean:sub(1, at - 1) .. "?" .. clean:sub(at + 1)
  end
  return (clean:gsub("[&<>\"']", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;",
    ["'"] = "&#39;" }))
end

--- How wide a text of that size is, roughly and rather too much.
function M.text_width(text, size)
  return (utf8.len(text) or #text) * size * 0.56
end

--- Pixels across for a bandwidth: its square root, so that 64 and 2048 GB/s can share a drawing.
function M.link_width(gbs)
  return math.max(0.75, math.min(14, math.sqrt(gbs) / 6))
end

---@class Canvas
local Canvas = {}
Canvas.__index = Canvas

function M.canvas()
  return setmetatable({ parts = {}, kinds = {}, kind_list = {}, gbs = {}, links = {}, link_list = {} }, Canvas)
end

--- Another canvas with the same legend; `merge` puts what it holds on top of what is there.
function Canvas:layer()
  local layer = M.canvas()
  layer.kinds, layer.kind_list, layer.gbs = self.kinds, self.kind_list, self.gbs
  layer.links, layer.link_list = self.links, self.link_list
  return layer
end

function Canvas:merge(layer)
  table.move(layer.parts, 1, #layer.parts, #self.parts + 1, self.parts)
end

function Canvas:add(format, ...)
  self.parts[#self.parts + 1] = format:format(...)
end

local function titled(tag, attributes, title)
  if title then
    return ("<%s %s><title>%s</title></%s>"):format(tag, attributes, M.escape(title), tag)
  end
  return ("<%s %s/>"):format(tag, attributes)
end

function Canvas:use_kind(kind)
  if not self.kinds[kind] then
    self.kinds[kind] = true
    self.kind_list[#self.kind_list + 1] = kind
  end
end

--- A rectangle around (cx, cy) of the colours of a kind.
function Canvas:box(kind, cx, cy, w, h, title)
  kind = KINDS[kind] and kind or "other"
  self:use_kind(kind)
  self:add("%s", titled("rect", ('class="k-%s" x="%s" y="%s" width="%s" height="%s" rx="3"'):format(
    kind, num(cx - w / 2), num(cy - h / 2), num(w), num(h)), title))
end

--- options: size, anchor (start, middle, end), weight, fill
function Canvas:text(x, y, text, options)
  options = options or {}
  local extra = options.anchor and (' text-anchor="%s"'):format(options.anchor) or ""
  extra = extra .. (options.weight and (' font-weight="%s"'):format(options.weight) or "")
  extra = extra .. (options.fill and (' fill="%s"'):format(options.fill) or "")
  self:add('<text x="%s" y="%s" font-size="%s"%s>%s</text>', num(x), num(y), num(options.size or 11), extra,
    M.escape(text))
end

--- A box with its name in the middle, and lines of details below the name.
function Canvas:labelled(kind, cx, cy, w, h, label, title, details)
  self:box(kind, cx, cy, w, h, title)
  details = details or {}
  local size = #details > 0 and 13 or 11
  local y = cy + size * 0.36 - #details * 7.5
  self:text(cx, y, label, { size = size, anchor = "middle", weight = #details > 0 and "bold" or nil })
  for i, detail in ipairs(details) do
    self:text(cx, y + 15 * i, detail, { size = 11, anchor = "middle" })
  end
end

--- A link along points {x, y, x, y, ...}; gbs gives its width.
function Canvas:link(class, points, gbs, title, options)
  options = options or {}
  if not self.links[class] and not options.unlisted then
    self.links[class] = true
    self.link_list[#self.link_list + 1] = class
  end
  if gbs and not options.unlisted then
    self.gbs[gbs] = true
  end
  local coordinates = {}
  for i = 1, #points, 2 do
    coordinates[#coordinates + 1] = num(points[i]) .. "," .. num(points[i + 1])
  end
  local width = options.width or gbs and M.link_width(gbs) or 1.2
  local attributes = ('class="l-%s" stroke-width="%s" points="%s"'):format(class, num(width),
    table.concat(coordinates, " "))
  if options.dashed then
    attributes = attributes .. ' stroke-dasharray="5 3"'
  end
  if options.arrow then
    attributes = attributes .. ' marker-end="url(#arrow)"'
  end
  self:add("%s", titled("polyline", attributes, title))
end

-- ---- legend ----

local LINK_NAMES = { noc = "NOC", hbm = "to HBM", ucie = "UCIe", pcie = "PCIe", fabric = "fabric",
  io = "in the chiplet", pe = "PE to router", command = "commands", wire = "inside the PE" }
local KIND_NAMES = {
  sip = "SIP", die = "cube", chiplet = "IO chiplet", hbm_ctrl = "HBM slice", pe = "PE", io_ucie = "UCIe PHY",
  ucie = "UCIe port", sram = "SRAM", xbar = "crossbar", registers = "register file",
}

local function sorted_keys(set)
  local list = {}
  for key in pairs(set) do list[#list + 1] = key end
  table.sort(list)
  return list
end

-- Of many widths the first, the last and some between.
local function some_of(list, most)
  if #list <= most then
    return list
  end
  local some = {}
  for i = 0, most - 1 do
    some[#some + 1] = list[1 + (i * (#list - 1)) // (most - 1)]
  end
  return some
end

-- Draws entries {width, draw(x, y)} from left to right, in as many lines as it takes.
local function flow(entries, left, right, y)
  local x = left
  for _, entry in ipairs(entries) do
    if x > left and x + entry.width > right then
      x, y = left, y + 24
    end
    entry.draw(x, y)
    x = x + entry.width + 18
  end
  return y + 24
end

-- The first of 1, 2, 5, 10, ... mm, or of their thousandths, that is not below `least`.
local function round_length(least)
  local step, factors, i = 0.001, { 2, 2.5, 2 }, 0
  while step < least and step < 1e6 do
    i = i % 3 + 1
    step = step * factors[i]
  end
  return step
end

function Canvas:legend_entry(label, draw, room)
  return { width = room + 6 + M.text_width(label, 11), draw = function(x, y)
    draw(x, y)
    self:text(x + room + 6, y + 4, label)
  end }
end

--- Legend of what was drawn so far, from (left, y) on; scale = {px_per_mm}. Returns where it ends.
function Canvas:legend(left, right, y, px_per_mm)
  local kinds, widths = {}, {}
  for _, kind in ipairs(self.kind_list) do
    kinds[#kinds + 1] = self:legend_entry(KIND_NAMES[kind] or kind,
      function(x, at) self:box(kind, x + 9, at, 18, 13) end, 18)
  end
  for _, class in ipairs(self.link_list) do
    kinds[#kinds + 1] = self:legend_entry(LINK_NAMES[class] or class, function(x, at)
      self:link(class, { x, at, x + 26, at }, nil, nil, { unlisted = true, width = 3, dashed = class == "command" })
    end, 26)
  end
  y = flow(kinds, left, right, y)
  for _, gbs in ipairs(some_of(sorted_keys(self.gbs), 6)) do
    widths[#widths + 1] = self:legend_entry(("%s GB/s"):format(num(gbs)), function(x, at)
      self:link("noc", { x, at, x + 26, at }, gbs, nil, { unlisted = true })
    end, 26)
  end
  if px_per_mm then
    local mm = round_length(60 / px_per_mm)
    local length = mm * px_per_mm
    widths[#widths + 1] = self:legend_entry(("%g mm"):format(mm), function(x, at)
      self:add('<path class="scale" d="M%s %sv-8v4h%sv-4v8"/>', num(x), num(at + 4), num(length))
    end, length)
  end
  return flow(widths, left, right, y)
end

-- ---- the file ----

local function style()
  local lines = { "text{font-family:system-ui,'Segoe UI','DejaVu Sans',Helvetica,Arial,sans-serif;fill:#1b1f24}",
    "rect{stroke-width:1.2}", "polyline{fill:none;stroke-linejoin:round}",
    "polyline:hover{stroke:#d1242f}", "rect:hover{stroke-width:2.6}",
    ".scale{fill:none;stroke:#1b1f24;stroke-width:1.2}", ".page{fill:#ffffff}" }
  for _, kind in ipairs(sorted_keys(KINDS)) do
    lines[#lines + 1] = (".k-%s{fill:%s;stroke:%s}"):format(kind, KINDS[kind][1], KINDS[kind][2])
  end
  for _, class in ipairs(sorted_keys(LINKS)) do
    lines[#lines + 1] = (".l-%s{stroke:%s}"):format(class, LINKS[class])
  end
  return table.concat(lines, "\n")
end

--- One file of panels {canvas, width, height} below each other.
---@param title string
---@param panels table[]
function M.document(title, panels)
  local width, height, body = 0, 0, {}
  for _, panel in ipairs(panels) do
    body[#body + 1] = ('<g transform="translate(0 %s)">'):format(num(height))
    body[#body + 1] = table.concat(panel.canvas.parts, "\n")
    body[#body + 1] = "</g>"
    width = math.max(width, panel.width)
    height = height + panel.height
  end
  width, height = math.ceil(width), math.ceil(height)
  local head = {
    '<?xml version="1.0" encoding="UTF-8"?>',
    ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d">'):format(
      width, height, width, height),
    ("<title>%s</title>"):format(M.escape(title)),
    ("<style>\n%s\n</style>"):format(style()),
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
      .. ' markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L8 4L0 8z" fill="#777777"/></marker></defs>',
    ('<rect class="page" width="%d" height="%d"/>'):format(width, height),
  }
  return table.concat(head, "\n") .. "\n" .. table.concat(body, "\n") .. "\n</svg>\n"
end

return M
