--- kernbench list: benches, algorithms, topologies, and components with their parameters.
local algorithms = require "kernbench.ccl.algorithms"
local bench_file = require "kernbench.cli.bench_file"
local ccl_config = require "kernbench.ccl.config"
local ccl_plan = require "kernbench.ccl.plan"
local common = require "kernbench.cli.common"
local core = require "kernbench.core"
local json = require "kernbench.cli.json"
local lfs = require "lfs"
local report = require "kernbench.cli.report"
local runtime = require "kernbench.runtime"
local topo = require "kernbench.core.topo"

local M = {}

local function files_in(folder, pattern)
  local found = {}
  if lfs.attributes(folder, "mode") ~= "directory" then
    return found
  end
  for name in lfs.dir(folder) do
    if name:match(pattern) then
      found[#found + 1] = name
    end
  end
  table.sort(found)
  return found
end

-- What a bench says of itself. A script that is itself the bench fails to load here; it has no words.
local function description_of(path)
  local chunk, message = loadfile(path, "t")
  if not chunk then
    return "(does not load: " .. message .. ")"
  end
  local ok, value = pcall(chunk)
  local described, bench = pcall(bench_file.describe, ok and value or nil, path)
  return described and bench.description or ""
end

local function benches()
  local list, seen = json.array {}, {}
  for _, folder in ipairs(common.bench_folders()) do
    for _, name in ipairs(files_in(folder, "%.lua$")) do
      local short = name:gsub("%.lua$", "")
      if not seen[short] then
        seen[short] = true
        local path = folder .. "/" .. name
        list[#list + 1] = { name = short, path = path, description = description_of(path),
          __order = { "name", "path", "description" } }
      end
    end
  end
  return list
end

local function topologies()
  local list = json.array { common.topology() }
  for _, folder in ipairs { "topologies", core.home() .. "/topologies" } do
    for _, name in ipairs(files_in(folder, "%.ya?ml$")) do
      list[#list + 1] = folder .. "/" .. name
    end
    if #list > 1 then break end
  end
  return list
end

-- Collectives that come with the program, and those that ccl.yaml adds.
local function algorithm_list()
  local list, names = json.array {}, algorithms.names()
  local config, known = ccl_config.load(), {}
  for _, name in ipairs(names) do known[name] = true end
  local added = {}
  for name, entry in pairs(config.algorithms) do
    if not known[name] and entry.module then added[#added + 1] = name end
  end
  table.sort(added)
  for _, name in ipairs(table.move(added, 1, #added, #names + 1, names)) do
    local ok, algorithm = pcall(algorithms.load, config:settings(name).module or name)
    local description = ok and (algorithm.description or "") or "(does not load: " .. algorithm .. ")"
    list[#list + 1] = { name = name, collective = ok and algorithm.collective or "?",
      topology = ok and algorithm.topology or "?", description = description,
      __order = { "name", "collective", "topology", "description" } }
  end
  return list
end

local function print_algorithms()
  print("algorithms:")
  for _, a in ipairs(algorithm_list()) do
    print(("  %-16s  %-14s  %-11s  %s"):format(a.name, a.collective, a.topology, a.description))
  end
  print()
end

-- The install plan of an algorithm on the machine, printed.
local function show_plan(options)
  local engine, message = runtime.open { topology = common.topology(options.topology), sets = options.set,
    data = false }
  if not engine then
    return common.fail(2, "%s", message)
  end
  local ok, problem = pcall(function()
    local settings = ccl_config.load(options.ccl):settings(options.plan)
    local algorithm = algorithms.load(settings.module or options.plan)
    local plan = ccl_plan.make(algorithm, settings, { ranks = options.ranks, num_cubes = options.num_cubes,
      world_size = options.world or settings.world_size }, runtime.machine)
    ccl_plan.check(plan, runtime.machine)
    if options.json then
      plan.__order = { "name", "buffer_kind", "n_slots", "slot_size", "backpressure", "credit_bytes", "vc_chunk",
        "pes" }
      for _, pe in ipairs(plan.pes) do
        pe.__order = { "rank", "sip", "cube", "pe", "directions" }
        pe.directions = json.array(pe.directions)
        for _, to in ipairs(pe.directions) do to.__order = { "name", "peer", "peer_direction" } end
      end
      print(json.encode(plan))
    else
      print(ccl_plan.text(plan))
    end
  end)
  runtime.close()
  if not ok then
    return common.fail(2, "%s", problem)
  end
  return 0
end

local function range_of(param)
  if param.choices then
    return (param.choices:gsub(" ", " | "))
  elseif param.min then
    return ("%.12g..%.12g"):format(param.min, param.max)
  end
  return ""
end

local function print_components(sections)
  for _, section in ipairs(sections) do
    print(("%s%s: %s"):format(section.path, section.repeated and "[]" or "", section.help))
    local rows = {}
    for _, p in ipairs(section.params) do
      rows[#rows + 1] = { p.name, p.default or "(required)", p.unit or "", range_of(p) }
    end
    local table_text = report.columns(rows)
    local i = 0
    for line in table_text:gmatch("[^\n]+") do
      i = i + 1
      print(line)
      print("      " .. section.params[i].help)
    end
    print()
  end
end

local function components_json(sections)
  local list = json.array {}
  for i, section in ipairs(sections) do
    local params = json.array {}
    for j, p in ipairs(section.params) do
      p.__order = { "name", "type", "unit", "default", "min", "max", "choices", "help" }
      params[j] = p
    end
    list[i] = { path = section.path, help = section.help, repeated = section.repeated, params = params,
      __order = { "path", "help", "repeated", "params" } }
  end
  return list
end

local function print_all(kinds)
  if kinds.benches then
    print("benches:")
    local rows = {}
    for _, bench in ipairs(benches()) do
      rows[#rows + 1] = bench
    end
    local width = 0
    for _, bench in ipairs(rows) do width = math.max(width, #bench.name) end
    for _, bench in ipairs(rows) do
      print(("  %-" .. width .. "s  %s"):format(bench.name, bench.description))
    end
    print()
  end
  if kinds.algorithms then
    print_algorithms()
  end
  if kinds.topologies then
    print("topologies:")
    for _, path in ipairs(topologies()) do print("  " .. path) end
    print()
  end
  if kinds.components then
    print("components and structure of topology.yaml: parameter, default, unit, range")
    print()
    print_components(topo.sections())
  end
end

---@param argv string[]
---@return integer
function M.main(argv)
  local parser = common.parser("kernbench list",
    "List benches, algorithms, topologies, and components with their parameters.")
  parser:flag("--benches", "Benches that --bench finds.")
  parser:flag("--algorithms", "Algorithms of collectives.")
  parser:flag("--topologies", "Topology files.")
  parser:flag("--components", "Components and structure: parameters, units, defaults, help.")
  parser:flag("--json", "Print one JSON object.")
  parser:flag("--markdown", "Print the topology reference in Markdown.")
  parser:flag("--yaml", "Print a complete topology file with every default.")
  parser:option("--plan", "Print which PE is connected to which by this algorithm."):argname("ALGORITHM")
  parser:option("--ranks", "With --plan: what a rank is."):choices { "pe", "cube", "sip" }:default("pe")
  parser:option("--world", "With --plan: ranks."):convert(common.count("--world"))
  parser:option("--num-cubes", "With --plan: cubes used of each SIP."):convert(common.count("--num-cubes"))
  parser:option("--ccl", "With --plan: a file in place of ccl.yaml."):argname("FILE")
  common.add_machine_flags(parser)
  local options, code = common.parse(parser, argv)
  if not options then
    return code
  end
  if options.plan then
    return show_plan(options)
  end
  if options.markdown or options.yaml then
    io.write(topo.reference(options.markdown and "markdown" or "yaml"))
    return 0
  end
  local kinds = { benches = options.benches, algorithms = options.algorithms, topologies = options.topologies,
    components = options.components }
  if not next(kinds) then
    kinds = { benches = true, algorithms = true, topologies = true }
  end
  if options.json then
    print(json.encode { schema = 1, benches = kinds.benches and benches(),
      algorithms = kinds.algorithms and algorithm_list(), topologies = kinds.topologies and topologies(),
      components = kinds.components and components_json(topo.sections()),
      __order = { "schema", "benches", "algorithms", "topologies", "components" } })
  else
    print_all(kinds)
  end
  return 0
end

return M
