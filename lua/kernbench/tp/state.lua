--- The groups of tensor parallelism of each rank.
local core = require "kernbench.core"
local dist = require "kernbench.distributed"
local runtime = require "kernbench.runtime"

local M = {}

---@param tensor_group dist.Group?
---@param data_group dist.Group?
function M.set(tensor_group, data_group)
  runtime.here().parallel = tensor_group and { tensor = tensor_group, data = data_group } or nil
end

---@return boolean
function M.is_initialized()
  return runtime.here().parallel ~= nil
end

local function parallel()
  return runtime.here().parallel
    or core.raise "tp: model parallel groups are not initialized; call tp.initialize_model_parallel first"
end

---@return dist.Group
function M.tensor_group()
  return parallel().tensor
end

---@return dist.Group
function M.data_group()
  return parallel().data
end

---@return integer rank
---@return integer world
function M.place()
  local group = M.tensor_group()
  return dist.get_rank(group), dist.get_world_size(group)
end

--- n / parts; raises "tp.WHAT: ..." with the sizes unless it divides.
---@param what string
---@param name string
---@param n integer
---@param parts integer
---@return integer
function M.divide(what, name, n, parts)
  if n % parts ~= 0 then
    core.raise(("tp.%s: %s (%d) is not divisible by %d ranks"):format(what, name, n, parts))
  end
  return n // parts
end

return M
