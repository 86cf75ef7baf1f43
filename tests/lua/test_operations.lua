-- The tables of docs/operations.md hold: every operation with every type, its result and its time.
local lu = require "luaunit"
local core = require "kernbench.core"
local helper = require "tests.lua.helper"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local BYTES = { f8e4m3 = 1, f8e5m2 = 1, f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i16 = 2, i32 = 4, i64 = 8,
  u8 = 1, u16 = 2, u32 = 4, u64 = 8, bool = 1 }
local CLASSES = { -- the columns of types
  { "f8e4m3", "f8e5m2" }, { "f16", "bf16", "f32", "f64" },
  { "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64" }, { "bool" } }
local WIDE = { i8 = "i32", i16 = "i32", bool = "i32", u8 = "u32", u16 = "u32" }

-- The operators; functions are found by their names. x and y are tiles of that type, m is a mask.
local OPERATORS = {
  ["x + y"] = function(x, y) return x + y end, ["x - y"] = function(x, y) return x - y end,
  ["x * y"] = function(x, y) return x * y end, ["x / y"] = function(x, y) return x / y end,
  ["x // y"] = function(x, y) return x // y end, ["x % y"] = function(x, y) return x % y end,
  ["x ^ y"] = function(x, y) return x ^ y end, ["x & y"] = function(x, y) return x & y end,
  ["x | y"] = function(x, y) return x | y end, ["x ~ y"] = function(x, y) return x ~ y end,
  ["x << y"] = function(x, y) return x << y end, ["x >> y"] = function(x, y) return x >> y end,
  ["-x"] = function(x) return -x end, ["~x"] = function(x) return ~x end,
}
-- Functions that take something else than tiles. Tiles have 16 x 24 elements.
local CALLS = {
  fma = function(x, y) return tl.fma(x, y, x) end, where = function(x, y, m) return tl.where(m, x, y) end,
  clamp = function(x) return tl.clamp(x, 0, 1) end, cast = function(x, _, _, to) return tl.cast(x, to) end,
  full = function(_, _, _, to) return tl.full({ 16, 24 }, 1, to) end,
  zeros = function(_, _, _, to) return tl.zeros({ 16, 24 }, to) end,
  broadcast_to = function(x) return tl.broadcast_to(x, { 2, 16, 24 }) end,
  permute = function(x) return tl.permute(x, { 1, 0 }) end, cat = function(x, y) return tl.cat(x, y, 0) end,
  reshape = function(x) return tl.reshape(x, { 24, 16 }) end, view = function(x) return tl.view(x, { 384 }) end,
  expand_dims = function(x) return tl.expand_dims(x, 0) end,
  sort = function(x) return tl.sort(x, 1) end, argsort = function(x) return tl.argsort(x, 1) end,
  flip = function(x) return tl.flip(x, 0) end, narrow = function(x) return tl.narrow(x, 1, 2, 20) end,
  cumprod = function(x) return tl.cumprod(x, 1) end, histogram = function(x) return tl.histogram(x, 10) end,
  rand = function(x) return tl.rand(1, x) end, randn = function(x) return tl.randn(1, x) end,
  randint = function(x) return tl.randint(1, x) end,
  cumsum = function(x) return tl.cumsum(x, 1) end, softmax = function(x) return tl.softmax(x, 1) end,
}
local UNARY = { "abs", "floor", "ceil", "exp", "exp2", "log", "log2", "sin", "cos", "sqrt", "rsqrt", "erf", "tanh",
  "sigmoid", "sum", "max", "min", "argmax", "argmin", "trans", "zeros_like", "ravel" }
for _, name in ipairs(UNARY) do CALLS[name] = function(x) return tl[name](x) end end

local function function_of(name)
  local short = name:match("^tl%.(.*)")
  local found = OPERATORS[name] or CALLS[short] or short and function(x, y) return tl[short](x, y) end
  return assert(found, name)
end

-- The cells of the lines of the tables that begin with an operation.
local function lines(engine)
  local found = {}
  for line in io.lines(core.home() .. "/docs/operations.md") do
    local cells = {}
    for cell in line:gsub("\\|", "\1"):gmatch("|%s*([^|]-)%s*%f[|]") do
      cells[#cells + 1] = (cell:gsub("\1", "|"))
    end
    if cells[2] == engine then found[#found + 1] = cells end
  end
  return found
end

local function words(cell)
  local list = {}
  for word in cell:gmatch("`([^`]+)`") do list[#list + 1] = word end
  return list
end

-- The result's type by the entry, nil if refused. `asked` is the type that is asked for.
local function result_of(entry, dtype, asked)
  local named = { same = dtype, wide = WIDE[dtype] or dtype, any = asked }
  if entry == "no" then return nil end
  return named[entry] or words(entry)[1]
end

-- What commands of these passes take. Widths of several are known only if the type stays.
local function time_of(passes, elements, width)
  local lanes, ns = 256 // math.max(width, 2), 0
  passes = passes:gsub("L %(L %+ 1%) / 2", "15") -- of rows of 24: L is 5
  for command in passes:gmatch("[^,]+") do
    local count = math.tointeger(tonumber(command:match("%d+")))
    if count == 0 then return 0 end
    ns = ns + 3 + -(-elements // lanes) * count
    if command:find("tree", 1, true) then ns = ns + math.floor(math.log(lanes, 2) + 0.5) end
  end
  return ns
end

local function check_operation(name, cells, class, dtype)
  local x, y = tl.full({ 16, 24 }, 1, dtype), tl.full({ 16, 24 }, 1, dtype)
  local mask, asked = tl.full({ 16, 24 }, 1, "bool"), cells[3 + class] == "any" and "bf16" or dtype
  local where = name .. " of " .. dtype
  local before = tl.now()
  local ok, r = pcall(function_of(name), x, y, mask, asked)
  local took, expected = tl.now() - before, result_of(cells[3 + class], dtype, asked)
  if not expected then
    lu.assertFalse(ok, where)
    return
  end
  lu.assertTrue(ok, where .. ": " .. tostring(r))
  lu.assertEquals(r.dtype, expected, where)
  local elements = 1
  for _, extent in ipairs(r.shape) do elements = elements * extent end
  local made = name == "tl.full" or name == "tl.zeros" or name == "tl.zeros_like" -- out of a constant of that type
  local width = made and BYTES[r.dtype] or math.max(BYTES[dtype], BYTES[r.dtype])
  if expected == dtype or not cells[3]:find(",", 1, true) then
    lu.assertAlmostEquals(took, time_of(cells[3], math.max(elements, 384), width), 1e-9, where)
  end
end

local function in_a_kernel(kernel, sets)
  helper.simulate(function()
    torch.launch("k", helper.watched(kernel), torch.empty(1)):wait()
  end, { topology = "default", data = false, sets = sets })
end

local TestOperations = {}

function TestOperations:test_every_operation_of_the_vector_engine()
  local checked = 0
  in_a_kernel(function()
    for _, engine in ipairs { "pe_math", "none" } do
      for _, cells in ipairs(lines(engine)) do
        for _, name in ipairs(words(cells[1])) do
          for class, dtypes in ipairs(CLASSES) do
            for _, dtype in ipairs(dtypes) do
              check_operation(name, cells, class, dtype)
              checked = checked + 1
            end
          end
        end
      end
    end
  end)
  lu.assertEquals(checked, 70 * 15) -- 70 operations
end

-- A port of 100 TB/s: fetching 2 x 32 x 640 elements takes 0.4096 ns per byte of an element, for the first of ten
-- tiles a tenth of it; storing is at 512 GB/s.
function TestOperations:test_every_type_of_the_matrix_engine()
  local checked = 0
  in_a_kernel(function()
    for _, cells in ipairs(lines("pe_gemm")) do
      for _, dtype in ipairs(words(cells[3])) do
        local a, b = tl.zeros({ 32, 640 }, dtype), tl.zeros({ 640, 32 }, dtype)
        local before = tl.now()
        local c = tl.dot(a, b)
        local took = tl.now() - before
        lu.assertEquals(c.dtype, words(cells[4])[1], dtype)
        local fetch = math.floor(40.96 * BYTES[dtype] + 0.5) / 1000
        local cycles = 10 * 64 / math.tointeger(tonumber(cells[5])) + 16
        lu.assertAlmostEquals(took, 3 + fetch + cycles + 1024 * BYTES[c.dtype] / 512, 1e-9, dtype)
        checked = checked + 1
      end
    end
  end, { "pe.pe_tcm.read_bw_gbs=100000" })
  lu.assertEquals(checked, 15)
end

helper.main { TestOperations = TestOperations }
