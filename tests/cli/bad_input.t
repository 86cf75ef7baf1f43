# A topology file that is not there
$ kernbench $ROOT/benches/gemm_single_pe.lua --topology nowhere.yaml
kernbench: nowhere.yaml: cannot open: No such file or directory
[2]

# Malformed YAML
$ printf 'cube: {noc: [1\n' >bad.yaml; kernbench $ROOT/benches/gemm_single_pe.lua --topology bad.yaml
kernbench: bad.yaml:2:1: malformed YAML: expected "," or "]" here (in the list that starts at 1:13)
[2]

# A wrong type
$ printf 'cube:\n  hbm_ctrl:\n    efficiency: high\n' >bad.yaml; kernbench $ROOT/benches/gemm_single_pe.lua --topology bad.yaml
kernbench: bad.yaml:3:17: cube.hbm_ctrl.efficiency: expected a number from 0.001 to 1, got "high"
[2]

# An unknown key, with the nearest
$ printf 'cube:\n  hbm_ctl:\n    efficiency: 1\n' >bad.yaml; kernbench $ROOT/benches/gemm_single_pe.lua --topology bad.yaml
kernbench: bad.yaml:2:3: cube.hbm_ctl: unknown key; did you mean "hbm_ctrl"?
[2]

# Impossible sizes
$ kernbench $ROOT/benches/gemm_single_pe.lua --set system.sips.count=0
kernbench: --set system\.sips\.count=0: expected an integer from 1 to 65536, got "0" (re)
[2]

# A mesh that does not fit into the cube
$ kernbench $ROOT/benches/gemm_single_pe.lua --set cube.noc.pitch_mm=5
kernbench: --set cube.noc.pitch_mm=5: 6 columns of routers over 25 mm do not fit into a cube of 14 mm
[2]

# --set of what does not exist
$ kernbench $ROOT/benches/gemm_single_pe.lua --set cube.nocs.rows=5
kernbench: --set cube.nocs.rows=5: cube.nocs: unknown key; did you mean "noc"?
[2]

# --set without a value
$ kernbench $ROOT/benches/gemm_single_pe.lua --set cube.noc.rows
kernbench: --set cube.noc.rows: expected path=value, as in cube.noc.w=4
[2]

# A kernel that errors
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     error("no way")
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: no way \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A kernel that errors after it has waited
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     tl.load(a_ptr)
>     local x = nil + 1
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:9: kernel 'k' failed
b\.lua:7: attempt to perform arithmetic on a nil value \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:7: in function <b.lua:5>
stack traceback:
	b.lua:9: in field 'run'
[1]

# A kernel that reads past its tensor
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     tl.load(a_ptr + 1, {64, 64})
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: tl\.load: a block of shape \(64, 64\) at element 1 reaches to element 4097, outside of tensor 'a', which has 4096 elements here \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A kernel that reads before its tensor
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     tl.load(a_ptr - 1, {4})
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: tl\.load: a block of shape \(4,\) at element -1 reaches to element 3, outside of tensor 'a', which has 4096 elements here \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A kernel that writes past its tensor
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     local t = tl.load(a_ptr)
>     tl.store(a_ptr + 64, t)
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:9: kernel 'k' failed
b\.lua:7: tl\.store: a block of shape \(64, 64\) at element 64 reaches to element 4160, outside of tensor 'a', which has 4096 elements here \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:7: in function <b.lua:5>
stack traceback:
	b.lua:9: in field 'run'
[1]

# More than fits into TCM
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     local t = tl.zeros({1024, 1024})
>     local u = tl.zeros({2048, 1024})
>     local v = tl.zeros({16, 1024}) + t
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:10: kernel 'k' failed
b\.lua:8: tl\.zeros: out of TCM: sip0\.cube0\.pe0: cannot allocate 65536 bytes \(aligned to 64\): 0 of 12582912 bytes are free, the largest hole is 0 bytes; blocks in use: 2; live tiles: \(2048, 1024\) f32 from tl\.zeros, \(1024, 1024\) f32 from tl\.zeros \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:8: in function <b.lua:5>
stack traceback:
	b.lua:10: in field 'run'
[1]

# Shapes that do not go together
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     local a = tl.load(a_ptr, {32, 64})
>     tl.dot(a, tl.load(a_ptr, {32, 32}))
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:9: kernel 'k' failed
b\.lua:7: tl\.dot: a is \(32, 64\) f32, b is \(32, 32\) f32: inner extents 64 and 32 differ \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:7: in function <b.lua:5>
stack traceback:
	b.lua:9: in field 'run'
[1]

# A wait where Lua cannot wait
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     table.sort({3, 2, 1}, function() tl.load(a_ptr) end)
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: tl\.load has to wait, and cannot do so here: Lua does not let a call wait inside table\.sort's comparison, string\.gsub's callback, a metamethod like __gc, or require; make the call outside and use its result \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:6>
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A wait in the callback of string.gsub
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     string.gsub("x", "x", function() tl.load(a_ptr) end)
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: tl\.load has to wait, and cannot do so here: Lua does not let a call wait inside table\.sort's comparison, string\.gsub's callback, a metamethod like __gc, or require; make the call outside and use its result \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:6>
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A wait in a coroutine of the program's own
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     coroutine.wrap(function() tl.load(a_ptr) end)()
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: b\.lua:6: tl\.load has to wait, and cannot do so inside a coroutine that the program made with coroutine\.create or coroutine\.wrap; make the call outside of it \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A yield to nobody
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     coroutine.yield(1)
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
coroutine\.yield was called outside of any coroutine that the program made; a kernel or bench waits by calling what it waits for \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A function that does not exist
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     tl.lod(a_ptr)
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: tl\.lod does not exist \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A kernel call outside of a kernel
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   require("kernbench.tl").load(1)
> end
> END
> kernbench b.lua -q
kernbench: b\.lua:4: tl\.load: called outside of a kernel; pass the function to torch\.launch \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:4: in field 'run'
[1]

# A host call inside a kernel
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local tl = require "kernbench.tl"
> return function()
>   local a = torch.zeros({64, 64}, {name = "a"})
>   torch.launch("k", function(a_ptr)
>     torch.zeros({4})
>   end, a)
>   torch.accelerator.synchronize()
> end
> END
> kernbench b.lua -q
kernbench: b.lua:8: kernel 'k' failed
b\.lua:6: torch\.zeros: called inside a kernel; only the host program may do that \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in function <b.lua:5>
stack traceback:
	b.lua:8: in field 'run'
[1]

# A policy that names the SIP
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   torch.DPPolicy {sip = "replicate"}
> end
> END
> kernbench b.lua -q
kernbench: b\.lua:4: DPPolicy: there is no 'sip'; a tensor lives on one SIP, chosen with torch\.ahbm\.set_device\(rank\) \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:4: in field 'run'
[1]

# Sizes that do not divide
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   torch.zeros({4, 100}, {dp = torch.DPPolicy {pe = "column_wise"}})
> end
> END
> kernbench b.lua -q
kernbench: b\.lua:4: torch\.zeros: tensor \(4, 100\): dimension 1 has 100 elements, which 8 PEs cannot share evenly \(column_wise\) \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:4: in field 'run'
[1]

# An unknown type
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   torch.zeros({4}, {dtype = "f17"})
> end
> END
> kernbench b.lua -q
kernbench: b\.lua:4: torch\.zeros: unknown dtype 'f17' \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:4: in field 'run'
[1]

# A tensor larger than a slice
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   torch.empty({1 << 33})
> end
> END
> kernbench b.lua -q --no-data
kernbench: b\.lua:4: tensor 'tensor[0-9]+': sip0\.cube0\.hbm_ctrl\.slice0: cannot allocate 34359738368 bytes \(aligned to 4096\): 6442450944 of 6442450944 bytes are free, the largest hole is 6442450944 bytes; blocks in use: 0 \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:4: in field 'run'
[1]

# A tensor that was freed
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   local t = torch.zeros({4})
>   t:free()
>   t:numpy()
> end
> END
> kernbench b.lua -q
kernbench: b\.lua:6: Tensor:numpy: tensor 'tensor0' has been freed \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:6: in field 'run'
[1]

# A launch without tensors
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   torch.launch("k", function() end, 1, 2)
> end
> END
> kernbench b.lua -q
kernbench: b\.lua:4: torch\.launch: no tensor among the arguments; the PEs that run a kernel are those that hold its tensors, or those listed in pes \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:4: in field 'run'
[1]

# Wrong numbers
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   local t = torch.ones({4})
>   assert(np.allclose(t:numpy(), np.zeros({4})), "the numbers are wrong")
> end
> END
> kernbench b.lua -q
kernbench: b\.lua:5: the numbers are wrong \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:5: in field 'run'
[1]

# A bench that launches nothing
$ cat >b.lua <<'END'
> return function() end
> END
> kernbench b.lua -q
kernbench: the bench submitted nothing to the device: no tensor was moved, no kernel launched
[1]

# A bench that returns nonsense
$ cat >b.lua <<'END'
> return 42
> END
> kernbench b.lua -q
kernbench: b.lua: a bench returns a function or a table, this one a number
[2]

# A bench with a syntax error
$ cat >b.lua <<'END'
> return function( end
> END
> kernbench b.lua -q
kernbench: b.lua:1: <name> or '...' expected near 'end'
[2]

# A kernel that fails and nobody waits for it
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> return function()
>   torch.launch("k", function() error("unheard") end, torch.zeros({4}))
> end
> END
> kernbench b.lua -q
kernbench: kernel 'k' failed and nobody waited for it:
b\.lua:3: unheard \[sip0\.cube0\.pe0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:3: in function <b.lua:3>
[1]

# A bench that is not there
$ kernbench nothere.lua
kernbench: cannot read nothere.lua
[2]

# A bench name that is not there
$ KERNBENCH_PATH= kernbench run --bench nothere 2>&1 | sed "s|$ROOT|ROOT|"
kernbench: there is no bench 'nothere' in benches, ROOT/benches

# An unknown flag
$ kernbench $ROOT/benches/gemm_single_pe.lua --nonsense 1
kernbench: unknown option '--nonsense'; see `kernbench gemm_single_pe.lua --help`
[2]

# A bench argument of the wrong type
$ kernbench $ROOT/benches/gemm_single_pe.lua --M many
kernbench: --M: expected an integer, got 'many'; see `kernbench gemm_single_pe.lua --help`
[2]

# A bench argument without its value
$ kernbench $ROOT/benches/gemm_single_pe.lua --M
kernbench: option '--M' requires an argument; see `kernbench gemm_single_pe.lua --help`
[2]

# A device that is not there
$ kernbench $ROOT/benches/gemm_single_pe.lua --device sip:7
kernbench: --device sip:7: there are 2 SIPs, from 0
[2]

# A command that is not there
$ kernbench prob
kernbench: 'prob' is neither a command nor a file that ends in .lua

usage: kernbench FILE.lua [--name value ...]
       kernbench COMMAND [options]

Simulates kernels and host programs on a multi-chip AI accelerator.

commands:
  run       run a bench by name or file (the default: kernbench FILE.lua)
  probe     time single transfers on the idle machine, beside the closed form
  mock      try an algorithm of a collective without a machine: numbers and deadlocks
  topology  check a topology file, say what it amounts to, draw it (SVG)
  list      benches, components with their parameters, topologies

  kernbench COMMAND --help     options of a command
  kernbench FILE.lua --help    options of a bench
  kernbench --version
[2]

# No arguments at all
$ kernbench 2>&1 | head -2
usage: kernbench FILE.lua [--name value ...]
       kernbench COMMAND [options]

# Reading without numbers
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   torch.zeros({4}, {name = "z"}):numpy()
> end
> END
> kernbench b.lua -q --no-data
kernbench: b\.lua:4: Tensor:numpy: tensor 'z' has no contents: numbers are switched off \(--no-data or data = false\) \[the bench, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:4: in field 'run'
[1]

# Insisting on numbers that nobody reads
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local np = require "kernbench.np"
> return function()
>   torch.zeros({4})
> end
> END
> kernbench b.lua -q --verify-data
kernbench: --verify-data: the bench read no results back from the device
[1]

# A limit of events
$ kernbench $ROOT/benches/gemm_single_pe.lua -q --max-events 100
kernbench: a limit was reached at t = [0-9.]+ ns after 100 events \(--max-time, --max-events\) (re)
[4]

# A limit of simulated time
$ kernbench $ROOT/benches/gemm_single_pe.lua -q --max-time 500
kernbench: a limit was reached at t = [0-9.]+ ns after 580 events \(--max-time, --max-events\) (re)
[4]

# A probe that is not there
$ kernbench probe --case pe_dma_lokal | cut -c1-60
kernbench: --case pe_dma_lokal: there is no such case; there are h2d_write, d2h_read, .*, ipcq_cross_sip (re)

# A probe of no size
$ kernbench probe --bytes none
kernbench: --bytes: expected a size from 1 to 4G such as 65536, 64K or 1M, got 'none'
[2]
