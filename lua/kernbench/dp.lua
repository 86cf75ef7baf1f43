--- Placement: which PE holds which part of a tensor.
--
-- A policy says how a tensor is laid over the cubes of a SIP and, within each cube, over its PEs:
--   replicate     everybody holds all of it
--   column_wise   cut along the last dimension
--   row_wise      cut along the first dimension
--   tiled_2d      cut along both, into a grid of rows and columns
-- Cubes cut first; PEs cut what their cube holds.
local fail = require("kernbench.core").raise
local M = {}

local POLICIES = { replicate = true, column_wise = true, row_wise = true, tiled_2d = true }
local FIELDS = { cube = true, pe = true, num_cubes = true, num_pes = true, cube_grid = true, pe_grid = true,
  pad = true }

---@alias PolicyName "replicate"|"column_wise"|"row_wise"|"tiled_2d"

---@class DPPolicy
---@field cube PolicyName
---@field pe PolicyName
---@field num_cubes integer? cubes used, from 0; all if absent
---@field num_pes integer? PEs of each cube used, from 0; all if absent
---@field cube_grid integer[]? {rows, columns} of tiled_2d; as the cubes lie if absent
---@field pe_grid integer[]? {rows, columns} of tiled_2d; two rows if absent
---@field pad boolean sizes need not divide: the last parts are shorter, or there are none
local Policy = {}
Policy.__index = Policy

function Policy:__tostring()
  local text = ("DPPolicy{cube = %q, pe = %q, num_cubes = %s, num_pes = %s"):format(
    self.cube, self.pe, self.num_cubes or "all", self.num_pes or "all")
  for _, name in ipairs { "cube_grid", "pe_grid" } do
    if self[name] then text = ("%s, %s = {%d, %d}"):format(text, name, self[name][1], self[name][2]) end
  end
  return text .. (self.pad and ", pad = true}" or "}")
end

local function check_count(name, value)
  if value ~= nil and (math.type(value) ~= "integer" or value < 1) then
    fail(("DPPolicy: %s is %s; expected an integer of at least 1"):format(name, tostring(value)))
  end
end

-- A grid as given for a level, or nil; it says how many cubes or PEs there are if nothing else does.
local function read_grid(policy, options, level)
  local name, number = level .. "_grid", level == "cube" and "num_cubes" or "num_pes"
  local grid = options[name]
  if grid == nil then return end
  if policy[level] ~= "tiled_2d" then
    fail(("DPPolicy: %s is for %s = \"tiled_2d\", which is %q"):format(name, level, policy[level]))
  end
  for i = 1, 2 do
    if type(grid) ~= "table" or #grid ~= 2 or math.type(grid[i]) ~= "integer" or grid[i] < 1 then
      fail(("DPPolicy: %s: expected {rows, columns}, two integers of at least 1"):format(name))
    end
  end
  policy[name] = { grid[1], grid[2] }
  policy[number] = policy[number] or grid[1] * grid[2]
  if policy[number] ~= grid[1] * grid[2] then
    fail(("DPPolicy: %s is %d x %d, which is not the %d of %s"):format(name, grid[1], grid[2], policy[number],
      number))
  end
end

---@param options table
---@return DPPolicy
function M.policy(options)
  options = options or {}
  for key in pairs(options) do
    if key == "sip" or key == "num_sips" then
      fail(("DPPolicy: there is no '%s'; a tensor lives on one SIP, chosen with "
        .. "torch.ahbm.set_device(rank)"):format(key))
    elseif not FIELDS[key] then
      fail(("DPPolicy: unknown field '%s'; it has cube, pe, num_cubes, num_pes, cube_grid, pe_grid, pad"):format(
        tostring(key)))
    end
  end
  local policy = setmetatable({ cube = options.cube or "replicate", pe = options.pe or "replicate",
    num_cubes = options.num_cubes, num_pes = options.num_pes, pad = options.pad or false }, Policy)
  for _, level in ipairs { "cube", "pe" } do
    if not POLICIES[policy[level]] then
      fail(("DPPolicy: %s is %q; expected replicate, column_wise, row_wise or tiled_2d"):format(
        level, tostring(policy[level])))
    end
  end
  check_count("num_cubes", policy.num_cubes)
  check_count("num_pes", policy.num_pes)
  if type(policy.pad) ~= "boolean" then
    fail(("DPPolicy: pad is %s; expected true or false"):format(tostring(policy.pad)))
  end
  read_grid(policy, options, "cube")
  read_grid(policy, options, "pe")
  return policy
end

function M.is_policy(value)
  return getmetatable(value) == Policy
end

--- Whether PEs may be left without rows.
---@param policy DPPolicy
---@return boolean
function M.is_padded_by_rows(policy)
  return policy.pad and (policy.cube == "row_wise" or policy.pe == "row_wise")
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

-- {rows, columns} of a tiled level: as given, else as the cubes lie in the mesh, or two rows of PEs.
local function grid_of(policy, level, count, machine)
  local given = policy[level .. "_grid"]
  if policy[level] ~= "tiled_2d" or given then
    return given
  elseif level == "pe" then
    return count % 2 == 0 and { 2, count // 2 } or { 1, count }
  elseif count == machine.cubes then
    return { machine.mesh_h, machine.mesh_w }
  end
  error(("tiled_2d over %d of %d cubes needs cube_grid = {rows, columns}"):format(count, machine.cubes), 0)
end

-- How one level cuts: {what, policy, count, pad, grid}.
local function cutter(policy, level, count, machine)
  return { what = level == "cube" and "cubes" or "PEs", policy = policy[level], count = count, pad = policy.pad,
    grid = grid_of(policy, level, count, machine) }
end

-- Cut dimension d of the rectangle, in place, to part `index` of `count`; false if nothing is left.
local function slice(rect, d, index, count, by, what)
  local extent = rect.extent[d]
  if extent % count ~= 0 and not by.pad then
    error(("dimension %d has %d elements, which %d %s cannot share evenly (%s)"):format(
      d - 1, extent, count, what, by.policy), 0)
  end
  local size = -(-extent // count)
  local first = math.min(index * size, extent)
  rect.start[d], rect.extent[d] = rect.start[d] + first, math.min(size, extent - first)
  return rect.extent[d] > 0
end

-- Part `index` of a rectangle, as {start, extent}; nil if there is nothing in it.
local function cut(rect, index, by)
  if by.policy == "replicate" then
    return rect
  end
  local rank, grid = #rect.extent, by.grid
  local part = { start = table.move(rect.start, 1, rank, 1, {}), extent = table.move(rect.extent, 1, rank, 1, {}) }
  local some
  if by.policy == "row_wise" then
    some = slice(part, 1, index, by.count, by, by.what)
  elseif by.policy == "column_wise" then
    some = slice(part, rank, index, by.count, by, by.what)
  elseif rank < 2 then
    error("tiled_2d cuts rows and columns; the tensor has one dimension", 0)
  else
    some = slice(part, 1, index // grid[2], grid[1], by, "rows of " .. by.what)
    some = slice(part, rank, index % grid[2], grid[2], by, "columns of " .. by.what) and some
  end
  return some and part or nil
end

--- The pieces of a tensor and who holds them.
---@param shape integer[]
---@param policy DPPolicy
---@param machine table
---@return table[] pieces {start = {...}, extent = {...}}
---@return integer[] shards flat: cube, pe, piece (from 0), cube, pe, piece, ...
function M.shards(shape, policy, machine)
  local cubes, pes = used(policy, machine)
  local of_cubes, of_pes = cutter(policy, "cube", cubes, machine), cutter(policy, "pe", pes, machine)
  local origin = {}
  for d = 1, #shape do origin[d] = 0 end
  local whole = { start = origin, extent = shape }
  local pieces, shards, known = {}, {}, {}
  for cube = 0, cubes - 1 do
    local of_cube = cut(whole, cube, of_cubes)
    for pe = 0, of_cube and pes - 1 or -1 do
      local piece = cut(of_cube, pe, of_pes)
      if piece then
        local key = table.concat(piece.start, ",")
        if not known[key] then
          pieces[#pieces + 1] = piece
          known[key] = #pieces - 1
        end
        table.move({ cube, pe, known[key] }, 1, 3, #shards + 1, shards)
      end
    end
  end
  return pieces, shards
end

return M
