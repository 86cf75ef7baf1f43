--- kernbench mock: try an algorithm without a machine, on several numbers of ranks, and check its numbers.
local ccl_config = require "kernbench.ccl.config"
local common = require "kernbench.cli.common"
local expected = require "kernbench.ccl.expected"
local mock = require "kernbench.ccl.mock"
local np = require "kernbench.np"

local M = {}

local LINE = "  %5s  %8s  %8s  %9s  %s"
local WORLDS = { 1, 2, 3, 4, 7, 8, 16 }

local function make_parser()
  local parser = common.parser("kernbench mock", "Run an algorithm without a machine: numbers and deadlocks, no times.")
  parser:argument("algorithm", "A name of kernbench list --algorithms or of ccl.yaml, a module, or a file.lua.")
  parser:option("--world", "Ranks; may be repeated. Default: 1 2 3 4 7 8 16."):count("*"):default({})
    :convert(common.count("--world"))
  parser:option("--n", "Elements per rank."):default("1000"):convert(common.count("--n"))
  parser:option("--op", "Reduction."):choices { "sum", "avg", "max", "min", "product" }:default("sum")
  parser:option("--dtype", "Type."):choices { "f16", "f32", "i32" }:default("f32")
  parser:option("--slots", "Slots of a ring."):default("4"):convert(common.count("--slots"))
  parser:option("--slot-size", "Bytes of a slot."):default("4096"):convert(common.count("--slot-size"))
  parser:option("--ccl", "A file in place of ccl.yaml."):argname("FILE")
  return parser
end

-- The first element that is not what it should be.
local function difference(rank, got, want)
  got, want = got:flatten(), want:flatten()
  local differs = np.ne(got, want)
  local first = differs:argmax()
  return ("%d of %d elements of rank %d are wrong; element %d is %s and should be %s"):format(
    differs:astype("i64"):sum(), got.size, rank, first, got[first], want[first])
end

-- One run: its row of the table, its exit code, and a message.
local function try(algorithm, world, options)
  local collective = algorithm.collective
  local n = expected.input_rows(collective, options.n, world)
  local inputs = expected.inputs(world, n, options.dtype, options.op)
  local ok, run = pcall(mock.run, { algorithm = algorithm, world = world, op = options.op, n_slots = options.slots,
    slot_size = options.slot_size, inputs = function(rank) return inputs[rank]:copy() end })
  if not ok then
    return { world, n, "", "", "refused: " .. run }, 0
  elseif run.status ~= "ok" then
    return { world, n, run.messages, run.bytes, run.status }, run.status == "deadlock" and 3 or 1,
      run.report or run.error
  end
  local want = expected.outputs(collective, inputs, world, options)
  for rank = 0, world - 1 do
    if not np.array_equal(run.outputs[rank], want(rank)) then
      return { world, n, run.messages, run.bytes, "wrong" }, 1, difference(rank, run.outputs[rank], want(rank))
    end
  end
  return { world, n, run.messages, run.bytes, "ok" }, 0
end

---@param argv string[]
---@return integer
function M.main(argv)
  local options, code = common.parse(make_parser(), argv)
  if not options then
    return code
  end
  local loaded, algorithm = pcall(function()
    return mock.load(ccl_config.load(options.ccl):settings(options.algorithm).module or options.algorithm)
  end)
  if not loaded then
    return common.fail(2, "%s", algorithm)
  end
  print(("%s, %s over %s"):format(algorithm.name, algorithm.collective, algorithm.topology))
  print(LINE:format("ranks", "elements", "messages", "bytes", "result"))
  for _, world in ipairs(#options.world > 0 and options.world or WORLDS) do
    local row, status, message = try(algorithm, world, options)
    print(LINE:format(table.unpack(row)))
    if status > 0 then
      return common.fail(status, "%s on %d ranks: %s", algorithm.name, world, message)
    end
  end
  return 0
end

return M
