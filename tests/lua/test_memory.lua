-- Tensors in SRAM and TCM, tensors larger than any host, and memory given back.
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

-- The closed forms of probe cases on a machine, in ps.
local function formulas(bytes, names, topology, sets)
  local runs = {}
  for _, name in ipairs(names) do table.move({ name, bytes }, 1, 2, #runs + 1, runs) end
  local of = {}
  for _, case in ipairs(core.probe(helper.topology(topology or "small"), sets or {}, runs).cases) do
    of[case.name] = ps(case.formula_ns)
    local memory = case.name:find "write" and case.route[#case.route].node or case.route[1].node
    of[case.name .. "_sip"], of[case.name .. "_cube"] = memory:match "^sip(%d+)%.cube(%d+)"
    of[case.name .. "_pe"] = memory:match "%.pe(%d+)%."
  end
  return of
end

-- Times, in ps, that PE 0 of cube 0 of SIP 0 needs to load and to store what the function gives it of the
-- tensor, without pe_cpu's issue (2 ns) and pe_scheduler's dispatch (1 ns).
local function times_of(t, part)
  local loaded, stored
  torch.launch { name = "k", args = { t }, pes = { { sip = 0, cube = 0, pe = 0 } }, kernel = function(p)
    p = part and part(p) or p
    local began = tl.now()
    local x = tl.load(p)
    loaded = ps(tl.now() - began) - 3000
    began = tl.now()
    tl.store(p, x)
    stored = ps(tl.now() - began) - 3000
  end }:wait()
  return loaded, stored
end

local BYTES = 16 << 10
local EVERYWHERE = { cube = "row_wise", pe = "row_wise" }

local TestKinds = {}

function TestKinds:test_every_kind_of_memory_holds_what_is_written()
  simulate(function()
    for _, memory in ipairs { "hbm", "sram", "tcm" } do
      for _, options in ipairs { {}, EVERYWHERE, { cube = "column_wise" }, { num_cubes = 1, num_pes = 1 } } do
        local a = np.arange(16 * 16, { dtype = "f32" }):reshape { 16, 16 }
        local t <close> = torch.from_numpy(a, { memory = memory, dp = torch.DPPolicy(options) })
        lu.assertEquals(t.memory, memory)
        torch.launch("twice", function(p)
          if memory ~= "sram" or tl.program_id(0) == 0 or options.pe then tl.store(p, tl.load(p) * 2) end
        end, t)
        t[{ { 3, 7 }, 5 }] = -1
        a = a * 2
        a[{ { 3, 7 }, 5 }] = -1
        lu.assertEquals(t:numpy():tolist(), a:tolist())
      end
    end
  end)
end

function TestKinds:test_pes_of_a_cube_share_a_copy_in_sram()
  local stats = simulate(function()
    local t = torch.ones({ 64 }, { memory = "sram", dp = torch.DPPolicy {} })
    local seen = {}
    torch.launch("k", function(p)
      local pe = tl.program_id(0)
      if pe == 1 then tl.store(p, tl.full({ 64 }, 5, "f32")) end
      if pe == 2 then
        tl.full({ 100000 }, 0, "f32") -- long after that
        seen[tl.program_id(1) + 1] = tl.sum(tl.load(p)):item()
      end
    end, t)
    t:numpy()
    lu.assertEquals(seen, { 320, 320, 320, 320 })
  end)
  lu.assertEquals(stats.bytes_to_device, 4 * 64 * 4)
end

function TestKinds:test_sram_takes_the_time_of_the_closed_form()
  local f = formulas(BYTES, { "pe_dma_sram_read", "pe_dma_sram_write", "pe_dma_sram_cross_cube_read",
    "pe_dma_sram_cross_cube_write", "pe_dma_sram_cross_sip_read", "pe_dma_sram_cross_sip_write", "h2d_sram_write" })
  local far = tonumber(f.pe_dma_sram_cross_cube_read_cube)
  local over = tonumber(f.pe_dma_sram_cross_sip_read_cube)
  simulate(function()
    local options = { dtype = "u8", memory = "sram", dp = torch.DPPolicy { cube = "row_wise" } }
    local t = torch.empty({ 4, BYTES }, options)
    lu.assertEquals({ times_of(t) }, { f.pe_dma_sram_read, f.pe_dma_sram_write })
    lu.assertEquals({ times_of(t, function(p) return p:part(far, 0) end) },
      { f.pe_dma_sram_cross_cube_read, f.pe_dma_sram_cross_cube_write })
    torch.ahbm.set_device(1)
    local there = torch.empty({ 4, BYTES }, options)
    lu.assertEquals({ times_of(there, function(p) return p:part(over, 0) end) },
      { f.pe_dma_sram_cross_sip_read, f.pe_dma_sram_cross_sip_write })
    local began = ps(runtime.engine:now_ns())
    t[0] = 1
    lu.assertEquals(ps(runtime.engine:now_ns()) - began, f.h2d_sram_write)
  end)
end

function TestKinds:test_tcm_of_other_pes_takes_the_time_of_the_closed_form()
  local cases = { "pe_dma_tcm_same_cube", "pe_dma_tcm_cross_cube", "pe_dma_tcm_cross_sip" }
  local names = {}
  for _, name in ipairs(cases) do
    names[#names + 1], names[#names + 2] = name .. "_read", name .. "_write"
  end
  local f = formulas(BYTES, names)
  simulate(function()
    for _, name in ipairs(cases) do
      local function at(field) return tonumber(f[name .. "_read_" .. field]) end
      torch.ahbm.set_device(at "sip")
      local t = torch.empty({ 16, BYTES }, { dtype = "u8", memory = "tcm", dp = torch.DPPolicy(EVERYWHERE) })
      lu.assertEquals({ times_of(t, function(p) return p:part(at "cube", at "pe") end) },
        { f[name .. "_read"], f[name .. "_write"] })
    end
  end)
end

-- 12 MiB of a PE's TCM are for kernels.
function TestKinds:test_tensors_and_tiles_share_the_tcm_of_kernels()
  local message
  simulate(function()
    local t <close> = torch.zeros({ 10 << 20 }, { dtype = "u8", memory = "tcm", name = "t" })
    lu.assertErrorMsgContains("tensor 'u': TCM: sip0.cube0.pe0: cannot allocate 3145728 bytes", torch.empty,
      { 3 << 20 }, { dtype = "u8", memory = "tcm", name = "u" })
    local launch = torch.launch("k", function(p)
      tl.full({ 2 << 20 }, 1, "u8")
      local ok
      ok, message = pcall(tl.load, p, { 3 << 20 })
      lu.assertFalse(ok)
    end, t)
    launch:wait()
  end)
  lu.assertStrContains(message, "out of TCM")
end

function TestKinds:test_a_full_sram_says_so()
  simulate(function()
    lu.assertErrorMsgContains("tensor 'u': sip0.cube0.sram: cannot allocate 33554433 bytes", torch.empty,
      { (32 << 20) + 1 }, { dtype = "u8", memory = "sram", name = "u" })
    lu.assertErrorMsgContains("torch.empty: memory 'dram' does not exist; there are hbm, sram and tcm", torch.empty,
      { 4 }, { memory = "dram" })
  end, { data = false })
end

-- ---- sizes ----

-- Kilobytes of the process that are or were in memory.
local function kilobytes(field)
  for line in io.lines "/proc/self/status" do
    local value = line:match("^" .. field .. ":%s*(%d+) kB")
    if value then return tonumber(value) end
  end
end

local TestSizes = {}

-- 2^19 x 2^19 elements of 4 B are 1 TiB: 8 GiB for each of 128 PEs, whose slices have 12 GiB here.
function TestSizes:test_a_terabyte_is_timed_without_numbers_or_memory()
  local sets = { "cube.memory_map.hbm_total_gb_per_cube=96", "address.va_gb=2048" }
  local f = formulas(BYTES, { "pe_dma_local_read", "pe_dma_local_write", "h2d_write" }, "default", sets)
  collectgarbage()
  local before = kilobytes "VmHWM"
  local stats = simulate(function()
    local t = torch.empty({ 1 << 19, 1 << 19 }, { dp = torch.DPPolicy(EVERYWHERE), name = "t" })
    lu.assertEquals(t:local_shape(), { 1 << 12, 1 << 19 })
    local times, n = {}, 0
    torch.launch("touch", function(p)
      local began = tl.now()
      local x = tl.load(p, { BYTES // 4 })
      times[tl.program_id(1) .. "." .. tl.program_id(0)], n = ps(tl.now() - began) - 3000, n + 1
      tl.store(p + ((1 << 31) - BYTES // 4), x) -- the last bytes of the part
    end, t):wait()
    lu.assertEquals(n, 128)
    lu.assertEquals(times["0.0"], f.pe_dma_local_read)
    local began = ps(runtime.engine:now_ns())
    t[{ 0, { 0, BYTES // 4 } }] = 1
    lu.assertEquals(ps(runtime.engine:now_ns()) - began, f.h2d_write)
    lu.assertErrorMsgContains("tensor 't' has no contents", function() return t[{ 0, 0 }] end)
  end, { topology = "default", sets = sets, data = false })
  lu.assertEquals(stats.memory.hbm.written, 128 * BYTES + BYTES)
  lu.assertTrue(kilobytes "VmHWM" - before < 100 << 10)
end

-- Twice over 1 GiB of contents on the host would show.
function TestSizes:test_a_long_loop_of_tensors_does_not_grow()
  lu.skipIf(os.getenv "KB_VALGRIND", "valgrind's calloc touches every page")
  simulate(function()
    local began
    for i = 1, 1500 do
      local t = torch.empty({ 1 << 20 }, { dtype = "u8" })
      if i % 100 == 0 then t[{ { 0, 1 << 20, 4096 } }] = 1 end -- touches every page
      if i == 300 then began = kilobytes "VmRSS" end
    end
    lu.assertTrue(kilobytes "VmRSS" - began < 300 << 10)
  end)
end

function TestSizes:test_many_small_tensors_leave_the_memories_as_they_were()
  simulate(function()
    for _ = 1, 300 do torch.zeros({ 8, 8 }, { dp = torch.DPPolicy { pe = "row_wise" } }) end
    collectgarbage()
    -- a slice has 1 GiB
    torch.empty({ 4 << 30 }, { dtype = "u8", dp = torch.DPPolicy { num_cubes = 1, pe = "row_wise" } })
  end, { data = false })
end

helper.main { TestKinds = TestKinds, TestSizes = TestSizes }
