--- What tests of tiles share: a machine of one cube, kernels on one of its PEs, arrays to compare with.
--
-- Numbers are held against np's (the same arithmetic on the host), and np's in turn against references
-- in f64 or written out in the tests, so that an error in what both share is found as well.
local lu = require "luaunit"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local M = {}

local TOPOLOGY = require("kernbench.core").home() .. "/topology.yaml"
local SETS = { "system.sips.count=1", "sip.cube_mesh.w=1", "sip.cube_mesh.h=1" }

M.FLOATS = { "f16", "bf16", "f32", "f64" }
M.INTEGERS = { "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64" }
M.NUMBERS = { "f16", "bf16", "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64" }
M.EPS = { f16 = 2 ^ -10, bf16 = 2 ^ -7, f32 = 2 ^ -23, f64 = 2 ^ -52 }
M.BYTES = { f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i16 = 2, i32 = 4, i64 = 8, u8 = 1, u16 = 2, u32 = 4, u64 = 8,
  bool = 1 }
M.SHAPES = { { 1 }, { 7 }, { 33 }, { 128 }, { 3, 5 }, { 1, 9 }, { 4, 1, 3 } }
M.PAIRS = { { { 7 }, { 1 } }, { { 3, 5 }, { 5 } }, { { 3, 1 }, { 1, 5 } }, { { 4, 1, 3 }, { 2, 3 } },
  { { 1, 9 }, { 4, 1 } }, { { 33 }, { 33 } } }

-- Run `body` as a bench on a machine of one cube; raises what it raises. Nothing may be left over.
function M.simulate(body, data)
  local outcome, stats = runtime.with_engine({ topology = TOPOLOGY, sets = SETS, data = data }, body)
  if outcome.status ~= "ok" then
    error(outcome.error or outcome.status, 0)
  end
  lu.assertNil(outcome.waiting)
  lu.assertTrue(stats.audit.ok)
end

-- Elements and type of what a kernel computed.
function M.fetched(value)
  if type(value) == "table" then
    local out = {}
    for key, each in pairs(value) do out[key] = M.fetched(each) end
    return out
  end
  return tl.is_tile(value) and tl.values(value) or value
end

-- Run fn(tiles...) in a kernel on one PE, the tiles loaded from the arrays. Returns what fn does, with
-- arrays for tiles.
function M.on_device(arrays, fn, data)
  local result
  M.simulate(function()
    local tensors = {}
    for i, array in ipairs(arrays) do
      tensors[i] = data == false and torch.empty(array.shape, { dtype = array.dtype }) or torch.from_numpy(array)
    end
    if #tensors == 0 then tensors[1] = torch.empty(1) end
    torch.launch("k", function(...)
      local tiles = {}
      for i, ptr in ipairs { ... } do tiles[i] = tl.load(ptr) end
      result = fn(table.unpack(tiles))
      if data ~= false then result = M.fetched(result) end
    end, table.unpack(tensors))
    torch.accelerator.synchronize()
  end, data)
  return result
end

-- What fn raises in a kernel (which goes on).
function M.fails(pattern, fn, ...)
  local message = M.on_device({ ... }, function(...)
    local ok, raised = pcall(fn, ...)
    return { ok = ok, text = tostring(raised) }
  end)
  lu.assertFalse(message.ok, "no error: " .. pattern)
  lu.assertStrContains(message.text, pattern)
end

function M.random_of(shape, dtype, seed, low, high)
  local random = np.random(seed)
  if M.EPS[dtype] then
    if low then return (random:rand(shape, "f64") * (high - low) + low):astype(dtype) end
    return random:randn(shape, dtype)
  end
  local lows = { i8 = -100, i16 = -30000, i32 = -70000, i64 = -(1 << 40), u8 = 0, u16 = 0, u32 = 0, u64 = 0, bool = 0 }
  local highs = { i8 = 100, i16 = 30000, i32 = 70000, i64 = 1 << 40, u8 = 256, u16 = 65536, u32 = 1 << 32,
    u64 = 1 << 60, bool = 2 }
  return random:randint(math.tointeger(low) or lows[dtype], math.tointeger(high) or highs[dtype], shape, dtype)
end

-- The same type, shape and bits (NaN counts as equal to NaN).
function M.same(got, expected, what)
  if not np.isarray(expected) then expected = np.array(expected) end
  lu.assertEquals(got.dtype, expected.dtype, what)
  lu.assertEquals(got.shape, expected.shape, what)
  local equal, at = np.allclose(got, expected, { rtol = 0, atol = 0, equal_nan = true })
  if not equal then
    lu.fail(("%s: element %d of %s is %s, expected %s"):format(what, at, got.dtype,
      tostring(got:flatten()[at]), tostring(expected:flatten()[at])))
  end
end

function M.text_of(...)
  local words = {}
  for i, value in ipairs { ... } do
    words[i] = type(value) == "table" and "(" .. table.concat(value, ",") .. ")" or tostring(value)
  end
  return table.concat(words, " ")
end

--- Zeros of that shape.
function M.f32(...) return np.zeros({ ... }, "f32") end
function M.i32(...) return np.zeros({ ... }, "i32") end

-- Run fn(pointer to a copy of the array) in a kernel; returns what fn does and the tensor afterwards.
function M.with_pointer(array, fn)
  local result, after
  M.simulate(function()
    local t = torch.from_numpy(array)
    torch.launch("k", function(ptr) result = M.fetched(fn(ptr)) end, t)
    after = t:numpy()
  end)
  return result, after
end

--- What fn(...) takes in simulated time, and what it returns.
function M.took(fn, ...)
  local from = tl.now()
  local result = fn(...)
  return tl.now() - from, result
end

return M
