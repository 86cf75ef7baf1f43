# The version
$ kernbench --version
kernbench [0-9]+\.[0-9]+\.[0-9]+ (re)

# Help of the program names every command
$ kernbench --help | grep -E '^  (run|probe|topology|list) ' | wc -l
4

# Help of a bench begins with what it is and shows its options
$ kernbench $ROOT/benches/gemm_single_pe.lua --help | grep -E '^C\[M,N\]|--M <M>'
C\[M,N\] = A\[M,K\] B\[K,N\] in f16 on one PE, operands streamed from HBM\. (re)
   --M <M>               Default: 32.

# A bench by name, from another folder
$ mkdir -p elsewhere && cd elsewhere && kernbench run --bench gemm_single_pe | head -1
gemm_single_pe: ok

# KERNBENCH_PATH comes first
$ mkdir -p mine && printf 'local t = require "kernbench.torch"\nreturn {name = "mine", run = function() t.zeros({4}) end}\n' >mine/gemm_single_pe.lua
$ KERNBENCH_PATH=$PWD/mine kernbench run --bench gemm_single_pe | head -1
mine: ok

# A script that is itself the bench
$ printf 'local t = require "kernbench.torch"\nt.zeros({4})\n' >script.lua && kernbench script.lua | head -1
script: ok

# Two runs print the same bytes, but for the wall time
$ kernbench $ROOT/benches/qkv_gemm.lua --json | grep -v wall_s >a && kernbench $ROOT/benches/qkv_gemm.lua --json | grep -v wall_s >b && cmp a b

# Finite buffers: waiting for credits is reported where they are on; with room enough there is none, and nothing changes
$ kernbench $ROOT/benches/gemm_single_pe.lua --json >off.json && kernbench $ROOT/benches/gemm_single_pe.lua --json --set system.flow_control.enabled=true --set system.flow_control.buffer_flits=1000 --set system.flow_control.die_buffer_flits=1000 >large.json && kernbench $ROOT/benches/gemm_single_pe.lua --json --set system.flow_control.enabled=true --set system.flow_control.buffer_flits=1 >small.json
$ cat >check_buffers.lua <<'END'
> local function read(name) return require("cjson").decode(io.open(name):read("a")) end
> local off, large, small = read "off.json", read "large.json", read "small.json"
> assert(off.flow_control == nil and small.audit.ok)
> assert(large.sim_ns == off.sim_ns and large.kernel_ns == off.kernel_ns)
> local waits = large.flow_control
> assert(waits.in_buffers_ns == 0 and waits.at_sources_ns == 0 and waits.most_at == nil)
> waits = small.flow_control
> assert(waits.buffer_flits == 1 and waits.die_buffer_flits == 16 and small.sim_ns > off.sim_ns)
> assert(waits.most_ns > 0 and waits.most_ns <= waits.in_buffers_ns and waits.most_at:find(" -> ", 1, true))
> print("holds")
> END
$ lua5.4 check_buffers.lua
holds

# The JSON has what docs/cli.md promises, and its sums hold
$ kernbench $ROOT/benches/gemm_single_pe.lua --json >run.json
$ cat >check.lua <<'END'
> local r = require("cjson").decode(io.open("run.json"):read("a"))
> assert(r.schema == 1 and r.bench == "gemm_single_pe" and r.ok == true and r.seed == 0)
> assert(r.audit.ok and #r.audit.violations == 0)
> -- A 32x128 and B 128x32 in f16 go to the device and to the PE, C 32x32 comes back
> local operands, result = (32 * 128 + 128 * 32) * 2, 32 * 32 * 2
> assert(r.bytes.pcie == operands + result)
> assert(r.bytes.hbm_write == operands + result and r.bytes.hbm_read == operands + result)
> assert(r.bytes.ipcq == 0 and r.flops == 2 * 32 * 128 * 32)
> local l = r.launches[1]
> assert(#r.launches == 1 and l.pes == 1 and l.sip == 0)
> assert(math.abs(l.end_ns - l.start_ns - r.kernel_ns) < 1e-9)
> -- two tiles of 8 + 16 cycles in all: ceil(64 / 8) each, 16 once
> assert(r.engines.pe_gemm.busy_ns == 2 * 8 + 16)
> for _, engine in pairs(r.engines) do assert(engine.utilization >= 0 and engine.utilization <= 1) end
> print("holds")
> END
$ lua5.4 check.lua
holds

# The device says where new tensors go: on SIP 1, or on the first
$ for d in sip:1 sip1 sip:0 all; do kernbench $ROOT/benches/gemm_single_pe.lua --json --device $d | grep '"sip":'; done
      "sip": 1,
      "sip": 1,
      "sip": 0,
      "sip": 0,

# The parts of a probe's closed form add up, and the simulation agrees
$ kernbench probe --json >probe.json
$ cat >probe.lua <<'END'
> local p = require("cjson").decode(io.open("probe.json"):read("a"))
> assert(p.schema == 1 and #p.cases == 31 * 9)
> for _, c in ipairs(p.cases) do
>   assert(math.abs(c.overhead_ns + c.wire_ns + c.drain_ns - c.formula_ns) < 1e-6, c.name)
>   assert(c.actual_ns == c.formula_ns, c.name)
>   assert(math.abs(c.bw_gbs - c.bytes / c.actual_ns) < 1e-9 and c.bw_gbs <= c.bottleneck_gbs)
>   -- the way of the data: the first flit of a read leaves the memory, that of a write leaves at 0
>   local write = c.name:match("write$") or c.name:match("^ipcq")
>   assert((c.route[1].t_ns == 0) == (write ~= nil) and c.route[#c.route].t_ns <= c.actual_ns)
> end
> for _, v in ipairs(p.invariants) do assert(v.ok, v.name) end
> print("holds")
> END
$ lua5.4 probe.lua
holds

# A parameter changes the result: twice the burst rate, half the drain
$ kernbench probe --case pe_dma_local_read --bytes 64K --json --set cube.hbm_ctrl.pc_bw_gbs=16 | grep drain_ns
      "drain_ns": 647,

# Without numbers every shipped bench runs
$ for b in $ROOT/benches/*.lua; do kernbench $b --no-data -q >/dev/null || echo $b; done

# The list of components can be read by machines
$ kernbench list --components --json >list.json && lua5.4 -e 'local l = require("cjson").decode(io.open("list.json"):read("a")); for _, c in ipairs(l.components) do for _, p in ipairs(c.params) do assert(p.name and p.type and p.help) end end print(#l.components > 25)'
true

# Quiet means quiet
$ kernbench $ROOT/benches/gemm_single_pe.lua -q

# The record of stages: the kernel begins at 3 x 173.56 + 2 x 108.4 + 40.18 = 777.66, takes 132.72 (docs/latency-model.md)
$ kernbench $ROOT/benches/gemm_single_pe.lua -q --K 64 --stages s.json
$ ls | grep '^[st]\.'
s.json
$ cat >stages.lua <<'END'
> local s = require("cjson").decode(io.open("s.json"):read("a"))
> assert(s.schema == 1 and #s.stages == 6)
> for i, row in ipairs(s.stages) do
>   assert(row.launch == 0 and row.call == "tl.composite" and row.scope == "tile" and row.tile == 0)
>   if i > 1 then assert(row.start_ns == s.stages[i - 1].end_ns) end
> end
> print(s.stages[1].start_ns, s.stages[6].end_ns)
> END
$ lua5.4 stages.lua
780.66	910.38
$ kernbench $ROOT/benches/gemm_single_pe.lua -q --stages s.txt
kernbench: --stages: s.txt: expected a name that ends in .csv or .json
[2]
$ kernbench $ROOT/benches/gemm_single_pe.lua -q --stages nowhere/s.csv
kernbench: --stages: nowhere/s.csv.part: No such file or directory
[2]
$ kernbench $ROOT/benches/gemm_single_pe.lua -q --wrong 1 --stages t.csv
kernbench: unknown option '--wrong'; see `kernbench gemm_single_pe.lua --help`
[2]
$ ls | grep '^[st]\.'
s.json

# The sweep of products: one tile takes what docs/latency-model.md says, 132.72 ns; loaded first, twice 34.24 more than
# 3 + 16 + 24 + 4 + 23.24; results are checked against np, also those by panels and of 8-bit floats
$ kernbench $ROOT/benches/gemm_sweep.lua -q --shapes 32x64x32 | cut -c1-41
M x K x N         a/b                  ns
32x64x32          ref/ref         132.720
32x64x32          load/ref        135.720
32x64x32          load/load       138.720
$ kernbench $ROOT/benches/gemm_sweep.lua -q --shapes 33x65x100,8x128x70 --panel 32 --verify-data | grep -c panels
2
$ kernbench $ROOT/benches/gemm_sweep.lua -q --shapes 7x65x40 --dtype f8e4m3 | grep -c /
4
$ kernbench $ROOT/benches/gemm_sweep.lua -q --forms load/all 2>&1 | grep -c "'load/all' is not ref/ref, load/ref, ref/load or load/load"
1
$ kernbench $ROOT/benches/gemm_sweep.lua -q --shapes 32x64x32,32x0x32 2>&1 | grep -c "'32x0x32' is not a shape such as 32x64x32"
1

# The projections
$ kernbench $ROOT/benches/gpt3_qkv.lua -q --verify-data --tokens 7 --rows 100
$ kernbench $ROOT/benches/qkv_gemm_multi_pe.lua -q --verify-data --M 33 --K 65 --N 24 | sed 's/  */ /g' | cut -d' ' -f1-2
 PEs
 1
 2
 4
 8

# Sizes that do not divide by the number of PEs, or are smaller than it
$ kernbench $ROOT/benches/kernel_topk_routing.lua -q --verify-data --T 67 --E 9 --D 65 --top 3
$ kernbench $ROOT/benches/kernel_topk_routing.lua -q --verify-data --T 5
$ kernbench $ROOT/benches/kernel_gemm.lua -q --verify-data --M 33 --K 77 --N 65
$ kernbench $ROOT/benches/kernel_gemm.lua -q --verify-data --split_k true --M 5 --K 77 --N 65

# Numbers are the same whatever the number of threads that compute them
$ for n in 0 1 8; do kernbench $ROOT/benches/kernel_topk_routing.lua --json --data-threads $n; kernbench $ROOT/benches/gemm_whole_sip.lua --json --data-threads $n; done | grep -vE 'wall_s|seconds' | sort | uniq -c | awk '$1 % 3 { print "differs: " $0 }'
$ kernbench $ROOT/benches/gemm_single_pe.lua --data-threads 65
kernbench: --data-threads: expected an integer from 0 to 64, got '65'; see `kernbench run --help`
[2]

# Simple commands have rows, too: 8 KiB are loaded in 2.12 + 4 bursts of 10 + 8 flits + 1 + 0.12; 4096 elements take 32
# cycles at one pass; what moves nothing takes nothing; atomics have none
$ cat >simple.lua <<'END'
> local tl, torch = require "kernbench.tl", require "kernbench.torch"
> return function()
>   torch.launch("k", function(p, q)
>     local x = tl.load(p)
>     tl.atomic_add(q, 1)
>     tl.exp(x)
>     tl.load(p, { 64, 64 }, { mask = tl.full({ 64, 64 }, false, "bool") })
>   end, torch.empty({ 64, 64 }, { dtype = "f16" }), torch.zeros({ 1 }, { dtype = "i32" })):wait()
> end
> END
$ kernbench simple.lua -q --stages simple.csv
$ awk -F, 'NR > 1 { printf "%s %s %s %.3f\n", $5, $6, $12, $15 - $14 }' simple.csv
0 tl.load dma_in 51.240
2 tl.exp math 128.000
3 tl.full math 32.000
4 tl.load dma_in 0.000
