--- The kernels of tensor parallelism: products over all PEs of a SIP, and what moves rows and columns.
--
-- Activations are (rows, columns), row-major, in one piece or cut by rows over PEs; kernels reach all of one by
-- ptr:whole(). Weights are cut by columns over all PEs.
local shapes = require "kernbench.shape"
local tl = require "kernbench.tl"

local M = {}

local MOST = 1 << 20 -- bytes of a tile that is only moved
local LEAST = 4096 -- ... that is worth a transfer
local AHEAD = 1 -- pieces that are loaded while one is multiplied

-- A range of x into the same place of a copy, in pieces; cubes begin at different ones.
local function copy_range(x, copies, first, count, item, cubes)
  local size = math.min(MOST // item, math.max(LEAST // item, -(-count // cubes)))
  local parts = -(-count // size)
  local function fetch(i)
    local at = (i + tl.program_id(1)) % parts * size
    return tl.load_async(x + first + at, { math.min(size, count - at) }), at
  end
  local coming, at = fetch(0)
  for i = 1, parts do
    local tile, to = tl.wait(coming), at
    if i < parts then coming, at = fetch(i) end
    tl.store_async(copies + to, tile)
  end
end

-- Units first, ..., last - 1 of x into slabs, a unit being `slab` columns of a row, or the rest of it.
local function copy_units(x, copies, first, last, blocks, K)
  local slab, slabs, coming = blocks.slab, -(-K // blocks.slab), {}
  local unit = first
  while unit < last do
    local row, s = unit // slabs, unit % slabs
    local count = math.min(slabs - s, last - unit)
    local full = math.min(count, K // slab - s) -- units of full length; the row's last one may be shorter
    for _, run in ipairs { { s, full, slab }, { s + full, count - full, K % slab } } do
      if run[2] > 0 then
        coming[#coming + 1] = { tl.load_async(x + row * K + run[1] * slab, { run[2], run[3] }, nil, { run[3], 1 }),
          copies + (run[1] * blocks.rows + row) * slab }
      end
    end
    unit = unit + count
  end
  for _, pair in ipairs(coming) do tl.store_async(pair[2], tl.wait(pair[1]), { blocks.rows * slab, 1 }) end
end

--- x, (rows, K), into a copy of each cube, as product.blocks says: in slabs, for which every PE moves an even share, or
--- as it is, for which every PE fetches what it holds of the copy.
function M.spread(x, copies, blocks, K, item)
  local pe, pes = tl.program_id(0), tl.num_programs(0)
  if blocks.slab < K then
    local units = blocks.rows * -(-K // blocks.slab)
    copy_units(x:whole(), copies:whole(), pe * units // pes, (pe + 1) * units // pes, blocks, K)
  else
    copy_range(x:whole(), copies, copies.offset[1], copies.shape[1], item, tl.num_programs(1))
  end
end

--- An activation w, (K, N), cut by columns: every PE fetches its columns of all rows, `height` at a time, which one PE
--- holds; all begin at different ones.
function M.to_columns(w, out, item, height)
  local K, n, N, first = out.shape[1], out.shape[2], out.global_shape[2], out.offset[2]
  height = math.min(height, math.max(1, MOST // (n * item)))
  local parts = -(-K // height)
  local begin = first * parts // N
  local function fetch(i)
    local row = (begin + i) % parts * height
    return tl.load_async(w:whole() + row * N + first, { math.min(height, K - row), n }, nil, { N, 1 }), row
  end
  local coming, row = fetch(0)
  for i = 1, parts do
    local tile, to = tl.wait(coming), row
    if i < parts then coming, row = fetch(i) end
    tl.store_async(out + to * n, tile)
  end
end

-- Tiles side by side, in one store: rows of many columns travel better than as many of few.
local function store_joined(out, pitch, tiles)
  while #tiles > 1 do
    local half = {}
    for i = 1, #tiles, 2 do half[#half + 1] = tiles[i + 1] and tl.cat(tiles[i], tiles[i + 1], 1) or tiles[i] end
    tiles = half
  end
  tl.store_async(out, tiles[1], { pitch, 1 })
end

-- Where a piece of `blocks.inner` columns of x begins in its copy: `row` and the rows behind it, from column k on.
local function load_x(x, K, row, last, k, blocks)
  local slab = blocks.slab
  return tl.load_async(x + (k // slab * blocks.rows + row) * slab + k % slab,
    { math.min(blocks.height, last - row), math.min(blocks.inner, K - k) }, nil, { slab, 1 })
end

local function load_w(part, K, k, blocks)
  return tl.load_async(part.ptr + k * part.pitch, { math.min(blocks.inner, K - k), part.n }, nil, { part.pitch, 1 })
end

-- The sum after one more piece; after the last, as it is stored.
local function add_product(sum, a, b, part, ends)
  sum = tl.dot(a, b, sum, ends and not part.bias and part.out.dtype or nil)
  return ends and part.bias and tl.cast(sum + part.bias, part.out.dtype) or sum
end

-- What multiply_blocks does for one block of rows and one part: every piece is needed once. With blocks.early, x is
-- loaded before any of w, whose stream then is not disturbed.
local function multiply_once(x, K, part, first, last, turn, blocks)
  local chunks, inner, held, sum = blocks.chunks, blocks.inner, nil, nil
  local k_turn = blocks.slab < K and math.floor(turn * chunks) or 0
  if blocks.early then
    held = {}
    for i = 1, chunks do held[i] = load_x(x, K, first, last, (i - 1 + k_turn) % chunks * inner, blocks) end
    tl.wait(table.unpack(held))
  end
  local function fetch(i)
    local k = (i - 1 + k_turn) % chunks * inner
    local w = load_w(part, K, k, blocks)
    return held and held[i] or load_x(x, K, first, last, k, blocks), w
  end
  local a, b = fetch(1)
  for i = 1, chunks do
    local next_a, next_b
    if i < chunks then next_a, next_b = fetch(i + 1) end
    sum = add_product(sum, tl.wait(a), tl.wait(b), part, i == chunks)
    a, b = next_a, next_b
  end
  tl.store_async(part.out + first * blocks.N, sum, { blocks.N, 1 })
end

-- Rows first, ..., last - 1 of x times some columns of w, in blocks: for each block of rows, for each part of the
-- columns, the sum over pieces along K. The next pieces are loaded while one is multiplied. Tiles of w stay in TCM
-- if blocks.keep, and tiles of x while their rows last if blocks.hold. With blocks.join, the columns of all parts,
-- which adjoin, are stored together.
--
-- x: a copy of blocks.slab; parts: {ptr =, pitch =, n =, bias =, out =, place =}; turn: from 0 to 1, where this PE
-- begins, so that the PEs of a cube do not all read one slice at a time: in slabs, at another slab, else at
-- another row.
local function multiply_blocks(x, K, parts, first, last, turn, blocks)
  local slab, chunks, kept, held, held_row = blocks.slab, blocks.chunks, {}, {}, nil
  local rows, per_block = -(-(last - first) // blocks.height), #parts * chunks
  if rows == 1 and #parts == 1 and not blocks.join then
    return multiply_once(x, K, parts[1], first, last, turn, blocks)
  end
  local steps, k_turn = rows * per_block, slab < K and math.floor(turn * chunks) or 0
  local row_turn = slab < K and 0 or math.floor(turn * rows)
  local function fetch(step)
    local row = first + (step // per_block + row_turn) % rows * blocks.height
    local k = (step + k_turn) % chunks * blocks.inner
    local index = step // chunks % #parts + 1
    local part, key = parts[index], index * K + k
    if row ~= held_row then held, held_row = {}, row end
    local b = kept[key] or load_w(part, K, k, blocks)
    local a = held[k] or load_x(x, K, row, last, k, blocks)
    if blocks.keep then kept[key] = b end
    if blocks.hold then held[k] = a end
    return { row = row, part = part, x = a, w = b }
  end
  local queue, fetched, sum, done, count = {}, 0, nil, {}, 0
  for step = 1, steps do
    while fetched < steps and fetched < step + AHEAD do
      queue[fetched + 1], fetched = fetch(fetched), fetched + 1
    end
    local now, ends = queue[step], step % chunks == 0
    local part = now.part
    queue[step] = nil
    sum = add_product(sum, tl.wait(now.x), tl.wait(now.w), part, ends)
    if ends then
      if blocks.join then
        done[part.place], count = sum, count + 1
      else
        tl.store_async(part.out + now.row * blocks.N, sum, { blocks.N, 1 })
      end
      if count == #parts then
        store_joined(parts.out + now.row * blocks.N, blocks.N, done)
        done, count = {}, 0
      end
      sum = nil
    end
  end
end

-- Append the columns of a PE's part of w in parts of `width`; `index` is the PE's in its group.
local function add_parts(parts, blocks, index, w, out, bias)
  local n, first = w.shape[2], w.offset[2]
  if index == 0 then parts.out = out + first end
  for at = 0, n - 1, blocks.width do
    local some = math.min(blocks.width, n - at)
    parts[#parts + 1] = { ptr = w + at, pitch = n, n = some, out = out + (first + at), place = index + 1,
      bias = bias and tl.load(bias + at, { some }) }
  end
end

--- out = x w (+ bias). blocks.group PEs of a cube share out the rows, and each multiplies its rows by the columns of
--- all of them; with one PE in a group, all rows by its own columns.
--
-- x: (rows, K), a copy in every cube, in slabs or not; w: (K, N), cut by columns; out: rows of N; bias: (N), cut like
-- w, or nil. `blocks`: from product.blocks.
function M.linear(x, w, out, blocks, bias)
  local K, parts = w.global_shape[1], {}
  local cube, pe, pes = tl.program_id(1), tl.program_id(0), tl.num_programs(0) -- PEs have columns from PE 0 on
  local leader = pe // blocks.group * blocks.group
  local size, member = math.min(blocks.group, pes - leader), pe - leader
  for i = 0, size - 1 do -- beginning with its own
    local index = (member + i) % size
    add_parts(parts, blocks, index, w:part(cube, leader + index), out:whole(), bias and bias:part(cube, leader + index))
  end
  local share = -(-blocks.rows // size)
  local first, last = math.min(blocks.rows, member * share), math.min(blocks.rows, (member + 1) * share)
  if last > first then multiply_blocks(x:whole(), K, parts, first, last, leader / pes, blocks) end
end

--- x = x + bias: every PE its rows. x: (..., N), cut by rows; bias: (N), a copy in every cube.
function M.add_bias(x, bias, N, item)
  local b, rows, some = tl.load(bias), shapes.numel(x.shape) // N, math.max(1, MOST // (N * item))
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
