-- Making tiles, changing their shapes, and looking at their elements.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local tiles = require "tests.lua.tiles"

local NUMBERS, on_device, fails, random_of, same, text_of, f32, i32
  = tiles.NUMBERS, tiles.on_device, tiles.fails, tiles.random_of, tiles.same, tiles.text_of, tiles.f32, tiles.i32

-- ---- shapes ----

local TestShapes = {}

function TestShapes:test_shapes_change_as_on_the_host()
  for _, dtype in ipairs(NUMBERS) do
    local a = random_of({ 4, 3, 5 }, dtype, 1)
    local got = on_device({ a }, function(x)
      return { tl.reshape(x, { 15, 4 }), tl.permute(x, { 2, 0, 1 }), tl.trans(x), tl.broadcast_to(x, { 2, 4, 3, 5 }),
        tl.expand_dims(x, 1), tl.expand_dims(x, -1), tl.cat(x, x, 1), tl.cat { x, x, axis = -1 }, x:view { 60 } }
    end)
    same(got[1], a:reshape { 15, 4 }, "reshape")
    same(got[2], a:transpose { 2, 0, 1 }, "permute")
    same(got[3], a:transpose { 0, 2, 1 }, "trans")
    same(got[4], a:broadcast_to { 2, 4, 3, 5 }, "broadcast_to")
    same(got[5], a:reshape { 4, 1, 3, 5 }, "expand_dims")
    same(got[6], a:reshape { 4, 3, 5, 1 }, "expand_dims")
    same(got[7], np.concatenate({ a, a }, 1), "cat")
    same(got[8], np.concatenate({ a, a }, 2), "cat")
    same(got[9], a:reshape { 60 }, "view")
  end
end

function TestShapes:test_transposing_twice_and_reshaping_back_change_nothing()
  for _, shape in ipairs { { 3, 5 }, { 1, 9 }, { 4, 1, 3 } } do
    local a = random_of(shape, "f16", 1)
    local got = on_device({ a }, function(x)
      local flat = x:reshape { a.size }
      return { x:trans():trans(), flat:reshape(x.shape), -(-x), x + 0, x * 1, tl.where(tl.eq(x, x), x, 0) }
    end)
    for i, array in ipairs(got) do same(array, a, text_of("identity", i, shape)) end
  end
end

function TestShapes:test_tiles_made_from_nothing()
  local got = on_device({}, function()
    local x = tl.full({ 2, 3 }, 7, "i8")
    return { tl.arange(3, 8), tl.arange(0, 5, "f16"), tl.full({ 3 }, 2.5, "bf16"), tl.zeros({ 2, 3 }, "i32"),
      tl.zeros_like(x), x, tl.zeros { shape = { 4 }, dtype = "f16" }, tl.full { { 2 }, 1 }, tl.zeros { 2 },
      tl.arange { 0, 2, dtype = "u8" }, tl.full({ 2 }, true, "bool"), tl.broadcast_to(4, { 2 }) }
  end)
  same(got[1], np.arange(3, 8, 1, "i32"), "arange")
  same(got[2], np.arange(0, 5, 1, "f16"), "arange f16")
  same(got[3], np.full({ 3 }, 2.5, "bf16"), "full")
  same(got[4], np.zeros({ 2, 3 }, "i32"), "zeros")
  same(got[5], np.zeros({ 2, 3 }, "i8"), "zeros_like")
  same(got[6], np.full({ 2, 3 }, 7, "i8"), "full i8")
  same(got[7], np.zeros({ 4 }, "f16"), "zeros with options")
  same(got[8], np.ones({ 2 }, "f32"), "full with options")
  same(got[9], np.zeros({ 2 }, "f32"), "zeros of one extent")
  same(got[10], np.arange(2, "u8"), "arange u8")
  same(got[11], np.full({ 2 }, true, "bool"), "full bool")
  same(got[12], np.full({ 2 }, 4, "i32"), "broadcast_to of a number")
end

-- ---- looking at values ----

local TestLooking = {}

function TestLooking:test_item_lets_a_kernel_branch_on_data()
  local got = on_device({ np.array({ 3, 9, 4 }, "f16") }, function(x)
    local steps = 0
    while x:max():item() > 1 do
      x, steps = x / 2, steps + 1
    end
    return { steps, x }
  end)
  lu.assertEquals(got[1], 4) -- 9, 4.5, 2.25, 1.125, 0.5625
  lu.assertEquals(got[2]:tolist(), { 0.1875, 0.5625, 0.25 })
end

function TestLooking:test_item_has_the_kind_of_the_tile()
  local got = on_device({ np.full({ 1 }, 3, "i64"), np.full({ 1, 1 }, 0.5, "bf16") }, function(x, y)
    return { x:item(), y:item(), tl.lt(x, 4):item(), (x + math.maxinteger - 3):item() }
  end)
  lu.assertEquals(math.type(got[1]), "integer")
  lu.assertEquals(got, { 3, 0.5, true, math.maxinteger })
  fails("item: a tile of 3 elements; expected one", function(a) return a:item() end, f32(3))
end

function TestLooking:test_item_takes_indices()
  local a = random_of({ 3, 5 }, "i32", 1)
  local got = on_device({ a }, function(x) return { x:item(0, 0), x:item(2, 4), x:item(-1, 1), x:sum(0):item(3) } end)
  lu.assertEquals(got, { a[{ 0, 0 }], a[{ 2, 4 }], a[{ 2, 1 }], a[{ 0, 3 }] + a[{ 1, 3 }] + a[{ 2, 3 }] })
  fails("item: 1 indices for a tile with 2 dimensions", function(x) return x:item(1) end, i32(3, 5))
  fails("item: index 5 outside an extent of 5 in dimension 1", function(x) return x:item(0, 5) end, i32(3, 5))
  fails("item: an index is 0.5; expected an integer", function(x) return x:item(0, 0.5) end, i32(3, 5))
end

function TestLooking:test_item_without_numbers_is_an_error()
  local ok, message = pcall(on_device, { f32(3) }, function(x) return x:sum():item() end, false)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "item: numbers are switched off (--no-data or data = false)")
end

-- What print is given while fn runs.
local function printed(fn)
  local lines, original = {}, print
  rawset(_G, "print", function(...) lines[#lines + 1] = table.concat({ ... }, "\t") end)
  local ok, message = pcall(fn)
  rawset(_G, "print", original)
  if not ok then error(message, 0) end
  return lines
end

function TestLooking:test_device_print_says_where_and_when()
  local line
  local lines = printed(function()
    on_device({ np.array({ 1, 2 }, "i32") }, function(x)
      line = ("sip0.cube0.pe0 t=%.3f ns: x = array([1, 2], dtype=i32) nil 7"):format(tl.now())
      tl.device_print("x =", x, nil, 7)
    end)
  end)
  lu.assertEquals(lines, { line })
end

function TestLooking:test_device_print_without_numbers_shows_the_shape()
  local lines = printed(function()
    on_device({ i32(2) }, function(x) tl.device_print(x) end, false)
  end)
  lu.assertStrMatches(lines[1], "sip0%.cube0%.pe0 t=[%d.]+ ns: <tile %(2,%) i32>")
end

function TestLooking:test_device_assert_checks_every_element()
  on_device({ np.array({ 1, 2 }, "i32") }, function(x) tl.device_assert(tl.gt(x, 0), "positive") end)
  fails("positive", function(x) tl.device_assert(tl.gt(x, 0), "positive") end, i32(2))
  fails("device_assert failed", function() tl.device_assert(1 > 2) end)
  on_device({ i32(2) }, function(x) tl.device_assert(tl.gt(x, 0), "positive") end, false)
  fails("test_tile_shape.lua:" .. debug.getinfo(1, "l").currentline + 1 .. ": device_assert failed",
    function() tl.device_assert(false) end)
end

function TestLooking:test_device_assert_judges_constants_without_numbers()
  local ok, message = pcall(on_device, {}, function()
    tl.device_assert(tl.lt(tl.arange(0, 4), 4), "passes")
    tl.device_assert(tl.lt(tl.arange(0, 4), 3), "3 is not below 3")
  end, false)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), "3 is not below 3 [sip0.cube0.pe0, t=")
end

function TestLooking:test_has_values_of_a_tile_tells_whether_it_is_known()
  local known = on_device({ i32(2) }, function(x)
    return { tl.has_values(), tl.has_values(x), tl.has_values(tl.arange(0, 2)), tl.has_values(tl.arange(0, 2) + x) }
  end, false)
  lu.assertEquals(known, { false, false, true, false })
  known = on_device({ i32(2) }, function(x) return { tl.has_values(), tl.has_values(x) } end)
  lu.assertEquals(known, { true, true })
end

function TestLooking:test_device_print_without_numbers_shows_constants()
  local lines = printed(function()
    on_device({}, function() tl.device_print(tl.arange(0, 3)) end, false)
  end)
  lu.assertStrMatches(lines[1], "sip0%.cube0%.pe0 t=[%d.]+ ns: array%(%[0, 1, 2%], dtype=i32%)")
end

helper.main { TestShapes = TestShapes, TestLooking = TestLooking }
