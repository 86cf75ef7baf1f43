--- What the subcommands share: common flags, finding files, opening the engine, messages.
local argparse = require "argparse"
local core = require "kernbench.core"

local M = {}

--- Print a message and return the exit code, for `return common.fail(2, ...)`.
function M.fail(code, format, ...)
  io.stderr:write("kernbench: ", select("#", ...) > 0 and format:format(...) or format, "\n")
  return code
end

--- A parser whose errors end in exit code 2 with a hint instead of a page of usage.
function M.parser(name, description)
  local parser = argparse(name, description)
  parser:add_help(false)
  parser:flag("-h --help", "Show this help and exit."):action(function()
    print(parser:get_help())
    os.exit(0, true)
  end)
  return parser
end

--- Flags that every command which builds a machine takes.
function M.add_machine_flags(parser)
  parser:option("--topology", "Topology file. Default: topology.yaml here, else the one of kernbench.")
  parser:option("--set", "Override a parameter, e.g. --set sip.cube_mesh.w=8. May be repeated.")
    :argname("PATH=VALUE"):count("*"):default({})
end

--- Parse; on a usage error print it and return nil and exit code 2.
function M.parse(parser, argv)
  local ok, result = parser:pparse(argv)
  if ok then
    return result
  end
  return nil, M.fail(2, "%s; see `%s --help`", tostring(result), parser._name)
end

--- Converts the value of an option that counts something.
function M.count(option)
  return function(text)
    local value = math.tointeger(tonumber(text))
    if not value or value < 1 then
      return nil, ("%s: expected an integer of at least 1, got '%s'"):format(option, text)
    end
    return value
  end
end

local function readable(path)
  local file = io.open(path, "r")
  if file then file:close() end
  return file ~= nil
end
M.readable = readable

--- The topology file to use: the one given, ./topology.yaml, or the program's own.
function M.topology(given)
  if given then
    return given
  elseif readable("topology.yaml") then
    return "topology.yaml"
  end
  return core.home() .. "/topology.yaml"
end

--- Folders in which benches are looked for by name.
function M.bench_folders()
  local folders = {}
  for folder in (os.getenv("KERNBENCH_PATH") or ""):gmatch("[^:]+") do
    folders[#folders + 1] = folder
  end
  folders[#folders + 1] = "benches"
  folders[#folders + 1] = core.home() .. "/benches"
  return folders
end

return M
