--- Kernel launches: who runs a kernel, and what it is given. torch.launch is what this returns.
local core = require "kernbench.core"
local check_host, fail = core.check_host, core.raise
local placements = require "kernbench.placement"
local runtime = require "kernbench.runtime"
local tensors = require "kernbench.tensor"

---@class Launch
local Launch = {}
Launch.__index = Launch

--- Wait until the host knows that it is complete; raises if an instance failed.
function Launch:wait()
  runtime.forget(self)
  self.raw:wait()
end

function Launch:done()
  return self.raw:done()
end

---@class LaunchStats
---@field pes integer how many ran it
---@field start_ns number
---@field end_ns number
---@field time_ns number
---@field commands integer
---@field flops integer 2 x multiply-accumulates
---@field tflops number per second, in 10^12
---@field bytes_read integer by the PEs' DMA engines
---@field bytes_written integer
---@field engines table<string, {busy_ns: number, utilization: number}> summed over the PEs; share of PEs x time
---@field roofline table time_ns, fraction, of; pe_gemm, pe_math, pe_tcm, hbm: the least time of each, in ns

--- Wait for the end, then say what the launch made of its PEs. `roofline` is what the machine could have done
--- it in: the longest of the times that each resource needs for its share if it never waits.
---@return LaunchStats
function Launch:stats()
  self:wait()
  return self.raw:stats()
end

-- ---- which PEs ----

-- Sets of PEs: masks by SIP and cube.
local function add(masks, sip, cube, mask)
  masks[sip] = masks[sip] or {}
  masks[sip][cube] = (masks[sip][cube] or 0) | mask
end

-- Flat and in order: {sip, cube, mask, sip, cube, mask, ...}.
local function in_order(masks)
  local targets = {}
  for sip = 0, runtime.machine.sips - 1 do
    for cube = 0, masks[sip] and runtime.machine.cubes - 1 or -1 do
      local mask = masks[sip][cube] or 0
      if mask ~= 0 then
        table.move({ sip, cube, mask }, 1, 3, #targets + 1, targets)
      end
    end
  end
  return targets
end

-- All that hold a part of a placement.
local function add_holders(masks, sip, placement)
  for cube, mask in pairs(placement:masks()) do add(masks, sip, cube, mask) end -- the order does not matter
end

-- PEs with nothing of a padded tensor do not take part.
local function leave_out(masks, tensor)
  local holders = tensor.placement:masks()
  for _, cubes in pairs(masks) do -- the order does not matter
    for cube, mask in pairs(cubes) do cubes[cube] = mask & (holders[cube] or 0) end
  end
end

-- Those that hold a part of one of the tensors.
local function holders_of(given)
  local masks = {}
  for _, tensor in ipairs(given) do add_holders(masks, tensor.sip, tensor.placement) end
  for _, tensor in ipairs(given) do
    if tensor.dp.pad then leave_out(masks, tensor) end
  end
  return masks
end

-- A number of the field, which counts things of the machine.
local function coordinate(entry, field, limit, default)
  local value = entry[field]
  if value == nil then value = default end
  if math.type(value) ~= "integer" or value < 0 or value >= limit then
    error(("torch.launch: pes: %s is %s; expected an integer from 0 to %d"):format(field, tostring(value),
      limit - 1), 4)
  end
  return value
end

-- All PEs of the SIPs of the tensors.
local function everybody(masks, given, home)
  local machine = runtime.machine
  for _, tensor in ipairs(#given > 0 and given or { { sip = home } }) do
    for cube = 0, masks[tensor.sip] and -1 or machine.cubes - 1 do
      add(masks, tensor.sip, cube, (1 << machine.pes) - 1)
    end
  end
  return masks
end

-- Those that the caller lists, or "all" of the SIPs of the tensors.
local function listed(pes, given)
  local machine, masks = runtime.machine, {}
  local home = given[1] and given[1].sip or runtime.device
  if pes == "all" then
    return everybody(masks, given, home)
  elseif type(pes) ~= "table" or #pes == 0 then
    fail('torch.launch: pes: expected "all" or a list of {sip =, cube =, pe =}')
  end
  local placement, sip = placements.of_shards(pes)
  if placement then
    add_holders(masks, sip, placement)
    return masks
  end
  for _, entry in ipairs(pes) do
    if type(entry) ~= "table" then
      fail(("torch.launch: pes: expected {sip =, cube =, pe =}, got %s"):format(tostring(entry)))
    end
    add(masks, coordinate(entry, "sip", machine.sips, home), coordinate(entry, "cube", machine.cubes),
      1 << coordinate(entry, "pe", machine.pes))
  end
  return masks
end

-- ---- launching ----

local MOST_ARGUMENTS = 10000 -- of a kernel
local FIELDS = { name = true, kernel = true, args = true, pes = true }

-- name, kernel, packed arguments, pes of either way to call.
local function parse(first, kernel, ...)
  if type(first) ~= "table" then
    return first, kernel, table.pack(...), nil
  end
  for key in pairs(first) do
    if not FIELDS[key] then
      fail(("torch.launch: unknown field '%s'; it takes name, kernel, args, pes"):format(tostring(key)))
    end
  end
  local args = first.args or {}
  if type(args) ~= "table" then
    fail("torch.launch: args: expected a table, got " .. type(args))
  end
  local n = args.n or #args
  if math.type(n) ~= "integer" or n < 0 or n > MOST_ARGUMENTS then
    fail(("torch.launch: args.n is %s; expected their number, at most %d"):format(tostring(n), MOST_ARGUMENTS))
  end
  return first.name, first.kernel, table.move(args, 1, n, 1, { n = n }), first.pes
end

--- Run a kernel once on every PE that holds a part of one of its tensor arguments, on all SIPs that
--- these lie on. Tensors arrive in the kernel as pointers to what the PE holds, everything else
--- unchanged. Does not wait, unless a tensor must first be mapped on another SIP than its own.
---
--- torch.launch{name =, kernel =, args = {...}, pes = {{cube = 0, pe = 1}, ...}} says who runs it.
---@param name string|table shown in reports
---@param kernel function
---@param ... any
---@return Launch
return function(name, kernel, ...)
  local engine = runtime.need_engine("torch.launch")
  check_host("torch.launch")
  local args, pes
  name, kernel, args, pes = parse(name, kernel, ...)
  if type(name) ~= "string" or type(kernel) ~= "function" then
    fail("torch.launch: expected a name, a function, and its arguments")
  end
  local given = {}
  for i = 1, args.n do
    if tensors.is_tensor(args[i]) then
      tensors.check_alive(args[i], "torch.launch")
      given[#given + 1] = args[i]
      args[i] = args[i].raw
    end
  end
  if #given == 0 and pes == nil then
    fail("torch.launch: no tensor among the arguments; the PEs that run a kernel are those that hold "
      .. "its tensors, or those listed in pes")
  end
  local targets = in_order(pes == nil and holders_of(given) or listed(pes, given))
  if #targets == 0 then
    fail("torch.launch: no PE holds a part of every padded tensor among the arguments")
  end
  for i = 1, #targets, 3 do
    if targets[i] ~= targets[i - 3] then
      for _, tensor in ipairs(given) do tensor.raw:map(targets[i]) end
    end
  end
  local raw = engine:launch { name = name, fn = kernel, args = args, nargs = args.n, targets = targets }
  local launch = setmetatable({ raw = raw }, Launch)
  runtime.launches:add(launch)
  return launch
end
