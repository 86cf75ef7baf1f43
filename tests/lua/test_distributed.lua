-- torch.distributed on small machines: what every collective leaves on every rank, groups, work that nobody
-- waits for at once, and what is said when ranks do not agree or do not come.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local dist = torch.distributed
local Op = dist.ReduceOp

-- Run fn(rank) on n ranks, each on its SIP, in an initialised world. Returns what simulate does.
local function ranks(n, fn, options)
  options = options or {}
  return helper.simulate(function()
    torch.multiprocessing.spawn(helper.watched(function(rank)
      torch.ahbm.set_device(rank)
      dist.init_process_group "ahbm"
      fn(rank)
    end), { nprocs = n })
  end, { sets = { "system.sips.count=" .. n }, data = options.data })
end

-- The message with which that must fail, in which n ranks do not agree.
local function disagree(n, fn)
  local ok, message = pcall(ranks, n, fn)
  lu.assertFalse(ok, "nobody failed")
  return message
end

local function caught(fn, ...)
  local ok, message = pcall(fn, ...)
  lu.assertFalse(ok, "nothing was raised")
  return message
end

-- The tensor of a rank: element i is a function of both, small integers.
local function value(rank, i)
  return (rank * 7 + i * 3) % 5 - 1
end

local function tensor_of(rank, count, dtype, dp)
  local values = {}
  for i = 1, count do values[i] = value(rank, i - 1) end
  return torch.from_numpy(np.array(values, dtype or "f32"), { dp = dp })
end

local FOLD = {
  sum = function(a, b) return a + b end,
  product = function(a, b) return a * b end,
  min = math.min,
  max = math.max,
}

-- Element i of the reduction over `n` ranks.
local function reduced(op, n, i)
  local total = value(0, i)
  for rank = 1, n - 1 do total = FOLD[op](total, value(rank, i)) end
  return total
end

local function expected(op, n, count)
  local list = {}
  for i = 1, count do list[i] = reduced(op, n, i - 1) + 0.0 end
  return list
end

local TestCollectives = {}

function TestCollectives:test_all_reduce_on_two_three_and_four_ranks()
  for n = 2, 4 do
    ranks(n, function(rank)
      for _, op in ipairs { "sum", "product", "min", "max" } do
        local t = tensor_of(rank, 11)
        lu.assertNil(dist.all_reduce(t, op))
        lu.assertEquals(t:numpy():tolist(), expected(op, n, 11), ("%s on rank %d of %d"):format(op, rank, n))
      end
      local t = tensor_of(rank, 11)
      dist.all_reduce(t, { op = Op.AVG })
      for i, got in ipairs(t:numpy():tolist()) do
        lu.assertAlmostEquals(got, reduced("sum", n, i - 1) / n, 1e-6)
      end
    end)
  end
end

function TestCollectives:test_bits_of_integers()
  ranks(3, function(rank)
    local bits = { 0x0f0f + rank, -1 - rank, 6 }
    local folds = { [Op.BAND] = function(a, b) return a & b end, [Op.BOR] = function(a, b) return a | b end,
      [Op.BXOR] = function(a, b) return a ~ b end }
    for _, op in ipairs { Op.BAND, Op.BOR, Op.BXOR } do
      local t = torch.from_numpy(np.array(bits, "i32"))
      dist.all_reduce(t, op)
      local fold = folds[op]
      lu.assertEquals(t:numpy():tolist(),
        { fold(fold(0x0f0f, 0x0f10), 0x0f11), fold(fold(-1, -2), -3), fold(fold(6, 6), 6) })
    end
  end)
end

function TestCollectives:test_every_pe_that_holds_a_part_takes_part()
  local columns = torch.DPPolicy { cube = "row_wise", pe = "column_wise" }
  local _, launches = ranks(2, function(rank)
    local t = torch.full({ 8, 16 }, rank + 1, { dtype = "f16", dp = columns })
    dist.all_reduce(t)
    lu.assertTrue(np.array_equal(t:numpy(), np.full({ 8, 16 }, 3, "f16")))
  end)
  lu.assertEquals({ launches[1].pes, launches[2].pes }, { 16, 16 })
end

function TestCollectives:test_reduce_and_broadcast()
  ranks(3, function(rank)
    for root = 0, 2 do
      local t = tensor_of(rank, 9)
      dist.reduce(t, root)
      if rank == root then
        lu.assertEquals(t:numpy():tolist(), expected("sum", 3, 9))
      end
      local b = tensor_of(rank, 9, "i32")
      dist.broadcast(b, { src = root })
      lu.assertEquals(b:numpy():tolist()[4], value(root, 3))
    end
  end)
end

function TestCollectives:test_all_gather_reduce_scatter_and_all_to_all()
  ranks(3, function(rank)
    local t, out = tensor_of(rank, 4), torch.empty { 12 }
    dist.all_gather_into_tensor(out, t)
    local got = out:numpy():tolist()
    for from = 0, 2 do
      for i = 0, 3 do lu.assertEquals(got[from * 4 + i + 1], value(from, i)) end
    end
    local stacked = torch.empty { 3, 4 }
    dist.all_gather_into_tensor(stacked, t)
    lu.assertEquals(stacked:numpy():tolist()[3][2], value(2, 1))

    local whole, part = tensor_of(rank, 12), torch.empty { 4 }
    dist.reduce_scatter_tensor(part, whole, Op.MAX)
    for i, x in ipairs(part:numpy():tolist()) do lu.assertEquals(x, reduced("max", 3, rank * 4 + i - 1)) end

    local exchanged = torch.empty { 12 }
    dist.all_to_all_single(exchanged, whole)
    got = exchanged:numpy():tolist()
    for from = 0, 2 do
      for i = 0, 3 do lu.assertEquals(got[from * 4 + i + 1], value(from, rank * 4 + i)) end
    end
  end)
end

function TestCollectives:test_all_to_all_with_parts_of_any_size()
  local rows = { { 0, 3, 1 }, { 2, 0, 5 }, { 4, 1, 300 } } -- rows[i][j]: from rank i - 1 to rank j - 1
  local width = 70 -- of a row: 300 of them are larger than a ring
  ranks(3, function(rank)
    local mine = rows[rank + 1]
    local given, taken = {}, {}
    for to = 1, 3 do
      for k = 1, mine[to] do given[#given + 1] = (rank + 1) * 1000 + to * 100 + k % 97 end
    end
    local receives = {}
    for from = 1, 3 do
      receives[from] = rows[from][rank + 1]
      for k = 1, receives[from] do taken[#taken + 1] = from * 1000 + (rank + 1) * 100 + k % 97 end
    end
    local x = np.broadcast_to(np.array(given, "f32"):reshape { #given, 1 }, { #given, width })
    local out = torch.empty(#taken, width)
    dist.all_to_all_single(out, torch.from_numpy(x), receives, mine)
    local got = out:numpy()
    lu.assertEquals(got[{ {}, 0 }]:tolist(), np.array(taken, "f32"):tolist())
    lu.assertEquals(got[{ {}, width - 1 }]:tolist(), np.array(taken, "f32"):tolist())
  end)
  lu.assertStrContains(select(2, pcall(ranks, 2, function(rank)
    dist.all_to_all_single(torch.zeros { 4 }, torch.zeros { 4 }, { 2, 2 }, rank == 0 and { 1, 3 } or { 2, 2 })
  end)), "rank 0 gives 1 rows to rank 0 (")
end

function TestCollectives:test_gather_and_scatter_with_lists_on_the_root()
  ranks(3, function(rank)
    local t, list = tensor_of(rank, 5), nil
    if rank == 1 then
      list = { torch.empty { 5 }, torch.empty { 5 }, torch.empty { 5 } }
    end
    dist.gather(t, { gather_list = list, dst = 1 })
    for from = 0, list and 2 or -1 do lu.assertEquals(list[from + 1]:numpy():tolist()[5], value(from, 4)) end
    local mine = torch.zeros { 5 }
    dist.scatter(mine, { scatter_list = list, src = 1 })
    lu.assertEquals(mine:numpy():tolist(), t:numpy():tolist())
    lu.assertStrContains(caught(dist.gather, t, { gather_list = { t }, dst = (rank + 1) % 3 }),
      "gather_list is given on rank " .. rank)
    lu.assertStrContains(caught(dist.scatter, t, { src = rank }), "the root, must give scatter_list")
  end)
end

function TestCollectives:test_messages_larger_than_a_slot_and_than_the_ring()
  local count = 3 * 4 * 4096 // 4 + 5 -- three times the 4 slots of 4,096 B of a ring, and a little
  ranks(2, function(rank)
    local t = torch.full({ count }, rank + 1)
    dist.all_reduce(t)
    lu.assertEquals(t:numpy():sum(), 3 * count)
    if rank == 0 then
      dist.send(t, 1)
    else
      local into = torch.zeros { count }
      lu.assertEquals(dist.recv(into, 0), 0)
      lu.assertEquals(into:numpy():sum(), 3 * count)
    end
  end)
end

function TestCollectives:test_nobody_leaves_a_barrier_before_the_last_has_come()
  local came, left = {}, {}
  ranks(3, function(rank)
    runtime.engine:sleep(rank * 1000)
    came[rank] = runtime.engine:now_ns()
    dist.barrier()
    left[rank] = runtime.engine:now_ns()
  end)
  for rank = 0, 2 do lu.assertTrue(left[rank] > came[2], "rank " .. rank) end
end

function TestCollectives:test_launches_of_all_ranks_begin_together()
  local _, launches = ranks(4, function(rank)
    runtime.engine:sleep(rank * 100)
    dist.all_reduce(tensor_of(rank, 4))
  end)
  lu.assertEquals(#launches, 4)
  for i = 2, 4 do lu.assertEquals(launches[i].sent_ns, launches[1].sent_ns) end
end

function TestCollectives:test_without_numbers_the_same_time_passes()
  local function once(data)
    return ranks(2, function(rank)
      local t = torch.full({ 1000 }, rank)
      dist.all_reduce(t)
      dist.barrier()
    end, { data = data }).sim_ns
  end
  lu.assertEquals(once(false), once(true))
end

local TestPairs = {}

function TestPairs:test_messages_arrive_in_order_and_by_tag()
  ranks(2, function(rank)
    local t = torch.full({ 4 }, rank * 10)
    if rank == 0 then
      local first = dist.isend(torch.full({ 4 }, 1), 1, { tag = 7 })
      local second = dist.isend(torch.full({ 4 }, 2), 1)
      lu.assertFalse(first:is_completed())
      lu.assertTrue(second:wait())
      lu.assertTrue(first:wait())
      lu.assertTrue(first:is_completed())
    else
      lu.assertEquals(dist.recv(t, { src = 0 }), 0)
      lu.assertEquals(t:numpy():tolist()[1], 2)
      dist.irecv(t, { src = 0, tag = 7 }):wait()
      lu.assertEquals(t:numpy():tolist()[1], 1)
    end
  end)
end

function TestPairs:test_isend_and_irecv_return_at_once_also_with_the_first_message()
  ranks(2, function(rank)
    local t = torch.full({ 4 }, rank)
    runtime.engine:sleep(100 * rank)
    local began = runtime.engine:now_ns()
    local work = rank == 0 and dist.isend(t, 1) or rank == 1 and dist.irecv(t, 0)
    lu.assertEquals(runtime.engine:now_ns(), began)
    lu.assertFalse(work:is_completed())
    work:wait()
    lu.assertEquals(t:numpy():sum(), 0)
  end)
end

function TestPairs:test_both_ways_at_once_and_from_anybody()
  ranks(3, function(rank)
    local mine, theirs = torch.full({ 4 }, rank), torch.zeros { 4 }
    local peer = rank ~ 1
    if rank < 2 then
      local work = dist.isend(mine, peer)
      dist.recv(theirs, peer)
      work:wait()
      lu.assertEquals(theirs:numpy():tolist()[1], peer)
      dist.send(mine, 2)
    else
      local from = dist.recv(theirs)
      lu.assertEquals(theirs:numpy():tolist()[1], from)
      lu.assertEquals(from + dist.recv(theirs), 1)
    end
  end)
end

local TestGroups = {}

function TestGroups:test_the_world()
  ranks(2, function(rank)
    lu.assertTrue(dist.is_initialized())
    lu.assertEquals(dist.get_rank(dist.group.WORLD), rank)
    lu.assertEquals({ dist.get_rank(), dist.get_world_size(), dist.get_backend() }, { rank, 2, "ahbm" })
    lu.assertStrContains(caught(dist.init_process_group, "ahbm"), "default process group twice")
    local group = dist.new_group { 0, 1 }
    dist.destroy_process_group()
    lu.assertFalse(dist.is_initialized())
    lu.assertStrContains(caught(dist.get_rank), "call init_process_group first")
    dist.init_process_group("ahbm", { world_size = 2, rank = rank })
    lu.assertStrContains(caught(dist.barrier, group), "the group has been destroyed")
    dist.barrier()
  end)
end

function TestGroups:test_a_group_of_some_ranks()
  ranks(4, function(rank)
    local odd = dist.new_group { 3, 1 }
    lu.assertEquals(dist.get_rank(odd), rank % 2 == 1 and rank // 2 or -1)
    lu.assertEquals(dist.get_world_size(odd), rank % 2 == 1 and 2 or -1)
    if rank % 2 == 1 then
      lu.assertEquals(dist.get_process_group_ranks(odd), { 1, 3 })
      lu.assertEquals({ dist.get_group_rank(odd, 3), dist.get_global_rank(odd, 1) }, { 1, 3 })
      local t = torch.full({ 4 }, rank)
      dist.all_reduce(t, { group = odd })
      lu.assertEquals(t:numpy():tolist()[1], 1 + 3)
      dist.broadcast(t, 3, odd)
      lu.assertStrContains(caught(dist.broadcast, t, 0, odd), "src is 0, which is not in the group (1, 3)")
      dist.destroy_process_group(odd)
      lu.assertStrContains(caught(dist.all_reduce, t, { group = odd }), "the group has been destroyed")
    else
      lu.assertEquals(odd, dist.GroupMember.NON_GROUP_MEMBER)
    end
    local t = torch.full({ 4 }, rank)
    dist.all_reduce(t) -- the world again
    lu.assertEquals(t:numpy():tolist()[1], 6)
  end)
end

function TestGroups:test_groups_work_side_by_side()
  local starts = {}
  ranks(4, function(rank)
    local low, high = dist.new_group { 0, 1 }, dist.new_group { 2, 3 }
    local group = rank < 2 and low or high
    if rank >= 2 then runtime.engine:sleep(5000) end -- the low ones need not wait
    local t = torch.full({ 4 }, rank)
    dist.all_reduce(t, { group = group })
    lu.assertEquals(t:numpy():tolist()[1], rank < 2 and 1 or 5)
    starts[rank] = runtime.engine:now_ns()
  end)
  lu.assertTrue(starts[0] < 5000 and starts[2] > 5000)
end

function TestGroups:test_a_world_smaller_than_the_machine_says_so()
  helper.simulate(function()
    torch.zeros { 4 }
    local function fails(n, options, text)
      local message = caught(torch.multiprocessing.spawn, function() dist.init_process_group("ahbm", options) end,
        { nprocs = n })
      lu.assertStrContains(message, "torch.distributed.init_process_group: " .. text)
    end
    fails(1, nil, "the world is of 2 ranks, one per SIP, but this is the only process; spawn 2")
    fails(3, nil, "the world is of 2 ranks, one per SIP, but 3 workers were spawned")
    fails(1, { world_size = 3 }, "world_size is 3; a rank is a SIP, and the machine has 2")
    fails(1, { world_size = 1, rank = 1 }, "rank is 1, but this is worker 0")
    fails(1, { size = 1 }, "unknown option 'size'; it takes backend, world_size, rank")
    lu.assertStrContains(caught(dist.init_process_group, "nccl"), "unknown backend 'nccl'; there is 'ahbm'")
    dist.init_process_group("ahbm", { world_size = 1 }) -- the bench alone
    local t = torch.full({ 4 }, 5)
    dist.all_reduce(t)
    dist.barrier()
    lu.assertEquals(t:numpy():sum(), 20)
  end)
end

local TestWork = {}

function TestWork:test_asynchronous_calls_return_at_once()
  ranks(2, function(rank)
    local t = torch.full({ 4 }, rank + 1)
    runtime.engine:sleep(rank)
    local began = runtime.engine:now_ns()
    local work = dist.all_reduce(t, { async_op = true })
    lu.assertEquals(runtime.engine:now_ns(), began) -- for rank 1, too, with whom the rings are installed
    lu.assertFalse(work:is_completed())
    lu.assertTrue(work:wait())
    lu.assertTrue(work:is_completed())
    lu.assertEquals(t:numpy():tolist()[1], 3)
    dist.all_reduce(t, { async_op = true }) -- nobody waits: the worker's end does
  end)
end

function TestWork:test_a_read_waits_for_no_other_rank()
  local order = {}
  ranks(2, function(rank)
    local other = torch.full({ 4 }, rank)
    local t = torch.full({ 4 }, rank + 1)
    if rank == 0 then
      local work = dist.all_reduce(t, { async_op = true })
      lu.assertEquals(other:numpy():sum(), 0) -- rank 1 has not come yet
      order[#order + 1] = "read"
      work:wait()
    else
      runtime.engine:sleep(20000)
      order[#order + 1] = "came"
      dist.all_reduce(t)
    end
    lu.assertEquals(t:numpy():tolist()[1], 3)
  end)
  lu.assertEquals(order, { "read", "came" })
end

function TestWork:test_a_read_waits_for_the_collective_of_its_own_rank()
  ranks(2, function(rank)
    local t = torch.full({ 1 << 14 }, rank + 1)
    local works = { dist.all_reduce(t, { async_op = true }) }
    dist.barrier() -- now both have come
    lu.assertEquals(t:numpy():sum(), 3 << 14)
    lu.assertTrue(works[1]:is_completed())
  end)
end

function TestWork:test_kernels_and_collectives_of_a_rank_follow_each_other()
  ranks(2, function(rank)
    local t = torch.full({ 4 }, rank)
    torch.launch("add", function(p) tl.store(p, tl.load(p) + 1) end, t)
    dist.all_reduce(t)
    torch.launch("add", function(p) tl.store(p, tl.load(p) * 2) end, t)
    lu.assertEquals(t:numpy():tolist()[1], (1 + 2) * 2)
  end)
end

local TestMistakes = {}

function TestMistakes:test_ranks_that_do_not_agree_are_named_with_their_lines()
  local cases = {
    { "shape differs: (4,) on rank 0 (", "(5,) on rank 1 (",
      function(rank) dist.all_reduce(torch.zeros { 4 + rank }) end },
    { "dtype differs: f32 on rank 0", "f16 on rank 1",
      function(rank) dist.all_reduce(torch.zeros({ 4 }, { dtype = rank == 0 and "f32" or "f16" })) end },
    { "op differs: sum on rank 0", "max on rank 1",
      function(rank) dist.all_reduce(torch.zeros { 4 }, rank == 0 and Op.SUM or Op.MAX) end },
    { "placement differs: DPPolicy{", "on rank 1",
      function(rank) dist.all_reduce(torch.zeros({ 4 }, { dp = torch.DPPolicy { num_pes = 1 + rank } })) end },
    { "src differs: 0 on rank 0", "1 on rank 1", function(rank) dist.broadcast(torch.zeros { 4 }, rank) end },
    { "ranks differs: {0} on rank 0", "{0, 1} on rank 1",
      function(rank) dist.new_group(rank == 0 and { 0 } or { 0, 1 }) end },
    { "rank 0 called all_reduce at ", "rank 1 called barrier at ", function(rank)
      if rank == 0 then dist.all_reduce(torch.zeros { 4 }) else dist.barrier() end
    end },
    { "recv: shape differs: rank 0 sends (4,)", "rank 1 receives (8,)", function(rank)
      if rank == 0 then dist.send(torch.zeros { 4 }, 1) else dist.recv(torch.zeros { 8 }, 0) end
    end },
  }
  for _, case in ipairs(cases) do
    local message = disagree(2, case[3])
    lu.assertStrContains(message, case[1])
    lu.assertStrContains(message, case[2])
    local _, lines = message:match "^[^\n]*\n([^\n]*)":gsub("test_distributed%.lua:%d+", "")
    lu.assertEquals(lines, 3, message) -- where it is raised, and where both ranks were
    local _, told = message:gsub("%-%- Process", "")
    lu.assertEquals(told, 1, message) -- one cause
  end
end

function TestMistakes:test_after_a_disagreement_that_was_caught_ranks_go_on_together()
  ranks(3, function(rank)
    local message = caught(dist.all_reduce, torch.zeros { rank == 1 and 8 or 4 })
    lu.assertStrContains(message, "shape differs")
    local t = torch.full({ 4 }, rank)
    dist.all_reduce(t)
    lu.assertEquals(t:numpy():tolist()[1], 3)
  end)
end

function TestMistakes:test_arguments()
  ranks(2, function(rank)
    local t, other = torch.zeros { 4 }, 1 - rank
    local function refuses(text, fn, ...)
      lu.assertStrContains(caught(fn, ...), text)
    end
    refuses("all_reduce: tensor is a number; expected a tensor", dist.all_reduce, 4)
    refuses("all_reduce: tensor is a nil", dist.all_reduce)
    refuses("all_reduce: op is plus; expected one of torch.distributed.ReduceOp", dist.all_reduce, t, "plus")
    refuses("all_reduce: op band needs integers; tensor", dist.all_reduce, t, Op.BAND)
    refuses("all_reduce: unknown option 'async'; it takes tensor, op, group, async_op",
      dist.all_reduce, t, { async = true })
    refuses("all_reduce: async_op is a number", dist.all_reduce, t, { async_op = 1 })
    refuses("all_reduce: group is a string", dist.all_reduce, t, Op.SUM, "all")
    refuses("broadcast: src is nil; expected a rank", dist.broadcast, t)
    refuses("broadcast: src is 2, which is not in the group (0, 1)", dist.broadcast, t, 2)
    refuses(("send: dst is %d, this rank itself"):format(rank), dist.send, t, rank)
    refuses(("irecv: src is %d, this rank itself"):format(rank), dist.irecv, t, rank)
    refuses("send: tag is x; expected an integer", dist.send, t, other, nil, "x")
    refuses("new_group: rank 2 does not exist; the world has 2", dist.new_group, { 0, 2 })
    refuses("new_group: rank 0 is given twice", dist.new_group, { 0, 0 })
    refuses("new_group: ranks is empty", dist.new_group, {})
    refuses("all_gather_into_tensor: output_tensor is (4,), input_tensor is (4,); over 2 ranks",
      dist.all_gather_into_tensor, t, t)
    local three = torch.zeros({ 3 }, { name = "three" })
    refuses("all_to_all_single: dimension 0 of tensor 'three' is 3, which 2 ranks cannot share evenly",
      dist.all_to_all_single, three, three)
    refuses("input_split_sizes has 2 entries with a sum of 2; expected 2 entries with a sum of 3",
      dist.all_to_all_single, three, three, { input_split_sizes = { 1, 1 } })
    refuses("output_split_sizes is not a sequence of 2 integers", dist.all_to_all_single, three, t,
      { input_split_sizes = nil, output_split_sizes = { 3 } })
    refuses("dtype of input is f32, of output i64", dist.all_to_all_single, torch.arange(4), t)
    refuses("reduce_scatter_tensor: input is f32, output is f16", dist.reduce_scatter_tensor,
      torch.zeros({ 2 }, { dtype = "f16" }), t)
    torch.ahbm.set_device(other)
    refuses(("is on sip%d, those of rank %d are on sip%d; call torch.ahbm.set_device(rank)"):format(other, rank, rank),
      dist.all_reduce, torch.zeros { 4 })
    torch.ahbm.set_device(rank)
    t:free()
    refuses("has been freed", dist.all_reduce, t)
  end)
end

function TestMistakes:test_names_that_do_not_exist_are_errors()
  lu.assertErrorMsgContains("torch.distributed.allreduce does not exist", function() return dist.allreduce end)
  lu.assertErrorMsgContains("torch.distributed.ReduceOp.MEAN does not exist", function() return Op.MEAN end)
  lu.assertErrorMsgContains("torch.distributed.group.ALL does not exist", function() return dist.group.ALL end)
  lu.assertErrorMsgContains("no simulation is open", dist.init_process_group, "ahbm")
end

function TestMistakes:test_who_never_comes_is_named()
  local outcome = helper.run(function()
    torch.multiprocessing.spawn(helper.watched(function(rank)
      torch.ahbm.set_device(rank)
      dist.init_process_group "ahbm"
      if rank == 1 then
        dist.recv(torch.zeros { 4 }, 0)
      elseif rank < 3 then
        dist.all_reduce(torch.zeros { 4 })
      end
    end), { nprocs = 4 })
  end, { sets = { "system.sips.count=4" } })
  lu.assertEquals(outcome.status, "deadlock")
  local told = {}
  for _, w in ipairs(outcome.waiting) do told[w.who] = { w.call, w.detail } end
  lu.assertEquals(told["rank 0"], { "torch.distributed.all_reduce", "rank 1, 3 (has ended) to call all_reduce" })
  lu.assertEquals(told["rank 1"], { "torch.distributed.recv", "rank 0 to call send" })
  lu.assertEquals(told["rank 3"], nil)
end

function TestMistakes:test_a_rank_may_fail_while_rings_are_installed_for_it()
  for after = 0, 150, 10 do -- ns, of which installing takes 80
    helper.simulate(function()
      local function all_reduce(rank)
        torch.ahbm.set_device(rank)
        dist.init_process_group "ahbm"
        local t = torch.full({ 8 }, rank + 1)
        return t, dist.all_reduce(t, { async_op = true })
      end
      local message = caught(torch.multiprocessing.spawn, function(rank)
        local _, work = all_reduce(rank)
        if rank == 1 then
          runtime.engine:sleep(after)
          error "no"
        end
        work:wait()
        dist.barrier()
      end, { nprocs = 2 })
      lu.assertStrContains(message, "-- Process 1 terminated with the following error:")
      lu.assertNil(message:find "Process 0")
      torch.multiprocessing.spawn(function(rank)
        local t, work = all_reduce(rank)
        work:wait()
        lu.assertEquals(t:numpy():sum(), (1 + 2) * 8)
      end, { nprocs = 2 })
    end)
  end
end

function TestMistakes:test_a_rank_that_fails_ends_those_that_wait_for_it()
  helper.simulate(function()
    local spawn = torch.multiprocessing.spawn
    for round = 1, 3 do
      local message = caught(spawn, function(rank)
        torch.ahbm.set_device(rank)
        dist.init_process_group "ahbm"
        local t = torch.zeros { 1 << 12 }
        dist.all_reduce(t)
        local work = round == 2 and dist.all_reduce(t, { async_op = true }) -- under way when rank 1 fails
        if rank == 1 then
          error "no"
        end
        if work then work:wait() end
        dist.barrier()
      end, { nprocs = 2 })
      lu.assertStrMatches(message, "%-%- Process 1 terminated with the following error:\n[^\n]*: no %[rank 1, .*")
      lu.assertNil(message:find "Process 0")
      spawn(function(rank)
        torch.ahbm.set_device(rank)
        dist.init_process_group "ahbm"
        local t = torch.full({ 1 << 12 }, rank + 1)
        dist.all_reduce(t)
        lu.assertEquals(t:numpy():sum(), 3 << 12)
      end, { nprocs = 2 })
    end
  end)
end

helper.main { TestCollectives = TestCollectives, TestPairs = TestPairs, TestGroups = TestGroups, TestWork = TestWork,
  TestMistakes = TestMistakes }
