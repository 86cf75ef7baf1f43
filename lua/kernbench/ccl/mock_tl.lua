--- The kernel language without a machine: tiles are host arrays, memory is a host array per tensor, and
--- nothing takes time. Made for one mock at a time by mock.lua, which brings the communication.
--
-- Types and rounding are those of the device: operations round once, the wider type wins, a Lua number
-- takes the tile's type.
local np = require "kernbench.np"
local shapes = require "kernbench.shape"

local M = {}

-- ---- tiles ----

local Tile = {}

local WIDTH = { bool = 0, i8 = 1, u8 = 1, i16 = 2, u16 = 2, i32 = 4, u32 = 4, i64 = 8, u64 = 8 }

--- A tile of a host array.
local function tile(array)
  return setmetatable({ a = array }, Tile)
end

local function is_tile(value)
  return getmetatable(value) == Tile
end

local function is_float(dtype)
  return WIDTH[dtype] == nil
end

-- Operands as arrays; a number becomes an array of the other's type.
local function operands(call, a, b)
  local dtype = is_tile(a) and a.a.dtype or is_tile(b) and b.a.dtype
  if not dtype then
    error(call .. ": expected a tile", 3)
  end
  local function array(x)
    if is_tile(x) then
      return x.a
    elseif type(x) ~= "number" then
      error(("%s: a %s is no tile"):format(call, type(x)), 4)
    elseif not is_float(dtype) and math.tointeger(x) == nil then
      error(("%s: a tile of %s does not hold %s"):format(call, dtype, x), 4)
    end
    return np.array(x, dtype == "bool" and (math.type(x) == "integer" and "i32" or "f32") or dtype)
  end
  return array(a), array(b)
end

local function binary(call, fn, widened)
  return function(a, b)
    local x, y = operands(call, a, b)
    if widened and not is_float(x.dtype) and not is_float(y.dtype) then
      x, y = x:astype "f32", y:astype "f32"
    end
    return tile(fn(x, y))
  end
end

local function unary(call, fn, widened)
  return function(a)
    if not is_tile(a) then
      error(("%s: expected a tile, got a %s"):format(call, type(a)), 2)
    end
    local x = a.a
    return tile(fn(widened and not is_float(x.dtype) and x:astype "f32" or x))
  end
end

local tl = { add = nil }

for name, fn in pairs { minimum = np.minimum, maximum = np.maximum, lt = np.lt, le = np.le, gt = np.gt, ge = np.ge,
  eq = np.eq, ne = np.ne } do
  tl[name] = binary("tl." .. name, fn)
end
tl.fdiv = binary("tl.fdiv", np.div, true)
for _, name in ipairs { "abs", "floor", "ceil" } do tl[name] = unary("tl." .. name, np[name]) end
for _, name in ipairs { "exp", "exp2", "log", "log2", "sin", "cos", "sqrt", "rsqrt", "erf", "tanh", "sigmoid" } do
  tl[name] = unary("tl." .. name, np[name], true)
end

Tile.__add, Tile.__sub, Tile.__mul = binary("+", np.add), binary("-", np.sub), binary("*", np.mul)
Tile.__div, Tile.__idiv = binary("/", np.div, true), binary("//", np.floordiv)
Tile.__mod, Tile.__pow = binary("%", np.mod), binary("^", np.pow)
Tile.__band, Tile.__bor, Tile.__bxor = binary("&", np.bitwise_and), binary("|", np.bitwise_or),
  binary("~", np.bitwise_xor)
Tile.__unm, Tile.__bnot = unary("unary -", np.neg), unary("unary ~", np.bitwise_not)

function Tile:__index(key)
  if key == "shape" or key == "dtype" then
    return self.a[key]
  end
  return tl[key]
end

function Tile:__tostring()
  return tostring(self.a)
end

-- Arguments by position or in one table of options.
local function arguments(names, first, ...)
  if type(first) == "table" and getmetatable(first) == nil and select("#", ...) == 0 then
    local list = {}
    for i, name in ipairs(names) do
      list[i] = first[name]
      if list[i] == nil then list[i] = first[i] end
    end
    return table.unpack(list, 1, #names)
  end
  return first, ...
end

function tl.cast(x, dtype) return tile(x.a:astype(dtype)) end
function tl.where(condition, a, b)
  local x, y = operands("tl.where", a, b)
  return tile(np.where(condition.a, x, y))
end
function tl.fma(a, b, c) return a * b + c end
function tl.clamp(x, min, max) return tl.minimum(tl.maximum(x, min), max) end
function tl.full(shape, value, dtype) return tile(np.full(shape, value, dtype or "f32")) end
function tl.zeros(shape, dtype) return tile(np.zeros(shape, dtype or "f32")) end
function tl.zeros_like(x) return tile(np.zeros(x.shape, x.dtype)) end
function tl.arange(start, stop, dtype)
  if not stop then start, stop = 0, start end
  return tile(np.arange(start, stop, 1, dtype or "i32"))
end
function tl.reshape(x, shape) return tile(x.a:reshape(shape)) end
tl.view = tl.reshape
function tl.expand_dims(x, axis)
  local shape = x.shape
  table.insert(shape, (axis < 0 and axis + #shape + 1 or axis) + 1, 1)
  return tile(x.a:reshape(shape))
end
function tl.broadcast_to(x, shape) return tile(x.a:broadcast_to(shape)) end
function tl.permute(x, axes) return tile(x.a:transpose(axes)) end
function tl.trans(x) return tile(x.a:transpose()) end
function tl.narrow(a, axis, start, length)
  local key = {}
  for d = 1, a.a.ndim do key[d] = {} end
  key[(axis < 0 and axis + a.a.ndim or axis) + 1] = { start, start + length }
  return tile(a.a[key])
end
function tl.cat(a, b, axis) return tile(np.concatenate({ a.a, b.a }, axis or 0)) end
function tl.dot(a, b, acc, out_dtype)
  local float = is_float(a.dtype)
  local wide = a.dtype == "f64" and "f64" or float and "f32" or a.dtype == "i64" and "i64" or "i32"
  local product = np.matmul(a.a, b.a, wide)
  if acc then product = product + acc.a end
  return tile(out_dtype and product:astype(out_dtype) or product)
end

for _, name in ipairs { "sum", "max", "min", "argmax", "argmin" } do
  tl[name] = function(x, axis, keep)
    local result = np[name](x.a, axis, keep)
    if not np.isarray(result) then
      local dtype = name:sub(1, 3) == "arg" and "i32" or x.dtype
      result = np.array(result, dtype):reshape(keep and np.array(x.shape):astype "i64":mul(0):add(1):tolist() or {})
    end
    return tile(result)
  end
end

function tl.item(x, ...)
  local index = { ... }
  return #index == 0 and x.a:item() or x.a[index]
end

function tl.cdiv(a, b) return -(-a // b) end
function tl.static_assert(condition, message)
  if not condition then error(message or "static_assert failed", 2) end
end
function tl.device_assert(condition, message)
  if is_tile(condition) then condition = condition.a:all() end
  if not condition then error(message or "device_assert failed", 2) end
end
function tl.has_values() return true end
function tl.values(x) return x.a end
function tl.is_tile(x) return is_tile(x) end
function tl.now() return 0.0 end
tl.cycles = tl.now

-- ---- memory ----

local Pointer = {}

function Pointer:__index(key)
  return rawget(Pointer, key)
end

-- C-contiguous strides of a shape.
local function strides_of(shape)
  local strides, step = {}, 1
  for d = #shape, 1, -1 do
    strides[d] = step
    step = step * shape[d]
  end
  return strides
end

--- A pointer to all of an array; what is stored there is seen by whoever holds the result of `contents`.
function M.pointer(array, name)
  local origin, shape = {}, array.shape
  for d = 1, #shape do origin[d] = 0 end
  return setmetatable({ memory = { flat = array:reshape { array.size }, size = array.size }, at = 0, shape = shape,
    dtype = array.dtype, strides = strides_of(shape), global_shape = shape, offset = origin, name = name }, Pointer)
end

--- What a pointer's memory holds, in its shape.
function M.contents(pointer)
  return pointer.memory.flat:reshape(pointer.shape)
end

local function moved(pointer, n)
  local copy = {}
  for key, value in pairs(pointer) do copy[key] = value end
  copy.at = pointer.at + n
  return setmetatable(copy, Pointer)
end

function Pointer.__add(a, b)
  if type(a) == "number" then a, b = b, a end
  return moved(a, b)
end
function Pointer.__sub(a, b) return moved(a, -b) end

-- Visit the rows of a block: fn(first element in memory, first element in the block, elements).
local function rows_of(call, pointer, shape, stride, fn)
  stride = stride or #shape == #pointer.shape and pointer.strides or strides_of(shape)
  local rank, row = #shape, shape[#shape]
  local function visit(d, at, done)
    if d == rank then
      if at < 0 or at + row > pointer.memory.size then
        error(("%s: elements %d to %d of '%s', which has %d"):format(call, at, at + row - 1, pointer.name or "?",
          pointer.memory.size), 0)
      end
      fn(at, done, row)
      return done + row
    end
    for i = 0, shape[d] - 1 do done = visit(d + 1, at + i * stride[d], done) end
    return done
  end
  if stride[rank] ~= 1 and row > 1 then
    error(call .. ": the mock reads rows of adjacent elements only", 0)
  end
  visit(1, pointer.at, 0)
end

local function is_whole(shape, stride)
  local packed = strides_of(shape)
  for d = 1, #shape do
    if shape[d] > 1 and stride[d] ~= packed[d] then return false end
  end
  return true
end

-- A block in one row, if it is contiguous.
local function simplified(pointer, shape, stride)
  local is = stride or #shape == #pointer.shape and pointer.strides
  if not is or is_whole(shape, is) then
    return { shapes.numel(shape) }, { 1 }
  end
  return shape, is
end

local function load(...)
  local pointer, shape, dtype, stride = arguments({ "ptr", "shape", "dtype", "stride" }, ...)
  shape = shape or pointer.shape
  if dtype and dtype ~= pointer.dtype then
    error(("tl.load: '%s' holds %s, not %s"):format(pointer.name, pointer.dtype, dtype), 2)
  end
  local rows, flat = {}, pointer.memory.flat
  local by, step = simplified(pointer, shape, stride)
  rows_of("tl.load", pointer, by, step, function(at, _, n) rows[#rows + 1] = flat[{ { at, at + n } }] end)
  local all = #rows == 1 and rows[1] or np.concatenate(rows)
  return tile(#shape == 1 and all or all:reshape(shape))
end

local function store(...)
  local pointer, value, stride = arguments({ "ptr", "value", "stride" }, ...)
  if not is_tile(value) then
    error("tl.store: expected a tile", 2)
  elseif value.dtype ~= pointer.dtype then
    error(("tl.store: the tile holds %s, '%s' holds %s"):format(value.dtype, pointer.name, pointer.dtype), 2)
  end
  local flat, source = pointer.memory.flat, value.a
  source = source.ndim == 1 and source or source:reshape { source.size }
  local by, step = simplified(pointer, value.shape, stride)
  rows_of("tl.store", pointer, by, step, function(at, done, n)
    flat[{ { at, at + n } }] = n == source.size and source or source[{ { done, done + n } }]
  end)
end

local Handle = {}

tl.load, tl.store = load, store
function tl.load_async(...) return setmetatable({ value = load(...) }, Handle) end
function tl.store_async(...)
  store(...)
  return setmetatable({}, Handle)
end

--- The table of functions, over what mock.lua provides: send, receive, finish (of a receive), id, count.
---@param host table
---@return table tl
function M.new(host)
  local functions = {}
  for name, fn in pairs(tl) do functions[name] = fn end
  function functions.send(direction, value)
    if not is_tile(value) then
      error(("tl.send: expected a direction and a tile, got a %s"):format(type(value)), 2)
    end
    host.send(direction, value)
  end
  function functions.recv_async(...)
    local direction, shape, dtype = arguments({ "direction", "shape", "dtype" }, ...)
    return setmetatable({ receive = host.receive(direction, shape, dtype) }, Handle)
  end
  function functions.recv(...)
    local direction, shape, dtype = arguments({ "direction", "shape", "dtype" }, ...)
    return host.finish(host.receive(direction, shape, dtype))
  end
  function functions.wait(...)
    local values = table.pack(...)
    for i = 1, values.n do
      if getmetatable(values[i]) ~= Handle then
        error(("tl.wait: argument %d is a %s; expected the handle of an operation"):format(i, type(values[i])), 2)
      end
      local handle = values[i]
      if handle.receive then handle.value = host.finish(handle.receive) end
      values[i] = handle.value
    end
    return table.unpack(values, 1, values.n)
  end
  functions.program_id, functions.num_programs = host.program_id, host.num_programs
  function functions.device_print(...)
    local words = table.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    print(host.whereabouts() .. ": " .. table.concat(words, " "))
  end
  return setmetatable(functions, { __index = function(_, name)
    error(("tl.%s does not exist on the mock"):format(tostring(name)), 2)
  end })
end

M.tile = tile

return M
