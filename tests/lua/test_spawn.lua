-- Rank workers: what each has of its own, that waiting in one lets the others go on, failures and what
-- is left after them, and the ways a spawn may be asked for.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local simulate, watched = helper.simulate, helper.watched

local function spawn(n, fn, ...)
  torch.multiprocessing.spawn(watched(fn), { args = table.pack(...), nprocs = n })
end

-- The message of a spawn that must fail.
local function spawn_fails(n, fn, ...)
  local ok, message = pcall(spawn, n, fn, ...)
  lu.assertFalse(ok, "no worker failed")
  return message
end

local function sleep(ns)
  runtime.engine:sleep(ns)
end

local function now()
  return runtime.engine:now_ns()
end

-- The simulation works: workers, launches, numbers.
local function assert_usable()
  spawn(2, function(rank)
    torch.ahbm.set_device(rank)
    local t = torch.full({ 8 }, rank)
    torch.launch("k", function(p) tl.store(p, tl.load(p) + 1) end, t)
    lu.assertEquals(t:numpy():tolist()[1], rank + 1)
  end)
end

-- How many "-- Process" lines, and which ranks they name.
local function processes_of(message)
  local ranks = {}
  for rank in message:gmatch "%-%- Process (%d+) terminated with the following error:\n" do
    ranks[#ranks + 1] = tonumber(rank)
  end
  return ranks
end

local TestSpawn = {}

function TestSpawn:test_every_worker_gets_its_rank_and_the_arguments()
  simulate(function()
    local seen = {}
    spawn(3, function(rank, ...) seen[#seen + 1] = { rank, select("#", ...), ... } end, "a", nil, 2.5)
    lu.assertEquals(seen, { { 0, 3, "a", nil, 2.5 }, { 1, 3, "a", nil, 2.5 }, { 2, 3, "a", nil, 2.5 } })
    torch.zeros { 4 }
  end)
end

function TestSpawn:test_waiting_in_one_worker_lets_the_others_go_on()
  simulate(function()
    local began, order = now(), {}
    spawn(4, function(rank)
      sleep(40 - 10 * rank)
      order[#order + 1] = { rank, now() - began }
    end)
    lu.assertEquals(order, { { 3, 10 }, { 2, 20 }, { 1, 30 }, { 0, 40 } })
    lu.assertEquals(now() - began, 40) -- side by side, not 100 one after the other
  end)
end

function TestSpawn:test_workers_due_at_one_time_run_in_the_order_of_their_ranks()
  simulate(function()
    local order = {}
    spawn(3, function(rank)
      for _ = 1, 2 do
        order[#order + 1] = rank
        sleep(5)
      end
    end)
    lu.assertEquals(order, { 0, 1, 2, 0, 1, 2 })
  end)
end

function TestSpawn:test_device_and_random_numbers_belong_to_the_worker()
  simulate(function()
    local first = {}
    spawn(2, function(rank)
      lu.assertEquals(torch.ahbm.current_device(), 0) -- as the bench's
      torch.ahbm.set_device(rank)
      first[rank] = torch.rand({ 4 }):numpy():tolist()
      sleep(10)
      lu.assertEquals(torch.accelerator.current_device_index(), rank)
      lu.assertEquals(torch.zeros({ 4 }).sip, rank)
      torch.manual_seed(5)
      first[rank + 2] = torch.rand({ 4 }):numpy():tolist()
    end)
    lu.assertEquals(torch.ahbm.current_device(), 0)
    lu.assertNotEquals(first[0], first[1])
    lu.assertEquals(first[2], first[3]) -- the same seed
    lu.assertEquals(torch.rand({ 4 }):numpy():tolist(), first[0]) -- rank 0 has the bench's seed
  end)
end

function TestSpawn:test_a_read_waits_for_the_launches_of_its_worker_only()
  local read
  local _, launches = simulate(function()
    spawn(2, function(rank)
      torch.ahbm.set_device(rank)
      local t = torch.zeros { 1 << 10 }
      torch.launch("k" .. rank, function(p)
        for _ = 1, rank == 1 and 100 or 1 do tl.store(p, tl.load(p) + 1) end
      end, t)
      lu.assertEquals(t:numpy():sum(), (rank == 1 and 100 or 1) << 10)
      if rank == 0 then
        read = now()
      end
    end)
  end)
  lu.assertEquals({ launches[1].name, launches[2].name }, { "k0", "k1" })
  lu.assertTrue(read < launches[2].end_ns)
end

function TestSpawn:test_what_the_bench_has_launched_is_complete_when_workers_begin()
  simulate(function()
    local t = torch.zeros { 64 }
    local launch = torch.launch("k", function(p) tl.store(p, tl.load(p) + 1) end, t)
    lu.assertFalse(launch:done())
    spawn(1, function()
      lu.assertTrue(launch:done())
      lu.assertEquals(t:numpy():sum(), 64)
    end)
  end)
end

function TestSpawn:test_a_worker_ends_when_its_launches_have()
  simulate(function()
    local launch
    spawn(2, function(rank)
      local t = torch.zeros { 64 }
      if rank == 1 then
        launch = torch.launch("k", function(p) tl.load(p) end, t)
      end
    end)
    lu.assertTrue(launch:done())
  end)
end

function TestSpawn:test_coroutines_of_a_worker_know_whose_they_are()
  simulate(function()
    spawn(2, function(rank)
      torch.ahbm.set_device(rank)
      local devices = coroutine.wrap(function()
        for _ = 1, 2 do coroutine.yield(torch.ahbm.current_device()) end
      end)
      lu.assertEquals(devices(), rank)
      sleep(1)
      lu.assertEquals(devices(), rank)
      local ok, message = pcall(coroutine.wrap(function() torch.zeros { 4 } end))
      lu.assertFalse(ok)
      lu.assertStrContains(message, "cannot do so inside a coroutine")
    end)
  end)
end

function TestSpawn:test_a_spawn_that_is_not_joined_runs_beside_the_bench()
  simulate(function()
    local began, ended = now(), nil
    local context = torch.multiprocessing.spawn(function()
      sleep(50)
      ended = now() - began
    end, { nprocs = 2, join = false })
    lu.assertNil(ended)
    sleep(10)
    lu.assertTrue(context:join())
    lu.assertEquals(ended, 50)
    lu.assertTrue(context:join()) -- nothing to wait for
  end)
end

function TestSpawn:test_what_is_asked_for_wrongly_is_refused()
  simulate(function()
    local mp = torch.multiprocessing
    local function refuses(expected, ...)
      lu.assertErrorMsgContains("torch.multiprocessing.spawn: " .. expected, mp.spawn, ...)
    end
    refuses("expected a function", 4)
    refuses("expected a function and a table such as", print, 4)
    refuses("unknown option 'nproc'; it takes args, nprocs, join", print, { nproc = 2 })
    refuses("nprocs is a string, expected a number", print, { nprocs = "2" })
    refuses("nprocs is 0, expected an integer from 1", print, { nprocs = 0 })
    refuses("nprocs is 1.5, expected an integer from 1", print, { nprocs = 1.5 })
    refuses("args is a number, expected a table", print, { args = 1 })
    lu.assertStrContains(spawn_fails(2, function() spawn(2, print) end),
      "called inside a worker (rank 1); workers cannot spawn others")
    local t, message = torch.zeros { 4 }, nil
    torch.launch("k", function() message = select(2, pcall(mp.spawn, print)) end, t)
    torch.accelerator.synchronize()
    lu.assertStrContains(message, "called inside a kernel")
  end)
  lu.assertErrorMsgContains("no simulation is open", torch.multiprocessing.spawn, print)
end

function TestSpawn:test_a_thousand_workers()
  simulate(function()
    local sum = 0
    spawn(1024, function(rank)
      sleep(1)
      sum = sum + rank
    end)
    lu.assertEquals(sum, 1023 * 1024 // 2)
  end)
end

local TestFailures = {}

function TestFailures:test_a_failure_is_told_in_pytorch_s_form_with_rank_time_and_lines()
  simulate(function()
    sleep(12.5)
    local message = spawn_fails(4, function(rank)
      if rank == 3 then
        error "out of luck"
      end
      sleep(1000)
    end)
    local file, line = message:match "^%-%- Process 3 terminated with the following error:\n([^\n]-):(%d+): "
    lu.assertStrContains(file, "test_spawn.lua")
    lu.assertStrContains(message, ":" .. line .. ": out of luck [rank 3, t=12.500 ns]\nstack traceback:\n")
    lu.assertEquals(processes_of(message), { 3 })
    assert_usable()
  end)
end

function TestFailures:test_all_that_fail_together_are_told_in_the_order_of_ranks()
  simulate(function()
    local message = spawn_fails(5, function(rank)
      sleep(rank == 4 and 11 or 10) -- too late
      if rank % 2 == 0 then
        error("no " .. rank)
      end
    end)
    lu.assertEquals(processes_of(message), { 0, 2 })
    lu.assertStrContains(message, "no 0")
    lu.assertStrContains(message, "no 2")
    assert_usable()
  end)
end

function TestFailures:test_siblings_end_whatever_they_wait_for()
  simulate(function()
    local engine, reached, large = runtime.engine, {}, torch.zeros { 1 << 16 }
    local never = engine:event()
    spawn_fails(6, function(rank)
      if rank == 0 then
        sleep(50)
        error "no"
      elseif rank == 1 then
        never:wait "a call"
      elseif rank == 2 then
        sleep(1e6)
      elseif rank == 3 then
        large:numpy() -- takes more than 50 ns, and is completed
      elseif rank == 4 then
        local t = torch.zeros { 4 }
        torch.launch("endless", function(p) while true do tl.load(p) end end, t):wait()
      else
        torch.launch("endless", function(p) while true do tl.load(p) end end, large)
        torch.zeros { 1 << 16 }
      end
      reached[#reached + 1] = rank
    end)
    lu.assertEquals(reached, {})
    for _, launch in ipairs(engine:launches()) do
      lu.assertTrue(launch.failed)
      lu.assertStrContains(launch.errors, "it was stopped, because the worker that launched it was")
    end
    never:set()
    assert_usable()
  end)
end

function TestFailures:test_the_failure_of_a_kernel_is_that_of_the_worker_who_launched_it()
  simulate(function()
    local message = spawn_fails(2, function(rank)
      torch.ahbm.set_device(rank)
      local t = torch.zeros { 4 }
      torch.launch("k", function() if rank == 1 then error "in the kernel" end end, t)
    end)
    lu.assertEquals(processes_of(message), { 1 })
    lu.assertStrContains(message, "kernel 'k' failed")
    lu.assertStrContains(message, "in the kernel [sip1.cube0.pe0, t=")
    assert_usable()
  end)
end

function TestFailures:test_variables_to_be_closed_are_closed_and_cannot_wait()
  simulate(function()
    local closed, message = {}, nil
    spawn_fails(2, function(rank)
      local _ <close> = setmetatable({}, { __close = function()
        closed[#closed + 1] = rank
        message = select(2, pcall(torch.zeros, 4))
      end })
      local t <close> = torch.zeros { 1 << 10 } -- luacheck: ignore
      if rank == 1 then
        error "no"
      end
      sleep(100)
    end)
    lu.assertEquals(closed, { 1, 0 }) -- the failed one first
    lu.assertStrContains(message, "cannot do so any more: what called it has ended")
    assert_usable()
  end)
end

function TestFailures:test_errors_that_are_no_text()
  simulate(function()
    lu.assertStrContains(spawn_fails(1, function() error {} end), "the error is an object of type table")
    local object = setmetatable({}, { __tostring = function() return "!" end })
    lu.assertStrContains(spawn_fails(1, function() error(object) end), "! [rank 0, t=")
  end)
end

function TestFailures:test_a_failed_spawn_that_is_joined_late()
  simulate(function()
    local context = torch.multiprocessing.spawn(function(rank) if rank == 1 then error "no" end end,
      { nprocs = 2, join = false })
    sleep(10)
    lu.assertEquals(#runtime.unjoined, 1)
    lu.assertErrorMsgContains("-- Process 1 terminated", context.join, context)
    lu.assertEquals(#runtime.unjoined, 0)
  end)
end

function TestFailures:test_memory_of_ended_workers_comes_back()
  simulate(function()
    local rows = 1 << 28 -- of 4 bytes: a quarter of a slice of 4 GiB
    for _ = 1, 8 do
      spawn_fails(2, function(rank)
        torch.ahbm.set_device(rank)
        local t = torch.empty { rows }
        torch.launch("endless", function(p) while true do tl.load(p, { 4 }) end end, t)
        sleep(100)
        error "no"
      end)
    end
  end, { data = false })
end

local TestDeadlocks = {}

function TestDeadlocks:test_workers_that_wait_for_what_never_comes_are_named()
  local outcome = helper.run(function()
    local never = runtime.engine:event()
    spawn(3, function(rank)
      if rank ~= 1 then
        runtime.here().waits_for = function() return "rank 1" end
        never:wait "dist.something"
      end
    end)
  end)
  lu.assertEquals(outcome.status, "deadlock")
  local told = {}
  for _, w in ipairs(outcome.waiting) do told[w.who] = { w.call, w.reason, w.detail } end
  lu.assertEquals(told, {
    ["rank 0"] = { "dist.something", "ranks", "rank 1" },
    ["rank 2"] = { "dist.something", "ranks", "rank 1" },
    ["the bench"] = { "torch.multiprocessing.spawn", "workers" },
  })
  for _, w in ipairs(outcome.waiting) do lu.assertStrContains(w.source, "test_spawn.lua:") end
end

function TestDeadlocks:test_a_limit_leaves_nothing_of_the_workers()
  local outcome = helper.run(function()
    spawn(4, function() while true do sleep(10) end end)
  end, { max_ns = 1000 })
  lu.assertEquals(outcome.status, "limit")
end

function TestDeadlocks:test_equal_runs_take_equal_steps()
  local function once()
    local stats, launches = simulate(function()
      pcall(spawn, 2, function(rank)
        torch.ahbm.set_device(rank)
        local t = torch.rand { 1 << 8 }
        torch.launch("k", function(p) tl.store(p, tl.load(p) + 1) end, t)
        t:numpy()
        error "no"
      end)
      assert_usable()
    end)
    return { stats.sim_ns, stats.events, stats.bytes, launches[3].start_ns }
  end
  lu.assertEquals(once(), once())
end

helper.main { TestSpawn = TestSpawn, TestFailures = TestFailures, TestDeadlocks = TestDeadlocks }
