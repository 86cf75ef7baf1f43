-- Loads and stores of blocks with strides.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local tiles = require "tests.lua.tiles"

local same, i32, with_pointer
  = tiles.same, tiles.i32, tiles.with_pointer

-- ---- blocks in memory ----

local TestBlocks = {}

function TestBlocks:test_loads_take_strides()
  local a = np.arange(60, "i32"):reshape { 3, 4, 5 }
  local got = with_pointer(a, function(p)
    return { column = tl.load { p + 2, { 12 }, stride = { 5 } }, part = tl.load(p + 5, { 3, 1, 5 }),
      rows = tl.load { p, { 3, 5 }, stride = { 20, 1 } }, every = tl.load { p, shape = { 2, 2 }, stride = { 10, 5 } },
      again = tl.load { p, { 3, 5 }, stride = { 1, 1 } } }
  end)
  lu.assertEquals(got.column:tolist(), { 2, 7, 12, 17, 22, 27, 32, 37, 42, 47, 52, 57 })
  same(got.part, a[{ {}, { 1, 2 }, {} }], "one row of each plane")
  same(got.rows, a[{ {}, 0, {} }], "the first rows")
  lu.assertEquals(got.every:tolist(), { { 0, 5 }, { 10, 15 } })
  lu.assertEquals(got.again:tolist(), { { 0, 1, 2, 3, 4 }, { 1, 2, 3, 4, 5 }, { 2, 3, 4, 5, 6 } })
end

function TestBlocks:test_rows_need_not_be_equally_far_apart()
  local a = np.arange(60, "i32"):reshape { 3, 4, 5 }
  local got, after = with_pointer(a, function(p)
    local corner = tl.load { p, { 2, 2, 2 }, stride = { 20, 5, 1 } }
    tl.store { p + 47, corner, stride = { 7, 2, 1 } }
    return corner
  end)
  same(got, a[{ { 0, 2 }, { 0, 2 }, { 0, 2 } }], "a corner")
  local expected = a:flatten()
  for i, at in ipairs { 47, 48, 49, 50, 54, 55, 56, 57 } do expected[at] = got:flatten()[i - 1] end
  same(after, expected:reshape { 3, 4, 5 }, "the corner elsewhere")
end

function TestBlocks:test_stores_take_strides()
  local _, after = with_pointer(np.zeros({ 3, 4 }, "i32"), function(p)
    tl.store { p + 1, tl.arange(1, 4), stride = { 4 } }
  end)
  lu.assertEquals(after:tolist(), { { 0, 1, 0, 0 }, { 0, 2, 0, 0 }, { 0, 3, 0, 0 } })
end

function TestBlocks:test_strides_that_lead_outside_or_make_no_sense_are_refused()
  local function refused(pattern, fn)
    with_pointer(i32(3, 4), function(p)
      local ok, message = pcall(fn, p)
      lu.assertFalse(ok)
      lu.assertStrContains(tostring(message), pattern)
    end)
  end
  refused("reaches to element 13, outside of tensor", function(p) tl.load { p, { 4 }, stride = { 4 } } end)
  refused("stride: expected 1 strides in a table", function(p) tl.load { p, { 4 }, stride = { 4, 1 } } end)
  refused("stride 0 is 0; expected an integer from 1", function(p) tl.load { p, { 4 }, stride = { 0 } } end)
  refused("are not equally far apart", function(p) tl.ref { p, { 2, 2, 2 }, stride = { 5, 2, 1 } } end)
  refused("lane (1, 1, 1) leads to element 12, outside of tensor", function(p)
    tl.load { p, { 2, 2, 2 }, stride = { 9, 2, 1 } }
  end)
  refused("the elements of a row are 2 apart; a product takes them adjacent", function(p)
    tl.composite { op = "gemm", a = tl.ref { p, { 2, 2 }, stride = { 4, 2 } }, b = tl.load(p), out = p }
  end)
end

helper.main { TestBlocks = TestBlocks }
