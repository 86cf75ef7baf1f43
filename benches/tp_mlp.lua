-- A transformer's MLP over all SIPs: up = gelu(x W1^T + b1), y = up W2^T + b2, with W1 cut along its output
-- and W2 along its input, so that one all-reduce at the end is all that the ranks exchange.
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local tp = require "kernbench.tp"
local dist = torch.distributed

-- y = gelu(y) in place; every PE its rows.
local function gelu(y)
  local count = 1
  for _, extent in ipairs(y.shape) do count = count * extent end
  for at = 0, count - 1, 1 << 18 do
    local x = tl.load(y + at, { math.min(1 << 18, count - at) })
    tl.store(y + at, tl.cast(x * 0.5 * (tl.erf(x * math.sqrt(0.5)) + 1), y.dtype))
  end
end

local function gelu_reference(x)
  return x * 0.5 * (np.erf(x * math.sqrt(0.5)) + 1)
end

-- Weights and input, the same on every rank; nothing without numbers.
local function make(args)
  if not torch.ahbm.has_data() then
    return {}
  end
  local random = np.random(1)
  local H, F = args.hidden, args.ffn
  return { x = random:randn({ args.tokens, 1, H }, "f32"), w1 = random:randn({ F, H }, "f32") * (1 / math.sqrt(H)),
    b1 = random:randn({ F }, "f32"), w2 = random:randn({ H, F }, "f32") * (1 / math.sqrt(F)),
    b2 = random:randn({ H }, "f32") }
end

local function expected(given, args)
  local x = given.x:astype("f64"):reshape({ args.tokens, args.hidden })
  local up = np.matmul(x, given.w1:astype("f64"):transpose()) + given.b1:astype("f64")
  return np.matmul(gelu_reference(up), given.w2:astype("f64"):transpose()) + given.b2:astype("f64")
end

local function worker(rank, given, args, result)
  torch.ahbm.set_device(rank)
  dist.init_process_group "ahbm"
  tp.initialize_model_parallel(dist.get_world_size())
  local H, F, dtype = args.hidden, args.ffn, args.dtype
  local up = tp.ColumnParallelLinear { input_size = H, output_size = F, dtype = dtype, weight = given.w1,
    bias_values = given.b1 }
  local down = tp.RowParallelLinear { input_size = F, output_size = H, dtype = dtype, weight = given.w2,
    bias_values = given.b2, input_is_parallel = true }
  local x = given.x and torch.from_numpy(given.x:astype(dtype), { dp = tp.rows() })
    or torch.empty({ args.tokens, 1, H }, { dtype = dtype, dp = tp.rows() })

  local y = up(x)
  torch.launch("gelu", gelu, y)
  y = down(y)

  if given.x then
    local got, want = y:numpy():astype("f64"):reshape({ args.tokens, H }), expected(given, args)
    local tolerance = dtype == "f32" and 1e-4 or 5e-2
    assert(np.allclose(got, want, { rtol = tolerance, atol = tolerance }), "the output is wrong")
    result.max_abs_diff = math.max(result.max_abs_diff or 0, np.max_abs_diff(got, want))
  else
    dist.barrier()
  end
end

local function run(args)
  local ranks, result = torch.accelerator.device_count(), {}
  torch.multiprocessing.spawn(worker, { args = { make(args), args, result }, nprocs = ranks })
  result.ranks = ranks
  result.shape = ("%d tokens, %d -> %d -> %d"):format(args.tokens, args.hidden, args.ffn, args.hidden)
  return result
end

return {
  name = "tp_mlp",
  description = "Two-layer MLP with tensor parallelism, one rank per SIP, one all-reduce.",
  args = {
    tokens = { default = 8, help = "Rows of the input." },
    hidden = { default = 64, help = "Columns of the input and output." },
    ffn = { default = 256, help = "Columns in between." },
    dtype = { default = "f16", choices = { "f16", "bf16", "f32" } },
  },
  run = run,
}
