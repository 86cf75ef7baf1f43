--- The kernels of tensor parallelism: products over all PEs of a SIP, and what moves rows and columns.
--
-- Activations are (rows, columns), row-major, and lie in one piece in the HBM of the SIP's first PE, where
-- every PE reaches them. Weights are cut by columns over all PEs.
local tl = require "kernbench.tl"

local M = {}

local MOST = 1 << 20 -- bytes of a tile that is only moved

--- x into the first PE of every cube, from which the PEs of the cube read it.
--
-- x: in one piece; copies: (rows, columns), as many elements, one in each cube.
function M.spread(x, copies, item)
  local count = copies.shape[1] * copies.shape[2]
  local size = math.min(count, MOST // item)
  for at = 0, count - 1, size do
    local n = math.min(size, count - at)
    tl.store_async(copies + at, tl.load(x + at, { n }))
  end
end

--- out = x w (+ bias): every PE its columns.
--
-- x: (rows, K), a copy in every cube; w: (K, N), cut by columns; out: rows of N, in one piece; bias: (N), cut
-- like w, or nil.
function M.linear(x, w, out, bias)
  local rows, n, N = x.shape[1], w.shape[2], w.global_shape[2]
  tl.wait(tl.composite { op = "gemm", a = tl.ref(x), b = tl.ref(w),
    out = tl.ref(out + w.offset[2], { rows, n }, out.dtype, { N, 1 }),
    epilogue = bias and { { "bias", bias } } or nil })
end

--- x = x + bias: every PE the columns of its part of bias, (N), cut over PEs. x: rows of N, in one piece.
function M.add_bias(x, bias, rows, item)
  local n, N = bias.shape[1], bias.global_shape[1]
  local b = tl.load(bias)
  local some = math.max(1, MOST // (n * item))
  for row = 0, rows - 1, some do
    local block, count = x + (row * N + bias.offset[1]), math.min(some, rows - row)
    tl.store(block, tl.load(block, { count, n }, nil, { N, 1 }) + b, { N, 1 })
  end
end

--- Copy a block of columns between matrices in one piece.
--
-- from: any shape, `columns` wide from column `first` in rows of `width`; to: likewise. Both start `skip`
-- elements in.
function M.copy_columns(from, to, rows, columns, source, target, item)
  local some = math.max(1, MOST // (columns * item))
  for row = 0, rows - 1, some do
    local count = math.min(some, rows - row)
    local tile = tl.load(from + source.skip + row * source.width, { count, columns }, nil, { source.width, 1 })
    tl.store(to + target.skip + row * target.width, tile, { target.width, 1 })
  end
end

--- out[i] = w[ids[i] - first] where the table has that row, else zeros: every PE its columns.
--
-- ids: T of them, in one piece; w: (V, D), cut by columns; out: T rows of D, in one piece. Without numbers
-- every row is fetched. V: rows over all ranks.
function M.embedding(ids, w, out, first, V, T)
  local here, d, D = w.shape[1], w.shape[2], w.global_shape[2]
  local wanted, nothing = tl.load(ids, { T }), tl.zeros({ d }, w.dtype)
  for i = 0, T - 1 do
    local id = tl.has_values() and wanted:item(i) or first + i % here
    tl.device_assert(id >= 0 and id < V, ("id %d is not in a vocabulary of %d"):format(id, V))
    local tile = id >= first and id < first + here and tl.load(w + (id - first) * d, { d }) or nothing
    tl.store_async(out + i * D + w.offset[2], tile)
  end
end

return M
