-- Queues between PEs: plans, messages and their errors. What rings and their
-- ways take is in tests/c/test_ipcq.c.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local plans = require "tests.lua.ipcq_plans"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local launch, simulate = helper.launch, helper.simulate

-- A vector of n elements for each of the first `count` PEs of cube 0: `element(pe, i)`.
local function vectors(count, n, dtype)
  return torch.arange(count * n, { dtype = dtype or "f32", dp = torch.DPPolicy { num_cubes = 1,
    num_pes = count, pe = "column_wise" } })
end

local function install(plan)
  runtime.engine:install_ipcq(plan)
end

-- Everybody passes its vector around the whole ring and adds what comes.
local function add_around(world, n)
  return function(own, out)
    local x = tl.load(own)
    local sum = x
    for _ = 1, world - 1 do
      local coming = tl.recv_async("W", { n }, "f32")
      tl.send("E", x)
      x = tl.wait(coming)
      sum = sum + x
    end
    tl.store(out, sum)
  end
end

-- Element i of the sum over all vectors of vectors(world, n).
local function sums(world, n)
  local list = {}
  for i = 0, n - 1 do
    for pe = 0, world - 1 do
      list[pe * n + i + 1] = n * world * (world - 1) // 2 + world * i
    end
  end
  return list
end

local TestMessages = {}

for _, kind in ipairs { "tcm", "hbm", "sram" } do
  TestMessages["test_a_ring_adds_up_through_rings_in_" .. kind] = function()
    for world = 2, 4 do
      simulate(function()
        install(plans.ring(plans.cube(world), { buffer_kind = kind }))
        local own, out = vectors(world, 8), vectors(world, 8)
        launch(add_around(world, 8), own, out)
        lu.assertEquals(out:numpy():tolist(), sums(world, 8))
      end)
    end
  end

  TestMessages["test_a_message_larger_than_the_whole_ring_arrives_complete_in_" .. kind] = function()
    simulate(function()
      -- 1000 f32 are 4000 B: 16 parts of 256 B, of which two fit
      install(plans.ring(plans.cube(2), { buffer_kind = kind, n_slots = 2, slot_size = 256 }))
      local own, out = vectors(2, 1000), vectors(2, 1000)
      launch(add_around(2, 1000), own, out)
      lu.assertTrue(np.allclose(out:numpy(), np.array(sums(2, 1000))))
    end)
  end
end

function TestMessages:test_they_arrive_in_the_order_in_which_they_were_sent()
  simulate(function()
    install(plans.ring(plans.cube(2), { n_slots = 1, slot_size = 16 }))
    local own, out = vectors(2, 4), vectors(2, 4)
    launch(function(p, q)
      local x = tl.load(p)
      if tl.program_id(0) == 0 then
        for i = 1, 5 do tl.send("E", x * i) end
        return
      end
      local sum = tl.zeros({ 4 }, "f32")
      for i = 1, 5 do sum = sum * 10 + tl.recv("W", { 4 }, "f32") * (i == 0 and 0 or 1) end
      tl.store(q, sum)
    end, own, out)
    -- elements 0..3 of PE 0, as digits 1 2 3 4 5 times the element
    local got = out:numpy():tolist()
    lu.assertEquals({ table.unpack(got, 5, 8) }, { 0, 12345, 24690, 37035 })
  end)
end

function TestMessages:test_what_was_sent_does_not_change_when_the_slot_is_used_again()
  simulate(function()
    install(plans.ring(plans.cube(2), { n_slots = 1 }))
    local own, out = vectors(2, 4), vectors(2, 4)
    launch(function(p, q)
      local x = tl.load(p)
      local first = tl.recv_async("W", { 4 }, "f32")
      tl.send("E", x)
      first = tl.wait(first)
      local second = tl.recv_async("W", { 4 }, "f32")
      tl.send("E", x * 0)
      tl.wait(second)
      tl.store(q, first)
    end, own, out)
    lu.assertEquals(out:numpy():tolist(), { 4, 5, 6, 7, 0, 1, 2, 3 })
  end)
end

function TestMessages:test_two_neighbours_may_be_the_same_pe()
  simulate(function()
    -- both directions of both PEs lead to the other: E and W must not be mixed up
    install(plans.ring(plans.cube(2)))
    local own, out = vectors(2, 4), vectors(2, 4)
    launch(function(p, q)
      local x = tl.load(p)
      tl.send("E", x)
      tl.send("W", x * 100)
      local from_east = tl.recv("E", { 4 }, "f32")
      tl.store(q, from_east + tl.recv("W", { 4 }, "f32"))
    end, own, out)
    lu.assertEquals(out:numpy():tolist(), { 404, 505, 606, 707, 0, 101, 202, 303 })
  end)
end

-- What a kernel on PE 1 of a pair raises.
local function refused(fn, n)
  local message
  simulate(function()
    install(plans.ring(plans.cube(2)))
    launch(function(p)
      local x = tl.load(p)
      if tl.program_id(0) == 0 then
        tl.send("E", x)
        return
      end
      local ok, raised = pcall(fn, x)
      message = ok and "nothing was raised" or tostring(raised)
      tl.recv("W", { n or 8 }, "f32")
    end, vectors(2, 8))
  end)
  return message
end

function TestMessages:test_another_shape_or_type_names_both_ends_and_leaves_the_message()
  lu.assertStrContains(refused(function() tl.recv("W", { 9 }, "f32") end),
    "tl.recv: sip0.cube0.pe1 expects (9,) f32 from direction W, but sip0.cube0.pe0 sent (8,) f32 in direction E")
  lu.assertStrContains(refused(function() tl.recv("W", { 8 }, "f16") end), "expects (8,) f16")
  lu.assertStrContains(refused(function() tl.wait(tl.recv_async("W", { 4, 2 }, "f32")) end), "expects (4, 2) f32")
end

function TestMessages:test_a_direction_that_is_not_installed_is_refused()
  lu.assertStrContains(refused(function(x) tl.send("N", x) end),
    "tl.send: sip0.cube0.pe1 has no direction N; it has: ")
  lu.assertStrContains(refused(function() tl.recv(7, { 8 }, "f32") end), "expected the name of a direction")
  lu.assertStrContains(refused(function() tl.recv("W", 8, "f32") end), "expected a shape")
  local message = helper.fails(function()
    launch(function(p) tl.send("E", tl.load(p)) end, vectors(1, 4))
  end)
  lu.assertStrContains(message, "sip0.cube0.pe0 has no direction E: no plan with this PE is installed")
end

function TestMessages:test_after_a_failed_launch_the_rings_are_empty()
  simulate(function()
    install(plans.ring(plans.cube(2), { n_slots = 2, slot_size = 32 }))
    local own, out = vectors(2, 8), vectors(2, 8)
    torch.launch("fails", helper.watched(function(p)
      local x = tl.load(p)
      if tl.program_id(0) == 0 then
        for _ = 1, 9 do tl.send("E", x * -1) end
      else
        tl.recv("W", { 8 }, "f32")
        error "enough"
      end
    end), own)
    lu.assertFalse((pcall(torch.accelerator.synchronize)))
    launch(add_around(2, 8), own, out)
    lu.assertEquals(out:numpy():tolist(), sums(2, 8))
  end)
end

-- ---- in place ----

local TestInPlace = {}

-- PE 0 sends 1x, 2x, ... of its vector of n elements; receive(i) on PE 1 gives what is added up there.
local function sum_of(count, n, options, receive)
  local list, stats
  stats = simulate(function()
    install(plans.ring(plans.cube(2), options))
    local own, out = vectors(2, n), vectors(2, n)
    launch(function(p, q)
      local x = tl.load(p)
      if tl.program_id(0) == 0 then
        for i = 1, count do tl.send("E", x * i) end
        return
      end
      local sum = x * 0
      for i = 1, count do sum = sum + receive(i) end
      tl.store(q, sum)
    end, own, out)
    list = { table.unpack(out:numpy():tolist(), n + 1) }
  end)
  return list, stats
end

function TestInPlace:test_the_slot_is_free_when_the_tile_has_been_used()
  -- one slot, nine messages: without giving back, the second would never come
  lu.assertEquals(sum_of(9, 4, { n_slots = 1 }, function()
    return tl.recv { "W", { 4 }, "f32", in_place = true }
  end), { 0, 45, 90, 135 })
end

function TestInPlace:test_a_view_of_the_tile_is_the_tile()
  lu.assertEquals(sum_of(3, 4, { n_slots = 1 }, function()
    return tl.reshape(tl.reshape(tl.recv { "W", { 4 }, "f32", in_place = true }, { 2, 2 }), { 4 })
  end), { 0, 6, 12, 18 })
end

function TestInPlace:test_a_tile_whose_slot_was_given_back_is_refused()
  local message
  sum_of(1, 4, {}, function()
    local x = tl.recv { "W", { 4 }, "f32", in_place = true }
    local view, twice = tl.reshape(x, { 2, 2 }), x + x
    message = select(2, pcall(tl.exp, x)) .. select(2, pcall(tl.exp, view))
    return twice
  end)
  local _, count = message:gsub("the tile was received in place, and its slot was given back when the first operation "
    .. "had used it; copy it with tl.copy_to_dst to use it again", "")
  lu.assertEquals(count, 2)
end

function TestInPlace:test_a_copy_can_be_used_again()
  lu.assertEquals(sum_of(3, 4, { n_slots = 1 }, function()
    local x = tl.copy_to_dst(tl.recv { "W", { 4 }, "f32", in_place = true })
    return x + x * 2
  end), { 0, 18, 36, 54 })
end

function TestInPlace:test_what_is_never_used_is_given_back_when_the_kernel_ends()
  local _, stats = sum_of(2, 4, { n_slots = 2 }, function(i)
    local x = tl.recv { "W", { 4 }, "f32", in_place = true }
    return i == 1 and x or 0
  end)
  lu.assertEquals({ stats.ipcq.slots, stats.ipcq.credits, stats.ipcq.unread }, { 2, 2, 0 })
end

function TestInPlace:test_only_what_fits_a_slot_in_tcm_can_be_used_in_place()
  local message
  simulate(function()
    install(plans.joining({ { { 0, 0, 0 }, "E", { 0, 0, 1 }, "W" } }, { buffer_kind = "hbm" }))
    install(plans.joining({ { { 0, 0, 0 }, "N", { 0, 0, 1 }, "S" } }, { slot_size = 64, name = "small" }))
    launch(function()
      message = select(2, pcall(tl.recv, "E", { 4 }, "f32", true))
        .. select(2, pcall(tl.recv, "N", { 17 }, "f32", true))
    end, vectors(1, 4))
  end)
  lu.assertStrContains(message, "the ring of direction E lies in hbm; only a ring in tcm can be used in place")
  lu.assertStrContains(message, "68 B do not fit a slot of 64 B of direction N")
end

-- ---- puts and signals ----

local TestOneSided = {}

function TestOneSided:test_a_put_writes_the_same_place_of_another_pes_part()
  simulate(function()
    local own, out = vectors(4, 8), torch.zeros({ 32 }, { dtype = "f32", dp = torch.DPPolicy { num_cubes = 1,
      pe = "column_wise" } })
    launch(function(p, q)
      local pe = tl.program_id(0)
      tl.put((pe + 1) % 4, q + 2, tl.load(p, { 4 }))
    end, own, out)
    lu.assertEquals(out:numpy():tolist(), {
      0, 0, 24, 25, 26, 27, 0, 0, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0, 8, 9, 10, 11, 0, 0, 0, 0, 16, 17, 18, 19, 0, 0 })
  end)
end

function TestOneSided:test_a_put_reaches_another_cube_and_replicas()
  simulate(function()
    local t = torch.zeros({ 4 }, { dtype = "i32", dp = torch.DPPolicy {
      cube = "row_wise", num_cubes = 4, num_pes = 1 } })
    local seen = {}
    launch(function(p)
      local cube = tl.program_id(1)
      tl.put({ cube = 3 - cube }, p, tl.full({ 1 }, 10 + cube, "i32"))
      tl.signal({ cube = 3 - cube }, 7)
      tl.signal_wait(7)
      seen[cube] = tl.load(p):item()
    end, t)
    lu.assertEquals(seen, { [0] = 13, 12, 11, 10 })
    lu.assertEquals(t:numpy():tolist(), { 13, 12, 11, 10 })
  end)
end

function TestOneSided:test_who_has_seen_a_signal_sees_the_puts_before_it()
  local stats = simulate(function()
    -- 64 KiB to the farthest cube, then the signal, which alone would be there long before
    local t = torch.zeros({ 2, 16384 }, { dtype = "f32", dp = torch.DPPolicy { cube = "row_wise", num_cubes = 2,
      num_pes = 1 } })
    local seen
    launch(function(p)
      if tl.program_id(1) == 0 then
        tl.put({ cube = 1 }, p, tl.full({ 1, 16384 }, 3, "f32"))
        tl.signal({ cube = 1 }, 1)
      else
        tl.signal_wait(1)
        seen = tl.sum(tl.load(p, { 1, 16384 }), 1):item()
      end
    end, t)
    lu.assertEquals(seen, 3 * 16384)
  end)
  lu.assertEquals(stats.bytes.ipcq, 65536)
end

function TestOneSided:test_signals_are_counted_by_number()
  simulate(function()
    local order = {}
    launch(function()
      local pe = tl.program_id(0)
      if pe > 0 then
        tl.signal(0, 5)
        tl.signal(0, pe)
        return
      end
      tl.signal_wait(5, 3)
      for i = 3, 1, -1 do
        tl.signal_wait(i)
        order[#order + 1] = i
      end
    end, vectors(4, 1))
    lu.assertEquals(order, { 3, 2, 1 })
  end)
end

function TestOneSided:test_wrong_arguments_are_refused()
  local raised = {}
  simulate(function()
    local half = torch.zeros({ 4 }, { dtype = "f32", dp = torch.DPPolicy { num_cubes = 1, num_pes = 2 } })
    local other = vectors(3, 4)
    torch.launch("k", helper.watched(function(p)
      if tl.program_id(0) > 0 then
        return
      end
      local x = tl.load(p)
      local function try(...) raised[#raised + 1] = select(2, pcall(...)) end
      try(tl.put, 4, p, x)
      try(tl.put, 0, p, x)
      try(tl.put, { cube = 1 }, p, x)
      try(tl.put, { sip = 1, cube = 0, pe = "a" }, p, x)
      try(tl.put, 1, p + 1, x)
      try(tl.put, 1, p, tl.cast(x, "f16"))
      try(tl.put, 1, x, x)
      try(tl.signal, 1, -1)
      try(tl.signal_wait, 1, 0)
      try(tl.signal, "pe1", 1)
    end), other, half)
    torch.accelerator.synchronize()
  end)
  local expected = { "tl.put: pe is 4; expected an integer from 0 to 3",
    "tl.put: sip0.cube0.pe0 is the PE on which the kernel runs", "has no part on sip0.cube1.pe0",
    "tl.put: pe is a; expected an integer", "tl.put: ", "tl.put: the tile is f16", "expected a pointer",
    "tl.signal: id is -1; expected an integer from 0", "tl.signal_wait: count is 0; expected an integer from 1",
    "tl.signal: pe is pe1" }
  for i, text in ipairs(expected) do lu.assertStrContains(raised[i], text) end
end

-- ---- what it takes ----

local TestTime = {}

-- Default parameters on the small machine: pe_cpu 2, pe_scheduler 1, pe_ipcq 1 ns for a command.
local COMMAND <const> = 4

function TestTime:test_a_send_takes_its_command_and_the_way_out_of_tcm()
  simulate(function()
    install(plans.ring(plans.cube(2)))
    local took = {}
    launch(function(p)
      local x, t = tl.load(p), tl.now()
      tl.send("E", x)
      took[#took + 1] = tl.now() - t
      tl.recv("W", { 512 }, "f32")
    end, vectors(2, 512))
    lu.assertEquals(took, { COMMAND + 2048 / 256, COMMAND + 2048 / 256 }) -- 256 GB/s
  end)
end

-- Each chunk but the last is waited for until it is acknowledged, and the last until it has left.
function TestTime:test_a_send_in_chunks_waits_for_all_but_the_last()
  local function send(vc_chunk)
    local took
    simulate(function()
      install(plans.ring(plans.cube(2), { vc_chunk = vc_chunk }))
      local out = vectors(2, 512)
      launch(function(p, q)
        local x, t = tl.load(p), tl.now()
        tl.send("E", x)
        took = tl.now() - t
        tl.store(q, tl.recv("W", { 512 }, "f32"))
      end, vectors(2, 512), out)
      lu.assertEquals(out:numpy()[0], 512) -- the other's numbers, whole
    end)
    return took - COMMAND
  end
  lu.assertEquals(send(2048), 2048 / 256)
  -- a transaction of 1 KiB is longer by 512 B at 256 GB/s than one of 512 B
  local of_512 = send(1024) - 1024 / 256 - 512 / 256
  lu.assertAlmostEquals(send(512), 3 * of_512 + 512 / 256, 1e-9)
end

function TestTime:test_a_receive_of_what_is_there_takes_its_command_and_the_copy()
  for in_place, copy in pairs { [false] = 2 * 2048 / 512, [true] = 0 } do -- 512 GB/s
    simulate(function()
      install(plans.ring(plans.cube(2)))
      local took
      launch(function(p)
        local x = tl.load(p)
        if tl.program_id(0) == 0 then
          tl.send("E", x)
          return
        end
        for _ = 1, 9 do tl.load(p) end
        local t = tl.now()
        tl.recv("W", { 512 }, "f32", in_place)
        took = tl.now() - t
      end, vectors(2, 512))
      lu.assertAlmostEquals(took, COMMAND + copy, 1e-9)
    end)
  end
end

function TestTime:test_a_copy_inside_tcm_takes_a_command_and_both_ports()
  simulate(function()
    local took
    launch(function(p)
      local x, t = tl.load(p), tl.now()
      tl.copy_to_dst(x)
      took = tl.now() - t
    end, vectors(1, 512))
    lu.assertAlmostEquals(took, 3 + 2 * 2048 / 512, 1e-9)
  end)
end

local TestPlans = {}

-- What installing a plan raises.
local function plan_error(plan)
  local message
  simulate(function()
    torch.zeros({ 1 })
    local ok, raised = pcall(install, plan)
    message = ok and "nothing was raised" or tostring(raised)
  end)
  return message
end

function TestPlans:test_a_plan_that_contradicts_itself_is_refused()
  local function says(text, change)
    local plan = plans.ring(plans.cube(3))
    change(plan, plan.pes)
    lu.assertStrContains(plan_error(plan), text)
  end
  says("pes[2] is sip0.cube0.pe7, which this machine does not have", function(_, pes) pes[2].pe = 7 end)
  says("sip0.cube0.pe0 is listed twice", function(_, pes) pes[2].pe = 0 end)
  says("sip0.cube0.pe0 has two directions E", function(_, pes) pes[1].directions[2].name = "E" end)
  says("sip0.cube0.pe0: direction E leads to sip0.cube0.pe3, which the plan lacks",
    function(_, pes) pes[1].directions[1].peer = { 0, 0, 3 } end)
  says("sip0.cube0.pe0: direction E leads to sip9.cube0.pe3, which this machine lacks",
    function(_, pes) pes[1].directions[1].peer = { 9, 0, 3 } end)
  says("sip0.cube0.pe0: direction E leads to sip0.cube0.pe0, the PE itself", function(_, pes)
    pes[1].directions[1].peer = { 0, 0, 0 }
  end)
  says("sip0.cube0.pe0: direction E leads to sip0.cube0.pe1, direction S, which has none of that name",
    function(_, pes) pes[1].directions[1].peer_direction = "S" end)
  says("sip0.cube0.pe0: direction E leads to sip0.cube0.pe1, direction E, but that leads to sip0.cube0.pe2, direction "
    .. "W; the two must be a pair", function(_, pes) pes[1].directions[1].peer_direction = "E" end)
  says("plan 'test': the plan has no PE", function(plan) plan.pes = {} end)
  says("n_slots is 0; expected 1 to", function(plan) plan.n_slots = 0 end)
  says("slot_size is 100; expected a multiple of 16", function(plan) plan.slot_size = 100 end)
  says("vc_chunk is 8; expected 0 or a multiple of 16 B", function(plan) plan.vc_chunk = 8 end)
  says('plan.buffer_kind is dram; expected "tcm" or "hbm" or "sram"', function(plan) plan.buffer_kind = "dram" end)
  says('plan.backpressure is 3; expected "sleep" or "poll"', function(plan) plan.backpressure = 3 end)
  says("plan.name is nil; expected a string", function(plan) plan.name = nil end)
  says("plan.pes is 5; expected a table", function(plan) plan.pes = 5 end)
  says("pes[1].sip is x; expected an integer", function(_, pes) pes[1].sip = "x" end)
  says("pes[1].directions[1].peer: pe is nil; expected {sip, cube, pe}",
    function(_, pes) pes[1].directions[1].peer = { 0, 0 } end)
end

function TestPlans:test_rings_without_room_name_the_pe()
  local message = plan_error(plans.ring(plans.cube(2), { n_slots = 1000, slot_size = 65536 }))
  lu.assertStrContains(message, "plan 'test': sip0.cube0.pe0: no room for 2 rings of 65536000 B: ")
end

function TestPlans:test_removing_a_plan_gives_the_memory_back()
  simulate(function()
    torch.zeros({ 1 })
    for _ = 1, 3 do -- each takes more than half of a TCM
      install(plans.ring(plans.cube(2), { n_slots = 64, slot_size = 65536 }))
      runtime.engine:remove_ipcq("test")
    end
    local ok, message = pcall(runtime.engine.remove_ipcq, runtime.engine, "test")
    lu.assertFalse(ok)
    lu.assertStrContains(message, "no plan 'test' is installed")
  end)
end

function TestPlans:test_a_plan_of_the_same_name_replaces_the_old_one()
  simulate(function()
    for _ = 1, 3 do
      install(plans.ring(plans.cube(2), { n_slots = 64, slot_size = 65536 }))
    end
    local own, out = vectors(2, 8), vectors(2, 8)
    launch(add_around(2, 8), own, out)
    lu.assertEquals(out:numpy():tolist(), sums(2, 8))
  end)
end

function TestPlans:test_directions_of_other_names_stand_side_by_side_and_equal_names_replace()
  simulate(function()
    install(plans.joining({ { { 0, 0, 0 }, "up", { 0, 0, 1 }, "down" } }, { name = "first" }))
    install(plans.joining({ { { 0, 0, 0 }, "up2", { 0, 0, 1 }, "down2" } }, { name = "second" }))
    -- "up" of PE 0 now leads to PE 2, so that "down" of PE 1 leads nowhere
    install(plans.joining({ { { 0, 0, 0 }, "up", { 0, 0, 2 }, "down" } }, { name = "third" }))
    local out, lost = vectors(3, 8), nil
    launch(function(p)
      local x, pe = tl.load(p), tl.program_id(0)
      if pe == 0 then
        tl.send("up", x + 1)
        tl.send("up2", x + 2)
      elseif pe == 1 then
        tl.store(p, tl.recv("down2", { 8 }, "f32"))
        lost = select(2, pcall(tl.send, "down", x))
      else
        tl.store(p, tl.recv("down", { 8 }, "f32"))
      end
    end, out)
    lu.assertEquals({ table.unpack(out:numpy():tolist(), 9, 24) }, { 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8 })
    lu.assertStrContains(lost, "sip0.cube0.pe1: direction down leads to sip0.cube0.pe0, whose direction up has been "
      .. "replaced by another plan")
  end)
end

function TestPlans:test_workers_may_install_at_once_but_not_the_same_plan()
  simulate(function()
    local raised = {}
    torch.multiprocessing.spawn(function(rank)
      local own = plans.ring(plans.cube(2, 0, rank), { name = "of " .. rank })
      for i, plan in ipairs { own, plans.ring(plans.cube(2)) } do
        local ok, message = pcall(install, plan)
        raised[#raised + 1] = i == 2 and not ok and message or nil
      end
    end, { nprocs = 2 })
    lu.assertEquals(#raised, 1)
    lu.assertStrContains(raised[1], "plan 'test' is being installed or removed by another worker")
  end)
end

function TestPlans:test_a_worker_that_ends_while_it_installs_leaves_a_whole_plan()
  simulate(function()
    pcall(torch.multiprocessing.spawn, function(rank)
      if rank == 0 then
        install(plans.ring(plans.cube(2)))
      end
      runtime.engine:sleep(10) -- the messages are under way
      error "enough"
    end, { nprocs = 2 })
    collectgarbage()
    runtime.engine:sleep(1000)
    local own, out = vectors(2, 8), vectors(2, 8)
    launch(add_around(2, 8), own, out)
    lu.assertEquals(out:numpy():tolist(), sums(2, 8))
  end)
end

function TestPlans:test_a_plan_in_use_is_neither_replaced_nor_removed()
  simulate(function()
    local plan = plans.ring(plans.cube(2))
    install(plan)
    local t, raised = vectors(2, 8), {}
    torch.launch("waits", helper.watched(function(p)
      local x = tl.load(p)
      if tl.program_id(0) == 1 then
        tl.recv("W", { 8 }, "f32")
        return
      end
      while tl.now() < 3000 do tl.load(p) end
      tl.send("E", x)
    end), t)
    runtime.engine:sleep(1000)
    raised[1] = select(2, pcall(install, plan))
    raised[2] = select(2, pcall(runtime.engine.remove_ipcq, runtime.engine, "test"))
    torch.accelerator.synchronize()
    for i = 1, 2 do
      lu.assertStrContains(raised[i], "plan 'test' is in use: something is under way from sip0.cube0.pe0, direction E, "
        .. "to sip0.cube0.pe1, direction W")
    end
    runtime.engine:remove_ipcq("test")
  end)
end

function TestPlans:test_a_plan_that_connects_nobody_stands_beside_others()
  simulate(function()
    install(plans.ring(plans.cube(3)))
    install { name = "alone", pes = { { sip = 0, cube = 0, pe = 0, directions = {} } } }
    local out = vectors(3, 8)
    launch(add_around(3, 8), vectors(3, 8), out)
    lu.assertEquals(out:numpy():tolist(), sums(3, 8))
  end)
end

helper.main { TestMessages = TestMessages, TestInPlace = TestInPlace, TestOneSided = TestOneSided,
  TestPlans = TestPlans, TestTime = TestTime }
