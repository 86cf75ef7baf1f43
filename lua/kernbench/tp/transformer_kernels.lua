--- The kernels of transformer layers: what lies between products.
--
-- Activations are [sequence, batch, ...] or (rows, ...), in one piece or cut by rows over PEs; kernels reach all of
-- one by ptr:whole(). They compute in f32.
local shapes = require "kernbench.shape"
local tl = require "kernbench.tl"

local M = {}

local MOST = 1 << 17 -- elements of a tile

-- Rows that this PE holds of an activation: the first, how many, and elements of one.
local function own_rows(x)
  local shape, per = x.global_shape, 1
  for d = 2, #shape - 1 do per = per * shape[d] end
  return x.offset[1] * per, x.shape[1] * per, shape[#shape]
end

-- This PE among those of the launch, which is on all of a SIP, and their number.
local function among_all()
  return tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.num_programs(0) * tl.num_programs(1)
end

-- Begin to load `count` rows of n elements from `row` on.
local function fetch_rows(x, row, count, n)
  return tl.load_async(x:whole() + row * n, { count, n })
end

local function in_f32(handle)
  return tl.cast(tl.wait(handle), "f32")
end

local function store_rows(out, row, tile)
  tl.store_async(out:whole() + row * tile.shape[2], tl.cast(tile, out.dtype))
end

-- ---- normalisation and residuals ----

--- sum = x + y, out = the normalised sum: every PE its rows of out. Without y, of x alone.
--
-- gamma, beta: (hidden), a copy in every cube; with beta it is LayerNorm, else RMSNorm.
function M.norm(x, y, gamma, beta, sum, out, eps)
  local first, rows, n = own_rows(out)
  local weight, bias, some = tl.load_async(gamma), beta and tl.load_async(beta), math.max(1, MOST // n)
  local g, b
  for row = first, first + rows - 1, some do
    local count = math.min(some, first + rows - row)
    local coming, other = fetch_rows(x, row, count, n), y and fetch_rows(y, row, count, n)
    if not g then g, b = in_f32(weight), bias and in_f32(bias) end
    local a = in_f32(coming)
    if y then
      a = a + in_f32(other)
      store_rows(sum, row, a)
    end
    if b then a = a - tl.sum(a, 1, true) * (1 / n) end
    local scaled = a * tl.rsqrt(tl.sum(a * a, 1, true) * (1 / n) + eps)
    store_rows(out, row, b and tl.fma(scaled, g, b) or scaled * g)
  end
end

--- out = x + y: every PE its rows of out.
function M.add(x, y, out)
  local first, rows, n = own_rows(out)
  local some = math.max(1, MOST // n)
  for row = first, first + rows - 1, some do
    local count = math.min(some, first + rows - row)
    local a, b = fetch_rows(x, row, count, n), fetch_rows(y, row, count, n)
    store_rows(out, row, in_f32(a) + in_f32(b))
  end
end

-- ---- activation functions ----

local function gelu(x)
  return x * 0.5 * (tl.erf(x * math.sqrt(0.5)) + 1)
end

-- fn(first, count, columns or nil) for this PE's share of rows x n elements: whole rows, or a part of one.
local function each_share(rows, n, fn)
  local me, pes = among_all()
  local per = -(-rows * n // pes)
  local at, last = me * per, math.min(rows * n, (me + 1) * per)
  while at < last do
    local row, column = at // n, at % n
    local whole = column == 0 and math.min((last - at) // n, math.max(1, MOST // n)) or 0
    local columns = whole > 0 and n or math.min(n - column, last - at)
    fn(row, math.max(1, whole), column, columns)
    at = at + math.max(1, whole) * columns
  end
end

--- out = gelu(x), over all PEs.
function M.gelu(x, out)
  local n = x.global_shape[#x.global_shape]
  each_share(shapes.numel(x.global_shape) // n, n, function(row, count, column, columns)
    local y = gelu(tl.cast(tl.load(x:whole() + row * n + column, { count, columns }, nil, { n, 1 }), "f32"))
    tl.store_async(out:whole() + row * n + column, tl.cast(y, out.dtype), { n, 1 })
  end)
end

--- out = silu(gate) up, over all PEs. x: rows of 2 n, the gate before the other half; out: rows of n.
function M.swiglu(x, out)
  local n = out.global_shape[#out.global_shape]
  each_share(shapes.numel(out.global_shape) // n, n, function(row, count, column, columns)
    local at = x:whole() + row * 2 * n + column
    local gate = tl.load_async(at, { count, columns }, nil, { 2 * n, 1 })
    local up = tl.load_async(at + n, { count, columns }, nil, { 2 * n, 1 })
    local g = tl.cast(tl.wait(gate), "f32")
    tl.store_async(out:whole() + row * n + column,
      tl.cast(g * tl.sigmoid(g) * tl.cast(tl.wait(up), "f32"), out.dtype), { n, 1 })
  end)
end

-- ---- positions and the cache ----

-- The two halves (a, b) of every vector of x (n, heads, d), turned: (a cos - b sin, b cos + a sin).
local function rotate(x, cos, sin)
  local d = x.shape[3]
  local f = tl.cast(x, "f32")
  local a, b = tl.narrow(f, 2, 0, d // 2), tl.narrow(f, 2, d // 2, d // 2)
  return tl.cast(tl.cat(a * cos - b * sin, b * cos + a * sin, 2), x.dtype)
end

-- Rows from `row` on that are at successive positions of one user: {user, position, count}.
local function run_of(spec, row, most)
  if spec.positions then
    return { user = row, position = spec.positions[row + 1], count = 1 }
  end
  local position = row // spec.batch
  return { user = row % spec.batch, position = position,
    count = spec.batch > 1 and 1 or math.min(most, spec.pes - position % spec.pes) }
end

-- Keys or values (count, groups, d) into the cache, whose PEs take turns by position.
local function append(cache, spec, run, tile)
  local users, slots, d = cache.global_shape[2], cache.global_shape[4], spec.d
  local pe, slot = run.position % spec.pes, run.position // spec.pes
  local at = (((pe * users + run.user) * spec.groups) * slots + slot) * d
  tl.store_async(cache:whole() + at, tile, { users * spec.groups * slots * d, slots * d, 1 })
end

--- Turn queries and keys by their positions, in place, and put keys and values into the cache: every PE its rows.
--
-- qkv: rows of (heads + 2 groups) d, keys behind queries, values behind those. cos, sin: (positions, d / 2), a copy in
-- every cube, or nil: not turned. keys, values: (pes, users, groups, slots, d), or nil: not kept. spec: {heads, groups,
-- d, pes, batch} and `positions`, one for each row, or nil: row r is position r // batch of user r % batch.
function M.positions(qkv, cos, sin, keys, values, spec)
  local first, rows, width = own_rows(qkv)
  local heads, groups, d = spec.heads, spec.groups, spec.d
  local row, most = first, math.max(1, MOST // width)
  while row < first + rows do
    local run = run_of(spec, row, math.min(most, first + rows - row))
    local at, strides = qkv:whole() + row * width, { width, d, 1 }
    local turned = tl.load(at, { run.count, heads + groups, d }, nil, strides)
    local v = values and tl.load_async(at + (heads + groups) * d, { run.count, groups, d }, nil, strides)
    if cos then
      local shape = { run.count, d // 2 }
      local c = tl.expand_dims(tl.load(cos + run.position * (d // 2), shape), 1)
      local s = tl.expand_dims(tl.load(sin + run.position * (d // 2), shape), 1)
      turned = rotate(turned, c, s)
      tl.store_async(at, turned, strides)
    end
    if keys then
      append(keys, spec, run, tl.narrow(turned, 1, heads, groups))
      append(values, spec, run, tl.wait(v))
    end
    row = row + run.count
  end
end

return M
