--- The views of a machine, one panel each, put together into one drawing.
local svg = require "kernbench.cli.svg"

local M = {}

local ORDER = { "system", "sip", "cube", "pe" }
local NAMES = { system = "system", sip = "SIP", cube = "cube", pe = "PE" }
M.MARGIN = 28
local HEAD = 40 -- of a panel: its title; then a line of 16 for each line of parameters

local function summary(facts)
  local info, capacity = facts.info, facts.capacity_bytes
  return ("%d SIP%s × %d × %d cubes × %d PEs; %s GiB of HBM a cube in %d slices; %s TFLOP/s f16, HBM %s GB/s"):format(
    info.sips, info.sips == 1 and "" or "s", info.mesh_w, info.mesh_h, info.pes,
    svg.num(capacity.hbm.cube / (1 << 30)), info.slices, svg.num(facts.compute_tflops.gemm_f16.system),
    svg.num(facts.bandwidth_gbs.hbm_efficiency.system))
end

-- Words put into lines of at most `most` characters.
local function wrap(words, most)
  local lines = {}
  for _, word in ipairs(words) do
    if #lines > 0 and #lines[#lines] + #word < most then
      lines[#lines] = lines[#lines] .. " " .. word
    else
      lines[#lines + 1] = word
    end
  end
  return lines
end

-- Title, parameters and the view's own remark; returns where the drawing may begin, and how far
-- right the text reaches.
local function heading(canvas, view, facts, options, remark)
  local lines = { summary(facts) }
  local sets = {}
  for _, set in ipairs(options.sets) do sets[#sets + 1] = "--set " .. set end
  table.move(wrap(sets, 130), 1, #sets, #lines + 1, lines)
  lines[#lines + 1] = remark
  canvas:text(M.MARGIN, 34, ("%s: %s"):format(options.path, NAMES[view]), { size = 19, weight = "bold" })
  for i, line in ipairs(lines) do
    canvas:text(M.MARGIN, HEAD + 16 * i, line, { size = 12 })
  end
  local widest = 560
  for _, line in ipairs(lines) do widest = math.max(widest, M.MARGIN + svg.text_width(line, 12)) end
  return HEAD + 16 * #lines + 14, widest
end

--- A view is a module with remark(facts) and draw(canvas, machine, facts, top), which returns the
-- drawing's right and lower ends and, if it is to scale, pixels per mm.
local function panel(view, machine, facts, options)
  local module = require("kernbench.cli.svg_" .. view)
  local canvas = svg.canvas()
  local top, widest = heading(canvas, view, facts, options, module.remark(facts))
  local right, bottom, px_per_mm = module.draw(canvas, machine, facts, top)
  right = math.max(right, widest)
  bottom = canvas:legend(M.MARGIN, right, bottom + 24, px_per_mm)
  return { canvas = canvas, width = right + M.MARGIN, height = bottom + 20 }
end

--- The drawing as text. options: path (of the topology file), sets, view ("all": every one).
---@param machine table from topo.open
---@param facts table from topology_facts
---@param options table
---@return string
function M.draw(machine, facts, options)
  local panels = {}
  for _, view in ipairs(ORDER) do
    if options.view == view or options.view == "all" then
      panels[#panels + 1] = panel(view, machine, facts, options)
    end
  end
  return svg.document("kernbench topology " .. options.path, panels)
end

return M
