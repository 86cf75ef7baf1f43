-- An all-reduce over all SIPs as a PyTorch program writes it: one worker per SIP, every worker a tensor.
-- Which algorithm carries it out is written in ccl.yaml and nowhere else.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local dist = torch.distributed

-- What the tensor of a rank holds: small integers, so that every type adds them exactly.
local function values(rank, n, dtype)
  return (np.arange(0, n, 1, "i64") % 5 + rank):astype(dtype)
end

local function worker(rank, world_size, args)
  torch.ahbm.set_device(rank)
  dist.init_process_group("ahbm", { rank = rank, world_size = world_size })
  local dp = args.pes == "all" and torch.DPPolicy { cube = "replicate", pe = "column_wise" } or nil
  local t = torch.from_numpy(values(rank, args.n, args.dtype), { dp = dp })

  dist.all_reduce(t, { op = dist.ReduceOp.SUM })

  if torch.ahbm.has_data() then
    local expected = np.zeros({ args.n }, args.dtype)
    for other = 0, world_size - 1 do expected = expected + values(other, args.n, args.dtype) end
    assert(np.array_equal(t:numpy(), expected), "the sum is wrong")
  end
  dist.destroy_process_group()
end

local function run(args)
  local world_size = torch.accelerator.device_count()
  torch.multiprocessing.spawn(worker, { args = { world_size, args }, nprocs = world_size })
  return { ranks = world_size, elements = args.n }
end

return {
  name = "ccl_allreduce",
  description = "All-reduce of one tensor per SIP with torch.distributed, one worker per SIP.",
  args = {
    n = { default = 1024, help = "Elements per rank." },
    dtype = { default = "f32", choices = { "f16", "f32", "i32" } },
    pes = { default = "one", choices = { "one", "all" }, help = "PEs of each cube that hold the tensor." },
  },
  run = run,
}
