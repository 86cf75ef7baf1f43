-- What the kernels of this folder should compute, written with np in f64: for tests and benches.
local np = require "kernbench.np"

local M = {}

local function wide(...)
  local out = {}
  for i, array in ipairs { ... } do out[i] = array:astype "f64" end
  return table.unpack(out)
end

function M.bias_gelu(x, bias)
  x, bias = wide(x, bias)
  local y = x + bias
  return y * 0.5 * (1 + np.erf(y / math.sqrt(2)))
end

-- The first word of Philox4x32-10 for that counter (Salmon et al. 2011).
local function philox(seed, counter)
  local low = 0xffffffff
  local c0, c1, c2, c3, k0, k1 = counter & low, counter >> 32, 0, 0, seed & low, seed >> 32
  for _ = 1, 10 do
    local a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
    c0, c1, c2, c3 = (b >> 32) ~ c1 ~ k0, b & low, (a >> 32) ~ c3 ~ k1, a & low
    k0, k1 = (k0 + 0x9E3779B9) & low, (k1 + 0xBB67AE85) & low
  end
  return c0
end

--- x / (1 - p), and 0 where the number of an element, by its place in x, is below p. Within 2^-24 of p it matters how a
--- number was rounded.
function M.dropout(x, p, seed)
  local out = {}
  for i, value in ipairs(x:flatten():astype("f64"):tolist()) do
    local bits = philox(seed, i - 1)
    local unit = (bits < 1 << 31 and bits or (1 << 32) - 1 - bits) / (1 << 31)
    out[i] = unit >= p and value / (1 - p) or 0
  end
  return np.array(out, "f64"):reshape(x.shape)
end

--- Along the last axis.
function M.softmax(x)
  x = wide(x)
  local e = np.exp(x - np.max(x, -1, true))
  return e / np.sum(e, -1, true)
end

function M.layernorm(x, gamma, beta, eps)
  x, gamma, beta = wide(x, gamma, beta)
  local d = x - np.mean(x, 1, true)
  return d / np.sqrt(np.mean(d * d, 1, true) + eps) * gamma + beta
end

function M.rmsnorm(x, gamma, eps)
  x, gamma = wide(x, gamma)
  return x / np.sqrt(np.mean(x * x, 1, true) + eps) * gamma
end

--- Tables of cos and sin for `positions` positions and vectors of D elements: angle p / base^(2 i / D).
function M.rope_tables(positions, D, base)
  local half = D // 2
  local frequency = np.exp(np.arange(0, half, 1, "f64") * (-2 / D * math.log(base or 10000)))
  local angle = np.arange(0, positions, 1, "f64"):reshape { positions, 1 } * frequency
  return np.cos(angle), np.sin(angle)
end

--- x: (S, H, D); cos, sin: (S, D / 2)
function M.rope(x, cos, sin)
  x, cos, sin = wide(x, cos, sin)
  local s, d = x.shape[1], x.shape[3]
  cos, sin = cos:reshape { s, 1, d // 2 }, sin:reshape { s, 1, d // 2 }
  local x1, x2 = x[{ {}, {}, { 0, d // 2 } }], x[{ {}, {}, { d // 2, d } }]
  return np.concatenate({ x1 * cos - x2 * sin, x2 * cos + x1 * sin }, 2)
end

function M.gemm(a, b)
  return np.matmul(wide(a, b))
end

-- Every head of (G, S, D) as often as H heads of queries use it.
local function shared(x, heads)
  local groups, s, d = x.shape[1], x.shape[2], x.shape[3]
  return x:reshape({ groups, 1, s, d }):broadcast_to({ groups, heads // groups, s, d }):reshape { heads, s, d }
end

--- q: (H, Q, D); k, v: (G, S, D), H a multiple of G. With `causal`, the queries are those of the last Q positions.
function M.attention(q, k, v, causal)
  q, k, v = wide(q, k, v)
  local rows, s, d = q.shape[2], k.shape[2], q.shape[3]
  k, v = shared(k, q.shape[1]), shared(v, q.shape[1])
  local scores = np.matmul(q, k:transpose { 0, 2, 1 }) / math.sqrt(d)
  if causal then
    local query = np.arange(s - rows, s, 1, "i64"):reshape { rows, 1 }
    scores = np.where(np.le(np.arange(0, s, 1, "i64"), query), scores, -math.huge)
  end
  return np.matmul(M.softmax(scores), v)
end

function M.embedding(ids, rows)
  local out = np.zeros({ ids.size, rows.shape[2] }, rows.dtype)
  for i = 0, ids.size - 1 do out[i] = rows[ids[i]] end
  return out
end

--- How many elements of x are 0, 1, ..., bins - 1.
function M.histogram(x, bins)
  local counts = np.zeros({ bins }, "i32")
  for bin = 0, bins - 1 do counts[bin] = np.eq(x, bin):sum() end
  return counts
end

--- The k greatest of every row, greatest first, the first of equal ones first: indices, and the softmax
--- of the values.
function M.topk(logits, k)
  local x = wide(logits)
  local tokens = x.shape[1]
  local experts, values = np.zeros({ tokens, k }, "i32"), np.zeros({ tokens, k }, "f64")
  for t = 0, tokens - 1 do
    for j = 0, k - 1 do
      local at = np.argmax(x[t])
      experts[{ t, j }], values[{ t, j }] = at, x[{ t, at }]
      x[{ t, at }] = -math.huge
    end
  end
  return experts, M.softmax(values)
end

--- Rows of x in bins of `capacity` rows for each of E experts, for each of `parts` parts of the tokens, of which
--- the last may be smaller; unused rows are 0.
function M.bins(x, experts, E, capacity, parts)
  local tokens, k, d = experts.shape[1], experts.shape[2], x.shape[2]
  local bins, used = np.zeros({ parts * E * capacity, d }, x.dtype), {}
  for t = 0, tokens - 1 do
    local part = t // -(-tokens // parts)
    for j = 0, k - 1 do
      local bin = part * E + experts[{ t, j }]
      local place = used[bin] or 0
      if place < capacity then
        bins[bin * capacity + place] = x[t]
        used[bin] = place + 1
      end
    end
  end
  return bins
end

return M
