-- Attention of a sequence that is cut over ranks: keys and values travel around the ring of ranks, both ways, and
-- every rank receives each of the other ranks' chunks once (Liu, Zaharia and Abbeel 2023).
--
-- Rank r has positions [r n, (r + 1) n) of the sequence. q, out: (units, rows, D), cut over PEs by units (row_wise):
-- unit u is queries [p rows, (p + 1) rows) of head u // parts, with p = u % parts and parts = n / rows; so
-- (heads, n, D) in memory is what it takes. k, v: (groups, n, D), held whole by every PE, or cut such that a PE has
-- what its units need; heads / groups queries share a head of keys and values. A PE needs room for three times the
-- chunk of the heads that its units use.
--
-- options: {keys = how many are taken at a time, causal = whether queries see later keys}.
--
-- As an algorithm: torch.install_ipcq { algorithm = "kernels.ring_attention", ranks = "sip" } returns the kernel,
-- to be launched on every rank as kernel(q, k, v, out, options). Of one rank it is attention within a SIP.
local softmax = require "kernels.online_softmax"
local tl = require "kernbench.tl"

local M = { collective = "shift", topology = "ring_1d", description = "attention: keys and values around both ways" }

-- ---- what a PE computes ----

-- Its units: {group, first query (in the sequence), q}, with the running state.
local function units_of(c, q, k)
  local rows, n, d = q.shape[2], k.shape[2], q.shape[3]
  local parts, groups = n // rows, k.global_shape[1]
  tl.static_assert(n % rows == 0, ("ring_attention: %d positions are no multiple of %d rows"):format(n, rows))
  local heads = q.global_shape[1] // parts
  tl.static_assert(heads * parts == q.global_shape[1] and heads % groups == 0,
    ("ring_attention: %d units of %d rows do not fit %d heads of keys of %d positions"):format(q.global_shape[1], rows,
      groups, n))
  local units = {}
  for i = 0, q.shape[1] - 1 do
    local unit = q.offset[1] + i
    units[i + 1] = { group = unit // parts // (heads // groups), first = c.rank * n + unit % parts * rows,
      q = tl.load_async(q + i * rows * d, { rows, d }) }
  end
  return units
end

-- Which of the keys from `first_key` the queries of a unit see: false for none, nil for all.
local function visible_of(unit, rows, first_key, keys)
  if first_key > unit.first + rows - 1 then
    return false
  elseif first_key + keys - 1 <= unit.first then
    return nil
  end
  local query = tl.expand_dims(tl.arange(unit.first, unit.first + rows), 1)
  return tl.le(tl.arange(first_key, first_key + keys), query)
end

-- A block of keys and values, for every unit that uses its head.
local function attend(units, block, options, scale)
  local columns
  for _, unit in ipairs(units) do
    local rows = unit.q.shape[1]
    local visible
    if options.causal then visible = visible_of(unit, rows, block.first, block.k.shape[1]) end
    if unit.group == block.group and visible ~= false then
      columns = columns or tl.trans(block.k)
      local scores = tl.dot(unit.q, columns)
      if visible then scores = tl.where(visible, scores, -math.huge) end
      unit.state = softmax.step(unit.state, scores, scale, block.v)
    end
  end
end

-- ---- what travels ----

-- The blocks of a chunk that the units use: {group, first (in the chunk), count}.
local function blocks_of(units, n, keys)
  local list = {}
  for group = units[1].group, units[#units].group do
    for first = 0, n - 1, keys do
      list[#list + 1] = { group = group, first = first, count = math.min(keys, n - first) }
    end
  end
  return list
end

-- Begin to receive a block.
local function post(direction, block, k)
  local shape = { block.count, k.shape[3] }
  return { tl.recv_async(direction, shape, k.dtype), tl.recv_async(direction, shape, k.dtype) }
end

local function send(direction, k, v)
  tl.send(direction, k)
  tl.send(direction, v)
end

local function load(k, v, block)
  local d = k.shape[3]
  local at = ((block.group - k.offset[1]) * k.shape[2] + block.first) * d
  return { tl.load_async(k + at, { block.count, d }), tl.load_async(v + at, { block.count, d }) }
end

-- The ways around: {from, to, step, rounds}; `rounds` chunks come from there, of ranks rank + step, rank + 2 step, ...
local function ways_of(c)
  local others = c.world - 1
  local ways = { { from = c.W, to = c.E, step = -1, rounds = (others + 1) // 2 },
    { from = c.E, to = c.W, step = 1, rounds = others // 2 } }
  while #ways > 0 and ways[#ways].rounds == 0 do ways[#ways] = nil end
  return ways
end

function M.kernel(c, q, k, v, out, options)
  local d, n = q.shape[3], k.shape[2]
  local units, ways, scale = units_of(c, q, k), ways_of(c), 1 / math.sqrt(d)
  local blocks = blocks_of(units, n, options.keys)
  -- Receives are posted one round ahead: a rank then only ever waits for one that is behind it, so not in a circle.
  for _, way in ipairs(ways) do
    way.posted = {}
    for i, block in ipairs(blocks) do way.posted[i] = post(way.from, block, k) end
  end
  local coming = load(k, v, blocks[1])
  for _, unit in ipairs(units) do unit.q = tl.wait(unit.q) end
  for i, block in ipairs(blocks) do
    local bk, bv = tl.wait(table.unpack(coming))
    coming = blocks[i + 1] and load(k, v, blocks[i + 1])
    for _, way in ipairs(ways) do send(way.to, bk, bv) end
    attend(units, { group = block.group, first = c.rank * n + block.first, k = bk, v = bv }, options, scale)
  end
  for round = 1, ways[1] and ways[1].rounds or 0 do
    for i, block in ipairs(blocks) do
      for _, way in ipairs(ways) do
        if round <= way.rounds then
          local bk, bv = tl.wait(table.unpack(way.posted[i]))
          if round < way.rounds then
            way.posted[i] = post(way.from, block, k)
            send(way.to, bk, bv)
          end
          local from = (c.rank + way.step * round) % c.world
          attend(units, { group = block.group, first = from * n + block.first, k = bk, v = bv }, options, scale)
        end
      end
    end
  end
  for i, unit in ipairs(units) do
    local o = unit.state.o / unit.state.l
    tl.store_async(out + (i - 1) * q.shape[2] * d, tl.cast(o, out.dtype))
  end
end

return M
