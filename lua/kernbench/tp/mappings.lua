--- The mappings between regions: where every rank of the tensor parallel group has all of a tensor, and where
--- each has a part of it (forward direction).
--
-- Tensors are activations: [sequence, batch, hidden] or any other number of dimensions, in one piece or cut by
-- rows over all PEs. What comes out is cut by rows, unless it is the tensor that went in.
local core = require "kernbench.core"
local dist = require "kernbench.distributed"
local moves = require "kernbench.tp.moves"
local product = require "kernbench.tp.product"
local state = require "kernbench.tp.state"

local M = {}

local FLOATS = { f16 = true, bf16 = true, f32 = true, f64 = true }

local function torch()
  return require "kernbench.torch"
end

--- Raise unless x is an activation.
---@param call string
---@param x Tensor
function M.check(call, x)
  if not torch().is_tensor(x) then
    core.raise(("tp.%s: expected a tensor, got %s"):format(call, type(x)))
  elseif not product.is_activation(x) then
    core.raise(("tp.%s: tensor '%s' has placement %s; activations are in one piece or cut by rows over all PEs, which "
      .. "tp.rows() is"):format(call, x.name, tostring(x.dp)))
  elseif not FLOATS[x.dtype] then
    core.raise(("tp.%s: tensor '%s' is %s; expected f16, bf16, f32 or f64"):format(call, x.name, x.dtype))
  end
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

-- This rank's part of dimension d, counted from 1, or from the end if negative, which `what` names.
local function scatter(call, x, what, d)
  M.check(call, x)
  if d < 0 then d = #x.shape + 1 + d end
  local rank, world = state.place()
  if world == 1 then
    return x
  end
  state.divide(call, what, x.shape[d], world)
  return moves.slice("scatter", x, d, rank, world)
end

--- This rank's part of the last dimension.
---@param x Tensor
---@return Tensor
function M.scatter_to_tensor_model_parallel_region(x)
  return scatter("scatter_to_tensor_model_parallel_region", x, "the last dimension", -1)
end

-- All ranks' x, one after another along dimension 0.
local function gather(x, world)
  local out = product.empty(moves.with(x.shape, 1, x.shape[1] * world), x.dtype)
  dist.all_gather_into_tensor(out, x, { group = state.tensor_group() })
  return out
end

--- All ranks' x, one after another along the last dimension.
---@param x Tensor
---@return Tensor
function M.gather_from_tensor_model_parallel_region(x)
  M.check("gather_from_tensor_model_parallel_region", x)
  local _, world = state.place()
  return world == 1 and x or moves.merge("gather", gather(x, world), #x.shape, world)
end

--- This rank's part of dimension 0.
---@param x Tensor
---@return Tensor
function M.scatter_to_sequence_parallel_region(x)
  return scatter("scatter_to_sequence_parallel_region", x, "dimension 0", 1)
end

--- All ranks' x, one after another along dimension 0.
---@param x Tensor
---@return Tensor
function M.gather_from_sequence_parallel_region(x)
  M.check("gather_from_sequence_parallel_region", x)
  local _, world = state.place()
  return world == 1 and x or gather(x, world)
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
  local out = product.empty(moves.with(x.shape, 1, state.divide(call, "dimension 0", x.shape[1], world)), x.dtype)
  dist.reduce_scatter_tensor(out, x, { group = state.tensor_group() })
  return out
end

return M
