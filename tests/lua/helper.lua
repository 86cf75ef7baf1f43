--- What tests of host programs and kernels share: running a bench on a small machine and making sure
--- that nothing is left of it.
local lu = require "luaunit"
local core = require "kernbench.core"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"

local M = {}

--- tests/data/topologies/<name>.yaml
function M.topology(name)
  return core.home() .. "/tests/data/topologies/" .. name .. ".yaml"
end

-- Coroutines that ran a bench or a kernel, as long as they exist.
local coroutines = setmetatable({}, { __mode = "k" })

--- The function, remembering in which coroutine it ran: for kernels whose end a test looks at.
function M.watched(fn)
  return function(...)
    coroutines[coroutine.running()] = true
    return fn(...)
  end
end

--- Launch a watched kernel on these tensors, and wait.
function M.launch(kernel, ...)
  torch.launch("k", M.watched(kernel), ...)
  torch.accelerator.synchronize()
end

-- No simulation is open and no coroutine of one lives; collects everything that can be.
local function assert_nothing_left()
  lu.assertNil(runtime.engine)
  lu.assertNil(runtime.launches:oldest())
  collectgarbage()
  collectgarbage() -- what finalizers let go of
  lu.assertNil(next(coroutines), "a coroutine has outlived its simulation")
end

--- Run `body` as a bench and return whatever outcome it has, with statistics and launches. Options are
--- those of runtime.with_engine; `topology` is a name for M.topology (default: "small").
function M.run(body, options)
  local given = {}
  for key, value in pairs(options or {}) do given[key] = value end
  given.topology = M.topology(given.topology or "small")
  local outcome, stats, launches = runtime.with_engine(given, M.watched(body))
  assert_nothing_left()
  return outcome, stats, launches
end

--- The same for a bench that must succeed; raises what it raises. Every process must have ended and the
--- audit have passed.
function M.simulate(body, options)
  local outcome, stats, launches = M.run(body, options)
  if outcome.status ~= "ok" then
    error(outcome.error or outcome.status, 0)
  end
  lu.assertNil(outcome.waiting)
  lu.assertEquals(stats.audit.violations, {})
  return stats, launches
end

--- A bench that must fail: its message.
function M.fails(body, options)
  local outcome = M.run(body, options)
  lu.assertEquals(outcome.status, "error")
  lu.assertNil(outcome.waiting)
  return outcome.error
end

--- Run the suites {name = table of tests, ...} in the order of their names, and exit.
function M.main(suites)
  local names, instances = {}, {}
  for name in pairs(suites) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do instances[i] = { name, suites[name] } end
  local failures = lu.LuaUnit.new():runSuiteByInstances(instances)
  collectgarbage()
  os.exit(failures == 0, true)
end

return M
