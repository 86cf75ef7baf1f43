-- Attention of a sequence that is cut over the SIPs: keys and values travel around their ring, both ways. A prefill of
-- 16,384 positions with the heads of a 70B model on 8 SIPs:
--   ./kb benches/ring_attention.lua --set system.sips.count=8 --no-data --S 16384 --heads 64 --groups 8 --D 128
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"
local kernel = require "kernels.ring_attention"
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

-- This rank's [n, 1, (heads + 2 groups) D] of q, k, v.
local function rows_of(given, rank, n)
  local columns = {}
  for i, x in ipairs { given.q, given.k, given.v } do
    local mine = part_of(x, rank, n):transpose { 1, 0, 2 }
    columns[i] = mine:reshape { n, mine.shape[2] * mine.shape[3] }
  end
  local all = np.concatenate(columns, 1)
  return all:reshape { n, 1, all.shape[2] }
end

local function run(args)
  local world, heads, groups, D = torch.accelerator.device_count(), args.heads, args.groups, args.D
  local n, by_rows = args.S // world, torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
  if args.S % world ~= 0 then
    error(("%d positions are not cut evenly over %d SIPs"):format(args.S, world), 0)
  end
  local given, made, outs, launches = contents(args), {}, {}, {}
  local machine = runtime.machine
  local options = { heads = heads, groups = groups, keys = args.keys, causal = args.causal,
    rows = args.rows > 0 and args.rows or kernel.rows(n, 1, heads, machine.cubes * machine.pes) }
  local ring = torch.install_ipcq { algorithm = "kernels.ring_attention", ranks = "sip" }
  local function empty(width, name)
    return torch.empty({ n, 1, width }, { dtype = "f16", dp = by_rows, name = name })
  end
  for rank = 0, world - 1 do
    torch.ahbm.set_device(rank)
    made[rank] = given.q and torch.from_numpy(rows_of(given, rank, n), { dp = by_rows, name = "qkv" })
      or empty((heads + 2 * groups) * D, "qkv")
    outs[rank] = empty(heads * D, "out")
  end
  for rank = 0, world - 1 do
    torch.ahbm.set_device(rank)
    local gathered = world > 1 and empty(world * 2 * groups * D, "gathered") or nil
    launches[rank] = torch.launch { name = "ring_attention", kernel = ring.kernel, pes = "all",
      args = { n = 4, made[rank], gathered, outs[rank], options } }
  end

  local began, ended, flops = math.huge, 0, 0
  for rank = 0, world - 1 do
    local s = launches[rank]:stats()
    began, ended, flops = math.min(began, s.start_ns), math.max(ended, s.end_ns), flops + s.flops
  end
  local result = { shape = ("%d positions, %d heads on %d, D = %d"):format(args.S, heads, groups, D), ranks = world,
    time_us = ("%.3f"):format((ended - began) / 1000), tflops = ("%.1f"):format(flops / (ended - began) / 1000) }
  if given.q then
    local expected = reference.attention(given.q, given.k, given.v, args.causal)
    for rank = 0, world - 1 do
      local want = part_of(expected, rank, n):transpose({ 1, 0, 2 }):reshape { n, 1, heads * D }
      local got = outs[rank]:numpy():astype "f64"
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
    rows = { default = 0, help = "Queries that are taken at a time; 0: two blocks for every PE if possible." },
    keys = { default = 256, help = "Keys that are taken at a time." },
    causal = { default = true, help = "Queries do not see later keys." },
  },
  run = run,
}
