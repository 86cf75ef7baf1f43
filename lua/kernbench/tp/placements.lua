--- Placements of a distributed tensor along one dimension of its mesh, and the ways between them.
--
-- Shard(d): every rank has one of as many equal parts along dimension d (from 0). Replicate(): all of it.
-- Partial(): a term of it; the sum over the ranks is the tensor. Local tensors are in one piece.
local core = require "kernbench.core"
local dist = require "kernbench.distributed"
local kernels = require "kernbench.tp.kernels"

local M = {}

local ITEM = { f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i16 = 2, i32 = 4, i64 = 8, u8 = 1, u16 = 2, u32 = 4,
  u64 = 8 }

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

-- ---- shapes ----

local function product(shape, first, last)
  local n = 1
  for d = first, last do n = n * shape[d] end
  return n
end

local function with(shape, d, extent)
  local other = table.move(shape, 1, #shape, 1, {})
  other[d] = extent
  return other
end

local function empty(shape, like)
  return torch().empty(shape, { dtype = like.dtype })
end

-- Extent of a dimension, counted from 1, on each of `count` ranks.
local function part_of(shape, d, count)
  if d > #shape then
    core.raise(("Shard(%d): a tensor of shape (%s) has no such dimension"):format(d - 1, table.concat(shape, ", ")))
  elseif shape[d] % count ~= 0 then
    core.raise(("Shard(%d): dimension %d (%d) is not divisible by %d ranks"):format(d - 1, d - 1, shape[d], count))
  end
  return shape[d] // count
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
  return with(shape, placement.dim + 1, part_of(shape, placement.dim + 1, count))
end

-- ---- local moves ----

-- x, seen as (before, count, after), as (count, before, after).
local function split_kernel(x, out, before, count, after, item)
  for i = 0, count - 1 do
    kernels.copy_columns(x, out, before, after, { skip = i * after, width = count * after },
      { skip = i * before * after, width = after }, item)
  end
end

local function merge_kernel(x, out, before, count, after, item)
  for i = 0, count - 1 do
    kernels.copy_columns(x, out, before, after, { skip = i * before * after, width = after },
      { skip = i * after, width = count * after }, item)
  end
end

-- The parts of x along dimension d, stacked along a new first dimension.
local function split(x, d, count)
  local part = with(x.shape, d, part_of(x.shape, d, count))
  local out = empty({ count, table.unpack(part) }, x)
  torch().launch("split", split_kernel, x, out, product(part, 1, d - 1), count, product(part, d, #part), ITEM[x.dtype])
  return out
end

-- The reverse.
local function merge(stacked, d)
  local count = stacked.shape[1]
  local part = table.move(stacked.shape, 2, #stacked.shape, 1, {})
  local out = empty(with(part, d, part[d] * count), stacked)
  torch().launch("merge", merge_kernel, stacked, out, product(part, 1, d - 1), count, product(part, d, #part),
    ITEM[stacked.dtype])
  return out
end

local function copy(x)
  local out = empty(x.shape, x)
  torch().launch("copy", kernels.copy_columns, x, out, 1, x:numel(), { skip = 0, width = x:numel() },
    { skip = 0, width = x:numel() }, ITEM[x.dtype])
  return out
end

-- Part `rank` of x along dimension d.
local function slice(x, d, rank, count)
  local part = with(x.shape, d, part_of(x.shape, d, count))
  local after = product(part, d, #part)
  local out = empty(part, x)
  torch().launch("slice", kernels.copy_columns, x, out, product(part, 1, d - 1), after,
    { skip = rank * after, width = count * after }, { skip = 0, width = after }, ITEM[x.dtype])
  return out
end

-- ---- the ways ----

local WAYS = { shard = {}, replicate = {}, partial = {} }

-- All-gather; parts along dimension 0 arrive in their order.
function WAYS.shard.replicate(x, group, from)
  local d, count = from.dim + 1, dist.get_world_size(group)
  if d == 1 then
    local out = empty(with(x.shape, 1, x.shape[1] * count), x)
    dist.all_gather_into_tensor(out, x, { group = group })
    return out
  end
  local stacked = empty({ count, table.unpack(x.shape) }, x)
  dist.all_gather_into_tensor(stacked, x, { group = group })
  return merge(stacked, d)
end

-- All-to-all.
function WAYS.shard.shard(x, group, from, to)
  local parts = split(x, to.dim + 1, dist.get_world_size(group))
  local got = empty(parts.shape, x)
  dist.all_to_all_single(got, parts, { group = group })
  return merge(got, from.dim + 1)
end

function WAYS.replicate.shard(x, group, _, to)
  return slice(x, to.dim + 1, dist.get_rank(group), dist.get_world_size(group))
end

-- One rank keeps it, the others have zeros.
function WAYS.replicate.partial(x, group)
  return dist.get_rank(group) == 0 and copy(x) or torch().zeros(x.shape, { dtype = x.dtype })
end

-- All-reduce.
function WAYS.partial.replicate(x, group)
  local out = copy(x)
  dist.all_reduce(out, { group = group })
  return out
end

-- Reduce-scatter.
function WAYS.partial.shard(x, group, _, to)
  local d, count = to.dim + 1, dist.get_world_size(group)
  local out = empty(with(x.shape, d, part_of(x.shape, d, count)), x)
  dist.reduce_scatter_tensor(out, d == 1 and x or split(x, d, count), { group = group })
  return out
end

function WAYS.shard.partial(x, group, from)
  return WAYS.replicate.partial(WAYS.shard.replicate(x, group, from), group)
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
