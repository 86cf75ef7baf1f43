--- Device tensors as a bench sees them; torch.lua makes them.
--
-- A Tensor stands for memory of one SIP. What reads or writes it from the host moves bytes over the
-- fabric and takes simulated time; it waits for the launches before it first.
local fail = require("kernbench.core").raise
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local shapes = require "kernbench.shape"

local M = {}

---@class Tensor
---@field shape integer[]
---@field dtype string
---@field name string
---@field sip integer
---@field memory "hbm"|"sram"|"tcm"
---@field dp DPPolicy
---@field data kernbench.array  the contents; reading and assigning it move them
---@field shards table[] {sip, cube, pe, offset_bytes, nbytes, start, extent}; shared with other tensors: not to be
---  written into
---@field placement kernbench.Placement
local Tensor = {}

local ITEM = { f8e4m3 = 1, f8e5m2 = 1, f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i16 = 2, i32 = 4, i64 = 8,
  u8 = 1, u16 = 2, u32 = 4, u64 = 8, bool = 1 }

function M.is_dtype(name)
  return ITEM[name] ~= nil
end

--- Bytes of an element.
---@param dtype string
---@return integer
function M.item_size(dtype)
  return ITEM[dtype]
end

function M.is_tensor(value)
  return getmetatable(value) == Tensor
end

--- "(128, 256)", "(128,)"
---@param shape integer[]
---@return string
function M.shape_text(shape)
  return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

--- A Tensor for what the engine made of that description.
---@param raw kernbench.DeviceTensor
---@param description table as for engine:tensor
---@param policy DPPolicy
---@param placement kernbench.Placement
---@return Tensor
function M.wrap(raw, description, policy, placement)
  local shape = description.shape
  return setmetatable({ raw = raw, shape = table.move(shape, 1, #shape, 1, {}), dtype = description.dtype,
    name = raw:get_name(), sip = description.sip, memory = description.memory, dp = policy,
    placement = placement }, Tensor)
end

--- Raise, on behalf of `call`, unless it is a tensor that has not been freed.
function M.check_alive(tensor, call)
  if not M.is_tensor(tensor) then
    fail(call .. ": expected a tensor, got " .. type(tensor))
  elseif tensor.raw:is_freed() then
    fail(("%s: tensor '%s' has been freed"):format(call, tensor.name))
  end
end

-- ---- contents ----

-- Elements that a key selects (all without one), as an np array or, if it is one element, a number.
local function read(tensor, key)
  runtime.barrier()
  local array = tensor.raw:read(key)
  if key ~= nil and array.ndim == 0 then
    return array:item()
  end
  return array
end

-- What may be assigned, as an np array; `what` begins messages.
local function as_array(value, tensor, what)
  if type(value) == "number" or type(value) == "boolean" then
    local ok, array = pcall(np.full, {}, value, tensor.dtype)
    if not ok then
      fail(("%s: tensor '%s' of %s cannot hold %s"):format(what, tensor.name, tensor.dtype, tostring(value)))
    end
    return array
  elseif M.is_tensor(value) then
    M.check_alive(value, what)
    return value:numpy()
  elseif not np.isarray(value) then
    fail(("%s: expected a number, an np array or a tensor, got %s"):format(what, type(value)))
  end
  return value
end

--- The contents, gathered from all parts, as an np array. Waits for the launches before it.
function Tensor:numpy()
  M.check_alive(self, "Tensor:numpy")
  return read(self)
end

-- All contents, from something of the same shape.
local function copy(tensor, source, what)
  if M.is_tensor(source) then
    source = source:numpy()
  elseif not np.isarray(source) then
    fail(("%s: expected an np array or a tensor, got %s"):format(what, type(source)))
  end
  if M.shape_text(source.shape) ~= M.shape_text(tensor.shape) then
    fail(("%s: tensor '%s' is %s %s, the source is %s %s"):format(what, tensor.name, M.shape_text(tensor.shape),
      tensor.dtype, M.shape_text(source.shape), source.dtype))
  end
  runtime.barrier()
  tensor.raw:write(source)
end

--- Replace the contents by an np array or another tensor (of any SIP) of the same shape; converts the
--- type.
---@param source table
---@return Tensor self
function Tensor:copy_(source)
  M.check_alive(self, "Tensor:copy_")
  copy(self, source, "Tensor:copy_")
  return self
end

-- t.data, t.shards, t[key], and the methods.
function Tensor.__index(tensor, key)
  if key == "shards" then
    return tensor.placement:shards(tensor.sip, ITEM[tensor.dtype])
  elseif key == "data" then
    M.check_alive(tensor, "Tensor.data")
    return read(tensor)
  elseif type(key) == "number" or type(key) == "table" then
    M.check_alive(tensor, "Tensor[...]")
    return read(tensor, key)
  end
  return Tensor[key]
end

-- t.data = value, t[key] = value; anything else becomes a field.
function Tensor.__newindex(tensor, key, value)
  if key == "data" then
    M.check_alive(tensor, "Tensor.data")
    copy(tensor, value, "Tensor.data")
  elseif type(key) == "number" or type(key) == "table" then
    M.check_alive(tensor, "Tensor[...]")
    local array = as_array(value, tensor, "Tensor[...]")
    runtime.barrier()
    tensor.raw:write(array, key)
  else
    rawset(tensor, key, value)
  end
end

-- ---- everything else ----

--- What a PE of the tensor's SIP holds: the extents of its part, nil if it holds none. The first part
--- without a PE.
---@param cube integer?
---@param pe integer?
---@return integer[]?
function Tensor:local_shape(cube, pe)
  for _, shard in ipairs(self.shards) do
    if cube == nil or (shard.cube == cube and shard.pe == (pe or 0)) then
      return table.move(shard.extent, 1, #shard.extent, 1, {})
    end
  end
end

--- Unmap and give the memory back. Using the tensor afterwards is an error.
function Tensor:free()
  M.check_alive(self, "Tensor:free")
  runtime.barrier()
  self.raw:free()
end

function Tensor:numel()
  return shapes.numel(self.shape)
end

function Tensor:__close()
  if not self.raw:is_freed() then
    self:free()
  end
end

--- Shows the values, as np's arrays do, which reads them; only what the tensor is where there are none
--- or a call cannot wait: inside a kernel, for one.
function Tensor:__tostring()
  local head = ("tensor '%s' %s %s on sip%d, %d shards"):format(
    self.name, M.shape_text(self.shape), self.dtype, self.sip, #self.shards)
  if self.raw:is_freed() then
    return head .. " (freed)"
  elseif not runtime.engine:has_data() then
    return head .. " (no contents: numbers are switched off)"
  elseif not self.raw:can_wait() then
    return head
  end
  return (tostring(self:numpy()):gsub("^array%(", "tensor("):gsub("\n ", "\n  "))
end

return M
