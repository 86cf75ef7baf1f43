--- Host arrays: enough of NumPy to make inputs and write expected values.
---
--- Arrays are contiguous; slices and transposes are copies. Indices, axes and ranges count from 0, as in
--- NumPy and on the device (Lua's own tables count from 1); negative ones count from the end:
---
---     local np = require "kernbench.np"
---     local a = np.arange(12, {dtype = "f16"}):reshape{3, 4}
---     a[{1, 2}]                a Lua number          a[0]     the first row
---     a[{{0, 2}, {}}]          rows 0 and 1          a[{{0, 3, 2}, {1, 3}}]   {start, stop, step}
---     a[{{}, 0}] = 7           assignment broadcasts, of numbers and arrays
---     a + 1, 2 * a, a // 2, -a, a ^ 2, a & mask       operators broadcast; comparisons are np.lt(a, b), …
---
--- Dtypes: f8e4m3 f8e5m2 f16 bf16 f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 bool. Two arrays promote as in NumPy; a Lua
--- number adopts the array's dtype (a fraction turns an integer array into f64). f16 and bf16 round once
--- per operation. Integers wrap; converting a float to an integer type saturates, NaN becomes 0.
---
--- Wherever a dtype may be given, an options table {dtype = "f16"} will do as well.

local core = require "kernbench.core.np"
local print_array = require "kernbench.np_print"

local M = {}

---@alias kernbench.Dtype8 "f8e4m3"|"f8e5m2"
---@alias kernbench.Dtype kernbench.Dtype8|"f16"|"bf16"|"f32"|"f64"|"i8"|"i16"|"i32"|"i64"|"u8"|"u16"|"u32"|"u64"|"bool"
---@alias kernbench.DtypeArg kernbench.Dtype|{dtype: kernbench.Dtype}
---@alias kernbench.Shape integer[]|integer  a sequence of extents, or one extent
---@alias kernbench.Operand kernbench.array|number|boolean

---@class kernbench.array
---@field shape integer[]         a fresh table of extents
---@field dtype kernbench.Dtype
---@field ndim integer            number of dimensions
---@field size integer            number of elements
---@field nbytes integer
---@operator add(kernbench.Operand): kernbench.array
---@operator sub(kernbench.Operand): kernbench.array
---@operator mul(kernbench.Operand): kernbench.array
---@operator div(kernbench.Operand): kernbench.array
---@operator idiv(kernbench.Operand): kernbench.array
---@operator mod(kernbench.Operand): kernbench.array
---@operator pow(kernbench.Operand): kernbench.array
---@operator band(kernbench.Operand): kernbench.array
---@operator bor(kernbench.Operand): kernbench.array
---@operator bxor(kernbench.Operand): kernbench.array
---@operator unm: kernbench.array
---@operator bnot: kernbench.array
---@operator len: integer         the first extent
local methods = core.metatable.methods
core.metatable.__tostring = print_array

-- Creation ----------------------------------------------------------------------------------------

---An array of zeros (f64 unless a dtype is given).
---@type fun(shape: kernbench.Shape, dtype?: kernbench.DtypeArg): kernbench.array
M.zeros = core.zeros

---An array of ones (f64 unless a dtype is given).
---@type fun(shape: kernbench.Shape, dtype?: kernbench.DtypeArg): kernbench.array
M.ones = core.ones

---An array filled with one value; its dtype follows from the value (f64, i64, bool) unless given.
---@type fun(shape: kernbench.Shape, value: number|boolean, dtype?: kernbench.DtypeArg): kernbench.array
M.full = core.full

---An array whose contents do not matter yet (zeros, so that runs repeat).
---@type fun(shape: kernbench.Shape, dtype?: kernbench.DtypeArg): kernbench.array
M.empty = core.zeros

---@param a kernbench.array
---@param dtype? kernbench.DtypeArg  a's if absent
---@return kernbench.array
function M.zeros_like(a, dtype)
  return core.zeros(a.shape, dtype or a.dtype)
end

---@param a kernbench.array
---@param dtype? kernbench.DtypeArg  a's if absent
---@return kernbench.array
function M.ones_like(a, dtype)
  return core.ones(a.shape, dtype or a.dtype)
end

---Numbers from start up to, not including, stop: arange(stop), arange(start, stop),
---arange(start, stop, step), each with a dtype after them. i64 if all are integers, else f64.
---@type fun(start: number, stop?: number, step?: number, dtype?: kernbench.DtypeArg): kernbench.array
M.arange = core.arange

---The identity: ones on the diagonal.
---@param n integer
---@param dtype? kernbench.DtypeArg
---@return kernbench.array
function M.eye(n, dtype)
  if math.type(n) ~= "integer" or n < 0 then
    error(("eye: n is %s; expected an integer of at least 0"):format(tostring(n)), 2)
  end
  local a = core.zeros({n, n}, dtype)
  for i = 0, n - 1 do a[{i, i}] = 1 end
  return a
end

---From a (nested) table, a number, or another array. i64 if all numbers are integers, bool, else f64.
---@type fun(values: table|number|boolean|kernbench.array, dtype?: kernbench.DtypeArg): kernbench.array
M.array = core.array

---@alias kernbench.RandomFloats fun(self: any, shape: kernbench.Shape, dtype?: kernbench.DtypeArg): any

---@alias kernbench.RandomIntegers fun(self: any, low: integer, high: integer, shape: any, dtype?: any): any

---@class kernbench.random
---@field rand kernbench.RandomFloats   arrays uniform in [0, 1)
---@field randn kernbench.RandomFloats  arrays, normal: mean 0, variance 1
---@field randint kernbench.RandomIntegers  low <= x < high; i64 if absent
core.random_methods.randint = core.randint

---A generator of random arrays, 0 the seed if absent: the same values on every machine.
---@type fun(seed?: integer): kernbench.random
M.random = core.random

---Is the value one of these arrays?
---@type fun(value: any): boolean
M.isarray = core.isarray

-- Elementwise -------------------------------------------------------------------------------------

---@alias kernbench.BinaryFunction fun(a: kernbench.Operand, b: kernbench.Operand): kernbench.array
---@alias kernbench.UnaryFunction fun(a: kernbench.Operand): kernbench.array

M.add = core.add ---@type kernbench.BinaryFunction
M.sub = core.sub ---@type kernbench.BinaryFunction
M.mul = core.mul ---@type kernbench.BinaryFunction
M.div = core.div ---@type kernbench.BinaryFunction
M.floordiv = core.floordiv ---@type kernbench.BinaryFunction
M.mod = core.mod ---@type kernbench.BinaryFunction
M.pow = core.pow ---@type kernbench.BinaryFunction
M.minimum = core.minimum ---@type kernbench.BinaryFunction
M.maximum = core.maximum ---@type kernbench.BinaryFunction
M.bitwise_and = core.bitwise_and ---@type kernbench.BinaryFunction
M.bitwise_or = core.bitwise_or ---@type kernbench.BinaryFunction
M.bitwise_xor = core.bitwise_xor ---@type kernbench.BinaryFunction
M.left_shift = core.left_shift ---@type kernbench.BinaryFunction
M.right_shift = core.right_shift ---@type kernbench.BinaryFunction
M.lt = core.lt ---@type kernbench.BinaryFunction
M.le = core.le ---@type kernbench.BinaryFunction
M.gt = core.gt ---@type kernbench.BinaryFunction
M.ge = core.ge ---@type kernbench.BinaryFunction
M.eq = core.eq ---@type kernbench.BinaryFunction
M.ne = core.ne ---@type kernbench.BinaryFunction

M.neg = core.neg ---@type kernbench.UnaryFunction
M.abs = core.abs ---@type kernbench.UnaryFunction
M.bitwise_not = core.bitwise_not ---@type kernbench.UnaryFunction
M.square = core.square ---@type kernbench.UnaryFunction
M.sign = core.sign ---@type kernbench.UnaryFunction
M.floor = core.floor ---@type kernbench.UnaryFunction
M.ceil = core.ceil ---@type kernbench.UnaryFunction
M.trunc = core.trunc ---@type kernbench.UnaryFunction
M.round = core.round ---@type kernbench.UnaryFunction
M.sqrt = core.sqrt ---@type kernbench.UnaryFunction
M.rsqrt = core.rsqrt ---@type kernbench.UnaryFunction
M.reciprocal = core.reciprocal ---@type kernbench.UnaryFunction
M.exp = core.exp ---@type kernbench.UnaryFunction
M.exp2 = core.exp2 ---@type kernbench.UnaryFunction
M.log = core.log ---@type kernbench.UnaryFunction
M.log2 = core.log2 ---@type kernbench.UnaryFunction
M.sin = core.sin ---@type kernbench.UnaryFunction
M.cos = core.cos ---@type kernbench.UnaryFunction
M.tanh = core.tanh ---@type kernbench.UnaryFunction
M.erf = core.erf ---@type kernbench.UnaryFunction
M.sigmoid = core.sigmoid ---@type kernbench.UnaryFunction
M.isnan = core.isnan ---@type kernbench.UnaryFunction
M.isfinite = core.isfinite ---@type kernbench.UnaryFunction

---a's elements where cond is true (not 0), else b's. All three broadcast.
---@type fun(cond: kernbench.Operand, a: kernbench.Operand, b: kernbench.Operand): kernbench.array
M.where = core.where

---Elements limited to [low, high].
---@param a kernbench.array
---@param low kernbench.Operand
---@param high kernbench.Operand
---@return kernbench.array
function M.clip(a, low, high)
  return core.minimum(core.maximum(a, low), high)
end

-- Reductions --------------------------------------------------------------------------------------

--- Over one axis: an array without it (with extent 1 there, given keepdims); over everything: a Lua
--- number or boolean. Sums and means of floats accumulate in f64, in index order, and round once.
---@alias kernbench.Reduced kernbench.array|number|boolean
---@alias kernbench.Reduction fun(a: kernbench.array, axis?: integer, keepdims?: boolean): kernbench.Reduced

M.sum = core.sum ---@type kernbench.Reduction
M.prod = core.prod ---@type kernbench.Reduction
M.mean = core.mean ---@type kernbench.Reduction
M.min = core.min ---@type kernbench.Reduction
M.max = core.max ---@type kernbench.Reduction
M.argmin = core.argmin ---@type kernbench.Reduction
M.argmax = core.argmax ---@type kernbench.Reduction
M.any = core.any ---@type kernbench.Reduction
M.all = core.all ---@type kernbench.Reduction

---Running sum along an axis.
---@param a kernbench.array
---@param axis? integer  may be left out for one dimension
---@return kernbench.array
function M.cumsum(a, axis)
  if axis == nil and a.ndim == 1 then axis = 0 end
  return core.cumsum(a, axis)
end

-- Matrix product ----------------------------------------------------------------------------------

---Matrix product as NumPy's: vectors, matrices, stacks of matrices. Accumulates in f32 (f16, bf16,
---f32), f64, i32 or i64 in a fixed order, and rounds once to dtype (the promoted one if absent).
---@type fun(a: kernbench.array, b: kernbench.array, dtype?: kernbench.DtypeArg): kernbench.array
M.matmul = core.matmul

-- Comparison of whole arrays ----------------------------------------------------------------------

---Is |a - b| <= atol + rtol * |b| everywhere (b: the expected values)? If not, also the index of the
---first element that is not, counted through the broadcast shape. 1e-5, 1e-8 and false if absent.
---@alias kernbench.Tolerance {rtol: number?, atol: number?, equal_nan: boolean?}
---@type fun(a: kernbench.Operand, b: kernbench.Operand, tolerance?: kernbench.Tolerance): boolean, integer?
M.allclose = core.allclose

---The largest |a - b|, computed in f64; NaN if any difference is.
---@type fun(a: kernbench.Operand, b: kernbench.Operand): number
M.max_abs_diff = core.max_abs_diff

local function same_shape(a, b)
  if a.ndim ~= b.ndim then return false end
  local sa, sb = a.shape, b.shape
  for i = 1, #sa do
    if sa[i] ~= sb[i] then return false end
  end
  return true
end

---Same shape and equal elements (NaN equals nothing).
---@param a kernbench.array
---@param b kernbench.array
---@return boolean
function M.array_equal(a, b)
  return same_shape(a, b) and core.all(core.eq(a, b))
end

-- Shape and type ----------------------------------------------------------------------------------

---A copy with elements converted.
---@type fun(a: kernbench.array, dtype: kernbench.DtypeArg): kernbench.array
M.astype = core.astype

---A copy.
---@type fun(a: kernbench.array): kernbench.array
M.copy = core.array

---A copy under another shape of as many elements; one extent may be -1: whatever is left.
---@type fun(a: kernbench.array, shape: kernbench.Shape): kernbench.array
M.reshape = core.reshape

---All elements in one dimension.
---@param a kernbench.array
---@return kernbench.array
function M.flatten(a)
  return core.reshape(a, {a.size})
end

---Dimension i of the result is dimension axes[i] (from 0); without axes, the order is reversed.
---@type fun(a: kernbench.array, axes?: integer[]): kernbench.array
M.transpose = core.transpose

---A copy repeated to a larger shape.
---@type fun(a: kernbench.Operand, shape: kernbench.Shape): kernbench.array
M.broadcast_to = core.broadcast_to

---Arrays one after another along an existing axis (0 if absent).
---@type fun(arrays: kernbench.array[], axis?: integer): kernbench.array
M.concatenate = core.concatenate

---Arrays of one shape side by side along a new axis.
---@param arrays kernbench.array[]
---@param axis? integer  0 if absent
---@return kernbench.array
function M.stack(arrays, axis)
  axis = axis or 0
  local wider = {}
  for i = 1, #arrays do
    local shape = arrays[i].shape
    if axis < 0 then axis = axis + #shape + 1 end
    table.insert(shape, axis + 1, 1)
    wider[i] = core.reshape(arrays[i], shape)
  end
  return core.concatenate(wider, axis)
end

-- To and from elsewhere ---------------------------------------------------------------------------

---Nested Lua tables (a number for rank 0). u64 beyond 2^63 come out with their bits as Lua integers.
---@type fun(a: kernbench.array): table|number|boolean
M.tolist = core.tolist

---The only element of an array of one.
---@type fun(a: kernbench.array): number|boolean
M.item = core.item

---Write an .npy file (never a half-written one). bf16 has no code there: astype "f32" first.
---@type fun(path: string, a: kernbench.array)
M.save = core.save

---Read an .npy file, C or Fortran order, little endian.
---@type fun(path: string): kernbench.array
M.load = core.load

-- Everything that takes an array first is a method, too: a:sum(0), a:reshape{2, 3}, a:lt(b).
for _, name in ipairs {
  "add", "sub", "mul", "div", "floordiv", "mod", "pow", "minimum", "maximum", "bitwise_and", "bitwise_or",
  "bitwise_xor", "left_shift", "right_shift", "lt", "le", "gt", "ge", "eq", "ne", "neg", "abs",
  "bitwise_not", "square", "sign", "floor", "ceil", "trunc", "round", "sqrt", "rsqrt", "reciprocal",
  "exp", "exp2", "log", "log2", "sin", "cos", "tanh", "erf", "sigmoid", "isnan", "isfinite", "clip",
  "sum", "prod", "mean", "min", "max", "argmin", "argmax", "any", "all", "cumsum", "matmul",
  "astype", "copy", "reshape", "flatten", "transpose", "broadcast_to", "tolist", "item",
} do
  methods[name] = M[name]
end

return M
