--- Placement: which PE holds which part of a tensor.
--
-- A policy says how a tensor is laid over the cubes of a SIP and, within each cube, over its PEs:
--   replicate     everybody holds all of it
--   column_wise   cut along the last dimension
--   row_wise      cut along the first dimension
-- Cubes cut first; PEs cut what their cube holds.
local M = {}

local POLICIES = { replicate = true, column_wise = true, row_wise = true }
local FIELDS = { cube = true, pe = true, num_cubes = true, num_pes = true }

---@class DPPolicy
---@field cube "replicate"|"column_wise"|"row_wise"
---@field pe "replicate"|"column_wise"|"row_wise"
---@field num_cubes integer? cubes used, from 0; all if absent
---@field num_pes integer? PEs of each cube used, from 0; all if absent
local Policy = {}
Policy.__index = Policy

function Policy:__tostring()
  return ("DPPolicy{cube = %q, pe = %q, num_cubes = %s, num_pes = %s}"):format(
    self.cube, self.pe, self.num_cubes or "all", self.num_pes or "all")
end

local function check_count(name, value)
  if value ~= nil and (math.type(value) ~= "integer" or value < 1) then
    error(("DPPolicy: %s is %s; expected an integer of at least 1"):format(name, tostring(value)), 3)
  end
end

---@param options table
---@return DPPolicy
function M.policy(options)
  options = options or {}
  for key in pairs(options) do
    if key == "sip" or key == "num_sips" then
      error(("DPPolicy: there is no '%s'; a tensor lives on one SIP, chosen with "
        .. "torch.ahbm.set_device(rank)"):format(key), 2)
    elseif not FIELDS[key] then
      error(("DPPolicy: unknown field '%s'; it has cube, pe, num_cubes, num_pes"):format(key), 2)
    end
  end
  local policy = setmetatable({ cube = options.cube or "replicate", pe = options.pe or "replicate",
    num_cubes = options.num_cubes, num_pes = options.num_pes }, Policy)
  for _, level in ipairs { "cube", "pe" } do
    if not POLICIES[policy[level]] then
      error(("DPPolicy: %s is %q; expected replicate, column_wise or row_wise"):format(
        level, tostring(policy[level])), 2)
    end
  end
  check_count("num_cubes", policy.num_cubes)
  check_count("num_pes", policy.num_pes)
  return policy
end

function M.is_policy(value)
  return getmetatable(value) == Policy
end

--- A tensor without a policy lives on the first PE.
M.single = M.policy { num_cubes = 1, num_pes = 1 }

local function used(policy, machine)
  local cubes, pes = policy.num_cubes or machine.cubes, policy.num_pes or machine.pes
  if cubes > machine.cubes then
    error(("DPPolicy: num_cubes is %d, a SIP has %d"):format(cubes, machine.cubes), 0)
  elseif pes > machine.pes then
    error(("DPPolicy: num_pes is %d, a cube has %d"):format(pes, machine.pes), 0)
  end
  return cubes, pes
end

-- Part `index` of `count` of a rectangle under a policy, as {start, extent}.
local function cut(rect, policy, index, count, what)
  if policy == "replicate" then
    return rect
  end
  local d = policy == "row_wise" and 1 or #rect.extent
  local extent = rect.extent[d]
  if extent % count ~= 0 then
    error(("dimension %d has %d elements, which %d %s cannot share evenly (%s)"):format(
      d - 1, extent, count, what, policy), 0)
  end
  local start, size = table.move(rect.start, 1, #rect.start, 1, {}), table.move(rect.extent, 1, #rect.extent, 1, {})
  size[d] = extent // count
  start[d] = start[d] + index * size[d]
  return { start = start, extent = size }
end

--- The pieces of a tensor and who holds them.
---@param shape integer[]
---@param policy DPPolicy
---@param machine table
---@return table[] pieces {start = {...}, extent = {...}}
---@return integer[] shards flat: cube, pe, piece (from 0), cube, pe, piece, ...
function M.shards(shape, policy, machine)
  local cubes, pes = used(policy, machine)
  local origin = {}
  for d = 1, #shape do origin[d] = 0 end
  local whole = { start = origin, extent = shape }
  local pieces, shards, known = {}, {}, {}
  for cube = 0, cubes - 1 do
    local of_cube = cut(whole, policy.cube, cube, cubes, "cubes")
    for pe = 0, pes - 1 do
      local piece = cut(of_cube, policy.pe, pe, pes, "PEs")
      local key = table.concat(piece.start, ",")
      if not known[key] then
        pieces[#pieces + 1] = piece
        known[key] = #pieces - 1
      end
      local n = #shards
      shards[n + 1], shards[n + 2], shards[n + 3] = cube, pe, known[key]
    end
  end
  return pieces, shards
end

return M
