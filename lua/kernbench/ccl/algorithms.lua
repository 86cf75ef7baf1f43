--- Algorithms: finding their modules, and what their kernels are told.
--
-- An algorithm is a module (kernbench.ccl.algorithms.NAME, any other module, or a file) that returns
--
--   collective   "all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce", "all_to_all", "shift"
--   topology     "ring_1d", "mesh_2d", "torus_2d", "tree_binary", or "none" with `neighbors`
--   neighbors    function(rank, world, layout): sequence of {name =, rank =, peer_direction =}
--   kernel       function(c, tensor...): a kernel in `tl`; in place, or from an input to an output
--   kernel_args  optional: function(world, n_elem, layout, rank): more fields for `c`
--   requires     optional: function(layout, n_elem): what is wrong with these ranks, or nil
--   takes_shares optional: the kernel takes {n =, stride =} behind its tensors, if they are cut along dimension 0:
--                it moves n elements of each rank's part, and the parts are `stride` elements apart
--   description  one line
--
-- `c` is a table with rank, world, op, root, n_slots, slot_size, the fields of kernel_args, on grids x, y,
-- w, h, and under the name of each neighbour (c.E, c.parent) the direction to give to tl.send and tl.recv:
-- nil where this rank has no such neighbour.
local core = require "kernbench.core"
local lfs = require "lfs"
local topologies = require "kernbench.ccl.topologies"

local M = {}

---@class ccl.Algorithm
---@field name string
---@field collective string
---@field topology string
---@field kernel function
---@field kernel_args? fun(world: integer, n_elem: integer?, layout: ccl.Layout, rank: integer): table
---@field requires? fun(layout: ccl.Layout, n_elem: integer?): string?
---@field takes_shares? boolean
---@field neighbors? fun(rank: integer, world: integer, layout: ccl.Layout): ccl.Neighbor[]
---@field description? string

---@class ccl.Rank
---@field rank integer
---@field world integer
---@field op string sum, avg, max, min, product; of integers band, bor or bxor
---@field root integer
---@field n_slots integer
---@field slot_size integer

M.collectives = { all_reduce = true, all_gather = true, reduce_scatter = true, broadcast = true, reduce = true,
  all_to_all = true, shift = true }
M.ops = { sum = true, avg = true, max = true, min = true, product = true, band = true, bor = true,
  bxor = true }

--- Names of the algorithms that come with the program, sorted.
---@return string[]
function M.names()
  local names = {}
  for file in lfs.dir(core.home() .. "/lua/kernbench/ccl/algorithms") do
    names[#names + 1] = file:match("^(.+)%.lua$")
  end
  table.sort(names)
  return names
end

-- What a module lacks to be an algorithm.
local function check(module)
  if type(module) ~= "table" then
    return "it returns " .. type(module) .. " instead of a table"
  elseif not M.collectives[module.collective] then
    return ("its collective is %s; expected all_reduce, all_gather, reduce_scatter, broadcast, reduce, "
      .. "all_to_all or shift"):format(tostring(module.collective))
  elseif not topologies.exists(module.topology) and module.topology ~= "none" then
    return ("its topology is %s; expected %s or none"):format(tostring(module.topology),
      table.concat(topologies.names, ", "))
  elseif type(module.kernel) ~= "function" then
    return "it has no function 'kernel'"
  elseif module.topology == "none" and type(module.neighbors) ~= "function" then
    return "its topology is none, but it has no function 'neighbors'"
  end
  return nil
end

--- File of an algorithm: a path that ends in .lua, a module, or a name.
---@param name string
---@return string? path
---@return string? message
function M.find(name)
  if name:find("%.lua$") then
    return name
  end
  local path = package.searchpath("kernbench.ccl.algorithms." .. name, package.path)
    or package.searchpath(name, package.path)
  if path then
    return path
  end
  return nil, ("there is no algorithm '%s'; there are %s, or give a module or a file.lua"):format(
    name, table.concat(M.names(), ", "))
end

--- Load an algorithm. With `env`, its file runs there (the mock's way); else it is an ordinary module.
---@param name string
---@param env? table
---@return ccl.Algorithm
function M.load(name, env)
  local path, message = M.find(name)
  if not path then
    error("ccl: " .. message, 0)
  end
  local chunk, problem = loadfile(path, "t", env or _ENV)
  if not chunk then
    error("ccl: algorithm " .. problem, 0)
  end
  local module = chunk(name, path)
  local lacks = check(module)
  if lacks then
    error(("ccl: algorithm %s: %s"):format(path, lacks), 0)
  end
  module.name = name:match("([^/.]+)%.lua$") or name:match("[^.]+$")
  module.path = path
  return module
end

--- Neighbours of a rank under an algorithm.
---@param algorithm ccl.Algorithm
---@param rank integer
---@param layout ccl.Layout
---@return ccl.Neighbor[]
function M.neighbors(algorithm, rank, layout)
  if algorithm.topology == "none" then
    return algorithm.neighbors(rank, layout.world, layout)
  end
  return topologies.neighbors(algorithm.topology, rank, layout.world, layout)
end

--- Raise unless these ranks suit the algorithm.
---@param algorithm ccl.Algorithm
---@param layout ccl.Layout
---@param n_elem integer?
function M.check_layout(algorithm, layout, n_elem)
  local problem = algorithm.requires and algorithm.requires(layout, n_elem)
  if problem then
    error(("ccl: algorithm %s %s"):format(algorithm.name, problem), 0)
  end
end

--- What all ranks are told alike; their own tables refer to it.
---@param layout ccl.Layout
---@param settings {op?: string, root?: integer, n_slots: integer, slot_size: integer}
---@return table
function M.common(layout, settings)
  return { __index = { world = layout.world, w = layout.w, h = layout.h, op = settings.op or "sum",
    root = settings.root or 0, n_slots = settings.n_slots, slot_size = settings.slot_size } }
end

--- What the kernel of a rank is told.
---@param algorithm ccl.Algorithm
---@param rank integer
---@param layout ccl.Layout
---@param common table from M.common
---@param prefix string of the names of directions
---@param n_elem integer?
---@param directions {name: string}[]? of the rank, from a plan without prefix, if there is one
---@return ccl.Rank
function M.context(algorithm, rank, layout, common, prefix, n_elem, directions)
  local c = algorithm.kernel_args and algorithm.kernel_args(layout.world, n_elem, layout, rank) or {}
  c.rank = rank
  if algorithm.topology == "mesh_2d" or algorithm.topology == "torus_2d" then
    c.x, c.y = rank % layout.w, rank // layout.w
  end
  for _, to in ipairs(directions or M.neighbors(algorithm, rank, layout)) do
    c[to.name] = prefix .. to.name
  end
  return setmetatable(c, common)
end

return M
