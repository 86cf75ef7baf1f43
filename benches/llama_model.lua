-- All layers of a Llama-like model, one after another, with tensor parallelism: what a token takes. 80 layers of the
-- 70B model on 8 SIPs, whose weights need 140 GB of virtual addresses:
--   ./kb benches/llama_model.lua --set system.sips.count=8 --set address.va_gb=256 --no-data --preset 70b --users 1
--       --context 4096
local transformer = require "benches.models.transformer"

local function run(args)
  local make = transformer.presets[args.preset == "small" and "llama_small" or args.preset]
  local _, layers = make()
  return transformer.run(make, args.layers > 0 and args.layers or layers, args)
end

return {
  name = "llama_model",
  description = "All layers of a Llama-like model, prefill or decode, with tensor parallelism.",
  args = transformer.args {
    preset = { default = "small", choices = { "small", "8b", "70b" }, help = "Sizes: 70b has 80 layers." },
    layers = { default = 0, help = "How many; 0: all of the preset." },
  },
  run = run,
}
