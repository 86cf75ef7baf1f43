-- Tiles and handles as objects of Lua: what waiting leaves behind, and what collecting them gives back.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local launch, simulate = helper.launch, helper.simulate
local ONE_PE = { topology = "one_pe" }

local TestHandles = {}

function TestHandles:test_an_operation_without_a_result_is_complete_when_nobody_waits_for_it()
  simulate(function()
    local t = torch.zeros({ 4096 }, { dtype = "u8" })
    launch(function(p)
      local stored = tl.store_async(p, tl.zeros({ 64 }, "u8"))
      lu.assertEquals(tostring(stored), "<tl.store, under way>")
      tl.load(p, { 4096 }) -- longer than the store
      collectgarbage()
      lu.assertEquals(tostring(stored), "<tl.store, complete>")
      lu.assertNil(tl.wait(stored))
      lu.assertNil(tl.wait(stored, stored))
    end, t)
  end, ONE_PE)
end

function TestHandles:test_a_handle_yields_its_tile_as_often_as_it_is_waited_for()
  simulate(function()
    local t = torch.from_numpy(np.arange(0, 8, 1, "i32"))
    launch(function(p)
      local handle = tl.load_async(p)
      local again = select(2, tl.wait(handle, handle))
      collectgarbage()
      for _, tile in ipairs { again, tl.wait(handle) } do lu.assertEquals(tile:item(5), 5) end
      lu.assertEquals(tostring(handle), "<tl.load, complete>")
    end, t)
  end, ONE_PE)
end

function TestHandles:test_a_handle_of_a_simulation_that_has_ended_is_refused()
  local handle, message
  simulate(function()
    launch(function(p) handle = tl.load_async(p) end, torch.zeros { 4 })
  end, ONE_PE)
  simulate(function()
    launch(function() message = select(2, pcall(tl.wait, handle)) end, torch.zeros { 4 })
  end, ONE_PE)
  lu.assertStrContains(message, "tl.wait: argument 1 is an operation of a simulation that has ended")
end

local TestMemory = {}

-- A PE has 12 MiB of TCM for tiles: one of 7 MiB fits when the one before has given back its room.
function TestMemory:test_one_collection_gives_back_the_room_of_what_nobody_can_reach()
  simulate(function()
    local t = torch.empty({ 7 << 20 }, { dtype = "u8" })
    launch(function(p)
      for _ = 1, 2 do
        tl.wait(tl.load_async(p))
        tl.load(p)
        tl.load_async(p)
        tl.load(p, { 64 }) -- behind it
      end
    end, t)
  end, ONE_PE)
end

-- What else Lua makes may be as large as they are: strings, closures, tables.
function TestMemory:test_objects_of_every_size_live_beside_tiles()
  simulate(function()
    local t = torch.from_numpy(np.arange(0, 8, 1, "i32"))
    launch(function(p)
      local kept = {}
      for size = 1, 200 do
        local a, b, c, d, e, f = size, size + 1, size + 2, size + 3, size + 4, size + 5
        local text = ("x"):rep(size)
        local entry = { text = text, tile = tl.load(p), handle = tl.load_async(p),
          closures = { function() return a + b + c end, function() return a + b + c + d end,
            function() return a + b + c + d + e end, function() return a + b + c + d + e + f end } }
        if size % 3 == 0 then kept[#kept + 1] = entry end
        if size % 50 == 0 then collectgarbage() end
      end
      for i, entry in ipairs(kept) do
        local size = 3 * i
        lu.assertEquals(entry.text, ("x"):rep(size))
        lu.assertEquals(entry.tile:item(7), 7)
        lu.assertEquals(tl.wait(entry.handle):item(6), 6)
        lu.assertEquals(entry.closures[3](), 5 * size + 10)
        lu.assertEquals(entry.closures[4](), 6 * size + 15)
      end
    end, t)
  end, ONE_PE)
end

helper.main { TestHandles = TestHandles, TestMemory = TestMemory }
