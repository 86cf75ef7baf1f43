-- Transformer layers on 1, 2 and 4 ranks equal the layer in f64 on none: prompts, and then token by token with a cache.
--
-- The layers compute in f32: products of up to 32 terms, four of them one after another, a softmax and two
-- normalisations. 2e-4 is some 1,000 roundings of values of about 1.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local tp = require "kernbench.tp"
local reference = require "kernels.transformer_reference"
local dist = torch.distributed

-- Run fn(rank) on n ranks in one tensor parallel group.
local function ranks(n, fn, options)
  return helper.simulate(function()
    torch.multiprocessing.spawn(helper.watched(function(rank)
      torch.ahbm.set_device(rank)
      dist.init_process_group "ahbm"
      tp.initialize_model_parallel(n)
      fn(rank)
    end), { nprocs = n })
  end, { sets = { "system.sips.count=" .. n }, data = options and options.data })
end

local function near(got, expected, what)
  local difference = np.max_abs_diff(got:astype "f64", expected)
  local most = 2e-4 * math.max(1, np.max(np.abs(expected)))
  lu.assertTrue(difference <= most, ("%s: differs by %g"):format(what, difference))
end

local function random(seed, ...)
  return np.random(seed):randn({ ... }, "f32")
end

local function gpt()
  return reference.with_weights({ hidden_size = 24, num_attention_heads = 4, num_query_groups = 4, kv_channels = 6,
    ffn_hidden_size = 32, dtype = "f32" }, 1)
end

local function llama(groups)
  return reference.with_weights({ hidden_size = 32, num_attention_heads = 8, num_query_groups = groups or 4,
    kv_channels = 4, ffn_hidden_size = 20, dtype = "f32", normalization = "RMSNorm", gated_linear_unit = true,
    position_embedding_type = "rope", rotary_base = 500, max_position_embeddings = 16, add_bias_linear = false }, 2)
end

-- ---- tests ----

local TestPrefill = {}

function TestPrefill:test_layers_of_GPT_and_Llama_equal_the_reference()
  for what, o in pairs { gpt = gpt(), llama = llama() } do
    for _, case in ipairs { { 5, 3, 1 }, { 5, 3, 4 }, { 7, 1, 2 } } do -- sequence, batch, ranks
      local x, n = random(30, case[1], case[2], o.hidden_size), case[3]
      local expected = reference.each_user(reference.layer, x, o)
      ranks(n, function(rank)
        local got = tp.TransformerLayer(o)(torch.from_numpy(x))
        lu.assertEquals(got.shape, x.shape)
        near(got:numpy(), expected, ("%s, rank %d of %d"):format(what, rank, n))
      end)
    end
  end
end

function TestPrefill:test_many_positions_are_taken_in_blocks()
  -- 300 positions: blocks of 256 keys, several of queries; more units than PEs
  local o = reference.with_weights({ hidden_size = 8, num_attention_heads = 2, num_query_groups = 1, kv_channels = 4,
    ffn_hidden_size = 8, dtype = "f32" }, 3)
  local x = random(31, 300, 1, 8)
  for _, causal in ipairs { true, false } do
    o.causal = causal
    ranks(1, function()
      local got, expected = tp.ParallelAttention(o)(torch.from_numpy(x)), reference.each_user(reference.attention, x, o)
      near(got:numpy(), expected, "causal: " .. tostring(causal))
    end)
  end
end

function TestPrefill:test_fewer_heads_of_keys_than_ranks()
  local o = llama(2)
  local x = random(32, 6, 2, o.hidden_size)
  ranks(4, function(rank)
    local got = tp.TransformerLayer(o)(torch.from_numpy(x))
    near(got:numpy(), reference.each_user(reference.layer, x, o), "rank " .. rank)
  end)
end

local TestDecode = {}

-- A prompt for every user, then token by token; user u has forgotten what is behind the first prompts[u]. The cache has
-- room for `room` positions of each, or for those there are.
local function generates(o, n, prompts, tokens, room)
  local users, longest = #prompts, math.max(table.unpack(prompts))
  local all, rows = random(33, longest + tokens, users, o.hidden_size), {}
  -- what a user has seen at the end: its prompt, then the tokens
  for u = 1, users do
    local mine = all[{ {}, u - 1 }]
    rows[u] = np.concatenate({ mine[{ { 0, prompts[u] } }], mine[{ { longest, longest + tokens } }] }, 0)
  end
  ranks(n, function(rank)
    local block = tp.TransformerLayer(o)
    local cache = tp.KVCache { users = users, max_sequence_length = room or longest + tokens,
      kv_channels = o.kv_channels, num_query_groups = o.num_query_groups, dtype = "f32" }
    block(torch.from_numpy(all[{ { 0, longest } }]), cache)
    lu.assertEquals(cache.lengths[1], longest)
    cache.lengths = table.move(prompts, 1, users, 1, {})
    for token = 0, tokens - 1 do
      local got = block(torch.from_numpy(all[longest + token]:reshape { users, 1, o.hidden_size }), cache):numpy()
      for u = 1, users do
        local expected = reference.layer(rows[u][{ { 0, prompts[u] + token + 1 } }]:astype "f64", o)[prompts[u] + token]
        near(got[{ u - 1, 0 }], expected, ("rank %d of %d, token %d of user %d"):format(rank, n, token, u))
      end
    end
    lu.assertEquals(cache.lengths[users], prompts[users] + tokens)
  end)
end

function TestDecode:test_tokens_one_by_one_see_what_was_before()
  for _, n in ipairs { 1, 2, 4 } do generates(llama(), n, { 7 }, 3) end
  generates(gpt(), 2, { 5 }, 2)
end

function TestDecode:test_users_of_different_lengths()
  generates(llama(), 2, { 9, 1, 5 }, 2)
  generates(llama(2), 4, { 3, 6 }, 2)
end

function TestDecode:test_a_cache_is_on_as_many_cubes_as_have_128_positions_for_each_pe()
  ranks(1, function()
    local machine = require("kernbench.runtime").machine
    local function cubes_of(positions, users)
      local cache = tp.KVCache { users = users, max_sequence_length = positions, num_query_groups = 4, kv_channels = 4 }
      return #cache.keys.shards // machine.pes
    end
    local full = 128 * machine.pes -- positions of a cube
    lu.assertEquals({ machine.cubes, cubes_of(1, 1), cubes_of(2 * full - 1, 1), cubes_of(2 * full, 1),
      cubes_of(3 * full, 1), cubes_of(full, 4), cubes_of(100 * full, 1) }, { 4, 1, 1, 2, 2, 4, 4 })
  end)
  generates(llama(), 1, { 13 }, 3, 2 * 128 * 4) -- two of the four cubes, of four PEs each
end

function TestDecode:test_without_numbers()
  local o = llama()
  o.weights = nil
  ranks(2, function()
    local cache = tp.KVCache { users = 20, max_sequence_length = 16, num_query_groups = 4, kv_channels = 4,
      dtype = "f32" }
    for user = 1, 20 do cache.lengths[user] = user % 15 end
    tp.TransformerLayer(o)(torch.empty(20, 1, 32), cache)
    torch.accelerator.synchronize()
  end, { data = false })
end

local TestErrors = {}

local function refuses(text, fn, ...)
  local ok, message = pcall(fn, ...)
  lu.assertFalse(ok, "nothing was raised: " .. text)
  lu.assertStrContains(message, text)
end

function TestErrors:test_options_and_shapes_that_do_not_fit_are_named()
  local function with(changes)
    local o = llama()
    for key, value in pairs(changes) do o[key] = value end
    return o
  end
  ranks(2, function()
    refuses("hidden_size is missing", tp.TransformerLayer, { num_attention_heads = 4 })
    refuses("unknown option 'heads'", tp.TransformerLayer, { hidden_size = 4, heads = 4 })
    refuses("hidden_size (10) is not divisible by num_attention_heads (4)", tp.ParallelAttention,
      { hidden_size = 10, num_attention_heads = 4 })
    refuses("num_attention_heads (8) is not divisible by num_query_groups (3)", tp.ParallelAttention,
      { hidden_size = 8, num_attention_heads = 8, num_query_groups = 3 })
    refuses("num_attention_heads (3) is not divisible by 2 ranks", tp.ParallelAttention,
      { hidden_size = 12, num_attention_heads = 3 })
    refuses("num_query_groups (3) and 2 ranks", tp.ParallelAttention,
      { hidden_size = 12, num_attention_heads = 6, num_query_groups = 3 })
    refuses("normalization is BatchNorm", tp.TransformerLayer, with { normalization = "BatchNorm" })
    refuses("position_embedding_type is alibi", tp.TransformerLayer, with { position_embedding_type = "alibi" })
    refuses("rope turns pairs, and kv_channels is 5", tp.ParallelAttention,
      { hidden_size = 8, num_attention_heads = 2, kv_channels = 5, position_embedding_type = "rope" })
    refuses("weights has q, but no k", tp.ParallelAttention,
      { hidden_size = 4, num_attention_heads = 2, weights = { q = np.zeros { 4, 4 } } })
    refuses("weights.up is (4, 4), expected (16, 4)", tp.ParallelMLP,
      { hidden_size = 4, weights = { up = np.zeros { 4, 4 }, down = np.zeros { 4, 16 } } })

    local o = llama()
    local attend = tp.ParallelAttention(o)
    local cache = tp.KVCache { users = 2, max_sequence_length = 3, num_query_groups = 4, kv_channels = 4,
      dtype = "f32" }
    refuses("expected [sequence, batch, hidden]", attend, torch.zeros(2, 32))
    refuses("position 16 is above max_position_embeddings (16)", attend, torch.zeros(17, 1, 32))
    refuses("user 0 has 0 positions, and 4 more are above max_sequence_length (3)", attend, torch.zeros(4, 2, 32),
      cache)
    cache.lengths = { 1, 3 }
    refuses("expected a prompt, [sequence, 2, hidden], while the cache is empty, then one token for each user, "
      .. "[2, 1, hidden]", attend, torch.zeros(2, 2, 32), cache)
    refuses("user 1 has 3 positions, and 1 more are above", attend, torch.zeros(2, 1, 32), cache)
  end)
end

helper.main { TestPrefill = TestPrefill, TestDecode = TestDecode, TestErrors = TestErrors }
