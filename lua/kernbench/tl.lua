--- The kernel language: what code running on a PE can do, with Triton's names.
--
-- Functions take their arguments by position, as one table of named options, or by position with such a
-- table at the end. Those that wait return when the PE has finished; simulated time passes meanwhile. The
-- core is in C (src/bind/b_tl*.c).
---@class LoadOptions
---@field shape? integer[]     the pointer's if absent; not with a block of pointers
---@field dtype? kernbench.Dtype
---@field stride? integer[]    in elements, one per dimension
---@field mask? Tile|boolean   of bool; broadcasts to the block
---@field other? Tile|number   what is loaded where the mask is false; 0 if absent
---@class StoreOptions
---@field stride? integer[]
---@field mask? Tile|boolean
---@class tl: kernbench.TileMath, kernbench.TileMaking
---@field load fun(ptr: Pointer|Pointers, shape?: integer[]|LoadOptions, dtype?: string|LoadOptions, ...): Tile
---@field load_async fun(ptr: Pointer|Pointers, shape?: integer[]|LoadOptions, dtype?: string|LoadOptions, ...): Handle
---@field store fun(ptr: Pointer|Pointers, value: Tile, options?: StoreOptions) a tile to memory; waits
---@field store_async fun(ptr: Pointer|Pointers, value: Tile, options?: StoreOptions): Handle
---@field atomic_add fun(ptr: Pointer|Pointers, value: Tile|number, options?: {mask: Tile|boolean}): Tile old values
---@field atomic_min fun(ptr: Pointer|Pointers, value: Tile|number, options?: {mask: Tile|boolean}): Tile
---@field atomic_max fun(ptr: Pointer|Pointers, value: Tile|number, options?: {mask: Tile|boolean}): Tile
---@field atomic_and fun(ptr: Pointer|Pointers, value: Tile|number, options?: {mask: Tile|boolean}): Tile
---@field atomic_or fun(ptr: Pointer|Pointers, value: Tile|number, options?: {mask: Tile|boolean}): Tile
---@field atomic_xor fun(ptr: Pointer|Pointers, value: Tile|number, options?: {mask: Tile|boolean}): Tile
---@field atomic_xchg fun(ptr: Pointer|Pointers, value: Tile|number, options?: {mask: Tile|boolean}): Tile
---@field atomic_cas fun(ptr: Pointer|Pointers, cmp: Tile|number, value: Tile|number, options?: table): Tile
---@field make_tensor_descriptor fun(ptr: Pointer, shape: integer[], strides?: integer[], block: integer[]): Descriptor
---@field ref fun(ptr: Pointer, shape?: integer[], dtype?: string, stride?: integer[]): Pointer a block that is streamed
---@field dot fun(a: Tile, b: Tile, acc?: Tile, out_dtype?: string): Tile matrix product; accumulates in f32
---@field composite fun(options: CompositeOptions): Handle
---@field wait fun(...: Handle): Tile?
---@field send fun(direction: string, x: Tile) goes on when the last byte has left
---@field recv fun(direction: string, shape: integer[], dtype?: string, in_place?: boolean): Tile waits
---@field recv_async fun(direction: string, shape: integer[], dtype?: string, in_place?: boolean): Handle
---@field copy_to_dst fun(x: Tile): Tile the tile in room of its own
---@field put fun(pe: integer|table, ptr: Pointer, x: Tile) to the same place of another PE's part of the tensor
---@field signal fun(pe: integer|table, id: integer) behind the puts to that PE
---@field signal_wait fun(id: integer, count?: integer)
---@field program_id fun(axis?: integer): integer 0: PE in its cube, 1: cube, 2: SIP
---@field num_programs fun(axis?: integer): integer
---@field now fun(): number simulated time in ns
---@field cycles fun(): integer the same in cycles of pe_math's clock

---@class CompositeOptions
---@field op "gemm"
---@field a Tile|Pointer
---@field b Tile|Pointer
---@field out Pointer
---@field trans_b? boolean b is given as (N, K)
---@field epilogue? table[] steps such as {"bias", ptr}, {"gelu"}, {"scale", 0.5}, {"cast", "f16"}, {"softmax"}
local core = require "kernbench.core.tl"
local fail = require("kernbench.core").raise

-- The shape of a tile, for functions that are made of others.
local function shape_of(x, call)
  if not core.is_tile(x) then
    fail(("%s: expected a tile, got %s"):format(call, math.type(x) and "number" or tostring(x)))
  end
  return x.shape
end

local M = setmetatable({}, {
  __index = function(_, name)
    error(("tl.%s does not exist"):format(tostring(name)), 2)
  end,
})
for name, value in pairs(core) do -- not looked up there at each call of a kernel
  M[name] = value
end

--- ceil(a / b) of integers, or of tiles of them (then as (a + b - 1) // b, which must not overflow).
---@param a integer|Tile
---@param b integer|Tile
---@return integer|Tile
function M.cdiv(a, b)
  if core.is_tile(a) or core.is_tile(b) then
    return (a + (b - 1)) // b
  end
  local m, n = math.tointeger(a), math.tointeger(b)
  if not m or not n or n == 0 then
    fail(("tl.cdiv: %s by %s; expected integers or tiles, and not 0 to divide by"):format(
      tostring(a), tostring(b)))
  end
  return -(-m // n)
end

--- Raise unless the condition holds; evaluated when the kernel runs, costs no simulated time.
---@param condition any
---@param message string?
function M.static_assert(condition, message)
  if not condition then
    fail(tostring(message or "static_assert failed"))
  end
end

--- x limited to [min, max].
function M.clamp(x, min, max)
  return core.minimum(core.maximum(x, min), max)
end

--- exp(x - max) / sum along an axis (the last if absent), with each step rounded to the tile's type.
---@param x Tile
---@param dim integer?
---@return Tile
function M.softmax(x, dim)
  local rank = #shape_of(x, "tl.softmax")
  local axis = dim or rank - 1
  if math.type(axis) ~= "integer" or axis < -rank or axis >= rank then
    fail(("tl.softmax: axis %s of a tile with %d dimensions"):format(tostring(axis), rank))
  end
  local e = core.exp(x - core.max(x, axis, true))
  return e / core.sum(e, axis, true)
end

--- The k greatest elements along an axis (the last if absent), greatest first: sorted, and cut off.
---@param x Tile
---@param k integer
---@param dim integer?
---@return Tile
function M.topk(x, k, dim)
  return core.narrow(core.sort(x, dim, true), dim or -1, 0, k)
end

--- All elements in one dimension.
---@param x Tile
---@return Tile
function M.ravel(x)
  local count = 1
  for _, extent in ipairs(shape_of(x, "tl.ravel")) do
    count = count * extent
  end
  return core.reshape(x, { count })
end

--- Two tiles of one shape along a new last dimension of 2.
---@param a Tile
---@param b Tile
---@return Tile
function M.join(a, b)
  return core.cat(core.expand_dims(a, -1), core.expand_dims(b, -1), -1)
end

--- The two halves of a last dimension of 2, which disappears: what join put together.
---@param x Tile
---@return Tile, Tile
function M.split(x)
  local rank = #shape_of(x, "tl.split")
  if x.shape[rank] ~= 2 then
    fail(("tl.split: the last extent is %s; expected 2"):format(x.shape[rank]))
  end
  local a, b = core.narrow(x, -1, 0, 1), core.narrow(x, -1, 1, 1)
  return core.squeeze(a, -1), core.squeeze(b, -1)
end

--- Two tiles of one shape, their elements by turns along the last dimension, which is twice as long.
---@param a Tile
---@param b Tile
---@return Tile
function M.interleave(a, b)
  local shape = shape_of(a, "tl.interleave")
  shape[#shape] = 2 * shape[#shape]
  return core.reshape(M.join(a, b), shape)
end

--- Both operands in the shape that an operation on them has.
---@param a Tile
---@param b Tile
---@return Tile, Tile
function M.broadcast(a, b)
  local x, y = shape_of(a, "tl.broadcast"), shape_of(b, "tl.broadcast")
  local rank, shape = math.max(#x, #y), {}
  for d = 1, rank do
    local m, n = x[d - rank + #x] or 1, y[d - rank + #y] or 1
    if m ~= n and m ~= 1 and n ~= 1 then
      fail(("tl.broadcast: %s and %s do not broadcast"):format(tostring(a), tostring(b)))
    end
    shape[d] = m == 1 and n or m
  end
  local function whole(tile, have)
    return table.concat(have, ",") == table.concat(shape, ",") and tile or core.broadcast_to(tile, shape)
  end
  return whole(a, x), whole(b, y)
end

--- Indices (i, j) of a size_i x size_j grid that goes row by row, moved so that it goes column by column within
--- groups of size_g rows: neighbours share operands. Of integers, or of tiles of them.
---@param i integer|Tile
---@param j integer|Tile
---@param size_i integer
---@param size_j integer
---@param size_g integer
---@return integer|Tile i
---@return integer|Tile j
function M.swizzle2d(i, j, size_i, size_j, size_g)
  local least = (core.is_tile(i) or core.is_tile(j)) and core.minimum or math.min
  local at = i * size_j + j
  local first = at // (size_g * size_j) * size_g
  local rows = least(size_i - first, size_g)
  local within = at % (size_g * size_j)
  return first + within % rows, within // rows
end

for name, fn in pairs(require "kernbench.tl_combine") do
  M[name] = fn
end

-- x:clamp(low, high), x:softmax(dim), ...
for _, name in ipairs { "clamp", "softmax", "cdiv", "topk", "ravel", "join", "split", "interleave", "broadcast",
  "reduce", "associative_scan", "xor_sum" } do
  core[name] = M[name]
end

-- Values for people: tiles with their elements (where these are not known: their shape), everything else as
-- tostring shows it.
local function words(...)
  local args = table.pack(...)
  for i = 1, args.n do
    local value = args[i]
    if core.is_tile(value) and core.has_values(value) then
      value = core.values(value)
    end
    args[i] = tostring(value)
  end
  return table.concat(args, " ")
end

--- Print where and when this runs, then the arguments; tiles with their elements. Takes no simulated time.
function M.device_print(...)
  print(("%s t=%.3f ns: %s"):format(core.whereabouts(), core.now(), words(...)))
end

--- Raise unless every element of a tile (or a Lua value) is true. Takes no simulated time. Without
--- numbers only tiles made of constants can be judged; others pass.
---@param condition Tile|any
---@param message string?
function M.device_assert(condition, message)
  if core.is_tile(condition) then
    if not core.has_values(condition) then
      return
    end
    condition = core.values(condition):all()
  end
  if not condition then
    fail(tostring(message or "device_assert failed"))
  end
end

return M
