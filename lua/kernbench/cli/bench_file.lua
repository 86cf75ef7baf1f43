--- Loading a bench and its arguments.
--
-- A bench file returns a function, or a table {run =, name =, description =, args = {M = 128, ...},
-- data = true}; or it returns nothing and is itself the bench. An argument is its default, or a table
-- {default =, help =, choices =}.
local common = require "kernbench.cli.common"

local M = {}

---@class Bench
---@field name string
---@field description string?
---@field run function?
---@field args table[]? sequence of {name, default, help, choices}; nil: any
---@field data boolean?

local FIELDS = { run = "function", name = "string", description = "string", args = "table", data = "boolean" }

local function base_name(path)
  return (path:gsub(".*/", ""):gsub("%.lua$", ""))
end

local function normalise_args(args)
  local list = {}
  for name, value in pairs(args) do
    if type(name) ~= "string" then
      error("args: expected names, such as {M = 128}", 0)
    end
    local entry = type(value) == "table" and value or { default = value }
    local kind = type(entry.default)
    if kind ~= "number" and kind ~= "string" and kind ~= "boolean" then
      error(("args.%s: the default is a %s; expected a number, string or boolean"):format(name, kind), 0)
    end
    list[#list + 1] = { name = name, default = entry.default, help = entry.help, choices = entry.choices }
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- What a bench file returned, as a Bench. Raises a plain message if it makes no sense.
---@param value any
---@param path string
---@return Bench
function M.describe(value, path)
  local bench = { name = base_name(path) }
  if type(value) == "function" then
    bench.run = value
  elseif type(value) == "table" then
    for key, field in pairs(value) do
      if not FIELDS[key] then
        error(("unknown field '%s'; a bench has run, name, description, args, data"):format(tostring(key)), 0)
      elseif type(field) ~= FIELDS[key] then
        error(("field '%s' is a %s; expected a %s"):format(key, type(field), FIELDS[key]), 0)
      end
      bench[key] = field
    end
    if not bench.run then
      error("the table has no field `run`", 0)
    end
    bench.args = normalise_args(bench.args or {})
  elseif value ~= nil then
    error(("a bench returns a function or a table, this one a %s"):format(type(value)), 0)
  end
  return bench
end

local function convert(arg)
  return function(text)
    if math.type(arg.default) == "integer" then
      local value = math.tointeger(tonumber(text))
      if not value then
        return nil, ("--%s: expected an integer, got '%s'"):format(arg.name, text)
      end
      return value
    elseif type(arg.default) == "number" then
      local value = tonumber(text)
      if not value then
        return nil, ("--%s: expected a number, got '%s'"):format(arg.name, text)
      end
      return value + 0.0
    elseif type(arg.default) == "boolean" then
      if text == "true" or text == "false" then
        return text == "true"
      end
      return nil, ("--%s: expected true or false, got '%s'"):format(arg.name, text)
    end
    return text
  end
end

--- Add the bench's arguments to a parser; returns its options.
function M.add_args(parser, bench)
  local options = {}
  for _, arg in ipairs(bench.args or {}) do
    local sentences = { arg.help }
    if arg.default ~= "" then sentences[#sentences + 1] = ("Default: %s."):format(tostring(arg.default)) end
    local help = table.concat(sentences, " ")
    local option = parser:option("--" .. arg.name, help):convert(convert(arg))
    if arg.choices then
      option:choices(arg.choices)
    end
    options[#options + 1] = option
  end
  return options
end

--- The bench's arguments from its part of the command line. Returns nil and an exit code on errors.
---@param bench Bench
---@param argv string[]
function M.parse_args(bench, argv)
  if not bench.args then
    return M.parse_free(argv)
  end
  local parser = common.parser("kernbench " .. bench.name .. ".lua", bench.description)
  M.add_args(parser, bench)
  local parsed, code = common.parse(parser, argv)
  if not parsed then
    return nil, code
  end
  local args = {}
  for _, arg in ipairs(bench.args) do
    local value = parsed[arg.name]
    if value == nil then
      value = arg.default
    end
    args[arg.name] = value
  end
  return args
end

--- Arguments of a bench that declares none: --name value pairs, numbers where they look like it.
function M.parse_free(argv)
  local args, i = {}, 1
  while i <= #argv do
    local name, value = argv[i]:match("^%-%-([%w_]+)=?(.*)$")
    if not name then
      return nil, common.fail(2, "unexpected argument '%s'", argv[i])
    end
    if not argv[i]:find("=", 1, true) then
      i = i + 1
      value = argv[i]
      if value == nil then
        return nil, common.fail(2, "--%s needs a value", name)
      end
    end
    args[name] = math.tointeger(tonumber(value)) or tonumber(value) or value
    i = i + 1
  end
  return args
end

--- The file of a bench given by name or path; nil and a message if there is none.
function M.find(name)
  if name:match("%.lua$") then
    if common.readable(name) then
      return name
    end
    return nil, ("cannot read %s"):format(name)
  end
  local folders = common.bench_folders()
  for _, folder in ipairs(folders) do
    local path = ("%s/%s.lua"):format(folder, name)
    if common.readable(path) then
      return path
    end
  end
  return nil, ("there is no bench '%s' in %s"):format(name, table.concat(folders, ", "))
end

return M
