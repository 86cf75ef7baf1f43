--- The running simulation as Lua code sees it: which engine, which device, which seed.
--
-- One bench runs in one engine. The command line opens it; tests open small ones with `with_engine`.
-- The device, the pending launches and the random generator belong to a process: the bench and each
-- rank worker have their own. Which one runs is found from the coroutine.
local core = require "kernbench.core"
local pending = require "kernbench.pending"

---@class kernbench.Process
---@field device integer SIP that new tensors go to
---@field launches kernbench.Pending submitted by this process and not known to be complete
---@field random table? generator of torch.rand; made from the seed on first use
---@field seed integer of that generator
---@field rank integer? of a worker
---@field job ProcessContext? of a worker: its spawn
---@field works dist.Work[]? of torch.distributed, that nobody has waited for
---@field world dist.Group? the default group of torch.distributed
---@field parallel {tensor: dist.Group, data: dist.Group}? of kernbench.tp
---@field decode_rings boolean? its SIP has those of kernels.decode_attention
---@field waits_for (fun(): string)? says what it waits for, in a deadlock

---@class kernbench.Runtime: kernbench.Process
local M = {
  engine = nil, ---@type table? the open engine
  machine = nil, ---@type table? its shape: sips, cubes, pes, slices, ...
  unjoined = {}, ---@type table[] spawns that nobody has joined yet
  turns = {}, ---@type {event: kernbench.Event, process: kernbench.Process}[] who starts a collective, in order
}

local outside = {} -- what holds where no bench runs, and how a bench begins

--- The facts of the bench or worker that runs.
---@return kernbench.Process
function M.here()
  local here = core.context() or outside
  if not here.launches then
    here.device, here.launches, here.seed = outside.device or 0, pending.new(), outside.seed or 0
  end
  return here
end

-- runtime.device is runtime.here().device, and so on.
local OF_PROCESS = { device = true, launches = true, random = true, seed = true }
setmetatable(M, {
  __index = function(_, key)
    return OF_PROCESS[key] and M.here()[key] or nil
  end,
  __newindex = function(_, key, value)
    if OF_PROCESS[key] then
      M.here()[key] = value
    else
      rawset(M, key, value)
    end
  end,
})

--- The open engine; an error that names the caller if there is none.
---@param call string
function M.need_engine(call)
  if not M.engine then
    error(call .. ": no simulation is open; run the file with `kernbench FILE.lua`", 3)
  end
  return M.engine
end

---@param options table what core.open takes: topology, sets, data, data_threads; seed; device; ccl_yaml
---@return table? engine
---@return string? message why not
function M.open(options)
  local engine, message = core.open(options)
  if not engine then
    return nil, message
  end
  M.engine, M.machine, M.unjoined = engine, engine:machine(), {}
  M.ccl_yaml = options.ccl_yaml
  M.turns = {}
  outside = { device = options.device or 0, seed = options.seed or 0, launches = pending.new() }
  return engine
end

function M.close()
  if M.engine then
    M.engine:close()
  end
  M.engine, M.machine, M.unjoined, outside = nil, nil, {}, {}
end

--- Open an engine, run `fn` as a bench in it, close it. Returns the outcome of engine:run and the
--- final statistics.
---@param options table as for open
---@param fn fun()
function M.with_engine(options, fn)
  local engine = assert(M.open(options))
  local outcome = engine:run(fn, options.max_ns, options.max_events)
  local stats, launches = engine:stats(), engine:launches()
  M.close()
  collectgarbage()
  return outcome, stats, launches
end

--- Take those that match out of runtime.turns, and let the next one begin.
---@param matches fun(turn: table): boolean
function M.end_turns(matches)
  local left, first = {}, M.turns[1]
  for _, turn in ipairs(M.turns) do
    if not matches(turn) then left[#left + 1] = turn end
  end
  M.turns = left
  if left[1] and left[1] ~= first then
    left[1].event:set()
  end
end

--- Run fn beside a worker: what it waits for holds up nobody. It ends with the workers of the spawn if one of them
--- fails. For the bench, which has no spawn, fn runs at once.
---@param process kernbench.Process
---@param fn fun()
function M.beside(process, fn)
  local group = process.job and process.job.group
  if not group then
    return fn()
  end
  group:help(process.rank, function()
    local here = M.here()
    here.device, here.rank, here.job = process.device, process.rank, process.job
    fn()
  end)
end

--- Somebody waits for that launch: it is no longer for the barrier to do so.
function M.forget(launch)
  M.here().launches:remove(launch)
end

--- Wait for the launches that this process has submitted so far, in order; raises at the first that
--- failed. The launches after it are left to the next barrier.
function M.barrier()
  local launches = M.here().launches
  local launch = launches:oldest()
  while launch do
    launch:wait()
    launch = launches:oldest()
  end
end

return M
