--- JSON with a defined order of keys, so that equal runs print equal bytes.
--
-- Strings are encoded by lua-cjson. Tables: a sequence (or an empty table marked by `array`) is an
-- array; others are objects whose keys are sorted, or come in the order of their field `__order`.
local cjson = require "cjson"

local M = {}

--- Mark a table as an array even when it is empty.
function M.array(list)
  return setmetatable(list, { __name = "json.array" })
end

local function number(value)
  if math.type(value) == "integer" then
    return tostring(value)
  elseif value ~= value or value == math.huge or value == -math.huge then
    return "null"
  end
  local short = ("%.15g"):format(value)
  return tonumber(short) == value and short or ("%.17g"):format(value)
end

local function keys_of(object)
  if object.__order then
    return object.__order
  end
  local keys = {}
  for key in pairs(object) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

local function is_array(value)
  local meta = getmetatable(value)
  return #value > 0 or (meta and meta.__name == "json.array")
end

local encode

local function encode_object(object, indent)
  local parts, inner = {}, indent .. "  "
  for _, key in ipairs(keys_of(object)) do
    if object[key] ~= nil then
      parts[#parts + 1] = inner .. cjson.encode(key) .. ": " .. encode(object[key], inner)
    end
  end
  return #parts == 0 and "{}" or "{\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "}"
end

local function encode_array(list, indent)
  local parts, inner = {}, indent .. "  "
  for i = 1, #list do parts[i] = inner .. encode(list[i], inner) end
  return #parts == 0 and "[]" or "[\n" .. table.concat(parts, ",\n") .. "\n" .. indent .. "]"
end

function encode(value, indent)
  local kind = type(value)
  if kind == "table" then
    return is_array(value) and encode_array(value, indent) or encode_object(value, indent)
  elseif kind == "number" then
    return number(value)
  elseif kind == "string" or kind == "boolean" then
    return (cjson.encode(value):gsub("\\/", "/"))
  end
  return "null"
end

---@param value any
---@return string text indented by two, without a final newline
function M.encode(value)
  return encode(value, "")
end

return M
