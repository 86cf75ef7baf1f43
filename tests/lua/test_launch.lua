-- Who runs a kernel, on one SIP and on several, and what it reaches from there.
local lu = require "luaunit"
local core = require "kernbench.core"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local simulate = helper.simulate

local function ps(ns)
  return math.floor(ns * 1000 + 0.5)
end

-- A tensor on that SIP.
local function on(sip, array, options)
  torch.ahbm.set_device(sip)
  local t = torch.from_numpy(array, options)
  torch.ahbm.set_device(0)
  return t
end

local function here()
  return ("%d.%d.%d"):format(tl.program_id(2), tl.program_id(1), tl.program_id(0))
end

-- Who ran the kernel: "sip.cube.pe" in any order.
local function sorted(ran)
  table.sort(ran)
  return ran
end

local TestTargets = {}

function TestTargets:test_every_pe_that_holds_a_part_of_any_argument_runs()
  simulate(function()
    local ran = {}
    local a = torch.zeros({ 8 }, { dp = torch.DPPolicy { num_cubes = 1, num_pes = 2 } })
    local b = torch.zeros({ 8 }, { dp = torch.DPPolicy { num_cubes = 2, num_pes = 1 } })
    torch.launch("k", function() ran[#ran + 1] = here() end, a, b):wait()
    lu.assertEquals(sorted(ran), { "0.0.0", "0.0.1", "0.1.0" })
  end)
end

function TestTargets:test_a_list_says_who_runs()
  simulate(function()
    local ran = {}
    local a = torch.zeros({ 8 }, { dp = torch.DPPolicy {} })
    torch.launch { name = "k", args = { a, nil, "x", n = 3 }, pes = { { cube = 3, pe = 1 }, { cube = 0, pe = 2 },
      { cube = 3, pe = 1 }, { sip = 1, cube = 2, pe = 0 } }, kernel = function(p, nothing, text)
      lu.assertEquals({ p.shape, nothing, text }, { { 8 }, nil, "x" })
      ran[#ran + 1] = here()
    end }:wait()
    lu.assertEquals(sorted(ran), { "0.0.2", "0.3.1", "1.2.0" })
  end)
end

function TestTargets:test_shards_are_a_list_and_all_is_everybody()
  simulate(function()
    local n = 0
    local a = torch.zeros({ 8 }, { dp = torch.DPPolicy { num_cubes = 2, num_pes = 3 } })
    local function count() n = n + 1 end
    torch.launch { name = "k", kernel = count, pes = a.shards }:wait()
    lu.assertEquals(n, 6)
    torch.launch { name = "k", kernel = count, pes = "all" }:wait()
    lu.assertEquals(n, 6 + 16)
  end)
end

function TestTargets:test_pes_with_nothing_of_a_padded_tensor_stay_out()
  simulate(function()
    -- 5 rows over 4 PEs: 2 + 2 + 1 + 0
    local a = torch.ones({ 5, 8 }, { dp = torch.DPPolicy { num_cubes = 1, pe = "row_wise", pad = true } })
    local everywhere = torch.ones({ 8 }, { dp = torch.DPPolicy { num_cubes = 1 } })
    local rows = {}
    torch.launch("k", function(p, q)
      rows[tl.program_id(0)] = p.shape[1]
      tl.store(p, tl.load(p) + tl.load(q))
    end, a, everywhere)
    lu.assertEquals(a:numpy():sum(), 5 * 8 * 2)
    lu.assertEquals(rows, { [0] = 2, 2, 1 })
  end)
end

function TestTargets:test_calls_that_make_no_sense()
  simulate(function()
    local t = torch.zeros({ 8 }, { name = "t", dp = torch.DPPolicy { num_cubes = 1, pe = "row_wise" } })
    local function refused(pattern, options)
      local ok, message = pcall(function()
        options.name, options.kernel = options.name or "k", options.kernel or print
        torch.launch(options)
      end)
      lu.assertFalse(ok)
      lu.assertStrContains(message, pattern)
    end
    refused("unknown field 'arguments'; it takes name, kernel, args, pes", { arguments = {} })
    refused("expected a name, a function", { name = 3 })
    refused("args: expected a table, got number", { args = 3 })
    refused('pes: expected "all" or a list', { pes = {} })
    refused('pes: expected "all" or a list', { pes = "one" })
    refused("pes: expected {sip =, cube =, pe =}, got 3", { pes = { 3 } })
    refused("pes: cube is nil; expected an integer from 0 to 3", { pes = { { pe = 0 } } })
    refused("pes: pe is 4; expected an integer from 0 to 3", { pes = { { cube = 0, pe = 4 } } })
    refused("pes: sip is 2; expected an integer from 0 to 1", { pes = { { sip = 2, cube = 0, pe = 0 } } })
    refused("no tensor among the arguments", {})
    refused("argument 1, tensor 't', is cut into parts and has none on cube 1, pe 0",
      { args = { t }, pes = { { cube = 1, pe = 0 } } })
  end)
end

local TestSips = {}

function TestSips:test_arguments_on_several_sips_are_one_launch_that_begins_at_once()
  local began = {}
  local _, launches = simulate(function()
    local policy = { dp = torch.DPPolicy {} }
    local a, b = on(0, np.zeros { 8 }, policy), on(1, np.zeros { 8 }, policy)
    torch.launch("before", function() tl.full({ 1000 }, 1, "f32") end, b)
    torch.launch("both", function() began[#began + 1] = ps(tl.now()) end, a, b)
  end)
  lu.assertEquals(#began, 2 * 4 * 4)
  for _, at in ipairs(began) do lu.assertEquals(at, began[1]) end
  lu.assertEquals(launches[2].sips, { 0, 1 })
  lu.assertEquals(launches[2].pes, 32)
  lu.assertEquals(ps(launches[2].start_ns), began[1])
  lu.assertTrue(launches[2].start_ns > launches[1].end_ns)
end

function TestSips:test_a_kernel_reads_and_writes_a_tensor_of_another_sip()
  simulate(function()
    local far = on(1, np.arange(64, { dtype = "f32" }), { dp = torch.DPPolicy { num_cubes = 1, pe = "row_wise" } })
    local near = torch.zeros({ 64 }, { dp = torch.DPPolicy { num_cubes = 1, pe = "row_wise" } })
    torch.launch { name = "fetch", args = { far, near }, pes = near.shards, kernel = function(f, n)
      local x = tl.load(f)
      tl.store(n, x)
      tl.store(f, x + 100)
    end }
    lu.assertEquals(near:numpy():tolist(), np.arange(64):tolist())
    lu.assertEquals(far:numpy():tolist(), (np.arange(64) + 100):tolist())
    far:free()
    lu.assertTrue(pcall(near.free, near))
  end)
end

-- Slice 0 of sip1.cube0 is what PE 0 of sip0.cube0 sees of a tensor on PE 0 of that cube. On a machine
-- with one cube and one slice per SIP, the probe's farthest slice of another SIP is that one. A load
-- takes that time, after pe_cpu's issue (2 ns) and pe_scheduler's dispatch (1 ns).
function TestSips:test_a_load_across_sips_takes_the_time_of_the_closed_form()
  local sets = { "system.sips.count=2" }
  local bytes = 16 << 10
  local cases = core.probe(helper.topology "one_pe", sets,
    { "pe_dma_cross_sip_read", bytes, "pe_dma_cross_sip_write", bytes }).cases
  simulate(function()
    local far = on(1, np.zeros({ bytes }, "u8"))
    local loaded, stored
    torch.launch { name = "k", args = { far }, pes = { { sip = 0, cube = 0, pe = 0 } }, kernel = function(p)
      local began = tl.now()
      local x = tl.load(p)
      loaded = tl.now()
      tl.store(p, x)
      stored = ps(tl.now() - loaded)
      loaded = ps(loaded - began)
    end }:wait()
    lu.assertEquals(loaded, ps(cases[1].formula_ns) + 3000)
    lu.assertEquals(stored, ps(cases[2].formula_ns) + 3000)
  end, { topology = "one_pe", sets = sets })
end

function TestSips:test_mapping_on_another_sip_is_charged_once()
  simulate(function()
    local far = on(1, np.zeros { 8 })
    local function launch()
      local began = runtime.engine:now_ns()
      torch.launch { name = "k", args = { far }, pes = { { sip = 0, cube = 0, pe = 0 } }, kernel = function() end }
      return runtime.engine:now_ns() - began
    end
    -- making a tensor on SIP 0 is the same message and its completion
    local began = runtime.engine:now_ns()
    torch.empty { 8 }
    local message = runtime.engine:now_ns() - began
    lu.assertAlmostEquals(launch(), message, 1e-6)
    lu.assertEquals(launch(), 0)
  end)
end

function TestSips:test_a_failure_on_one_sip_stops_the_other()
  simulate(function()
    local a, b = on(0, np.zeros { 8 }), on(1, np.zeros { 8 })
    local launch = torch.launch("k", function()
      if tl.program_id(2) == 1 then error "it broke" end
      for _ = 1, 1000 do tl.full({ 1000 }, 1, "f32") end
    end, a, b)
    local ok, message = pcall(launch.wait, launch)
    lu.assertFalse(ok)
    lu.assertStrContains(message, "it broke [sip1.cube0.pe0")
    lu.assertTrue(runtime.engine:now_ns() < 2000)
  end)
end

-- A pointer that one launch has handed to another, to PEs for which nobody has mapped its tensor.
function TestSips:test_an_address_that_is_not_mapped_traps_with_pe_line_and_tensor()
  simulate(function()
    local t, kept = torch.zeros({ 64 }, { name = "t" }), nil
    torch.launch("keep", function(p) kept = p + 8 end, t):wait()
    local line = debug.getinfo(1, "l").currentline + 1
    local function use() tl.load(kept, { 4 }) end
    local launch = torch.launch { name = "use", pes = { { sip = 1, cube = 2, pe = 3 } }, kernel = use }
    local _, message = pcall(launch.wait, launch)
    lu.assertStrContains(message, ("test_launch.lua:%d: sip1.cube2.pe3: the address is not mapped: "):format(line))
    lu.assertStrContains(message, "is byte 32 of 't'")
    lu.assertEquals(t[0], 0)
  end)
end

local TestUse = {}

function TestUse:test_a_tensor_that_a_launch_uses_is_not_freed_under_it()
  simulate(function()
    local t = torch.zeros({ 8 }, { name = "t" })
    local launch = torch.launch("slow", function(p) tl.store(p, tl.load(p) + 1) end, t)
    runtime.forget(launch) -- as if somebody else had submitted it
    lu.assertErrorMsgContains("Tensor:free: kernel 'slow' uses tensor 't' and has not completed", t.free, t)
    lu.assertEquals(t:numpy():sum() >= 0, true)
    launch:wait()
    t:free()
    lu.assertErrorMsgContains("tensor 't' has been freed", t.free, t)
  end)
end

function TestUse:test_workers_that_use_one_tensor_at_once_map_it_once_and_do_not_free_it_twice()
  simulate(function()
    local far, n = on(1, np.zeros({ 8 }), { name = "far" }), 0
    torch.multiprocessing.spawn(function()
      local launch = torch.launch { name = "k", args = { far }, pes = { { sip = 0, cube = 0, pe = 0 } },
        kernel = function(p) tl.load(p) end }
      launch:wait()
      n = n + 1
    end, { nprocs = 3 })
    lu.assertEquals(n, 3)
    local outcomes = {}
    torch.multiprocessing.spawn(function(rank)
      local ok, message = pcall(far.free, far)
      outcomes[rank + 1] = ok or message
      if rank == 1 then outcomes[4] = select(2, pcall(torch.launch, "k", print, far)) end
    end, { nprocs = 3 })
    lu.assertTrue(outcomes[1])
    for i = 2, 4 do lu.assertStrContains(outcomes[i], "tensor 'far' has been freed") end
  end)
end

helper.main { TestTargets = TestTargets, TestSips = TestSips, TestUse = TestUse }
