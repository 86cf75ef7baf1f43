-- Collectives timed over sizes, in the table of NCCL-tests. Times are simulated; numbers are checked.
local expected = require "kernbench.ccl.expected"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"
local ccl = require "kernbench.ccl"

local UNITS = { [""] = 1, B = 1, K = 1 << 10, M = 1 << 20, G = 1 << 30 }

local function size_of(option, text)
  local number, unit = text:match("^(%d+)([BKMG]?)$")
  if not number then
    error(("-%s %s: expected a size such as 512, 64K or 1M"):format(option, text), 0)
  end
  return math.tointeger(number) * UNITS[unit]
end

local COLLECTIVES = { "all_reduce", "all_gather", "reduce_scatter", "broadcast", "reduce", "all_to_all" }
local REDUCES = { all_reduce = true, reduce_scatter = true, reduce = true }

-- Bus bandwidth: what the busiest link of the best algorithm carries, per byte of size.
local function bus_factor(collective, n)
  if collective == "all_reduce" then
    return 2 * (n - 1) / n
  elseif collective == "broadcast" or collective == "reduce" then
    return 1
  end
  return (n - 1) / n
end

-- ---- tensors ----

-- Elements of a rank's input and output for `count` elements in all: sizes are those of NCCL-tests.
local function elements(collective, count, world)
  if collective == "all_gather" then
    return count // world, count // world * world
  elseif collective == "reduce_scatter" then
    return count // world * world, count // world
  elseif collective == "all_to_all" then
    return count // world * world, count // world * world
  end
  return count
end

-- Ranks that are PEs: a row of the SIP's tensor each.
local function tensors_of_pes(layout, n, dtype)
  local in_sip, tensors = layout.pes * layout.cubes, {}
  local dp = torch.DPPolicy { cube = "row_wise", pe = "row_wise", num_cubes = layout.cubes, num_pes = layout.pes }
  for sip = 0, layout.sips - 1 do
    torch.ahbm.set_device(sip)
    tensors[sip] = torch.empty({ in_sip, n }, { dtype = dtype, dp = dp })
  end
  local function write(arrays)
    for sip = 0, layout.sips - 1 do
      local rows = {}
      for r = 0, in_sip - 1 do rows[r + 1] = arrays[sip * in_sip + r] end
      tensors[sip]:copy_(np.stack(rows))
    end
  end
  local function read(rank, whole)
    local sip = rank // in_sip
    whole[sip] = whole[sip] or tensors[sip]:numpy()
    return whole[sip][rank % in_sip]
  end
  return { by_sip = tensors, write = write, read = read, sips = layout.sips }
end

-- Ranks that are SIPs: a tensor each, its columns over `pes` PEs.
local function tensors_of_sips(world, n, dtype, pes)
  local tensors, machine = {}, runtime.machine
  local dp = torch.DPPolicy { cube = "column_wise", pe = "column_wise", num_pes = math.min(pes, machine.pes),
    num_cubes = math.max(1, pes // machine.pes) }
  for sip = 0, world - 1 do
    torch.ahbm.set_device(sip)
    tensors[sip] = torch.empty({ n // pes, pes }, { dtype = dtype, dp = dp })
  end
  local function write(arrays)
    for sip = 0, world - 1 do tensors[sip]:copy_(arrays[sip]:reshape(tensors[sip].shape)) end
  end
  return { by_sip = tensors, write = write, read = function(rank) return tensors[rank]:numpy():flatten() end,
    sips = world }
end

-- ---- one size ----

-- From the first start to the last end of the launches of one iteration, in ns.
local function launch_all(prepared, x, out)
  local launches = {}
  for sip = 0, x.sips - 1 do
    launches[#launches + 1] = torch.launch(prepared.algorithm, prepared.kernel, x.by_sip[sip], out and out.by_sip[sip])
  end
  for _, launch in ipairs(launches) do launch:wait() end
  local all = runtime.engine:launches()
  local first, last = math.huge, 0
  for i = #all - #launches + 1, #all do
    first, last = math.min(first, all[i].start_ns), math.max(last, all[i].end_ns)
  end
  return last - first
end

-- Elements that are not what they have to be.
local function count_wrong(collective, inputs, world, tensors, args)
  local want, wrong, whole = expected.outputs(collective, inputs, world, { op = args.op, root = args.root }), 0, {}
  for rank = 0, world - 1 do
    wrong = wrong + np.ne(tensors.read(rank, whole):flatten(), want(rank):flatten()):astype("i64"):sum()
  end
  return math.tointeger(wrong)
end

local function measure(collective, size, args, algorithm)
  local item = np.zeros({ 1 }, args.dtype).nbytes
  local pes = args.ranks == "sip" and args.pes or 1
  local count = math.max(1, size // item // pes) * pes
  local prepared = ccl.prepare(collective, { ranks = args.ranks, world_size = args.world > 0 and args.world or nil,
    algorithm = algorithm, op = args.op, root = args.root, bytes = count // pes * item,
    shards = args.ranks == "sip" and args.shards or nil })
  local world, layout = prepared.world, prepared.layout
  local n, m = elements(collective, count, world * pes)
  if n < 1 then
    return nil
  end
  if layout.pes * layout.cubes * layout.sips ~= world then
    error(("%d ranks do not fill whole cubes and SIPs"):format(world), 0)
  end
  n, m = n * (collective == "all_gather" and pes or 1), m and m * (collective == "reduce_scatter" and pes or 1)
  ccl.install(prepared)
  local function make(length)
    return args.ranks == "pe" and tensors_of_pes(layout, length, args.dtype)
      or tensors_of_sips(world, length, args.dtype, pes)
  end
  local x, out = make(n), m and make(m) or nil
  local inputs = expected.inputs(world, n, args.dtype, args.op)
  for _ = 1, args.w do launch_all(prepared, x, out) end
  x.write(inputs)
  local ns, wrong = launch_all(prepared, x, out), 0
  if args.c > 0 and torch.ahbm.has_data() then
    wrong = count_wrong(collective, inputs, world, out or x, args)
  end
  for _ = 2, args.n do ns = ns + launch_all(prepared, x, out) end
  for _, tensors in ipairs { x, out } do
    for sip = 0, tensors.sips - 1 do tensors.by_sip[sip]:free() end
  end
  local us, bytes = ns / args.n / 1000, math.max(n, m or 0) * item
  return { collective = collective, ranks = world, size = bytes, count = collective == "all_gather" and n or m or n,
    type = args.dtype, redop = REDUCES[collective] and args.op or "none", time_us = us, algbw = bytes / us / 1000,
    busbw = bytes / us / 1000 * bus_factor(collective, world), nwrong = wrong, algorithm = prepared.algorithm,
    __order = { "collective", "ranks", "size", "count", "type", "redop", "time_us", "algbw", "busbw", "nwrong",
      "algorithm" } }
end

-- ---- tables ----

local function print_header(collective, world, ranks)
  print(("# %s on %d ranks (%s)"):format(collective, world, ranks == "pe" and "PEs" or "SIPs"))
  print("#")
  print(("#%11s %13s %9s %7s %7s %9s %8s %8s %7s  %s"):format("size", "count", "type", "redop", "root", "time",
    "algbw", "busbw", "#wrong", "algorithm"))
  print(("#%11s %13s %9s %7s %7s %9s %8s %8s"):format("(B)", "(elements)", "", "", "", "(us)", "(GB/s)", "(GB/s)"))
end

local function print_row(row, root)
  print(("%12d %13d %9s %7s %7d %9.3f %8.3f %8.3f %7d  %s"):format(row.size, row.count, row.type, row.redop, root,
    row.time_us, row.algbw, row.busbw, row.nwrong, row.algorithm))
end

local function print_footer(rows)
  local wrong, bus = 0, 0
  for _, row in ipairs(rows) do wrong, bus = wrong + row.nwrong, bus + row.busbw end
  print(("# Out of bounds values : %d %s"):format(wrong, wrong == 0 and "OK" or "FAILED"))
  print(("# Avg bus bandwidth    : %.3f"):format(#rows > 0 and bus / #rows or 0))
  print("#")
  return wrong
end

local function sizes(args)
  local size, last = size_of("b", args.b), size_of("e", args.e)
  if args.f < 2 then
    error(("-f %d: expected a factor of at least 2"):format(args.f), 0)
  end
  return function()
    local now = size
    size = size * args.f
    return now <= last and now > 0 and now or nil
  end
end

local function run_table(collective, args, rows)
  local mine = {}
  for size in sizes(args) do
    local row = measure(collective, size, args, args.algorithm ~= "" and args.algorithm or nil)
    if row then
      if #mine == 0 then print_header(collective, row.ranks, args.ranks) end
      mine[#mine + 1], rows[#rows + 1] = row, row
      print_row(row, (collective == "broadcast" or collective == "reduce") and args.root or -1)
    end
  end
  return print_footer(mine)
end

-- All candidates of auto at every size: where its choice changes, and how good it is.
local CANDIDATES = { "centre_root", "torus", "ring_chunked", "tree" }

local function run_crossover(args, rows)
  print(("#%11s %16s %16s %16s %16s  %s"):format("size", CANDIDATES[1], CANDIDATES[2], CANDIDATES[3], CANDIDATES[4],
    "auto chooses"))
  for size in sizes(args) do
    local words, best = {}, math.huge
    for i, algorithm in ipairs(CANDIDATES) do
      local ok, row = pcall(measure, "all_reduce", size, args, algorithm)
      if ok then
        rows[#rows + 1] = row
        best = math.min(best, row.time_us)
      end
      words[i] = ok and ("%13.3f us"):format(row.time_us) or "-"
    end
    local choice = measure("all_reduce", size, args, "auto")
    print(("%12d %16s %16s %16s %16s  %s, %.2f of the best"):format(size, words[1], words[2], words[3], words[4],
      choice.algorithm, choice.time_us / best))
  end
end

local function run(args)
  if args.ranks == "sip" then
    args.shards = {}
    local machine = runtime.machine
    local most = machine.pes * machine.cubes
    if args.pes < 1 or args.pes > most or args.pes > machine.pes and args.pes % machine.pes ~= 0 then
      error(("--pes %d: expected 1 to %d, or a multiple of that up to %d"):format(args.pes, machine.pes,
        most), 0)
    end
    for i = 0, args.pes - 1 do args.shards[i + 1] = { cube = i // machine.pes, pe = i % machine.pes } end
  end
  local rows, wrong = {}, 0
  if args.crossover then
    run_crossover(args, rows)
  elseif args.collective == "all" then
    for _, collective in ipairs(COLLECTIVES) do wrong = wrong + run_table(collective, args, rows) end
  else
    wrong = run_table(args.collective, args, rows)
  end
  if wrong > 0 then
    error(wrong .. " elements are wrong", 0)
  end
  return { rows = rows }
end

return {
  description = "Collectives over sizes between PEs or SIPs, in the table of NCCL-tests.",
  args = {
    b = { default = "1K", help = "Smallest size, such as 512, 64K, 1M." },
    e = { default = "64K", help = "Largest size." },
    f = { default = 4, help = "Factor between sizes." },
    n = { default = 1, help = "Iterations, whose mean is printed." },
    w = { default = 0, help = "Iterations before them." },
    c = { default = 1, help = "0: do not check the numbers." },
    collective = { default = "all_reduce", choices = { "all_reduce", "all_gather", "reduce_scatter", "broadcast",
      "reduce", "all_to_all", "all" }, help = "Which; all: one table each." },
    ranks = { default = "pe", choices = { "pe", "sip" }, help = "What a rank is." },
    world = { default = 0, help = "Ranks; 0: 8 PEs, or all SIPs." },
    pes = { default = 1, help = "With --ranks sip: PEs that a SIP's tensor is spread over." },
    algorithm = { default = "", help = "An algorithm or auto; ccl.yaml's if empty." },
    op = { default = "sum", choices = { "sum", "avg", "max", "min", "product" }, help = "Reduction." },
    dtype = { default = "f32", choices = { "f16", "f32", "i32" }, help = "Type." },
    root = { default = 0, help = "Of broadcast and reduce." },
    crossover = { default = false, help = "Time what auto chooses from at every size." },
  },
  run = function(args)
    if args.ranks == "pe" and args.world == 0 then args.world = 8 end
    return run(args)
  end,
}
