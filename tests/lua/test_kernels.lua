-- The kernels of kernels/ against references in f64, over ragged shapes, types and placements.
--
-- Tolerances: eps of the result's type for its one rounding, times sqrt(K) for sums of K terms, times the
-- scale of the values; f32 arithmetic inside adds eps of f32 times sqrt(K).
local lu = require "luaunit"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"
local reference = require "kernels.reference"

local TOPOLOGY = require("kernbench.core").home() .. "/topology.yaml"
local SETS = { "system.sips.count=1", "sip.cube_mesh.w=2", "sip.cube_mesh.h=1" }
local EPS = { f16 = 2 ^ -10, bf16 = 2 ^ -7, f32 = 2 ^ -23 }

local function simulate(body, data)
  local outcome, stats = runtime.with_engine({ topology = TOPOLOGY, sets = SETS, data = data }, body)
  if outcome.status ~= "ok" then
    error(outcome.error or outcome.status, 0)
  end
  lu.assertNil(outcome.waiting)
  lu.assertTrue(stats.audit.ok)
end

-- Every kernel is tried on one PE, on three of a cube and on all sixteen of two.
local PLACES = { { num_cubes = 1, num_pes = 1 }, { num_cubes = 1, num_pes = 3 }, {} }

local function parts_of(place)
  return (place.num_cubes or 2) * (place.num_pes or 8)
end

local function policy(place, kind)
  return torch.DPPolicy { cube = kind, pe = kind, num_cubes = place.num_cubes, num_pes = place.num_pes }
end

local function random(seed, shape, dtype)
  return np.random(seed):randn(shape, dtype)
end

local function near(got, expected, tolerance, what)
  local difference = np.max_abs_diff(got:astype "f64", expected)
  lu.assertTrue(difference <= tolerance, ("%s: differs by %g, more than %g"):format(what, difference, tolerance))
end

local function largest(a)
  return np.max(np.abs(a))
end

-- Launch kernel(inputs..., out, options...) once per place. `whole`: which inputs every PE holds.
local function each_place(case)
  for _, place in ipairs(PLACES) do
    simulate(function()
      local inputs = case.inputs(parts_of(place))
      local args = {}
      for i, array in ipairs(inputs) do
        local kind = case.whole and case.whole[i] and "replicate" or "row_wise"
        args[i] = torch.from_numpy(array, { dp = policy(place, kind) })
      end
      local shape = inputs[case.like or 1].shape
      local out = torch.empty(shape, { dtype = case.dtype, dp = policy(place, "row_wise") })
      args[#args + 1] = out
      table.move(case.options or {}, 1, #(case.options or {}), #args + 1, args)
      torch.launch(case.name, require("kernels." .. case.name), table.unpack(args))
      local expected = case.expected(table.unpack(inputs))
      local what = ("%s %s on %d PEs"):format(case.name, case.dtype, parts_of(place))
      near(out:numpy(), expected, case.tolerance(expected), what)
    end)
  end
end

local DTYPES = { "f16", "bf16", "f32" }
local ROWS = { { 1, 1 }, { 3, 33 }, { 5, 128 }, { 2, 257 } } -- rows for each PE, columns

local TestRows = {}

-- Elementwise kernels compute in f32 (a few roundings) and round once: eps / 2 of the largest value.
local function elementwise(dtype)
  return function(expected) return largest(expected) * (EPS[dtype] / 2 + 16 * EPS.f32) + 2 ^ -24 end
end

-- So do reductions, whose sums are of n terms.
local function reducing(dtype, n)
  return function(expected) return largest(expected) * (EPS[dtype] / 2 + 16 * EPS.f32 * math.sqrt(n)) + 2 ^ -24 end
end

function TestRows:test_bias_gelu()
  for _, dtype in ipairs(DTYPES) do
    for _, rows in ipairs(ROWS) do
      each_place { name = "bias_gelu", dtype = dtype, whole = { [2] = true }, options = { 2 },
        inputs = function(parts)
          return { random(1, { parts * rows[1], rows[2] }, dtype), random(2, { rows[2] }, dtype) }
        end,
        expected = reference.bias_gelu, tolerance = elementwise(dtype) }
    end
  end
end

function TestRows:test_softmax()
  for _, dtype in ipairs(DTYPES) do
    for _, rows in ipairs(ROWS) do
      each_place { name = "softmax", dtype = dtype, options = { 2 },
        inputs = function(parts) return { random(1, { parts * rows[1], rows[2] }, dtype) * 4 } end,
        expected = reference.softmax, tolerance = reducing(dtype, rows[2]) }
    end
  end
end

-- The mask is that of the whole tensor, however it is cut.
function TestRows:test_dropout()
  for _, dtype in ipairs(DTYPES) do
    for _, rows in ipairs { { 1, 1 }, { 3, 33 } } do
      for _, p in ipairs { 0, 0.25 } do
        each_place { name = "dropout", dtype = dtype, options = { 2, p, -7 },
          inputs = function(parts) return { random(1, { rows[1] * parts, rows[2] }, dtype) } end,
          expected = function(x) return reference.dropout(x, p, -7) end, tolerance = elementwise(dtype) }
      end
    end
  end
end

function TestRows:test_softmax_of_large_numbers_does_not_overflow()
  each_place { name = "softmax", dtype = "f16", options = { 4 },
    inputs = function(parts) return { random(1, { parts, 33 }, "f16") * 1000 } end,
    expected = reference.softmax, tolerance = reducing("f16", 33) }
end

function TestRows:test_layernorm()
  for _, dtype in ipairs(DTYPES) do
    for _, rows in ipairs { { 3, 33 }, { 5, 128 }, { 2, 257 } } do
      each_place { name = "layernorm", dtype = dtype, whole = { [2] = true, [3] = true }, options = { 0.1, 2 },
        inputs = function(parts)
          return { random(1, { parts * rows[1], rows[2] }, dtype) + 3, random(2, { rows[2] }, dtype),
            random(3, { rows[2] }, dtype) }
        end,
        expected = function(x, gamma, beta) return reference.layernorm(x, gamma, beta, 0.1) end,
        tolerance = reducing(dtype, rows[2]) }
    end
  end
end

function TestRows:test_rmsnorm()
  for _, dtype in ipairs(DTYPES) do
    for _, rows in ipairs(ROWS) do
      each_place { name = "rmsnorm", dtype = dtype, whole = { [2] = true }, options = { 1e-6, 3 },
        inputs = function(parts)
          return { random(1, { parts * rows[1], rows[2] }, dtype), random(2, { rows[2] }, dtype) }
        end,
        expected = function(x, gamma) return reference.rmsnorm(x, gamma, 1e-6) end,
        tolerance = reducing(dtype, rows[2]) }
    end
  end
end

function TestRows:test_rope()
  for _, dtype in ipairs(DTYPES) do
    for _, shape in ipairs { { 1, 1, 2 }, { 3, 4, 10 }, { 2, 3, 64 } } do -- positions for each PE, heads, D
      each_place { name = "rope", dtype = dtype, options = { 2 },
        inputs = function(parts)
          local s = parts * shape[1]
          local cos, sin = reference.rope_tables(s, shape[3])
          return { random(1, { s, shape[2], shape[3] }, dtype), cos:astype "f32", sin:astype "f32" }
        end,
        expected = reference.rope, tolerance = elementwise(dtype) }
    end
  end
end

function TestRows:test_rope_keeps_lengths_and_leaves_position_0_alone()
  local cos, sin = reference.rope_tables(6, 8)
  local x = random(1, { 6, 2, 8 }, "f64")
  local y = reference.rope(x, cos, sin)
  lu.assertTrue(np.allclose(np.sum(x * x, 2), np.sum(y * y, 2), { rtol = 1e-12 }))
  lu.assertTrue(np.array_equal(x[0], y[0]))
end

local TestGemm = {}

-- A product of K terms of size 1: rounding to the type, and sqrt(K) roundings of f32 on the way.
local function gemm_tolerance(expected, dtype, K)
  return largest(expected) * EPS[dtype] / 2 + 4 * EPS.f32 * math.sqrt(K) * largest(expected)
end

local function gemm_once(M, K, N, dtype, place, cut, block)
  simulate(function()
    local a, b = random(1, { M, K }, dtype), random(2, { K, N }, dtype)
    local ta = torch.from_numpy(a, { dp = policy(place, cut == "row_wise" and cut or "replicate") })
    local tb = torch.from_numpy(b, { dp = policy(place, cut == "row_wise" and "replicate" or cut) })
    local out = torch.empty(M, N, { dtype = dtype, dp = policy(place, cut) })
    torch.launch("gemm", require("kernels.gemm").gemm, ta, tb, out, block)
    local expected = reference.gemm(a, b)
    near(out:numpy(), expected, gemm_tolerance(expected, dtype, K), ("gemm %dx%dx%d %s"):format(M, K, N, dtype))
  end)
end

function TestGemm:test_tiles_of_every_size_cover_the_product()
  for _, dtype in ipairs(DTYPES) do
    for _, place in ipairs(PLACES) do
      local parts = parts_of(place)
      gemm_once(parts, 1, 1, dtype, place, "row_wise", { 32, 64, 32 })
      gemm_once(5 * parts, 70, 33, dtype, place, "row_wise", { 3, 32, 16 })
      gemm_once(7, 33, 9 * parts, dtype, place, "column_wise", { 4, 7, 4 })
      gemm_once(32, 128, 32 * parts, dtype, place, "column_wise", { 32, 64, 32 })
    end
  end
end

function TestGemm:test_slices_of_k_add_up()
  for _, place in ipairs(PLACES) do
    local parts = parts_of(place)
    for _, size in ipairs { { 5, 3, 3 }, { 16, 33, 12 } } do -- M, K for each PE, N for each PE
      simulate(function()
        local M, K, N = size[1], size[2] * parts, size[3] * parts
        local gemm = require "kernels.gemm"
        local a, b = random(1, { M, K }, "f16"), random(2, { K, N }, "f16")
        local ta = torch.from_numpy(a, { dp = policy(place, "column_wise") })
        local tb = torch.from_numpy(b, { dp = policy(place, "row_wise") })
        local shares = torch.empty(parts, M * N, { dtype = "f32", dp = policy(place, "row_wise") })
        torch.launch("split_k", gemm.split_k, ta, tb, shares, { 4, 16, 8 })
        local expected = reference.gemm(a, b)
        local added = np.sum(shares:numpy(), 0):reshape { M, N }
        near(added, expected, 4 * EPS.f32 * math.sqrt(K) * largest(expected), "parts")
        local columns = torch.from_numpy(shares:numpy(), { dp = policy(place, "column_wise") })
        local out = torch.empty(1, M * N, { dtype = "f16", dp = policy(place, "column_wise") })
        torch.launch("add_parts", gemm.add_parts, columns, out)
        near(out:numpy():reshape { M, N }, expected, gemm_tolerance(expected, "f16", K), "sum")
      end)
    end
  end
end

local TestAttention = {}

function TestAttention:test_blocks_of_keys_give_what_the_whole_matrix_gives()
  for _, dtype in ipairs(DTYPES) do
    -- heads for each PE, S, D, block
    for _, shape in ipairs { { 1, 7, 5, { 3, 2 } }, { 2, 33, 16, { 16, 8 } }, { 1, 64, 32, { 16, 32 } } } do
      for _, causal in ipairs { false, true } do
        each_place { name = "flash_attention", dtype = dtype, options = { shape[4], causal },
          inputs = function(parts)
            local whole = { parts * shape[1], shape[2], shape[3] }
            return { random(1, whole, dtype), random(2, whole, dtype), random(3, whole, dtype) }
          end,
          expected = function(q, k, v) return reference.attention(q, k, v, causal) end,
          -- weights are rounded to the type before they meet v: S terms that sum to 1
          tolerance = function(expected)
            return largest(expected) * (EPS[dtype] / 2 * (1 + math.sqrt(shape[2])) + 32 * EPS.f32 * math.sqrt(shape[3]))
          end }
      end
    end
  end
end

local TestLookups = {}

function TestLookups:test_embedding_copies_the_chosen_rows()
  for _, dtype in ipairs { "f16", "f32", "i8" } do
    for _, shape in ipairs { { 1, 1, 1 }, { 5, 17, 33 }, { 3, 100, 64 } } do -- tokens for each PE, V, D
      for _, place in ipairs(PLACES) do
        simulate(function()
          local T, V, D = shape[1] * parts_of(place), shape[2], shape[3]
          local ids, rows = np.random(1):randint(0, V, { T }, "i32"), np.random(2):randint(-100, 100, { V, D }, dtype)
          local out = torch.empty(T, D, { dtype = dtype, dp = policy(place, "row_wise") })
          torch.launch("embedding", require "kernels.embedding",
            torch.from_numpy(ids, { dp = policy(place, "row_wise") }),
            torch.from_numpy(rows, { dp = policy(place, "replicate") }), out)
          lu.assertTrue(np.array_equal(out:numpy(), reference.embedding(ids, rows)))
        end)
      end
    end
  end
end

function TestLookups:test_an_id_outside_the_table_is_an_error()
  for id, element in pairs { [7] = 28, [-1] = -4 } do
    lu.assertErrorMsgContains(("lane (0, 0) leads to element %d, outside of tensor 'table'"):format(element), simulate,
      function()
        torch.launch("embedding", require "kernels.embedding", torch.from_numpy(np.array({ id }, "i32")),
          torch.zeros(7, 4, { name = "table" }), torch.zeros(1, 4))
        torch.accelerator.synchronize()
      end)
  end
end

function TestLookups:test_histograms_of_all_parts_add_up()
  for _, place in ipairs(PLACES) do
    for _, case in ipairs { { 1, 1 }, { 7, 3 }, { 40, 10 } } do
      simulate(function()
        local count, bins = case[1] * parts_of(place), case[2]
        local x = np.random(1):randint(-1, bins + 1, { count }, "i32") -- some are in no bin
        local counts = torch.zeros(bins, { dtype = "i32" })
        torch.launch("histogram", require "kernels.histogram",
          torch.from_numpy(x, { dp = policy(place, "row_wise") }), counts)
        lu.assertTrue(np.array_equal(counts:numpy(), reference.histogram(x, bins)))
      end)
    end
  end
end

local function route_once(place, T, E, D, k, capacity)
  simulate(function()
    local parts = parts_of(place)
    T = T * parts
    local rows = { dp = policy(place, "row_wise") }
    -- few different logits, so that some are equal and the first has to win
    local logits = np.random(1):randint(-8, 8, { T, E }, "f16") / 4
    local x = random(2, { T, D }, "f16")
    local experts = torch.empty(T, k, { dtype = "i32", dp = rows.dp })
    local weights = torch.empty(T, k, { dtype = "f32", dp = rows.dp })
    local bins = torch.zeros(parts * E * capacity, D, { dtype = "f16", dp = rows.dp })
    torch.launch("topk_routing", require "kernels.topk_routing", torch.from_numpy(logits, rows),
      torch.from_numpy(x, rows), experts, weights, bins, capacity)
    local expected, shares = reference.topk(logits, k)
    lu.assertTrue(np.array_equal(experts:numpy(), expected))
    near(weights:numpy(), shares, 8 * EPS.f32, "weights")
    lu.assertTrue(np.array_equal(bins:numpy(), reference.bins(x, expected, E, capacity, parts)))
  end)
end

function TestLookups:test_tokens_go_to_their_best_experts_until_those_are_full()
  for _, place in ipairs(PLACES) do
    route_once(place, 1, 1, 4, 1, 1)
    route_once(place, 7, 9, 5, 3, 2)
    route_once(place, 4, 8, 33, 2, 4)
  end
end

local TestWithoutNumbers = {}

function TestWithoutNumbers:test_a_histogram_runs_without_numbers()
  simulate(function()
    torch.launch("histogram", require "kernels.histogram", torch.empty(5, { dtype = "i32" }),
      torch.empty(3, { dtype = "i32" }))
    torch.accelerator.synchronize()
  end, false)
end

function TestWithoutNumbers:test_without_numbers_data_dependent_kernels_take_stand_ins()
  simulate(function()
    torch.launch("embedding", require "kernels.embedding", torch.empty(5, { dtype = "i32" }), torch.empty(3, 4),
      torch.empty(5, 4))
    torch.launch("topk_routing", require "kernels.topk_routing", torch.empty(3, 4), torch.empty(3, 8),
      torch.empty(3, 2, { dtype = "i32" }), torch.empty(3, 2), torch.empty(8, 8), 2)
    torch.accelerator.synchronize()
  end, false)
end

local runner = lu.LuaUnit.new()
local result = runner:runSuiteByInstances {
  { "TestRows", TestRows }, { "TestGemm", TestGemm }, { "TestAttention", TestAttention },
  { "TestLookups", TestLookups }, { "TestWithoutNumbers", TestWithoutNumbers } }
collectgarbage()
os.exit(result == 0, true)
