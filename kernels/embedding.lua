-- Embedding lookup: out[i] = rows of a table chosen by ids[i].
--
-- ids: (T), out: (T, D), cut over PEs alike (row_wise); rows: (V, D), on every PE or on one. Which row is
-- loaded depends on data, read with item(); without numbers, made-up ids take their place, so that the
-- same number of bytes moves.
local tl = require "kernbench.tl"

return function(ids_ptr, rows_ptr, out_ptr)
  local count, vocabulary, d = ids_ptr.shape[1], rows_ptr.shape[1], rows_ptr.shape[2]
  local ids = tl.load(ids_ptr)
  local function fetch(i)
    local id = tl.has_values() and ids:item(i) or i % vocabulary
    tl.device_assert(id >= 0 and id < vocabulary, ("id %d is not in a table of %d rows"):format(id, vocabulary))
    return tl.load_async(rows_ptr + id * d, { d })
  end
  local coming = fetch(0)
  for i = 0, count - 1 do
    local row = tl.wait(coming)
    coming = i + 1 < count and fetch(i + 1)
    tl.store_async(out_ptr + i * d, row)
  end
end
