# Workers: every rank on its SIP, prints in the order of simulated time
$ cat >b.lua <<'END'
> local tl = require "kernbench.tl"
> local torch = require "kernbench.torch"
> local function worker(rank, shift)
>   torch.ahbm.set_device(rank)
>   local t = torch.full({4}, rank)
>   torch.launch("add" .. rank, function(p) tl.store(p, tl.load(p) + shift) end, t)
>   print(rank, t:numpy():tolist()[1])
> end
> return function() torch.multiprocessing.spawn(worker, {args = {10}, nprocs = 2}) end
> END
$ kernbench b.lua
0	10.0
1	11.0
b: ok
...
  launch .* (re)
  add0      0    1 .* (re)
  add1      1    1 .* (re)
...

# Ranks that fail: each root cause once, in PyTorch's form; siblings end
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local function fails(rank) error("rank " .. rank .. " gives up") end
> return function()
>   torch.multiprocessing.spawn(function(rank)
>     if rank % 2 == 1 then fails(rank) end
>     torch.zeros({4})
>   end, {nprocs = 4})
> end
> END
> kernbench b.lua -q
kernbench: -- Process 1 terminated with the following error:
b.lua:2: rank 1 gives up [rank 1, t=0.000 ns]
stack traceback:
	b.lua:2: in upvalue 'fails'
	b.lua:5: in upvalue 'worker'

-- Process 3 terminated with the following error:
b.lua:2: rank 3 gives up [rank 3, t=0.000 ns]
stack traceback:
	b.lua:2: in upvalue 'fails'
	b.lua:5: in upvalue 'worker'
stack traceback:
	b.lua:4: in field 'run'
[1]

# A failure that was caught; the simulation goes on
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> return function()
>   print(pcall(torch.multiprocessing.spawn, function() error("no", 0) end))
>   torch.multiprocessing.spawn(function(rank) print("rank", rank, torch.zeros({4}):numpy():sum()) end, {nprocs = 2})
> end
> END
> kernbench b.lua -q | grep -v traceback
false	-- Process 0 terminated with the following error:
no [rank 0, t=0.000 ns]
	b.lua:3: in upvalue 'worker'
rank	0	0.0
rank	1	0.0

# A failure that nobody joins fails the run
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> return function()
>   torch.multiprocessing.spawn(function(rank) torch.zeros({4}) error("no") end, {join = false})
> end
> END
> kernbench b.lua -q
kernbench: workers failed and nobody joined them:
-- Process 0 terminated with the following error:
b\.lua:3: no \[rank 0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:3: in upvalue 'worker'
[1]

# A worker may end the program
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> return function()
>   torch.multiprocessing.spawn(function(rank) torch.zeros({4}) os.exit(7 + rank, true) end, {nprocs = 2})
> end
> END
> kernbench b.lua -q
[7]
