-- Collectives on the simulated machine: numbers over all kinds of rings. Times are in test_ccl_times.lua.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local algorithms = require "kernbench.ccl.algorithms"
local ccl = require "kernbench.ccl"
local expected = require "kernbench.ccl.expected"
local np = require "kernbench.np"
local torch = require "kernbench.torch"

local simulate = helper.simulate

-- A tensor of each SIP, whose rows are the ranks' arrays.
local function tensors_of(layout, arrays)
  local in_sip, tensors = layout.pes * layout.cubes, {}
  local dp = torch.DPPolicy { cube = "row_wise", pe = "row_wise", num_cubes = layout.cubes, num_pes = layout.pes }
  for sip = 0, layout.sips - 1 do
    local rows = {}
    for r = 0, in_sip - 1 do rows[r + 1] = arrays[sip * in_sip + r] end
    torch.ahbm.set_device(sip)
    tensors[sip] = torch.from_numpy(np.stack(rows), { dp = dp })
  end
  return tensors
end

-- Run an algorithm between PEs and compare every rank's result to the bit.
local function check(name, world, n, options)
  options = options or {}
  options.algorithm, options.ranks, options.world_size = name, "pe", world
  local installed = torch.install_ipcq(options)
  local collective, layout, dtype = installed.collective, installed.layout, "i32"
  local inputs = expected.inputs(world, expected.input_rows(collective, n, world), dtype, options.op)
  local want = expected.outputs(collective, inputs, world, options)
  local x, out = tensors_of(layout, inputs), nil
  if want(0).size ~= inputs[0].size or collective == "all_to_all" then
    local blank = {}
    for rank = 0, world - 1 do blank[rank] = np.zeros({ want(0).size }, dtype) end
    out = tensors_of(layout, blank)
  end
  for sip = 0, layout.sips - 1 do torch.launch(name, installed.kernel, x[sip], out and out[sip]) end
  local in_sip = layout.pes * layout.cubes
  for sip = 0, layout.sips - 1 do
    local got = (out or x)[sip]:numpy()
    for r = 0, in_sip - 1 do
      lu.assertTrue(np.array_equal(got[r], want(sip * in_sip + r)), ("%s, rank %d of %d"):format(name, r, world))
    end
  end
end

local TestNumbers = {}

function TestNumbers:test_all_algorithms_agree_with_the_host_within_a_cube()
  for _, name in ipairs(algorithms.names()) do
    simulate(function()
      for world = 2, 4 do
        if name ~= "halving_doubling" or world ~= 3 then check(name, world, 5) end
      end
    end)
  end
end

function TestNumbers:test_all_algorithms_agree_with_the_host_over_cubes_and_sips()
  for _, name in ipairs(algorithms.names()) do
    simulate(function()
      check(name, 8, 3)
      check(name, 32, 3) -- two SIPs of 2 x 2 cubes of 4 PEs
    end)
  end
end

function TestNumbers:test_all_memories_of_rings_and_both_backpressures()
  for _, kind in ipairs { "tcm", "hbm", "sram" } do
    for _, backpressure in ipairs { "sleep", "poll" } do
      simulate(function()
        -- messages of 800 B through rings of two slots of 64 B
        for _, name in ipairs { "ring", "ring_chunked", "tree", "all_to_all", "all_to_all_direct" } do
          check(name, 4, 200, { buffer_kind = kind, backpressure = backpressure, n_slots = 2, slot_size = 64 })
        end
      end)
    end
  end
end

function TestNumbers:test_one_slot_is_enough()
  for _, name in ipairs(algorithms.names()) do
    simulate(function() check(name, 4, 100, { n_slots = 1, slot_size = 64 }) end)
  end
end

function TestNumbers:test_ranks_that_are_cubes()
  simulate(function()
    local installed = torch.install_ipcq { algorithm = "mesh", ranks = "cube", world_size = 4 }
    local x = torch.ones({ 4, 7 }, { dp = torch.DPPolicy { cube = "row_wise", num_pes = 1 } })
    torch.launch("mesh", installed.kernel, x)
    lu.assertTrue(np.array_equal(x:numpy(), np.full({ 4, 7 }, 4, "f32")))
  end)
end

function TestNumbers:test_ranks_that_are_sips_combine_what_corresponds()
  simulate(function()
    local cut = torch.DPPolicy { cube = "row_wise", pe = "column_wise", num_pes = 2 }
    local x = {}
    for sip = 0, 1 do
      torch.ahbm.set_device(sip)
      x[sip] = torch.from_numpy(np.arange(64, "f32"):reshape { 8, 8 } * (sip + 1), { dp = cut })
    end
    local sum = ccl.prepare("all_reduce", { shards = x[0].shards, bytes = 256, op = "avg" })
    ccl.install(sum)
    for sip = 0, 1 do torch.launch("all_reduce", sum.kernel, x[sip]) end
    for sip = 0, 1 do lu.assertTrue(np.array_equal(x[sip]:numpy(), np.arange(64, "f32"):reshape { 8, 8 } * 1.5)) end

    -- rows of all ranks one after another: columns may be cut, rows may not
    local columns = torch.DPPolicy { cube = "column_wise", num_pes = 1 }
    local part, all = {}, {}
    for sip = 0, 1 do
      torch.ahbm.set_device(sip)
      part[sip] = torch.full({ 2, 8 }, sip, { dp = columns })
      all[sip] = torch.empty({ 4, 8 }, { dp = columns })
    end
    local gather = ccl.prepare("all_gather", { shards = part[0].shards })
    ccl.install(gather)
    for sip = 0, 1 do torch.launch("all_gather", gather.kernel, part[sip], all[sip]) end
    for sip = 0, 1 do lu.assertEquals(all[sip]:numpy():sum(1):tolist(), { 0, 0, 8, 8 }) end
  end)
end

function TestNumbers:test_rows_that_are_cut_cannot_be_gathered()
  local message = helper.fails(function()
    local rows = torch.DPPolicy { cube = "row_wise", num_pes = 1 }
    local part, all = torch.ones({ 4, 8 }, { dp = rows }), torch.empty({ 8, 8 }, { dp = rows, name = "all" })
    local gather = ccl.prepare("all_gather", { shards = part.shards })
    ccl.install(gather)
    torch.launch("all_gather", gather.kernel, part, all):wait()
  end)
  lu.assertStrContains(message, "all_gather: tensor")
  lu.assertStrContains(message, "is cut along its first dimension (1 of 4 rows are here)")
end

helper.main { TestNumbers = TestNumbers }
