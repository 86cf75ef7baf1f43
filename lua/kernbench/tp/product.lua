--- Products of an activation and a matrix over all PEs of a SIP.
--
-- Activations are row-major: in one piece, or cut by rows over PEs. A product is two launches. First the PEs of
-- every cube share out a copy of x among themselves, so that each cube reads its own from then on. Then every PE
-- multiplies all of x by its columns of the matrix, and stores them into all rows of the result, which is cut by
-- rows over all PEs.
local core = require "kernbench.core"
local kernels = require "kernbench.tp.kernels"
local runtime = require "kernbench.runtime"
local shares = require "kernbench.dist.shares"
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

--- An activation of that placement.
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
  return #x.shards == 1 or shares.scope(x) == "sip" and tostring(x.dp) == tostring(M.rows())
end

-- ---- sizes ----

local STEP = 32 -- rows and columns of a tile of the product; twice as many along K
local MOST = { x = 1 << 20, w = 1 << 20, kept = 6 << 20, sums = 1 << 20 } -- bytes in TCM
local FEW = 128 << 10 -- bytes of w that are multiplied while the next ones come, where there are few rows

-- Largest multiple of `unit` up to n, at least one.
local function down(n, unit)
  return math.max(1, n // unit) * unit
end

--- How a PE cuts a product of rows x K by K x n: `height` rows by `inner` by `width` columns at a time. The columns
--- of w are loaded once where they fit into TCM, else once per `height` rows.
---@param rows integer
---@param K integer
---@param n integer columns of a PE
---@param item integer bytes of an element
---@param readers integer PEs that read the same copy of x
---@return table
function M.blocks(rows, K, n, item, readers)
  local width = math.min(n, 4096)
  local inner = math.min((rows <= STEP and FEW or MOST.w) // (width * item), MOST.x // (STEP * item))
  local chunks = -(-K // down(inner, 2 * STEP))
  inner = -(-K // chunks)
  inner = chunks > 1 and -(-inner // (2 * STEP)) * 2 * STEP or inner
  local height = math.min(down(MOST.x // (inner * item), STEP), down(MOST.sums // (8 * width), STEP),
    -(-rows // (readers * STEP)) * STEP) -- readers begin at different blocks
  return { rows = rows, height = math.min(height, rows), inner = inner, width = width,
    chunks = -(-K // inner), blocks = -(-rows // math.min(height, rows)), keep = K * width * item <= MOST.kept }
end

-- Which columns of w each PE multiplies by: what it holds, or its share if w is an activation.
local function columns_of(w)
  if not M.is_activation(w) or #w.shards == 1 then
    local most = 0
    for _, shard in ipairs(w.shards) do most = math.max(most, shard.extent[2]) end
    return { pes = w.shards, most = most }
  end
  local machine, list, of = runtime.machine, {}, {}
  local most = -(-w.shape[2] // (machine.cubes * machine.pes))
  for first = 0, w.shape[2] - 1, most do
    local index = first // most
    local cube, pe = index // machine.pes, index % machine.pes
    list[#list + 1] = { cube = cube, pe = pe }
    of[cube << 8 | pe] = { first = first, n = math.min(most, w.shape[2] - first) }
  end
  return { pes = list, of = of, most = most }
end

-- ---- launches ----

-- A copy of x in each cube that has a part of w, cut over the PEs of the cube.
local function spread(x, cubes)
  local copies = torch().empty({ x:numel() }, { dtype = x.dtype,
    dp = torch().DPPolicy { cube = "replicate", num_cubes = cubes, pe = "row_wise", pad = true } })
  torch().launch { name = "spread", kernel = kernels.spread, args = { x, copies, tensors.item_size(x.dtype), cubes },
    pes = copies.shards }
  return copies
end

--- x w (+ bias).
---@param name string of the launch
---@param x Tensor (..., K), an activation
---@param w Tensor (K, N), cut by columns over all PEs, or an activation
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
  local columns = columns_of(w)
  local blocks = M.blocks(x:numel() // K, K, columns.most, tensors.item_size(x.dtype), runtime.machine.pes)
  torch().launch { name = name, kernel = kernels.linear, pes = columns.pes,
    args = { spread(x, columns.pes[#columns.pes].cube + 1), w, out, blocks, columns.of, bias } }
  return out
end

return M
