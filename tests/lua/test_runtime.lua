-- Processes and launches: order, failures and what survives them, limits, places where nothing can wait,
-- coroutines of the program's own, and simulations that end early.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local core = require "kernbench.core"
local pending = require "kernbench.pending"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local simulate, watched = helper.simulate, helper.watched
local ALL = torch.DPPolicy {} -- a copy on every PE: 4 cubes of 4

local function caught(fn, ...)
  local ok, message = pcall(fn, ...)
  lu.assertFalse(ok, "nothing was raised")
  return message
end

-- The place of the next line in the test file: "test_runtime.lua:123".
local function here()
  return "test_runtime.lua:" .. debug.getinfo(2, "l").currentline
end

local TestLaunches = {}

function TestLaunches:test_a_launch_does_not_wait_until_somebody_asks()
  simulate(function()
    local t, ran = torch.zeros { 4 }, false
    local launch = torch.launch("later", function() ran = true end, t)
    lu.assertFalse(ran)
    lu.assertFalse(launch:done())
    launch:wait()
    lu.assertTrue(ran)
    lu.assertTrue(launch:done())
    launch:wait() -- nothing to wait for
  end)
end

function TestLaunches:test_launches_of_one_sip_follow_each_other_and_those_of_two_overlap()
  local _, launches = simulate(function()
    local here_ = torch.zeros { 1 << 16 }
    torch.ahbm.set_device(1)
    local there = torch.zeros { 1 << 16 }
    for _, t in ipairs { here_, there, here_ } do torch.launch("load", function(p) tl.load(p) end, t) end
    torch.accelerator.synchronize()
  end)
  local first, other, second = table.unpack(launches)
  lu.assertEquals({ first.sip, other.sip, second.sip }, { 0, 1, 0 })
  lu.assertTrue(other.start_ns < first.end_ns and first.start_ns < other.end_ns)
  lu.assertTrue(second.start_ns >= first.end_ns)
end

function TestLaunches:test_arguments_arrive_as_they_are()
  simulate(function()
    local t, array = torch.zeros { 4 }, {}
    local seen
    torch.launch("args", function(...) seen = table.pack(...) end, nil, t, "s", 2.5, array, true, nil)
    torch.accelerator.synchronize()
    lu.assertEquals(seen.n, 7)
    lu.assertEquals({ seen[3], seen[4], seen[6] }, { "s", 2.5, true })
    lu.assertIs(seen[5], array)
    local many = {}
    for i = 1, 240 do many[i] = i end
    torch.launch("many", function(...) seen = table.pack(...) end, t, table.unpack(many))
    torch.accelerator.synchronize()
    lu.assertEquals(seen.n, 241)
    lu.assertEquals(seen[241], 240)
  end)
end

function TestLaunches:test_a_launch_on_some_pes_runs_on_these_only()
  simulate(function()
    local t = torch.zeros({ 8 }, { dp = torch.DPPolicy { num_cubes = 2, num_pes = 3 } })
    local ran = 0
    torch.launch("some", function() ran = ran + 1 end, t)
    torch.accelerator.synchronize()
    lu.assertEquals(ran, 2 * 3)
  end)
end

function TestLaunches:test_pending_ones_are_listed_in_order_whatever_is_taken_out()
  local launches = pending.new()
  local a, b, c, d = { "a" }, { "b" }, { "c" }, { "d" }
  for _, launch in ipairs { a, b, c } do launches:add(launch) end
  launches:remove(b)
  launches:remove(b) -- it is not there any more
  launches:remove(d)
  lu.assertEquals(launches:list(), { a, c })
  lu.assertIs(launches:oldest(), a)
  launches:remove(a)
  lu.assertIs(launches:oldest(), c)
  launches:add(d)
  launches:remove(c)
  lu.assertEquals(launches:list(), { d })
  launches:remove(d)
  lu.assertNil(launches:oldest())
  launches:add(a)
  lu.assertIs(launches:oldest(), a)
end

function TestLaunches:test_the_barrier_waits_for_those_that_nobody_has_waited_for()
  simulate(function()
    local t, list = torch.zeros { 4 }, {}
    for i = 1, 4 do list[i] = torch.launch("some", function(p) tl.load(p) end, t) end
    list[2]:wait()
    lu.assertEquals(runtime.launches:list(), { list[1], list[3], list[4] })
    torch.accelerator.synchronize()
    lu.assertTrue(list[4]:done())
    lu.assertEquals(runtime.launches:list(), {})
  end)
end

local TestFailures = {}

function TestFailures:test_the_message_names_kernel_line_pe_and_time()
  simulate(function()
    local t, line, time = torch.zeros({ 64 }, { dp = ALL }), nil, nil
    torch.launch("picky", watched(function(p)
      tl.load(p)
      if tl.program_id(0) == 2 and tl.program_id(1) == 3 then
        time = tl.now()
        line = here() error("not me")
      end
      tl.load(p)
    end), t)
    local message = caught(t.numpy, t)
    lu.assertStrContains(message, "kernel 'picky' failed\n")
    lu.assertStrContains(message, ("%s: not me [sip0.cube3.pe2, t=%.3f ns]"):format(line, time))
  end)
end

function TestFailures:test_siblings_are_stopped_where_they_wait_and_run_their_close_handlers()
  simulate(function()
    local t, begun, finished, closed = torch.zeros({ 64 }, { dp = ALL }), 0, 0, 0
    torch.launch("stop", watched(function(p)
      local guard <close> = setmetatable({}, { __close = function() closed = closed + 1 end })
      begun = begun + 1
      if tl.program_id(0) == 0 and tl.program_id(1) == 0 then error("stop all") end
      tl.load(p)
      finished = finished + 1
      return guard
    end), t)
    lu.assertStrContains(caught(torch.accelerator.synchronize), "stop all")
    lu.assertEquals(begun, closed)
    lu.assertEquals(finished, 0)
  end)
end

function TestFailures:test_a_failure_leaves_the_next_launch_its_pes_and_their_tcm()
  simulate(function()
    local a = torch.ones({ 64, 512 }, { dtype = "f16", dp = ALL })
    local b = torch.ones({ 512, 64 }, { dtype = "f16", dp = ALL })
    local out = torch.zeros({ 64, 64 }, { dtype = "f16", dp = ALL })
    for round = 1, 3 do
      torch.launch("bad", watched(function(p, q, r)
        local kept = { tl.load(p), tl.load(q) }
        local handle = tl.composite { op = "gemm", a = p, b = q, out = r }
        tl.load_async(p)
        if tl.program_id(0) == round then error("round " .. round) end
        tl.wait(handle)
        return kept
      end), a, b, out)
      lu.assertStrContains(caught(out.numpy, out), "round " .. round)
    end
    torch.launch("good", watched(function(p, q, r)
      tl.wait(tl.composite { op = "gemm", a = p, b = q, out = r })
    end), a, b, out)
    lu.assertEquals(out:numpy():min(), 512)
    lu.assertEquals(out:numpy():max(), 512)
  end)
end

function TestFailures:test_a_failure_is_raised_once_and_later_launches_are_still_waited_for()
  simulate(function()
    local t = torch.zeros { 64 }
    torch.launch("bad", function() error("first") end, t)
    torch.launch("slow", function(p)
      for _ = 1, 20 do tl.load(p) end
      tl.store(p, tl.load(p) + 1)
    end, t)
    torch.launch("worse", function() error("third") end, t)
    torch.launch("last", function(p) tl.store(p, tl.load(p) * 10) end, t)
    lu.assertStrContains(caught(t.numpy, t), "first")
    lu.assertStrContains(caught(t.numpy, t), "third")
    lu.assertEquals(t:numpy()[{ 0 }], 10)
  end)
end

function TestFailures:test_waiting_for_a_launch_itself_raises_its_failure()
  simulate(function()
    local t = torch.zeros { 4 }
    local launch = torch.launch("bad", function() error("mine") end, t)
    lu.assertStrContains(caught(launch.wait, launch), "mine")
    lu.assertStrContains(caught(launch.wait, launch), "mine")
    lu.assertEquals(t:numpy()[{ 0 }], 0) -- which has been told
  end)
end

function TestFailures:test_a_failure_that_nobody_waits_for_is_in_the_records()
  local outcome, _, launches = helper.run(function()
    local bad = torch.launch("bad", function() error("unheard") end, torch.zeros { 4 })
    local t = torch.zeros { 4 }
    torch.launch("caught", function() error("heard") end, t)
    runtime.forget(bad) -- nothing waits for it
    pcall(t.numpy, t)
  end)
  lu.assertEquals(outcome.status, "ok")
  lu.assertTrue(launches[1].failed and not launches[1].reported)
  lu.assertStrContains(launches[1].errors, "unheard")
  lu.assertTrue(launches[2].failed and launches[2].reported)
end

function TestFailures:test_whatever_is_raised_has_a_text()
  simulate(function()
    local t = torch.zeros { 4 }
    local function text_of(value)
      torch.launch("raise", watched(function() error(value, 0) end), t)
      return caught(t.numpy, t)
    end
    lu.assertStrContains(text_of("words"), "failed\nwords [sip0.cube0.pe0")
    lu.assertStrContains(text_of(42), "failed\n42 [sip0")
    lu.assertStrContains(text_of({}), "(the error is an object of type table) [sip0")
    lu.assertStrContains(text_of(nil), "(the error is an object of type nil) [sip0")
    lu.assertStrContains(text_of(setmetatable({}, { __tostring = function() return "an object" end })),
      "failed\nan object [sip0")
    lu.assertStrContains(text_of(setmetatable({}, { __tostring = function() error "in vain" end })),
      "(the error is an object whose __tostring fails) [sip0")
  end)
end

function TestFailures:test_errors_in_close_handlers_do_no_harm()
  simulate(function()
    local t = torch.zeros({ 64 }, { dp = ALL })
    torch.launch("close", watched(function(p)
      local guard <close> = setmetatable({}, { __close = function()
        tl.load(p) -- which cannot wait while the kernel is being stopped
      end })
      tl.load(p)
      if tl.program_id(0) == 1 then error("reason") end
      tl.load(p)
      return guard
    end), t)
    lu.assertStrContains(caught(t.numpy, t), "reason")
    torch.launch("good", function(p) tl.store(p, tl.load(p) + 1) end, t)
    lu.assertEquals(t:numpy()[{ 63 }], 1)
  end)
end

function TestFailures:test_a_bench_that_fails_while_its_kernels_run_ends_cleanly()
  local message = helper.fails(function()
    local t = torch.zeros({ 1 << 14 }, { dp = ALL })
    torch.launch("long", watched(function(p) for _ = 1, 5 do tl.load(p) end end), t)
    error("bench")
  end)
  lu.assertStrContains(message, "bench [the bench, t=")
end

function TestFailures:test_endless_recursion_is_an_error_like_others()
  simulate(function()
    local t = torch.zeros { 4 }
    torch.launch("deep", watched(function()
      local function down() return 1 + down() end
      return down()
    end), t)
    lu.assertStrContains(caught(t.numpy, t), "stack overflow")
    lu.assertEquals(t:numpy()[{ 0 }], 0)
  end)
end

-- Places where Lua does not let a call wait: each must say so, and neither return early nor hang.
local TestPlaces = {}

local PLACES = {
  function(call) table.sort({ 3, 1, 2 }, function(a, b) call() return a < b end) end,
  function(call) string.gsub("ab", ".", function() call() end) end,
  function(call) return ("%s"):format(setmetatable({}, { __tostring = function() call() return "" end })) end,
  function(call) load(function() call() end) end,
}

function TestPlaces:test_kernels_are_told_where_they_cannot_wait()
  simulate(function()
    local t = torch.zeros { 64 }
    for name, call in pairs {
      ["tl.load"] = function(p) tl.load(p) end,
      ["tl.load_async"] = function(p) tl.load_async(p) end,
      ["tl.composite"] = function(p) tl.composite { op = "gemm", a = p, b = p, out = p } end,
      ["tl.wait"] = function(_, handle) tl.wait(handle) end,
    } do
      for _, place in ipairs(PLACES) do
        local message
        torch.launch("k", function(p)
          local handle = tl.load_async(p)
          message = select(2, pcall(place, function() call(p, handle) end))
          tl.wait(handle)
        end, t)
        torch.accelerator.synchronize()
        if message then -- load hands its reader's error on as a result
          lu.assertStrContains(tostring(message), name .. " has to wait, and cannot do so here")
        end
      end
    end
  end)
end

function TestPlaces:test_host_programs_are_told_where_they_cannot_wait()
  simulate(function()
    local t = torch.zeros { 64 }
    for i = 1, 3 do
      lu.assertStrContains(caught(PLACES[i], function() t:numpy() end), "Tensor:numpy has to wait")
      lu.assertStrContains(caught(PLACES[i], function() torch.zeros { 4 } end), "torch.zeros has to wait")
    end
  end)
end

function TestPlaces:test_waiting_crosses_protected_calls_metamethods_and_iterators()
  simulate(function()
    local t = torch.ones { 4 }
    torch.launch("k", function(p)
      lu.assertTrue(pcall(tl.load, p))
      lu.assertTrue(xpcall(tl.load, debug.traceback, p))
      local lazy = setmetatable({}, { __index = function() return tl.load(p) end,
        __add = function() return tl.load(p) end, __call = function() return tl.load(p) end })
      lu.assertEquals({ lazy.x.shape, (lazy + 1).shape, lazy().shape }, { { 4 }, { 4 }, { 4 } })
      local n = 0
      for tile in function() n = n + 1 return n < 4 and tl.load(p) or nil end do lu.assertEquals(tile.shape, { 4 }) end
      do
        local guard <close> = setmetatable({}, { __close = function() tl.load(p) n = -1 end })
        lu.assertNotNil(guard)
      end
      lu.assertEquals(n, -1)
    end, t)
    torch.accelerator.synchronize()
  end)
end

function TestPlaces:test_coroutines_of_the_program_s_own_work_but_cannot_wait()
  simulate(function()
    local t = torch.zeros { 64 }
    torch.launch("k", function(p)
      local numbers = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
      lu.assertEquals({ numbers(), numbers(), numbers() }, { 1, 2, 3 })
      lu.assertStrContains(caught(coroutine.wrap(function() tl.load(p) end)),
        "tl.load has to wait, and cannot do so inside a coroutine")
      local co = coroutine.create(function() tl.load(p) end)
      local ok, message = coroutine.resume(co)
      lu.assertFalse(ok)
      lu.assertStrContains(message, "cannot do so inside a coroutine")
      -- where it does not have to wait, the kernel's calls know who calls
      lu.assertEquals(coroutine.wrap(function() return tl.program_id(0) end)(), 0)
      tl.load(p)
    end, t)
    torch.accelerator.synchronize()
  end)
end

function TestPlaces:test_a_yield_to_nobody_is_an_error()
  simulate(function()
    local t = torch.zeros { 64 }
    torch.launch("k", watched(function(p) tl.load(p) coroutine.yield(1, 2, 3) end), t)
    lu.assertStrContains(caught(t.numpy, t), "coroutine.yield was called outside of any coroutine")
  end)
  lu.assertStrContains(helper.fails(function() coroutine.yield() end), "coroutine.yield was called outside")
end

function TestPlaces:test_finalizers_cannot_wait()
  simulate(function()
    local t, message = torch.zeros { 64 }, nil
    torch.launch("k", function(p)
      setmetatable({}, { __gc = function() message = select(2, pcall(tl.load, p)) end })
      collectgarbage()
      tl.load(p)
    end, t)
    torch.accelerator.synchronize()
    lu.assertStrContains(message, "has to wait, and cannot do so here") -- a collection may begin anywhere
  end)
end

function TestPlaces:test_outside_of_any_process()
  lu.assertErrorMsgContains("tl.load: called outside of a kernel", tl.load, 1)
  lu.assertErrorMsgContains("tl.now: called outside of a kernel", tl.now)
  simulate(function()
    torch.zeros { 4 }
    lu.assertErrorMsgContains("tl.load: called outside of a kernel", tl.load, 1)
  end)
end

local TestEnds = {}

function TestEnds:test_a_limit_of_events_or_time_ends_the_run()
  for _, limit in ipairs { { max_events = 300 }, { max_ns = 400 } } do
    local outcome, stats = helper.run(function()
      local t = torch.zeros({ 64, 64 }, { dp = ALL })
      torch.launch("endless", function(p) while true do tl.load(p) end end, t)
      torch.accelerator.synchronize()
    end, limit)
    lu.assertEquals(outcome.status, "limit")
    lu.assertTrue(stats.sim_ns <= (limit.max_ns or math.huge))
    lu.assertTrue(stats.events <= (limit.max_events or math.huge))
    lu.assertEquals(stats.audit.violations, {}) -- work under way is no violation
  end
end

function TestEnds:test_a_run_that_reached_its_limit_can_go_on()
  local engine = assert(runtime.open { topology = helper.topology("small") })
  local ended = 0
  local first = engine:run(function()
    torch.zeros({ 64 }, { dp = ALL })
    ended = ended + 1
  end, nil, 20)
  lu.assertEquals(first.status, "limit")
  lu.assertEquals(ended, 0)
  local second = engine:run(function() torch.zeros { 4 } ended = ended + 1 end)
  lu.assertEquals(second.status, "ok")
  lu.assertEquals(ended, 2)
  runtime.close()
end

function TestEnds:test_several_benches_may_follow_each_other_in_one_simulation()
  local engine = assert(runtime.open { topology = helper.topology("small") })
  local t
  lu.assertEquals(engine:run(function() t = torch.ones { 4 } end).status, "ok")
  local between = engine:now_ns()
  lu.assertEquals(engine:run(function() error("no") end).status, "error")
  local outcome = engine:run(function() lu.assertEquals(t:numpy():sum(), 4) end)
  lu.assertEquals(outcome.status, "ok")
  lu.assertNil(outcome.error)
  lu.assertTrue(engine:now_ns() > between)
  runtime.close()
  lu.assertStrContains(tostring(t), "tensor")
end

function TestEnds:test_an_engine_neither_runs_twice_nor_closes_while_it_runs()
  simulate(function()
    lu.assertErrorMsgContains("the engine runs already", runtime.engine.run, runtime.engine, print)
    lu.assertErrorMsgContains("cannot be closed while it runs", runtime.close)
    torch.zeros { 4 }
  end)
end

function TestEnds:test_what_outlives_its_simulation_says_so()
  local tensor, launch, engine, pointer, handle, tile
  simulate(function()
    engine, tensor = runtime.engine, torch.zeros { 4 }
    launch = torch.launch("k", function(p) pointer, handle, tile = p, tl.load_async(p), tl.load(p) end, tensor)
    torch.accelerator.synchronize()
    lu.assertEquals(tostring(handle), "<tl.load, complete>")
  end)
  lu.assertErrorMsgContains("the engine is closed", engine.stats, engine)
  lu.assertErrorMsgContains("the engine is closed", launch.wait, launch)
  lu.assertErrorMsgContains("has been freed", tensor.numpy, tensor)
  lu.assertEquals(tostring(pointer), "<pointer to a freed tensor>")
  lu.assertErrorMsgContains("has been freed", function() return pointer + 1 end)
  lu.assertEquals(tostring(handle), "<an operation that is no longer known>")
  lu.assertEquals(tile.shape, { 4 })
  collectgarbage()
  lu.assertErrorMsgContains("the engine is closed", launch.wait, launch)
  lu.assertStrContains(tostring(handle), "no longer known")
end

function TestEnds:test_simulations_dropped_in_the_middle_are_collected_whole()
  for _ = 1, 5 do
    local engine = assert(runtime.open { topology = helper.topology("small") })
    engine:run(watched(function()
      local t = torch.zeros({ 1 << 12 }, { dp = ALL })
      torch.launch("k", watched(function(p) tl.wait(tl.load_async(p), tl.load_async(p)) end), t)
      torch.accelerator.synchronize()
    end), nil, 3000)
    runtime.engine, runtime.machine, runtime.launches = nil, nil, pending.new() -- without closing it
    collectgarbage()
  end
  helper.run(function() torch.zeros { 4 } end) -- checks that no coroutine is left
end

function TestEnds:test_two_simulations_in_one_program_do_not_meet()
  local first = assert(core.open { topology = helper.topology("small") })
  local second = assert(core.open { topology = helper.topology("one_pe") })
  lu.assertEquals(first:machine().pes, 4)
  lu.assertEquals(second:machine().pes, 1)
  lu.assertEquals(first:run(function() first:sleep(5) end).status, "ok")
  lu.assertEquals({ first:now_ns(), second:now_ns() }, { 5, 0 })
  first:close()
  first:close()
  second:close()
end

function TestEnds:test_a_topology_that_cannot_be_read_is_no_engine()
  local engine, message = runtime.open { topology = "/nonexistent.yaml" }
  lu.assertNil(engine)
  lu.assertStrContains(message, "/nonexistent.yaml: cannot open")
  engine, message = runtime.open { topology = helper.topology("small"), sets = { "cube.nok.rows=4" } }
  lu.assertNil(engine)
  lu.assertStrContains(message, "did you mean \"noc\"")
  lu.assertNil(runtime.engine)
end

function TestEnds:test_equal_runs_take_equal_steps()
  local function once()
    local stats, launches = simulate(function()
      local dp = torch.DPPolicy { cube = "row_wise", pe = "column_wise" }
      local t = torch.randn({ 64, 64 }, { dtype = "f16", dp = dp })
      torch.launch("k", function(p) tl.store(p, tl.exp(tl.load(p))) end, t)
      torch.accelerator.synchronize()
    end)
    return { stats.sim_ns, stats.events, stats.flit_hops, stats.bytes, launches[1].end_ns }
  end
  lu.assertEquals(once(), once())
end

helper.main { TestLaunches = TestLaunches, TestFailures = TestFailures, TestPlaces = TestPlaces,
  TestEnds = TestEnds }
