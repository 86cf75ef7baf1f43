-- What a launch says about itself, and how near products come to what the machine can do.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local kernels = require "kernels.gemm"

local simulate = helper.simulate

-- Statistics of one product on one PE of the default machine.
local function product(shape, sets, kernel, ...)
  local args, stats = table.pack(...), nil
  simulate(function()
    local M, K, N = table.unpack(shape)
    local a, b = torch.empty({ M, K }, { dtype = "f16" }), torch.empty({ K, N }, { dtype = "f16" })
    local out = torch.empty({ M, N }, { dtype = "f16" })
    stats = torch.launch("gemm", helper.watched(kernel), a, b, out, table.unpack(args)):stats()
  end, { topology = "default", data = false, sets = sets })
  return stats
end

local function tile(edge)
  local sets = {}
  for i, extent in ipairs { "m", "k", "n" } do sets[i] = ("pe.pe_gemm.tile_%s=%d"):format(extent, edge) end
  return sets
end

local TestStats = {}

-- 32 x 64 x 32 in f16, both loaded first: 3 + 31.24 each; 3 + fetch 16 + gemm 24 + store 4 + write 23.24 (see
-- docs/latency-model.md). The engine's peak is 8192 multiply-accumulates per ns, the ports move 512 B per ns, the
-- slice 204.8.
function TestStats:test_a_launch_says_what_it_did()
  local s = product({ 32, 64, 32 }, nil, kernels.streamed, "load", "load")
  lu.assertAlmostEquals(s.time_ns, 2 * 34.24 + 3 + 16 + 24 + 4 + 23.24, 1e-9)
  lu.assertAlmostEquals(s.end_ns - s.start_ns, s.time_ns, 1e-9)
  lu.assertEquals({ s.pes, s.commands, s.flops, s.bytes_read, s.bytes_written },
    { 1, 3, 2 * 32 * 64 * 32, 8192, 2048 })
  lu.assertAlmostEquals(s.tflops, s.flops / s.time_ns / 1000, 1e-12)
  local busy = { pe_dma_read = 2 * 31.24, pe_fetch = 16, pe_gemm = 24, pe_math = 0, pe_store = 4, pe_dma_write = 23.24 }
  for name, ns in pairs(busy) do
    lu.assertAlmostEquals(s.engines[name].busy_ns, ns, 1e-9)
    lu.assertAlmostEquals(s.engines[name].utilization, ns / s.time_ns, 1e-12)
  end
  local r = s.roofline
  lu.assertAlmostEquals(r.pe_gemm, 65536 / 8192, 1e-9)
  lu.assertAlmostEquals(r.pe_tcm, 8192 / 512, 1e-9)
  lu.assertAlmostEquals(r.hbm, (8192 + 2048) / 204.8, 1e-9)
  lu.assertEquals({ r.pe_math, r.of }, { 0, "hbm" })
  lu.assertAlmostEquals(r.time_ns, r.hbm, 1e-9)
  lu.assertAlmostEquals(r.fraction, 50 / s.time_ns, 1e-9)
end

function TestStats:test_launches_are_told_apart_and_sum_over_their_pes()
  simulate(function()
    local x = torch.zeros({ 8, 256 }, { dtype = "f16", dp = torch.DPPolicy { pe = "row_wise", num_cubes = 1 } })
    local function loads(n)
      return helper.watched(function(p) for _ = 1, n do tl.load(p) end end)
    end
    local first, second = torch.launch("a", loads(1), x), torch.launch("b", loads(3), x)
    lu.assertEquals(second:stats().bytes_read, 3 * 4096)
    local s = first:stats()
    lu.assertEquals({ s.bytes_read, s.commands, s.pes }, { 4096, #x.shards, #x.shards })
    lu.assertEquals(s.roofline.of, "hbm")
    lu.assertTrue(s.engines.pe_dma_read.busy_ns > 0 and s.engines.pe_dma_read.utilization < 1)
  end)
end

function TestStats:test_a_failed_launch_raises_instead()
  local message = helper.fails(function()
    torch.launch("k", helper.watched(function() error "no luck" end), torch.zeros(1)):stats()
  end)
  lu.assertStrContains(message, "kernel 'k' failed")
  lu.assertStrContains(message, "no luck")
end

local TestRoofline = {}

function TestRoofline:test_no_product_beats_its_roofline()
  for _, shape in ipairs { { 32, 32, 32 }, { 32, 128, 128 }, { 32, 3072, 32 }, { 8, 128, 128 }, { 128, 8, 128 } } do
    for _, form in ipairs { { "ref", "ref" }, { "load", "ref" }, { "load", "load" } } do
      local fraction = product(shape, nil, kernels.streamed, form[1], form[2]).roofline.fraction
      lu.assertTrue(fraction > 0.1 and fraction <= 1, fraction)
    end
  end
end

local function reaches(of, s)
  lu.assertEquals(s.roofline.of, of)
  lu.assertTrue(s.roofline.fraction >= 0.9 and s.roofline.fraction <= 1, s.roofline.fraction)
end

-- A tile of 32 x 64 x 32 takes 16 ns to fetch and 8 to multiply: TCM is the roof.
function TestRoofline:test_loaded_operands_reach_the_roof_of_tcm()
  reaches("pe_tcm", product({ 1024, 2048, 1024 }, nil, kernels.streamed, "load", "load"))
end

-- A tile of 128 x 128 x 128 takes 128 ns to fetch and 256 to multiply. Rows of 9 x 256 B do not all lie on one
-- channel.
function TestRoofline:test_larger_tiles_reach_the_peak_of_the_matrix_engine()
  reaches("pe_gemm", product({ 1152, 2048, 1152 }, tile(128), kernels.streamed, "load", "ref"))
  reaches("pe_gemm", product({ 1152, 2048, 1152 }, tile(128), kernels.panels, 384, 384))
end

-- Streamed from memory, with enough reads under way to hide their round trips.
function TestRoofline:test_streamed_operands_reach_the_bandwidth_of_hbm()
  local sets = tile(128)
  sets[#sets + 1] = "pe.pe_dma.outstanding=8"
  reaches("hbm", product({ 1152, 1024, 1152 }, sets, kernels.streamed, "ref", "ref"))
  reaches("hbm", product({ 32, 8192, 32 }, { "pe.pe_dma.outstanding=8" }, kernels.streamed, "load", "ref"))
end

helper.main { TestStats = TestStats, TestRoofline = TestRoofline }
