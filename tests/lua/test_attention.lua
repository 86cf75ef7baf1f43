-- Attention across PEs and ranks: grouped queries, a cache cut by positions, keys and values around a ring of ranks;
-- all against softmax(q k^T / sqrt(D)) v in f64.
--
-- Tolerances: eps / 2 of the result's type for its one rounding, and of v's type for the rounding of each of the S
-- weights, which sum to 1; f32 inside.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"
local decode = require "kernels.decode_attention"
local reference = require "kernels.reference"

local EPS = { f16 = 2 ^ -10, bf16 = 2 ^ -7, f32 = 2 ^ -23 }

local function random(seed, shape, dtype)
  return np.random(seed):randn(shape, dtype or "f32")
end

local function near(got, expected, dtype, positions, what)
  local scale = np.max(np.abs(expected))
  local tolerance = scale * (EPS[dtype] / 2 * (1 + math.sqrt(positions)) + 64 * EPS.f32)
  local difference = np.max_abs_diff(got:astype "f64", expected)
  lu.assertTrue(difference <= tolerance, ("%s: differs by %g, more than %g"):format(what, difference, tolerance))
end

-- ---- grouped queries ----

local TestGrouped = {}

-- heads, groups; over PEs of a cube: 4 and 2 lie with the PEs' own heads, 1 is held by all
local SHARED = { { 8, 4, "row_wise" }, { 8, 8, "row_wise" }, { 4, 1, "replicate" }, { 8, 2, "replicate" } }

function TestGrouped:test_heads_share_keys_and_values()
  for _, case in ipairs(SHARED) do
    for _, causal in ipairs { false, true } do
      local heads, groups, S, D = case[1], case[2], 13, 6
      local function over(kind) return torch.DPPolicy { pe = kind, num_cubes = 1 } end
      helper.simulate(function()
        local q, k, v = random(1, { heads, S, D }), random(2, { groups, S, D }), random(3, { groups, S, D })
        local out = torch.empty(heads, S, D, { dp = over "row_wise" })
        local heads_cut, shared = { dp = over "row_wise" }, { dp = over(case[3]) }
        torch.launch("attention", require "kernels.flash_attention", torch.from_numpy(q, heads_cut),
          torch.from_numpy(k, shared), torch.from_numpy(v, shared), out, { 5, 4 }, causal)
        near(out:numpy(), reference.attention(q, k, v, causal), "f32", S, ("%d heads, %d groups"):format(heads, groups))
      end)
    end
  end
end

function TestGrouped:test_heads_that_do_not_divide_are_an_error()
  lu.assertStrContains(helper.fails(function()
    local q, k = torch.zeros(3, 4, 4), torch.zeros(2, 4, 4)
    torch.launch("attention", require "kernels.flash_attention", q, k, k, torch.zeros(3, 4, 4), { 4, 4 }, false):wait()
  end), "3 heads of queries cannot share 2 heads of keys evenly")
end

-- ---- decoding ----

local TestDecode = {}

-- Users of these lengths, with `heads` queries and `groups` heads of keys; contents (positions, groups, D) each.
local function users_of(lengths, heads, groups, D, dtype)
  local case = { lengths = lengths, heads = heads, groups = groups, D = D, dtype = dtype, context = 0,
    q = random(1, { #lengths, heads, D }, dtype), k = {}, v = {} }
  for i, length in ipairs(lengths) do
    case.k[i] = random(10 + i, { length, groups, D }, dtype)
    case.v[i] = random(50 + i, { length, groups, D }, dtype)
    case.context = math.max(case.context, length)
  end
  return case
end

-- The cache of the PEs from `first` of `all`: position p in slot p // all of PE p % all.
local function cache_of(contents, case, first, pes, all)
  local slots = decode.slots(case.context, all)
  local cache = np.zeros({ pes, #contents, case.groups, slots, case.D }, case.dtype)
  for user, x in ipairs(contents) do
    for p = 0, x.shape[1] - 1 do
      local pe = p % all - first
      if pe >= 0 and pe < pes then
        for group = 0, case.groups - 1 do cache[{ pe, user - 1, group, p // all }] = x[{ p, group }] end
      end
    end
  end
  return cache
end

-- (users, heads, D) in f64
local function expected_of(case)
  local rows = {}
  for i in ipairs(case.lengths) do
    local q = case.q[i - 1]:reshape { case.heads, 1, case.D }
    local k, v = case.k[i]:transpose { 1, 0, 2 }, case.v[i]:transpose { 1, 0, 2 }
    rows[i] = reference.attention(q, k, v, false):reshape { case.heads, case.D }
  end
  return np.stack(rows)
end

-- This rank's tensors, and the launch of its part; `out` as the kernel takes it.
local function attend(case, over, out, place)
  local pes = over.num_cubes * over.num_pes
  local first, all = place and place.rank * pes or 0, pes * (place and place.world or 1)
  local function cut() return torch.DPPolicy { cube = "row_wise", pe = "row_wise", num_cubes = over.num_cubes,
    num_pes = over.num_pes } end
  local k = torch.from_numpy(cache_of(case.k, case, first, pes, all), { dp = cut(), name = "keys" })
  local v = torch.from_numpy(cache_of(case.v, case, first, pes, all), { dp = cut(), name = "values" })
  local q = torch.from_numpy(case.q, { dp = torch.DPPolicy { num_cubes = over.num_cubes, num_pes = 1 } })
  torch.launch("decode", decode.attention, q, k, v, out, case.lengths, place)
end

-- PEs that share the cache: one, odd numbers, powers of two, all of the small machine.
local PLACES = { { num_cubes = 1, num_pes = 1 }, { num_cubes = 1, num_pes = 3 }, { num_cubes = 3, num_pes = 2 },
  { num_cubes = 2, num_pes = 4 }, { num_cubes = 4, num_pes = 4 } }

local function decodes(case, over)
  helper.simulate(function()
    runtime.engine:install_ipcq(decode.plan(runtime.machine, { cubes = over.num_cubes, pes = over.num_pes }))
    local out = torch.empty(#case.lengths, case.heads, case.D, { dtype = case.dtype })
    attend(case, over, out)
    near(out:numpy(), expected_of(case), case.dtype, case.context,
      ("%d users, %d heads, %d x %d PEs"):format(#case.lengths, case.heads, over.num_cubes, over.num_pes))
  end)
end

function TestDecode:test_users_of_different_lengths_over_any_number_of_PEs()
  for _, over in ipairs(PLACES) do
    decodes(users_of({ 1, 37, 16, 5 }, 4, 2, 6, "f32"), over) -- some PEs hold nothing of some users
    decodes(users_of({ 3 }, 1, 1, 5, "f32"), over)            -- one query: all but one PE end with none
  end
end

function TestDecode:test_many_users_load_their_queries_one_by_one()
  decodes(users_of({ 5, 9, 1, 30, 2, 17, 4, 8, 3, 6, 11 }, 4, 2, 6, "f32"), PLACES[2])
  decodes(users_of({ 40, 9, 1, 30, 2, 17, 4, 8, 3 }, 2, 1, 6, "f32"), PLACES[5])
end

function TestDecode:test_half_precision_and_large_scores()
  local case = users_of({ 33, 20 }, 8, 1, 16, "f16")
  case.q = (case.q * 8):astype "f16" -- scores of some 30, e^30 would overflow f16
  decodes(case, PLACES[5])
end

function TestDecode:test_blocks_of_a_long_context_and_of_many_users()
  local B, states = decode.BLOCK, decode.STATE_BYTES
  decode.BLOCK, decode.STATE_BYTES = 4, 4 * (6 + 2) * 4 * 2 -- keys; two users' states
  decodes(users_of({ 20, 67, 9 }, 4, 2, 6, "f32"), PLACES[4])
  decode.BLOCK, decode.STATE_BYTES = B, states
end

function TestDecode:test_ranks_share_the_context()
  local case, over = users_of({ 1, 29, 50 }, 4, 2, 6, "f32"), PLACES[5]
  local dist = torch.distributed
  for _, world in ipairs { 2, 3 } do
    helper.simulate(function()
      runtime.engine:install_ipcq(decode.plan(runtime.machine))
      torch.multiprocessing.spawn(function(rank)
        torch.ahbm.set_device(rank)
        dist.init_process_group "ahbm"
        local rows, width = #case.lengths * case.heads, case.D + 2
        local states, gathered = torch.empty(rows, width), torch.empty(world, rows, width)
        attend(case, over, states, { rank = rank, world = world })
        dist.all_gather_into_tensor(gathered, states)
        local out = torch.empty(#case.lengths, case.heads, case.D)
        torch.launch { name = "merge", kernel = decode.merge_ranks, args = { gathered, out, world, rows, case.D },
          pes = "all" }
        near(out:numpy(), expected_of(case), "f32", case.context, ("rank %d of %d"):format(rank, world))
      end, { nprocs = world })
    end, { sets = { "system.sips.count=" .. world } })
  end
end

function TestDecode:test_it_runs_without_numbers()
  helper.simulate(function()
    runtime.engine:install_ipcq(decode.plan(runtime.machine))
    local cut = torch.DPPolicy { cube = "row_wise", pe = "row_wise" }
    local keys, out = torch.empty(16, 2, 1, 3, 8, { dp = cut }), torch.empty(2, 4, 8)
    torch.launch("decode", decode.attention, torch.empty(2, 4, 8), keys, keys, out, { 40, 7 }):wait()
  end, { data = false })
end

-- ---- prefill around a ring ----

local TestRing = {}

-- heads, groups, D, positions of each rank, users, queries and keys at a time
local RINGS = { { 4, 2, 8, 12, 1, 5, 7 }, { 2, 2, 4, 37, 1, 6, 6 }, { 8, 1, 6, 4, 3, 2, 4 } }

-- Rank's part of the sequence, [n, users, (heads + 2 groups) D], of q, k, v as users have them, (heads, S, D).
local function rows_of(list, rank, n)
  local users = {}
  for u, x in ipairs(list) do
    local columns = {}
    for i, array in ipairs(x) do
      local mine = array[{ {}, { rank * n, (rank + 1) * n } }]:transpose { 1, 0, 2 }
      columns[i] = mine:reshape { n, mine.shape[2] * mine.shape[3] }
    end
    users[u] = np.concatenate(columns, 1)
  end
  return np.stack(users, 1)
end

local function around(case, world, causal, dtype)
  local heads, groups, D, n, users, rows, keys = table.unpack(case)
  local S, given = world * n, {}
  for u = 1, users do
    given[u] = { random(10 * u, { heads, S, D }, dtype), random(10 * u + 1, { groups, S, D }, dtype),
      random(10 * u + 2, { groups, S, D }, dtype) }
  end
  local by_rows = torch.DPPolicy { cube = "row_wise", pe = "row_wise", pad = true }
  return helper.simulate(function()
    local installed, outs = torch.install_ipcq { algorithm = "kernels.ring_attention", ranks = "sip" }, {}
    for rank = 0, world - 1 do
      torch.ahbm.set_device(rank)
      local qkv = torch.from_numpy(rows_of(given, rank, n), { dp = by_rows })
      local room = { n, users, world * 2 * groups * D }
      local gathered = world > 1 and torch.empty(room, { dtype = dtype, dp = by_rows }) or nil
      outs[rank] = torch.empty(n, users, heads * D, { dtype = dtype, dp = by_rows })
      torch.launch { name = "ring", kernel = installed.kernel, pes = "all", args = { n = 4, qkv, gathered, outs[rank],
        { heads = heads, groups = groups, rows = rows, keys = keys, causal = causal } } }
    end
    for u, x in ipairs(given) do
      local expected = reference.attention(x[1], x[2], x[3], causal)
      for rank = 0, world - 1 do
        local want = expected[{ {}, { rank * n, (rank + 1) * n } }]:transpose { 1, 0, 2 }:reshape { n, heads * D }
        near(outs[rank]:numpy()[{ {}, u - 1 }], want, dtype, S, ("rank %d of %d, %s"):format(rank, world, causal))
      end
    end
  end, { sets = { "system.sips.count=" .. world } })
end

function TestRing:test_one_to_four_ranks_see_the_whole_sequence()
  for i, case in ipairs(RINGS) do
    for world = 1, 4 do around(case, world, (world + i) % 2 == 0, "f32") end
  end
  around(RINGS[1], 3, true, "f32")
  around(RINGS[1], 2, false, "f16")
end

function TestRing:test_every_PE_receives_the_rows_of_its_like_on_each_other_rank_once()
  for _, case in ipairs(RINGS) do
    local _, groups, D, n, users = table.unpack(case)
    for world = 1, 4 do
      local ipcq = around(case, world, false, "f32").ipcq
      local per_cube, pes = -(-n // 4), 0 -- 4 cubes of 4 PEs; rows of each are rounded up
      for cube = 0, 3 do
        local rows = math.min(per_cube, math.max(0, n - cube * per_cube))
        pes = pes + (rows > 0 and -(-rows // -(-rows // 4)) or 0)
      end
      lu.assertEquals(ipcq.messages, world * pes * (world - 1))
      lu.assertEquals(ipcq.bytes, world * (world - 1) * n * users * 2 * groups * D * 4)
    end
  end
end

function TestRing:test_sizes_that_do_not_fit_are_named()
  lu.assertStrContains(helper.fails(function()
    local installed = torch.install_ipcq { algorithm = "kernels.ring_attention", ranks = "sip", world_size = 1 }
    torch.launch { name = "ring", kernel = installed.kernel, pes = "all", args = { n = 4, torch.zeros(3, 1, 10), nil,
      torch.zeros(3, 1, 4), { heads = 2, groups = 2, rows = 4, keys = 4 } } }
    torch.accelerator.synchronize()
  end), "rows of 10 elements do not hold 2 heads of queries that share 2 of keys and of values evenly")
end

helper.main { TestGrouped = TestGrouped, TestDecode = TestDecode, TestRing = TestRing }
