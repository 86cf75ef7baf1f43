-- Attention of one new token per user over a cache of keys and values that is cut by positions over all PEs, and
-- over ranks if there are several (context parallelism).
--
-- keys, values: (PEs, users, groups, slots, D), cut row_wise, so that every PE holds [1, ...]: position p of a user is
-- in slot p // all of PE p % all, where all = PEs x ranks, and the PEs of rank r are those from r x PEs on. So PEs
-- share users of any length evenly, to one position. `lengths` has how many positions each user has, a sequence.
-- q: a row for each user, which begins with (heads, D); out: (users x heads, D) of any shape; both are read and written
-- by ptr:whole(). heads / groups queries share a head of keys and values. `options`: heads, if that is not q's second
-- extent; rank and world, 0 and 1 if absent.
--
-- Every PE attends to what it holds. Then the PEs of a SIP merge their states (see online_softmax): they halve the
-- queries among them in log2(PEs) exchanges over the queues of `plan`, and each writes the queries that it ends with.
-- A second launch that reads the states of all PEs from their memory takes longer for any number of queries: every
-- one of those reads is a round trip.
--
-- With several ranks, `out` is (users x heads, D + 2) in f32: states (ol, m) side by side. The ranks gather them as
-- (ranks, users x heads, D + 2), of which merge_ranks makes the attention.
local shapes = require "kernbench.shape"
local softmax = require "kernels.online_softmax"
local tl = require "kernbench.tl"

local M = {}

M.BLOCK = 1024           -- keys that are taken at a time
M.STATE_BYTES = 1 << 20  -- of the states that are merged at a time
local FEW = 8            -- users, whose queries PEs pass on instead of loading all of them

--- Slots that hold positions 0 to context - 1 on `all` PEs.
---@param context integer
---@param all integer
---@return integer
function M.slots(context, all)
  return -(-context // all)
end

-- How many of `length` positions PE `index` of `all` holds.
local function held(length, index, all)
  return math.max(0, (length - index + all - 1) // all)
end

-- PEs in the exchanges: the greatest power of two.
local function power_of_two(n)
  local power = 1
  while power * 2 <= n do power = power * 2 end
  return power
end

-- ---- queries ----

-- Queries [first, last), counted through the users.
local function load_queries(about, first, last)
  local coming, heads = {}, about.heads
  while first < last do
    local user, head = first // heads, first % heads
    local count = math.min(heads - head, last - first)
    coming[#coming + 1] = tl.load_async(about.q + user * about.pitch + head * about.d, { count, about.d }, nil,
      { about.d, 1 })
    first = first + count
  end
  for i, handle in ipairs(coming) do coming[i] = tl.wait(handle) end
  return softmax.stack(coming)
end

-- Queries of a few users, [from, to). All PEs need all of them, and they lie on few PEs: so each loads an eighth, and
-- neighbours exchange what they have.
local function gather_queries(about, from, to, index, n)
  local power, first, rows = power_of_two(n), from * about.heads, (to - from) * about.heads
  local members = math.min(8, power)
  if index >= power then
    return load_queries(about, first, first + rows)
  end
  local me, bit = index % members, 1
  local function bound(part) return part * rows // members end
  local mine = bound(me) < bound(me + 1) and load_queries(about, first + bound(me), first + bound(me + 1)) or nil
  while bit < members do
    local direction, other = "merge" .. bit, me ~ bit
    local base = other & ~(bit - 1)
    local count = bound(base + bit) - bound(base)
    local coming = count > 0 and tl.recv_async(direction, { count, about.d }, about.q.dtype)
    if mine then tl.send(direction, mine) end
    local theirs = coming and tl.wait(coming) or nil
    mine = softmax.stack(other < me and { theirs or mine, theirs and mine } or { mine or theirs, mine and theirs })
    bit = bit * 2
  end
  return mine
end

-- ---- one PE's part ----

-- What there is to do for users [from, to): {user, group, first, count}; count = 0 if nothing. PEs begin with
-- different users, so that not all want the same queries.
local function work_of(keys, from, to, about)
  local groups, pes, lengths = keys.shape[3], keys.global_shape[1], about.lengths
  local index, all = keys.offset[1] + about.rank * pes, pes * about.world
  local list, users = {}, to - from
  for i = 0, users - 1 do
    local user = from + (i + keys.offset[1] * users // pes) % users
    local count = held(lengths[user + 1], index, all)
    for group = 0, groups - 1 do
      for first = 0, math.max(count, 1) - 1, M.BLOCK do
        list[#list + 1] = { user = user, group = group, first = first, count = math.min(M.BLOCK, count - first),
          last = first + M.BLOCK >= count }
      end
    end
  end
  return list
end

local function fetch(about, keys, values, item, queries)
  if not item or item.count == 0 then
    return nil
  end
  local groups, slots, d, per = keys.shape[3], keys.shape[4], about.d, about.per
  local at, shape = ((item.user * groups + item.group) * slots + item.first) * d, { item.count, d }
  local q = about.q + item.user * about.pitch + item.group * per * d
  return { q = not queries and item.first == 0 and tl.load_async(q, { per, d }, nil, { d, 1 }),
    k = tl.load_async(keys + at, shape), v = tl.load_async(values + at, shape) }
end

-- States of the queries of users [from, to), in order: a list of states of a few users or heads each.
local function states_of(about, keys, values, from, to)
  local work, states, state, q_columns = work_of(keys, from, to, about), {}, nil, nil
  local scale, per, groups = 1 / math.sqrt(about.d), about.per, keys.shape[3]
  local few = to - from < FEW
  local coming = fetch(about, keys, values, work[1], few)
  local queries = few and gather_queries(about, from, to, keys.offset[1], keys.global_shape[1])
  for i, item in ipairs(work) do
    local here, place = coming, (item.user - from) * groups + item.group
    coming = fetch(about, keys, values, work[i + 1], few)
    if not here then
      states[place + 1] = softmax.nothing(per, about.d)
    else
      if item.first == 0 then
        q_columns = tl.trans(here.q and tl.wait(here.q) or tl.narrow(queries, 0, place * per, per))
      end
      local scores = tl.trans(tl.dot(tl.wait(here.k), q_columns)) -- cheaper than transposing the keys
      state = softmax.step(state, scores, scale, tl.wait(here.v))
      if item.last then
        states[place + 1], state = softmax.packed(state), nil
      end
    end
  end
  local list = {}
  for i = 1, #states, 8 do
    list[#list + 1] = softmax.stacked(table.move(states, i, math.min(i + 7, #states), 1, {}))
  end
  return list
end

-- ---- merging ----

--- What connects the PEs of a SIP for `attention`, or of every SIP: to be given to engine:install_ipcq. PEs that
--- exchange the most are the nearest.
---@param machine {sips: integer, cubes: integer, pes: integer} runtime.machine
---@param options {sip?: integer, cubes?: integer, pes?: integer, n_slots?: integer, slot_size?: integer}? cubes and
---  pes: those that hold the cache
---@return table plan
function M.plan(machine, options)
  options = options or {}
  local pes, cubes = options.pes or machine.pes, options.cubes or machine.cubes
  local n = pes * cubes
  local power = power_of_two(n)
  local only = options.sip
  local plan = { name = "decode_attention" .. (only and " sip" .. only or ""), n_slots = options.n_slots or 4,
    slot_size = options.slot_size or 4096, pes = {} }
  local function direction(sip, name, peer)
    return { name = name, peer_direction = name, peer = { sip, peer // pes, peer % pes } }
  end
  for sip = only or 0, only or machine.sips - 1 do
    for index = 0, n - 1 do
      local directions, bit = {}, 1
      while index < power and bit < power do
        directions[#directions + 1] = direction(sip, "merge" .. bit, index ~ bit)
        bit = bit * 2
      end
      local fold = index ~ power
      if fold < n and (index >= power or index + power < n) then
        directions[#directions + 1] = direction(sip, "merge" .. power, fold)
      end
      plan.pes[#plan.pes + 1] = { sip = sip, cube = index // pes, pe = index % pes, directions = directions }
    end
  end
  return plan
end

-- Lists of states. Both sides of an exchange know how many rows each state has.

local function send(direction, states)
  for _, state in ipairs(states) do
    tl.send(direction, state.m)
    tl.send(direction, state.ol)
  end
end

-- Begin to receive as many rows as these states have.
local function post(direction, states, d)
  local coming = {}
  for i, state in ipairs(states) do
    local rows = state.m.shape[1]
    coming[i] = { tl.recv_async(direction, { rows, 1 }), tl.recv_async(direction, { rows, d + 1 }) }
  end
  return coming
end

local function merge(states, coming)
  for i, handles in ipairs(coming) do
    states[i] = softmax.merge(states[i], { m = tl.wait(handles[1]), ol = tl.wait(handles[2]) })
  end
end

local function rows_of(states)
  local rows = 0
  for _, state in ipairs(states) do rows = rows + state.m.shape[1] end
  return rows
end

-- Two halves: whole states as long as there are several, since taking a part of a tile passes over all of it.
local function halves(states)
  if #states > 1 then
    local half = (#states + 1) // 2
    return table.move(states, 1, half, 1, {}), table.move(states, half + 1, #states, 1, {})
  end
  local rows = rows_of(states)
  if rows == 1 then
    return states, {}
  end
  local low = (rows + 1) // 2
  return { softmax.rows(states[1], 0, low) }, { softmax.rows(states[1], low, rows - low) }
end

-- Merge the states of `n` PEs: each ends with some of the rows. Returns the first of them and the merged states, which
-- are none if this PE ends with no row.
local function halve(states, index, n, d)
  local power, first, bit = power_of_two(n), 0, 1
  local fold = "merge" .. power
  if index >= power then
    send(fold, states)
    return 0, {}
  elseif index + power < n then
    merge(states, post(fold, states, d))
  end
  while bit < power and #states > 0 do
    local low, high = halves(states)
    local keep, give = low, high
    if index & bit ~= 0 then
      keep, give, first = high, low, first + rows_of(low)
    end
    local coming = post("merge" .. bit, keep, d)
    send("merge" .. bit, give)
    merge(keep, coming)
    states, bit = keep, bit * 2
  end
  return first, states
end

-- ---- where results go ----

local function store(out, first, state, d)
  if out.dtype == "f32" and out.shape[#out.shape] == d + 2 then
    tl.store_async(out + first * (d + 2), tl.cat(state.ol, state.m, 1), { d + 2, 1 })
  else
    tl.store_async(out + first * d, tl.cast(softmax.finish(state), out.dtype), { d, 1 })
  end
end

-- What there is to know about the queries.
local function about_of(q, keys, lengths, options)
  local heads, groups = options.heads or q.global_shape[2], keys.shape[3]
  tl.static_assert(heads % groups == 0, ("decode_attention: %d heads of queries cannot share %d heads of keys evenly")
    :format(heads, groups))
  return { q = q:whole(), pitch = shapes.numel(q.global_shape) // #lengths, heads = heads, per = heads // groups,
    d = keys.shape[5], lengths = lengths, rank = options.rank or 0, world = options.world or 1 }
end

--- The attention, merged within the SIP. Rings as of `plan`, which has the PEs that hold the cache.
function M.attention(q, keys, values, out, lengths, options)
  local about = about_of(q, keys, lengths, options or {})
  local heads, d = about.heads, about.d
  local some = math.max(1, M.STATE_BYTES // (heads * (d + 2) * 4)) -- users whose states are merged at a time
  for from = 0, #lengths - 1, some do
    local states = states_of(about, keys, values, from, math.min(from + some, #lengths))
    local first, merged = halve(states, keys.offset[1], keys.global_shape[1], d)
    for _, state in ipairs(merged) do
      store(out:whole(), from * heads + first, state, d)
      first = first + state.m.shape[1]
    end
  end
end

-- Rows [first, first + count) of n parts, each behind a pointer, merged.
local function merge_parts(sources, first, count, d)
  local width = d + 2
  local function begin(i)
    return sources[i] and tl.load_async(sources[i] + first * width, { count, width })
  end
  local state, coming = nil, begin(1)
  for i = 1, #sources do
    local x = tl.wait(coming)
    coming = begin(i + 1)
    local one = { ol = tl.narrow(x, 1, 0, d + 1), m = tl.narrow(x, 1, d + 1, 1) }
    state = state and softmax.merge(state, one) or one
  end
  return state
end

-- This PE's share of `rows`: the first and how many.
local function share(rows, index, n)
  local per = -(-rows // n)
  local first = math.min(rows, index * per)
  return first, math.min(per, rows - first)
end

-- Blocks of rows that fit into TCM a few times.
local function each_block(rows, index, n, d, body)
  local first, count = share(rows, index, n)
  local some = math.max(1, M.STATE_BYTES // ((d + 2) * 4 * 3))
  for at = first, first + count - 1, some do body(at, math.min(some, first + count - at)) end
end

--- The states of all ranks, (ranks, users x heads, D + 2) in one piece, merged: every PE some of the queries.
function M.merge_ranks(gathered, out, world, rows, d)
  local sources, n = {}, tl.num_programs(0) * tl.num_programs(1)
  for rank = 0, world - 1 do sources[rank + 1] = gathered + rank * rows * (d + 2) end
  each_block(rows, tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), n, d, function(first, count)
    store(out, first, merge_parts(sources, first, count, d), d)
  end)
end

return M
