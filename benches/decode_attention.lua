-- One token per user against a cache of keys and values that all PEs of a SIP share, and all SIPs with --ranks:
-- each PE attends to its positions, and the parts are merged by (m, l, o). At the size of a rank of a 70B model:
--   ./kb benches/decode_attention.lua --no-data --users 16 --heads 8 --groups 1 --D 128 --context 8192
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"
local decode = require "kernels.decode_attention"
local reference = require "kernels.reference"
local dist = torch.distributed

-- How many positions each user has: the whole context, or less and less with --ragged.
local function lengths_of(args)
  local lengths = {}
  for user = 0, args.users - 1 do
    lengths[user + 1] = args.ragged and args.context - args.context * user // args.users or args.context
  end
  return lengths
end

-- q (users, heads, D), k and v (context, users, groups, D), the same on every rank; nothing without numbers.
local function contents(args)
  if not torch.ahbm.has_data() then
    return {}
  end
  local random = np.random(1)
  local cache = { args.context, args.users, args.groups, args.D }
  return { q = random:randn({ args.users, args.heads, args.D }, "f16"), k = random:randn(cache, "f16"),
    v = random:randn(cache, "f16") }
end

-- The PEs' cache of (context, users, groups, D): position p is in slot p // all of PE p % all.
local function cut(x, first, pes, all)
  local context, users, groups, D = table.unpack(x.shape)
  local slots = decode.slots(context, all)
  local padded = np.zeros({ slots * all, users, groups, D }, x.dtype)
  padded[{ { 0, context } }] = x
  local parts = padded:reshape({ slots, all, users, groups, D }):transpose { 1, 2, 3, 0, 4 }
  return parts[{ { first, first + pes } }]
end

local function expected_of(given, lengths)
  local rows = {}
  for i, length in ipairs(lengths) do
    local function of(x) return x[{ { 0, length }, i - 1 }]:transpose { 1, 0, 2 } end
    local q = given.q[i - 1]
    local heads, D = q.shape[1], q.shape[2]
    rows[i] = reference.attention(q:reshape { heads, 1, D }, of(given.k), of(given.v)):reshape { heads, D }
  end
  return np.stack(rows)
end

local function worker(rank, given, args, world, result)
  torch.ahbm.set_device(rank)
  dist.init_process_group("ahbm", { world_size = world })
  local pes = runtime.machine.cubes * runtime.machine.pes
  local all, lengths, rows = pes * world, lengths_of(args), args.users * args.heads
  local over = torch.DPPolicy { cube = "row_wise", pe = "row_wise" }
  local function tensor(array, shape, options)
    if array then
      return torch.from_numpy(array, { dp = options.dp, name = options.name })
    end
    return torch.empty(shape, { dtype = "f16", dp = options.dp, name = options.name })
  end
  local shape = { pes, args.users, args.groups, decode.slots(args.context, all), args.D }
  local q = tensor(given.q, { args.users, args.heads, args.D }, { dp = torch.DPPolicy { num_pes = 1 }, name = "q" })
  local keys = tensor(given.k and cut(given.k, rank * pes, pes, all), shape, { dp = over, name = "keys" })
  local values = tensor(given.v and cut(given.v, rank * pes, pes, all), shape, { dp = over, name = "values" })
  local out = torch.empty(args.users, args.heads, args.D, { dtype = "f16", name = "out" })
  dist.barrier()

  local began, ended
  if world == 1 then
    local stats = torch.launch("decode", decode.attention, q, keys, values, out, lengths):stats()
    began, ended = stats.start_ns, stats.end_ns
  else
    local states, gathered = torch.empty(rows, args.D + 2), torch.empty(world, rows, args.D + 2)
    local first = torch.launch("decode", decode.attention, q, keys, values, states, lengths,
      { rank = rank, world = world })
    dist.all_gather_into_tensor(gathered, states)
    local last = torch.launch { name = "merge_ranks", kernel = decode.merge_ranks, pes = "all",
      args = { gathered, out, world, rows, args.D } }
    began, ended = first:stats().start_ns, last:stats().end_ns
  end
  result.time_ns = math.max(result.time_ns or 0, ended - began)
  if given.q then
    local got, expected = out:numpy():astype "f64", expected_of(given, lengths)
    result.max_abs_diff = math.max(result.max_abs_diff or 0, np.max_abs_diff(got, expected))
    assert(np.allclose(got, expected, { rtol = 2e-3, atol = 2e-3 }), "the attention is wrong")
  end
end

local function run(args)
  local world = args.ranks > 0 and args.ranks or torch.accelerator.device_count()
  local result = { shape = ("%d users, %d heads on %d, %d positions"):format(args.users, args.heads, args.groups,
    args.context), ranks = world }
  runtime.engine:install_ipcq(decode.plan(runtime.machine))
  torch.multiprocessing.spawn(worker, { args = { contents(args), args, world, result }, nprocs = world })
  -- the cache is read once, from all slices
  local bytes = 0
  for _, length in ipairs(lengths_of(args)) do bytes = bytes + 2 * 2 * length * args.groups * args.D end
  result.cache_gbs = ("%.1f"):format(bytes / result.time_ns)
  return result
end

return {
  name = "decode_attention",
  description = "Attention of one token per user, the cache cut by positions over all PEs and ranks.",
  args = {
    users = { default = 2, help = "Rows of q." },
    heads = { default = 8, help = "Of queries." },
    groups = { default = 2, help = "Heads of keys and values." },
    D = { default = 32, help = "Of a head." },
    context = { default = 300, help = "Positions in the cache." },
    ragged = { default = true, help = "The users' lengths differ: context x (users - user) / users." },
    ranks = { default = 1, help = "SIPs that share the context; 0: all." },
  },
  run = run,
}
