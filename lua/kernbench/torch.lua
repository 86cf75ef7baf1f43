--- Device tensors and kernel launches, with PyTorch's names.
--
-- Everything here is called from a bench (the host program). Calls that need the device wait in
-- simulated time; launches do not: they are queued, run one after another on their SIP, and whoever
-- reads or writes a tensor from the host waits for them first.
local dp = require "kernbench.dp"
local launch = require "kernbench.launch"
local np = require "kernbench.np"
local placements = require "kernbench.placement"
local runtime = require "kernbench.runtime"
local tensors = require "kernbench.tensor"
local core = require "kernbench.core"
local check_host, fail = core.check_host, core.raise

local M = { launch = launch, multiprocessing = require "kernbench.multiprocessing",
  distributed = require "kernbench.distributed" }

-- ---- making tensors ----

local OPTIONS = { dtype = true, dp = true, memory = true, name = true }
local MEMORIES = { hbm = true, sram = true, tcm = true }

-- shape..., options: extents one by one or as a sequence, then a table of options.
local function parse(call, ...)
  local args = table.pack(...)
  local shape
  local options, n = {}, args.n
  if n > 0 and type(args[n]) == "table" and (n > 1 or #args[n] == 0) then
    options, n = args[n], n - 1
  end
  if n == 1 and type(args[1]) == "table" then
    shape = args[1]
  else
    shape = table.move(args, 1, n, 1, {})
  end
  if #shape == 0 then
    fail(call .. ": expected a shape such as {128, 256}")
  end
  for d, extent in ipairs(shape) do
    if math.type(extent) ~= "integer" or extent < 1 then
      fail(("%s: extent %d is %s; expected an integer of at least 1"):format(call, d - 1, tostring(extent)))
    end
  end
  for key in pairs(options) do
    if not OPTIONS[key] then
      fail(("%s: unknown option '%s'; it takes dtype, dp, memory, name"):format(call, tostring(key)))
    end
  end
  local dtype = options.dtype or "f32"
  if not tensors.is_dtype(dtype) then
    fail(("%s: unknown dtype '%s'"):format(call, tostring(dtype)))
  end
  if options.dp and not dp.is_policy(options.dp) then
    fail(call .. ": dp is not a torch.DPPolicy{...}")
  end
  if options.memory and not MEMORIES[options.memory] then
    fail(("%s: memory '%s' does not exist; there are hbm, sram and tcm"):format(call, tostring(options.memory)))
  end
  return { shape = shape, dtype = dtype, dp = options.dp or dp.single, name = options.name,
    memory = options.memory or "hbm" }
end

-- Allocate and map what parse returned; contents are zero.
local function make(call, wanted)
  local engine = runtime.need_engine(call)
  local ok, placement = pcall(placements.of, wanted.shape, wanted.dp, runtime.machine)
  if not ok then
    fail(("%s: tensor%s %s: %s"):format(call, wanted.name and (" '" .. wanted.name .. "'") or "",
      tensors.shape_text(wanted.shape), placement))
  end
  local description = { call = call, name = wanted.name, sip = runtime.device, dtype = wanted.dtype,
    memory = wanted.memory, shape = wanted.shape, placement = placement:raw_of(engine),
    padded = dp.is_padded_by_rows(wanted.dp) }
  local raw = engine:tensor(description)
  if not raw then
    runtime.barrier() -- launches hold on to their tensors until somebody has waited for them
    description.last_try = true
    raw = engine:tensor(description)
  end
  return tensors.wrap(raw, description, wanted.dp, placement)
end

-- A new tensor filled from the host; without an array it holds zeros.
local function filled(call, array, ...)
  local wanted = parse(call, ...)
  local tensor, contents, ok = make(call, wanted), nil, true
  if array and runtime.engine:has_data() then
    ok, contents = pcall(array, wanted.shape, wanted.dtype)
  end
  if not ok then
    fail(("%s: %s"):format(call, contents:gsub("^[^:]*:%d+: ", "")))
  end
  tensor.raw:write(contents)
  return tensor
end

--- Zeros, written over the fabric.
---@return Tensor
function M.zeros(...)
  return filled("torch.zeros", nil, ...)
end

---@return Tensor
function M.ones(...)
  return filled("torch.ones", function(shape, dtype) return np.full(shape, 1, dtype) end, ...)
end

---@param shape integer[]
---@param value number
---@param options table?
---@return Tensor
function M.full(shape, value, options)
  return filled("torch.full", function(s, dtype) return np.full(s, value, dtype) end, shape, options or {})
end

--- Memory that nothing is written to (it reads as zero).
---@return Tensor
function M.empty(...)
  return make("torch.empty", parse("torch.empty", ...))
end

local function generator()
  runtime.random = runtime.random or np.random(runtime.seed)
  return runtime.random
end

--- Uniform in [0, 1).
---@return Tensor
function M.rand(...)
  return filled("torch.rand", function(shape, dtype) return generator():rand(shape, dtype) end, ...)
end

--- Normal with mean 0 and variance 1.
---@return Tensor
function M.randn(...)
  return filled("torch.randn", function(shape, dtype) return generator():randn(shape, dtype) end, ...)
end

-- How many numbers there are from start on, in steps, before stop: an integer, or else there is no such number.
local function range_count(start, stop, step)
  if step == 0 then
    return nil
  end
  if math.type(start) == "integer" and math.type(stop) == "integer" and math.type(step) == "integer" then
    return -((start - stop) // step)
  end
  return math.tointeger(math.ceil((stop - start) / step))
end

--- arange(stop, options), arange(start, stop, options), arange(start, stop, step, options): start, start + step,
--- ... before stop. i64 if all are integers, else f32.
---@return Tensor
function M.arange(...)
  local args = table.pack(...)
  local options = {}
  if type(args[args.n]) == "table" then
    options, args.n = args[args.n], args.n - 1
  end
  local whole = true
  for i = 1, args.n do
    if not math.type(args[i]) then
      fail(("torch.arange: argument %d is a %s; expected a number"):format(i, type(args[i])))
    end
    whole = whole and math.type(args[i]) == "integer"
  end
  if args.n < 1 or args.n > 3 then
    fail("torch.arange: expected stop; start, stop; or start, stop, step")
  end
  local start, stop, step = args[1], args[2], args[3] or 1
  if args.n == 1 then
    start, stop = 0, args[1]
  end
  local count = range_count(start, stop, step)
  if not count or count < 1 then
    fail(("torch.arange: there is nothing from %s to %s in steps of %s"):format(start, stop, step))
  end
  local given = { dtype = whole and "i64" or "f32" }
  for key, value in pairs(options) do
    given[key] = value
  end
  return filled("torch.arange", function(_, dtype) return np.arange(start, stop, step, dtype) end, { count }, given)
end

--- A tensor with an array's shape, type and contents.
---@param array table an np array
---@param options {dp?: DPPolicy, memory?: string, name?: string}?
---@return Tensor
function M.from_numpy(array, options)
  options = options or {}
  if type(array) ~= "userdata" then
    fail("torch.from_numpy: expected an np array, got " .. type(array))
  end
  for key in pairs(options) do
    if key == "dtype" or not OPTIONS[key] then
      fail(("torch.from_numpy: unknown option '%s'; it takes dp, memory, name"):format(tostring(key)))
    end
  end
  return filled("torch.from_numpy", function() return array end, array.shape,
    { dtype = array.dtype, dp = options.dp, memory = options.memory, name = options.name })
end

-- ---- devices ----

local function set_device(call, index)
  runtime.need_engine(call)
  check_host(call)
  if math.type(index) ~= "integer" or index < 0 or index >= runtime.machine.sips then
    fail(("%s: device %s does not exist; there are %d, from 0"):format(call, tostring(index), runtime.machine.sips))
  end
  runtime.device = index
end

M.ahbm = {}

--- The SIP on which new tensors are placed.
---@param index integer from 0
function M.ahbm.set_device(index)
  set_device("torch.ahbm.set_device", index)
end

function M.ahbm.current_device()
  return runtime.device
end

--- Whether numbers are computed: false under --no-data, where reading a tensor raises.
---@return boolean
function M.ahbm.has_data()
  return runtime.need_engine("torch.ahbm.has_data"):has_data()
end

M.accelerator = {}

function M.accelerator.set_device_index(index)
  set_device("torch.accelerator.set_device_index", index)
end

function M.accelerator.current_device_index()
  return runtime.device
end

function M.accelerator.device_count()
  runtime.need_engine("torch.accelerator.device_count")
  return runtime.machine.sips
end

function M.accelerator.is_available()
  return runtime.engine ~= nil
end

--- Wait for all launches of this program.
function M.accelerator.synchronize()
  runtime.need_engine("torch.accelerator.synchronize")
  check_host("torch.accelerator.synchronize")
  runtime.barrier()
end

--- How a tensor is laid over cubes and PEs.
---@param options {cube?: string, pe?: string, num_cubes?: integer, num_pes?: integer}
---@return DPPolicy
function M.DPPolicy(options)
  return dp.policy(options)
end

M.is_tensor = tensors.is_tensor

--- Connect PEs by queues for kernels that use tl.send and tl.recv; see kernbench.ccl. Waits.
---@param options table
---@return ccl.Collective
function M.install_ipcq(options)
  return require("kernbench.ccl").install_ipcq(options) -- a tail call: errors are at the line of who called
end

--- Seed of torch.rand and torch.randn.
---@param seed integer
function M.manual_seed(seed)
  runtime.seed, runtime.random = seed, np.random(seed)
end

return M
