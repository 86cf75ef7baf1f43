--- The kernels of tensor parallelism: products over all PEs of a SIP, and what moves rows and columns.
--
-- Activations are (rows, columns), row-major, in one piece or cut by rows over PEs; kernels reach all of one by
-- ptr:whole(). Weights are cut by columns over all PEs.
local tl = require "kernbench.tl"

local M = {}

local MOST = 1 << 20 -- bytes of a tile that is only moved

local function place()
  return tl.program_id(1) << 8 | tl.program_id(0)
end

--- x into a copy of each cube: every PE its share, beginning at another place in every cube.
--
-- x: an activation; copies: as many elements, a copy in each of `cubes` cubes, cut over its PEs.
function M.spread(x, copies, item, cubes)
  local count, first = copies.shape[1], copies.offset[1]
  local size = math.min(MOST // item, math.max(4096 // item, -(-count // cubes)))
  local parts = -(-count // size)
  local function fetch(i)
    local at = (i + tl.program_id(1)) % parts * size
    return tl.load_async(x:whole() + first + at, { math.min(size, count - at) }), at
  end
  local coming, at = fetch(0)
  for i = 1, parts do
    local tile, to = tl.wait(coming), at
    if i < parts then coming, at = fetch(i) end
    tl.store_async(copies + to, tile)
  end
end

-- The sum of one block of rows of x w as far as it has got, and the tiles of w that stay in TCM.
local function multiply_columns(x, w, out, blocks, bias)
  local kept, sum, steps = {}, nil, blocks.blocks * blocks.chunks
  local turn = tl.program_id(0) * blocks.blocks // tl.num_programs(0) -- PEs of a cube begin at different rows
  local function fetch(step)
    local row = (step // blocks.chunks + turn) % blocks.blocks * blocks.height
    local k = step % blocks.chunks * blocks.inner
    local height, inner = math.min(blocks.height, blocks.rows - row), math.min(blocks.inner, x.K - k)
    return { row = row, k = k, last = k + inner == x.K,
      w = kept[k] or tl.load_async(w.ptr + k * w.pitch, { inner, w.n }, nil, { w.pitch, 1 }),
      x = tl.load_async(x.ptr + row * x.K + k, { height, inner }, nil, { x.K, 1 }) }
  end
  local now = fetch(0)
  for step = 1, steps do
    local a, b = tl.wait(now.x), kept[now.k] or tl.wait(now.w)
    if blocks.keep then kept[now.k] = b end
    local coming = step < steps and fetch(step) or nil
    sum = tl.dot(a, b, sum, now.last and not bias and out.ptr.dtype or nil)
    if now.last then
      if bias then sum = tl.cast(sum + bias, out.ptr.dtype) end
      tl.store_async(out.ptr + now.row * out.pitch, sum, { out.pitch, 1 })
      sum = nil
    end
    now = coming
  end
end

--- out = x w (+ bias): every PE some columns.
--
-- x: (rows, K) as a flat copy in every cube; w: (K, N), cut by columns, or an activation, whose columns
-- `columns` shares out; out: rows of N; bias: (N), cut like w, or nil. `blocks`: from product.blocks.
function M.linear(x, w, out, blocks, columns, bias)
  local K, N = w.global_shape[1], w.global_shape[2]
  local mine = columns and columns[place()] or { first = w.offset[2], n = w.shape[2] }
  local from, pitch = columns and w:whole() + mine.first or w, columns and N or mine.n
  for at = 0, mine.n - 1, blocks.width do
    local n = math.min(blocks.width, mine.n - at)
    multiply_columns({ ptr = x:whole(), K = K }, { ptr = from + at, n = n, pitch = pitch },
      { ptr = out:whole() + (mine.first + at), pitch = N }, blocks, bias and tl.load(bias + at, { n }))
  end
end

--- x = x + bias: every PE its rows. x: (..., N), cut by rows; bias: (N), a copy in every cube.
function M.add_bias(x, bias, N, item)
  local count = 1
  for _, extent in ipairs(x.shape) do count = count * extent end
  local b, rows, some = tl.load(bias), count // N, math.max(1, MOST // (N * item))
  for row = 0, rows - 1, some do
    tl.store(x + row * N, tl.load(x + row * N, { math.min(some, rows - row), N }) + b)
  end
end

-- A block of rows of `columns` elements, `from_pitch` and `to_pitch` elements apart.
local function copy(from, from_pitch, to, to_pitch, rows, columns, item)
  local width = math.min(columns, MOST // item)
  local height = math.max(1, MOST // (width * item))
  for row = 0, rows - 1, height do
    for column = 0, columns - 1, width do
      local shape = { math.min(height, rows - row), math.min(width, columns - column) }
      tl.store_async(to + row * to_pitch + column,
        tl.load(from + row * from_pitch + column, shape, nil, { from_pitch, 1 }), { to_pitch, 1 })
    end
  end
end

-- Elements that this PE holds of an activation: the first, and how many.
local function own(x)
  local row = 1
  for d = 2, #x.global_shape do row = row * x.global_shape[d] end
  return x.offset[1] * row, x.shape[1] * row
end

--- to = from[:, skip : skip + columns] of rows of `width`: every PE its rows.
function M.slice(from, to, view)
  local first, count = own(to)
  local row = first // view.columns
  copy(from:whole() + view.skip + row * view.width, view.width, to, view.columns, count // view.columns, view.columns,
    view.item)
end

-- Zeros in all that this PE holds.
local function clear(x, dtype, item)
  local _, count = own(x)
  for at = 0, count - 1, MOST // item do
    tl.store(x + at, tl.zeros({ math.min(MOST // item, count - at) }, dtype))
  end
end

--- to = zeros, but for to[:, skip : skip + columns] of rows of `width`, which is from: every PE its rows of `to`.
-- Without `from`, zeros alone.
function M.place(from, to, view)
  clear(to, to.dtype, view.item)
  if not view.columns then
    return
  end
  local first, count = own(to)
  local row, rows = first // view.width, count // view.width
  if view.first then -- rows view.first, ... of `to` are those of `from`
    local begin, stop = math.max(row, view.first), math.min(row + rows, view.first + view.rows)
    copy(from:whole() + (begin - view.first) * view.width, view.width, to + (begin - row) * view.width, view.width,
      stop - begin, view.width, view.item)
  else
    copy(from:whole() + row * view.columns, view.columns, to + view.skip, view.width, rows, view.columns, view.item)
  end
end

--- from (rows, count, columns) as to (count, rows, columns): every PE its rows.
function M.split(from, to, view)
  local first, count = own(to)
  local line, last = first // view.columns, (first + count) // view.columns - 1 -- of `columns` elements
  local pitch = view.count * view.columns
  for part = line // view.rows, last // view.rows do
    local begin = math.max(line, part * view.rows)
    local rows = math.min(last, part * view.rows + view.rows - 1) + 1 - begin
    copy(from:whole() + part * view.columns + begin % view.rows * pitch, pitch, to + (begin - line) * view.columns,
      view.columns, rows, view.columns, view.item)
  end
end

--- from (count, rows, columns) as to (rows, count, columns): every PE its rows.
function M.merge(from, to, view)
  local first, count = own(to)
  local pitch = view.count * view.columns
  for part = 0, view.count - 1 do
    copy(from:whole() + (part * view.rows + first // pitch) * view.columns, view.columns, to + part * view.columns,
      pitch, count // pitch, view.columns, view.item)
  end
end

--- out = fn(a, b), element by element: every PE its rows.
function M.pointwise(a, b, out, fn, item)
  local first, count = own(out)
  local some = MOST // (4 * item)
  for at = 0, count - 1, some do
    local n = math.min(some, count - at)
    tl.store(out + at, fn(tl.load(a:whole() + first + at, { n }), tl.load(b:whole() + first + at, { n })))
  end
end

--- out[i] = w[ids[i] - first] where the table has that row, else zeros: every PE its rows of out.
--
-- ids: an activation of integers; w: (V, D) and out: (..., D), cut by rows. Without numbers every row is
-- fetched. V: rows over all ranks.
function M.embedding(ids, w, out, first, V)
  local here, D = w.global_shape[1], w.global_shape[2]
  local at, count = own(out)
  local T = count // D
  local wanted, nothing = tl.load(ids:whole() + at // D, { T }), tl.zeros({ D }, w.dtype)
  for i = 0, T - 1 do
    local id = tl.has_values() and wanted:item(i) or first + (at // D + i) % here
    tl.device_assert(id >= 0 and id < V, ("id %d is not in a vocabulary of %d"):format(id, V))
    local tile = id >= first and id < first + here and tl.load(w:whole() + (id - first) * D, { D }) or nothing
    tl.store_async(out + i * D, tile)
  end
end

return M
