--- Options of transformer layers: which there are, what they must be, what they are if absent.
local check_options = require "kernbench.tp.check_options"
local core = require "kernbench.core"
local np = require "kernbench.np"
local state = require "kernbench.tp.state"

local M = {}

---@class tp.TransformerOptions names of Megatron's TransformerConfig
---@field hidden_size integer
---@field num_attention_heads integer
---@field num_query_groups integer? heads of keys and values; num_attention_heads if absent
---@field kv_channels integer? of a head; hidden_size / num_attention_heads if absent
---@field ffn_hidden_size integer? 4 x hidden_size if absent
---@field normalization "LayerNorm"|"RMSNorm"|nil LayerNorm if absent
---@field layernorm_epsilon number? 1e-5 if absent
---@field gated_linear_unit boolean? SwiGLU instead of GELU
---@field position_embedding_type "none"|"rope"|nil none if absent
---@field rotary_base number? 10000 if absent
---@field max_position_embeddings integer? positions in the tables of rope; 2048 if absent
---@field add_bias_linear boolean? true if absent
---@field add_qkv_bias boolean? add_bias_linear if absent
---@field causal boolean? true if absent
---@field dtype string? f16 if absent
---@field weights table? np arrays: q, k, v [heads x channels, hidden], dense [hidden, heads x channels], gate, up
---  [ffn, hidden], down [hidden, ffn], input_norm, mlp_norm [hidden], and each of them with _bias

M.NORM = { hidden_size = "size", eps = "number", weight = "array", bias = "array", dtype = "string", name = "string" }
M.CACHE = { users = "size", max_sequence_length = "size", num_query_groups = "size", kv_channels = "size",
  dtype = "string", name = "string" }
M.LAYER = { hidden_size = "size", num_attention_heads = "size", num_query_groups = "size", kv_channels = "size",
  ffn_hidden_size = "size", normalization = "string", layernorm_epsilon = "number", gated_linear_unit = "boolean",
  position_embedding_type = "string", rotary_base = "number", max_position_embeddings = "size",
  add_bias_linear = "boolean", add_qkv_bias = "boolean", causal = "boolean", dtype = "string", weights = "table" }

local function shape_text(shape)
  return "(" .. table.concat(shape, ", ") .. ")"
end

-- Arrays of these names, {name, shape} in order, have those shapes; all of them are there if one is.
local function check_weights(call, weights, expected)
  local given
  for _, entry in ipairs(expected) do given = given or weights[entry[1]] and entry[1] end
  for _, entry in ipairs(expected) do
    local name, shape = entry[1], shape_text(entry[2])
    local array = weights[name]
    if given and not array then
      core.raise(("tp.%s: weights has %s, but no %s"):format(call, given, name))
    elseif array and (not np.isarray(array) or shape_text(array.shape) ~= shape) then
      core.raise(("tp.%s: weights.%s is %s, expected %s"):format(call, name,
        np.isarray(array) and shape_text(array.shape) or "a " .. type(array), shape))
    end
  end
end

local function with_defaults(options)
  local all = {}
  for key, value in pairs(options) do all[key] = value end
  if all.add_bias_linear == nil then all.add_bias_linear = true end
  all.dtype = all.dtype or "f16"
  return all
end

--- Checked options of attention, with those that follow from others.
---@param call string
---@param options tp.TransformerOptions
---@return table
function M.attention(call, options)
  check_options(call, options, M.LAYER, "hidden_size", "num_attention_heads")
  local all = with_defaults(options)
  local heads, hidden = all.num_attention_heads, all.hidden_size
  if not all.kv_channels and hidden % heads ~= 0 then
    core.raise(("tp.%s: hidden_size (%d) is not divisible by num_attention_heads (%d); give kv_channels"):format(call,
      hidden, heads))
  end
  all.kv_channels = all.kv_channels or hidden // heads
  all.num_query_groups = all.num_query_groups or heads
  all.max_position_embeddings = all.max_position_embeddings or 2048
  local kind, d = all.position_embedding_type or "none", all.kv_channels
  if kind ~= "none" and kind ~= "rope" then
    core.raise(("tp.%s: position_embedding_type is %s; expected none or rope"):format(call, kind))
  elseif kind == "rope" and d % 2 ~= 0 then
    core.raise(("tp.%s: rope turns pairs, and kv_channels is %d"):format(call, d))
  elseif heads % all.num_query_groups ~= 0 then
    core.raise(("tp.%s: num_attention_heads (%d) is not divisible by num_query_groups (%d)"):format(call, heads,
      all.num_query_groups))
  end
  local kv = { all.num_query_groups * d, hidden }
  check_weights(call, all.weights or {}, { { "q", { heads * d, hidden } }, { "k", kv }, { "v", kv },
    { "dense", { hidden, heads * d } } })
  return all
end

--- Checked options of an MLP, with those that follow from others.
---@param call string
---@param options tp.TransformerOptions
---@return table
function M.mlp(call, options)
  check_options(call, options, M.LAYER, "hidden_size")
  local all = with_defaults(options)
  all.ffn_hidden_size = all.ffn_hidden_size or 4 * all.hidden_size
  local up = { all.ffn_hidden_size, all.hidden_size }
  check_weights(call, all.weights or {}, { { "up", up }, { "down", { up[2], up[1] } },
    all.gated_linear_unit and { "gate", up } or nil })
  return all
end

--- How heads of keys and values are cut over the ranks: `count` on each; where there are fewer than ranks, several
--- ranks keep the same one. `first(rank)` is the first.
---@param groups integer
---@return {count: integer, first: fun(rank: integer): integer}
function M.groups_of(groups)
  local _, world = state.place()
  if groups % world ~= 0 and world % groups ~= 0 then
    core.raise(("tp: num_query_groups (%d) and %d ranks: neither is divisible by the other"):format(groups, world))
  end
  local count = math.max(1, groups // world)
  return { count = count, first = function(rank) return rank * groups // world end }
end

return M
