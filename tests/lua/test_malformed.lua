-- Topology files that are wrong: each of tests/data/malformed says on its first line what must be
-- said about it, after the file's name.
local core = require "kernbench.core"
local lu = require "luaunit"

local FOLDER <const> = core.home() .. "/tests/data/malformed"

local function names()
  local list = {}
  local listing = assert(io.popen(("LC_ALL=C ls '%s'"):format(FOLDER)))
  for name in listing:lines() do
    if name:match("%.yaml$") then list[#list + 1] = name end
  end
  listing:close()
  return list
end

-- The message without the file's name before it; some begin with the parameter's instead.
local function message_about(path)
  local engine, message = core.open { topology = path, data = false }
  if engine then
    return "accepted"
  end
  if message:sub(1, #path + 1) == path .. ":" then
    message = message:sub(#path + 2):gsub("^ ", "")
  end
  return message
end

local function expectation(path)
  local file = assert(io.open(path, "rb"))
  local first = file:read("l")
  file:close()
  return first:match("^# expect: (.*)$")
end

local malformed = {}

function malformed.test_there_are_at_least_sixty_and_none_says_what_another_does()
  local list, said = names(), {}
  lu.assertTrue(#list >= 60)
  for _, name in ipairs(list) do
    local path = FOLDER .. "/" .. name
    local file = assert(io.open(path, "rb"))
    local body = file:read("a"):gsub("^[^\n]*\n", "")
    file:close()
    lu.assertNil(said[body], name .. " holds the same as " .. (said[body] or ""))
    said[body] = name
  end
end

-- One test a file, so that a failure names it.
for _, name in ipairs(names()) do
  malformed["test_" .. name:gsub("%.yaml$", "") .. "_is_refused_with_its_message"] = function()
    local path = FOLDER .. "/" .. name
    local expected = expectation(path)
    lu.assertNotNil(expected, name .. " does not begin with '# expect: '")
    lu.assertEquals(message_about(path), expected)
  end
end

-- Where the place is a line and column, there is such a place, in that file.
function malformed.test_places_exist_in_the_file()
  for _, name in ipairs(names()) do
    local path = FOLDER .. "/" .. name
    local line, column = expectation(path):match("^(%d+):(%d+): ")
    if line then
      local lines = {}
      for text in io.lines(path) do lines[#lines + 1] = text end
      line, column = tonumber(line), tonumber(column)
      lu.assertTrue(line == #lines + 1 or column <= #(lines[line] or "") + 1, name)
    end
  end
end

local runner = lu.LuaUnit.new()
local result = runner:runSuiteByInstances { { "TestMalformed", malformed } }
collectgarbage()
os.exit(result == 0, true)
