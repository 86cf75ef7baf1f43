--- Device tensors as a bench sees them; torch.lua makes them.
--
-- A Tensor stands for memory of one SIP. What reads or writes it from the host moves bytes over the
-- fabric and takes simulated time; it waits for the launches before it first.
local runtime = require "kernbench.runtime"

local M = {}

---@class Tensor
---@field shape integer[]
---@field dtype string
---@field name string
---@field sip integer
---@field dp DPPolicy
---@field shards table[] {sip, cube, pe, offset_bytes, nbytes, start, extent}
local Tensor = {}
Tensor.__index = Tensor

local ITEM = { f8e4m3 = 1, f8e5m2 = 1, f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i16 = 2, i32 = 4, i64 = 8,
  u8 = 1, u16 = 2, u32 = 4, u64 = 8, bool = 1 }

function M.is_dtype(name)
  return ITEM[name] ~= nil
end

function M.is_tensor(value)
  return getmetatable(value) == Tensor
end

local function count(shape)
  local n = 1
  for _, extent in ipairs(shape) do n = n * extent end
  return n
end

--- "(128, 256)", "(128,)"
---@param shape integer[]
---@return string
function M.shape_text(shape)
  return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

-- shards as users see them; offset_bytes counts within the tensor's elements in row-major order.
local function describe_shards(description)
  local shape, item, flat = description.shape, ITEM[description.dtype], description.shards
  local shards = {}
  for i = 1, #flat, 3 do
    local piece = description.pieces[flat[i + 2] + 1]
    local offset = 0
    for d = 1, #shape do offset = offset * shape[d] + piece.start[d] end
    shards[#shards + 1] = { sip = description.sip, cube = flat[i], pe = flat[i + 1], start = piece.start,
      extent = piece.extent, offset_bytes = offset * item, nbytes = count(piece.extent) * item }
  end
  return shards
end

--- A Tensor for what the engine made of that description.
---@param raw kernbench.DeviceTensor
---@param description table as for engine:tensor
---@param policy DPPolicy
---@return Tensor
function M.wrap(raw, description, policy)
  local shape = description.shape
  return setmetatable({ raw = raw, shape = table.move(shape, 1, #shape, 1, {}), dtype = description.dtype,
    name = raw:get_name(), sip = description.sip, dp = policy, shards = describe_shards(description) }, Tensor)
end

--- Raise, on behalf of `call`, unless it is a tensor that has not been freed.
function M.check_alive(tensor, call)
  if not M.is_tensor(tensor) then
    error(call .. ": expected a tensor, got " .. type(tensor), 3)
  elseif tensor.raw:is_freed() then
    error(("%s: tensor '%s' has been freed"):format(call, tensor.name), 3)
  end
end

--- The contents, gathered from all parts, as an np array. Waits for the launches before it.
function Tensor:numpy()
  M.check_alive(self, "Tensor:numpy")
  runtime.barrier()
  return self.raw:read()
end

--- Replace the contents by an np array or another tensor of the same shape; converts the type.
---@param source table
---@return Tensor self
function Tensor:copy_(source)
  M.check_alive(self, "Tensor:copy_")
  if M.is_tensor(source) then
    source = source:numpy()
  elseif type(source) ~= "userdata" then
    error("Tensor:copy_: expected an np array or a tensor, got " .. type(source), 2)
  end
  runtime.barrier()
  if source.dtype ~= self.dtype then
    source = source:astype(self.dtype)
  end
  self.raw:write(source)
  return self
end

--- Unmap and give the memory back. Using the tensor afterwards is an error.
function Tensor:free()
  M.check_alive(self, "Tensor:free")
  runtime.barrier()
  self.raw:free()
end

function Tensor:numel()
  return count(self.shape)
end

function Tensor:__close()
  if not self.raw:is_freed() then
    self:free()
  end
end

function Tensor:__tostring()
  local head = ("tensor '%s' %s %s on sip%d, %d shards"):format(
    self.name, M.shape_text(self.shape), self.dtype, self.sip, #self.shards)
  if self.raw:is_freed() then
    return head .. " (freed)"
  elseif not runtime.engine:has_data() then
    return head .. " (no contents: numbers are switched off)"
  end
  return head
end

return M
