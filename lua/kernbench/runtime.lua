--- The running simulation as Lua code sees it: which engine, which device, which seed.
--
-- One bench runs in one engine. The command line opens it; tests open small ones with `with_engine`.
local core = require "kernbench.core"

local M = {
  engine = nil, ---@type table? the open engine
  machine = nil, ---@type table? its shape: sips, cubes, pes, slices, ...
  device = 0, ---@type integer SIP that new tensors go to
  seed = 0, ---@type integer of torch.rand and math.random
  launches = {}, ---@type table[] submitted and not known to be complete
}

--- The open engine; an error that names the caller if there is none.
---@param call string
function M.need_engine(call)
  if not M.engine then
    error(call .. ": no simulation is open; run the file with `kernbench FILE.lua`", 3)
  end
  return M.engine
end

---@param options {topology: string, sets?: string[], data?: boolean, seed?: integer, device?: integer}
---@return table? engine
---@return string? message why not
function M.open(options)
  local engine, message = core.open(options)
  if not engine then
    return nil, message
  end
  M.engine, M.machine = engine, engine:machine()
  M.device, M.seed, M.launches = options.device or 0, options.seed or 0, {}
  M.random = nil -- of torch.rand; made from the seed on first use
  return engine
end

function M.close()
  if M.engine then
    M.engine:close()
  end
  M.engine, M.machine, M.launches = nil, nil, {}
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

--- Somebody waits for that launch: it is no longer for the barrier to do so.
function M.forget(launch)
  for i, pending in ipairs(M.launches) do
    if pending == launch then
      table.remove(M.launches, i)
      return
    end
  end
end

--- Wait for the launches submitted so far, in order; raises at the first that failed. The launches
--- after it are left to the next barrier.
function M.barrier()
  while M.launches[1] do
    M.launches[1]:wait()
  end
end

return M
