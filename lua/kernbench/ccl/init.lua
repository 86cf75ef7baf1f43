--- Collectives: from ccl.yaml, an algorithm and a machine to rings between PEs and a kernel to launch.
--
-- A rank is a PE, the first PE of a cube, or a SIP. Where ranks are SIPs, a rank's tensor is spread over the
-- PEs of its SIP; every PE that holds a part works with the PEs of the same number on the other SIPs, so
-- that corresponding elements are combined. What is replicated inside a SIP is sent by every copy.
--
--     local all_reduce = ccl.prepare("all_reduce", { ranks = "sip", shards = t.shards, bytes = n, op = "sum" })
--     ccl.install(all_reduce)                         -- waits; does nothing the second time
--     torch.launch("all_reduce", all_reduce.kernel, t)   -- on every rank's SIP
local algorithms = require "kernbench.ccl.algorithms"
local choose = require "kernbench.ccl.choose"
local config = require "kernbench.ccl.config"
local core = require "kernbench.core"
local plan = require "kernbench.ccl.plan"
local runtime = require "kernbench.runtime"
local shapes = require "kernbench.shape"
local tl = require "kernbench.tl"
local topologies = require "kernbench.ccl.topologies"
local yaml = require "kernbench.core.yaml"

local M = {}

-- ---- what is known of the open simulation ----

-- configs by path, algorithms by name, wirings by what they connect; by engine.
local states = setmetatable({}, { __mode = "k" })

local function state_of(call)
  local engine = runtime.need_engine(call)
  if not states[engine] then
    states[engine] = { configs = {}, algorithms = {}, wirings = {}, prefixes = 0, current = {} }
  end
  return states[engine], engine
end

local function config_of(state, path)
  path = path or runtime.ccl_yaml
  local key = path or ""
  if not state.configs[key] then
    state.configs[key] = config.load(path)
  end
  return state.configs[key]
end

local function load_algorithm(state, name)
  if not state.algorithms[name] then
    state.algorithms[name] = algorithms.load(name)
  end
  return state.algorithms[name]
end

-- ---- choosing ----

local OWN = { shift = "hello_send" } -- else the algorithm has the collective's name

local function choose_for(collective, options, layout)
  if collective == "all_reduce" then
    return choose.all_reduce(layout.world, options.bytes or 0, options.ranks, layout)
  elseif collective == "all_to_all" then
    return choose.all_to_all(layout.world, options.ranks)
  end
  return OWN[collective] or collective
end

-- Settings that an option may override for one collective.
local OVERRIDES = { "buffer_kind", "backpressure", "n_slots", "slot_size", "credit_bytes", "vc_chunk", "topology" }

-- The algorithm of a collective and its settings.
local function choose_algorithm(state, collective, options, layout)
  local settings = config_of(state, options.ccl_yaml)
  local name = options.algorithm
  if not name then name = collective == "all_reduce" and settings:settings().algorithm or "auto" end
  if name == "auto" then name = choose_for(collective, options, layout) end
  local chosen = settings:settings(name)
  for _, key in ipairs(OVERRIDES) do
    if options[key] ~= nil then chosen[key] = options[key] end
  end
  local algorithm = load_algorithm(state, chosen.module or name)
  if algorithm.collective ~= collective and collective ~= nil then
    error(("ccl: algorithm %s is for %s, not for %s"):format(name, algorithm.collective, collective), 0)
  end
  if chosen.topology and chosen.topology ~= algorithm.topology then
    algorithm = setmetatable({ topology = chosen.topology }, { __index = algorithm })
  end
  return algorithm, chosen
end

--- World size of the default group: the algorithm's in ccl.yaml, else the defaults', else the SIPs.
---@param ccl_yaml string?
---@return integer
function M.world_size(ccl_yaml)
  local settings = config_of(state_of("ccl.world_size"), ccl_yaml)
  local name = settings:settings().algorithm
  return settings:settings(name).world_size or runtime.machine.sips
end

-- ---- wiring ----

-- What tells wirings apart.
local function key_of(algorithm, settings, options, world)
  local words = { algorithm.topology == "none" and algorithm.path or algorithm.topology, options.ranks, world,
    settings.buffer_kind, settings.backpressure, settings.n_slots, settings.slot_size, settings.credit_bytes,
    settings.vc_chunk, options.num_cubes or "", options.grid and options.grid.w or "", options.sip_topology or "",
    tostring(options.rank_to_pe or "") }
  for _, sip in ipairs(options.sips or {}) do words[#words + 1] = "s" .. sip end
  for _, shard in ipairs(options.shards or {}) do words[#words + 1] = shard.cube .. "." .. shard.pe end
  return table.concat(words, " ")
end

local function place_key(machine, place)
  return (place[1] * machine.cubes + place[2]) * machine.pes + place[3]
end

-- Rings that connect these ranks in this way: made once, under directions of their own.
local function wiring_of(state, algorithm, settings, options, world)
  local key = key_of(algorithm, settings, options, world)
  local wiring = state.wirings[key]
  if wiring then
    return wiring
  end
  local prefix = options.prefix
  if not prefix and options.ranks == "sip" then
    prefix = state.prefixes == 0 and "global_" or ("global%d_"):format(state.prefixes)
    state.prefixes = state.prefixes + 1
  end
  local given = setmetatable({ prefix = prefix or "" }, { __index = options })
  local made, layout, places = plan.make(algorithm, settings, given, runtime.machine)
  wiring = { plan = made, layout = layout, prefix = given.prefix, ranks = {} }
  made.name = algorithm.name .. (given.prefix ~= "" and " " .. given.prefix or "")
  for rank = 0, layout.world - 1 do
    local place = places[rank]
    wiring.ranks[options.ranks == "sip" and place[1] or place_key(runtime.machine, place)] = rank
  end
  state.wirings[key] = wiring
  return wiring
end

-- ---- kernels ----

local WHOLE_ROWS = { all_gather = true, reduce_scatter = true, all_to_all = true }

-- Corresponding elements lie on corresponding PEs only if the first dimension is not cut.
local function check_rows(collective, ...)
  for i = 1, select("#", ...) do
    local ptr = (select(i, ...))
    if ptr.shape[1] ~= ptr.global_shape[1] then
      error(("%s: tensor '%s' is cut along its first dimension (%d of %d rows are here); cut it along another one, or "
        .. "leave it whole"):format(collective, ptr.name, ptr.shape[1], ptr.global_shape[1]), 0)
    end
  end
end

-- Input and output of a collective that has both.
local function check_sizes(collective, world, x, out)
  local n, m = shapes.numel(x.shape), shapes.numel(out.shape)
  local fits = collective == "all_gather" and m == n * world or collective == "reduce_scatter" and n == m * world
    or collective == "all_to_all" and n == m and n % world == 0
  if not fits or x.dtype ~= out.dtype then
    error(("%s on %d ranks: the input has %d elements of %s, the output %d of %s"):format(collective, world, n, x.dtype,
      m, out.dtype), 0)
  end
end

-- Run an algorithm on this PE's share of tensors that are cut along dimension 0.
local function run_share(algorithm, c, shares, x, out)
  local share = shares.of[tl.program_id(1) << 8 | tl.program_id(0)]
  if share.n > 0 then
    algorithm.kernel(c, x:whole() + share.at, out:whole() + share.at, { n = share.n, stride = shares.stride })
  end
end

local function kernel_of(algorithm, settings, wiring, options, world)
  local collective, machine, contexts = algorithm.collective, runtime.machine, {}
  local sips, two = options.ranks == "sip", WHOLE_ROWS[collective]
  local common = algorithms.common(wiring.layout, { op = options.op, root = options.root,
    n_slots = settings.n_slots, slot_size = settings.slot_size })
  local shares = options.shares
  if shares and not algorithm.takes_shares then
    error(("ccl: algorithm %s does not take tensors that are cut along dimension 0"):format(algorithm.name), 0)
  end
  return function(...)
    local sip = tl.program_id(2)
    local at = sips and sip or place_key(machine, { sip, tl.program_id(1), tl.program_id(0) })
    local rank = wiring.ranks[at]
    if not rank then
      error(("%s: this PE is none of the %d ranks"):format(collective, world), 0)
    end
    if two and not shares then
      check_sizes(collective, world, ...)
      if sips then check_rows(collective, ...) end
    end
    local listed = not sips and wiring.prefix == "" and wiring.plan.pes[rank + 1].directions or nil
    local c = contexts[rank] or algorithms.context(algorithm, rank, wiring.layout, common, wiring.prefix, nil, listed)
    if sips then contexts[rank] = c end
    if shares then
      run_share(algorithm, c, shares, ...)
    else
      algorithm.kernel(c, ...)
    end
  end
end

-- ---- for torch.distributed and benches ----

---@class ccl.Collective
---@field algorithm string its name
---@field collective string
---@field world integer
---@field plan table what connects the ranks
---@field kernel function to launch on every rank: in place, or with input and output

local OPTIONS = { "algorithm", "topology", "ranks", "world_size", "num_cubes", "rank_to_pe", "ccl_yaml", "sips",
  "shards", "shares", "bytes", "n_elem", "op", "root", "grid", "sip_topology", "prefix", "buffer_kind", "backpressure",
  "n_slots", "slot_size", "credit_bytes", "vc_chunk" }
local KNOWN = {}
for _, name in ipairs(OPTIONS) do KNOWN[name] = true end

local function check_options(call, options)
  for key in pairs(options) do
    if not KNOWN[key] then
      local near = yaml.nearest(tostring(key), OPTIONS)
      error(("%s: unknown option '%s'%s"):format(call, tostring(key), near and ("; did you mean '%s'?"):format(near)
        or "; it takes " .. table.concat(OPTIONS, ", ")), 0)
    end
  end
  local topology = options.topology
  if topology and not topologies.exists(topology) then
    local near = yaml.nearest(tostring(topology), topologies.names)
    error(("%s: topology is %s; %s"):format(call, tostring(topology), near and ("did you mean '%s'?"):format(near)
      or "expected one of " .. table.concat(topologies.names, ", ")), 0)
  end
  if options.op and not algorithms.ops[options.op] then
    error(("%s: op is %s; expected sum, avg, max, min, product, band, bor or bxor"):format(call,
      tostring(options.op)), 0)
  end
end

local function prepare(call, collective, options)
  check_options(call, options)
  local state = state_of(call)
  options = setmetatable({ ranks = options.ranks or "sip" }, { __index = options })
  if options.world_size == nil and options.sips then options.world_size = #options.sips end
  if not options.world_size and options.algorithm and options.algorithm ~= "auto" then
    options.world_size = config_of(state, options.ccl_yaml):settings(options.algorithm).world_size
  end
  local layout = plan.layout(options, runtime.machine)
  local world = layout.world
  if options.root and (math.type(options.root) ~= "integer" or options.root < 0 or options.root >= world) then
    error(("%s: root is %s; ranks are 0 to %d"):format(call, tostring(options.root), world - 1), 0)
  end
  local algorithm, settings = choose_algorithm(state, collective, options, layout)
  local wiring = wiring_of(state, algorithm, settings, options, world)
  return { algorithm = algorithm.name, collective = algorithm.collective, world = world, plan = wiring.plan,
    wiring = wiring, settings = settings, layout = wiring.layout,
    kernel = kernel_of(algorithm, settings, wiring, options, world) }
end

-- Errors of these modules at the line that called.
local function at_caller(fn, ...)
  local results = table.pack(pcall(fn, ...))
  if not results[1] then
    error(results[2], 3)
  end
  return table.unpack(results, 2, results.n)
end

--- Choose an algorithm, and make the plan of its rings and its kernel. Does not wait, installs nothing.
---@param collective string "all_reduce", "all_gather", ...
---@param options {ranks?: string, world_size?: integer, sips?: integer[], shards?: table[], algorithm?: string,
---  op?: string, root?: integer, bytes?: integer, ccl_yaml?: string}
---@return ccl.Collective
function M.prepare(collective, options)
  local prepared = at_caller(prepare, "ccl.prepare", collective, options or {})
  return prepared
end

--- Install the rings of a collective, unless they are; waits. To be called by one process at a time.
---@param prepared ccl.Collective
function M.install(prepared)
  local state, engine = state_of("ccl.install")
  local wiring = prepared.wiring
  if state.current[wiring.prefix] ~= wiring then
    engine:install_ipcq(wiring.plan)
    state.current[wiring.prefix] = wiring
  end
end

-- A plan for a bare topology.
local function bare(options)
  check_options("torch.install_ipcq", options)
  local state = state_of("torch.install_ipcq")
  options = setmetatable({ ranks = options.ranks or "pe" }, { __index = options })
  local settings = config_of(state, options.ccl_yaml):settings()
  for _, key in ipairs(OVERRIDES) do
    if options[key] ~= nil then settings[key] = options[key] end
  end
  local world = plan.layout(options, runtime.machine).world
  local wiring = wiring_of(state, { name = options.topology, topology = options.topology }, settings, options, world)
  return { collective = nil, world = world, plan = wiring.plan, wiring = wiring, settings = settings,
    layout = wiring.layout }
end

--- Install rings for kernels that a program launches itself: those of an algorithm, whose kernel is in the
--- result, or of a bare topology. Waits.
---@param options {algorithm?: string, topology?: string, ranks?: "pe"|"cube"|"sip", world_size?: integer,
---  num_cubes?: integer, rank_to_pe?: table|function, ccl_yaml?: string, op?: string, root?: integer}
---@return ccl.Collective
function M.install_ipcq(options)
  core.check_host "torch.install_ipcq"
  if type(options) ~= "table" or not options.algorithm and not options.topology then
    error("torch.install_ipcq: expected a table with an algorithm or a topology", 3)
  end
  local prepared
  if options.algorithm then
    local given = setmetatable({ ranks = options.ranks or "pe" }, { __index = options })
    prepared = at_caller(function()
      check_options("torch.install_ipcq", options)
      return prepare("torch.install_ipcq", options.algorithm == "auto" and "all_reduce" or nil, given)
    end)
  else
    prepared = at_caller(bare, options)
  end
  M.install(prepared)
  return prepared
end

return M
