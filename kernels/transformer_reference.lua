-- What transformer layers should compute, written with np in f64: for tests and benches. Options and weights are those
-- of tp.TransformerLayer, with num_query_groups, kv_channels and ffn_hidden_size given.
local np = require "kernbench.np"
local reference = require "kernels.reference"

local M = {}

local function product(x, w, bias)
  local y = np.matmul(x, w:astype("f64"):transpose())
  return bias and y + bias:astype "f64" or y
end

-- x of one user (S, H, D), turned by positions 0 to S - 1.
local function turned(x, base)
  local cos, sin = reference.rope_tables(x.shape[1], x.shape[3], base)
  return reference.rope(x, cos, sin)
end

--- x: (S, hidden) of one user, in f64.
function M.attention(x, o)
  local w, d, S = o.weights, o.kv_channels, x.shape[1]
  local function part(name)
    local y = product(x, w[name], w[name .. "_bias"])
    y = y:reshape { S, y.shape[2] // d, d }
    if o.position_embedding_type == "rope" and name ~= "v" then y = turned(y, o.rotary_base) end
    return y:transpose { 1, 0, 2 }
  end
  local y = reference.attention(part "q", part "k", part "v", o.causal ~= false)
  return product(y:transpose({ 1, 0, 2 }):reshape { S, o.num_attention_heads * d }, w.dense, w.dense_bias)
end

function M.mlp(x, o)
  local w = o.weights
  local up = product(x, w.up, w.up_bias)
  if o.gated_linear_unit then
    local gate = product(x, w.gate, w.gate_bias)
    up = gate * np.sigmoid(gate) * up
  else
    up = up * 0.5 * (np.erf(up / math.sqrt(2)) + 1)
  end
  return product(up, w.down, w.down_bias)
end

function M.layer(x, o)
  local w = o.weights
  local function norm(y, name)
    if o.normalization == "RMSNorm" then return reference.rmsnorm(y, w[name], 1e-5) end
    return reference.layernorm(y, w[name], w[name .. "_bias"], 1e-5)
  end
  local sum = x + M.attention(norm(x, "input_norm"), o)
  return sum + M.mlp(norm(sum, "mlp_norm"), o)
end

--- fn(x, options) of every user of x [S, B, hidden].
function M.each_user(fn, x, o)
  local list = {}
  for b = 0, x.shape[2] - 1 do list[b + 1] = fn(x[{ {}, b }]:astype "f64", o) end
  return np.stack(list, 1)
end

--- The options with random weights, such that activations keep their size.
---@param o tp.TransformerOptions
---@param seed integer
---@return tp.TransformerOptions o itself
function M.with_weights(o, seed)
  local random = np.random(seed)
  local H, F, d = o.hidden_size, o.ffn_hidden_size, o.kv_channels
  local q, kv = o.num_attention_heads * d, o.num_query_groups * d
  local function matrix(rows, columns) return random:randn({ rows, columns }, "f32") * columns ^ -0.5 end
  local function vector(n, mean) return random:randn({ n }, "f32") * 0.1 + mean end
  local w = { q = matrix(q, H), k = matrix(kv, H), v = matrix(kv, H), dense = matrix(H, q), up = matrix(F, H),
    down = matrix(H, F), input_norm = vector(H, 1), mlp_norm = vector(H, 1) }
  if o.gated_linear_unit then w.gate = matrix(F, H) end
  if o.add_bias_linear ~= false then
    for _, name in ipairs { "q", "k", "v", "dense", "up", "down" } do
      w[name .. "_bias"] = vector(w[name].shape[1], 0)
    end
  end
  if o.normalization ~= "RMSNorm" then w.input_norm_bias, w.mlp_norm_bias = vector(H, 0), vector(H, 0) end
  o.weights = w
  return o
end

return M
