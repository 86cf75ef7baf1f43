-- Collectives on the mock: numbers of all algorithms, freedom from deadlock, the reports of those that do.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local algorithms = require "kernbench.ccl.algorithms"
local expected = require "kernbench.ccl.expected"
local mock = require "kernbench.ccl.mock"
local np = require "kernbench.np"
local topologies = require "kernbench.ccl.topologies"

-- A collector that runs all the time is to find dangling references; few ranks show them as well as many.
local HARSH = os.getenv "KB_HARSH_GC" ~= nil

local function all_reduces()
  local names = {}
  for _, name in ipairs(algorithms.names()) do
    if mock.load(name).collective == "all_reduce" then names[#names + 1] = name end
  end
  return names
end

-- Whether an algorithm takes that many ranks, by what it is documented to need.
local function suits(name, world)
  return name ~= "halving_doubling" or world & (world - 1) == 0
end

-- Run on inputs that reduce exactly, and compare every rank's result to the bit.
local function check(name, world, n, options)
  options = options or {}
  local collective = mock.load(name).collective
  local dtype, op = options.dtype or "i32", options.op
  local inputs = expected.inputs(world, expected.input_rows(collective, n, world), dtype, op)
  local run = mock.run { algorithm = name, world = world, op = op, root = options.root, n_slots = options.n_slots,
    slot_size = options.slot_size, layout = options.layout,
    inputs = function(rank) return inputs[rank]:copy() end }
  local what = ("%s, %d ranks, %d elements, %s %s"):format(name, world, n, dtype, op or "")
  lu.assertEquals(run.status, "ok", what .. ": " .. tostring(run.error or run.report))
  local want = expected.outputs(collective, inputs, world, options)
  for rank = 0, world - 1 do
    lu.assertTrue(np.array_equal(run.outputs[rank], want(rank)), what .. ", rank " .. rank)
  end
  return run
end

local TestNumbers = {}

function TestNumbers:test_all_algorithms_are_right_on_few_ranks_at_lengths_that_do_not_divide()
  for _, name in ipairs(algorithms.names()) do
    for _, world in ipairs(HARSH and { 2, 3 } or { 1, 2, 3, 4, 7, 8 }) do
      for _, n in ipairs(HARSH and { 5 } or { 1, 5, 17 }) do
        if suits(name, world) then check(name, world, n) end
      end
    end
  end
end

function TestNumbers:test_all_algorithms_are_right_on_16_and_32_ranks()
  lu.skipIf(HARSH, "many ranks")
  for _, name in ipairs(algorithms.names()) do
    check(name, 16, 19)
    check(name, 32, 3)
  end
end

function TestNumbers:test_reductions_are_right_on_64_to_256_ranks()
  lu.skipIf(HARSH, "many ranks")
  for _, name in ipairs { "ring_chunked", "mesh", "torus", "tree", "halving_doubling", "hierarchical", "centre_root",
    "broadcast", "reduce" } do
    check(name, 64, 2)
    check(name, 128, 1)
    check(name, 256, 2)
  end
  check("ring", 64, 3)
  check("all_gather", 64, 1)
  check("reduce_scatter", 64, 1)
end

function TestNumbers:test_five_reductions_in_three_types()
  lu.skipIf(HARSH, "many ranks")
  for _, name in ipairs(all_reduces()) do
    for _, op in ipairs { "sum", "avg", "max", "min", "product" } do
      for _, dtype in ipairs { "f16", "f32", "i32" } do check(name, 4, 6, { op = op, dtype = dtype }) end
    end
  end
  for _, name in ipairs { "reduce", "reduce_scatter" } do
    for _, op in ipairs { "avg", "max", "min", "product" } do check(name, 3, 4, { op = op, dtype = "f16" }) end
  end
end

function TestNumbers:test_every_rank_can_be_root()
  for root = 0, 6 do
    check("broadcast", 7, 5, { root = root })
    check("reduce", 7, 5, { root = root })
  end
end

function TestNumbers:test_all_ranks_end_with_the_same_bits_where_order_matters()
  for _, name in ipairs(all_reduces()) do
    local run = mock.run { algorithm = name, world = 8, inputs = function(rank)
      return np.random(rank):randn({ 100 }, "f16")
    end }
    local exact = np.zeros({ 100 }, "f64")
    for rank = 0, 7 do exact = exact + np.random(rank):randn({ 100 }, "f16"):astype "f64" end
    for rank = 0, 7 do lu.assertTrue(np.array_equal(run.outputs[rank], run.outputs[0]), name) end
    -- 7 additions of values below 16, each rounded by at most half of 2^-7
    lu.assertTrue(np.allclose(run.outputs[0]:astype "f64", exact, { rtol = 0, atol = 7 * 2 ^ -8 }), name)
  end
end

function TestNumbers:test_the_ring_reduces_in_the_order_of_the_ranks()
  local inputs = {}
  for rank = 0, 6 do inputs[rank] = np.random(rank):randn({ 33 }, "f16") end
  local run = mock.run { algorithm = "ring", world = 7, inputs = function(rank) return inputs[rank] end }
  lu.assertTrue(np.array_equal(run.outputs[3], expected.reduced(inputs, 7, "sum")))
end

local TestMessages = {}

function TestMessages:test_rings_send_what_their_formulas_say()
  -- unchunked: N ranks x (N - 1) rounds of all n elements of 4 bytes
  lu.assertEquals(check("ring", 8, 24).bytes, 8 * 7 * 24 * 4)
  -- chunked: 2 (N - 1) / N of the data per rank
  lu.assertEquals(check("ring_chunked", 8, 24).bytes, 8 * 2 * 7 * 24 // 8 * 4)
  lu.assertEquals(check("halving_doubling", 8, 24).bytes, 8 * 2 * 7 * 24 // 8 * 4)
  -- torus of 4 x 2: along X 2 x 3/4 of the data, along Y 2 x 1/2 of a quarter
  lu.assertEquals(check("torus", 8, 24).bytes, 8 * 4 * (2 * 3 * 24 // 4 + 2 * 1 * 24 // 4 // 2))
  -- a tree sends everything up and down every edge but the root's missing one
  lu.assertEquals(check("tree", 8, 24).bytes, 7 * 2 * 24 * 4)
end

function TestMessages:test_no_number_of_slots_and_no_size_deadlocks()
  lu.skipIf(HARSH, "many ranks")
  for _, name in ipairs(algorithms.names()) do
    for _, ring in ipairs { { 1, 64 }, { 2, 64 }, { 3, 32 }, { 5, 16 } } do
      check(name, 4, 100, { n_slots = ring[1], slot_size = ring[2] })
      if suits(name, 7) then check(name, 7, 26, { n_slots = ring[1], slot_size = ring[2] }) end
    end
  end
end

function TestMessages:test_tensors_larger_than_the_tcm_go_in_segments()
  lu.skipIf(HARSH, "many ranks")
  check("ring_chunked", 2, 3000000, { dtype = "i8", n_slots = 64, slot_size = 65536 })
end

local TestLayouts = {}

function TestLayouts:test_grids_are_exact()
  lu.assertEquals({ topologies.square(12) }, { 4, 3 })
  lu.assertEquals({ topologies.square(7) }, { 7, 1 })
  lu.assertErrorMsgContains("a grid of 3 x 2 does not hold 7 ranks exactly", topologies.layout, 7,
    { grid = { w = 3, h = 2 } })
  check("mesh", 6, 4, { layout = { grid = { w = 2, h = 3 } } })
  check("torus", 6, 5, { layout = { grid = { w = 1, h = 6 } } })
end

function TestLayouts:test_two_ranks_in_a_ring_are_each_others_east_and_west()
  lu.assertEquals(topologies.neighbors("ring_1d", 0, 2, topologies.layout(2)),
    { { name = "E", rank = 1, peer_direction = "W" }, { name = "W", rank = 1, peer_direction = "E" } })
end

function TestLayouts:test_hierarchies_of_other_shapes()
  check("hierarchical", 24, 5, { layout = { pes = 4, cubes = 2 } }) -- three SIPs
  check("hierarchical", 10, 5, { layout = { pes = 1, cubes = 1 } }) -- ten SIPs of one PE
  for _, between in ipairs { "ring_1d", "torus_2d", "mesh_2d" } do
    check("centre_root", 36, 5, { layout = { pes = 1, cubes = 6, sip_topology = between } }) -- six SIPs of 3 x 2
  end
end

function TestLayouts:test_ranks_that_do_not_suit_are_refused()
  lu.assertErrorMsgContains("hierarchical needs whole cubes and SIPs: 1 SIPs x 1 cubes x 8 PEs are 8 ranks, not 12",
    check, "hierarchical", 12, 1)
  lu.assertErrorMsgContains("halving_doubling needs a power of two of ranks, not 6", check, "halving_doubling", 6, 1)
  lu.assertErrorMsgContains("there is no algorithm 'rnig'; there are all_gather, ", mock.load, "rnig")
end

-- An algorithm made of a kernel, on a ring.
local function ring_of(kernel)
  return { collective = "shift", topology = "ring_1d", kernel = kernel }
end

local function run(kernel, world, options)
  options = options or {}
  return mock.run { algorithm = ring_of(kernel), world = world, n_slots = options.n_slots,
    slot_size = options.slot_size, inputs = function() return np.zeros({ options.n or 4 }, "f32") end }
end

local TestDeadlocks = {}
local tl = mock.tl

function TestDeadlocks:test_receives_that_face_each_other_are_a_cycle()
  local r = run(function(c, x)
    tl.recv(c.W, x.shape, x.dtype)
    tl.send(c.E, tl.load(x))
  end, 3)
  lu.assertEquals(r.status, "deadlock")
  lu.assertEquals(#r.waiting, 3)
  local first = r.waiting[1]
  lu.assertEquals({ first.who, first.call, first.direction, first.peer, first.peer_direction, first.full, first.slots },
    { "rank 0", "tl.recv", "W", "rank 2", "E", 0, 4 })
  lu.assertStrContains(first.source, "test_ccl.lua:")
  lu.assertStrContains(r.report, "deadlock: 3 of 3 ranks wait, and nothing can go on")
  lu.assertStrContains(r.report, "rank 1  tl.recv  a message  W (its E)  rank 0      0 of 4")
  lu.assertStrContains(r.report,
    "the cycle: rank 0 waits for rank 2, which waits for rank 1, which waits for rank 0")
end

function TestDeadlocks:test_a_missing_send_has_no_cycle()
  local r = run(function(c, x)
    if c.rank ~= 0 then tl.send(c.E, tl.load(x)) end
    tl.recv(c.W, x.shape, x.dtype)
  end, 3)
  lu.assertEquals(r.status, "deadlock")
  lu.assertStrContains(r.report, "1 of 3 ranks wait")
  lu.assertStrContains(r.report, "the cause: rank 1 waits for rank 0, whose kernel has ended")
end

function TestDeadlocks:test_too_few_slots()
  local function kernel(c, x)
    for _ = 1, 3 do tl.send(c.E, tl.load(x)) end
    for _ = 1, 3 do tl.recv(c.W, x.shape, x.dtype) end
  end
  lu.assertEquals(run(kernel, 4, { n_slots = 3 }).status, "ok")
  local r = run(kernel, 4, { n_slots = 2 })
  lu.assertEquals(r.status, "deadlock")
  lu.assertStrContains(r.report, "rank 0  tl.send  a free slot  E (its W)  rank 1      2 of 2")
  lu.assertStrContains(r.report, "rank 0 waits for rank 1, which waits for rank 2, which waits for rank 3")
end

function TestDeadlocks:test_a_long_message_takes_several_slots()
  local function kernel(c, x)
    tl.send(c.E, tl.load(x))
    tl.recv(c.W, x.shape, x.dtype)
  end
  -- 100 f32 are 400 bytes: four slots of 128
  lu.assertEquals(run(kernel, 2, { n = 100, n_slots = 4, slot_size = 128 }).status, "ok")
  lu.assertEquals(run(kernel, 2, { n = 100, n_slots = 3, slot_size = 128 }).status, "deadlock")
end

function TestDeadlocks:test_a_posted_receive_empties_slots_as_they_fill()
  local r = run(function(c, x)
    local coming = tl.recv_async(c.W, x.shape, x.dtype)
    tl.send(c.E, tl.load(x))
    tl.wait(coming)
  end, 2, { n = 1000, n_slots = 1, slot_size = 64 })
  lu.assertEquals(r.status, "ok")
end

local TestErrors = {}

function TestErrors:test_messages_of_another_shape_or_type_name_both_ends()
  local r = run(function(c, x)
    tl.send(c.E, tl.load(x))
    tl.recv(c.W, { 5 }, "f16")
  end, 2)
  lu.assertEquals(r.status, "error")
  lu.assertStrContains(r.error, "rank 1 expects (5,) f16 from its direction W; rank 0 sent (4,) f32")
end

function TestErrors:test_a_direction_that_does_not_exist()
  local r = run(function(_, x) tl.send("N", tl.load(x)) end, 2)
  lu.assertStrContains(r.error, "tl.send: rank 0 has no direction N; it has E, W")
end

function TestErrors:test_messages_that_nobody_receives()
  local r = run(function(c, x)
    tl.send(c.E, tl.load(x))
    if c.rank > 0 then tl.recv(c.W, x.shape, x.dtype) end
  end, 3)
  lu.assertEquals(r.status, "error")
  lu.assertStrContains(r.error, "rank 0 has ended, but 1 message(s) of rank 2 in its direction W were never received")
end

function TestErrors:test_receives_of_a_direction_complete_in_order()
  local seen = {}
  run(function(c, x)
    tl.send(c.E, tl.full({ 1 }, 10 * c.rank, "f32"))
    tl.send(c.E, tl.full({ 1 }, 10 * c.rank + 1, "f32"))
    local first, second = tl.recv_async(c.W, { 1 }, x.dtype), tl.recv_async(c.W, { 1 }, x.dtype)
    local b = tl.wait(second)
    seen[c.rank] = { tl.wait(first):item(), b:item() }
  end, 2)
  lu.assertEquals(seen, { [0] = { 10, 11 }, [1] = { 0, 1 } })
end

function TestErrors:test_wiring_that_does_not_lead_back_is_refused()
  lu.assertErrorMsgContains("direction E of rank 0 leads to direction E of rank 1, which does not lead back",
    mock.run, { algorithm = { collective = "shift", topology = "none", kernel = function() end,
      neighbors = function(rank)
        return { { name = "E", rank = 1 - rank, peer_direction = rank == 0 and "E" or "W" } }
      end }, world = 2, inputs = function() return np.zeros({ 1 }, "f32") end })
end

helper.main { TestNumbers = TestNumbers, TestMessages = TestMessages, TestLayouts = TestLayouts,
  TestDeadlocks = TestDeadlocks, TestErrors = TestErrors }
