--- kernbench topology: checks a topology file, says what it amounts to, draws it.
local common = require "kernbench.cli.common"
local facts_of = require "kernbench.cli.topology_facts"
local json = require "kernbench.cli.json"
local report = require "kernbench.cli.report"
local topo = require "kernbench.core.topo"

local M = {}

local function make_parser()
  local parser = common.parser("kernbench topology",
    "Check a topology file and say what it amounts to: counts, capacities, bandwidths, peak compute, longest routes. "
    .. "With --svg, draw it. Exit code 2 if the file is wrong.")
  parser:argument("file", "Topology file. Default: topology.yaml here, else the one of kernbench."):args("?")
  common.add_machine_flags(parser)
  parser:option("--svg", "Draw the machine into this file."):argname("OUT.svg")
  parser:option("--view", "What to draw with --svg. Default: all."):choices { "system", "sip", "cube", "pe", "all" }
  parser:flag("--json", "Print one JSON object instead of the tables.")
  return parser
end

-- ---- for people ----

local function trimmed(value, places)
  local text = ("%." .. places .. "f"):format(value)
  return places > 0 and (text:gsub("%.?0+$", "")) or text
end

local function grouped(value)
  local text = ("%d"):format(value):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function size(bytes)
  for _, unit in ipairs { { 1 << 40, "TiB" }, { 1 << 30, "GiB" }, { 1 << 20, "MiB" } } do
    if bytes >= unit[1] then
      return trimmed(bytes / unit[1], 2) .. " " .. unit[2]
    end
  end
  return bytes .. " B"
end

local function gbs(value)
  return trimmed(value, 3)
end

-- One row: a label, and a cell for what there is of each, cube, SIP and system.
local function row(label, values, text)
  local cells = { label }
  for _, level in ipairs { "each", "cube", "sip", "system" } do
    cells[#cells + 1] = values[level] and text(values[level]) or ""
  end
  return cells
end

local function count_rows(counts)
  local rows = { { "counts", "", "cube", "SIP", "system" } }
  for _, key in ipairs(counts.__order) do
    rows[#rows + 1] = row(key == "hbm_slices" and "HBM slices" or key == "pes" and "PEs" or key == "sips" and "SIPs"
      or key == "io_chiplets" and "IO chiplets" or key, counts[key], grouped)
  end
  return rows
end

local function capacity_rows(capacity)
  return { { "capacity", "each", "cube", "SIP", "system" },
    row("HBM (each: slice)", capacity.hbm, size), row("SRAM", capacity.sram, size),
    row("TCM (each: PE)", capacity.tcm, size) }
end

local function bandwidth_rows(bandwidth)
  local rows = { { "GB/s, one direction", "each", "cube", "SIP", "system" },
    row("HBM peak (each: slice)", bandwidth.hbm_peak, gbs),
    row("HBM at efficiency", bandwidth.hbm_efficiency, gbs),
    row("PE to HBM (each: link)", bandwidth.pe_to_hbm, gbs),
    row("SRAM", bandwidth.sram, gbs),
    row("UCIe (each: side of a cube)", { each = bandwidth.ucie_side.gbs }, gbs) }
  if bandwidth.noc_bisection then
    rows[#rows + 1] = row("NOC bisection", { cube = bandwidth.noc_bisection.gbs }, gbs)
  end
  if bandwidth.sip_bisection then
    rows[#rows + 1] = row("SIP bisection (UCIe)", { sip = bandwidth.sip_bisection.gbs }, gbs)
  end
  rows[#rows + 1] = row("PCIe (each: IO chiplet)", bandwidth.pcie, gbs)
  rows[#rows + 1] = row("fabric (each: IO chiplet)", bandwidth.fabric, gbs)
  return rows
end

local function compute_rows(compute)
  return { { "peak TFLOP/s, f16", "each", "cube", "SIP", "system" },
    row("pe_gemm (each: PE)", compute.gemm_f16, gbs), row("pe_math (each: PE)", compute.math_f16, gbs) }
end

local function route_rows(routes)
  local rows = { { "longest route", "links", "mm", "command ns", "at most GB/s" } }
  for _, route in ipairs(routes) do
    rows[#rows + 1] = { facts_of.scope_title(route.scope), ("%d"):format(route.links), trimmed(route.mm, 3),
      ("%.3f"):format(route.command_ns), gbs(route.bottleneck_gbs) }
  end
  return rows
end

local function print_report(path, facts)
  local info = facts.info
  print(("%s: ok, %d SIP%s of %d x %d cubes with %d PEs each"):format(path, info.sips, info.sips == 1 and "" or "s",
    info.mesh_w, info.mesh_h, info.pes))
  for _, rows in ipairs { count_rows(facts.counts), capacity_rows(facts.capacity_bytes),
    bandwidth_rows(facts.bandwidth_gbs), compute_rows(facts.compute_tflops), route_rows(facts.longest_routes) } do
    print("\n" .. report.columns(rows))
  end
  print()
  for _, route in ipairs(facts.longest_routes) do
    print(("  %s: %s -> %s, limited by %s"):format(facts_of.scope_title(route.scope), route.from, route.to,
      route.bottleneck))
  end
end

local function to_json(path, sets, facts)
  return json.encode {
    schema = 1, topology = path, set = json.array(sets), counts = facts.counts, capacity_bytes = facts.capacity_bytes,
    bandwidth_gbs = facts.bandwidth_gbs, compute_tflops = facts.compute_tflops, longest_routes = facts.longest_routes,
    __order = { "schema", "topology", "set", "counts", "capacity_bytes", "bandwidth_gbs", "compute_tflops",
      "longest_routes" },
  }
end

-- ---- drawing ----

local function write_all(file, text)
  local ok, why = file:write(text)
  if not ok then
    file:close()
    return nil, why
  end
  return file:close()
end

-- Into a file beside the target, then renamed, so that no half of a drawing looks whole.
local function write_whole(path, text)
  local temporary = path .. ".part"
  local file, why = io.open(temporary, "wb")
  if not file then
    return nil, why
  end
  local ok
  ok, why = write_all(file, text)
  if ok then
    ok, why = os.rename(temporary, path)
  end
  if not ok then
    os.remove(temporary)
    return nil, why
  end
  return true
end

local function draw(machine, facts, path, options)
  local svg = require("kernbench.cli.svg_views").draw(machine, facts, {
    path = path, sets = options.set, view = options.view or "all" })
  local ok, why = write_whole(options.svg, svg)
  if ok then
    return 0
  end
  return common.fail(2, "cannot write %s: %s", options.svg, (tostring(why):gsub("^.*: ", "")))
end

local function check_options(options)
  if options.file and options.topology then
    return common.fail(2, "two topology files are given, %s and %s", options.file, options.topology)
  elseif options.view and not options.svg then
    return common.fail(2, "--view says what to draw; it needs --svg OUT.svg")
  end
  return 0
end

---@param argv string[]
---@return integer
function M.main(argv)
  local options, code = common.parse(make_parser(), argv)
  if not options then
    return code
  end
  code = check_options(options)
  if code ~= 0 then
    return code
  end
  local path = common.topology(options.file or options.topology)
  local machine <close>, why = topo.open(path, options.set)
  if not machine then
    return common.fail(2, "%s", why)
  end
  local facts = facts_of.of(machine)
  if options.svg then
    code = draw(machine, facts, path, options)
    if code ~= 0 then
      return code
    end
  end
  if options.json then
    print(to_json(path, options.set, facts))
  else
    print_report(path, facts)
  end
  return 0
end

return M
