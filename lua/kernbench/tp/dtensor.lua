--- DTensor: one tensor laid over a mesh of ranks, with PyTorch's names.
--
--     local mesh = tp.init_device_mesh("ahbm", { 2, 2 }, { mesh_dim_names = { "data", "model" } })
--     local a = tp.distribute_tensor(t, mesh, { tp.Shard(0), tp.Replicate() })
--     local c = tp.matmul(a, b):redistribute { tp.Replicate(), tp.Replicate() }
--
-- A placement per dimension of the mesh says what a rank has. Sizes divide evenly, and a dimension of the
-- tensor is cut along one dimension of the mesh at most. Local tensors are in one piece or cut by rows over all
-- PEs, which tp.rows() is; those that come out are cut by rows.
local core = require "kernbench.core"
local dist = require "kernbench.distributed"
local kernels = require "kernbench.tp.kernels"
local placements = require "kernbench.tp.placements"
local product = require "kernbench.tp.product"
local shapes = require "kernbench.shape"
local tensors = require "kernbench.tensor"

local M = { Shard = placements.Shard, Replicate = placements.Replicate, Partial = placements.Partial }

local function torch()
  return require "kernbench.torch"
end

-- ---- meshes ----

---@class tp.DeviceMesh
---@field shape integer[]
---@field groups dist.Group[] of this rank, one per dimension
---@field mesh_dim_names string[]?
local Mesh = {}
Mesh.__index = Mesh

function Mesh:__tostring()
  return ("DeviceMesh(%s)"):format(table.concat(self.shape, " x "))
end

--- The group along a dimension, by number (from 0) or name; the only one if absent.
---@param dim integer|string?
---@return dist.Group
function Mesh:get_group(dim)
  dim = dim or 0
  for i, name in ipairs(self.mesh_dim_names or {}) do
    if name == dim then dim = i - 1 end
  end
  return self.groups[type(dim) == "number" and dim + 1 or 0]
    or core.raise(("DeviceMesh:get_group: there is no dimension %s"):format(tostring(dim)))
end

---@return integer place of this rank along a dimension
function Mesh:get_local_rank(dim)
  return dist.get_rank(self:get_group(dim))
end

---@return integer extent of a dimension (from 0), or of all
function Mesh:size(dim)
  if dim then
    return self.shape[dim + 1]
  end
  return shapes.numel(self.shape)
end

-- Ranks of the lines along dimension d: those that differ in that coordinate only.
local function lines(shape, d)
  local inner, outer = 1, 1
  for i = d + 1, #shape do inner = inner * shape[i] end
  for i = 1, d - 1 do outer = outer * shape[i] end
  local list = {}
  for o = 0, outer - 1 do
    for i = 0, inner - 1 do
      local ranks = {}
      for k = 0, shape[d] - 1 do ranks[k + 1] = (o * shape[d] + k) * inner + i end
      list[#list + 1] = ranks
    end
  end
  return list
end

--- A mesh over all ranks of the world, the last dimension running fastest. Every rank calls it.
---@param device_type "ahbm"
---@param shape integer[]
---@param options {mesh_dim_names?: string[]}?
---@return tp.DeviceMesh
function M.init_device_mesh(device_type, shape, options)
  local world = dist.get_world_size()
  local mesh = setmetatable({ shape = shape, groups = {}, mesh_dim_names = (options or {}).mesh_dim_names }, Mesh)
  if device_type ~= "ahbm" then
    core.raise(("init_device_mesh: unknown device type '%s'; there is 'ahbm'"):format(tostring(device_type)))
  elseif mesh:size() ~= world then
    core.raise(("init_device_mesh: a mesh of %s does not have %d ranks"):format(table.concat(shape, " x "), world))
  end
  for d = 1, #shape do
    for _, ranks in ipairs(lines(shape, d)) do
      local group = dist.new_group(ranks)
      if group ~= dist.GroupMember.NON_GROUP_MEMBER then mesh.groups[d] = group end
    end
  end
  return mesh
end

-- ---- tensors ----

---@class tp.DTensor
---@field shape integer[] of the whole
---@field placements tp.Placement[]
---@field device_mesh tp.DeviceMesh
local DTensor = {}
DTensor.__index = DTensor

local function wrap(tensor, mesh, wanted, shape)
  return setmetatable({ tensor = tensor, device_mesh = mesh, placements = wanted, shape = shape, dtype = tensor.dtype },
    DTensor)
end

local function check_placements(call, mesh, wanted)
  if type(wanted) ~= "table" or #wanted ~= #mesh.shape then
    core.raise(("%s: expected a placement for each of the %d dimensions of the mesh"):format(call, #mesh.shape))
  end
  local cut = {}
  for _, placement in ipairs(wanted) do
    if not placements.is_placement(placement) then
      core.raise(("%s: expected Shard(d), Replicate() or Partial(), got %s"):format(call, tostring(placement)))
    elseif placement.dim and cut[placement.dim] then
      core.raise(("%s: dimension %d is cut along two dimensions of the mesh, which is not provided"):format(call,
        placement.dim))
    elseif placement.dim then
      cut[placement.dim] = true
    end
  end
end

local function all_replicate(mesh)
  local list = {}
  for i = 1, #mesh.shape do list[i] = placements.Replicate() end
  return list
end

--- What a rank has, as a DTensor. The shape of the whole follows from the placements.
---@param tensor Tensor in one piece or cut by rows over all PEs
---@param mesh tp.DeviceMesh
---@param wanted tp.Placement[]
---@return tp.DTensor
function M.from_local(tensor, mesh, wanted)
  check_placements("from_local", mesh, wanted)
  if not torch().is_tensor(tensor) or not product.is_activation(tensor) then
    core.raise "from_local: expected a tensor in one piece or cut by rows over all PEs"
  end
  local shape = table.move(tensor.shape, 1, #tensor.shape, 1, {})
  for i, placement in ipairs(wanted) do
    if placement.dim then shape[placement.dim + 1] = shape[placement.dim + 1] * mesh.shape[i] end
  end
  return wrap(tensor, mesh, wanted, shape)
end

--- A tensor that every rank has whole, laid over the mesh. Nothing is sent.
---@param tensor Tensor in one piece or cut by rows over all PEs, the same on every rank
---@param mesh tp.DeviceMesh
---@param wanted tp.Placement[]
---@return tp.DTensor
function M.distribute_tensor(tensor, mesh, wanted)
  check_placements("distribute_tensor", mesh, wanted)
  return M.from_local(tensor, mesh, all_replicate(mesh)):redistribute(wanted)
end

---@return Tensor
function DTensor:to_local()
  return self.tensor
end

-- Whether another dimension of the mesh than i cuts the same dimension of the tensor.
local function is_taken(now, i)
  for k, placement in ipairs(now.list) do
    if k ~= i and placement.dim and placement.dim == now.wanted[i].dim then return true end
  end
  return false
end

-- Where dimensions of the mesh swap what they cut, the first of them gives way.
local function give_way(now, go)
  for i = 1, #now.wanted do
    if now.list[i] ~= now.wanted[i] and now.list[i].kind == "shard" then
      return go(i, placements.Replicate())
    end
  end
end

-- The dimension of the mesh to change next: one that makes what is sent afterwards smaller, if there is one, and one
-- that makes it larger only at the end. Nil if each would be cut along what another one still is; false if all are
-- as wanted.
local function next_step(now)
  local best, soonest = false, math.huge
  for i = #now.wanted, 1, -1 do
    local from, to = now.list[i], now.wanted[i]
    if from ~= to then
      best = best or nil
      local turn = placements.turn(from, to)
      if turn < soonest and not is_taken(now, i) then best, soonest = i, turn end
    end
  end
  return best
end

--- The same tensor under other placements: Shard to Replicate is an all-gather, Shard to another Shard an
--- all-to-all, Partial to Replicate an all-reduce, Partial to Shard a reduce-scatter; Replicate to any other and
--- Shard to Partial are local. Dimensions of the mesh are changed such that collectives send little.
---@param wanted tp.Placement[]
---@return tp.DTensor
function DTensor:redistribute(wanted)
  local mesh, tensor = self.device_mesh, self.tensor
  check_placements("redistribute", mesh, wanted)
  local now = { list = table.move(self.placements, 1, #self.placements, 1, {}), wanted = wanted }
  local function go(i, to)
    tensor = placements.convert(tensor, mesh.groups[i], now.list[i], to)
    now.list[i] = to
  end
  local i = next_step(now)
  while i ~= false do
    if i then go(i, wanted[i]) else give_way(now, go) end
    i = next_step(now)
  end
  return wrap(tensor, mesh, wanted, self.shape)
end

--- All of it, on every rank.
---@return Tensor
function DTensor:full_tensor()
  return self:redistribute(all_replicate(self.device_mesh)).tensor
end

function DTensor:__tostring()
  local words = {}
  for i, placement in ipairs(self.placements) do words[i] = tostring(placement) end
  return ("DTensor (%s) %s {%s}"):format(table.concat(self.shape, ", "), self.dtype, table.concat(words, ", "))
end

-- ---- operations ----

local function check_pair(call, a, b)
  if getmetatable(a) ~= DTensor or getmetatable(b) ~= DTensor then
    core.raise(call .. ": expected two DTensors")
  elseif a.device_mesh ~= b.device_mesh then
    core.raise(call .. ": the tensors are on different meshes")
  elseif a.dtype ~= b.dtype then
    core.raise(("%s: %s and %s"):format(call, a.dtype, b.dtype))
  end
end

-- Placements of a, b and their product along one dimension of the mesh, with as little as possible sent.
local function match(p, q, smaller_is_a)
  local S, R = placements.Shard, placements.Replicate()
  if p.kind == "partial" then p = R end
  if q.kind == "partial" then q = R end
  local rows, columns, inner = p == S(0), q == S(1), p == S(1) or q == S(0)
  if rows and columns then -- one of them is gathered
    if smaller_is_a then rows = false else columns = false end
  end
  if rows then
    return S(0), R, S(0)
  elseif columns then
    return R, S(1), S(1)
  elseif inner then
    return S(1), S(0), placements.Partial()
  end
  return R, R, R
end

--- The product of two matrices.
---@param a tp.DTensor (M, K)
---@param b tp.DTensor (K, N)
---@return tp.DTensor
function M.matmul(a, b)
  check_pair("matmul", a, b)
  if #a.shape ~= 2 or #b.shape ~= 2 or a.shape[2] ~= b.shape[1] then
    core.raise(("matmul: (%s) and (%s) cannot be multiplied"):format(table.concat(a.shape, ", "),
      table.concat(b.shape, ", ")))
  end
  local of_a, of_b, of_out = {}, {}, {}
  for i = 1, #a.placements do
    of_a[i], of_b[i], of_out[i] = match(a.placements[i], b.placements[i], a.shape[1] < b.shape[2])
  end
  a, b = a:redistribute(of_a), b:redistribute(of_b)
  local out = product.multiply("matmul", a.tensor, b.tensor)
  return wrap(out, a.device_mesh, of_out, { a.shape[1], b.shape[2] })
end

-- fn of corresponding elements; `linear`: of terms, too.
local function pointwise(call, a, b, fn, linear)
  check_pair(call, a, b)
  if table.concat(a.shape, ",") ~= table.concat(b.shape, ",") then
    core.raise(("%s: shapes (%s) and (%s) differ"):format(call, table.concat(a.shape, ", "),
      table.concat(b.shape, ", ")))
  end
  local common = {}
  for i, p in ipairs(a.placements) do
    local q = b.placements[i]
    if p == q and (p.kind ~= "partial" or linear) then
      common[i] = p
    else
      common[i] = p.kind == "shard" and p or q.kind == "shard" and q or placements.Replicate()
    end
  end
  if not pcall(check_placements, call, a.device_mesh, common) then common = all_replicate(a.device_mesh) end
  a, b = a:redistribute(common), b:redistribute(common)
  local out = product.empty(a.tensor.shape, a.dtype)
  torch().launch { name = call, kernel = kernels.pointwise, pes = out.shards,
    args = { a.tensor, b.tensor, out, fn, tensors.item_size(a.dtype) } }
  return wrap(out, a.device_mesh, common, a.shape)
end

function DTensor.__add(a, b)
  return pointwise("add", a, b, function(x, y) return x + y end, true)
end

function DTensor.__sub(a, b)
  return pointwise("sub", a, b, function(x, y) return x - y end, true)
end

function DTensor.__mul(a, b)
  return pointwise("mul", a, b, function(x, y) return x * y end, false)
end

return M
