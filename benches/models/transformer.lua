-- What the benches of transformer layers share: presets, the run of one or several layers on some of the SIPs, the
-- check against f64, and what the time went to.
local columns = require "kernbench.cli.columns"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"
local tp = require "kernbench.tp"
local reference = require "kernels.transformer_reference"
local dist = torch.distributed

local M = {}

-- ---- layers ----

local function llama(hidden, heads, groups, ffn)
  return { hidden_size = hidden, num_attention_heads = heads, num_query_groups = groups, kv_channels = hidden // heads,
    ffn_hidden_size = ffn, normalization = "RMSNorm", gated_linear_unit = true, position_embedding_type = "rope",
    rotary_base = 500000, add_bias_linear = false }
end

local function gpt3(hidden, heads)
  return { hidden_size = hidden, num_attention_heads = heads, num_query_groups = heads, kv_channels = hidden // heads,
    ffn_hidden_size = 4 * hidden }
end

--- Options of tp.TransformerLayer, and how many layers there are. 70b: Touvron et al., "Llama 2" (2023) and the
--- published configuration; 175b and 13b: Brown et al. (2020), table 2.1.
---@type table<string, fun(): tp.TransformerOptions, integer>
M.presets = {
  ["70b"] = function() return llama(8192, 64, 8, 28672), 80 end,
  ["8b"] = function() return llama(4096, 32, 8, 14336), 32 end,
  llama_small = function() return llama(64, 8, 4, 96), 2 end,
  ["175b"] = function() return gpt3(12288, 96), 96 end,
  ["13b"] = function() return gpt3(5120, 40), 40 end,
  gpt3_small = function() return gpt3(48, 4), 2 end,
}

-- ---- what the time went to ----

M.parts = { "norm", "qkv", "attention", "out", "mlp", "comm", "gaps" }

local NORMS = { RMSNorm = true, LayerNorm = true, residual = true }
local ATTENTION = { positions = true, attention = true }
local COMM = { all_reduce = true, all_gather_into_tensor = true, reduce_scatter_tensor = true }

-- Time of the launches of SIP 0 from `since` on, by part; `gaps` lie between them. Also the first start, the last end.
local function breakdown(since)
  local times, began, ended, norms, attended = {}, math.huge, 0, 0, false
  for _, part in ipairs(M.parts) do times[part] = 0 end
  local busy = 0
  for _, launch in ipairs(runtime.engine:launches()) do
    if launch.sip == 0 and launch.sent_ns >= since and launch.name ~= "barrier" then
      -- products and what spreads their operands; the second norm of a layer is that of the MLP
      local name, part = launch.name, norms % 2 == 0 and "mlp" or attended and "out" or "qkv"
      if NORMS[name] then
        part = "norm"
        if name ~= "residual" then norms, attended = norms + 1, false end
      elseif COMM[name] then
        part = "comm"
      elseif ATTENTION[name] then
        part, attended = "attention", true
      end
      local time = launch.end_ns - launch.start_ns
      times[part], busy = times[part] + time, busy + time
      began, ended = math.min(began, launch.start_ns), math.max(ended, launch.end_ns)
    end
  end
  times.gaps = ended - began - busy
  return times, began, ended
end

-- Shares of time in which the engines of a SIP were busy, and which its busiest HBM slice needed at least.
local function utilisation(launches, time_ns)
  local pes = runtime.machine.cubes * runtime.machine.pes
  local use = { pe_gemm = 0, pe_math = 0, hbm = 0 }
  for _, launch in ipairs(launches) do
    local s = launch:stats()
    use.pe_gemm = use.pe_gemm + s.engines.pe_gemm.busy_ns / (pes * time_ns)
    use.pe_math = use.pe_math + s.engines.pe_math.busy_ns / (pes * time_ns)
    use.hbm = use.hbm + s.roofline.hbm / time_ns
  end
  return use
end

-- ---- a run ----

-- Inputs, the same on every rank: prompts [context, users, hidden] and, to decode, a token for each user.
local function inputs(o, args)
  if not torch.ahbm.has_data() then
    return {}
  end
  local random = np.random(7)
  return { prompt = random:randn({ args.context, args.users, o.hidden_size }, "f32"),
    token = args.phase == "decode" and random:randn({ args.users, 1, o.hidden_size }, "f32") or nil }
end

local function activation(array, shape, dtype)
  if array then
    return torch.from_numpy(array:astype(dtype), { dp = tp.rows() })
  end
  return torch.empty(shape, { dtype = dtype, dp = tp.rows() })
end

-- What the layers give in f64; for `decode`, of the last token.
local function expected(options, given)
  local x = given.prompt:astype "f64"
  if given.token then
    local _, users, hidden = table.unpack(x.shape)
    x = np.concatenate({ x, given.token:astype("f64"):reshape { 1, users, hidden } }, 0)
  end
  for _, o in ipairs(options) do x = reference.each_user(reference.layer, x, o) end
  if not given.token then
    return x
  end
  local last = x[x.shape[1] - 1]
  return last:reshape { last.shape[1], 1, last.shape[2] }
end

local function caches_of(options, args)
  local caches = {}
  for i, o in ipairs(options) do
    caches[i] = tp.KVCache { users = args.users, max_sequence_length = args.context + 1, dtype = o.dtype,
      num_query_groups = o.num_query_groups, kv_channels = o.kv_channels, name = "cache" .. i }
  end
  return caches
end

local function through(layers, x, caches)
  for i, layer in ipairs(layers) do x = layer(x, caches[i]) end
  return x
end

-- Prompts in the caches: computed, or, without numbers, just counted.
local function fill(layers, caches, given, args)
  if given.prompt then
    through(layers, activation(given.prompt, nil, args.dtype), caches)
    return
  end
  for _, cache in ipairs(caches) do
    for user = 1, args.users do cache.lengths[user] = args.context end
  end
end

local function check(got, want, args, result)
  local tolerance = args.dtype == "f32" and 1e-3 or 6e-2
  result.max_abs_diff = math.max(result.max_abs_diff or 0, np.max_abs_diff(got, want))
  assert(np.allclose(got, want, { rtol = tolerance, atol = tolerance }), "the output is wrong")
end

local function worker(rank, world, options, given, args, result)
  torch.ahbm.set_device(rank)
  dist.init_process_group("ahbm", { world_size = world })
  tp.initialize_model_parallel(world)
  local layers, decoding = {}, args.phase == "decode"
  for i, o in ipairs(options) do layers[i] = tp.TransformerLayer(o) end
  local caches, hidden = decoding and caches_of(options, args) or {}, options[1].hidden_size
  if decoding then fill(layers, caches, given, args) end
  local x = decoding and activation(given.token, { args.users, 1, hidden }, args.dtype)
    or activation(given.prompt, { args.context, args.users, hidden }, args.dtype)
  dist.barrier()

  local since = runtime.engine:now_ns()
  local y = through(layers, x, caches)
  local launches = runtime.here().launches:list()
  torch.accelerator.synchronize()
  if rank == 0 then
    local times, began, ended = breakdown(since)
    result.times, result.time_ns = times, ended - began
    result.use = utilisation(launches, ended - began)
  end
  if given.prompt then
    check(y:numpy():astype "f64", result.expected, args, result)
  end
end

-- One row of the table: so many layers on the first `world` SIPs.
local function measure(options, world, args)
  local given = inputs(options[1], args)
  local result = { expected = given.prompt and expected(options, given) }
  torch.multiprocessing.spawn(worker, { args = { world, options, given, args, result }, nprocs = world })
  local tokens = args.users * (args.phase == "decode" and 1 or args.context)
  local row = { ranks = world, time_us = result.time_ns / 1000, tokens_per_s = tokens / result.time_ns * 1e9,
    comm_share = result.times.comm / result.time_ns, pe_gemm = result.use.pe_gemm, pe_math = result.use.pe_math,
    hbm = result.use.hbm, max_abs_diff = result.max_abs_diff }
  for _, part in ipairs(M.parts) do row[part .. "_us"] = result.times[part] / 1000 end
  return row
end

local function ranks_of(text)
  if text == "" then
    return { torch.accelerator.device_count() }
  end
  local list = {}
  for word in text:gmatch "[^,]+" do
    local n = math.tointeger(tonumber(word))
    if not n or n < 1 or n > torch.accelerator.device_count() then
      error(("--ranks: '%s' is not from 1 to %d, the SIPs of the machine (--set system.sips.count=N)"):format(word,
        torch.accelerator.device_count()), 0)
    end
    list[#list + 1] = n
  end
  return list
end

local function percent(share)
  return ("%.1f %%"):format(100 * share)
end

local function print_table(rows)
  local lines = { { "ranks", "us", "speed-up", "efficiency", "tokens/s", "comm", "pe_gemm", "pe_math", "hbm" } }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = { ("%d"):format(row.ranks), ("%.3f"):format(row.time_us), ("%.2f"):format(row.speedup),
      percent(row.efficiency), ("%.0f"):format(row.tokens_per_s), percent(row.comm_share), percent(row.pe_gemm),
      percent(row.pe_math), percent(row.hbm) }
  end
  print(columns.text(lines))
end

--- Run so many layers of those options on each number of SIPs that args.ranks lists. Prints a table if there are
--- several; returns what the bench returns.
---@param make fun(): tp.TransformerOptions
---@param count integer
---@param args {phase: string, users: integer, context: integer, dtype: string, ranks: string}
---@return table
function M.run(make, count, args)
  local options, rows = {}, {}
  for i = 1, count do
    options[i] = make()
    options[i].dtype, options[i].max_position_embeddings = args.dtype, args.context + 1
    if torch.ahbm.has_data() then reference.with_weights(options[i], i) end
  end
  for i, world in ipairs(ranks_of(args.ranks)) do
    rows[i] = measure(options, world, args)
    rows[i].speedup = rows[1].time_us / rows[i].time_us
    rows[i].efficiency = rows[i].speedup * rows[1].ranks / world
  end
  if #rows > 1 then print_table(rows) end
  local last = rows[#rows]
  local result = { rows = rows, ranks = last.ranks, time_us = ("%.3f"):format(last.time_us), layers = count,
    tokens_per_s = ("%.0f"):format(last.tokens_per_s), comm_share = percent(last.comm_share),
    pe_gemm = percent(last.pe_gemm), pe_math = percent(last.pe_math), hbm = percent(last.hbm),
    max_abs_diff = last.max_abs_diff }
  local words = {}
  for i, part in ipairs(M.parts) do words[i] = ("%s %.3f"):format(part, last[part .. "_us"]) end
  result.parts_us = table.concat(words, ", ")
  return result
end

--- Arguments that all of these benches take.
---@param others table
---@return table
function M.args(others)
  local args = {
    phase = { default = "decode", choices = { "prefill", "decode" },
      help = "A prompt for each user, or a token for each after one." },
    users = { default = 2, help = "Sequences." },
    context = { default = 20, help = "Length of the prompts." },
    ranks = { default = "", help = "Numbers of SIPs to run it on, separated by commas; all if empty." },
    dtype = { default = "f16", choices = { "f16", "bf16", "f32" } },
  }
  for name, value in pairs(others) do args[name] = value end
  return args
end

return M
