--- Where ranks come together.
--
-- The n-th collective that a member of a group calls belongs to the group's n-th meeting. Who comes is
-- compared with who came first; if they do not agree, all members get the same error, which names both.
-- Who comes last starts the work of all ranks; nobody waits for the work of another. To start it may take
-- simulated time, for rings are installed: if the last one's call is asynchronous, a helper of it does that.
-- Coming together takes no simulated time.
--
-- send and recv meet by pairs: a sender with the first receiver that it suits, in the order of coming.
local core = require "kernbench.core"
local runtime = require "kernbench.runtime"

local M = {}

---@class dist.Entry
---@field call string "all_reduce"
---@field facts string[] name, text, name, text, ...: what all ranks must agree on
---@field args table of the call
---@field rank integer global
---@field line string of the user's code
---@field process kernbench.Process

---@class dist.Meeting
---@field call string
---@field entries table<integer, dist.Entry> by member
---@field came integer how many
---@field first dist.Entry
---@field event kernbench.Event set when the work has started, or cannot
---@field problem string? why it cannot
---@field results table<integer, any> by member, from who came last

---@param call string
---@param facts string[]
---@param args table
---@return dist.Entry
function M.entry(call, facts, args)
  local here = runtime.here()
  return { call = call, facts = facts, args = args, rank = here.rank, line = core.where(), process = here }
end

local function lower_first(a, b)
  if a.rank > b.rank then
    return b, a
  end
  return a, b
end

-- What two ranks do not agree on, or nil.
local function disagreement(a, b)
  a, b = lower_first(a, b)
  if a.call ~= b.call then
    return ("torch.distributed: rank %d called %s at %s, rank %d called %s at %s; all ranks of a group must call "
      .. "the same collectives in the same order"):format(a.rank, a.call, a.line, b.rank, b.call, b.line)
  end
  for i = 1, #a.facts, 2 do
    if a.facts[i + 1] ~= b.facts[i + 1] then
      return ("torch.distributed.%s: %s differs: %s on rank %d (%s), %s on rank %d (%s)"):format(
        a.call, a.facts[i], a.facts[i + 1], a.rank, a.line, b.facts[i + 1], b.rank, b.line)
    end
  end
  return nil
end

local function open(entry)
  return { call = entry.call, entries = {}, came = 0, first = entry, event = runtime.engine:event(), results = {} }
end

-- Start the work, for the entry that came last; what goes wrong is everybody's problem.
local function start(meeting, entry, work)
  local function run()
    local ok, problem = pcall(work, meeting)
    if not ok then
      meeting.problem = tostring(problem):gsub("^[^\n]-/kernbench/[%w/_]+%.lua:%d+: ", "")
    end
    meeting.event:set()
  end
  if entry.args.async_op then
    runtime.beside(entry.process, run)
  else
    run()
  end
end

--- A member comes to its next meeting of the group. Whoever is the last calls work(meeting).
---@param group dist.Group
---@param member integer from 0
---@param entry dist.Entry
---@param work fun(meeting: dist.Meeting)
---@return dist.Meeting
function M.enter(group, member, entry, work)
  local number = (group.entered[member] or 0) + 1
  group.entered[member] = number
  local meeting = group.meetings[number]
  if not meeting then
    meeting = open(entry)
    group.meetings[number] = meeting
  end
  meeting.entries[member], meeting.came = entry, meeting.came + 1
  if not meeting.problem then
    meeting.problem = disagreement(meeting.first, entry)
    if meeting.problem then
      meeting.event:set()
    end
  end
  if meeting.came == #group.ranks then
    group.meetings[number] = nil
    if not meeting.problem then
      start(meeting, entry, work)
    end
  end
  return meeting
end

-- ---- pairs ----

local function suits(sender, receiver)
  local s, r = sender.args, receiver.args
  return s.dst == receiver.rank and s.tag == r.tag and (r.src == nil or r.src == sender.rank)
end

-- Take the first of a list that suits.
local function take(list, entry, is_sender)
  for i, meeting in ipairs(list) do
    local other = meeting.first
    if is_sender and suits(entry, other) or not is_sender and suits(other, entry) then
      return table.remove(list, i)
    end
  end
  return nil
end

--- A sender or receiver comes. Whoever is the second calls work(meeting); its entries are [0], the
--- sender's, and [1], the receiver's.
---@param group dist.Group
---@param entry dist.Entry args: dst or src (global), tag
---@param is_sender boolean
---@param work fun(meeting: dist.Meeting)
---@return dist.Meeting
function M.pair(group, entry, is_sender, work)
  local meeting = take(is_sender and group.receivers or group.senders, entry, is_sender)
  if not meeting then
    meeting = open(entry)
    table.insert(is_sender and group.senders or group.receivers, meeting)
  end
  meeting.entries[is_sender and 0 or 1], meeting.came = entry, meeting.came + 1
  if meeting.came == 2 then
    local sender, receiver = meeting.entries[0], meeting.entries[1]
    for i = 1, #sender.facts, 2 do
      if sender.facts[i + 1] ~= receiver.facts[i + 1] then
        meeting.problem = ("torch.distributed.%s: %s differs: rank %d sends %s (%s), rank %d receives %s (%s)"):format(
          entry.call, sender.facts[i], sender.rank, sender.facts[i + 1], sender.line, receiver.rank,
          receiver.facts[i + 1], receiver.line)
        meeting.event:set()
        return meeting
      end
    end
    start(meeting, entry, work)
  end
  return meeting
end

-- ---- waiting ----

local function rank_text(job, rank)
  local process = job.processes[rank + 1]
  return process and process.ended and rank .. " (has ended)" or tostring(rank)
end

-- For the deadlock table: who has not come.
local function missing(group, job, meeting, entry)
  local args, absent = entry.args, {}
  if args.tag then
    local peer = args.dst or args.src
    return ("rank %s to call %s"):format(peer and rank_text(job, peer) or "?", args.dst and "recv" or "send")
  end
  for member, rank in ipairs(group.ranks) do
    if not meeting.entries[member - 1] then absent[#absent + 1] = rank_text(job, rank) end
  end
  return ("rank %s to call %s"):format(table.concat(absent, ", "), entry.call)
end

--- Wait until the work has been started; raises if it cannot be.
---@param group dist.Group
---@param meeting dist.Meeting
---@param entry dist.Entry
function M.wait(group, meeting, entry)
  local here = runtime.here()
  if not meeting.event:is_set() then
    here.waits_for = function() return missing(group, here.job, meeting, entry) end
    meeting.event:wait("torch.distributed." .. entry.call)
    here.waits_for = nil
  end
  if meeting.problem then
    here.shared_error = meeting.problem
    core.raise(meeting.problem)
  end
end

return M
