--- Tensor parallelism with Megatron's names: groups of ranks that share a layer, layers cut over them, and
--- the mappings between their regions.
--
--     local tp = require "kernbench.tp"
--     dist.init_process_group "ahbm"
--     tp.initialize_model_parallel(4)
--     local layer = tp.ColumnParallelLinear { input_size = 64, output_size = 256, weight = w }
--     local y, bias = layer(x)
--
-- Only the forward direction exists.
local dist = require "kernbench.distributed"
local dtensor = require "kernbench.tp.dtensor"
local layers = require "kernbench.tp.layers"
local mappings = require "kernbench.tp.mappings"
local product = require "kernbench.tp.product"
local state = require "kernbench.tp.state"
local transformer = require "kernbench.tp.transformer"

local M = {}

local function fail(call, message, ...)
  error(("tp.%s: " .. message):format(call, ...), 3)
end

-- The group of `ranks` for those in it; every rank makes every group.
local function add_group(mine, ranks, rank)
  local group = dist.new_group(ranks)
  for _, member in ipairs(ranks) do
    if member == rank then
      return group
    end
  end
  return mine
end

--- Cut the world into groups of `tp_size` consecutive ranks, which share layers. Ranks at the same place of
--- these groups form data parallel groups. Every rank calls it.
---@param tp_size integer?
function M.initialize_model_parallel(tp_size)
  local world, rank = dist.get_world_size(), dist.get_rank()
  tp_size = tp_size or 1
  if math.type(tp_size) ~= "integer" or tp_size < 1 then
    fail("initialize_model_parallel", "the size is %s; expected an integer of at least 1", tostring(tp_size))
  elseif world % tp_size ~= 0 then
    fail("initialize_model_parallel", "the world size (%d) is not divisible by tensor_model_parallel_size (%d)", world,
      tp_size)
  elseif state.is_initialized() then
    fail("initialize_model_parallel", "tensor model parallel group is already initialized")
  end
  local tensor_group, data_group
  for first = 0, world - 1, tp_size do
    local ranks = {}
    for i = 1, tp_size do ranks[i] = first + i - 1 end
    tensor_group = add_group(tensor_group, ranks, rank)
  end
  for first = 0, tp_size - 1 do
    local ranks = {}
    for i = first, world - 1, tp_size do ranks[#ranks + 1] = i end
    data_group = add_group(data_group, ranks, rank)
  end
  state.set(tensor_group, data_group)
end

---@return boolean
function M.model_parallel_is_initialized()
  return state.is_initialized()
end

--- Forget the groups; they are destroyed with the process group.
function M.destroy_model_parallel()
  state.set(nil, nil)
end

---@return dist.Group
function M.get_tensor_model_parallel_group()
  return state.tensor_group()
end

---@return integer
function M.get_tensor_model_parallel_rank()
  return dist.get_rank(state.tensor_group())
end

---@return integer
function M.get_tensor_model_parallel_world_size()
  return dist.get_world_size(state.tensor_group())
end

---@return dist.Group
function M.get_data_parallel_group()
  return state.data_group()
end

---@return integer
function M.get_data_parallel_rank()
  return dist.get_rank(state.data_group())
end

---@return integer
function M.get_data_parallel_world_size()
  return dist.get_world_size(state.data_group())
end

--- The placement of activations: rows over all PEs of a SIP. Dimension 0 is cut; the last PEs may get fewer rows
--- or none.
---@return DPPolicy
function M.rows()
  return product.rows()
end

for _, part in ipairs { mappings, layers, dtensor, transformer } do
  for name, value in pairs(part) do M[name] = value end
end

return setmetatable(M, { __index = function(_, name)
  error(("kernbench.tp.%s does not exist"):format(tostring(name)), 2)
end })
