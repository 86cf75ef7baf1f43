--- Placements of a distributed tensor along one dimension of its mesh, and the ways between them.
--
-- Shard(d): every rank has one of as many equal parts along dimension d (from 0). Replicate(): all of it.
-- Partial(): a term of it; the sum over the ranks is the tensor. Local tensors are in one piece or cut by rows
-- over all PEs; those that come out are cut by rows.
local core = require "kernbench.core"
local dist = require "kernbench.distributed"
local moves = require "kernbench.tp.moves"
local product = require "kernbench.tp.product"

local M = {}

local function torch()
  return require "kernbench.torch"
end

---@class tp.Placement
---@field kind "shard"|"replicate"|"partial"
---@field dim integer? of a shard
local Placement = {}
Placement.__index = Placement
Placement.__eq = function(a, b) return a.kind == b.kind and a.dim == b.dim end

function Placement:__tostring()
  return self.kind == "shard" and ("Shard(%d)"):format(self.dim) or self.kind == "partial" and "Partial()"
    or "Replicate()"
end

local REPLICATE = setmetatable({ kind = "replicate" }, Placement)
local PARTIAL = setmetatable({ kind = "partial" }, Placement)

---@param dim integer from 0
---@return tp.Placement
function M.Shard(dim)
  if math.type(dim) ~= "integer" or dim < 0 then
    core.raise(("Shard: the dimension is %s; expected an integer of at least 0"):format(tostring(dim)))
  end
  return setmetatable({ kind = "shard", dim = dim }, Placement)
end

---@return tp.Placement
function M.Replicate()
  return REPLICATE
end

---@return tp.Placement
function M.Partial()
  return PARTIAL
end

function M.is_placement(value)
  return getmetatable(value) == Placement
end

--- The shape of a part.
---@param placement tp.Placement
---@param shape integer[]
---@param count integer ranks
---@return integer[]
function M.local_shape(placement, shape, count)
  if placement.kind ~= "shard" then
    return shape
  end
  return moves.with(shape, placement.dim + 1, moves.part(shape, placement.dim + 1, count))
end

-- ---- the ways ----

local WAYS = { shard = {}, replicate = {}, partial = {} }

-- All-gather.
function WAYS.shard.replicate(x, group, from)
  local count = dist.get_world_size(group)
  local out = product.empty(moves.with(x.shape, 1, x.shape[1] * count), x.dtype)
  dist.all_gather_into_tensor(out, x, { group = group })
  return moves.merge("merge", out, from.dim + 1, count)
end

-- All-to-all.
function WAYS.shard.shard(x, group, from, to)
  local count = dist.get_world_size(group)
  local parts = moves.split(x, to.dim + 1, count)
  local got = torch().empty(parts.shape, { dtype = x.dtype, dp = parts.dp })
  dist.all_to_all_single(got, parts, { group = group })
  return moves.merge("merge", got, from.dim + 1, count)
end

function WAYS.replicate.shard(x, group, _, to)
  return moves.slice("slice", x, to.dim + 1, dist.get_rank(group), dist.get_world_size(group))
end

-- One rank keeps it, the others have zeros.
function WAYS.replicate.partial(x, group)
  return dist.get_rank(group) == 0 and moves.copy(x) or moves.zeros(x)
end

-- All-reduce.
function WAYS.partial.replicate(x, group)
  local out = moves.copy(x)
  dist.all_reduce(out, { group = group })
  return out
end

-- Reduce-scatter.
function WAYS.partial.shard(x, group, _, to)
  local d, count = to.dim + 1, dist.get_world_size(group)
  local part = moves.part(x.shape, d, count)
  local out = product.empty(moves.with(x.shape, d, part), x.dtype)
  dist.reduce_scatter_tensor(out, moves.split(x, d, count), { group = group })
  return out
end

-- Every rank has its part, and zeros elsewhere.
function WAYS.shard.partial(x, group, from)
  return moves.place(x, from.dim + 1, dist.get_rank(group), dist.get_world_size(group))
end

local TURNS = {
  replicate = { shard = 1, partial = 3 }, -- a part of what is there; nothing is sent
  partial = { shard = 2, replicate = 3 },
  shard = { shard = 3, replicate = 4, partial = 5 }, -- the last one makes more of it; nothing is sent
}

--- When a step is best made, so that as little as possible is sent: what shrinks comes first.
---@param from tp.Placement
---@param to tp.Placement
---@return integer
function M.turn(from, to)
  return TURNS[from.kind][to.kind]
end

--- The local tensor under another placement; x itself stays as it is.
---@param x Tensor local
---@param group dist.Group the ranks along that dimension of the mesh
---@param from tp.Placement
---@param to tp.Placement
---@return Tensor
function M.convert(x, group, from, to)
  if from == to then
    return x
  end
  return WAYS[from.kind][to.kind](x, group, from, to)
end

return M
