# All ranks' sum on two and on five SIPs, on one PE and on all of them
$ for sips in 2 5; do for pes in one all; do kernbench $ROOT/benches/ccl_allreduce.lua --n 40 --pes $pes --set system.sips.count=$sips --set sip.cube_mesh.w=1 --set sip.cube_mesh.h=1 | grep -E 'allreduce|ranks|^  all_reduce' | sed 's/  *[0-9.]* ns//g'; done; done
ccl_allreduce: ok
  ranks              2
  all_reduce    0    1
  all_reduce    1    1
ccl_allreduce: ok
  ranks              2
  all_reduce    0    8
  all_reduce    1    8
ccl_allreduce: ok
  ranks              5
  all_reduce    0    1
  all_reduce    1    1
  all_reduce    2    1
  all_reduce    3    1
  all_reduce    4    1
ccl_allreduce: ok
  ranks              5
  all_reduce    0    8
  all_reduce    1    8
  all_reduce    2    8
  all_reduce    3    8
  all_reduce    4    8

# Two runs print the same bytes, but for the wall time
$ kernbench $ROOT/benches/ccl_allreduce.lua --json | grep -v wall_s >a && kernbench $ROOT/benches/ccl_allreduce.lua --json | grep -v wall_s >b && cmp a b

# Ranks that do not agree: one cause, both ranks, both lines
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local dist = torch.distributed
> local function worker(rank)
>   torch.ahbm.set_device(rank)
>   dist.init_process_group "ahbm"
>   local t = torch.ones(rank == 0 and 4 or 8)
>   dist.all_reduce(t)
> end
> return function() torch.multiprocessing.spawn(worker, {nprocs = 2}) end
> END
> kernbench b.lua -q
kernbench: -- Process 0 terminated with the following error:
b\.lua:7: torch\.distributed\.all_reduce: shape differs: \(4,\) on rank 0 \(b\.lua:7\), \(8,\) on rank 1 \(b\.lua:7\) \[rank 0, t=[0-9.]+ ns\] (re)
stack traceback:
	b.lua:7: in upvalue 'worker'
stack traceback:
	b.lua:9: in field 'run'
[1]

# A rank that never comes: a deadlock, with ranks and lines
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local dist = torch.distributed
> local function worker(rank)
>   torch.ahbm.set_device(rank)
>   dist.init_process_group "ahbm"
>   local t = torch.ones(4)
>   if rank == 0 then
>     dist.all_reduce(t)
>   end
> end
> return function() torch.multiprocessing.spawn(worker, {nprocs = 2}) end
> END
> kernbench b.lua -q
kernbench: deadlock at t = .* (re)
...
 *rank 0 +torch\.distributed\.all_reduce +rank 1 \(has ended\) to call all_reduce .* b\.lua:8 (re)
...
[3]

# Not initialised, an unknown backend, no spawn at all
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> return function()
>   torch.zeros(4)
>   for _, try in ipairs {
>     function() torch.distributed.barrier() end,
>     function() torch.distributed.init_process_group("nccl") end,
>     function() torch.distributed.init_process_group("ahbm") end,
>     function() torch.distributed.allreduce() end,
>   } do
>     print(select(2, pcall(try)))
>   end
> end
> END
> kernbench b.lua -q
b.lua:5: torch.distributed.barrier: the default process group has not been initialized; call init_process_group first
b.lua:6: torch.distributed.init_process_group: unknown backend 'nccl'; there is 'ahbm'
b.lua:7: torch.distributed.init_process_group: the world is of 2 ranks, one per SIP, but this is the only process; spawn 2, or give {world_size = 1}
b.lua:8: torch.distributed.allreduce does not exist

# Who is not in a group does nothing, and is warned
$ cat >b.lua <<'END'
> local torch = require "kernbench.torch"
> local dist = torch.distributed
> return function()
>   torch.multiprocessing.spawn(function(rank)
>     torch.ahbm.set_device(rank)
>     dist.init_process_group "ahbm"
>     local group, t = dist.new_group {1}, torch.full({4}, 3)
>     dist.all_reduce(t, {group = group})
>     print(rank, dist.get_rank(group), t:numpy():sum())
>   end, {nprocs = 2})
> end
> END
> kernbench b.lua -q
b.lua:8: warning: rank 0 called torch.distributed.all_reduce with a group that it is not in; nothing is done
0	-1	12.0
1	0	12.0
