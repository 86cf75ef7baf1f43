-- How long collectives take, against closed forms that are made of the parameters of links and engines alone
-- (docs/latency-model.md): ranks are PE 0 of as many SIPs around a switch, so that every rank reaches every other
-- over links that nobody else uses.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local ccl = require "kernbench.ccl"
local runtime = require "kernbench.runtime"
local steps = require "kernbench.ccl.steps"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

local simulate = helper.simulate

-- ---- one message, from the parameters ----

-- From the pe_dma of one SIP's PE 0 to the TCM of another's, ns and GB/s: a router, UCIe out of the cube and into the
-- IO chiplet, its NOC, the PCIe endpoint, the switch, and the same back. Eight links of 256 GB/s, four of 128: UCIe
-- and PCIe, each twice.
local FLIT, WIDE, NARROW, SLOT_PORTS = 256, 256, 128, 512
local OVERHEADS = { 8, 8, 5, 5, 5, 8, 8 } -- UCIe twice, endpoint, switch, endpoint, UCIe twice
local WIRES = 8 * 0.02 + 2 * 2 -- eight short ones, two cables; as far as they are not 0
local COMMAND = 2 + 1 + 1 -- of a send or receive: pe_cpu, pe_scheduler, pe_ipcq
local COMPUTE = 2 + 1 -- of an operation of pe_math

local function sum(list, last)
  local total = 0
  for i = 1, last or #list do total = total + list[i] end
  return total
end

-- From pe_dma until the last byte is in the slot. The first flit pays all overheads; those that follow queue at the
-- narrow links, the last of which lies before the last overhead, or catch up with the first.
local function write(bytes)
  local flit, after = math.min(bytes, FLIT), math.ceil(bytes / FLIT) - 1
  assert(bytes % flit == 0)
  local queued = math.max(sum(OVERHEADS) + after * flit / WIDE, sum(OVERHEADS, 6) + after * flit / NARROW)
  return WIRES + 8 * flit / WIDE + 4 * flit / NARROW + queued + flit / SLOT_PORTS
end

-- Then until the acknowledgement is back: pe_dma has one write under way at a time.
local function acknowledged(bytes) return write(bytes) + WIRES + sum(OVERHEADS) end

-- Out of the slot, through both ports of TCM.
local function copy(bytes) return 2 * bytes / SLOT_PORTS end

-- One reduction: 64 lanes of four bytes at 1 GHz.
local function reduction(bytes) return COMPUTE + bytes / 256 end

-- Rounds in which everybody sends and receives so many bytes: each write begins when the one before it is
-- acknowledged. What a rank does with what has come, up to its next send, is done by then (checked here).
local function rounds(list, work)
  local total = COMMAND
  for i = 1, #list - 1 do
    assert(copy(list[i]) + (work or reduction)(list[i]) + COMMAND <= WIRES + sum(OVERHEADS))
    total = total + acknowledged(list[i])
  end
  return total + write(list[#list]) + copy(list[#list])
end

-- ---- the collective, without loads and stores ----

-- In ns, of an algorithm's kernel on `world` SIPs: from when the PEs have made their values, instead of loading
-- them, until each has all results, which are not stored. By rank.
local function times_of(algorithm, world, bytes, options, sets)
  local from, took, kept = {}, {}, {}
  for _, name in ipairs { "fetch", "load", "store", "store_joined" } do kept[name] = steps[name] end
  local function made(_, cuts)
    local tiles = {}
    for i, cut in ipairs(cuts) do tiles[i] = tl.zeros(cut.shape, "f32") end
    from[tl.program_id(2)] = tl.now()
    return tiles
  end
  local function nothing() end
  local ok, raised = pcall(simulate, function()
    local given = { algorithm = algorithm, op = "max", shards = { { cube = 0, pe = 0 } } }
    for key, value in pairs(options or {}) do given[key] = value end
    local reduce = ccl.prepare("all_reduce", given)
    ccl.install(reduce)
    steps.fetch, steps.load, steps.store, steps.store_joined = made, made, nothing, nothing
    local x = {}
    for sip = 0, world - 1 do
      torch.ahbm.set_device(sip)
      x[sip] = torch.empty { bytes // 4 }
    end
    for sip = 0, world - 1 do -- all at once
      torch.launch(algorithm, function(ptr)
        reduce.kernel(ptr)
        took[sip] = tl.now() - from[sip]
      end, x[sip])
    end
    torch.accelerator.synchronize()
  end, { sets = table.move(sets or {}, 1, #(sets or {}), 2, { "system.sips.count=" .. world }) })
  for name, fn in pairs(kept) do steps[name] = fn end
  lu.assertTrue(ok, raised)
  return took
end

-- The machine is symmetric: all take equally long.
local function time_of(algorithm, world, bytes, options)
  local took = times_of(algorithm, world, bytes, options)
  for rank = 1, world - 1 do lu.assertAlmostEquals(took[rank], took[0], 1e-6) end
  return took[0]
end

local function repeated(count, value)
  local list = {}
  for i = 1, count do list[i] = value end
  return list
end

-- ---- closed forms ----

local TestTimes = {}

-- 2 (N - 1) (alpha + S / (N beta))
function TestTimes:test_the_chunked_ring_takes_2_n_minus_1_rounds_of_an_nth()
  for world = 2, 5 do
    for _, chunk in ipairs { 256, 1024, 4096 } do
      lu.assertAlmostEquals(time_of("ring_chunked", world, world * chunk), rounds(repeated(2 * (world - 1), chunk)),
        1e-6, world .. " SIPs, " .. chunk .. " B")
    end
  end
end

-- (N - 1) (alpha + S / beta); the last reduction follows the last round.
function TestTimes:test_the_unchunked_ring_takes_n_minus_1_rounds_of_everything()
  for world = 2, 5 do
    for _, bytes in ipairs { 256, 1024, 4096 } do
      lu.assertAlmostEquals(time_of("ring", world, bytes), rounds(repeated(world - 1, bytes)) + reduction(bytes), 1e-6,
        world .. " SIPs, " .. bytes .. " B")
    end
  end
end

-- 2 log2 N alpha + 2 (N - 1) / N S / beta: halves, quarters, ..., and back. A rank also cuts its tile in two, or joins
-- two, on pe_math: before the first round and after the last this adds to the time.
function TestTimes:test_halving_doubling_takes_2_log2_n_rounds_of_halves()
  for k = 1, 3 do
    local world = 1 << k
    for _, chunk in ipairs { 256, 512 } do
      local list = {}
      for i = 1, k do
        list[i] = chunk << (k - i)
        list[2 * k + 1 - i] = list[i]
      end
      local between = rounds(list, function(bytes) return reduction(bytes) + COMPUTE + 2 * bytes / 256 end)
      local cut_or_joined = COMPUTE + world * chunk / 256
      lu.assertAlmostEquals(time_of("halving_doubling", world, world * chunk), cut_or_joined + between + cut_or_joined,
        1e-6, world .. " SIPs, parts of " .. chunk .. " B")
    end
  end
end

-- Reduce-scatter along X and Y, all-gather along Y and X: S / X in X - 1 rounds, S / (X Y) in Y - 1, twice.
function TestTimes:test_a_torus_sends_an_xth_along_y()
  for _, grid in ipairs { { w = 3, h = 2 }, { w = 2, h = 2 }, { w = 2, h = 3 } } do
    local world, chunk, list = grid.w * grid.h, 256, {}
    local function add(count, bytes)
      for _ = 1, count do list[#list + 1] = bytes end
    end
    add(grid.w - 1, grid.h * chunk)
    add(2 * (grid.h - 1), chunk)
    add(grid.w - 1, grid.h * chunk)
    lu.assertAlmostEquals(time_of("torus", world, world * chunk, { grid = grid }), rounds(list), 1e-6,
      grid.w .. " x " .. grid.h)
  end
end

-- 2 log2 N alpha + 2 S / beta + O(sqrt(S alpha log2 N / beta)). A SIP has one link to the switch, which its two
-- children share: beta is half of it. The last term is what pieces cost: each level passes a piece on when it has
-- all of it. pe_dma may have several writes under way, or every slot would cost a round trip.
function TestTimes:test_a_pipelined_tree_takes_twice_its_depth_and_twice_the_bytes()
  local SLOT <const>, N_SLOTS <const>, SHARED <const> = 4096, 4, NARROW / 2
  local piece = N_SLOTS // 2 * SLOT -- two pieces fit a ring
  for _, world in ipairs { 4, 8 } do
    for _, bytes in ipairs { 1 << 17, 1 << 18 } do
      local depth = math.log(world, 2)
      local up = COMMAND + write(piece) + copy(piece) + reduction(piece)
      local down = COMMAND + write(piece) + copy(piece)
      local want = depth * (up + down) + 2 * (bytes - piece) / SHARED
      local took = 0
      for _, time in pairs(times_of("tree", world, bytes, { n_slots = N_SLOTS, slot_size = SLOT },
        { "pe.pe_dma.outstanding=8" })) do took = math.max(took, time) end
      lu.assertTrue(math.abs(took - want) <= 0.1 * want, ("%d SIPs, %d B: %f, not %f"):format(world, bytes, took, want))
      lu.assertTrue(took >= 2 * bytes / SHARED) -- what the links take at least
    end
  end
end

function TestTimes:test_no_collective_is_faster_than_its_busiest_link()
  -- Each SIP sends over one link of 128 GB/s to the switch: B bytes take at least B / 128 ns.
  -- What the busiest SIP sends, in S:
  local sent = { ring = 3, ring_chunked = 2 * 3 / 4, tree = 2, halving_doubling = 2 * 3 / 4 }
  for name, share in pairs(sent) do
    simulate(function()
      local n = 16384
      local reduce = ccl.prepare("all_reduce", { algorithm = name, shards = { { cube = 0, pe = 0 } } })
      ccl.install(reduce)
      for sip = 0, 3 do
        torch.ahbm.set_device(sip)
        torch.launch(name, reduce.kernel, torch.empty({ n }))
      end
      torch.accelerator.synchronize()
      for _, launch in ipairs(runtime.engine:launches()) do
        lu.assertTrue(launch.end_ns - launch.start_ns >= share * 4 * n / 128, name)
      end
    end, { sets = { "system.sips.count=4" } })
  end
end

helper.main { TestTimes = TestTimes }
