--- Launches of a process that nobody has waited for, in the order of submission.
--
-- A model submits thousands before it waits for one, so taking one out must not depend on how many there are.
local M = {}

---@class kernbench.Pending
---@field private at table<integer, Launch> by number, with gaps where some were taken out
---@field private number table<Launch, integer>
---@field private first integer no launch has a lower number
---@field private last integer
local Pending = {}
Pending.__index = Pending

---@return kernbench.Pending
function M.new()
  return setmetatable({ at = {}, number = {}, first = 1, last = 0 }, Pending)
end

---@param launch Launch
function Pending:add(launch)
  self.last = self.last + 1
  self.at[self.last], self.number[launch] = launch, self.last
end

--- Take it out, if it is there.
---@param launch Launch
function Pending:remove(launch)
  local number = self.number[launch]
  if number then
    self.at[number], self.number[launch] = nil, nil
  end
end

--- Who was submitted first of those that are left; nil if there are none.
---@return Launch?
function Pending:oldest()
  while self.first <= self.last and not self.at[self.first] do self.first = self.first + 1 end
  return self.at[self.first]
end

--- All of them, oldest first.
---@return Launch[]
function Pending:list()
  local list = {}
  for number = self.first, self.last do list[#list + 1] = self.at[number] end
  return list
end

return M
