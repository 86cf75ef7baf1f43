-- Addresses with offsets read the right data: every PE copies blocks of its part of a tensor, found by
-- pointer arithmetic, to other places of another, and the host compares every element.
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

-- out[rows reversed, block by block] = a, in blocks of `rows` x K elements, and the last block again in
-- two halves that meet in the middle of a row.
local function reverse_blocks(a_ptr, out_ptr, rows)
  local m, k = a_ptr.shape[1], a_ptr.shape[2]
  local blocks = m // rows
  for block = 0, blocks - 1 do
    local tile = tl.load(a_ptr + block * rows * k, { rows, k })
    tl.store(out_ptr + (blocks - 1 - block) * rows * k, tile)
  end
  local half = rows * k // 2
  local last = (blocks - 1) * rows * k
  for part = 0, 1 do
    tl.store(out_ptr + part * half, tl.load(a_ptr + last + part * half, { half }))
  end
end

-- The host's version of the same, on the rows [first, first + m) that one PE holds.
local function expected_of(a, M, m, rows)
  local expected = np.zeros({ M, a.shape[2] }, a.dtype)
  for first = 0, M - 1, m do
    for block = 0, m // rows - 1 do
      local from = first + block * rows
      local to = first + m - (block + 1) * rows
      expected[{ { to, to + rows }, {} }] = a[{ { from, from + rows }, {} }]
    end
  end
  return expected
end

local function run(args)
  local M, K, rows = args.M, args.K, args.N
  local dp = torch.DPPolicy { cube = "row_wise", pe = "row_wise", num_cubes = 2 }
  local a = np.arange(M * K, { dtype = "i32" }):reshape { M, K }
  local ta = torch.from_numpy(a, { dp = dp, name = "a" })
  local out = torch.zeros({ M, K }, { dtype = "i32", dp = dp, name = "out" })
  local parts = #ta.shards
  local m = M // parts
  if m % rows ~= 0 or rows * K % 2 ~= 0 then
    error(("each of %d PEs holds %d rows: not a multiple of --N %d, or --N times --K is odd"):format(parts, m, rows))
  end

  torch.launch("reverse_blocks", reverse_blocks, ta, out, rows)

  if not torch.ahbm.has_data() then
    return { parts = parts }
  end
  local got = out:numpy()
  local wrong = np.sum(np.ne(got, expected_of(a, M, m, rows)):astype("i64"))
  assert(wrong == 0, ("%d elements are wrong"):format(wrong))
  return { elements_compared = M * K, parts = parts }
end

return {
  name = "va_offset_verify",
  description = "Every PE copies blocks found by pointer arithmetic; the host compares every element.",
  args = {
    M = { default = 256, help = "Rows of the tensor." },
    K = { default = 96, help = "Columns of the tensor." },
    N = { default = 4, help = "Rows of a block." },
  },
  run = run,
}
