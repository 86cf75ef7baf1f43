# Benches of transformer layers and of attention check their numbers; machines are small
$ small='--set sip.cube_mesh.w=2 --set sip.cube_mesh.h=1'
> for bench in "llama_layer" "llama_layer --phase prefill --dtype f32" "gpt3_layer" "gpt3_layer --phase decode" "llama_model" "decode_attention" "decode_attention --ranks 0" "ring_attention"; do
>   set -- $bench; name=$1; shift
>   kernbench $ROOT/benches/$name.lua "$@" $small | grep -oE '^[a-z0-9_]+: ok|max_abs_diff' || echo "$bench failed"
> done
llama_layer: ok
max_abs_diff
llama_layer: ok
max_abs_diff
gpt3_layer: ok
max_abs_diff
gpt3_layer: ok
max_abs_diff
llama_model: ok
max_abs_diff
decode_attention: ok
max_abs_diff
decode_attention: ok
max_abs_diff
ring_attention: ok
max_abs_diff

# Scaling: a row for each number of ranks, whose parts add up to the time
$ kernbench $ROOT/benches/llama_layer.lua -q --no-data --ranks 1,2 --set sip.cube_mesh.w=2 --set sip.cube_mesh.h=1 --users 3 | sed 's/  *[0-9.]*\( %\)*//g'
ranksusspeed-upefficiencytokens/scommpe_gemmpe_mathhbm


$ cat >sum.lua <<'END'
> local cjson = require "cjson"
> local run = cjson.decode(io.read "a")
> local one, two = table.unpack(run.rows)
> assert(one.ranks == 1 and two.ranks == 2 and one.comm_us == 0 and two.comm_us > 0 and one.speedup == 1)
> assert(math.abs(two.speedup - one.time_us / two.time_us) < 1e-9 and math.abs(two.efficiency - two.speedup / 2) < 1e-9)
> for _, row in ipairs(run.rows) do
>   local sum = 0
>   for _, part in ipairs { "norm", "qkv", "attention", "out", "mlp", "comm", "gaps" } do sum = sum + row[part .. "_us"] end
>   assert(math.abs(sum - row.time_us) < 1e-6, sum)
>   assert(math.abs(row.tokens_per_s - 3 / row.time_us * 1e6) < 1)
> end
> END
$ kernbench $ROOT/benches/llama_layer.lua --json --no-data --ranks 1,2 --set sip.cube_mesh.w=2 --set sip.cube_mesh.h=1 --users 3 >run.json 2>table && lua5.4 sum.lua <run.json

# A number of ranks that the machine has no SIPs for
$ kernbench $ROOT/benches/llama_layer.lua -q --ranks 1,3 2>&1 | grep -o "[^ ]*ranks: .*N)"
--ranks: '3' is not from 1 to 2, the SIPs of the machine (--set system.sips.count=N)
