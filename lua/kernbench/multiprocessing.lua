--- torch.multiprocessing: rank workers.
--
-- A worker is a process of its own beside the bench: it has its own current device, pending launches
-- and random generator, and what it waits for holds up nobody else. Workers share the Lua state, as
-- threads would: a table or tensor that one changes is changed for all.
local runtime = require "kernbench.runtime"
local core = require "kernbench.core"
local fail = core.raise

local M = {}

---@class ProcessContext
local ProcessContext = {}
ProcessContext.__index = ProcessContext

--- What went wrong so far, in the order of ranks; nil if nothing did. Ranks that fail together for one
-- cause, such as arguments that do not match, are told once, with the lowest.
---@return string?
function ProcessContext:failures()
  local texts, known = {}, {}
  for rank = 0, self.nprocs - 1 do
    local text = self.group:error(rank)
    local cause = text and self.processes[rank + 1].shared_error
    if cause and not text:find(cause, 1, true) then
      cause = nil -- it was caught, and something else happened later
    end
    if text and not (cause and known[cause]) then
      texts[#texts + 1] = ("-- Process %d terminated with the following error:\n%s"):format(rank, text)
      known[cause or text] = true
    end
  end
  return #texts > 0 and table.concat(texts, "\n\n") or nil
end

-- Launches that were stopped with their workers: until the host knows of their end.
local function drain(context)
  for rank = 0, context.nprocs - 1 do
    local process = context.processes[rank + 1]
    for _, launch in ipairs(process and process.launches:list() or {}) do
      process.launches:remove(launch)
      pcall(launch.wait, launch)
    end
  end
end

--- Wait until all workers have ended. If some failed, raises once with each root cause.
---@return boolean true
function ProcessContext:join()
  core.check_host("ProcessContext:join")
  self.group:wait()
  if self.joined then
    return true
  end
  self.joined = true
  for i, context in ipairs(runtime.unjoined) do
    if context == self then
      table.remove(runtime.unjoined, i)
      break
    end
  end
  drain(self)
  runtime.end_turns(function(turn) return turn.process.job == self end) -- of those ended in the middle
  local failures = self:failures()
  if failures then
    error(failures, 0)
  end
  return true
end

local OPTIONS = { args = "table", nprocs = "number", join = "boolean" }

local function check(fn, options)
  local call = "torch.multiprocessing.spawn"
  runtime.need_engine(call)
  core.check_host(call)
  local rank = runtime.here().rank
  if runtime.here().job and runtime.here().job.group then
    fail(("%s: called inside a worker (rank %d); workers cannot spawn others"):format(call, rank))
  elseif type(fn) ~= "function" or type(options) ~= "table" then
    fail(call .. ": expected a function and a table such as {args = {...}, nprocs = 4}")
  end
  for key, value in pairs(options) do
    if not OPTIONS[key] then
      fail(("%s: unknown option '%s'; it takes args, nprocs, join"):format(call, tostring(key)))
    elseif type(value) ~= OPTIONS[key] then
      fail(("%s: %s is a %s, expected a %s"):format(call, key, type(value), OPTIONS[key]))
    end
  end
  local nprocs = options.nprocs or 1
  if math.type(nprocs) ~= "integer" or nprocs < 1 or nprocs > 1 << 20 then
    fail(("%s: nprocs is %s, expected an integer from 1 to %d"):format(call, nprocs, 1 << 20))
  end
  return nprocs
end

--- Run worker(rank, ...) as `nprocs` workers, ranks from 0, and wait for all of them. Launches that the bench
--- has submitted are waited for first. If workers fail, the others end, too, and the error has each
--- root cause: `-- Process 3 terminated with the following error:` and its traceback.
---@param worker fun(rank: integer, ...)
---@param options {args?: any[], nprocs?: integer, join?: boolean}  join = false: returns at once, call join() later
---@return ProcessContext?
function M.spawn(worker, options)
  options = options or {}
  local nprocs = check(worker, options)
  runtime.barrier()
  local args, begun = options.args or {}, runtime.here()
  local context = setmetatable({ nprocs = nprocs, processes = {} }, ProcessContext)
  context.group = runtime.engine:spawn(function(rank)
    local process = runtime.here()
    process.device, process.seed = begun.device, begun.seed + rank
    process.rank, process.job = rank, context
    context.processes[rank + 1] = process
    worker(rank, table.unpack(args, 1, args.n or #args))
    for _, work in ipairs(table.move(process.works or {}, 1, #(process.works or {}), 1, {})) do work:wait() end
    runtime.barrier()
    process.ended = true
  end, nprocs)
  table.insert(runtime.unjoined, context)
  if options.join == false then
    return context
  end
  context:join()
end

return M
