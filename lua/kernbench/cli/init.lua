--- The command line: `kernbench FILE.lua` and the subcommands.
--
-- Each subcommand is a module with `main(argv)` that returns an exit code:
-- 0 fine; 1 the bench failed or numbers are wrong; 2 usage, or a file that cannot be read or
-- understood; 3 deadlock; 4 a limit was reached.
local core = require "kernbench.core"

local M = {}

local COMMANDS = {
  { "run", "run a bench by name or file (the default: kernbench FILE.lua)" },
  { "probe", "time single transfers on the idle machine, beside the closed form" },
  { "mock", "try an algorithm of a collective without a machine: numbers and deadlocks" },
  { "topology", "check a topology file, say what it amounts to, draw it (SVG)" },
  { "list", "benches, components with their parameters, topologies" },
}

local function usage()
  local lines = {
    "usage: kernbench FILE.lua [--name value ...]",
    "       kernbench COMMAND [options]",
    "",
    "Simulates kernels and host programs on a multi-chip AI accelerator.",
    "",
    "commands:",
  }
  for _, command in ipairs(COMMANDS) do
    lines[#lines + 1] = ("  %-9s %s"):format(command[1], command[2])
  end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "  kernbench COMMAND --help     options of a command"
  lines[#lines + 1] = "  kernbench FILE.lua --help    options of a bench"
  lines[#lines + 1] = "  kernbench --version"
  return table.concat(lines, "\n")
end

local function is_command(word)
  for _, command in ipairs(COMMANDS) do
    if command[1] == word then
      return true
    end
  end
  return false
end

---@param argv string[]
---@return integer exit_code
function M.main(argv)
  warn("@on") -- errors in finalizers are shown
  local first = argv[1]
  if first == nil then
    io.stderr:write(usage(), "\n")
    return 2
  elseif first == "--help" or first == "-h" or first == "help" then
    print(usage())
    return 0
  elseif first == "--version" then
    print("kernbench " .. core.version)
    return 0
  elseif is_command(first) then
    return require("kernbench.cli." .. first).main(table.move(argv, 2, #argv, 1, {}))
  elseif first:match("%.lua$") or first:sub(1, 1) == "-" then
    return require("kernbench.cli.run").main(argv)
  end
  io.stderr:write(("kernbench: '%s' is neither a command nor a file that ends in .lua\n\n%s\n"):format(first, usage()))
  return 2
end

return M
