-- Attention of a sequence that is cut over the SIPs: keys and values travel around their ring, both ways. A prefill of
-- 16,384 positions with the heads of a 70B model on 8 SIPs:
--   ./kb benches/ring_attention.lua --set system.sips.count=8 --no-data --S 16384 --heads 64 --groups 8 --D 128
--       --rows 1024 --keys 256
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local reference = require "kernels.reference"

-- This rank's (heads, n, D) of (heads, S, D).
local function part_of(x, rank, n)
  return x[{ {}, { rank * n, (rank + 1) * n } }]
end

local function contents(args)
  if not torch.ahbm.has_data() then
    return {}
  end
  local random, kv = np.random(1), { args.groups, args.S, args.D }
  return { q = random:randn({ args.heads, args.S, args.D }, "f16"), k = random:randn(kv, "f16"),
    v = random:randn(kv, "f16") }
end

local function run(args)
  local world, heads, groups, D = torch.accelerator.device_count(), args.heads, args.groups, args.D
  local n, rows = args.S // world, args.rows
  if args.S % world ~= 0 or n % rows ~= 0 then
    error(("%d positions on %d SIPs are not cut evenly into units of %d rows"):format(args.S, world, rows))
  end
  local given, units, outs, launches = contents(args), heads * n // rows, {}, {}
  local ring = torch.install_ipcq { algorithm = "kernels.ring_attention", ranks = "sip" }
  local by_units = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
  local copies = torch.DPPolicy {}
  local function tensor(rank, name, shape, dp)
    if not given[name] then
      return torch.empty(shape, { dtype = "f16", dp = dp, name = name })
    end
    return torch.from_numpy(part_of(given[name], rank, n):reshape(shape), { dp = dp, name = name })
  end
  local made = {}
  for rank = 0, world - 1 do
    torch.ahbm.set_device(rank)
    made[rank] = { tensor(rank, "q", { units, rows, D }, by_units), tensor(rank, "k", { groups, n, D }, copies),
      tensor(rank, "v", { groups, n, D }, copies) }
    outs[rank] = torch.empty(units, rows, D, { dtype = "f16", dp = by_units, name = "out" })
  end
  for rank = 0, world - 1 do
    local q, k, v = table.unpack(made[rank])
    launches[rank] = torch.launch { name = "ring_attention", kernel = ring.kernel, pes = q.shards,
      args = { q, k, v, outs[rank], { keys = args.keys, causal = args.causal } } }
  end

  local began, ended, flops = math.huge, 0, 0
  for rank = 0, world - 1 do
    local s = launches[rank]:stats()
    began, ended, flops = math.min(began, s.start_ns), math.max(ended, s.end_ns), flops + s.flops
  end
  local result = { shape = ("%d positions, %d heads on %d, D = %d"):format(args.S, heads, groups, D), ranks = world,
    time_ns = ended - began, tflops = ("%.1f"):format(flops / (ended - began) / 1000) }
  if given.q then
    local expected = reference.attention(given.q, given.k, given.v, args.causal)
    for rank = 0, world - 1 do
      local got = outs[rank]:numpy():reshape({ heads, n, D }):astype "f64"
      local want = part_of(expected, rank, n)
      result.max_abs_diff = math.max(result.max_abs_diff or 0, np.max_abs_diff(got, want))
      assert(np.allclose(got, want, { rtol = 2e-3, atol = 2e-3 }), "the attention is wrong")
    end
  end
  return result
end

return {
  name = "ring_attention",
  description = "Attention of a sequence cut over the SIPs; keys and values around the ring both ways.",
  args = {
    S = { default = 64, help = "Positions, over all SIPs." },
    heads = { default = 4, help = "Of queries." },
    groups = { default = 2, help = "Heads of keys and values." },
    D = { default = 32, help = "Of a head." },
    rows = { default = 16, help = "Queries of a unit; a PE has one unit or several." },
    keys = { default = 64, help = "Keys that are taken at a time." },
    causal = { default = true, help = "Queries do not see later keys." },
  },
  run = run,
}
