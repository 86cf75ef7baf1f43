# Two PEs that receive from each other before they send: who waits for whom, and exit code 3
$ cat >facing.lua <<'END'
> local runtime = require "kernbench.runtime"
> local tl = require "kernbench.tl"
> local torch = require "kernbench.torch"
> local function way(pe) return { { name = "other", peer = { 0, 0, pe }, peer_direction = "other" } } end
> return function()
>   runtime.engine:install_ipcq { name = "pair", pes = { { sip = 0, cube = 0, pe = 0, directions = way(1) },
>     { sip = 0, cube = 0, pe = 1, directions = way(0) } } }
>   local t = torch.zeros({ 8 }, { dp = torch.DPPolicy { num_cubes = 1, num_pes = 2 } })
>   torch.launch("facing", function(p)
>     local x = tl.recv("other", { 8 }, "f32")
>     tl.send("other", x)
>   end, t)
>   t:numpy()
> end
> END
$ kernbench facing.lua -q
kernbench: deadlock at t = [0-9.]+ ns: nothing can happen any more, and these wait: (re)
  who +call +waits for +direction +peer +slots full +since +for +at (re)
  the bench +launch:wait +launch +[0-9.]+ ns +[0-9.]+ ns +facing.lua:13 (re)
  sip0.cube0.pe[01] +tl.recv +a message +other [(]its other[)] +sip0.cube0.pe[01] +0 of 4 +[0-9.]+ ns +[0-9.]+ ns +facing.lua:10 (re)
  sip0.cube0.pe[01] +tl.recv +a message +other [(]its other[)] +sip0.cube0.pe[01] +0 of 4 +[0-9.]+ ns +[0-9.]+ ns +facing.lua:10 (re)
the cycle: sip0.cube0.pe([01]) waits for sip0.cube0.pe[01], which waits for sip0.cube0.pe\1 (re)
[3]

# The sweep over sizes and distances: one message each way for each, and the bytes that went
$ kernbench run --bench pe_to_pe --sizes 128,256 --json 2>table >run.json; head -2 table
  distance         bytes  queue ns  put [+] signal ns  load [+] store ns (re)
  same cube, near    128 +[0-9. ]+ (re)
$ cat >check.lua <<'END'
> local r = require("cjson").decode(io.read("a"))
> local distances = 5
> assert(#r.rows == 2 * distances and r.rows[1].distance == "same cube, near")
> assert(r.ipcq.messages == 4 * distances and r.ipcq.received == r.ipcq.messages and r.ipcq.unread == 0)
> assert(r.ipcq.credits == r.ipcq.slots and r.ipcq.put_bytes == distances * (128 + 256))
> assert(r.bytes.ipcq == distances * (128 + 256 + 2 * 4) + r.ipcq.put_bytes)
> END
$ lua5.4 check.lua <run.json

# Wrong sizes
$ kernbench run --bench pe_to_pe --sizes 130 -q 2>&1 | head -1
kernbench: .*: sizes: '130' is not a multiple of 4 B.* (re)
