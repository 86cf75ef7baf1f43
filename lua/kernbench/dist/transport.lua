--- What ranks do on the machine once all have come to a collective: rings are installed where they are used
--- for the first time, and the launches of all ranks are submitted together.
--
-- Algorithms, their rings and their kernels are chosen by kernbench.ccl. send, recv, gather and scatter use
-- a ring between two ranks. Launches are submitted in one order on all SIPs, so none waits for one that is
-- queued behind another.
local ccl = require "kernbench.ccl"
local runtime = require "kernbench.runtime"
local sharing = require "kernbench.dist.shares"
local steps = require "kernbench.ccl.steps"
local tl = require "kernbench.tl"

local M = {}

local function torch()
  return require "kernbench.torch" -- which needs torch.distributed
end

-- One at a time in a simulation, in the order of asking: installing rings takes simulated time.
local function in_turn(call, work)
  local turn = { event = runtime.engine:event(), process = runtime.here() }
  table.insert(runtime.turns, turn)
  if runtime.turns[1] ~= turn then
    turn.event:wait("torch.distributed." .. call)
  end
  local ok, problem = pcall(work)
  runtime.end_turns(function(other) return other == turn end)
  if not ok then
    error(problem, 0)
  end
end

-- Submit for a rank, whose it is to wait for it; on those PEs, or where the tensors are.
local function submit_on(pes, process, name, kernel, ...)
  local launch = torch().launch { name = name, kernel = kernel, args = table.pack(...), pes = pes }
  runtime.forget(launch)
  process.launches:add(launch)
  return launch
end

local function submit(process, name, kernel, ...)
  return submit_on(nil, process, name, kernel, ...)
end

-- ---- all ranks ----

local COLLECTIVES = { all_reduce = "all_reduce", barrier = "all_reduce", reduce = "reduce", broadcast = "broadcast",
  all_gather_into_tensor = "all_gather", reduce_scatter_tensor = "reduce_scatter", all_to_all_single = "all_to_all" }

-- The shares of PEs in a collective on tensors that are cut along dimension 0, else nil.
local function shares_of(call, args, world)
  local x, out = args.tensor, args.output
  if not out or not sharing.is_cut(x) and not sharing.is_cut(out) then
    return nil
  elseif call == "all_to_all_single" then
    local part = x:numel() // world
    local shares = sharing.of_block(x, part)
    shares.stride = part
    return shares
  end
  local part = call == "all_gather_into_tensor" and x or out
  local shares = sharing.own(part)
  shares.stride = part:numel()
  return shares
end

local function run_algorithm(group, meeting)
  local args = meeting.first.args
  local shares = shares_of(meeting.call, args, #group.ranks)
  local prepared = ccl.prepare(COLLECTIVES[meeting.call], { ranks = "sip", sips = group.ranks, op = args.op,
    root = args.root and group.member[args.root], shards = shares and shares.pes or args.tensor.shards,
    shares = shares, bytes = args.tensor.shards[1].nbytes,
    algorithm = meeting.call == "barrier" and "tree" or nil })
  ccl.install(prepared)
  for member = 0, #group.ranks - 1 do
    local entry = meeting.entries[member]
    meeting.results[member] = submit_on(shares and shares.pes, entry.process, meeting.call, prepared.kernel,
      entry.args.tensor, entry.args.output)
  end
end

-- ---- between two ranks ----

-- A ring of two: each sends to its E and receives from its W. Returns these directions.
local function connect(a, b, tensor)
  local ring = ccl.install_ipcq { topology = "ring_1d", ranks = "sip", sips = { math.min(a, b), math.max(a, b) },
    shards = tensor.shards }
  return { to = ring.wiring.prefix .. "E", from = ring.wiring.prefix .. "W", n_slots = ring.settings.n_slots,
    slot_size = ring.settings.slot_size }
end

local function push(way, x)
  for at, n in steps.segments(steps.count(x), x.dtype, 2) do
    for _, tile in ipairs(steps.load(x, steps.cut(way, x.dtype, at, n))) do tl.send(way.to, tile) end
  end
end

local function pull(way, x)
  for at, n in steps.segments(steps.count(x), x.dtype, 2) do
    for _, cut in ipairs(steps.cut(way, x.dtype, at, n)) do
      tl.store(x + cut.at, tl.recv(way.from, { cut.n }, x.dtype))
    end
  end
end

local function copy(x, out)
  for at, n in steps.segments(steps.count(x), x.dtype, 2) do
    tl.store(out + at, tl.load(x + at, { n }))
  end
end

-- What the root does: `ways[i]` leads to the i-th member and is absent for itself.
local ROOTS = {
  gather = function(ways, x, ...)
    for i, out in ipairs { ... } do
      if ways[i] then pull(ways[i], out) else copy(x, out) end
    end
  end,
  scatter = function(ways, x, ...)
    for i, part in ipairs { ... } do
      if ways[i] then push(ways[i], part) else copy(part, x) end
    end
  end,
}
local OTHERS = { gather = push, scatter = pull }

local function run_with_root(group, meeting)
  local args, ways = meeting.first.args, {}
  for i, rank in ipairs(group.ranks) do
    ways[i] = rank ~= args.root and connect(args.root, rank, args.tensor) or false
  end
  for i, rank in ipairs(group.ranks) do
    local entry = meeting.entries[i - 1]
    local tensor, list = entry.args.tensor, entry.args.list
    meeting.results[i - 1] = rank == args.root
      and submit(entry.process, meeting.call, ROOTS[meeting.call], ways, tensor, table.unpack(list))
      or submit(entry.process, meeting.call, OTHERS[meeting.call], ways[i], tensor)
  end
end

-- ---- everybody with everybody ----

-- What one gives another must be what the other expects. Whether all parts are equal.
local function check_splits(group, meeting)
  local even, first = true, meeting.entries[0].args
  for i = 0, #group.ranks - 1 do
    local from = meeting.entries[i]
    for j = 0, #group.ranks - 1 do
      local to = meeting.entries[j]
      local given, expected = from.args.sends[j + 1], to.args.receives[i + 1]
      if given ~= expected then
        error(("torch.distributed.all_to_all_single: rank %d gives %d rows to rank %d (%s), which expects %d (%s)")
          :format(from.rank, given, to.rank, from.line, expected, to.line), 0)
      end
      even = even and given == first.sends[1]
    end
  end
  return even
end

-- n elements from element `at` on, at most MOST of them, in pieces; none behind the end.
local MOST = 1 << 17

local function pieces(way, dtype, at, n, done)
  return steps.cut(way, dtype, at + done, math.max(0, math.min(MOST, n - done)))
end

-- One rank's part of an all-to-all with parts of any size: `sends[i]` and `receives[i]` rows to and from the
-- i-th member, `ways[i]` its directions. In round r everybody sends to the r-th after it.
-- With `c.share`, a PE moves its share of every part of tensors that are cut along dimension 0.
local function exchange_all(c, x, out)
  local whole = c.share and x:whole() or x
  local row = steps.count(whole) // whole.shape[1]
  local n, me = #c.sends, c.member
  local function share(first, count)
    if not c.share then
      return first, count
    end
    local at, mine = c.share(tl.program_id(1), tl.program_id(0), count)
    return first + at, mine
  end
  if c.share then x, out = whole, out:whole() end
  local from, to = { [0] = 0 }, { [0] = 0 } -- where parts begin
  for i = 1, n do
    from[i], to[i] = from[i - 1] + c.sends[i] * row, to[i - 1] + c.receives[i] * row
  end
  for round = 0, n - 1 do
    local there, back = (me + round) % n, (me - round) % n
    local give_at, giving = share(from[there], c.sends[there + 1] * row)
    local take_at, taking = share(to[back], c.receives[back + 1] * row)
    local way, other = c.ways[there + 1] or c, c.ways[back + 1] or c
    for done = 0, math.max(giving, taking) - 1, MOST do
      local given = steps.load(x, pieces(way, x.dtype, give_at, giving, done))
      local coming = pieces(other, x.dtype, take_at, taking, done)
      local got = round == 0 and given
        or steps.exchange(way, x.dtype, { to = way.to, tiles = given, from = other.from, cuts = coming })
      steps.store(out, coming, got)
    end
  end
end

-- The tensor that most PEs hold a part of: not all ranks' have as many rows.
local function widest(meeting, count)
  local most = meeting.first.args.tensor
  for i = 0, count - 1 do
    local args = meeting.entries[i].args
    for _, tensor in ipairs { args.tensor, args.output } do
      if #tensor.shards > #most.shards then most = tensor end
    end
  end
  return most
end

local function run_uneven(group, meeting)
  local ranks, tensor, ways = group.ranks, widest(meeting, #group.ranks), {}
  local share = sharing.is_cut(tensor) and sharing.even(tensor) or nil
  local pes = share and sharing.places(tensor)
  for i = 1, #ranks do ways[i] = {} end
  for i = 1, #ranks do
    for j = i + 1, #ranks do
      ways[i][j] = connect(ranks[i], ranks[j], tensor)
      ways[j][i] = ways[i][j]
    end
  end
  local settings = ccl.prepare("all_to_all", { ranks = "sip", sips = ranks, shards = tensor.shards }).settings
  for i = 1, #ranks do
    local entry = meeting.entries[i - 1]
    local args = entry.args
    local c = { member = i - 1, ways = ways[i], sends = args.sends, receives = args.receives, share = share,
      n_slots = settings.n_slots, slot_size = settings.slot_size }
    meeting.results[i - 1] = submit_on(pes, entry.process, meeting.call, exchange_all, c, args.tensor, args.output)
  end
end

-- ---- pairs ----

local function run_pair(meeting)
  local sender, receiver = meeting.entries[0], meeting.entries[1]
  local way = connect(sender.rank, receiver.rank, sender.args.tensor)
  meeting.results[0] = submit(sender.process, "send", push, way, sender.args.tensor)
  meeting.results[1] = submit(receiver.process, "recv", pull, way, receiver.args.tensor)
end

-- ---- starting ----

--- Start what all members have come to: meeting.results gets their launches.
---@param group dist.Group
---@param meeting dist.Meeting
function M.start(group, meeting)
  if meeting.call ~= "init_process_group" then
    in_turn(meeting.call, function()
      if ROOTS[meeting.call] then
        run_with_root(group, meeting)
      elseif meeting.call == "all_to_all_single" and not check_splits(group, meeting) then
        run_uneven(group, meeting)
      else
        run_algorithm(group, meeting)
      end
    end)
  end
end

--- Start a send and its receive: results[0] is the sender's launch, results[1] the receiver's.
---@param meeting dist.Meeting
function M.start_pair(meeting)
  in_turn(meeting.first.call, function() run_pair(meeting) end)
end

--- How many ranks the default group has unless a program says so.
---@return integer
function M.world_size()
  return ccl.world_size()
end

--- What a barrier reduces: an element of this rank's own.
---@param here kernbench.Process
---@return Tensor
function M.token(here)
  if not here.token then
    local device = here.device
    here.device = here.rank
    here.token = torch().empty({ 1 }, { dtype = "i32", name = "barrier of rank " .. here.rank })
    here.device = device
  end
  return here.token
end

return M
