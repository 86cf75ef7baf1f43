--- Collectives without a machine: an algorithm's own kernel on ranks that are plain coroutines, with real
--- numbers and rings of slots, but without time. For unit tests of algorithms; takes milliseconds.
--
--     local mock = require "kernbench.ccl.mock"
--     local run = mock.run { algorithm = "ring", world = 4, inputs = function(rank) return ... end }
--     run.outputs[0]    what rank 0 has then
--
-- Ranks run until they wait; then the next one that can go on does. When ranks wait and none of them can
-- go on, that is a deadlock: `run.status` is "deadlock" and `run.report` says who waits for what.
local algorithms = require "kernbench.ccl.algorithms"
local deadlock = require "kernbench.cli.deadlock"
local mock_tl = require "kernbench.ccl.mock_tl"
local np = require "kernbench.np"
local topologies = require "kernbench.ccl.topologies"

local M = {}

---@class ccl.MockRun
---@field status "ok"|"error"|"deadlock"
---@field outputs table<integer, kernbench.array> by rank, from 0
---@field messages integer sent
---@field bytes integer sent
---@field error string? of the first kernel that failed
---@field waiting table[]? {who, rank, call, direction, peer, peer_direction, full, slots, source}
---@field report string? what happened, for people

local current -- the rank whose kernel runs, {world =, rank =, co =, directions =}

-- ---- rings ----

-- What arrives in one direction of a rank. Messages and receives are queues; a receive that is posted
-- empties slots as they fill, so the ring is full only where nobody has asked.
local function new_ring(slots, slot_size)
  return { slots = slots, slot_size = slot_size, used = 0, messages = {}, first_message = 1, last_message = 0,
    receives = {}, first_receive = 1, last_receive = 0 }
end

local function wake(state, rank)
  if rank.waits then
    rank.waits = nil
    state.last = state.last + 1
    state.ready[state.last] = rank
  end
end

local function wait_for(rank, call, direction, ring, peer)
  rank.waits = { call = call, direction = direction, ring = ring, peer = peer }
  coroutine.yield()
end

local function direction_of(call, name)
  local to = current.directions[name]
  if not to then
    local known = {}
    for _, neighbor in ipairs(current.neighbors) do known[#known + 1] = neighbor.name end
    error(("%s: rank %d has no direction %s; it has %s"):format(call, current.rank, tostring(name),
      #known > 0 and table.concat(known, ", ") or "none"), 4)
  end
  return to
end

local function shape_text(shape)
  return "(" .. table.concat(shape, ", ") .. (#shape == 1 and ",)" or ")")
end

local function same_shape(a, b)
  if #a ~= #b then
    return false
  end
  for d = 1, #a do
    if a[d] ~= b[d] then return false end
  end
  return true
end

-- The receive is complete: its value, or why it does not fit.
local function deliver(receive, message)
  local value, shape, dtype = message.value, receive.shape, receive.dtype
  if dtype and value.dtype ~= dtype or shape and not same_shape(shape, value.shape) then
    receive.problem = ("tl.recv: rank %d expects %s %s from its direction %s; rank %d sent %s %s"):format(
      receive.rank.rank, shape and shape_text(shape) or "any shape", dtype or "of any type", receive.name,
      message.from.rank, shape_text(value.shape), value.dtype)
  else
    receive.value = value
  end
  receive.done = true
end

-- Give the slots that have come to the receives that are posted.
local function progress(state, ring)
  local message, receive = ring.messages[ring.first_message], ring.receives[ring.first_receive]
  while message and receive and message.posted > message.consumed do
    ring.used = ring.used - (message.posted - message.consumed)
    message.consumed = message.posted
    wake(state, message.from)
    if message.consumed == message.slots then
      deliver(receive, message)
      wake(state, receive.rank)
      ring.messages[ring.first_message], ring.receives[ring.first_receive] = nil, nil
      ring.first_message, ring.first_receive = ring.first_message + 1, ring.first_receive + 1
      message, receive = ring.messages[ring.first_message], ring.receives[ring.first_receive]
    end
  end
end

local function send(name, value)
  local me, to = current, direction_of("tl.send", name)
  local state, ring, bytes = me.state, to.outgoing, value.a.nbytes
  local message = { value = value, slots = math.max(1, math.ceil(bytes / ring.slot_size)), posted = 0, consumed = 0,
    from = me }
  ring.last_message = ring.last_message + 1
  ring.messages[ring.last_message] = message
  state.messages, state.bytes = state.messages + 1, state.bytes + bytes
  while message.posted < message.slots do
    while ring.used == ring.slots do
      wait_for(me, "tl.send", name, ring, to)
    end
    ring.used, message.posted = ring.used + 1, message.posted + 1
    progress(state, ring)
  end
end

-- Receives of a direction get its messages in order.
local function receive(name, shape, dtype)
  local from = direction_of("tl.recv", name)
  local ring = from.incoming
  local posted = { name = name, from = from, rank = current, shape = shape, dtype = dtype }
  ring.last_receive = ring.last_receive + 1
  ring.receives[ring.last_receive] = posted
  progress(current.state, ring)
  return posted
end

local function finish(posted)
  while not posted.done do
    wait_for(current, "tl.recv", posted.name, posted.from.incoming, posted.from)
  end
  if posted.problem then
    error(posted.problem, 0)
  end
  return posted.value
end

local function program_id(axis)
  local layout, rank = current.layout, current.rank
  local cube = rank // layout.pes
  return ({ [0] = rank % layout.pes, cube % layout.cubes, cube // layout.cubes })[axis or 0]
end

local function num_programs(axis)
  local layout = current.layout
  return ({ [0] = layout.pes, layout.cubes, layout.sips })[axis or 0]
end

local tl = mock_tl.new { send = send, receive = receive, finish = finish, program_id = program_id,
  num_programs = num_programs, whereabouts = function() return "rank " .. current.rank end }

-- ---- loading kernels so that they see the mock ----

local loaded = { ["kernbench.tl"] = tl }
local env

local function mock_require(name)
  if loaded[name] == nil then
    local own = name:find "^kernbench%." and not name:find "^kernbench%.ccl%."
    local path = not own and package.searchpath(name, package.path)
    if path then
      local value = assert(loadfile(path, "t", env))(name, path)
      loaded[name] = value == nil and true or value
    else
      loaded[name] = require(name)
    end
  end
  return loaded[name]
end

env = setmetatable({ require = mock_require }, { __index = _G })

--- The mock's `tl`, for kernels that are written in a test.
M.tl = tl

--- Load an algorithm so that its kernel runs on the mock.
---@param name string|ccl.Algorithm a name, a module, a file, or the algorithm itself
---@return ccl.Algorithm
function M.load(name)
  if type(name) == "table" then
    name.name = name.name or "unnamed"
    return name
  end
  return algorithms.load(name, env)
end

-- ---- running ----

-- Where a suspended or failed kernel is: the nearest line outside of this program's own files, else
-- outside of the mock and the steps.
local function source_of(co)
  local own
  for level = 0, 30 do
    local at = debug.getinfo(co, level, "Sl")
    if not at then break end
    if at.currentline > 0 then
      local file = at.source:match("kernbench/ccl/([%w_]+%.lua)$")
      if not at.source:find("kernbench/ccl/", 1, true) then
        return ("%s:%d"):format(at.short_src, at.currentline)
      elseif not own and file ~= "mock.lua" and file ~= "mock_tl.lua" and file ~= "steps.lua" then
        own = ("%s:%d"):format(at.short_src, at.currentline)
      end
    end
  end
  return own or "?"
end

-- Those who wait, as engine:run returns them, and with their ranks.
local function describe_waits(ranks)
  local waiting = {}
  for i = 0, #ranks do
    local w = ranks[i].waits
    if w then
      waiting[#waiting + 1] = { who = "rank " .. i, rank = i, call = w.call, direction = w.direction,
        peer = "rank " .. w.peer.rank, peer_direction = w.peer.peer_direction, full = w.ring.used,
        slots = w.ring.slots, source = source_of(ranks[i].co) }
    end
  end
  return waiting
end

local function report_of(waiting, world)
  local cause = deadlock.cause(waiting)
  return ("deadlock: %d of %d ranks wait, and nothing can go on\n%s%s"):format(#waiting, world,
    deadlock.table(waiting), cause and "\n" .. cause or "")
end

-- Rings of all directions; errors where neighbours do not agree.
local function wire(ranks, options)
  for r = 0, #ranks do
    for _, to in ipairs(ranks[r].neighbors) do
      ranks[r].directions[to.name] = { rank = to.rank, peer_direction = to.peer_direction,
        incoming = new_ring(options.n_slots, options.slot_size) }
    end
  end
  for r = 0, #ranks do
    for _, to in ipairs(ranks[r].neighbors) do
      local peer = ranks[to.rank]
      local back = peer and peer.directions[to.peer_direction]
      if not back or back.rank ~= r or back.peer_direction ~= to.name then
        error(("mock: direction %s of rank %d leads to direction %s of rank %s, which does not lead back"):format(
          to.name, r, tostring(to.peer_direction), tostring(to.rank)), 0)
      end
      ranks[r].directions[to.name].outgoing = back.incoming
    end
  end
end

local function make_rank(state, algorithm, layout, r, options, inputs, outputs)
  local c = algorithms.context(algorithm, r, layout, algorithms.common(layout, options), "")
  local arguments = { mock_tl.pointer(inputs, "input of rank " .. r) }
  if outputs then
    arguments[2] = mock_tl.pointer(outputs, "output of rank " .. r)
  end
  return { state = state, rank = r, layout = layout, directions = {}, arguments = arguments,
    neighbors = algorithms.neighbors(algorithm, r, layout),
    co = coroutine.create(function() algorithm.kernel(c, table.unpack(arguments)) end) }
end

local function output_shape(algorithm, array, world)
  local shape = array.shape
  if algorithm.collective == "all_gather" then
    shape[1] = shape[1] * world
  elseif algorithm.collective == "reduce_scatter" then
    if shape[1] % world ~= 0 then
      error(("mock: %d rows do not divide by %d ranks"):format(shape[1], world), 0)
    end
    shape[1] = shape[1] // world
  elseif algorithm.collective ~= "all_to_all" then
    return nil
  end
  return np.zeros(shape, array.dtype)
end

local function run_ranks(state, ranks)
  local at = 1
  while state.ready[at] do
    current = state.ready[at]
    state.ready[at] = nil
    at = at + 1
    local ok, message = coroutine.resume(current.co)
    if not ok then
      return ("rank %d: %s"):format(current.rank, debug.traceback(current.co, tostring(message)))
    end
    current.ended = coroutine.status(current.co) == "dead"
  end
end

local function unreceived(ranks)
  for r = 0, #ranks do
    for _, to in ipairs(ranks[r].neighbors) do
      local ring = ranks[r].directions[to.name].incoming
      if ring.last_message >= ring.first_message then
        return ("rank %d has ended, but %d message(s) of rank %d in its direction %s were never received"):format(r,
          ring.last_message - ring.first_message + 1, to.rank, to.name)
      end
    end
  end
end

--- Run an algorithm on `world` ranks.
---@param options {algorithm: string|ccl.Algorithm, world: integer, inputs: fun(rank: integer): kernbench.array,
---  op?: string, root?: integer, n_slots?: integer, slot_size?: integer, layout?: table}
---@return ccl.MockRun
function M.run(options)
  local algorithm = M.load(options.algorithm)
  local layout = topologies.layout(options.world, options.layout)
  for key, value in pairs(options.layout or {}) do
    if layout[key] == nil then layout[key] = value end
  end
  algorithms.check_layout(algorithm, layout)
  local settings = { op = options.op, root = options.root, n_slots = options.n_slots or 4,
    slot_size = options.slot_size or 4096 }
  local state, ranks = { ready = {}, last = options.world, messages = 0, bytes = 0 }, {}
  for r = 0, options.world - 1 do
    local input = options.inputs(r)
    ranks[r] = make_rank(state, algorithm, layout, r, settings, input, output_shape(algorithm, input, options.world))
  end
  wire(ranks, settings)
  for r = 0, options.world - 1 do state.ready[r + 1] = ranks[r] end
  local failed = run_ranks(state, ranks)
  local result = { status = "ok", outputs = {}, messages = state.messages, bytes = state.bytes }
  for r = 0, options.world - 1 do
    local arguments = ranks[r].arguments
    result.outputs[r] = mock_tl.contents(arguments[#arguments])
  end
  local waiting = describe_waits(ranks)
  if failed then
    result.status, result.error = "error", failed
  elseif #waiting > 0 then
    result.status, result.waiting, result.report = "deadlock", waiting, report_of(waiting, options.world)
  else
    result.error = unreceived(ranks)
    result.status = result.error and "error" or "ok"
  end
  return result
end

return M
