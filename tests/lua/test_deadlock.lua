-- Deadlocks between PEs: who is said to wait for whom, and why.
local lu = require "luaunit"
local deadlock = require "kernbench.cli.deadlock"
local helper = require "tests.lua.helper"
local plans = require "tests.lua.ipcq_plans"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

-- Run a kernel on a ring of PEs of cube 0 until nothing happens any more. Returns those who wait, by name,
-- the cause, and the whole report.
local function stuck(count, kernel, options)
  local outcome, stats = helper.run(function()
    runtime.engine:install_ipcq(plans.ring(plans.cube(count), options))
    local t = torch.zeros({ 8 * count }, { dtype = "f32", dp = torch.DPPolicy { num_cubes = 1, num_pes = count,
      pe = "column_wise" } })
    torch.launch("k", kernel, t)
    torch.accelerator.synchronize()
  end)
  lu.assertEquals(outcome.status, "deadlock")
  local by_name = {}
  for _, w in ipairs(outcome.waiting) do by_name[w.who] = w end
  return by_name, deadlock.cause(outcome.waiting), deadlock.report(outcome, stats)
end

local function pe(number)
  return "sip0.cube0.pe" .. number
end

local TestDeadlock = {}

function TestDeadlock:test_a_missing_send()
  local waiting, cause, report = stuck(2, function(p)
    if tl.program_id(0) == 1 then
      tl.recv("W", { 8 }, "f32")
    else
      tl.load(p)
    end
  end)
  local w = waiting[pe(1)]
  lu.assertEquals({ w.call, w.reason, w.direction, w.peer, w.peer_direction, w.full, w.slots },
    { "tl.recv", "data", "W", pe(0), "E", 0, 4 })
  lu.assertStrContains(w.source, "tests/lua/test_deadlock.lua:35")
  lu.assertNil(waiting[pe(0)])
  lu.assertEquals(cause, "the cause: " .. pe(1) .. " waits for " .. pe(0) .. ", whose kernel has ended or never began")
  lu.assertStrMatches(report, "deadlock at t = [%d.]+ ns: nothing can happen any more, and these wait:\n"
    .. "  who +call +waits for +direction +peer +slots full +since +for +at\n.*"
    .. "  sip0.cube0.pe1 +tl.recv +a message +W %(its E%) +sip0.cube0.pe0 +0 of 4 .*test_deadlock.lua:35\n.*")
  lu.assertEquals(waiting["the bench"].reason, "launch")
end

function TestDeadlock:test_receives_that_face_each_other_are_a_cycle()
  local _, cause = stuck(2, function() tl.recv("W", { 8 }, "f32") end)
  lu.assertEquals(cause, "the cycle: " .. pe(0) .. " waits for " .. pe(1) .. ", which waits for " .. pe(0))
end

function TestDeadlock:test_a_ring_of_receives_is_a_cycle()
  local _, cause = stuck(4, function() tl.recv("W", { 8 }, "f32") end)
  lu.assertEquals(cause, "the cycle: " .. pe(0) .. " waits for "
    .. table.concat({ pe(3), pe(2), pe(1), pe(0) }, ", which waits for "))
end

function TestDeadlock:test_too_few_slots()
  local waiting, cause, report = stuck(2, function(p)
    local x = tl.load(p)
    for _ = 1, 4 do tl.send("E", x) end -- three fit
    for _ = 1, 4 do tl.recv("W", { 8 }, "f32") end
  end, { n_slots = 3 })
  local w = waiting[pe(0)]
  lu.assertEquals({ w.call, w.reason, w.direction, w.peer, w.full, w.slots }, { "tl.send", "credit", "E", pe(1), 3, 3 })
  lu.assertStrContains(cause, "the cycle: ")
  lu.assertStrContains(report, "a free slot")
end

function TestDeadlock:test_a_rank_that_leaves_early()
  local waiting, cause = stuck(3, function(p)
    local x = tl.load(p)
    for round = 1, 4 do
      if tl.program_id(0) == 2 and round == 3 then
        return
      end
      tl.send("E", x)
      x = tl.recv("W", { 8 }, "f32")
    end
  end)
  lu.assertEquals(waiting[pe(0)].peer, pe(2))
  lu.assertEquals(cause, "the cause: " .. pe(0) .. " waits for " .. pe(2) .. ", whose kernel has ended or never began")
end

function TestDeadlock:test_a_wrong_direction()
  -- everybody sends east and expects from the east
  local waiting, cause = stuck(3, function(p)
    tl.send("E", tl.load(p))
    tl.recv("E", { 8 }, "f32")
  end)
  lu.assertEquals(waiting[pe(0)].peer, pe(1))
  lu.assertStrContains(cause, "the cycle: " .. pe(0) .. " waits for " .. pe(1))
end

function TestDeadlock:test_a_receive_that_keeps_a_kernel_from_ending()
  local waiting = stuck(2, function() tl.recv_async("W", { 8 }, "f32") end)
  lu.assertEquals({ waiting[pe(0)].source, waiting[pe(0)].call, waiting[pe(0)].peer }, { "its end", "tl.recv", pe(1) })
end

function TestDeadlock:test_a_wait_for_a_handle_says_for_what()
  local waiting = stuck(2, function()
    local other = tl.recv_async("E", { 8 }, "f32")
    tl.wait(tl.recv_async("W", { 8 }, "f32"))
    tl.wait(other)
  end)
  lu.assertEquals({ waiting[pe(0)].call, waiting[pe(0)].direction }, { "tl.wait", "W" })
end

function TestDeadlock:test_signals_that_do_not_come()
  local waiting, _, report = stuck(2, function()
    if tl.program_id(0) == 0 then
      tl.signal(1, 9)
    else
      tl.signal_wait(9, 3)
    end
  end)
  local w = waiting[pe(1)]
  lu.assertEquals({ w.call, w.reason, w.signal, w.wanted, w.come }, { "tl.signal_wait", "signal", 9, 3, 1 })
  lu.assertStrContains(report, "3 of signal 9, 1 came")
end

function TestDeadlock:test_a_sender_that_polls_does_not_run_for_ever()
  local waiting = stuck(2, function(p)
    if tl.program_id(0) == 0 then
      local x = tl.load(p)
      for _ = 1, 9 do tl.send("E", x) end
    end
  end, { backpressure = "poll" })
  lu.assertEquals(waiting[pe(0)].reason, "credit")
end

helper.main { TestDeadlock = TestDeadlock }
