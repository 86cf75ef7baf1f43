-- Many small commands on small tiles: how fast the simulator itself is, not the machine.
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

-- Every round is four commands. x and y change places, and 1 is added to what was x:
-- x1 = x + y, y1 = x1 - y = x, x2 = x1 - y1 = y, y2 = y1 + 1 = x + 1.
local function rounds(in_ptr, out_ptr, count)
  local x = tl.load(in_ptr)
  local y = x + 1
  for _ = 1, count do
    x = x + y
    y = x - y
    x = x - y
    y = y + 1
  end
  tl.store(out_ptr, x + y)
end

local function run(args)
  local dp = torch.DPPolicy { cube = "replicate", pe = "replicate", num_cubes = args.cubes, num_pes = args.pes }
  local input = torch.from_numpy(np.array({ 1, 2, 3, 4, 5, 6, 7, 8 }, "i32"), { dp = dp, name = "input" })
  local out = torch.empty({ 8 }, { dtype = "i32", dp = dp, name = "out" })
  local count = math.max(1, args.commands // (4 * args.cubes * args.pes))
  torch.launch("rounds", rounds, input, out, count)
  local result = { commands = (4 * count + 4) * args.cubes * args.pes }
  if torch.ahbm.has_data() then
    for i, sum in ipairs(out:numpy():tolist()) do
      assert(sum == i + i + 1 + count, "the sum is wrong") -- each round adds 1 to x + y
    end
  end
  return result
end

return {
  name = "tl_commands",
  description = "A kernel of many small tl commands, for the speed of the simulator.",
  args = { commands = 10000, cubes = 1, pes = 1 },
  run = run,
}
