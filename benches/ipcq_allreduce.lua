-- An all-reduce whose ranks are PEs: rings installed by the program, kernels launched by it, numbers checked.
local ccl_expected = require "kernbench.ccl.expected"
local np = require "kernbench.np"
local torch = require "kernbench.torch"

local DEFAULT_N = 1024

-- One tensor per SIP, a row per rank: rank r of the SIP is PE r of it, counting through the cubes.
local function place(ranks, machine_pes)
  local pes = math.min(ranks, machine_pes)
  return torch.DPPolicy { cube = "row_wise", pe = "row_wise", num_cubes = ranks // pes, num_pes = pes }
end

local function run(args)
  local installed = torch.install_ipcq { algorithm = args.algorithm, ranks = "pe", world_size = args.world,
    op = args.op, bytes = (args.n > 0 and args.n or DEFAULT_N) * np.zeros({ 1 }, args.dtype).nbytes,
    buffer_kind = args.buffer_kind ~= "" and args.buffer_kind or nil,
    backpressure = args.backpressure ~= "" and args.backpressure or nil }
  if installed.collective ~= "all_reduce" then
    error(("algorithm %s is for %s, not for all_reduce"):format(installed.algorithm, installed.collective))
  end
  local layout = installed.layout
  local in_sip = layout.pes * layout.cubes
  if in_sip * layout.sips ~= args.world then
    error(("%d ranks do not fill cubes of %d PEs and SIPs of %d cubes"):format(args.world, layout.pes, layout.cubes))
  end
  local n = args.n > 0 and args.n or installed.settings.n_elem or DEFAULT_N
  local inputs, tensors = ccl_expected.inputs(args.world, n, args.dtype, args.op), {}
  for sip = 0, layout.sips - 1 do
    local rows = {}
    for r = 0, in_sip - 1 do rows[r + 1] = inputs[sip * in_sip + r] end
    torch.ahbm.set_device(sip)
    tensors[sip] = torch.from_numpy(np.stack(rows), { dp = place(in_sip, layout.pes), name = "x" .. sip })
  end
  for sip = 0, layout.sips - 1 do torch.launch("all_reduce", installed.kernel, tensors[sip]) end
  torch.accelerator.synchronize()

  local want = ccl_expected.reduced(inputs, args.world, args.op)
  for sip = 0, layout.sips - 1 do
    if torch.ahbm.has_data() then
      local got = tensors[sip]:numpy()
      assert(np.array_equal(got, want:broadcast_to(got.shape)), "wrong numbers on sip " .. sip)
    end
  end
  return { algorithm = installed.algorithm, ranks = args.world, elements = n }
end

return {
  description = "All-reduce between PEs over queues: any algorithm, up to all PEs; every element compared.",
  args = {
    world = { default = 8, help = "Ranks, from PE 0 of SIP 0 on." },
    n = { default = 0, help = "Elements per rank; 0: n_elem of ccl.yaml, else 1024." },
    algorithm = { default = "auto", help = "An algorithm of kernbench list, or auto." },
    op = { default = "sum", choices = { "sum", "avg", "max", "min", "product" }, help = "Reduction." },
    dtype = { default = "f16", choices = { "f16", "f32", "i32" }, help = "Type of the elements." },
    buffer_kind = { default = "", choices = { "", "tcm", "hbm", "sram" },
      help = "Where rings lie; ccl.yaml's if empty." },
    backpressure = { default = "", choices = { "", "sleep", "poll" },
      help = "Without a free slot; ccl.yaml's if empty." },
  },
  run = run,
}
