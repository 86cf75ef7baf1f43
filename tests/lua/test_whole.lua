-- ptr:whole(): tensors that are cut by rows, as one block for every PE.
local lu = require "luaunit"
local core = require "kernbench.core"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local simulate = helper.simulate
local ROWS = { cube = "row_wise", pe = "row_wise", pad = true }

local function policy(options)
  return torch.DPPolicy(options)
end

-- A kernel on one PE, which need not hold anything.
local function on(cube, pe, kernel, ...)
  torch.launch { name = "k", kernel = kernel, args = { ... }, pes = { { cube = cube, pe = pe } } }:wait()
end

local TestWhole = {}

-- 16 PEs: 1 row on one, 5 on two cubes' first PEs, 16 one each, 37 unevenly.
function TestWhole:test_loads_and_stores_reach_over_all_parts()
  simulate(function()
    for _, memory in ipairs { "hbm", "sram", "tcm" } do
      for _, rows in ipairs { 1, 2, 5, 16, 37 } do
        local a = np.arange(rows * 3, "i32"):reshape { rows, 3 }
        local x = torch.from_numpy(a, { dp = policy(ROWS), memory = memory })
        local out = torch.zeros({ rows, 3 }, { dtype = "i32", dp = policy(ROWS), memory = memory })
        on(3, 3, function(p, o)
          local whole = p:whole()
          lu.assertEquals({ whole.shape, whole.offset, whole.global_shape }, { { rows, 3 }, { 0, 0 }, { rows, 3 } })
          lu.assertEquals(whole:whole().shape, { rows, 3 })
          tl.store(o:whole(), tl.load(whole) + 1)
          if rows > 2 then -- the two columns behind, of all rows but the first
            local columns = tl.load(whole + 4, { rows - 1, 2 }, { stride = { 3, 1 } })
            tl.store(o:whole() + 4, columns * 10, { stride = { 3, 1 } })
          end
        end, x, out)
        local want = a + 1
        if rows > 2 then want[{ { 1, rows }, { 1, 3 } }] = a[{ { 1, rows }, { 1, 3 } }] * 10 end
        lu.assertEquals(out:numpy():tolist(), want:tolist())
      end
    end
  end)
end

function TestWhole:test_bounds_are_those_of_the_tensor()
  simulate(function()
    local x = torch.ones({ 37 }, { dtype = "f64", dp = policy(ROWS) })
    on(1, 1, function(p)
      lu.assertErrorMsgContains("reaches to element 38, outside of tensor 'tensor0', which has 37 elements here",
        tl.load, p:whole() + 30, { 8 })
      lu.assertErrorMsgContains("lane (3,) leads to element 37", tl.load, p:whole() + (tl.arange(0, 4) + 34))
      lu.assertEquals(p:whole():part(0, 1).shape, { 3 })
      lu.assertErrorMsgContains("leads to all of tensor 'tensor0'; expected one to a part", tl.put, 0,
        p:whole(), tl.full({ 1 }, 1, "f64"))
    end, x)
  end)
end

function TestWhole:test_a_tensor_in_one_piece_is_whole()
  simulate(function()
    local one, copies = torch.full({ 4 }, 3), torch.full({ 4 }, 5, { dp = policy {} })
    on(2, 1, function(p, q)
      lu.assertEquals(tl.load(p:whole()):item(3) + tl.load(q:whole() + 1, { 3 }):item(2), 8)
    end, one, copies)
  end)
end

function TestWhole:test_other_cuts_are_refused()
  simulate(function()
    for _, cut in ipairs { { pe = "column_wise" }, { cube = "column_wise", pe = "row_wise" },
      { cube = "tiled_2d", pe = "row_wise" } } do
      torch.launch("k", function(p)
        lu.assertErrorMsgContains("one after another, are not the tensor; cut it by rows alone", p.whole, p)
      end, torch.ones({ 16, 16 }, { dp = policy(cut), name = "t" })):wait()
    end
    torch.launch("k", function(p) -- columns of a single row are in order
      lu.assertEquals(tl.sum(tl.load(p:whole())):item(), 64)
    end, torch.ones({ 1, 64 }, { dp = policy { cube = "column_wise", pe = "column_wise" } }))
  end)
end

-- Each cube has a copy, which its PEs share out, and reads that one.
function TestWhole:test_of_copies_cut_within_cubes_each_cube_reads_its_own()
  simulate(function()
    local x = torch.zeros({ 7 }, { dtype = "i32", dp = policy { cube = "replicate", pe = "row_wise", pad = true } })
    torch.launch("fill", function(p)
      tl.store(p, tl.full(p.shape, tl.program_id(1) + 1, "i32"))
    end, x)
    local looked = 0
    torch.launch { name = "look", args = { x }, pes = "all", kernel = function(p)
      lu.assertEquals(tl.values(tl.load(p:whole())):tolist(), np.full({ 7 }, tl.program_id(1) + 1, "i32"):tolist())
      looked = looked + 1
    end }:wait()
    lu.assertEquals(looked, 16)
  end)
end

function TestWhole:test_a_pe_without_rows_gets_a_pointer_to_nothing()
  simulate(function()
    local x = torch.ones({ 2, 5 }, { dp = policy(ROWS) }) -- on the first PEs of cubes 0 and 1
    on(3, 2, function(p)
      lu.assertEquals({ p.shape, p.offset }, { { 0, 5 }, { 2, 0 } })
      for _, call in ipairs { function() tl.load(p) end, function() tl.ref(p) end, function() tl.load(p, { 1 }) end,
        function() tl.load(p, { mask = true }) end, function() tl.composite { op = "gemm", a = p, b = p } end,
        function() tl.store(p, tl.full({ 1 }, 0, "f32")) end, function() tl.load(p, { mask = false }) end } do
        lu.assertFalse((pcall(call)))
      end
      lu.assertErrorMsgContains("tl.load: this PE has no part of tensor", tl.load, p)
      lu.assertErrorMsgContains("which has 0 elements here", tl.load, p, { 1, 5 })
      lu.assertEquals(tl.sum(tl.load(p:whole())):item(), 10)
    end, x)
  end)
end

-- ---- operations other than loads and stores ----

local TestOperations = {}

function TestOperations:test_products_read_and_write_over_parts()
  local random = np.random(7)
  for _, size in ipairs { { 5, 7, 3 }, { 37, 65, 33 }, { 40, 64, 70 } } do
    local m, k, n = table.unpack(size)
    local a, b, c = random:randn({ m, k }, "f32"), random:randn({ k, n }, "f32"), random:randn({ m, n }, "f32")
    simulate(function()
      local function rows(array) return torch.from_numpy(array, { dp = policy(ROWS) }) end
      local out = torch.zeros({ m, n }, { dp = policy(ROWS) })
      on(1, 2, function(x, w, r, o)
        tl.wait(tl.composite { op = "gemm", a = tl.ref(x:whole()), b = tl.ref(w:whole()), out = o:whole(),
          epilogue = { { "residual", tl.ref(r:whole()) } } })
      end, rows(a), rows(b), rows(c), out)
      lu.assertTrue(np.allclose(out:numpy(), np.matmul(a, b) + c, { rtol = 1e-4, atol = 1e-4 }))
    end)
  end
end

-- Blocks that begin in one part and end in another one, ragged ones at the end of the tensor.
function TestOperations:test_descriptors_and_gathers_reach_over_parts()
  local a = np.arange(37 * 5, "i32"):reshape { 37, 5 }
  simulate(function()
    local x = torch.from_numpy(a, { dp = policy(ROWS) })
    on(0, 3, function(p)
      local desc = tl.make_tensor_descriptor(p:whole(), { 37, 5 }, nil, { 8, 4 })
      lu.assertEquals(tl.values(desc:load { 3, 1 }):tolist(), a[{ { 3, 11 }, { 1, 5 } }]:tolist())
      local block = tl.load(p:whole() + (184 - tl.arange(0, 64) * 2)) -- every second one from the end
      local want = {}
      for i = 0, 63 do want[i + 1] = 184 - 2 * i end
      lu.assertEquals(tl.values(block):tolist(), want)
      desc:store({ 33, 3 }, tl.full({ 8, 4 }, -1, "i32"))
    end, x)
    a[{ { 33, 37 }, { 3, 5 } }] = -1
    lu.assertEquals(x:numpy():tolist(), a:tolist())
  end)
end

-- Every PE adds its number to every element: a sum that no order of additions changes.
function TestOperations:test_atomics_of_all_pes_add_up()
  simulate(function()
    local x = torch.zeros({ 19 }, { dtype = "i64", dp = policy(ROWS) })
    torch.launch { name = "add", args = { x }, pes = "all", kernel = function(p)
      tl.atomic_add(p:whole(), tl.full({ 19 }, tl.program_id(1) * 4 + tl.program_id(0), "i64"))
    end }
    lu.assertEquals(x:numpy():tolist(), np.full({ 19 }, 15 * 16 // 2, "i64"):tolist())
  end)
end

-- ---- time ----

local TestTime = {}

local function ps(ns)
  return math.floor(ns * 1000 + 0.5)
end

-- The closed form of a transfer of PE 0 of cube 0 from or to its own slice and that of PE `pe`, in ps.
local function forms(bytes, pe)
  local runs, of = {}, {}
  for _, name in ipairs { "local", "same_half", "cross_half" } do
    table.move({ "pe_dma_" .. name .. "_read", bytes, "pe_dma_" .. name .. "_write", bytes }, 1, 4, #runs + 1, runs)
  end
  for _, case in ipairs(core.probe(helper.topology "small", {}, runs).cases) do
    local way = case.name:find "read" and "read" or "write"
    local memory = way == "write" and case.route[#case.route].node or case.route[1].node
    if case.name:find "local" then
      of["own_" .. way] = ps(case.formula_ns)
    elseif memory:find("slice" .. pe, 1, true) then
      of["other_" .. way] = ps(case.formula_ns)
    end
  end
  return of
end

-- The halves of two rows, which are next to each other: two transactions, one after the other, behind the
-- 2 ns of pe_cpu and the 1 ns of pe_scheduler.
function TestTime:test_a_block_over_two_slices_is_two_transactions()
  local half = 8 << 10
  local f = forms(half, 1)
  simulate(function()
    local x = torch.empty({ 16, 2 * half }, { dtype = "u8", dp = policy(ROWS) })
    on(0, 0, function(p)
      local block, began = p:whole() + half, tl.now()
      local tile = tl.load(block, { 2 * half })
      lu.assertEquals(ps(tl.now() - began), 3000 + f.own_read + f.other_read)
      began = tl.now()
      tl.store(block, tile)
      lu.assertEquals(ps(tl.now() - began), 3000 + f.own_write + f.other_write)
    end, x)
  end)
end

-- 16 parts of 64 B lie in one page of 4096 B.
function TestTime:test_parts_in_one_page_are_one_entry_of_the_tlb()
  local function took(miss)
    local time
    simulate(function()
      local x = torch.empty({ 16, 64 }, { dtype = "u8", dp = policy(ROWS) })
      on(0, 0, function(p)
        local began = tl.now()
        tl.load(p:whole())
        time = ps(tl.now() - began)
      end, x)
    end, { sets = { "pe.pe_mmu.tlb_entries=4", "pe.pe_mmu.miss_ns=" .. miss } })
    return time
  end
  lu.assertEquals(took(70) - took(0), 70000)
end

helper.main { TestWhole = TestWhole, TestOperations = TestOperations, TestTime = TestTime }
