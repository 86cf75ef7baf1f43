--- ccl.yaml: which algorithm, and the rings it runs on. Errors read "file:line:column: message".
local core = require "kernbench.core"
local yaml = require "kernbench.core.yaml"

local M = {}

---@class ccl.Settings
---@field algorithm string
---@field buffer_kind "tcm"|"hbm"|"sram"
---@field backpressure "sleep"|"poll"
---@field n_slots integer
---@field slot_size integer bytes
---@field credit_bytes integer
---@field vc_chunk integer bytes; 0: a slot at once
---@field module string? of an algorithm
---@field topology string?
---@field world_size integer?
---@field n_elem integer?

local function choice(...)
  local words = { ... }
  return { expected = table.concat(words, ", ", 1, #words - 1) .. " or " .. words[#words], words = words,
    read = function(text)
      for _, word in ipairs(words) do
        if word == text then return word end
      end
    end }
end

local function integer(min, max)
  return { expected = ("an integer from %d to %d"):format(min, max), read = function(text)
    local value = math.tointeger(tonumber(text))
    return value and value >= min and value <= max and value or nil
  end }
end

-- From `min`, which may be 0.
local function multiple(of, min, max)
  return { expected = ("%sa multiple of %d up to %d"):format(min == 0 and "0 or " or "", of, max), read = function(text)
    local value = math.tointeger(tonumber(text))
    return value and value >= min and value <= max and value % of == 0 and value or nil
  end }
end

local function word(what)
  return { expected = what, read = function(text) return text ~= "" and text or nil end }
end

-- Keys, with what they hold.
local RINGS = {
  buffer_kind = choice("tcm", "hbm", "sram"),
  backpressure = choice("sleep", "poll"),
  n_slots = integer(1, 65536),
  slot_size = multiple(16, 16, 1 << 24),
  credit_bytes = integer(0, 4096),
  vc_chunk = multiple(16, 0, 1 << 24),
}
local DEFAULTS = { algorithm = word "the name of an algorithm", world_size = integer(1, 1 << 20) }
local ALGORITHM = {
  module = word "a module or a file.lua",
  topology = choice("ring_1d", "mesh_2d", "torus_2d", "tree_binary", "none"),
  world_size = integer(1, 1 << 20),
  n_elem = integer(1, 1 << 40),
}
for key, kind in pairs(RINGS) do DEFAULTS[key], ALGORITHM[key] = kind, kind end

local BUILT_IN = { algorithm = "auto", buffer_kind = "tcm", backpressure = "sleep", n_slots = 4, slot_size = 4096,
  credit_bytes = 16, vc_chunk = 0 }

local function fail(path, line, column, format, ...)
  error(("%s:%d:%d: "):format(path, line, column) .. format:format(...), 0)
end

local function sorted_keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- "did you mean" where a word is near, else all of them.
local function advice(given, words)
  local near = yaml.nearest(given, words)
  return near and ("did you mean \"%s\"?"):format(near) or ("expected one of %s"):format(table.concat(words, ", "))
end

local function is_blank(node)
  return node.kind == "scalar" and node.text == "" and not node.quoted
end

local function check_mapping(path, node, what)
  if node.kind ~= "mapping" then
    fail(path, node.line, node.column, "%s holds a %s; expected keys with values", what,
      node.kind == "scalar" and "single value" or node.kind)
  end
end

-- The values of a mapping, by the kinds of its keys.
local function read_values(path, node, kinds, what)
  local values = {}
  if is_blank(node) then
    return values
  end
  check_mapping(path, node, what)
  for _, entry in ipairs(node) do
    local kind = kinds[entry.key]
    if not kind then
      fail(path, entry.key_line, entry.key_column, "unknown key \"%s\" in %s; %s", entry.key, what,
        advice(entry.key, sorted_keys(kinds)))
    end
    local value = entry.kind == "scalar" and kind.read(entry.text) or nil
    if value == nil then
      local got = entry.kind == "scalar" and ("\"%s\""):format(entry.text) or "a " .. entry.kind
      local near = entry.kind == "scalar" and kind.words and yaml.nearest(entry.text, kind.words)
      fail(path, entry.line, entry.column, "%s.%s: expected %s, got %s%s", what, entry.key, kind.expected, got,
        near and ("; did you mean \"%s\"?"):format(near) or "")
    end
    values[entry.key] = value
  end
  return values
end

local function find(path)
  if path then
    return path
  end
  local here = io.open("ccl.yaml", "r")
  if here then
    here:close()
    return "ccl.yaml"
  end
  return core.home() .. "/ccl.yaml"
end

---@class ccl.Config
---@field path string
---@field defaults table
---@field algorithms table<string, table>
local Config = {}
Config.__index = Config

--- Read a file: the one given, ./ccl.yaml, or the program's own. Raises "file:line:column: message".
---@param path string?
---@return ccl.Config
function M.load(path)
  path = find(path)
  local root, message = yaml.load(path)
  if not root then
    error(message, 0)
  end
  check_mapping(path, root, "the file")
  local config = setmetatable({ path = path, defaults = {}, algorithms = {} }, Config)
  for _, entry in ipairs(root) do
    if entry.key == "defaults" then
      config.defaults = read_values(path, entry, DEFAULTS, "defaults")
    elseif entry.key == "algorithms" then
      if not is_blank(entry) then
        check_mapping(path, entry, "algorithms")
        for _, algorithm in ipairs(entry) do
          config.algorithms[algorithm.key] = read_values(path, algorithm, ALGORITHM, "algorithms." .. algorithm.key)
        end
      end
    else
      fail(path, entry.key_line, entry.key_column, "unknown key \"%s\"; %s", entry.key,
        advice(entry.key, { "algorithms", "defaults" }))
    end
  end
  return config
end

--- Settings of an algorithm: its own, else the defaults, else what the program has built in.
---@param name string?
---@return ccl.Settings
function Config:settings(name)
  local settings = {}
  for _, layer in ipairs { BUILT_IN, self.defaults, name and self.algorithms[name] or {} } do
    for key, value in pairs(layer) do settings[key] = value end
  end
  return settings
end

return M
