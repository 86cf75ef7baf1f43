--- Shapes: lists of extents.
local M = {}

--- Elements of a shape, or of its dimensions first, ..., last alone.
---@param shape integer[]
---@param first integer? 1 if absent
---@param last integer? the last if absent
---@return integer
function M.numel(shape, first, last)
  local n = 1
  for d = first or 1, last or #shape do n = n * shape[d] end
  return n
end

return M
