-- Matrix products.
--
-- By tiles that the kernel moves itself, with tl.dot and an accumulator in f32:
--
--   gemm       out (M, N) = a (M, K) b (K, N); cut a and out by rows, or b and out by columns
--   split_k    every PE multiplies its columns of a (M, K) and its rows of b (K, N) and leaves its share of
--              the sum in its row of parts (PEs, M * N)
--   add_parts  out (M * N) = the sum of the rows of parts, both cut by columns
--
-- `block` is {m, k, n}: the largest tile of each extent. The next operands travel while the present ones
-- are multiplied.
--
-- By composites:
--
--   streamed   a and b, each "ref" (streamed tile by tile) or "load" (loaded first)
--   panels     of `rows` rows of a and `columns` columns of b, loaded while those before are multiplied; all
--              of a and two panels of b have to fit into TCM
local tl = require "kernbench.tl"

-- out[i:i+m, j:j+n] of the product, in f32
local function product(a_ptr, b_ptr, i, j, m, n, block_k)
  local K, N = a_ptr.shape[2], b_ptr.shape[2]
  local function fetch(k)
    local depth = math.min(block_k, K - k)
    if depth <= 0 then return nil end
    return { tl.load_async(a_ptr + i * K + k, { m, depth }), tl.load_async(b_ptr + k * N + j, { depth, n }) }
  end
  local coming, acc = fetch(0), nil
  for k = 0, K - 1, block_k do
    local a, b = tl.wait(table.unpack(coming))
    coming = fetch(k + block_k)
    acc = tl.dot(a, b, acc)
  end
  return acc
end

-- store(i, j, tile) for every tile of the product
local function tiles(a_ptr, b_ptr, block, store)
  local M, N = a_ptr.shape[1], b_ptr.shape[2]
  for i = 0, M - 1, block[1] do
    for j = 0, N - 1, block[3] do
      local m, n = math.min(block[1], M - i), math.min(block[3], N - j)
      store(i, j, product(a_ptr, b_ptr, i, j, m, n, block[2]))
    end
  end
end

local M = {}

function M.gemm(a_ptr, b_ptr, out_ptr, block)
  local N = out_ptr.shape[2]
  tiles(a_ptr, b_ptr, block, function(i, j, tile)
    tl.store_async(out_ptr + i * N + j, tl.cast(tile, out_ptr.dtype))
  end)
end

function M.split_k(a_ptr, b_ptr, parts_ptr, block)
  local N = b_ptr.shape[2]
  tiles(a_ptr, b_ptr, block, function(i, j, tile)
    tl.store_async { parts_ptr + i * N + j, tl.cast(tile, parts_ptr.dtype), stride = { N, 1 } }
  end)
end

function M.add_parts(parts_ptr, out_ptr)
  local total = tl.sum(tl.load(parts_ptr), 0)
  tl.store(out_ptr, tl.cast(total, out_ptr.dtype))
end

function M.streamed(a_ptr, b_ptr, out_ptr, a_form, b_form)
  local a, b = tl[a_form](a_ptr), tl[b_form](b_ptr)
  tl.wait(tl.composite { op = "gemm", a = a, b = b, out = out_ptr })
end

function M.panels(a_ptr, b_ptr, out_ptr, rows, columns)
  local rows_all, K, N = a_ptr.shape[1], a_ptr.shape[2], b_ptr.shape[2]
  local function fetch(j)
    if j >= N then return nil end
    return tl.load_async(b_ptr + j, { K, math.min(columns, N - j) })
  end
  local coming, panels, last = fetch(0), {}, nil
  for i = 0, rows_all - 1, rows do
    panels[i] = tl.load_async(a_ptr + i * K, { math.min(rows, rows_all - i), K })
  end
  for j = 0, N - 1, columns do
    local b = tl.wait(coming)
    coming = fetch(j + columns)
    for i = 0, rows_all - 1, rows do
      if j == 0 then panels[i] = tl.wait(panels[i]) end
      local out = tl.ref(out_ptr + i * N + j, { panels[i].shape[1], b.shape[2] })
      last = tl.composite { op = "gemm", a = panels[i], b = b, out = out }
    end
    tl.wait(last) -- before the panel of b gives its room to the one after the next
  end
end

return M
