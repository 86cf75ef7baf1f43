--- The mappings between regions: where every rank of the tensor parallel group has all of a tensor, and where
--- each has a part of it (forward direction).
--
-- Tensors are activations: [sequence, batch, hidden] or any other number of dimensions, in one piece.
local core = require "kernbench.core"
local dist = require "kernbench.distributed"
local kernels = require "kernbench.tp.kernels"
local state = require "kernbench.tp.state"

local M = {}

local ITEM = { f16 = 2, bf16 = 2, f32 = 4, f64 = 8 }

local function torch()
  return require "kernbench.torch"
end

--- Bytes of an element of an activation; raises for other types and placements.
---@param call string
---@param x Tensor
---@return integer
function M.check(call, x)
  if not torch().is_tensor(x) then
    core.raise(("tp.%s: expected a tensor, got %s"):format(call, type(x)))
  elseif #x.shards ~= 1 then
    core.raise(("tp.%s: tensor '%s' is cut or replicated, over %d PEs; activations are in one piece"):format(call,
      x.name, #x.shards))
  end
  return ITEM[x.dtype] or core.raise(("tp.%s: tensor '%s' is %s; expected f16, bf16, f32 or f64"):format(call, x.name,
    x.dtype))
end

-- Shape with another extent in dimension d.
local function with_extent(shape, d, extent)
  local other = table.move(shape, 1, #shape, 1, {})
  other[d] = extent
  return other
end

local function rows_of(x)
  return x:numel() // x.shape[#x.shape]
end

--- Every rank goes on with all of x.
---@param x Tensor
---@return Tensor x itself
function M.copy_to_tensor_model_parallel_region(x)
  return x
end

--- The sum of all ranks' x, in place.
---@param x Tensor
---@return Tensor x itself
function M.reduce_from_tensor_model_parallel_region(x)
  M.check("reduce_from_tensor_model_parallel_region", x)
  local _, world = state.place()
  if world > 1 then
    dist.all_reduce(x, { group = state.tensor_group() })
  end
  return x
end

--- This rank's part of the last dimension.
---@param x Tensor
---@return Tensor
function M.scatter_to_tensor_model_parallel_region(x)
  local call = "scatter_to_tensor_model_parallel_region"
  local item, rank, world = M.check(call, x), state.place()
  if world == 1 then
    return x
  end
  local width = x.shape[#x.shape]
  local part = state.divide(call, "the last dimension", width, world)
  local out = torch().empty(with_extent(x.shape, #x.shape, part), { dtype = x.dtype })
  torch().launch("scatter", kernels.copy_columns, x, out, rows_of(x), part, { skip = rank * part, width = width },
    { skip = 0, width = part }, item)
  return out
end

-- One column block of every rank into its place.
local function interleave(from, to, rows, part, world, item)
  for rank = 0, world - 1 do
    kernels.copy_columns(from, to, rows, part, { skip = rank * rows * part, width = part },
      { skip = rank * part, width = world * part }, item)
  end
end

--- All ranks' x, one after another along the last dimension.
---@param x Tensor
---@return Tensor
function M.gather_from_tensor_model_parallel_region(x)
  local item, _, world = M.check("gather_from_tensor_model_parallel_region", x), state.place()
  if world == 1 then
    return x
  end
  local rows, part = rows_of(x), x.shape[#x.shape]
  local parts = torch().empty({ world, table.unpack(x.shape) }, { dtype = x.dtype })
  dist.all_gather_into_tensor(parts, x, { group = state.tensor_group() })
  local out = torch().empty(with_extent(x.shape, #x.shape, part * world), { dtype = x.dtype })
  torch().launch("gather", interleave, parts, out, rows, part, world, item)
  return out
end

--- This rank's part of dimension 0.
---@param x Tensor
---@return Tensor
function M.scatter_to_sequence_parallel_region(x)
  local call = "scatter_to_sequence_parallel_region"
  local item, rank, world = M.check(call, x), state.place()
  if world == 1 then
    return x
  end
  local part = state.divide(call, "dimension 0", x.shape[1], world)
  local out = torch().empty(with_extent(x.shape, 1, part), { dtype = x.dtype })
  local width = x.shape[#x.shape]
  torch().launch("scatter", kernels.copy_columns, x, out, rows_of(out), width,
    { skip = rank * out:numel(), width = width }, { skip = 0, width = width }, item)
  return out
end

--- All ranks' x, one after another along dimension 0.
---@param x Tensor
---@return Tensor
function M.gather_from_sequence_parallel_region(x)
  M.check("gather_from_sequence_parallel_region", x)
  local _, world = state.place()
  if world == 1 then
    return x
  end
  local out = torch().empty(with_extent(x.shape, 1, x.shape[1] * world), { dtype = x.dtype })
  dist.all_gather_into_tensor(out, x, { group = state.tensor_group() })
  return out
end

--- The sum of all ranks' x, of which this rank gets its part of dimension 0.
---@param x Tensor
---@return Tensor
function M.reduce_scatter_to_sequence_parallel_region(x)
  local call = "reduce_scatter_to_sequence_parallel_region"
  M.check(call, x)
  local _, world = state.place()
  if world == 1 then
    return x
  end
  local out = torch().empty(with_extent(x.shape, 1, state.divide(call, "dimension 0", x.shape[1], world)),
    { dtype = x.dtype })
  dist.reduce_scatter_tensor(out, x, { group = state.tensor_group() })
  return out
end

return M
