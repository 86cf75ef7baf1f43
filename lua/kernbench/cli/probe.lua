--- kernbench probe: single transfers on the idle machine, simulated and computed.
local common = require "kernbench.cli.common"
local core = require "kernbench.core"
local json = require "kernbench.cli.json"
local report = require "kernbench.cli.report"

local M = {}

-- Sizes that are run, and those of them that have a column.
local SWEEP = { 4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20 }
local COLUMNS = { 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20 }
local DEFAULT_BYTES = 64 << 10

local function size_of(text)
  local number, suffix = tostring(text):match("^(%d+)([KMG]?)i?B?$")
  local scale = { [""] = 1, K = 1 << 10, M = 1 << 20, G = 1 << 30 }
  local value = math.tointeger(tonumber(number))
  if not value or value < 1 or value > 1 << 32 then
    return nil, ("--bytes: expected a size from 1 to 4G such as 65536, 64K or 1M, got '%s'"):format(text)
  end
  return value * scale[suffix]
end

local function size_text(bytes)
  if bytes % (1 << 20) == 0 then
    return ("%d MiB"):format(bytes >> 20)
  elseif bytes % (1 << 10) == 0 then
    return ("%d KiB"):format(bytes >> 10)
  end
  return ("%d B"):format(bytes)
end

-- Names that a --case selects: a full name, or the beginning of some.
local function select_cases(wanted)
  local all, chosen = core.probe_cases(), {}
  for _, name in ipairs(all) do
    if not wanted or name == wanted or name:sub(1, #wanted + 1) == wanted .. "_" then
      chosen[#chosen + 1] = name
    end
  end
  if #chosen == 0 then
    return nil, ("--case %s: there is no such case; there are %s"):format(wanted, table.concat(all, ", "))
  end
  return chosen
end

local function num(value)
  return ("%.3f"):format(value)
end

local function case_rows(cases, bytes)
  local rows = { { "case", "actual ns", "formula ns", "overhead", "wire", "drain", "command", "hidden", "GB/s",
    "of GB/s", "used" } }
  for _, c in ipairs(cases) do
    if c.bytes == bytes and not c.absent then
      rows[#rows + 1] = { c.name, num(c.actual_ns), num(c.formula_ns), num(c.overhead_ns), num(c.wire_ns),
        num(c.drain_ns), num(c.command_ns), num(c.hidden_ns), ("%.2f"):format(c.bw_gbs),
        ("%.1f"):format(c.bottleneck_gbs), ("%.1f %%"):format(100 * c.utilization) }
    end
  end
  return rows
end

local function print_absent(cases, bytes)
  for _, c in ipairs(cases) do
    if c.bytes == bytes and c.absent then
      print(("  %s: not on this machine: %s"):format(c.name, c.absent))
    end
  end
end

-- One row per case, one column per size: simulated ns and how much of the bottleneck was used.
local function print_sweep(names, cases, sizes)
  local rows, at = { { "sweep" } }, {}
  for _, bytes in ipairs(sizes) do table.insert(rows[1], size_text(bytes)) end
  for _, c in ipairs(cases) do at[c.name .. c.bytes] = c end
  for _, name in ipairs(names) do
    local row = { name }
    for _, bytes in ipairs(sizes) do
      local c = at[name .. bytes]
      row[#row + 1] = c.absent and "-" or ("%s  %5.1f %%"):format(num(c.actual_ns), 100 * c.utilization)
    end
    rows[#rows + 1] = row
  end
  print("\n" .. report.columns(rows))
end

local function print_routes(cases, bytes)
  for _, c in ipairs(cases) do
    if c.bytes == bytes and not c.absent then
      print(("\nroute of the data, %s, %s (ns since the start, first flit):"):format(c.name, size_text(bytes)))
      local rows = { { "node", "ready", "overhead", "waited (all flits)", "flit occupies link" } }
      for _, hop in ipairs(c.route) do
        rows[#rows + 1] = { hop.node, num(hop.t_ns), num(hop.overhead_ns), num(hop.waited_ns),
          hop.occupancy_ns > 0 and num(hop.occupancy_ns) or "" }
      end
      print(report.columns(rows))
    end
  end
end

local function print_invariants(invariants)
  print("\ninvariants:")
  for _, invariant in ipairs(invariants) do
    local verdict = not invariant.ok and "FAIL" or invariant.judged > 0 and "PASS" or "----"
    local detail = invariant.detail ~= "" and (" (" .. invariant.detail .. ")") or ""
    print(("  %s  %s%s"):format(verdict, invariant.name, detail))
  end
end

local function to_json(result, topology)
  local cases, invariants = json.array {}, json.array {}
  for i, c in ipairs(result.cases) do
    for _, hop in ipairs(c.route or {}) do
      hop.__order = { "node", "t_ns", "overhead_ns", "waited_ns", "occupancy_ns" }
    end
    c.__order = { "name", "bytes", "absent", "actual_ns", "formula_ns", "overhead_ns", "wire_ns", "drain_ns",
      "command_ns", "hidden_ns", "bw_gbs", "bottleneck_gbs", "utilization", "route" }
    cases[i] = c
  end
  for i, v in ipairs(result.invariants) do
    invariants[i] = { name = v.name, ok = v.ok, judged = v.judged, detail = v.detail,
      __order = { "name", "ok", "judged", "detail" } }
  end
  return json.encode { schema = 1, topology = topology, cases = cases, invariants = invariants,
    __order = { "schema", "topology", "cases", "invariants" } }
end

local function all_ok(invariants)
  for _, invariant in ipairs(invariants) do
    if not invariant.ok then
      return false
    end
  end
  return true
end

local function make_parser()
  local parser = common.parser("kernbench probe",
    "Time single transfers on the idle machine, beside the closed form = overhead + wire + drain. The overhead "
    .. "is the command (a read's request, a write's acknowledgement) and the nodes' overheads, less what is hidden "
    .. "while the stream queues at a slower link; wire is propagation and the first flit's time on every link; "
    .. "drain is what follows the first flit.")
  common.add_machine_flags(parser)
  parser:option("--case", "Only this case, or those whose names begin with it.")
  parser:option("--bytes", "Only this size (65536, 64K, 1M). Default: a table at 64K and a sweep from 4K to 1M.")
  parser:flag("--routes", "Show the way of every case, node by node; always shown with --case.")
  parser:flag("--json", "Print one JSON object, routes included.")
  return parser
end

local function show(names, result, sizes, main_size, options)
  print(("one transfer on the idle machine, %s, cut-through:\n"):format(size_text(main_size)))
  print(report.columns(case_rows(result.cases, main_size)))
  print_absent(result.cases, main_size)
  if #sizes > 1 then
    print_sweep(names, result.cases, COLUMNS)
  end
  if options.routes or options.case then
    print_routes(result.cases, main_size)
  end
  print_invariants(result.invariants)
end

---@param argv string[]
---@return integer
function M.main(argv)
  local options, code = common.parse(make_parser(), argv)
  if not options then
    return code
  end
  local names, message = select_cases(options.case)
  if not names then
    return common.fail(2, "%s", message)
  end
  local sizes, main_size = SWEEP, DEFAULT_BYTES
  if options.bytes then
    local bytes, why = size_of(options.bytes)
    if not bytes then
      return common.fail(2, "%s", why)
    end
    sizes, main_size = { bytes }, bytes
  end
  local runs = {}
  for _, bytes in ipairs(sizes) do
    for _, name in ipairs(names) do
      runs[#runs + 1] = name
      runs[#runs + 1] = bytes
    end
  end
  local topology = common.topology(options.topology)
  local result, why = core.probe(topology, options.set, runs)
  if not result then
    return common.fail(2, "%s", why)
  end
  if options.json then
    print(to_json(result, topology))
  else
    show(names, result, sizes, main_size, options)
  end
  return all_ok(result.invariants) and 0 or 1
end

return M
