--- Install plans for tests: PEs as {sip, cube, pe}, joined as wanted.
local M = {}

--- A plan in which every line {a, direction, b, direction_back} joins two PEs; `options` are its fields.
function M.joining(lines, options)
  local plan, by_name = { name = "test", pes = {} }, {}
  for key, value in pairs(options or {}) do plan[key] = value end
  local function entry(at)
    local key = table.concat(at, ".")
    if not by_name[key] then
      by_name[key] = { sip = at[1], cube = at[2], pe = at[3], rank = #plan.pes, directions = {} }
      plan.pes[#plan.pes + 1] = by_name[key]
    end
    return by_name[key].directions
  end
  for _, line in ipairs(lines) do
    local a, there, b, back = table.unpack(line)
    local ways, returns = entry(a), entry(b)
    ways[#ways + 1] = { name = there, peer = b, peer_direction = back }
    returns[#returns + 1] = { name = back, peer = a, peer_direction = there }
  end
  return plan
end

--- A ring: everybody's E is the next one's W.
function M.ring(pes, options)
  local lines = {}
  for i, pe in ipairs(pes) do
    lines[i] = { pe, "E", pes[i % #pes + 1], "W" }
  end
  return M.joining(lines, options)
end

--- All PEs of one cube.
function M.cube(count, sip, cube)
  local pes = {}
  for pe = 0, count - 1 do pes[pe + 1] = { sip or 0, cube or 0, pe } end
  return pes
end

return M
