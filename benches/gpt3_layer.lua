-- One layer of GPT-3 with tensor parallelism, a rank per SIP: LayerNorm, attention, GELU, biases. A prompt of 2,048
-- positions, on 1 to 8 SIPs:
--   ./kb benches/gpt3_layer.lua --set system.sips.count=8 --no-data --preset 175b --phase prefill --users 1
--       --context 2048 --ranks 1,2,4,8
local transformer = require "benches.models.transformer"

local function run(args)
  local make = transformer.presets[args.preset == "small" and "gpt3_small" or args.preset]
  return transformer.run(make, 1, args)
end

return {
  name = "gpt3_layer",
  description = "A layer of GPT-3, prefill or decode, with tensor parallelism.",
  args = transformer.args {
    phase = { default = "prefill", choices = { "prefill", "decode" },
      help = "A prompt for each user, or a token for each after one." },
    preset = { default = "small", choices = { "small", "13b", "175b" }, help = "175b: 12288, 96 heads, 49152." },
  },
  run = run,
}
