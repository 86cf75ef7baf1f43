--- kernbench run: run a bench and report what it took.
local bench_file = require "kernbench.cli.bench_file"
local common = require "kernbench.cli.common"
local core = require "kernbench.core"
local runtime = require "kernbench.runtime"
local report = require "kernbench.cli.report"

local M = {}

-- Common flags: true when a value follows.
local FLAGS = { bench = true, topology = true, device = true, set = true, seed = true, ["max-time"] = true,
  stages = true, ["max-events"] = true, ["no-data"] = false, ["verify-data"] = false, ["data-threads"] = true,
  json = false, quiet = false, progress = false, ccl = true, help = false }

-- Converts the value of an option: `accept` returns what it stands for, or nil.
local function number(option, expected, accept)
  return function(text)
    local value = tonumber(text)
    value = value and accept(value)
    if value == nil then
      return nil, ("%s: expected %s, got '%s'"):format(option, expected, text)
    end
    return value
  end
end

local function make_parser()
  local parser = common.parser("kernbench run", "Run a bench and print a summary.")
  parser:usage("usage: kernbench run (--bench NAME | FILE.lua) [options] [--name value ...]\n"
    .. "       kernbench FILE.lua [options] [--name value ...]")
  parser:argument("file", "Bench file."):args("?")
  parser:option("--bench", "Bench by name, looked for in $KERNBENCH_PATH, benches/ and kernbench's own.")
  common.add_machine_flags(parser)
  parser:option("--device", "SIP for new tensors: sip:N, sipN, or all (SIP 0 first)."):default("all")
  parser:flag("--no-data", "Timing only: no numbers, no memory for tensor contents.")
  parser:flag("--verify-data", "Fail unless the bench reads results back.")
  parser:option("--data-threads", "Threads that compute numbers, beside the simulation's own: 0 to 64.")
    :convert(number("--data-threads", "an integer from 0 to 64", function(n)
      return n >= 0 and n <= 64 and math.tointeger(n) or nil
    end))
  parser:option("--seed", "Seed of torch.rand and math.random."):default("0")
    :convert(number("--seed", "an integer", math.tointeger))
  parser:option("--ccl", "How collectives are carried out. Default: ccl.yaml here, else the one of kernbench.")
    :argname("FILE")
  parser:option("--max-time", "End with exit code 4 when simulated time passes this many ns.")
    :convert(number("--max-time", "a number of ns above 0", function(n) return n > 0 and n or nil end))
  parser:option("--max-events", "End with exit code 4 after this many events.")
    :convert(number("--max-events", "an integer above 0", function(n) return n > 0 and math.tointeger(n) or nil end))
  parser:option("--stages", "Record what every engine of a PE did, stage by stage, in FILE (.csv or .json).")
    :argname("FILE")
  parser:flag("--json", "Print one JSON object instead of the summary; the bench's prints go to stderr.")
  parser:flag("--progress", "Show progress even when standard error is not a terminal.")
  parser:flag("-q --quiet", "No summary, no progress.")
  return parser
end

-- Split the command line: common flags to the left, everything else is the bench's.
local function split(argv)
  local ours, theirs, have_bench = {}, {}, false
  local i = 1
  while i <= #argv do
    local word = argv[i]
    local name, value = word:match("^%-%-([%w%-_]+)(=?)")
    if name and FLAGS[name] ~= nil then
      ours[#ours + 1] = word
      have_bench = have_bench or name == "bench"
      if FLAGS[name] and value == "" and argv[i + 1] then
        i = i + 1
        ours[#ours + 1] = argv[i]
      end
    elseif word == "-q" or word == "-h" then
      ours[#ours + 1] = word
    elseif not name and not have_bench and word:sub(1, 1) ~= "-" then
      ours[#ours + 1] = word
      have_bench = true
    else
      theirs[#theirs + 1] = word
      if name and value == "" and argv[i + 1] and argv[i + 1]:sub(1, 2) ~= "--" then
        i = i + 1
        theirs[#theirs + 1] = argv[i]
      end
    end
    i = i + 1
  end
  return ours, theirs
end

local function wants_help(argv)
  for i, word in ipairs(argv) do
    if word == "--help" or word == "-h" then
      table.remove(argv, i)
      return true
    end
  end
  return false
end

local function device_of(text, sips)
  if text == "all" then
    return 0
  end
  local index = math.tointeger(tonumber(text:match("^sip:?(%d+)$")))
  if not index then
    return nil, ("--device %s: expected all, sip:N or sipN"):format(text)
  elseif index >= sips then
    return nil, ("--device %s: there are %d SIPs, from 0"):format(text, sips)
  end
  return index
end

-- Help of a bench: common flags and its own arguments.
local function show_help(parser, path)
  if path then
    local chunk = loadfile(path, "t")
    -- A script that is itself the bench fails here for want of a simulation; it has no arguments.
    local ok, value = pcall(chunk or error)
    local described, bench = pcall(bench_file.describe, ok and value or nil, path)
    if described then
      parser:description(bench.description)
      local options = bench_file.add_args(parser, bench)
      if #options > 0 then
        parser:group("Options of this bench", table.unpack(options))
      end
    end
  end
  print(parser:get_help())
  return 0
end

-- The bench as the engine runs it: load the file's chunk, parse its arguments, call it.
local function body(chunk, path, argv, state)
  return function()
    local value = chunk()
    local ok, bench = pcall(bench_file.describe, value, path)
    if not ok then
      state.usage = ("%s: %s"):format(path, bench)
      return
    end
    state.bench = bench
    if not bench.run then
      if #argv > 0 then
        state.usage = ("%s takes no arguments; got '%s'"):format(path, argv[1])
      end
      return
    end
    local args, code = bench_file.parse_args(bench, argv)
    if not args then
      state.code = code
      return
    end
    if bench.data == false then
      runtime.engine:without_data()
    end
    state.result = bench.run(args)
  end
end

local function open(options)
  local engine, message = runtime.open {
    topology = common.topology(options.topology), sets = options.set,
    data = not options.no_data, data_threads = options.data_threads, seed = options.seed,
    ccl_yaml = options.ccl }
  if not engine then
    return nil, common.fail(2, "%s", message)
  end
  local device, why = device_of(options.device, runtime.machine.sips)
  if not device then
    return nil, common.fail(2, "%s", why)
  end
  runtime.device = device
  math.randomseed(options.seed)
  return engine
end

-- Exit code and message of an outcome.
local function judge(outcome, state, stats, options)
  if state.usage then
    return 2, state.usage
  elseif state.code then
    return state.code
  elseif outcome.status == "error" then
    return 1, outcome.error
  elseif outcome.status == "limit" then
    return 4, ("a limit was reached at t = %.3f ns after %d events (--max-time, --max-events)"):format(
      stats.sim_ns, stats.events)
  elseif outcome.status == "deadlock" then
    return 3, report.deadlock(outcome, stats)
  elseif stats.submissions == 0 then
    return 1, "the bench submitted nothing to the device: no tensor was moved, no kernel launched"
  elseif options.verify_data and stats.bytes_to_host == 0 then
    return 1, "--verify-data: the bench read no results back from the device"
  elseif not stats.audit.ok then
    return 1, "the audit failed:\n  " .. table.concat(stats.audit.violations, "\n  ")
  end
  for _, launch in ipairs(runtime.engine:launches()) do
    if launch.failed and not launch.reported then
      return 1, ("kernel '%s' failed and nobody waited for it:\n%s"):format(launch.name, launch.errors)
    end
  end
  for _, context in ipairs(runtime.unjoined) do
    local failures = context:failures()
    if failures then
      return 1, "workers failed and nobody joined them:\n" .. failures
    end
  end
  return 0
end

local function run_file(path, options, theirs)
  local chunk, syntax = loadfile(path, "t")
  if not chunk then
    return common.fail(2, "%s", syntax)
  end
  local engine, code = open(options)
  if not engine then
    return code
  end
  local record
  if options.stages then
    local why
    record, why = engine:record_stages(options.stages)
    if not record then
      return common.fail(2, "--stages: %s", why)
    end
  end
  local state, print_before = {}, print
  if options.json then
    print = function(...) -- luacheck: ignore
      local words = table.pack(...)
      for i = 1, words.n do words[i] = tostring(words[i]) end
      io.stderr:write(table.concat(words, "\t"), "\n")
    end
  end
  local began = core.clock()
  local outcome = engine:run(body(chunk, path, theirs, state), options.max_time, options.max_events,
    options.progress or (core.is_terminal() and not options.quiet))
  local wall = core.clock() - began
  print = print_before -- luacheck: ignore
  local stats = engine:stats()
  local exit, message = judge(outcome, state, stats, options)
  if message then
    common.fail(exit, "%s", message)
  end
  if exit ~= 2 then
    local facts = { bench = state.bench and state.bench.name or path, topology = common.topology(options.topology),
      seed = options.seed, wall_s = wall, ok = exit == 0, stats = stats, launches = engine:launches(),
      machine = runtime.machine, result = state.result, data = engine:has_data() }
    if options.json then
      print(report.json(facts))
    elseif not options.quiet then
      print(report.table(facts))
    end
  end
  if record and exit == 2 then
    record:abandon()
  elseif record then
    local written, why = record:finish()
    if not written then
      exit = common.fail(2, "--stages: %s", why)
    end
  end
  runtime.close()
  return exit
end

---@param argv string[]
---@return integer
function M.main(argv)
  local help = wants_help(argv)
  local ours, theirs = split(argv)
  local parser = make_parser()
  local options, code = common.parse(parser, ours)
  if not options then
    return code
  end
  if options.no_data and options.verify_data then
    return common.fail(2, "--no-data and --verify-data contradict each other")
  end
  local name = options.bench or options.file
  if help and not name then
    return show_help(parser)
  elseif not name then
    return common.fail(2, "no bench given: name a file, or use --bench NAME (kernbench list shows them)")
  end
  local path, message = bench_file.find(name)
  if not path then
    return common.fail(2, "%s", message)
  end
  if options.bench and options.file then
    table.insert(theirs, 1, options.file)
  end
  if help then
    return show_help(parser, path)
  end
  return run_file(path, options, theirs)
end

return M
