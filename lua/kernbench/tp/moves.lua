--- Moves within a SIP: parts of activations, and activations put together from parts.
--
-- What comes out is cut by rows over all PEs, and every PE fetches its rows from wherever they lie. Dimensions
-- are counted from 1.
local core = require "kernbench.core"
local kernels = require "kernbench.tp.kernels"
local product = require "kernbench.tp.product"
local shapes = require "kernbench.shape"
local tensors = require "kernbench.tensor"

local M = {}

local function torch()
  return require "kernbench.torch"
end

--- The shape with another extent in dimension d.
---@param shape integer[]
---@param d integer
---@param extent integer
---@return integer[]
function M.with(shape, d, extent)
  local other = table.move(shape, 1, #shape, 1, {})
  other[d] = extent
  return other
end

--- Extent of dimension d on each of `count` ranks; raises unless it divides.
---@param shape integer[]
---@param d integer
---@param count integer
---@return integer
function M.part(shape, d, count)
  if d > #shape then
    core.raise(("Shard(%d): a tensor of shape (%s) has no such dimension"):format(d - 1, table.concat(shape, ", ")))
  elseif shape[d] % count ~= 0 then
    core.raise(("Shard(%d): dimension %d (%d) is not divisible by %d ranks"):format(d - 1, d - 1, shape[d], count))
  end
  return shape[d] // count
end

local function run(name, kernel, x, out, view)
  view.item = tensors.item_size(x.dtype)
  torch().launch { name = name, kernel = kernel, args = { x, out, view }, pes = out.shards }
  return out
end

--- Part `index` (from 0) of `count` equal parts of x along dimension d.
---@param name string of the launch
---@return Tensor
function M.slice(name, x, d, index, count)
  local shape = M.with(x.shape, d, M.part(x.shape, d, count))
  local out = product.empty(shape, x.dtype)
  if d == 1 then
    local row = shapes.numel(shape, 2)
    return run(name, kernels.slice, x, out, { columns = row, width = row, skip = index * shape[1] * row })
  end
  local columns = shapes.numel(shape, d)
  return run(name, kernels.slice, x, out, { columns = columns, width = count * columns, skip = index * columns })
end

--- The parts of x along dimension d, one after another along dimension 1.
---@return Tensor
function M.split(x, d, count)
  local shape = M.with(x.shape, d, M.part(x.shape, d, count))
  if d == 1 then
    return x
  end
  local view = { count = count, rows = shapes.numel(shape, 1, d - 1), columns = shapes.numel(shape, d) }
  return run("split", kernels.split, x, product.empty(M.with(shape, 1, count * shape[1]), x.dtype), view)
end

--- The reverse: parts that are one after another along dimension 1, put together along dimension d.
---@param name string of the launch
---@return Tensor
function M.merge(name, parts, d, count)
  local shape = M.with(parts.shape, 1, parts.shape[1] // count)
  if d == 1 then
    return parts
  end
  local view = { count = count, rows = shapes.numel(shape, 1, d - 1), columns = shapes.numel(shape, d) }
  return run(name, kernels.merge, parts, product.empty(M.with(shape, d, count * shape[d]), parts.dtype), view)
end

--- Zeros but for x, which is part `index` (from 0) of `count` equal parts along dimension d.
---@return Tensor
function M.place(x, d, index, count)
  local shape = M.with(x.shape, d, count * x.shape[d])
  local out = product.empty(shape, x.dtype)
  local columns = shapes.numel(x.shape, d)
  if d == 1 then
    local row = shapes.numel(shape, 2)
    return run("place", kernels.place, x, out, { columns = row, width = row, first = index * x.shape[1],
      rows = x.shape[1] })
  end
  return run("place", kernels.place, x, out, { columns = columns, width = count * columns, skip = index * columns })
end

--- Zeros like x.
---@return Tensor
function M.zeros(x)
  return run("zeros", kernels.place, x, product.empty(x.shape, x.dtype), {})
end

---@return Tensor
function M.copy(x)
  local row = shapes.numel(x.shape, 2)
  return run("copy", kernels.slice, x, product.empty(x.shape, x.dtype), { columns = row, width = row, skip = 0 })
end

return M
