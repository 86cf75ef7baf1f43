-- Embedding lookup: out[i] = rows of a table chosen by ids[i].
--
-- ids: (T), out: (T, D), cut over PEs alike (row_wise); rows: (V, D), on every PE or on one. Rows are gathered
-- by blocks of pointers, `block` of them at a time (16), the next ones on their way while the present ones are
-- stored. An id that is not in the table leads outside of it, and traps. Where rows lie depends on data; without
-- numbers, made-up ids take their place, so that the same number of bytes moves.
local tl = require "kernbench.tl"

return function(ids_ptr, rows_ptr, out_ptr, block)
  local count, vocabulary, d = ids_ptr.shape[1], rows_ptr.shape[1], rows_ptr.shape[2]
  local columns = tl.expand_dims(tl.arange(0, d, "i64"), 0)
  block = block or 16
  local function fetch(first)
    local n = math.min(block, count - first)
    local ids = tl.load(ids_ptr + first, { n })
    if not tl.has_values() then
      ids = tl.arange(first, first + n) % vocabulary
    end
    local rows = tl.expand_dims(tl.cast(ids, "i64") * d, 1) -- a large table has more elements than i32 counts
    return tl.load_async(rows_ptr + rows + columns)
  end
  local coming = fetch(0)
  for first = 0, count - 1, block do
    local rows = tl.wait(coming)
    coming = first + block < count and fetch(first + block)
    tl.store_async(out_ptr + first * d, rows)
  end
end
