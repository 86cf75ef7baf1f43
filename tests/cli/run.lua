-- Runs command-line transcripts: commands, the output they must print and their exit code.
--
--   lua5.4 tests/cli/run.lua [--bin DIR] [FILE.t...]
--
-- DIR holds the kernbench under test (default: build/release); without files, all of tests/cli.
-- Each file gets a fresh temporary directory; each command is a `sh` of its own in it, with no
-- standard input, DIR first in PATH, ROOT naming the repository, HOME the temporary directory.
--
--   # what the command shows            a case's name: `# ` lines right before a command (optional)
--   $ kernbench list | sort             a command
--   > more of it                        its next line, as in here-documents
--   first line of output                standard output and standard error together, line by line
--   took [0-9.]+ ns (re)                a line as an extended regular expression, matched whole
--   ...                                 any number of lines, or none
--   [2]                                 exit code, if it is not 0; always the last line
--
-- Blank lines at the end of an output are ignored. An output line that looks like one of the above
-- is written as a regular expression: `[$] x (re)`, `[#] x (re)`, `[[]2] (re)`.

local TIMEOUT_SECONDS = 120

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

local function capture(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  pipe:close()
  return (text:gsub("\n$", ""))
end

local function write_file(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function split_lines(text)
  local lines = {}
  for line in (text:gsub("\n?$", "\n", 1)):gmatch("([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  while lines[#lines] == "" do
    lines[#lines] = nil
  end
  return lines
end

--- Where the case name that begins at line i ends: the number of the command line after it, or nil.
local function command_after_name(lines, i)
  while lines[i] and lines[i]:find("^# ") do
    i = i + 1
  end
  return lines[i] and lines[i]:find("^%$ ") and i or nil
end

---@return table[] cases {name, line, command, expected = {string...}, code}
local function parse(text)
  local lines, cases, name, case = split_lines(text), {}, nil, nil
  local i = 1
  while i <= #lines do
    local line = lines[i]
    if line:find("^# ") and command_after_name(lines, i) then
      local parts = {}
      while lines[i]:find("^# ") do
        parts[#parts + 1] = lines[i]:sub(3)
        i = i + 1
      end
      name = table.concat(parts, " ")
    elseif line:find("^%$ ") then
      local command = { line:sub(3) }
      case = { line = i, expected = {}, code = 0 }
      while lines[i + 1] and (lines[i + 1]:find("^> ") or lines[i + 1] == ">") do
        i = i + 1
        command[#command + 1] = lines[i]:sub(3)
      end
      case.command = table.concat(command, "\n")
      case.name = name or command[1]
      name = nil
      cases[#cases + 1] = case
      i = i + 1
    else
      if case then
        case.expected[#case.expected + 1] = line
      elseif line ~= "" and not line:find("^#") then
        error(("line %d: output before the first command"):format(i), 0)
      end
      i = i + 1
    end
  end
  for _, c in ipairs(cases) do
    local expected = c.expected
    while expected[#expected] == "" do
      expected[#expected] = nil
    end
    local code = expected[#expected] and expected[#expected]:match("^%[(%d+)%]$")
    if code then
      c.code = tonumber(code)
      expected[#expected] = nil
    end
  end
  return cases
end

--- Tells for each ` (re)` line which output lines it matches: one grep per such line.
local function match_regexes(expected, output_path)
  local matches = {}
  for i, line in ipairs(expected) do
    local regex = line:match("^(.*) %(re%)$")
    if regex then
      local numbers = {}
      local found = capture("grep -nxE -e " .. quote(regex) .. " " .. quote(output_path) .. " 2>&1")
      for number in ("\n" .. found):gmatch("\n(%d+):") do
        numbers[tonumber(number)] = true
      end
      matches[i] = numbers
    end
  end
  return matches
end

--- Compares, letting `...` stand for as many lines as it takes.
---@return boolean same
---@return string[] shown what was expected, with patterns that matched replaced by what they matched
local function compare(expected, actual, regexes)
  local best, best_path = 0, {}
  local path, dead = {}, {}
  local function match(i, j)
    if i > best then
      best, best_path = i, table.move(path, 1, #path, 1, {})
      best_path.rest = i
    end
    local want = expected[i]
    if want == nil then
      return actual[j] == nil
    end
    local key = i * (#actual + 2) + j
    if dead[key] then
      return false
    end
    if want == "..." then
      for taken = j - 1, #actual do
        if taken >= j then
          path[#path + 1] = actual[taken]
        end
        if match(i + 1, taken + 1) then
          return true
        end
      end
      for _ = j, #actual do
        path[#path] = nil
      end
    elseif actual[j] and (regexes[i] and regexes[i][j] or not regexes[i] and want == actual[j]) then
      path[#path + 1] = actual[j]
      if match(i + 1, j + 1) then
        return true
      end
      path[#path] = nil
    end
    dead[key] = true
    return false
  end
  if match(1, 1) then
    return true, actual
  end
  return false, table.move(expected, best_path.rest, #expected, #best_path + 1, best_path)
end

local function run_case(case, place)
  write_file(place.script, case.command .. "\n")
  local _, _, code = os.execute(("cd %s && %s timeout %d sh %s </dev/null >%s 2>&1"):format(
    quote(place.directory), place.environment, TIMEOUT_SECONDS, quote(place.script), quote(place.output)))
  local file = assert(io.open(place.output))
  local actual = split_lines(file:read("a"))
  file:close()
  local same, expected = compare(case.expected, actual, match_regexes(case.expected, place.output))
  if same and code == case.code then
    return true
  end
  if code == 124 and case.code ~= 124 then
    actual[#actual + 1] = ("(stopped after %d s)"):format(TIMEOUT_SECONDS)
  end
  local function show(lines, exit_code, path)
    local shown = table.move(lines, 1, #lines, 1, {})
    shown[#shown + 1] = exit_code ~= 0 and ("[%d]"):format(exit_code) or nil
    write_file(path, table.concat(shown, "\n") .. (#shown > 0 and "\n" or ""))
  end
  show(expected, case.code, place.output .. ".expected")
  show(actual, code, place.output .. ".actual")
  return false, capture(("diff -u --label expected --label actual %s %s"):format(
    quote(place.output .. ".expected"), quote(place.output .. ".actual")))
end

local function run_file(path, bin, root)
  local file, why = io.open(path)
  if not file then
    print("FAILED: " .. why)
    return 0, 1
  end
  local ok, cases = pcall(parse, file:read("a"))
  file:close()
  if not ok or #cases == 0 then
    print(("FAILED: %s: %s"):format(path, ok and "no command in it" or cases))
    return 0, 1
  end
  local work = capture("mktemp -d")
  local place = {
    directory = work .. "/home",
    script = work .. "/script",
    output = work .. "/output",
    environment = ("env HOME=%s ROOT=%s PATH=%s:\"$PATH\" NO_COLOR=1 LC_ALL=C TZ=UTC"):format(
      quote(work .. "/home"), quote(root), quote(bin)),
  }
  os.execute("mkdir " .. quote(place.directory))
  local passed = 0
  for _, case in ipairs(cases) do
    local same, difference = run_case(case, place)
    if same then
      passed = passed + 1
    else
      print(("FAILED: %s:%d: %s\n%s"):format(path, case.line, case.name, difference))
    end
  end
  os.execute("rm -rf " .. quote(work))
  return passed, #cases - passed
end

local function main(arguments)
  local here = arguments[0]:match("^(.*)/[^/]*$") or "."
  local root = capture("cd " .. quote(here .. "/../..") .. " && pwd")
  local bin, files = root .. "/build/release", {}
  local i = 1
  while arguments[i] do
    if arguments[i] == "--bin" then
      i = i + 1
      bin = capture("cd " .. quote(arguments[i] or "") .. " && pwd")
    else
      files[#files + 1] = arguments[i]
    end
    i = i + 1
  end
  if #files == 0 then
    files = split_lines(capture("ls " .. quote(root .. "/tests/cli") .. "/*.t"))
  end
  local passed, failed = 0, 0
  for _, path in ipairs(files) do
    local more_passed, more_failed = run_file(path, bin, root)
    passed, failed = passed + more_passed, failed + more_failed
  end
  print(("%d passed, %d failed"):format(passed, failed))
  return failed == 0 and passed > 0
end

os.exit(main(arg), true)
