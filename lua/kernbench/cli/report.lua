--- What is printed at the end of a run: the summary table, its JSON form, the deadlock table.
local deadlock = require "kernbench.cli.deadlock"
local json = require "kernbench.cli.json"
local columns = require("kernbench.cli.columns").text

local M = { columns = columns }

local function ns(value)
  return ("%.3f ns"):format(value)
end

local function si(value, unit)
  for _, step in ipairs { { 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" } } do
    if value >= step[1] then
      return ("%.2f %s%s"):format(value / step[1], step[2], unit)
    end
  end
  return ("%.2f %s"):format(value, unit)
end

local function bytes(value)
  for _, step in ipairs { { 1 << 30, "GiB" }, { 1 << 20, "MiB" }, { 1 << 10, "KiB" } } do
    if value >= step[1] then
      return ("%.2f %s"):format(value / step[1], step[2])
    end
  end
  return ("%d B"):format(value)
end

local MOST_LAUNCHES = 24

-- The first launches, a row each; how many there are beyond.
local function launch_rows(facts)
  local rows = { { "launch", "sip", "PEs", "start", "end", "time" } }
  for i, l in ipairs(facts.launches) do
    if i > MOST_LAUNCHES then
      rows[#rows + 1] = { ("... and %d more"):format(#facts.launches - MOST_LAUNCHES) }
      break
    end
    local ended = l.end_ns >= l.start_ns
    rows[#rows + 1] = { l.name, table.concat(l.sips, ","), tostring(l.pes), ns(l.start_ns),
      ended and ns(l.end_ns) or "-", ended and ns(l.end_ns - l.start_ns) or "-" }
  end
  return rows
end

local BYTES = { "hbm_read", "hbm_write", "xbar", "noc", "ucie", "pcie", "fabric", "ipcq" }
local ENGINES = { "pe_dma_read", "pe_dma_write", "pe_fetch", "pe_gemm", "pe_store", "pe_math" }

-- Bytes moved, and at what rate over the whole run.
local function byte_rows(stats)
  local rows = { { "moved", "bytes", "over the run" } }
  for _, name in ipairs(BYTES) do
    if stats.bytes[name] > 0 then
      rows[#rows + 1] = { name, bytes(stats.bytes[name]), ("%.2f GB/s"):format(stats.bytes[name] / stats.sim_ns) }
    end
  end
  return rows
end

local function engine_rows(stats)
  local rows = { { "engine", "busy (all PEs)", "utilization" } }
  for _, name in ipairs(ENGINES) do
    if stats.engines[name].busy_ns > 0 then
      rows[#rows + 1] = { name, ns(stats.engines[name].busy_ns),
        ("%.1f %%"):format(100 * stats.engines[name].utilization) }
    end
  end
  return rows
end

-- Rates while kernels ran: HBM traffic of the PEs, and floating point operations.
local function kernel_rates(stats)
  if stats.kernel_ns <= 0 then
    return {}
  end
  local moved = stats.dma_bytes
  local lines = { ("  kernels moved      %s, %.2f GB/s"):format(bytes(moved), moved / stats.kernel_ns) }
  if stats.macs > 0 then
    lines[#lines + 1] = ("  kernels computed   %.4f TFLOP/s"):format(2 * stats.macs / stats.kernel_ns / 1000)
  end
  return lines
end

-- Joules by part, largest first.
local function energy_rows(energy)
  local rows, parts = { { "energy", "joules", "of the total" } }, {}
  for part, joules in pairs(energy) do
    if part ~= "total" and joules > 0 then
      parts[#parts + 1] = part
    end
  end
  table.sort(parts, function(a, b) return energy[a] > energy[b] or (energy[a] == energy[b] and a < b) end)
  for _, part in ipairs(parts) do
    rows[#rows + 1] = { part, ("%.6g"):format(energy[part]), ("%.1f %%"):format(100 * energy[part] / energy.total) }
  end
  rows[#rows + 1] = { "total", ("%.6g"):format(energy.total), "" }
  return rows
end

-- What went between PEs, if anything did.
local function ipcq_lines(q)
  local lines = {}
  if q.messages > 0 then
    lines[1] = ("  between PEs        %d messages, %s; blocked %d times, %s"):format(
      q.messages, bytes(q.bytes), q.stalls, ns(q.stalled_ns))
    if q.polls > 0 then
      lines[1] = ("%s, %d polls"):format(lines[1], q.polls)
    end
  end
  if q.put_bytes > 0 or q.signals > 0 then
    lines[#lines + 1] = ("  one-sided          %s put, %d signals"):format(bytes(q.put_bytes), q.signals)
  end
  if q.unread > 0 then
    lines[#lines + 1] = ("  never received     %d messages"):format(q.unread)
  end
  return lines
end

-- Waiting for credits, if buffers are finite.
local function flow_lines(flow)
  if not flow then
    return {}
  end
  local lines = {
    ("  buffers            of %d flits, %d between dies"):format(flow.buffer_flits, flow.die_buffer_flits),
    ("  waits for credits  %s in buffers, %s at sources"):format(ns(flow.in_buffers_ns), ns(flow.at_sources_ns)),
  }
  if flow.most_at then
    lines[3] = ("                     most: %s, %s"):format(flow.most_at, ns(flow.most_ns))
  end
  return lines
end

local function result_lines(result)
  if type(result) ~= "table" then
    return {}
  end
  local keys, lines = {}, {}
  for key, value in pairs(result) do
    if type(value) ~= "table" then -- rows and the like are for --json
      keys[#keys + 1] = tostring(key)
    end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    local value = result[key]
    if math.type(value) == "float" then
      value = ("%.6g"):format(value)
    end
    lines[#lines + 1] = ("  %-18s %s"):format(key, tostring(value))
  end
  return lines
end

--- The summary for people.
function M.table(facts)
  local s = facts.stats
  local lines = {
    ("%s: %s"):format(facts.bench, facts.ok and "ok" or "FAILED"),
    ("  topology           %s (%d SIPs x %d cubes x %d PEs)"):format(
      facts.topology, facts.machine.sips, facts.machine.cubes, facts.machine.pes),
    ("  forwarding         cut-through, flits of %d B"):format(facts.machine.flit_bytes),
    ("  numbers            %s"):format(facts.data and "computed" or "off"),
    ("  simulated time     %s"):format(ns(s.sim_ns)),
    ("  in kernels         %s"):format(ns(s.kernel_ns)),
  }
  if not facts.ok then
    if #facts.launches > 0 then
      lines[#lines + 1] = "\n" .. columns(launch_rows(facts))
    end
    return table.concat(lines, "\n")
  end
  table.move(flow_lines(s.flow_control), 1, 3, #lines + 1, lines)
  table.move(kernel_rates(s), 1, 2, #lines + 1, lines)
  table.move(ipcq_lines(s.ipcq), 1, 3, #lines + 1, lines)
  table.move(result_lines(facts.result), 1, 64, #lines + 1, lines)
  if #facts.launches > 0 then
    lines[#lines + 1] = "\n" .. columns(launch_rows(facts))
  end
  lines[#lines + 1] = "\n" .. columns(byte_rows(s))
  if s.kernel_ns > 0 then
    lines[#lines + 1] = "\n" .. columns(engine_rows(s))
  end
  if s.energy then
    lines[#lines + 1] = "\n" .. columns(energy_rows(s.energy))
  end
  lines[#lines + 1] = "\n  audit              passed"
  lines[#lines + 1] = ("  wall time          %.3f ms, %s, %s"):format(
    facts.wall_s * 1e3, si(s.events / facts.wall_s, "events/s"), si(s.flit_hops / facts.wall_s, "flit hops/s"))
  return table.concat(lines, "\n")
end

local function json_launches(launches)
  local list = json.array {}
  for i, l in ipairs(launches) do
    list[i] = { name = l.name, sip = l.sip, sips = l.sips, start_ns = l.start_ns, end_ns = l.end_ns, pes = l.pes,
      joules = l.joules, __order = { "name", "sip", "sips", "start_ns", "end_ns", "pes", "joules" } }
  end
  return list
end

-- What the bench returned: its rows apart from the rest.
local function json_result(result)
  if type(result) ~= "table" then
    return nil, nil
  end
  local rest = {}
  for key, value in pairs(result) do rest[key] = value end
  rest.rows = nil
  return next(rest) ~= nil and rest or nil, result.rows
end

--- The same as one JSON object (schema 1).
function M.json(facts)
  local s = facts.stats
  local result, rows = json_result(facts.result)
  return json.encode {
    schema = 1, bench = facts.bench, topology = facts.topology, seed = facts.seed, sim_ns = s.sim_ns,
    wall_s = facts.wall_s, events = s.events, ok = facts.ok, data = facts.data,
    launches = json_launches(facts.launches), engines = s.engines, bytes = s.bytes,
    kernel_ns = s.kernel_ns, flops = 2 * s.macs, flit_hops = s.flit_hops,
    forwarding = { mode = "cut_through", flit_bytes = facts.machine.flit_bytes },
    memory = s.memory, tlb = { hits = s.tlb_hits, misses = s.tlb_misses },
    ipcq = s.ipcq, energy = s.energy, flow_control = s.flow_control,
    result = result, rows = rows,
    audit = { ok = s.audit.ok, violations = json.array(s.audit.violations) },
    __order = { "schema", "bench", "topology", "seed", "sim_ns", "kernel_ns", "wall_s", "events", "flit_hops",
      "ok", "data", "forwarding", "launches", "engines", "flops", "bytes", "memory", "tlb", "ipcq", "energy",
      "flow_control", "result", "rows", "audit" },
  }
end

M.deadlock = deadlock.report

return M
