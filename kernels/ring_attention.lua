-- Attention of sequences that are cut over ranks: keys and values travel around the ring of ranks, both ways, and every
-- rank receives each of the other ranks' chunks once (Liu, Zaharia and Abbeel 2023). Of one rank it is attention within
-- a SIP.
--
-- Rank r has positions [r n, (r + 1) n). qkv: [n, users, (heads + 2 groups) D], queries, then keys, then values, as one
-- product leaves them; out: [n, users, heads D]; gathered: [n, users, ranks x 2 groups D], room for what the others
-- send, nil for one rank. All are in one piece, or cut by rows over all PEs. A PE passes on the keys and values of its
-- own rows, and leaves what it receives in its rows of `gathered`, where all PEs of its SIP read it. heads / groups
-- queries share a head of keys and values.
--
-- options: {heads, groups, causal, rows, keys}: how many queries and keys are taken at a time.
--
-- As an algorithm: torch.install_ipcq { algorithm = "kernels.ring_attention", ranks = "sip" } returns the kernel, to be
-- launched on all PEs of every rank as kernel(qkv, gathered, out, options).
local softmax = require "kernels.online_softmax"
local tl = require "kernbench.tl"

local M = { collective = "shift", topology = "ring_1d", description = "attention: keys and values around both ways" }

-- This PE among those of the launch, which is on all of a SIP, and their number.
local function among_all()
  return tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.num_programs(0) * tl.num_programs(1)
end

-- ---- what a PE computes ----

-- Blocks of queries are dealt to the PEs there and back, so that each gets early ones, which see few keys, and late
-- ones: those of one head to the PEs that share it, or, if heads and PEs do not divide, those of all heads to all.
-- Calls take(block, pair), pair = user x heads + head.
local function deal(blocks, pairs, take)
  local me, pes = among_all()
  if pairs % pes == 0 then
    for pair = me * (pairs // pes), (me + 1) * (pairs // pes) - 1 do
      for block = 0, blocks - 1 do take(block, pair) end
    end
    return
  end
  local shared = pes % pairs == 0
  local count, dealt = shared and blocks or blocks * pairs, shared and pes // pairs or pes
  local index = shared and me // pairs or me
  for turn = 0, (count - 1) // dealt do
    local unit = turn * dealt + (turn % 2 == 0 and index or dealt - 1 - index)
    if unit < count then
      take(shared and unit or unit // pairs, shared and me % pairs or unit % pairs)
    end
  end
end

-- What is known of the tensors, and this PE's blocks of queries, in sets that use the same keys: {user, group, units =
-- {first, rows, head, q}}.
local function about_of(c, qkv, options)
  local n, users, width = table.unpack(qkv.global_shape)
  local heads, groups, rows = options.heads, options.groups, options.rows
  local d = width // (heads + 2 * groups)
  tl.static_assert(d * (heads + 2 * groups) == width and heads % groups == 0,
    ("ring_attention: rows of %d elements do not hold %d heads of queries that share %d of keys and of values evenly")
      :format(width, heads, groups))
  local about = { n = n, users = users, d = d, heads = heads, groups = groups, width = width, rank = c.rank,
    world = c.world, scale = 1 / math.sqrt(d), causal = options.causal, keys = options.keys, sets = {}, units = {} }
  local by_key = {}
  deal(-(-n // rows), users * heads, function(block, pair)
    local first, user, head = block * rows, pair // heads, pair % heads
    local unit = { first = first, rows = math.min(rows, n - first), user = user, head = head }
    unit.q = tl.load_async(qkv:whole() + (first * users + user) * width + head * d, { unit.rows, d }, nil,
      { users * width, 1 })
    local group = head // (heads // groups)
    local key = user * groups + group
    if not by_key[key] then
      by_key[key] = { user = user, group = group, units = {} }
      about.sets[#about.sets + 1] = by_key[key]
    end
    table.insert(by_key[key].units, unit)
    about.units[#about.units + 1] = unit
  end)
  for _, unit in ipairs(about.units) do unit.q = tl.wait(unit.q) end
  return about
end

-- Which of the keys from `first_key` each of the queries from `first` sees; nil: all of them.
local function visible_of(first, rows, first_key, keys)
  if first_key + keys - 1 <= first then
    return nil
  end
  local query = tl.expand_dims(tl.arange(first, first + rows), 1)
  return tl.le(tl.arange(first_key, first_key + keys), query)
end

-- A block of queries sees a block of keys, of which `position` is the first one's.
local function step(about, unit, columns, v, position)
  local first, keys = about.rank * about.n + unit.first, v.shape[1]
  if about.causal and position > first + unit.rows - 1 then return end
  local scores = tl.dot(unit.q, columns)
  local visible = about.causal and visible_of(first, unit.rows, position, keys)
  if visible then scores = tl.where(visible, scores, -math.huge) end
  unit.state = softmax.step(unit.state, scores, about.scale, v)
end

-- How many keys of a chunk some unit of a set sees.
local function seen_of(about, set, first_key)
  if not about.causal then return about.n end
  local seen = 0
  for _, unit in ipairs(set.units) do
    seen = math.max(seen, about.rank * about.n + unit.first + unit.rows - first_key)
  end
  return math.min(about.n, seen)
end

-- All blocks of queries attend to the keys of a chunk: {ptr =, width = of its rows, k =, v = columns, rank = whose}.
local function attend(about, chunk)
  local d, pitch, first_key = about.d, about.users * chunk.width, chunk.rank * about.n
  for _, set in ipairs(about.sets) do
    local base, seen = chunk.ptr + set.user * chunk.width + set.group * d, seen_of(about, set, first_key)
    local function fetch(key)
      local keys = math.min(about.keys, seen - key)
      if keys <= 0 then return nil end
      local at = base + key * pitch
      return { k = tl.load_async(at + chunk.k, { keys, d }, nil, { pitch, 1 }),
        v = tl.load_async(at + chunk.v, { keys, d }, nil, { pitch, 1 }) }
    end
    local coming = fetch(0)
    for key = 0, seen - 1, about.keys do
      local here = coming
      coming = fetch(key + about.keys)
      local columns, v = tl.trans(tl.wait(here.k)), tl.wait(here.v)
      for _, unit in ipairs(set.units) do step(about, unit, columns, v, first_key + key) end
    end
  end
end

-- ---- what travels ----

-- Wait until all PEs of the SIP are here: the PEs of a cube tell its first one, and these tell the first of all.
local function barrier()
  local pe, cube, pes, cubes = tl.program_id(0), tl.program_id(1), tl.num_programs(0), tl.num_programs(1)
  if pe > 0 then
    tl.signal({ pe = 0 }, 0)
    tl.signal_wait(1)
    return
  end
  if pes > 1 then tl.signal_wait(0, pes - 1) end
  if cube > 0 then
    tl.signal({ cube = 0, pe = 0 }, 2)
    tl.signal_wait(3)
  elseif cubes > 1 then
    tl.signal_wait(2, cubes - 1)
    for other = 1, cubes - 1 do tl.signal({ cube = other, pe = 0 }, 3) end
  end
  for other = 1, pes - 1 do tl.signal({ pe = other }, 1) end
end

-- The ways around: {from, to, step, rounds}; `rounds` chunks come from there, of ranks rank + step, rank + 2 step, ...
local function ways_of(c)
  local others = c.world - 1
  local ways = { { from = c.W, to = c.E, step = -1, rounds = (others + 1) // 2 },
    { from = c.E, to = c.W, step = 1, rounds = others // 2 } }
  while #ways > 0 and ways[#ways].rounds == 0 do ways[#ways] = nil end
  return ways
end

-- Keys and values of this PE's rows go to both neighbours. Receives are posted one round ahead: a rank then only ever
-- waits for one that is behind it, so not in a circle.
local function start(about, ways, qkv)
  local rows, kv = qkv.shape[1] * about.users, 2 * about.groups * about.d
  if rows == 0 then return end
  local own = tl.load(qkv + about.heads * about.d, { rows, kv }, nil, { about.width, 1 })
  for _, way in ipairs(ways) do way.posted = tl.recv_async(way.from, { rows, kv }, qkv.dtype) end
  for _, way in ipairs(ways) do tl.send(way.to, own) end
end

-- One round: take what has come, pass it on unless it has been everywhere, and leave it for the PEs of this SIP.
-- Returns the chunks.
local function pass_on(about, ways, round, gathered)
  local kv, chunks, stored = 2 * about.groups * about.d, {}, {}
  for _, way in ipairs(ways) do
    if round <= way.rounds then
      local rank = (about.rank + way.step * round) % about.world
      if way.posted then
        local tile = tl.wait(way.posted)
        if round < way.rounds then
          way.posted = tl.recv_async(way.from, tile.shape, tile.dtype)
          tl.send(way.to, tile)
        end
        stored[#stored + 1] = tl.store_async(gathered + rank * kv, tile, { about.world * kv, 1 })
      end
      chunks[#chunks + 1] = { ptr = gathered:whole(), width = about.world * kv, k = rank * kv,
        v = rank * kv + kv // 2, rank = rank }
    end
  end
  if #stored > 0 then tl.wait(table.unpack(stored)) end
  barrier()
  return chunks
end

function M.kernel(c, qkv, gathered, out, options)
  local about, ways = about_of(c, qkv, options), ways_of(c)
  local d, heads = about.d, about.heads
  if ways[1] then start(about, ways, qkv) end
  local own = { ptr = qkv:whole(), width = about.width, k = heads * d, v = (heads + about.groups) * d, rank = c.rank }
  attend(about, own)
  for round = 1, ways[1] and ways[1].rounds or 0 do
    for _, chunk in ipairs(pass_on(about, ways, round, gathered)) do attend(about, chunk) end
  end
  for _, unit in ipairs(about.units) do
    local at = ((unit.first * about.users + unit.user) * heads + unit.head) * d
    tl.store_async(out:whole() + at, tl.cast(unit.state.o / unit.state.l, out.dtype), { about.users * heads * d, 1 })
  end
end

--- Blocks of queries such that every one of `pes` PEs gets two, if there are enough.
---@param n integer positions
---@param users integer
---@param heads integer
---@param pes integer
---@return integer
function M.rows(n, users, heads, pes)
  local rows = 256
  while rows > 32 and -(-n // rows) * users * heads < 2 * pes do rows = rows // 2 end
  return rows
end

return M
