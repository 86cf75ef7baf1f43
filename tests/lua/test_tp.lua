-- Tensor parallelism: every layer and mapping equals what one process computes in f64, on 1, 2, 4 and 8 ranks, with
-- activations in one piece and cut by rows.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local product = require "kernbench.tp.product"
local torch = require "kernbench.torch"
local tp = require "kernbench.tp"
local dist = torch.distributed

-- Run fn(rank) on n ranks in one tensor parallel group.
local function ranks(n, fn, options)
  options = options or {}
  return helper.simulate(function()
    torch.multiprocessing.spawn(helper.watched(function(rank)
      torch.ahbm.set_device(rank)
      dist.init_process_group "ahbm"
      tp.initialize_model_parallel(options.tp_size or n)
      fn(rank)
    end), { nprocs = n })
  end, { sets = { "system.sips.count=" .. n }, data = options.data })
end

local function caught(fn, ...)
  local ok, message = pcall(fn, ...)
  lu.assertFalse(ok, "nothing was raised")
  return message
end

-- A sequence of 8, a batch of 3.
local S, B = 8, 3

local function random(seed, ...)
  return np.random(seed):randn({ ... }, "f32")
end

-- x [S, B, K] times W^T (N, K) plus b, in f64, as (S * B, N).
local function reference(x, w, b)
  local K = x.shape[3]
  local y = np.matmul(x:astype("f64"):reshape({ S * B, K }), w:astype("f64"):transpose())
  return b and y + b:astype("f64") or y
end

-- f32 products of up to 20 terms of about 1: 1e-5 is some 40 roundings.
local function assert_close(tensor, expected, shape)
  lu.assertEquals(tensor.shape, shape)
  local got = tensor:numpy():astype("f64"):reshape(expected.shape)
  lu.assertTrue(np.allclose(got, expected, { rtol = 1e-5, atol = 1e-5 }), tostring(np.max_abs_diff(got, expected)))
end

local function columns(array, from, count)
  return array[{ {}, { from, from + count } }]
end

-- The activation in one piece, and cut by rows.
local function each_layout(array, fn)
  for _, dp in ipairs { false, tp.rows() } do fn(torch.from_numpy(array, { dp = dp or nil })) end
end

-- Cut by rows with nothing to pad.
local EVEN = { cube = "row_wise", pe = "row_wise" }

local RANKS = { 1, 2, 4, 8 }

local TestLayers = {}

-- Both divide by 8 ranks, but not evenly by 16 PEs.
local K, N = 24, 40

function TestLayers:test_column_parallel_linear()
  local x, w, b = random(1, S, B, K), random(2, N, K), random(3, N)
  for _, n in ipairs(RANKS) do
    ranks(n, function(rank)
      local part, expected = N // n, reference(x, w, b)
      local layer = tp.ColumnParallelLinear { input_size = K, output_size = N, dtype = "f32", weight = w,
        bias_values = b }
      each_layout(x, function(t)
        layer.options.gather_output, layer.options.skip_bias_add = nil, nil
        local y, bias = layer(t)
        assert_close(y, columns(expected, rank * part, part), { S, B, part })
        lu.assertNil(bias)
        layer.options.gather_output = true
        assert_close(layer(t), expected, { S, B, N })
        layer.options.skip_bias_add = true
        y, bias = layer(t)
        assert_close(y, reference(x, w), { S, B, N })
        lu.assertTrue(np.array_equal(bias:numpy(), b[{ { rank * part, (rank + 1) * part } }]))
      end)
    end)
  end
end

function TestLayers:test_row_parallel_linear_adds_the_bias_once()
  local x, w, b = random(4, S, B, K), random(5, N, K), random(6, N)
  for _, n in ipairs(RANKS) do
    ranks(n, function(rank)
      local part = K // n
      local layer = tp.RowParallelLinear { input_size = K, output_size = N, dtype = "f32", weight = w, bias_values = b }
      each_layout(x, function(t) assert_close(layer(t), reference(x, w, b), { S, B, N }) end)
      layer.options.input_is_parallel = true
      each_layout(x[{ {}, {}, { rank * part, (rank + 1) * part } }], function(mine)
        layer.options.skip_bias_add = nil
        assert_close(layer(mine), reference(x, w, b), { S, B, N })
        layer.options.skip_bias_add = true
        local y, bias = layer(mine)
        assert_close(y, reference(x, w), { S, B, N })
        lu.assertTrue(np.array_equal(bias:numpy(), b))
      end)
    end)
  end
end

function TestLayers:test_two_layers_with_sequence_parallelism()
  local x, w1, w2, b2 = random(7, S, B, K), random(8, N, K), random(9, K, N), random(10, K)
  local expected = reference(reference(x, w1):reshape({ S, B, N }), w2, b2)
  for _, n in ipairs(RANKS) do
    ranks(n, function(rank)
      local up = tp.ColumnParallelLinear { input_size = K, output_size = N, dtype = "f32", weight = w1, bias = false,
        sequence_parallel = true }
      local down = tp.RowParallelLinear { input_size = N, output_size = K, dtype = "f32", weight = w2, bias_values = b2,
        input_is_parallel = true, sequence_parallel = true }
      local part = S // n
      each_layout(x[{ { rank * part, (rank + 1) * part } }], function(t)
        local y = down(up(t))
        lu.assertEquals(y.shape, { part, B, K })
        local got = y:numpy():astype("f64"):reshape({ part * B, K })
        local mine = expected[{ { rank * part * B, (rank + 1) * part * B }, {} }]
        lu.assertTrue(np.allclose(got, mine, { rtol = 1e-5, atol = 1e-4 }), tostring(np.max_abs_diff(got, mine)))
      end)
    end)
  end
end

function TestLayers:test_rows_that_all_pes_have_as_many_of_need_no_padding()
  local x, w = random(23, 16, 1, K), random(24, N, K)
  ranks(2, function()
    local layer = tp.RowParallelLinear { input_size = K, output_size = N, dtype = "f32", weight = w, bias = false }
    local y = layer(torch.from_numpy(x, { dp = torch.DPPolicy(EVEN) }))
    local expected = np.matmul(x:astype("f64"):reshape { 16, K }, w:astype("f64"):transpose())
    lu.assertTrue(np.allclose(y:numpy():astype("f64"):reshape { 16, N }, expected, { rtol = 1e-5, atol = 1e-5 }))
  end)
end

function TestLayers:test_vocab_parallel_embedding()
  local V, D = 24, 10
  local ids = np.array({ { 0, 23, 5 }, { 11, 12, 6 }, { 18, 17, 0 }, { 1, 2, 3 }, { 4, 7, 8 }, { 9, 10, 13 },
    { 14, 15, 16 }, { 19, 20, 21 } }, "i32")
  local w = random(11, V, D)
  for _, n in ipairs(RANKS) do
    ranks(n, function()
      local layer = tp.VocabParallelEmbedding { num_embeddings = V, embedding_dim = D, dtype = "f32", weight = w }
      each_layout(ids, function(t)
        local y = layer(t)
        lu.assertEquals(y.shape, { S, B, D })
        local got = y:numpy()
        for s = 0, S - 1 do
          for b = 0, B - 1 do
            lu.assertEquals(got[{ s, b }]:tolist(), w[ids[{ s, b }]]:tolist())
          end
        end
      end)
      lu.assertStrContains(caught(function()
        layer(torch.from_numpy(np.array({ { 24 } }, "i32"))):numpy()
      end), "id 24 is not in a vocabulary of 24")
    end)
  end
end

function TestLayers:test_half_precision_over_all_pes()
  local x, w = random(12, S, B, 32):astype "f16", random(13, 64, 32):astype "f16"
  ranks(2, function(rank)
    local layer = tp.ColumnParallelLinear { input_size = 32, output_size = 64, weight = w, bias = false }
    lu.assertEquals(#layer.weight.shards, 16) -- 32 columns on 4 cubes of 4 PEs
    local got = layer(torch.from_numpy(x)):numpy():astype("f64"):reshape({ S * B, 32 })
    local expected = columns(reference(x, w), rank * 32, 32)
    lu.assertTrue(np.allclose(got, expected, { rtol = 1e-3, atol = 1e-2 })) -- one rounding to 11 bits
  end)
end

local TestMappings = {}

function TestMappings:test_each_leads_back_or_sums()
  local x = random(14, S, B, 8)
  ranks(4, function(rank)
    each_layout(x, function(t)
      local part = tp.scatter_to_tensor_model_parallel_region(t)
      lu.assertTrue(np.array_equal(part:numpy(), x[{ {}, {}, { 2 * rank, 2 * rank + 2 } }]))
      lu.assertTrue(np.array_equal(tp.gather_from_tensor_model_parallel_region(part):numpy(), x))
      local rows, mine = tp.scatter_to_sequence_parallel_region(t), x[{ { 2 * rank, 2 * rank + 2 } }]
      lu.assertTrue(np.array_equal(rows:numpy(), mine))
      lu.assertTrue(np.array_equal(tp.gather_from_sequence_parallel_region(rows):numpy(), x))
      lu.assertTrue(np.allclose(tp.reduce_scatter_to_sequence_parallel_region(t):numpy(), mine * 4))
      for _, out in ipairs { part, rows } do lu.assertEquals(tostring(out.dp), tostring(tp.rows())) end
      lu.assertEquals(tp.copy_to_tensor_model_parallel_region(t), t)
      lu.assertTrue(np.allclose(tp.reduce_from_tensor_model_parallel_region(t):numpy(), x * 4))
    end)
  end)
end

-- ---- how products are cut ----

local TestProducts = {}

-- Rows, K and columns of a PE, and the bytes of an element: what a PE has in TCM at a time fits into 12 MiB, and blocks
-- cover the product.
function TestProducts:test_blocks_fit_into_tcm()
  for _, rows in ipairs { 1, 31, 33, 300, 512, 100000 } do
    for _, k in ipairs { 1, 63, 513, 4096, 28672, 300000 } do
      for _, n in ipairs { 1, 33, 128, 2000, 16032 } do
        for _, item in ipairs { 2, 4, 8 } do
          local b, case = product.blocks(rows, k, n, item, 8), table.concat({ rows, k, n, item }, " ")
          local w = b.keep and k * n * b.group or 2 * b.inner * b.width
          local x = b.hold and b.height * (k + b.inner) or 2 * b.height * b.inner
          local sums = (2 * math.max(4, item) + item) * b.height * b.width -- the next ones, and what is stored
          local joined = b.join and 2 * b.height * n * b.group * item or 0
          lu.assertTrue((w + x) * item + sums + joined <= 12 << 20, case)
          lu.assertTrue(b.chunks * b.inner >= k and (b.chunks - 1) * b.inner < k, case)
          lu.assertTrue(b.slab == k or b.slab % b.inner == 0 and -(-k // b.slab) <= 8, case)
          lu.assertTrue(b.group == 1 or rows >= b.group * 32, case)
          lu.assertTrue(b.height >= 1 and b.height <= rows and b.width <= n, case)
        end
      end
    end
  end
end

-- 8,192 x 64 of 2 bytes are 1 MiB.
function TestProducts:test_few_rows_are_cut_into_four_slabs_or_more_if_weights_are_large()
  for _, case in ipairs { { 1, 64, 8, 2048 }, { 1, 65, 8, 1024 }, { 64, 64, 8, 2048 }, { 65, 64, 8, 8192 },
    { 1, 64, 2, 4096 }, { 1, 65, 2, 4096 } } do
    lu.assertEquals(product.blocks(case[1], 8192, case[2], 2, case[3]).slab, case[4], table.concat(case, " "))
  end
end

-- A group of g PEs reads rows / g of x and g times its columns of w.
function TestProducts:test_pes_of_a_cube_share_out_rows_where_less_is_read_so()
  for _, case in ipairs { { 8, 64, 1 }, { 64, 64, 1 }, { 256, 64, 2 }, { 4096, 64, 8 }, { 300, 1, 8 }, { 99, 1, 2 } } do
    lu.assertEquals(product.blocks(case[1], 4096, case[2], 2, 8).group, case[3])
  end
end

-- x W^T + b on SIPs of 4 x 4 PEs, with blocks as they are chosen or as given.
local function check_product(rows, k, n, blocks)
  local x, w, b = random(20, rows, k), random(21, n, k), random(22, n)
  local expected = np.matmul(x:astype("f64"), w:astype("f64"):transpose()) + b:astype("f64")
  local choose = product.blocks
  product.blocks = function(...)
    local chosen = choose(...)
    for key, value in pairs(blocks or {}) do chosen[key] = value end
    return chosen
  end
  local ok, problem = pcall(ranks, 1, function()
    local layer = tp.ColumnParallelLinear { input_size = k, output_size = n, dtype = "f32", weight = w,
      bias_values = b }
    local got = layer(torch.from_numpy(x, { dp = tp.rows() })):numpy():astype("f64")
    lu.assertTrue(np.allclose(got, expected, { rtol = 1e-4, atol = 1e-4 }), tostring(np.max_abs_diff(got, expected)))
  end)
  product.blocks = choose
  lu.assertTrue(ok, tostring(problem))
end

-- 5 x 300: in slabs of 128, 128 and 44 columns. 300 x 70: four PEs share out rows; of 90 columns the last cube's
-- three PEs, and one has none.
function TestProducts:test_few_rows_and_many()
  check_product(5, 300, 40)
  check_product(300, 70, 90)
  check_product(3, 257, 5)
end

-- Blocks of rows, of K and of columns, ragged at every end; tiles that stay in TCM and that do not.
function TestProducts:test_products_in_many_blocks()
  local cut = { height = 32, inner = 64, width = 4, chunks = 3, keep = true, hold = true, join = false }
  for _, change in ipairs { {}, { keep = false }, { hold = false }, { keep = false, group = 4 },
    { group = 2, width = 6, join = true } } do
    for key, value in pairs(change) do cut[key] = value end
    check_product(75, 130, 90, cut)
  end
end

local TestState = {}

function TestState:test_groups_of_consecutive_ranks_and_of_their_places()
  ranks(4, function(rank)
    lu.assertTrue(tp.model_parallel_is_initialized())
    lu.assertEquals({ tp.get_tensor_model_parallel_rank(), tp.get_tensor_model_parallel_world_size() }, { rank % 2, 2 })
    lu.assertEquals({ tp.get_data_parallel_rank(), tp.get_data_parallel_world_size() }, { rank // 2, 2 })
    lu.assertEquals(dist.get_process_group_ranks(tp.get_tensor_model_parallel_group()),
      rank < 2 and { 0, 1 } or { 2, 3 })
    lu.assertEquals(dist.get_process_group_ranks(tp.get_data_parallel_group()), rank % 2 == 0 and { 0, 2 } or { 1, 3 })
    lu.assertStrContains(caught(tp.initialize_model_parallel, 2), "already initialized")
    tp.destroy_model_parallel()
    lu.assertStrContains(caught(tp.get_tensor_model_parallel_rank), "call tp.initialize_model_parallel first")
    lu.assertStrContains(caught(tp.initialize_model_parallel, 3),
      "the world size (4) is not divisible by tensor_model_parallel_size (3)")
  end, { tp_size = 2 })
end

function TestState:test_sizes_that_do_not_divide_are_named()
  ranks(2, function()
    local function refuses(text, fn, options)
      lu.assertStrContains(caught(fn, options), text)
    end
    refuses("ColumnParallelLinear: output_size (5) is not divisible by 2 ranks", tp.ColumnParallelLinear,
      { input_size = 4, output_size = 5 })
    refuses("RowParallelLinear: input_size (7) is not divisible by 2 ranks", tp.RowParallelLinear,
      { input_size = 7, output_size = 4 })
    refuses("VocabParallelEmbedding: num_embeddings (9) is not divisible by 2 ranks", tp.VocabParallelEmbedding,
      { num_embeddings = 9, embedding_dim = 4 })
    refuses("ColumnParallelLinear: input_size is missing", tp.ColumnParallelLinear, { output_size = 4 })
    refuses("unknown option 'in_features'", tp.RowParallelLinear, { in_features = 4 })
    refuses("weight is (4, 3), expected (4, 8)", tp.RowParallelLinear,
      { input_size = 8, output_size = 4, weight = np.zeros({ 4, 3 }) })
    refuses("gather_output and sequence_parallel exclude each other", tp.ColumnParallelLinear,
      { input_size = 4, output_size = 4, gather_output = true, sequence_parallel = true })
    local layer = tp.ColumnParallelLinear { input_size = 4, output_size = 4 }
    refuses("the last dimension of the input is 3, the layer takes 4", layer, torch.zeros({ 2, 3 }, { dtype = "f16" }))
    refuses("the input is f32, the weight f16", layer, torch.zeros { 2, 4 })
    refuses("activations are in one piece or cut by rows over all PEs", layer,
      torch.zeros({ 2, 4 }, { dtype = "f16", dp = torch.DPPolicy {} }))
  end)
end

helper.main { TestLayers = TestLayers, TestMappings = TestMappings, TestProducts = TestProducts, TestState = TestState }
