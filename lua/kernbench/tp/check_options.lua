--- Options of layers: a table from names to what the values must be.
local core = require "kernbench.core"
local np = require "kernbench.np"

local ACCEPTS = {
  size = function(value) return math.type(value) == "integer" and value >= 1 end,
  number = function(value) return type(value) == "number" end,
  boolean = function(value) return type(value) == "boolean" end,
  string = function(value) return type(value) == "string" end,
  table = function(value) return type(value) == "table" end,
  array = np.isarray,
}

--- Raise unless these are options that `known` names, and those that are named here are there.
---@param call string
---@param options table
---@param known table<string, string>
---@param ... string
return function(call, options, known, ...)
  if type(options) ~= "table" then
    core.raise(("tp.%s: expected a table of options"):format(call))
  end
  for key, value in pairs(options) do
    local kind = known[key]
    if not kind then
      core.raise(("tp.%s: unknown option '%s'"):format(call, tostring(key)))
    elseif not ACCEPTS[kind](value) then
      core.raise(("tp.%s: %s is %s; expected a%s %s"):format(call, key, tostring(value), kind == "array" and "n" or "",
        kind))
    end
  end
  for _, key in ipairs { ... } do
    if options[key] == nil then core.raise(("tp.%s: %s is missing"):format(call, key)) end
  end
end
