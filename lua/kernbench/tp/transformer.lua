--- Transformer layers over the tensor parallel group (forward direction): attention with its heads cut over the
--- ranks, an MLP with its columns cut, and what lies between them.
--
-- An activation is [sequence, batch, hidden]. A rank has all of it between the parts of a layer, and its heads or
-- columns within them. Options have the names of Megatron's TransformerConfig. Weights are whole np arrays, the same
-- on all ranks; without them they are zeros.
local check_options = require "kernbench.tp.check_options"
local core = require "kernbench.core"
local decode = require "kernels.decode_attention"
local kernels = require "kernbench.tp.transformer_kernels"
local layers = require "kernbench.tp.layers"
local np = require "kernbench.np"
local options_of = require "kernbench.tp.transformer_options"
local product = require "kernbench.tp.product"
local ring = require "kernels.ring_attention"
local runtime = require "kernbench.runtime"
local state = require "kernbench.tp.state"

local M = {}

local function torch()
  return require "kernbench.torch"
end

-- Of x's shape, but for the last dimension.
local function like(x, width)
  local shape = table.move(x.shape, 1, #x.shape, 1, {})
  shape[#shape] = width
  return product.empty(shape, x.dtype)
end

-- A copy in every cube: of an array, or of nothing.
local function copies(array, shape, dtype, name)
  local dp = torch().DPPolicy { num_pes = 1 }
  if array and torch().ahbm.has_data() then
    return torch().from_numpy(array:astype(dtype), { dp = dp, name = name })
  end
  return torch().empty(shape, { dtype = dtype, dp = dp, name = name })
end

-- Launch on the PEs that have rows of `by`, or on all; arguments may be nil.
local function launch(name, kernel, by, ...)
  torch().launch { name = name, kernel = kernel, args = table.pack(...), pes = by and by.shards or "all" }
end

local SHARE = 512 -- elements that are worth a PE

-- Launch a function of elements on as many cubes as so many elements keep busy: a power of two, so that shares of PEs
-- begin where rows do.
local function launch_pointwise(name, kernel, elements, ...)
  local machine, cubes = runtime.machine, 1
  while cubes * machine.pes * SHARE < elements and cubes < machine.cubes do cubes = 2 * cubes end
  torch().launch { name = name, kernel = kernel, args = table.pack(...),
    pes = product.first_pes(math.min(cubes, machine.cubes), machine.pes) }
end

local function class()
  local methods = {}
  methods.__index = methods
  methods.__call = function(self, ...) return self:forward(...) end
  return methods
end

-- ---- normalisation ----

---@class tp.Norm
local Norm = class()

local function norm(kind, options)
  check_options(kind, options, options_of.NORM, "hidden_size")
  local n, dtype, name = options.hidden_size, options.dtype or "f16", options.name or kind
  local one = torch().ahbm.has_data() and np.ones({ n }, "f32") or nil
  local self = setmetatable({ eps = options.eps or 1e-5, name = kind }, Norm)
  self.weight = copies(options.weight or one, { n }, dtype, name .. ".weight")
  if kind == "LayerNorm" then self.bias = copies(options.bias, { n }, dtype, name .. ".bias") end
  return self
end

--- (x - mean) / sqrt(variance + eps) * weight + bias of every row.
---@param options {hidden_size: integer, eps?: number, weight?: table, bias?: table, dtype?: string, name?: string}
---@return tp.Norm
function M.LayerNorm(options)
  return norm("LayerNorm", options)
end

--- x / sqrt(mean(x^2) + eps) * weight of every row.
---@param options {hidden_size: integer, eps?: number, weight?: table, dtype?: string, name?: string}
---@return tp.Norm
function M.RMSNorm(options)
  return norm("RMSNorm", options)
end

--- Of x, or of x + residual.
---@param x Tensor
---@param residual Tensor?
---@return Tensor normalised
---@return Tensor sum x itself without a residual
function Norm:forward(x, residual)
  local out = like(x, x.shape[#x.shape])
  local sum = residual and like(x, x.shape[#x.shape]) or nil
  launch(self.name, kernels.norm, out, x, residual, self.weight, self.bias, sum, out, self.eps)
  return out, sum or x
end

-- ---- the cache ----

---@class tp.KVCache
---@field lengths integer[] positions that each user has so far; a program may set them
---@field keys Tensor (PEs, users, groups, slots, channels), position p in slot p // PEs of PE p % PEs
---@field values Tensor
local KVCache = {}
KVCache.__index = KVCache

local POSITIONS = 128 -- that are worth a PE

-- Cubes that hold so many positions: not all of them if PEs had few positions each, and would mostly merge what they
-- found. PEs merge by halves, so there are a power of two.
local function cubes_for(positions)
  local cubes, pes = runtime.machine.cubes, runtime.machine.pes
  if pes & (pes - 1) ~= 0 then
    return cubes
  end
  local some = 1
  while 2 * some * pes * POSITIONS <= positions do some = 2 * some end
  return math.min(some, cubes)
end

--- This rank's part of the keys and values of one layer, cut by positions over PEs of its SIP: all of them, unless
--- that would be few positions for each.
---@param options {users: integer, max_sequence_length: integer, num_query_groups: integer, kv_channels: integer,
---  dtype?: string, name?: string}
---@return tp.KVCache
function M.KVCache(options)
  local call = "KVCache"
  check_options(call, options, options_of.CACHE, "users", "max_sequence_length", "num_query_groups", "kv_channels")
  local cubes, name = cubes_for(options.users * options.max_sequence_length), options.name or call
  local pes = cubes * runtime.machine.pes
  local groups = options_of.groups_of(options.num_query_groups)
  local shape = { pes, options.users, groups.count, decode.slots(options.max_sequence_length, pes),
    options.kv_channels }
  local self = setmetatable({ users = options.users, max = options.max_sequence_length, pes = pes, lengths = {} },
    KVCache)
  for _, what in ipairs { "keys", "values" } do
    self[what] = torch().empty(shape, { dtype = options.dtype or "f16", name = name .. "." .. what,
      dp = torch().DPPolicy { cube = "row_wise", pe = "row_wise", num_cubes = cubes, pad = true } })
  end
  for user = 1, options.users do self.lengths[user] = 0 end
  return self
end

-- Room for `count` more positions of every user.
local function check_room(cache, count)
  for user, length in ipairs(cache.lengths) do
    if length + count > cache.max then
      core.raise(("tp.KVCache: user %d has %d positions, and %d more are above max_sequence_length (%d)"):format(
        user - 1, length, count, cache.max))
    end
  end
end

-- Whether these activations are one token for each user.
local function is_decode(cache, x)
  local empty = true
  for _, length in ipairs(cache.lengths) do empty = empty and length == 0 end
  if empty and x.shape[2] == cache.users then
    return false
  elseif x.shape[1] ~= cache.users or x.shape[2] ~= 1 then
    core.raise(("tp.ParallelAttention: the input is (%s); expected a prompt, [sequence, %d, hidden], while the cache "
      .. "is empty, then one token for each user, [%d, 1, hidden]"):format(table.concat(x.shape, ", "), cache.users,
      cache.users))
  end
  return true
end

-- ---- attention ----

---@class tp.ParallelAttention
local Attention = class()

-- Tables of cos and sin of angles position / base^(2 i / d), for every position.
local function rotary(options, d)
  local positions = options.max_position_embeddings
  local shape, cos, sin = { positions, d // 2 }, nil, nil
  if torch().ahbm.has_data() then
    local frequency = np.exp(np.arange(0, d // 2, 1, "f64") * (-2 / d * math.log(options.rotary_base or 10000)))
    local angle = np.arange(0, positions, 1, "f64"):reshape { positions, 1 } * frequency
    cos, sin = np.cos(angle), np.sin(angle)
  end
  return copies(cos, shape, "f32", "cos"), copies(sin, shape, "f32", "sin")
end

-- Rows of q, k and v, [heads, d, ...] each, in the order in which ranks keep them.
local function interleave(q, k, v, groups, world)
  if not q then return nil end
  local list, heads = {}, q.shape[1] // world
  for rank = 0, world - 1 do
    list[#list + 1] = q[{ { rank * heads, (rank + 1) * heads } }]
    local first = groups.first(rank)
    for _, x in ipairs { k, v } do list[#list + 1] = x[{ { first, first + groups.count } }] end
  end
  return np.concatenate(list, 0)
end

-- (heads d, ...) as (heads, d, ...)
local function by_heads(x, d)
  return x and x:reshape { x.shape[1] // d, d, x.shape[2] or 1 }
end

local function qkv_layer(options, groups, d, world)
  local w = options.weights or {}
  local function joined(suffix, columns)
    local q, k, v = w["q" .. suffix], w["k" .. suffix], w["v" .. suffix]
    local all = interleave(by_heads(q, d), by_heads(k, d), by_heads(v, d), groups, world)
    return all and all:reshape(columns and { all.shape[1] * d, columns } or { all.shape[1] * d })
  end
  local bias = options.add_qkv_bias
  if bias == nil then bias = options.add_bias_linear end
  return layers.ColumnParallelLinear { input_size = options.hidden_size, dtype = options.dtype, name = "qkv",
    output_size = (options.num_attention_heads + 2 * groups.count * world) * d, bias = bias,
    weight = joined("", options.hidden_size), bias_values = bias and joined("_bias") or nil }
end

--- Attention, with the heads cut over the ranks: a product with the weights of queries, keys and values, rotary
--- positions, attention, a product, the sum over the ranks.
---@param options tp.TransformerOptions
---@return tp.ParallelAttention
function M.ParallelAttention(options)
  local call = "ParallelAttention"
  options = options_of.attention(call, options)
  local _, world = state.place()
  local d, heads = options.kv_channels, state.divide(call, "num_attention_heads", options.num_attention_heads, world)
  local groups = options_of.groups_of(options.num_query_groups)
  local w = options.weights or {}
  local self = setmetatable({ options = options, heads = heads, groups = groups.count, d = d }, Attention)
  self.qkv = qkv_layer(options, groups, d, world)
  self.dense = layers.RowParallelLinear { input_size = options.num_attention_heads * d, dtype = options.dtype,
    output_size = options.hidden_size, bias = options.add_bias_linear, input_is_parallel = true, name = "dense",
    weight = w.dense, bias_values = w.dense_bias }
  if options.position_embedding_type == "rope" then
    self.cos, self.sin = rotary(options, d)
  end
  return self
end

-- Rings for the merging of states on this rank's SIP, once.
local function connect()
  local here = runtime.here()
  if not here.decode_rings then
    runtime.engine:install_ipcq(decode.plan(runtime.machine, { sip = runtime.device }))
    here.decode_rings = true
  end
end

-- Turn by position, and keep keys and values, where there is something to do.
function Attention:place(qkv, cache, spec)
  if self.cos or cache then
    launch("positions", kernels.positions, qkv, qkv, self.cos, self.sin, cache and cache.keys, cache and cache.values,
      spec)
  end
end

local function limit(self, positions)
  local most = self.options.max_position_embeddings
  if self.cos and positions > most then
    core.raise(("tp.ParallelAttention: position %d is above max_position_embeddings (%d)"):format(positions - 1, most))
  end
end

local ALONE = { rank = 0, world = 1 } -- heads are cut over the ranks, not the sequence

function Attention:prefill(qkv, out, cache)
  local S, B, options = qkv.shape[1], qkv.shape[2], self.options
  limit(self, S)
  local spec = { heads = self.heads, groups = self.groups, d = self.d, batch = B, causal = options.causal ~= false,
    pes = cache and cache.pes or 1 << 30, keys = 256,
    rows = ring.rows(S, B, self.heads, runtime.machine.cubes * runtime.machine.pes) }
  if cache then check_room(cache, S) end
  self:place(qkv, cache, spec)
  launch("attention", ring.kernel, nil, ALONE, qkv, nil, out, spec)
  for user = 1, cache and B or 0 do cache.lengths[user] = S end
end

function Attention:decode(qkv, out, cache)
  check_room(cache, 1)
  connect()
  local positions, lengths, longest = {}, {}, 0
  for user, length in ipairs(cache.lengths) do
    positions[user], lengths[user], longest = length, length + 1, math.max(longest, length + 1)
  end
  limit(self, longest)
  self:place(qkv, cache, { heads = self.heads, groups = self.groups, d = self.d, pes = cache.pes,
    positions = positions })
  launch("attention", decode.attention, cache.keys, qkv, cache.keys, cache.values, out, lengths, { heads = self.heads })
  cache.lengths = lengths
end

--- x: [sequence, batch, hidden]. Without a cache, or with an empty one, it is a prompt for each user (batch), which the
--- cache then holds. Later x is one token for each user, [users, 1, hidden], which sees the positions so far.
---@param x Tensor
---@param cache tp.KVCache?
---@return Tensor [sequence, batch, hidden]
function Attention:forward(x, cache)
  if #x.shape ~= 3 then
    core.raise(("tp.ParallelAttention: the input is (%s); expected [sequence, batch, hidden]"):format(
      table.concat(x.shape, ", ")))
  end
  local decoding = cache and is_decode(cache, x)
  local qkv = self.qkv(x)
  local out = like(x, self.heads * self.d)
  if decoding then
    self:decode(qkv, out, cache)
  else
    self:prefill(qkv, out, cache)
  end
  return (self.dense(out))
end

-- ---- MLP ----

---@class tp.ParallelMLP
local MLP = class()

-- The gate's rows and then the others', rank by rank.
local function gated(gate, up, world)
  if not up then return nil end
  local list, part = {}, up.shape[1] // world
  for rank = 0, world - 1 do
    for _, x in ipairs { gate, up } do list[#list + 1] = x[{ { rank * part, (rank + 1) * part } }] end
  end
  return np.concatenate(list, 0)
end

--- y = W2 gelu(W1 x), or W2 (silu(Wg x) * (W1 x)) with gated_linear_unit; columns of W1 cut over the ranks.
---@param options tp.TransformerOptions
---@return tp.ParallelMLP
function M.ParallelMLP(options)
  local call = "ParallelMLP"
  options = options_of.mlp(call, options)
  local _, world = state.place()
  local w, is_gated, bias = options.weights or {}, options.gated_linear_unit, options.add_bias_linear
  local part = state.divide(call, "ffn_hidden_size", options.ffn_hidden_size, world)
  local weight, bias_values = w.up, w.up_bias
  if is_gated then weight, bias_values = gated(w.gate, w.up, world), gated(w.gate_bias, w.up_bias, world) end
  local self = setmetatable({ width = part, kernel = is_gated and "swiglu" or "gelu" }, MLP)
  self.up = layers.ColumnParallelLinear { input_size = options.hidden_size, dtype = options.dtype, name = "up",
    output_size = options.ffn_hidden_size * (is_gated and 2 or 1), bias = bias, weight = weight,
    bias_values = bias_values }
  self.down = layers.RowParallelLinear { input_size = options.ffn_hidden_size, dtype = options.dtype, name = "down",
    output_size = options.hidden_size, bias = bias, input_is_parallel = true, weight = w.down,
    bias_values = w.down_bias }
  return self
end

---@param x Tensor
---@return Tensor
function MLP:forward(x)
  local y = self.up(x)
  local out = like(y, self.width)
  launch_pointwise(self.kernel, kernels[self.kernel], out:numel(), y, out)
  return (self.down(out))
end

-- ---- the layer ----

---@class tp.TransformerLayer
---@field attention tp.ParallelAttention
---@field mlp tp.ParallelMLP
local Layer = class()

--- x + attention(norm(x)), and then that + mlp(norm(that)).
---@param options tp.TransformerOptions
---@return tp.TransformerLayer
function M.TransformerLayer(options)
  local call = "TransformerLayer"
  check_options(call, options, options_of.LAYER, "hidden_size", "num_attention_heads")
  local w, kind = options.weights or {}, options.normalization or "LayerNorm"
  if kind ~= "LayerNorm" and kind ~= "RMSNorm" then
    core.raise(("tp.%s: normalization is %s; expected LayerNorm or RMSNorm"):format(call, kind))
  end
  local self = setmetatable({}, Layer)
  for i, name in ipairs { "input_norm", "mlp_norm" } do
    self["norm" .. i] = norm(kind, { hidden_size = options.hidden_size, eps = options.layernorm_epsilon,
      dtype = options.dtype, weight = w[name], bias = w[name .. "_bias"], name = name })
  end
  self.attention, self.mlp = M.ParallelAttention(options), M.ParallelMLP(options)
  return self
end

---@param x Tensor [sequence, batch, hidden]
---@param cache tp.KVCache?
---@return Tensor
function Layer:forward(x, cache)
  local attended = self.attention((self.norm1(x)), cache)
  local normed, sum = self.norm2(x, attended)
  local y = self.mlp(normed)
  local out = like(x, x.shape[#x.shape])
  launch("residual", kernels.add, out, sum, y, out)
  return out
end

return M
