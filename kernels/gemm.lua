-- Matrix products by tiles that the kernel moves itself, with tl.dot and an accumulator in f32.
--
--   gemm       out (M, N) = a (M, K) b (K, N); cut a and out by rows, or b and out by columns
--   split_k    every PE multiplies its columns of a (M, K) and its rows of b (K, N) and leaves its share of
--              the sum in its row of parts (PEs, M * N)
--   add_parts  out (M * N) = the sum of the rows of parts, both cut by columns
--
-- `block` is {m, k, n}: the largest tile of each extent. The next operands travel while the present ones
-- are multiplied.
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

return M
