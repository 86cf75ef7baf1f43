--- Tables for people.
local M = {}

--- Columns as wide as their widest cell; numbers (all but the first column) to the right.
function M.text(rows)
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do widths[i] = math.max(widths[i] or 1, #cell) end
  end
  local lines = {}
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = (i == 1 and "%-" or "%") .. widths[i] .. "s"
      cells[i] = cells[i]:format(cell)
    end
    lines[#lines + 1] = ("  " .. table.concat(cells, "  ")):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

return M
