-- The QKV projection of GPT-3: qkv[tokens, 3 d] = x[tokens, d] w[d, 3 d] + bias on every PE of a SIP. The columns of
-- w are cut over cubes and PEs; each PE takes its part in blocks of rows, the next one on its way while the present
-- one is multiplied. At full size:
--   ./kb benches/gpt3_qkv.lua --model 175b --no-data
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

-- d_model, from Brown et al., "Language Models are Few-Shot Learners" (2020), table 2.1. (13b: 5140 there, which
-- no 40 heads of 128 divide; 5120 is meant.)
local WIDTH = { small = 768, medium = 1024, large = 1536, xl = 2048, ["2.7b"] = 2560, ["6.7b"] = 4096, ["13b"] = 5120,
  ["175b"] = 12288 }

local function projection(x_ptr, w_ptr, bias_ptr, out_ptr, rows)
  local tokens, d = x_ptr.shape[1], x_ptr.shape[2]
  local columns = w_ptr.shape[2]
  local function fetch(k)
    local depth = math.min(rows, d - k)
    if depth <= 0 then return nil end
    return { tl.load_async(x_ptr + k, { tokens, depth }), tl.load_async(w_ptr + k * columns, { depth, columns }) }
  end
  local coming, acc = fetch(0), nil
  for k = 0, d - 1, rows do
    local x, w = tl.wait(table.unpack(coming))
    coming = fetch(k + rows)
    acc = tl.dot(x, w, acc)
  end
  tl.store(out_ptr, tl.cast(acc + tl.load(bias_ptr), out_ptr.dtype))
end

local function run(args)
  local tokens, d = args.tokens, WIDTH[args.model]
  local whole, cut = torch.DPPolicy {}, torch.DPPolicy { cube = "column_wise", pe = "column_wise" }
  local data, random = torch.ahbm.has_data(), np.random(1)
  local function tensor(name, shape, dp, scale)
    if not data then
      return torch.empty(shape, { dtype = "f16", dp = dp, name = name })
    end
    local values = (random:randn(shape, "f32") * scale):astype "f16"
    return torch.from_numpy(values, { dp = dp, name = name }), values
  end
  local x, x_values = tensor("x", { tokens, d }, whole, 1)
  local w, w_values = tensor("w_qkv", { d, 3 * d }, cut, d ^ -0.5)
  local bias, bias_values = tensor("bias", { 3 * d }, cut, 1)
  local out = torch.empty({ tokens, 3 * d }, { dtype = "f16", dp = cut, name = "qkv" })

  local s = torch.launch("gpt3_qkv", projection, x, w, bias, out, args.rows):stats()
  local result = { shape = ("%dx%dx%d"):format(tokens, d, 3 * d), tflops = ("%.3f"):format(s.tflops),
    roofline = ("%.1f %% of %s"):format(100 * s.roofline.fraction, s.roofline.of) }
  if data then
    local expected = np.matmul(x_values:astype "f64", w_values:astype "f64") + bias_values:astype "f64"
    local got = out:numpy():astype "f64"
    result.max_abs_diff = np.max_abs_diff(got, expected)
    assert(np.allclose(got, expected, { rtol = 2e-3, atol = 2e-3 }), "the projection is wrong")
  end
  return result
end

return {
  name = "gpt3_qkv",
  description = "QKV projection of GPT-3 with bias, columns cut over all PEs of a SIP.",
  args = {
    model = { default = "small", choices = { "small", "medium", "large", "xl", "2.7b", "6.7b", "13b", "175b" },
      help = "Which GPT-3." },
    tokens = { default = 32, help = "Rows of x." },
    rows = { default = 512, help = "Rows of w that a PE takes at a time." },
  },
  run = run,
}
