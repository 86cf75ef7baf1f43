-- What tile operations refuse, where, and with which words.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local tiles = require "tests.lua.tiles"

local simulate, on_device, fails, same, f32, i32
  = tiles.simulate, tiles.on_device, tiles.fails, tiles.same, tiles.f32, tiles.i32

-- ---- errors ----

local TestErrors = {}

function TestErrors:test_operands_that_do_not_go_together()
  fails("+: shapes (3,) and (4,) do not broadcast", function(a, b) return a + b end, f32(3), f32(4))
  fails("tl.where: shapes (3,) and (3, 2) do not broadcast",
    function(a, b) return tl.where(a, b, 1) end, f32(3), f32(3, 2))
  fails("&: bitwise_and of f32: expected integers or masks", function(a) return a & 1 end, f32(3))
  fails("unary ~: bitwise_not of f32: expected integers or masks", function(a) return ~a end, f32(3))
  fails("-: sub of bool: expected numbers; masks combine with & | ~", function(a)
    local m = tl.lt(a, 1)
    return m - m
  end, f32(3))
  fails("tl.cat: (3,) f32 and (3,) i32 cannot be put together along axis 0", tl.cat, f32(3), i32(3))
  fails("tl.cat: (2, 3) f32 and (2, 4) f32 cannot be put together along axis 0", tl.cat, f32(2, 3), f32(2, 4))
end

function TestErrors:test_numbers_that_the_type_does_not_have()
  fails("+: 0.5 has no value in i32; convert the tile with tl.cast first", function(a) return a + 0.5 end, i32(3))
  fails("+: 300 has no value in u8", function(a) return a + 300 end, np.zeros({ 3 }, "u8"))
  fails("*: -1 has no value in u8", function(a) return a * -1 end, np.zeros({ 3 }, "u8"))
  fails("tl.full: 1.5 has no value in i32", function() return tl.full({ 2 }, 1.5, "i32") end)
  fails("tl.full: 128 has no value in i8", function() return tl.full({ 2 }, 128, "i8") end)
  fails("tl.arange: 0 to 299 have no value in u8", function() return tl.arange(0, 300, "u8") end)
  fails("tl.arange: the end 2 is not above the start 2", function() return tl.arange(2, 2) end)
end

function TestErrors:test_integers_that_have_no_quotient_say_so_where_it_happens()
  fails("test_tile_errors.lua:" .. debug.getinfo(1, "l").currentline + 1 .. ": // of integers: division by zero",
    function(a) return a // 0 end, i32(3))
  fails("% of integers: division by zero", function(a) return a % a end, i32(3))
  fails("^ of integers: the right operand is negative", function(a) return a ^ -1 end, i32(3))
  fails("<< of integers: the right operand is negative", function(a) return a << (a - 1) end, i32(3))
  -- and the run goes on
  local got = on_device({ i32(3) }, function(a)
    pcall(function() return a // a end)
    return { a // 2.0, a + 1 }
  end)
  same(got[2], np.ones({ 3 }, "i32"), "after the error")
end

function TestErrors:test_axes_and_shapes()
  fails("tl.sum: axis 2 of a tile with 2 dimensions", function(a) return tl.sum(a, 2) end, f32(2, 3))
  fails("tl.max: axis -3 of a tile with 2 dimensions", function(a) return tl.max(a, -3) end, f32(2, 3))
  fails("tl.cumsum: axis 1 of a tile with 1 dimensions", function(a) return tl.cumsum(a, 1) end, f32(3))
  fails("tl.sum: axis is 0.5; expected an integer", function(a) return tl.sum(a, 0.5) end, f32(3))
  fails("tl.softmax: axis 1 of a tile with 1 dimensions", function(a) return tl.softmax(a, 1) end, f32(3))
  fails("tl.reshape: a tile of shape (2, 3) has not as many elements as (7,)",
    function(a) return tl.reshape(a, { 7 }) end, f32(2, 3))
  fails("tl.permute: the axes are not a permutation of 0 to 1",
    function(a) return tl.permute(a, { 0, 0 }) end, f32(2, 3))
  fails("tl.permute: expected 2 axes in a table", function(a) return tl.permute(a, { 0 }) end, f32(2, 3))
  fails("tl.trans: a tile of one dimension has nothing to swap", tl.trans, f32(3))
  fails("tl.broadcast_to: a tile of shape (2, 3) cannot be broadcast to (2, 4)",
    function(a) return tl.broadcast_to(a, { 2, 4 }) end, f32(2, 3))
  fails("tl.expand_dims: axis 4 of a tile with 2 dimensions", function(a) return tl.expand_dims(a, 4) end, f32(2, 3))
  fails("tl.full: extent 0 is 0; expected an integer of at least 1", function() return tl.full({ 0 }, 1) end)
end

function TestErrors:test_what_is_not_a_tile()
  fails("tl.exp: expected a tile, got only numbers", function() return tl.exp(5) end)
  fails("tl.minimum: expected a tile, got only numbers", function() return tl.minimum(5, 6) end)
  fails("tl.exp: expected a tile or a number, got table", function() return tl.exp {} end)
  fails("+: expected a tile or a number, got string", function(a) return a + "x" end, f32(3))
  fails("tl.reshape: expected a tile, got only numbers", function() return tl.reshape(5, { 1 }) end)
  fails("tl.where: condition: expected a tile, got boolean", function(a) return tl.where(true, a, a) end, f32(3))
  fails("tl.sum: unknown option 'axes'", function(a) return tl.sum { a, axes = 1 } end, f32(3))
  fails("a tile has no field or method 'nothing'", function(a) return a.nothing end, f32(3))
  fails("tl.nothing does not exist", function() return tl.nothing end)
end

function TestErrors:test_errors_that_a_kernel_catches_say_place_and_time()
  local small, out_of = np.zeros({ 2, 3 }, "f16"), np.zeros({ 3, 2 }, "f16")
  on_device({ small, out_of }, function(a, b)
    local function says(pattern, fn)
      local line = debug.getinfo(fn, "S").linedefined
      local ok, message = pcall(fn)
      lu.assertFalse(ok, pattern)
      lu.assertEquals(message, ("%s:%d: %s [sip0.cube0.pe0, t=%.3f ns]"):format(
        debug.getinfo(1, "S").short_src, line, pattern, tl.now()))
    end
    says("tl.dot: a is (2, 3) f16, b is (2, 3) f16: inner extents 3 and 2 differ",
      function() local _ = tl.dot(a, a) end)
    says("tl.dot: acc is (2, 3) f16: expected (2, 2) f32", function() local _ = tl.dot(a, b, a) end)
    says("tl.composite: op is nil; the only composite is \"gemm\"", function() local _ = tl.composite {} end)
    says("unknown dtype 'f17' (f8e4m3 f8e5m2 f16 bf16 f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 bool)",
      function() local _ = tl.cast(a, "f17") end)
    says("tl.program_id: axis is x; expected an integer", function() local _ = tl.program_id "x" end)
    says("a tile has no elements to index; a number is not the name of a field", function() local _ = a[0] end)
    says("tl.softmax: axis 2 of a tile with 2 dimensions", function() local _ = tl.softmax(a, 2) end)
    says("tl.softmax: expected a tile, got nil", function() local _ = tl.softmax() end)
    says("tl.split: the last extent is 3; expected 2", function() local _ = tl.split(a) end)
    says("tl.cdiv: 1.5 by 2; expected integers or tiles, and not 0 to divide by",
      function() local _ = tl.cdiv(1.5, 2) end)
    says("M is odd", function() tl.static_assert(false, "M is odd") end)
    says("device_assert failed", function() tl.device_assert(false) end)
  end)
end

function TestErrors:test_pointers_are_called_pointers()
  tiles.with_pointer(f32(2), function(ptr)
    local function says(pattern, fn, ...)
      local ok, message = pcall(fn, ...)
      lu.assertFalse(ok, pattern)
      lu.assertStrContains(message, pattern)
    end
    says("tl.exp: expected a tile or a number, got pointer", tl.exp, ptr)
    says("tl.dot: a: expected a tile, got pointer", tl.dot, ptr, ptr)
    says("tl.load: expected a pointer (a tensor argument of the kernel), got tile", tl.load, tl.load(ptr))
    says("pointer:part: cube is nil; expected an integer", ptr.part, ptr)
    says("pointer:part: pe is x; expected an integer", ptr.part, ptr, 0, "x")
    says("a pointer has no elements to index; a number is not the name of a field", function() return ptr[0] end)
  end)
end

function TestErrors:test_cdiv_takes_whole_floats_as_integers()
  lu.assertIs(tl.cdiv(7.0, 2), 4)
  lu.assertIs(tl.cdiv(-7, 2), -3)
end

function TestErrors:test_comparison_operators_point_to_the_functions()
  local hint = "tiles are compared element by element with tl.lt, le, gt, ge, eq, ne"
  fails(hint, function(a, b) return a < b end, f32(3), f32(3))
  fails(hint, function(a) return a >= 1 end, f32(3))
  fails(hint, function(a, b) return a == b end, f32(3), f32(3))
end

function TestErrors:test_tiles_of_other_kernels_are_refused()
  local kept
  local ok, message = pcall(simulate, function()
    local t = torch.empty(4)
    torch.launch("first", function(p) kept = tl.load(p) end, t)
    torch.launch("second", function() return kept + 1 end, t)
    torch.accelerator.synchronize()
  end)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "+: the tile belongs to a kernel that has ended")
  ok, message = pcall(simulate, function()
    local shared
    torch.launch("both", function(p)
      local mine = tl.load(p)
      if tl.program_id() == 0 then
        shared = mine
        for _ = 1, 100 do mine = mine + 1 end
      else
        while not shared do mine = mine + 1 end
        return tl.exp(shared)
      end
    end, torch.empty({ 2, 4 }, { dp = torch.DPPolicy { pe = "row_wise", num_pes = 2, num_cubes = 1 } }))
    torch.accelerator.synchronize()
  end)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "tl.exp: the tile lies in the TCM of sip0.cube0.pe0")
end

function TestErrors:test_results_that_do_not_fit_into_tcm_list_what_is_live()
  local n = 1 << 20 -- 4 MiB of f32; kernels have 12
  fails("out of TCM", function()
    local a, b, c = tl.zeros { n }, tl.zeros { n }, tl.zeros { n }
    return a + b + c
  end)
  fails("live tiles: (1048576,) f32 from tl.zeros, (1048576,) f32 from tl.zeros", function()
    local a, b, c = tl.zeros { n }, tl.zeros { n }, tl.zeros { n }
    return a + b + c
  end)
  -- what nobody can reach makes room
  local got = on_device({}, function()
    local a = tl.zeros { n }
    for _ = 1, 10 do a = a + 1 end
    return a:max()
  end)
  lu.assertEquals(got:item(), 10)
end

helper.main { TestErrors = TestErrors }
