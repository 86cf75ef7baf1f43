-- Tensor descriptors: blocks at any offset, cut off at the edges of what they describe.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local tiles = require "tests.lua.tiles"

local same, with_pointer, took = tiles.same, tiles.with_pointer, tiles.took

-- The block of that shape at the offsets of an array with zeros around it.
local function padded_block(array, at, shape)
  local wide = np.zeros({ array.shape[1] + 40, array.shape[2] + 40 }, array.dtype)
  wide[{ { 20, 20 + array.shape[1] }, { 20, 20 + array.shape[2] } }] = array
  return wide[{ { 20 + at[1], 20 + at[1] + shape[1] }, { 20 + at[2], 20 + at[2] + shape[2] } }]
end

local PLACES = { { 0, 0 }, { 2, 3 }, { 4, 6 }, { 6, 8 }, { -1, 0 }, { 0, -3 }, { -2, -2 }, { 7, 9 }, { 9, 0 },
  { -4, 2 } }

local TestDescriptors = {}

function TestDescriptors:test_blocks_are_padded_with_zeros()
  for _, dtype in ipairs { "f16", "f32", "i8", "i64" } do
    local a = np.arange(1, 71, dtype):reshape { 7, 10 }
    local got = with_pointer(a, function(p)
      local desc = tl.make_tensor_descriptor(p, { 7, 10 }, { 10, 1 }, { 3, 4 })
      local out = {}
      for i, at in ipairs(PLACES) do out[i] = i % 2 == 0 and desc:load(at) or tl.wait(desc:load_async(at)) end
      return out
    end)
    for i, at in ipairs(PLACES) do
      same(got[i], padded_block(a, at, { 3, 4 }), dtype .. " at " .. table.concat(at, ","))
    end
  end
end

function TestDescriptors:test_what_lies_outside_is_not_written()
  for i, at in ipairs(PLACES) do
    local a = np.arange(1, 71, "i32"):reshape { 7, 10 }
    local _, after = with_pointer(a, function(p)
      local desc = tl.make_tensor_descriptor(p, { 7, 10 }, nil, { 3, 4 })
      local x = tl.reshape(tl.arange(100, 112), { 3, 4 })
      if i % 2 == 0 then desc:store(at, x) else tl.wait(desc:store_async(at, x)) end
    end)
    for r = 0, 2 do
      for c = 0, 3 do
        local row, col = at[1] + r, at[2] + c
        if row >= 0 and row < 7 and col >= 0 and col < 10 then a[{ row, col }] = 100 + r * 4 + c end
      end
    end
    same(after, a, "at " .. table.concat(at, ","))
  end
end

function TestDescriptors:test_strides_and_a_part_of_a_tensor()
  local a = np.arange(60, "i32"):reshape { 5, 12 }
  local got = with_pointer(a, function(p)
    local inner = tl.make_tensor_descriptor(p + 13, { 3, 4 }, { 12, 1 }, { 2, 3 }) -- rows 1 to 3, columns 1 to 4
    local every = tl.make_tensor_descriptor { p, shape = { 5, 6 }, strides = { 12, 2 }, block_shape = { 2, 4 } }
    local deep = tl.make_tensor_descriptor(p, { 2, 2, 12 }, { 24, 12, 1 }, { 2, 1, 5 })
    local line = tl.make_tensor_descriptor(p, { 60 }, { 1 }, { 7 })
    lu.assertEquals(every.shape, { 5, 6 })
    lu.assertEquals(every.strides, { 12, 2 })
    lu.assertEquals(every.block_shape, { 2, 4 })
    lu.assertEquals(every.dtype, "i32")
    return { inner:load { 0, 0 }, inner:load { 2, 2 }, every:load { 1, 1 }, every:load { 4, 4 },
      deep:load { 0, 1, 3 }, deep:load { 1, 1, 10 }, line:load { 58 } }
  end)
  same(got[1], a[{ { 1, 3 }, { 1, 4 } }], "inner")
  lu.assertEquals(got[2]:tolist(), { { 39, 40, 0 }, { 0, 0, 0 } })
  lu.assertEquals(got[3]:tolist(), { { 14, 16, 18, 20 }, { 26, 28, 30, 32 } })
  lu.assertEquals(got[4]:tolist(), { { 56, 58, 0, 0 }, { 0, 0, 0, 0 } })
  lu.assertEquals(got[5]:tolist(), { { { 15, 16, 17, 18, 19 } }, { { 39, 40, 41, 42, 43 } } })
  lu.assertEquals(got[6]:tolist(), { { { 46, 47, 0, 0, 0 } }, { { 0, 0, 0, 0, 0 } } })
  lu.assertEquals(got[7]:tolist(), { 58, 59, 0, 0, 0, 0, 0 })
end

function TestDescriptors:test_a_product_over_ragged_blocks_needs_no_special_cases()
  local random = np.random(1)
  local a, b = random:randint(-4, 5, { 37, 50 }, "f16"), random:randint(-4, 5, { 50, 41 }, "f16")
  local got
  helper.simulate(function()
    local out = torch.empty(37, 41, { dtype = "f32" })
    torch.launch("gemm", function(ap, bp, op)
      local A = tl.make_tensor_descriptor(ap, { 37, 50 }, nil, { 16, 32 })
      local B = tl.make_tensor_descriptor(bp, { 50, 41 }, nil, { 32, 16 })
      local C = tl.make_tensor_descriptor(op, { 37, 41 }, nil, { 16, 16 })
      for m = 0, 36, 16 do
        for n = 0, 40, 16 do
          local acc
          for k = 0, 49, 32 do acc = tl.dot(A:load { m, k }, B:load { k, n }, acc) end
          C:store({ m, n }, acc)
        end
      end
    end, torch.from_numpy(a), torch.from_numpy(b), out)
    got = out:numpy()
  end)
  same(got, np.matmul(a:astype "f32", b:astype "f32"), "the product")
end

function TestDescriptors:test_whole_blocks_take_as_long_as_strided_loads_and_cut_ones_what_is_left()
  with_pointer(np.zeros({ 16, 64 }, "f16"), function(p)
    local desc = tl.make_tensor_descriptor(p, { 16, 64 }, { 64, 1 }, { 4, 32 })
    local function is(expected, got) lu.assertEquals(("%.3f"):format(got), ("%.3f"):format(expected)) end
    is(took(tl.load, { p + 2 * 64 + 8, { 4, 32 }, stride = { 64, 1 } }), (took(desc.load, desc, { 2, 8 })))
    is(took(tl.load, { p + 14 * 64 + 40, { 2, 24 }, stride = { 64, 1 } }), (took(desc.load, desc, { 14, 40 })))
    is(3, (took(desc.load, desc, { 16, 0 })))
    is(3, (took(desc.store, desc, { -4, 0 }, tl.zeros({ 4, 32 }, "f16"))))
    is(0, (took(tl.make_tensor_descriptor, p, { 16, 64 }, { 64, 1 }, { 4, 32 })))
  end)
end

function TestDescriptors:test_descriptors_work_without_numbers()
  helper.simulate(function()
    torch.launch("k", function(p)
      local desc = tl.make_tensor_descriptor(p, { 7, 10 }, nil, { 4, 4 })
      desc:store({ 4, 8 }, desc:load { 5, 8 })
    end, torch.empty(7, 10))
    torch.accelerator.synchronize()
  end, { data = false })
end

function TestDescriptors:test_what_makes_no_sense_is_refused()
  local function refused(pattern, fn)
    with_pointer(np.zeros({ 7, 10 }, "f32"), function(p)
      local ok, message = pcall(fn, p, tl.make_tensor_descriptor(p, { 7, 10 }, nil, { 2, 2 }))
      lu.assertFalse(ok, "no error: " .. pattern)
      lu.assertStrContains(tostring(message), pattern)
    end)
  end
  local make = tl.make_tensor_descriptor
  refused("shape (7, 11) at element 0 leads outside of tensor", function(p) make(p, { 7, 11 }, nil, { 2, 2 }) end)
  refused("shape (7, 10) at element 1 leads outside of tensor", function(p) make(p + 1, { 7, 10 }, nil, { 2, 2 }) end)
  refused("shape (7, 10) at element 0 leads outside", function(p) make(p, { 7, 10 }, { 11, 1 }, { 2, 2 }) end)
  refused("at element -1 leads outside", function(p) make(p - 1, { 1 }, nil, { 2 }) end)
  refused("at element 0 leads outside", function(p) make(p, { 1 << 40, 1 << 40 }, { 1 << 40, 1 }, { 2, 2 }) end)
  refused("strides: 1 extents for 2 dimensions", function(p) make(p, { 7, 10 }, { 10 }, { 2, 2 }) end)
  refused("block_shape: 3 extents for 2 dimensions", function(p) make(p, { 7, 10 }, nil, { 2, 2, 2 }) end)
  refused("block_shape: expected a shape", function(p) make(p, { 7, 10 }) end)
  refused("expected a pointer", function() make(3, { 7, 10 }, nil, { 2, 2 }) end)
  refused("desc:load: expected 2 offsets in a table", function(_, d) d:load(1, 2) end)
  refused("desc:load: expected 2 offsets in a table", function(_, d) d:load { 1 } end)
  refused("desc:load: offset 1 is 0.5; expected an integer", function(_, d) d:load { 1, 0.5 } end)
  refused("expected a tensor descriptor, got table (call it as desc:load{...})", function(_, d) d.load { 1, 1 } end)
  refused("desc:store: the tile is (2, 3) f32, a block of the descriptor (2, 2) f32",
    function(_, d) d:store({ 0, 0 }, tl.zeros { 2, 3 }) end)
  refused("desc:store: the tile is (2, 2) f16, a block of the descriptor (2, 2) f32",
    function(_, d) d:store({ 0, 0 }, tl.zeros({ 2, 2 }, "f16")) end)
  refused("a tensor descriptor has no field 'blok'", function(_, d) return d.blok end)
  lu.assertErrorMsgContains("tl.make_tensor_descriptor: ", tl.make_tensor_descriptor)
end

helper.main { TestDescriptors = TestDescriptors }
