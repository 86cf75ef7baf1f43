--- Layers that are cut over the ranks of the tensor parallel group (forward direction).
--
-- A layer is called with an activation, [sequence, batch, hidden] in one piece or cut by rows over all PEs, and
-- returns the output, cut by rows, and, with skip_bias_add, the bias that the caller is to add, else nil. Weights
-- are given whole, [out, in] as in PyTorch, the same on every rank; a rank keeps its part, transposed and cut by
-- columns over all PEs of its SIP.
local check_options = require "kernbench.tp.check_options"
local core = require "kernbench.core"
local kernels = require "kernbench.tp.kernels"
local mappings = require "kernbench.tp.mappings"
local np = require "kernbench.np"
local product = require "kernbench.tp.product"
local state = require "kernbench.tp.state"
local tensors = require "kernbench.tensor"

local M = {}

local function torch()
  return require "kernbench.torch"
end

-- ---- options and weights ----

local LINEAR = { input_size = "size", output_size = "size", bias = "boolean", skip_bias_add = "boolean",
  sequence_parallel = "boolean", dtype = "string", weight = "array", bias_values = "array", name = "string" }
local COLUMN = setmetatable({ gather_output = "boolean" }, { __index = LINEAR })
local ROW = setmetatable({ input_is_parallel = "boolean" }, { __index = LINEAR })
local EMBEDDING = { num_embeddings = "size", embedding_dim = "size", dtype = "string", weight = "array",
  reduce_scatter_embeddings = "boolean", name = "string" }

local function check_shape(call, name, array, ...)
  local expected = { ... }
  local fits = #array.shape == #expected
  for d = 1, #expected do fits = fits and array.shape[d] == expected[d] end
  if not fits then
    core.raise(("tp.%s: %s is (%s), expected (%s)"):format(call, name, table.concat(array.shape, ", "),
      table.concat(expected, ", ")))
  end
end

-- A copy in every cube.
local function in_every_cube()
  return torch().DPPolicy { num_pes = 1 }
end

-- A tensor of that placement: part(array) of what was given, zeros if nothing was, or no contents at all.
local function weight_tensor(dp, shape, dtype, name, given, part)
  local options = { dtype = dtype, dp = dp, name = name }
  if not torch().ahbm.has_data() then
    return torch().empty(shape, options)
  end
  local contents = given and part(given) or np.zeros(shape, dtype)
  return torch().from_numpy(contents:astype(dtype), { dp = options.dp, name = name })
end

local function range(from, count)
  return { from, from + count }
end

-- ---- products ----

-- x w (+ bias), with x [..., K] and w (K, N).
local function multiply(call, x, w, bias)
  mappings.check(call, x)
  local K = w.shape[1]
  if x.shape[#x.shape] ~= K then
    core.raise(("tp.%s: the last dimension of the input is %d, the layer takes %d"):format(call, x.shape[#x.shape], K))
  elseif x.dtype ~= w.dtype then
    core.raise(("tp.%s: the input is %s, the weight %s"):format(call, x.dtype, w.dtype))
  end
  return product.multiply(call, x, w, bias)
end

local function add_bias(out, bias)
  torch().launch { name = "bias", kernel = kernels.add_bias, pes = out.shards,
    args = { out, bias, out.shape[#out.shape], tensors.item_size(out.dtype) } }
  return out
end

-- ---- layers ----

---@class tp.Linear
---@field weight Tensor (in, out) of this rank
---@field bias Tensor? of this rank
local Column, Row, Embedding = {}, {}, {}

local function class(methods)
  methods.__index = methods
  methods.__call = function(self, ...) return self:forward(...) end
end
class(Column)
class(Row)
class(Embedding)

--- y = x W^T + b, with W cut along the output: each rank computes its columns of y.
---@param options {input_size: integer, output_size: integer, bias?: boolean, gather_output?: boolean,
---  skip_bias_add?: boolean, sequence_parallel?: boolean, dtype?: string, weight?: table, bias_values?: table}
---@return tp.Linear
function M.ColumnParallelLinear(options)
  local call = "ColumnParallelLinear"
  check_options(call, options, COLUMN, "input_size", "output_size")
  if options.sequence_parallel and options.gather_output then
    core.raise(("tp.%s: gather_output and sequence_parallel exclude each other"):format(call))
  end
  local rank, world = state.place()
  local part = state.divide(call, "output_size", options.output_size, world)
  local mine, dtype, name = range(rank * part, part), options.dtype or "f16", options.name or call
  if options.weight then check_shape(call, "weight", options.weight, options.output_size, options.input_size) end
  local self = setmetatable({ options = options }, Column)
  self.weight = weight_tensor(product.columns(), { options.input_size, part }, dtype, name .. ".weight", options.weight,
    function(w) return w[{ mine, {} }]:transpose() end)
  if options.bias ~= false then
    if options.bias_values then check_shape(call, "bias_values", options.bias_values, options.output_size) end
    self.bias = weight_tensor(product.columns(), { part }, dtype, name .. ".bias", options.bias_values,
      function(b) return b[{ mine }] end)
  end
  return self
end

--- With sequence_parallel, x is this rank's part of dimension 0.
---@param x Tensor
---@return Tensor output this rank's columns, or all with gather_output
---@return Tensor? bias with skip_bias_add
function Column:forward(x)
  local options = self.options
  if options.sequence_parallel then
    x = mappings.gather_from_sequence_parallel_region(x)
  else
    x = mappings.copy_to_tensor_model_parallel_region(x)
  end
  local out = multiply("ColumnParallelLinear", x, self.weight, not options.skip_bias_add and self.bias or nil)
  if options.gather_output then
    out = mappings.gather_from_tensor_model_parallel_region(out)
  end
  return out, options.skip_bias_add and self.bias or nil
end

--- y = x W^T + b, with W cut along the input: each rank computes a term of y, and the sum is taken over all.
---@param options {input_size: integer, output_size: integer, bias?: boolean, input_is_parallel?: boolean,
---  skip_bias_add?: boolean, sequence_parallel?: boolean, dtype?: string, weight?: table, bias_values?: table}
---@return tp.Linear
function M.RowParallelLinear(options)
  local call = "RowParallelLinear"
  check_options(call, options, ROW, "input_size", "output_size")
  if options.sequence_parallel and options.input_is_parallel == false then
    core.raise(("tp.%s: sequence_parallel needs input_is_parallel"):format(call))
  end
  local rank, world = state.place()
  local part = state.divide(call, "input_size", options.input_size, world)
  local mine, dtype, name = range(rank * part, part), options.dtype or "f16", options.name or call
  if options.weight then check_shape(call, "weight", options.weight, options.output_size, options.input_size) end
  local self = setmetatable({ options = options }, Row)
  self.weight = weight_tensor(product.columns(), { part, options.output_size }, dtype, name .. ".weight",
    options.weight, function(w) return w[{ {}, mine }]:transpose() end)
  if options.bias ~= false then
    if options.bias_values then check_shape(call, "bias_values", options.bias_values, options.output_size) end
    self.bias = weight_tensor(in_every_cube(), { options.output_size }, dtype, name .. ".bias", options.bias_values,
      function(b) return b end)
  end
  return self
end

--- x is this rank's columns, or, without input_is_parallel, whole.
---@param x Tensor
---@return Tensor output whole; with sequence_parallel, this rank's part of dimension 0
---@return Tensor? bias with skip_bias_add
function Row:forward(x)
  local options = self.options
  if not options.input_is_parallel and not options.sequence_parallel then
    x = mappings.scatter_to_tensor_model_parallel_region(x)
  end
  local out = multiply("RowParallelLinear", x, self.weight)
  if options.sequence_parallel then
    out = mappings.reduce_scatter_to_sequence_parallel_region(out)
  else
    out = mappings.reduce_from_tensor_model_parallel_region(out)
  end
  if self.bias and not options.skip_bias_add then
    out = add_bias(out, self.bias)
  end
  return out, options.skip_bias_add and self.bias or nil
end

--- Rows of a table cut along the vocabulary: each rank looks up its own, and the sum is taken over all.
---@param options {num_embeddings: integer, embedding_dim: integer, dtype?: string, weight?: table,
---  reduce_scatter_embeddings?: boolean}
function M.VocabParallelEmbedding(options)
  local call = "VocabParallelEmbedding"
  check_options(call, options, EMBEDDING, "num_embeddings", "embedding_dim")
  local rank, world = state.place()
  local part = state.divide(call, "num_embeddings", options.num_embeddings, world)
  if options.weight then check_shape(call, "weight", options.weight, options.num_embeddings, options.embedding_dim) end
  local self = setmetatable({ options = options, first = rank * part }, Embedding)
  self.weight = weight_tensor(product.rows(), { part, options.embedding_dim }, options.dtype or "f16",
    (options.name or call) .. ".weight", options.weight, function(w) return w[{ range(rank * part, part), {} }] end)
  return self
end

--- ids: [sequence, batch] of integers, in one piece or cut by rows over all PEs.
---@param ids Tensor
---@return Tensor [sequence, batch, embedding_dim]; with reduce_scatter_embeddings this rank's part of dimension 0
function Embedding:forward(ids)
  local call, V = "VocabParallelEmbedding", self.options.num_embeddings
  if not torch().is_tensor(ids) or not product.is_activation(ids) or not ids.dtype:find "^[iu]%d" then
    core.raise(("tp.%s: expected a tensor of integers, in one piece or cut by rows over all PEs"):format(call))
  end
  local shape = table.move(ids.shape, 1, #ids.shape, 1, {})
  shape[#shape + 1] = self.options.embedding_dim
  local out = product.empty(shape, self.weight.dtype)
  torch().launch { name = "embedding", kernel = kernels.embedding, args = { ids, self.weight, out, self.first, V },
    pes = out.shards }
  if self.options.reduce_scatter_embeddings then
    return mappings.reduce_scatter_to_sequence_parallel_region(out)
  end
  return mappings.reduce_from_tensor_model_parallel_region(out)
end

return M
