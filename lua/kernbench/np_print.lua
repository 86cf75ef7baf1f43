--- An array as text, laid out as NumPy does: nested brackets, aligned columns, "..." when large.

local core = require "kernbench.core.np"

local SUMMARY_ABOVE = 1000 -- elements; larger arrays show only their edges
local EDGE = 3 -- entries shown at each end of a summarised dimension

-- Which indices of a dimension are shown; false stands for the gap.
local function shown(extent, summarise)
  local list = {}
  if not summarise or extent <= 2 * EDGE then
    for i = 0, extent - 1 do list[#list + 1] = i end
    return list
  end
  for i = 0, EDGE - 1 do list[#list + 1] = i end
  list[#list + 1] = false
  for i = extent - EDGE, extent - 1 do list[#list + 1] = i end
  return list
end

-- The column of the point, from the text's end; nil without one (whole numbers, nan, inf, true).
local function after_point(text)
  local point = text:find(".", 1, true)
  return point and #text - point
end

-- Visit the shown elements' flat indices in order.
local function each_shown(shape, summarise, depth, base, visit)
  if depth > #shape then return visit(base) end
  for _, i in ipairs(shown(shape[depth], summarise)) do
    if i then each_shown(shape, summarise, depth + 1, base * shape[depth] + i, visit) end
  end
end

-- Every shown element as text, padded so that points line up and the rest ends where they end.
local function make_cells(a, shape, summarise)
  local cells, before, after, width = {}, 0, 0, 0
  each_shown(shape, summarise, 1, 0, function(index)
    local text = core.format(a, index)
    local right = after_point(text)
    cells[index] = text
    width = math.max(width, #text)
    if right then before, after = math.max(before, #text - right), math.max(after, right) end
  end)
  width = math.max(width, before + after)
  for index, text in pairs(cells) do -- the order does not matter: each is padded by itself
    local right = after_point(text)
    local padded = right and text .. (" "):rep(after - right) or text
    cells[index] = (" "):rep(width - #padded) .. padded
  end
  return cells
end

local function layout(cells, shape, summarise, depth, base, indent)
  if depth > #shape then return cells[base] end
  local parts = {}
  for _, i in ipairs(shown(shape[depth], summarise)) do
    local at = i and base * shape[depth] + i
    parts[#parts + 1] = i and layout(cells, shape, summarise, depth + 1, at, indent .. " ") or "..."
  end
  local inner = #shape - depth -- dimensions inside this one: rows break, planes leave a blank line
  local separator = inner == 0 and ", " or "," .. ("\n"):rep(inner) .. indent .. " "
  return "[" .. table.concat(parts, separator) .. "]"
end

---@param a kernbench.array
---@return string
return function(a)
  local shape, summarise = a.shape, a.size > SUMMARY_ABOVE
  local body
  if a.size == 0 then
    body = "[]"
  else
    body = layout(make_cells(a, shape, summarise), shape, summarise, 1, 0, (" "):rep(6))
  end
  local tail = "dtype=" .. a.dtype
  if summarise or a.size == 0 then tail = "shape=(" .. table.concat(shape, ", ") .. "), " .. tail end
  return "array(" .. body .. ", " .. tail .. ")"
end
