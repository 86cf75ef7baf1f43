--- Products of an activation and a matrix over all PEs of a SIP.
--
-- Activations are row-major: in one piece, or cut by rows over PEs. A product is two launches. First the PEs of
-- every cube share out a copy of x among themselves, so that each cube reads its own from then on. Then every PE
-- multiplies all of x by its columns of the matrix, and stores them into all rows of the result, which is cut by
-- rows over all PEs.
local core = require "kernbench.core"
local kernels = require "kernbench.tp.kernels"
local runtime = require "kernbench.runtime"
local tensors = require "kernbench.tensor"

local M = {}

local function torch()
  return require "kernbench.torch"
end

--- The placement of activations: rows over all PEs, of which the last ones may get fewer, or none.
---@return DPPolicy
function M.rows()
  return torch().DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
end

--- The placement of weights: columns over all PEs, likewise.
---@return DPPolicy
function M.columns()
  return torch().DPPolicy { cube = "column_wise", pe = "column_wise", pad = true }
end

--- An activation cut by rows.
---@param shape integer[]
---@param dtype string
---@return Tensor
function M.empty(shape, dtype)
  return torch().empty(shape, { dtype = dtype, dp = M.rows() })
end

--- Whether every PE reaches all of x as one block: it is in one piece, or cut by rows over all PEs.
---@param x Tensor
---@return boolean
function M.is_activation(x)
  local dp = x.dp
  return #x.shards == 1 or dp.cube == "row_wise" and dp.pe == "row_wise" and not dp.num_cubes and not dp.num_pes
end

-- ---- sizes ----

local STEP = 32 -- rows and columns of a tile of the product; twice as many along K
local WIDEST = 4096 -- columns at a time
local KEPT, HELD = 6 << 20, 4 << 20 -- bytes in TCM: of w as a whole, of the rows of x if w is not kept
local PIECE = 1 << 20 -- of x or w, and of sums
local FEW = 2 * STEP -- rows
local SLABS = 4 -- of few rows, if w is small: with more there is less to wait for at the end, and more to command
local EARLY = 128 << 10 -- bytes of x that are loaded before w

-- Largest multiple of `unit` up to n, at least one; smallest from n on.
local function down(n, unit)
  return math.max(1, n // unit) * unit
end

local function up(n, unit)
  return -(-n // unit) * unit
end

-- How many PEs of a cube share out rows and put their columns together, so that they read least: each reads a part
-- of the rows, and as many times its columns. Rows for a tile each.
local function group_of(rows, n, readers)
  local best, group = 1, 1
  while 2 * group <= readers and rows >= 2 * group * STEP do
    group = 2 * group
    if rows // group + group * n <= rows // best + best * n then best = group end
  end
  return best
end

--- How the PEs of a cube cut a product of rows x K by K x n: groups of so many share out rows; then `height` rows by
--- `inner` by `width` columns at a time. Few rows are copied in slabs of `slab` columns, (K / slab, rows, slab), each
--- in slices of its own, so that PEs which multiply by other pieces along K read other slices; of more rows PEs begin
--- at different ones.
---@param rows integer
---@param K integer
---@param n integer columns that a PE holds
---@param item integer bytes of an element
---@param readers integer PEs of a cube, which read the same copy of x
---@return table
function M.blocks(rows, K, n, item, readers)
  local group, few = group_of(rows, n, readers), rows <= FEW
  local width, columns, own = math.min(n, WIDEST), group * n, -(-rows // group)
  local keep = K * columns * item <= KEPT
  local slabs = K * columns * item <= PIECE and math.min(SLABS, readers) or readers
  local slab = few and up(-(-K // slabs), 2 * STEP) or K
  local most = down(math.min(PIECE // (width * item), PIECE // (STEP * item)), 2 * STEP)
  local inner = -(-slab // -(-slab // most)) -- as even as possible
  if inner < K then inner = up(inner, 2 * STEP) end
  if few then slab = math.min(K, -(-slab // inner) * inner) end
  local room = keep and PIECE or HELD
  local hold = columns > width and STEP * K * item <= room -- several parts of columns use the same rows
  local height = hold and down(room // (K * item), STEP) or down(PIECE // (inner * item), STEP)
  height = math.min(own, height, down(PIECE // (8 * width), STEP))
  if not few then height = math.min(height, up(-(-own * group // readers), STEP)) end
  return { rows = rows, slab = slab, group = group, width = width, inner = inner, chunks = -(-K // inner),
    height = height, keep = keep, hold = hold, early = few and rows * K * item <= EARLY,
    join = group > 1 and n <= WIDEST and 2 * height * columns * item <= PIECE }
end

-- ---- launches ----

--- The first `pes` PEs of the first `cubes` cubes, as torch.launch takes them.
---@param cubes integer
---@param pes integer
---@return table[]
function M.first_pes(cubes, pes)
  local list = {}
  for cube = 0, cubes - 1 do
    for pe = 0, pes - 1 do list[#list + 1] = { cube = cube, pe = pe } end
  end
  return list
end

-- A copy of x in each of the first cubes.
local function spread(x, cubes, blocks, K)
  local count = -(-K // blocks.slab) * blocks.rows * blocks.slab
  local copies = torch().empty({ count }, { dtype = x.dtype,
    dp = torch().DPPolicy { cube = "replicate", num_cubes = cubes, pe = "row_wise", pad = true } })
  local units = blocks.slab < K and blocks.rows * -(-K // blocks.slab) -- each is moved as a whole
  torch().launch { name = "spread", kernel = kernels.spread,
    pes = units and M.first_pes(cubes, math.min(units, runtime.machine.pes)) or copies.shards,
    args = { x, copies, blocks, K, tensors.item_size(x.dtype) } }
  return copies
end

-- w cut by columns.
local function to_columns(w)
  local out = torch().empty(w.shape, { dtype = w.dtype, dp = M.columns() })
  torch().launch { name = "columns", kernel = kernels.to_columns, pes = out.shards,
    args = { w, out, tensors.item_size(w.dtype), w.shards[1].extent[1] } }
  return out
end

--- x w (+ bias).
---@param name string of the launch
---@param x Tensor (..., K), an activation
---@param w Tensor (K, N), cut by columns over all PEs, or an activation, which is cut so first
---@param bias Tensor? (N), cut like the columns of w
---@return Tensor (..., N) cut by rows
function M.multiply(name, x, w, bias)
  local K, N = w.shape[1], w.shape[2]
  local shape = table.move(x.shape, 1, #x.shape, 1, {})
  if shape[#shape] ~= K or x.dtype ~= w.dtype then
    core.raise(("%s: (%s) of %s by (%s) of %s"):format(name, table.concat(x.shape, ", "), x.dtype,
      table.concat(w.shape, ", "), w.dtype))
  end
  shape[#shape] = N
  local out = M.empty(shape, x.dtype)
  if tostring(w.dp) ~= tostring(M.columns()) then w = to_columns(w) end
  local blocks = M.blocks(x:numel() // K, K, w.shards[1].extent[2], tensors.item_size(x.dtype), runtime.machine.pes)
  blocks.N = N
  torch().launch { name = name, kernel = kernels.linear, pes = w.shards,
    args = { spread(x, w.shards[#w.shards].cube + 1, blocks, K), w, out, blocks, bias } }
  return out
end

return M
