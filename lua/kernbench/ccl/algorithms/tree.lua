--- All-reduce on a binary tree: up to rank 0 and down again, 2 log2 N hops, piece by piece.
local steps = require "kernbench.ccl.steps"

local M = { collective = "all_reduce", topology = "tree_binary", description = "binary tree, up and down" }

function M.kernel(c, x)
  local children = steps.present(c.child0, c.child1)
  for at, n in steps.segments(steps.count(x), x.dtype, 4) do
    local cuts = steps.cut(c, x.dtype, at, n)
    local total = steps.reduce_up(c, x.dtype, cuts, steps.load(x, cuts), children, c.parent)
    if not c.parent then total = steps.finish(c, total) end
    steps.store(x, cuts, steps.broadcast_down(c, x.dtype, cuts, total, children, c.parent))
  end
end

return M
