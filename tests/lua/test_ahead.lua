-- A kernel that does not wait for its commands runs ahead of the simulation's clock, by as long as pe_cpu takes to
-- issue them. Nothing that it can see differs from waiting for each of them to be issued.
local helper = require "tests.lua.helper"
local lu = require "luaunit"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local ISSUE_NS = 1000 -- of pe_cpu, so that few commands lead far ahead
local SETS = { "pe.pe_cpu.overhead_ns=" .. ISSUE_NS, "pe.pe_tcm.size_mb=1", "pe.pe_tcm.reserved_mb=0" }

local N = 1 << 17 -- elements of f32: half of TCM

-- A bench that runs the kernel on one PE, with a pointer to N elements.
local function on_one_pe(kernel)
  return function()
    local x = torch.zeros(N, { dtype = "f32", dp = torch.DPPolicy { num_cubes = 1, num_pes = 1 } })
    torch.launch("k", kernel, x):wait()
  end
end

local function simulate(kernel)
  helper.simulate(on_one_pe(kernel), { sets = SETS })
end

local TestTime = {}

function TestTime:test_the_kernel_is_where_it_has_issued_its_commands()
  simulate(function(x)
    local from = tl.now()
    local handles = {}
    for i = 1, 100 do
      handles[i] = tl.load_async(x, { 1 })
      lu.assertAlmostEquals(tl.now() - from, i * ISSUE_NS, 1e-6)
    end
    tl.wait(table.unpack(handles))
    lu.assertTrue(tl.now() - from > 100 * ISSUE_NS)
    tl.wait(handles[1])
    local before = tl.now()
    tl.store_async(x, tl.wait(handles[1]))
    tl.wait(handles[2]) -- complete: no time passes
    lu.assertAlmostEquals(tl.now() - before, ISSUE_NS, 1e-6)
    lu.assertEquals(tl.cycles(), math.floor(tl.now()))
  end)
end

function TestTime:test_errors_say_when_the_kernel_was_there()
  local began
  local message = helper.fails(on_one_pe(function(x)
    began = tl.now()
    for _ = 1, 3 do tl.load_async(x, { 1 }) end
    error "stop"
  end), { sets = SETS })
  lu.assertStrContains(message, ("t=%.3f ns"):format(began + 3 * ISSUE_NS))
end

function TestTime:test_a_kernel_that_never_waits_ends_with_the_run()
  local outcome = helper.run(on_one_pe(function(x)
    while true do tl.load_async(x, { 1 }) end
  end), { max_ns = 1e5 })
  lu.assertEquals(outcome.status, "limit")
end

-- ---- room ----

local TestRoom = {}

-- Calls that need half of TCM, or what is left of the other half. tiles:
-- (368, 1), (1, 368), and, for some, 0, 1, ... in 300 KiB.
local calls = {
  load = function(x) return tl.load(x, { N }) end,
  load_async = function(x) return tl.wait(tl.load_async(x, { N })) end,
  lanes = function(x) return tl.load(x, { 2, 2, N // 4 }, nil, { N // 2 - 1, N // 4, 1 }) end,
  math = function() return tl.zeros { N } end,
  dot = function(_, tiles) return tl.dot(tiles[1], tiles[2]) end,
  copy = function(_, tiles) return tl.copy_to_dst(tiles[3]) end,
  atomic = function(x, tiles) return tl.atomic_add(x + tiles[3], 1.0) end,
}

-- The call `count` commands behind the store of half of TCM: when the store had completed, when the kernel was at the
-- call, and whether there was room; in ns since the store.
local function behind_a_store(name, count)
  local completed, called, ok, message
  simulate(function(x)
    local tiles = { tl.zeros { 368, 1 }, tl.zeros { 1, 368 } }
    if name == "copy" or name == "atomic" then tiles[3] = tl.arange(0, 75 << 10) end
    local half = { tl.load(x, { N }) }
    local from = tl.now()
    local store = tl.store_async(x, table.remove(half))
    collectgarbage()
    for _ = 2, count do tl.store_async(x, tiles[1]) end
    called = tl.now() - from
    ok, message = pcall(calls[name], x, tiles)
    tl.wait(store)
    completed = count == 1 and tl.now() - from
  end)
  if not ok then lu.assertStrContains(message, "out of TCM") end
  return called, ok, completed
end

-- The store needs between two and three times as long as a command takes to issue.
function TestRoom:test_is_found_as_soon_as_the_kernel_is_where_it_was_given_back()
  for name in pairs(calls) do
    local _, first, completed = behind_a_store(name, 1)
    lu.assertFalse(first, name)
    local enough = math.ceil(completed / ISSUE_NS)
    lu.assertTrue(enough > 1, name)
    for count, expected in pairs { [enough - 1] = false, [enough] = true, [enough + 3] = true } do
      local called, ok = behind_a_store(name, count)
      lu.assertAlmostEquals(called, count * ISSUE_NS, 1e-6)
      lu.assertEquals(ok, expected, ("%s, %d commands behind, store took %.3f ns"):format(name, count, completed))
    end
  end
end

helper.main { TestTime = TestTime, TestRoom = TestRoom }
