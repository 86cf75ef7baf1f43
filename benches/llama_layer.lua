-- One layer of a Llama-like model with tensor parallelism, a rank per SIP: RMSNorm, grouped-query attention with rotary
-- positions, SwiGLU. A token for each of 8 users after 8,192 positions, on 1 to 16 SIPs:
--   ./kb benches/llama_layer.lua --set system.sips.count=16 --no-data --preset 70b --users 8 --context 8192
--       --ranks 1,2,4,8,16
local transformer = require "benches.models.transformer"

local function run(args)
  local make = transformer.presets[args.preset == "small" and "llama_small" or args.preset]
  return transformer.run(make, 1, args)
end

return {
  name = "llama_layer",
  description = "A layer of a Llama-like model, prefill or decode, with tensor parallelism.",
  args = transformer.args {
    preset = { default = "small", choices = { "small", "8b", "70b" }, help = "70b: 8192, 64 heads on 8, 28672." },
  },
  run = run,
}
