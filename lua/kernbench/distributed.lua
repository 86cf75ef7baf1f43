--- torch.distributed: process groups and collectives over the SIPs of the machine. A rank is a SIP.
--
-- Arguments are given by position or, behind the tensors, in a table: all_reduce(t, {op =
-- dist.ReduceOp.MAX, async_op = true}). Calls wait until this rank's part is complete; with async_op they
-- return a Work. How ranks come together is in dist/meeting.lua, what they then do on the machine in
-- dist/transport.lua.
local arguments = require "kernbench.dist.arguments"
local core = require "kernbench.core"
local meetings = require "kernbench.dist.meeting"
local runtime = require "kernbench.runtime"
local transport = require "kernbench.dist.transport"

local fail, layout = arguments.fail, arguments.layout

local M = {}

local function strict(what, fields)
  return setmetatable(fields, { __index = function(_, name)
    core.raise(("%s.%s does not exist"):format(what, tostring(name)))
  end })
end

--- How a reduction combines.
M.ReduceOp = strict("torch.distributed.ReduceOp", { SUM = "sum", AVG = "avg", PRODUCT = "product", MIN = "min",
  MAX = "max", BAND = "band", BOR = "bor", BXOR = "bxor" })

local NOBODY = setmetatable({}, { __tostring = function() return "GroupMember.NON_GROUP_MEMBER" end })

--- What new_group returns to a rank that is not in the group.
M.GroupMember = strict("torch.distributed.GroupMember", { NON_GROUP_MEMBER = NOBODY })

--- group.WORLD is the default group.
M.group = setmetatable({}, { __index = function(_, name)
  if name == "WORLD" then
    return runtime.here().world
  end
  core.raise(("torch.distributed.group.%s does not exist"):format(tostring(name)))
end })

-- ---- groups ----

---@class dist.Group
---@field ranks integer[] global ranks of the members, ascending
---@field member table<integer, integer> their places in it, from 0
---@field id integer
---@field world dist.Group the default group under which it was made
---@field entered table<integer, integer> meetings that a member has come to
---@field meetings table<integer, dist.Meeting> those that not all have come to, by number
---@field senders dist.Meeting[] waiting for a receiver
---@field receivers dist.Meeting[] waiting for a sender
local Group = {}
Group.__index = Group

function Group:__tostring()
  return ("ProcessGroup of ranks %s"):format(table.concat(self.ranks, ", "))
end

local function make_group(ranks, job, world)
  job.groups = (job.groups or -1) + 1
  local group = setmetatable({ ranks = ranks, member = {}, id = job.groups, entered = {}, meetings = {}, senders = {},
    receivers = {} }, Group)
  group.world = world or group
  for i, rank in ipairs(ranks) do group.member[rank] = i - 1 end
  return group
end

-- What belongs to this rank. The bench is rank 0 of 1.
local function here_of(call)
  core.check_host("torch.distributed." .. call)
  local here = runtime.here()
  if not here.job then
    here.job, here.rank = { nprocs = 1, processes = { here } }, 0
  end
  return here
end

local function world_of(call, here)
  if not here.world then
    fail(call, "the default process group has not been initialized; call init_process_group first")
  end
  return here.world
end

-- The group that an argument stands for: the world if absent, nil if this rank is not in it.
local function group_of(call, here, group)
  local world = world_of(call, here)
  if group == nil then
    return world
  elseif group == NOBODY then
    return nil
  elseif getmetatable(group) ~= Group then
    fail(call, "group is a %s; expected what new_group returned", type(group))
  elseif group.world ~= world or here.left and here.left[group] then
    fail(call, "the group has been destroyed")
  elseif not group.member[here.rank] then
    return nil
  end
  return group
end

-- The beginning of most calls. Without a group there is nothing to do, and a warning has said so.
local function begin(call, ...)
  local args, here = arguments.parse(call, ...), here_of(call)
  local group = group_of(call, here, args.group)
  if not group then
    io.stderr:write(("%s: warning: rank %d called torch.distributed.%s with a group that it is not in; nothing is "
      .. "done\n"):format(core.where(), here.rank, call))
  end
  return args, here, group
end

-- ---- work ----

--- What a call with async_op returns, and isend and irecv.
---@class dist.Work
local Work = {}
Work.__index = Work

--- Wait until this rank's part is complete; raises if it failed.
---@return boolean true
function Work:wait()
  core.check_host("Work:wait")
  local works = self.entry.process.works
  for i, work in ipairs(works) do
    if work == self then
      table.remove(works, i)
      break
    end
  end
  meetings.wait(self.group, self.meeting, self.entry)
  local launch = self.meeting.results[self.member]
  if launch then
    launch:wait()
  end
  return true
end

--- Whether this rank's part is complete.
---@return boolean
function Work:is_completed()
  local launch = self.meeting.results[self.member]
  return self.meeting.event:is_set() and (not launch or launch:done())
end

local function new_work(here, group, meeting, entry, member)
  local work = setmetatable({ group = group, meeting = meeting, entry = entry, member = member }, Work)
  table.insert(here.works, work)
  return work
end

-- Come to the group's next meeting with these arguments and facts; wait unless asynchronous.
local function meet(call, here, group, args, ...)
  local entry, member = meetings.entry(call, { ... }, args), group.member[here.rank]
  local meeting = meetings.enter(group, member, entry, function(meeting) transport.start(group, meeting) end)
  local work = new_work(here, group, meeting, entry, member)
  if args.async_op then
    return work
  end
  work:wait()
  return nil
end

-- ---- life ----

---@return boolean true
function M.is_available()
  return true
end

---@return boolean
function M.is_initialized()
  return runtime.here().world ~= nil
end

local function check_backend(call, backend)
  if backend ~= nil and backend ~= "ahbm" then
    fail(call, "unknown backend '%s'; there is 'ahbm'", tostring(backend))
  end
end

-- The size of the world, which must be what there is of workers and of SIPs.
local function check_world(call, here, args)
  local size, sips, nprocs = args.world_size or transport.world_size(), runtime.machine.sips, here.job.nprocs
  if math.type(size) ~= "integer" or size < 1 or size > sips then
    fail(call, "world_size is %s; a rank is a SIP, and the machine has %d", tostring(size), sips)
  elseif nprocs ~= size then
    fail(call, "the world is of %d ranks, one per SIP, but %s; spawn %d, or give {world_size = %d}", size,
      nprocs == 1 and "this is the only process" or nprocs .. " workers were spawned", size, nprocs)
  elseif args.rank ~= nil and args.rank ~= here.rank then
    fail(call, "rank is %s, but this is worker %d", tostring(args.rank), here.rank)
  end
  return size
end

--- Make all workers of this spawn the default group. Its size is `world_size`, else what ccl.yaml says, else
--- the number of SIPs. Returns when all have called it.
---@param backend "ahbm"
---@param options {world_size?: integer, rank?: integer}?
function M.init_process_group(backend, ...)
  local call = "init_process_group"
  runtime.need_engine("torch.distributed." .. call)
  local here, args = here_of(call), arguments.parse(call, backend, ...)
  check_backend(call, args.backend)
  if here.world then
    fail(call, "trying to initialize the default process group twice")
  end
  local size, job = check_world(call, here, args), here.job
  here.inits = (here.inits or 0) + 1
  job.worlds = job.worlds or {}
  if not job.worlds[here.inits] then
    local ranks = {}
    for rank = 0, size - 1 do ranks[rank + 1] = rank end
    job.worlds[here.inits] = make_group(ranks, job)
  end
  here.world, here.works = job.worlds[here.inits], here.works or {}
  meet(call, here, here.world, {})
end

--- Leave a group, or, without one, all of them.
---@param group dist.Group?
function M.destroy_process_group(group)
  local here = here_of "destroy_process_group"
  local left = group_of("destroy_process_group", here, group)
  if left == here.world then
    here.world = nil
  elseif left then
    here.left = here.left or setmetatable({}, { __mode = "k" })
    here.left[left] = true
  end
end

---@param group dist.Group?
---@return integer rank in the group; -1 if this one is not in it
function M.get_rank(group)
  local here = here_of "get_rank"
  local found = group_of("get_rank", here, group)
  return found and found.member[here.rank] or -1
end

---@param group dist.Group?
---@return integer number of members; -1 if this rank is not one
function M.get_world_size(group)
  local found = group_of("get_world_size", here_of "get_world_size", group)
  return found and #found.ranks or -1
end

---@param group dist.Group?
---@return string "ahbm"
function M.get_backend(group)
  if not group_of("get_backend", here_of "get_backend", group) then
    fail("get_backend", "this rank is not in the group")
  end
  return "ahbm"
end

-- ---- new groups ----

-- Distinct ranks of the world, ascending.
local function check_ranks(call, ranks, world)
  if type(ranks) ~= "table" or #ranks == 0 then
    fail(call, "ranks is %s; expected a sequence such as {0, 2}",
      type(ranks) == "table" and "empty" or "a " .. type(ranks))
  end
  local sorted = table.move(ranks, 1, #ranks, 1, {})
  for _, rank in ipairs(sorted) do
    if not world.member[rank] then
      fail(call, "rank %s does not exist; the world has %d", tostring(rank), #world.ranks)
    end
  end
  table.sort(sorted)
  for i = 2, #sorted do
    if sorted[i] == sorted[i - 1] then fail(call, "rank %d is given twice", sorted[i]) end
  end
  return sorted
end

--- A group of some ranks. Every rank of the world calls it, in the same order, also those that are not in
--- it: they get GroupMember.NON_GROUP_MEMBER.
---@param ranks integer[]? all if absent
---@return dist.Group
function M.new_group(ranks, ...)
  local call = "new_group"
  local here, args = here_of(call), arguments.parse(call, ranks, ...)
  local world = world_of(call, here)
  check_backend(call, args.backend)
  local members = check_ranks(call, args.ranks or world.ranks, world)
  local entry = meetings.entry(call, { "ranks", "{" .. table.concat(members, ", ") .. "}" }, args)
  local meeting = meetings.enter(world, here.rank, entry, function(meeting)
    local group = make_group(members, here.job, world)
    for rank = 0, #world.ranks - 1 do meeting.results[rank] = group.member[rank] and group or NOBODY end
  end)
  meetings.wait(world, meeting, entry)
  return meeting.results[here.rank]
end

--- Global ranks of the members.
---@param group dist.Group?
---@return integer[]
function M.get_process_group_ranks(group)
  local found = group_of("get_process_group_ranks", here_of "get_process_group_ranks", group)
  return found and table.move(found.ranks, 1, #found.ranks, 1, {}) or {}
end

---@param group dist.Group
---@param global_rank integer
---@return integer
function M.get_group_rank(group, global_rank)
  local found = group_of("get_group_rank", here_of "get_group_rank", group)
  return found and found.member[global_rank]
    or fail("get_group_rank", "global rank %s is not in the group", tostring(global_rank))
end

---@param group dist.Group
---@param group_rank integer
---@return integer
function M.get_global_rank(group, group_rank)
  local found = group_of("get_global_rank", here_of "get_global_rank", group)
  return found and math.type(group_rank) == "integer" and found.ranks[group_rank + 1]
    or fail("get_global_rank", "group rank %s is not in the group", tostring(group_rank))
end

-- ---- collectives ----

-- A collective: `settle` checks and completes the arguments, and returns what all ranks must agree on.
local function collective(call, settle)
  return function(...)
    local args, here, group = begin(call, ...)
    if not group then
      return nil
    end
    return meet(call, here, group, args, settle(call, args, here, group))
  end
end

--- Nobody leaves before the last has come.
---@return dist.Work? with async_op
M.barrier = collective("barrier", function(_, args, here)
  args.tensor = transport.token(here)
end)

--- The reduction of all ranks' tensors, in place, the same bits on every rank.
---@return dist.Work? with async_op
M.all_reduce = collective("all_reduce", function(call, args, here)
  local t = arguments.tensor(call, "tensor", args.tensor, here.rank)
  args.op = arguments.op(call, args.op, t)
  return "op", args.op, layout(t)
end)

--- The reduction of all ranks' tensors on rank `dst`. What the others' tensors hold then is undefined.
---@return dist.Work? with async_op
M.reduce = collective("reduce", function(call, args, here, group)
  local t = arguments.tensor(call, "tensor", args.tensor, here.rank)
  args.op, args.root = arguments.op(call, args.op, t), arguments.peer(call, "dst", args.dst, group)
  return "dst", tostring(args.root), "op", args.op, layout(t)
end)

--- The tensor of rank `src`, on every rank.
---@return dist.Work? with async_op
M.broadcast = collective("broadcast", function(call, args, here, group)
  local t = arguments.tensor(call, "tensor", args.tensor, here.rank)
  args.root = arguments.peer(call, "src", args.src, group)
  return "src", tostring(args.root), layout(t)
end)

--- All ranks' inputs on every rank, one after another along dimension 0 or stacked along a new one.
---@return dist.Work? with async_op
M.all_gather_into_tensor = collective("all_gather_into_tensor", function(call, args, here, group)
  args.output = arguments.tensor(call, "output_tensor", args.output_tensor, here.rank)
  args.tensor = arguments.tensor(call, "input_tensor", args.input_tensor, here.rank)
  arguments.check_blocks(call, args.output, "output_tensor", args.tensor, "input_tensor", #group.ranks)
  return "placement of the output", tostring(args.output.dp), layout(args.tensor)
end)

--- The reduction of all ranks' inputs, of which the i-th rank gets the i-th part along dimension 0.
---@return dist.Work? with async_op
M.reduce_scatter_tensor = collective("reduce_scatter_tensor", function(call, args, here, group)
  arguments.tensor(call, "output", args.output, here.rank)
  args.tensor = arguments.tensor(call, "input", args.input, here.rank)
  arguments.check_blocks(call, args.tensor, "input", args.output, "output", #group.ranks)
  args.op = arguments.op(call, args.op, args.tensor)
  return "op", args.op, "placement of the output", tostring(args.output.dp), layout(args.tensor)
end)

--- The j-th part of rank i's input becomes the i-th part of rank j's output. Parts are along dimension 0, equal
--- unless split sizes are given, one for each rank.
---@return dist.Work? with async_op
M.all_to_all_single = collective("all_to_all_single", function(call, args, here, group)
  arguments.tensor(call, "output", args.output, here.rank)
  args.tensor = arguments.tensor(call, "input", args.input, here.rank)
  arguments.check_rows(call, args.tensor, "input", args.output, "output")
  args.uneven = args.input_split_sizes ~= nil or args.output_split_sizes ~= nil
  args.sends = arguments.splits(call, "input_split_sizes", args.input_split_sizes, args.tensor, #group.ranks)
  args.receives = arguments.splits(call, "output_split_sizes", args.output_split_sizes, args.output, #group.ranks)
  return arguments.row_layout(args.tensor)
end)

-- gather and scatter: `peer` and `list` name the root and its list of tensors.
local function with_list(peer, list)
  return function(call, args, here, group)
    local t = arguments.tensor(call, "tensor", args.tensor, here.rank)
    args.root = arguments.peer(call, peer, args[peer] or 0, group)
    args.list = arguments.list(call, list, args[list], t, here.rank, args.root, group)
    return peer, tostring(args.root), layout(t)
  end
end

--- All ranks' tensors to rank `dst`: gather(t, {gather_list = list, dst = 0}), the list there only.
---@return dist.Work? with async_op
M.gather = collective("gather", with_list("dst", "gather_list"))

--- To each rank its tensor from rank `src`: scatter(t, {scatter_list = list, src = 0}), the list there only.
---@return dist.Work? with async_op
M.scatter = collective("scatter", with_list("src", "scatter_list"))

-- ---- point to point ----

-- `peer` is the name of the argument that names the other side.
local function with_peer(call, peer, ...)
  local args, here, group = begin(call, ...)
  if not group then
    return nil
  end
  local t = arguments.tensor(call, "tensor", args.tensor, here.rank)
  args.tag, args.async_op = args.tag or 0, call:sub(1, 1) == "i"
  if math.type(args.tag) ~= "integer" then
    fail(call, "tag is %s; expected an integer", tostring(args.tag))
  elseif peer == "dst" or args.src ~= nil then
    if arguments.peer(call, peer, args[peer], group) == here.rank then
      fail(call, "%s is %d, this rank itself", peer, here.rank)
    end
  end
  local entry = meetings.entry(call, { layout(t) }, args)
  local meeting = meetings.pair(group, entry, peer == "dst", transport.start_pair)
  return new_work(here, group, meeting, entry, peer == "dst" and 0 or 1)
end

--- To rank `dst`. Returns when the kernel that sends has ended.
function M.send(...)
  local work = with_peer("send", "dst", ...)
  if work then
    work:wait()
  end
end

--- From rank `src`, or from whoever sends if it is absent.
---@return integer? rank of the sender
function M.recv(...)
  local work = with_peer("recv", "src", ...)
  if not work then
    return nil
  end
  work:wait()
  return work.meeting.entries[0].rank
end

---@return dist.Work?
function M.isend(...)
  return with_peer("isend", "dst", ...)
end

---@return dist.Work?
function M.irecv(...)
  return with_peer("irecv", "src", ...)
end

return strict("torch.distributed", M)
