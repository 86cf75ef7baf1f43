--- What is printed when nothing can happen any more, and somebody waits: who waits for what, and, where
--- there is one, the cycle of those who wait for each other.
local columns = require("kernbench.cli.columns").text

local M = {}

local MOST_ROWS <const> = 32

local function ns(value)
  return ("%.3f ns"):format(value)
end

-- What it waits for, in words.
local function what(w)
  if w.signal then
    return ("%d of signal %d, %d came"):format(w.wanted, w.signal, w.come)
  elseif w.call == "tl.send" and w.full and w.full >= w.slots then
    return "a free slot"
  elseif w.peer then
    return "a message"
  end
  return w.detail or w.reason
end

local function row_of(w, now)
  return { w.who, w.call, what(w), w.direction and ("%s (its %s)"):format(w.direction, w.peer_direction) or "",
    w.peer or "", w.slots and ("%d of %d"):format(w.full, w.slots) or "", w.since_ns and ns(w.since_ns) or "",
    w.since_ns and ns(now - w.since_ns) or "", w.source or "?" }
end

-- Columns in which nobody has anything are left out.
local function without_empty(rows)
  local kept = {}
  for column = 1, #rows[1] do
    local used = false
    for i = 2, #rows do used = used or rows[i][column] ~= "" end
    if used then
      for i, row in ipairs(rows) do
        kept[i] = kept[i] or {}
        table.insert(kept[i], row[column])
      end
    end
  end
  return kept
end

local function table_of(waiting, now)
  local rows = { { "who", "call", "waits for", "direction", "peer", "slots full", "since", "for", "at" } }
  for i, w in ipairs(waiting) do
    if i > MOST_ROWS then
      break
    end
    rows[i + 1] = row_of(w, now)
  end
  local text = #waiting > 0 and columns(without_empty(rows)) or ""
  if #waiting > MOST_ROWS then
    text = ("%s\n  ... and %d more"):format(text, #waiting - MOST_ROWS)
  end
  return text
end

--- The table of those who wait; where there is no time (the mock), without it.
---@param waiting table[]
---@param now number?
---@return string
function M.table(waiting, now)
  return table_of(waiting, now)
end

-- Everybody waits for one peer at most: follow the peers from each. Returns the names on a cycle, or nil
-- and the first who waits for a peer that waits for nobody.
local function chain_of(waiting)
  local by_name, done, dangling = {}, {}, nil
  for _, w in ipairs(waiting) do by_name[w.who] = w end
  for _, w in ipairs(waiting) do
    local path, place = {}, {}
    while w and w.peer and not done[w.who] do
      done[w.who] = true
      path[#path + 1], place[w.who] = w.who, #path + 1
      local peer = by_name[w.peer]
      if not peer then
        dangling = dangling or w
      elseif place[peer.who] then
        return table.move(path, place[peer.who], #path, 1, {})
      end
      w = peer
    end
  end
  return nil, dangling
end

--- Lines about who holds whom up, or nil.
---@param waiting table[] as engine:run returns it
---@return string?
function M.cause(waiting)
  local cycle, dangling = chain_of(waiting)
  if cycle then
    cycle[#cycle + 1] = cycle[1]
    if #cycle > 12 then
      local left_out = #cycle - 10
      cycle = table.move(cycle, #cycle - 4, #cycle, 7, table.move(cycle, 1, 5, 1, { [6] = ("... %d more"):format(
        left_out) }))
    end
    return "the cycle: " .. cycle[1] .. " waits for " .. table.concat(cycle, ", which waits for ", 2)
  elseif dangling then
    return ("the cause: %s waits for %s, whose kernel has ended or never began"):format(dangling.who, dangling.peer)
  end
end

--- The whole report.
function M.report(outcome, stats)
  local waiting = outcome.waiting or {}
  local cause = M.cause(waiting)
  return ("deadlock at t = %s: nothing can happen any more, and these wait:\n%s%s"):format(ns(stats.sim_ns),
    table_of(waiting, stats.sim_ns), cause and "\n" .. cause or "")
end

return M
