-- ccl.yaml, install plans, and the choice of algorithms.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local algorithms = require "kernbench.ccl.algorithms"
local ccl = require "kernbench.ccl"
local choose = require "kernbench.ccl.choose"
local config = require "kernbench.ccl.config"
local plan = require "kernbench.ccl.plan"
local runtime = require "kernbench.runtime"
local topologies = require "kernbench.ccl.topologies"

-- A file with these contents, for as long as fn(path) runs.
local function with_file(text, fn)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  local ok, message = pcall(fn, path)
  os.remove(path)
  if not ok then error(message, 0) end
end

-- The message that a file is refused with, without its name.
local function refusal(text)
  local message
  with_file(text, function(path)
    local ok, raised = pcall(config.load, path)
    message = ok and "accepted" or raised:gsub("^" .. path:gsub("%p", "%%%0"), "F")
  end)
  return message
end

local TestConfig = {}

function TestConfig:test_an_algorithms_entry_overrides_the_defaults()
  with_file("defaults:\n  algorithm: ring\n  n_slots: 2\n  buffer_kind: hbm\nalgorithms:\n  tree:\n    n_slots: 8\n"
    .. "    world_size: 4\n", function(path)
    local c = config.load(path)
    lu.assertEquals(c:settings(), { algorithm = "ring", n_slots = 2, buffer_kind = "hbm", backpressure = "sleep",
      slot_size = 4096, credit_bytes = 16, vc_chunk = 0 })
    lu.assertEquals(c:settings("tree").n_slots, 8)
    lu.assertEquals(c:settings("tree").world_size, 4)
    lu.assertEquals(c:settings("mesh").n_slots, 2)
  end)
end

function TestConfig:test_the_programs_own_file_holds_the_defaults()
  lu.assertEquals(config.load():settings(), { algorithm = "auto", n_slots = 4, buffer_kind = "tcm",
    backpressure = "sleep", slot_size = 4096, credit_bytes = 16, vc_chunk = 0 })
end

function TestConfig:test_what_is_wrong_is_named_with_its_place()
  lu.assertEquals(refusal("defaults:\n  n_slot: 4\n"),
    "F:2:3: unknown key \"n_slot\" in defaults; did you mean \"n_slots\"?")
  lu.assertEquals(refusal("defaults:\n  buffer_kind: tmc\n"),
    "F:2:16: defaults.buffer_kind: expected tcm, hbm or sram, got \"tmc\"; did you mean \"tcm\"?")
  lu.assertEquals(refusal("defaults:\n  n_slots: 0\n"),
    "F:2:12: defaults.n_slots: expected an integer from 1 to 65536, got \"0\"")
  lu.assertEquals(refusal("algorithms:\n  ring:\n    - 4\n"),
    "F:3:5: algorithms.ring holds a sequence; expected keys with values")
  lu.assertEquals(refusal("default:\n"), "F:1:1: unknown key \"default\"; did you mean \"defaults\"?")
  lu.assertEquals(refusal("defaults: 3\n"), "F:1:11: defaults holds a single value; expected keys with values")
  lu.assertEquals(refusal("defaults:\n  n_slots: [1]\n"),
    "F:2:12: defaults.n_slots: expected an integer from 1 to 65536, got a sequence")
  lu.assertEquals(refusal("defaults:\n  slot_size: 100\n"),
    "F:2:14: defaults.slot_size: expected a multiple of 16 up to 16777216, got \"100\"")
  lu.assertEquals(refusal("defaults:\n  vc_chunk: 8\n"),
    "F:2:13: defaults.vc_chunk: expected 0 or a multiple of 16 up to 16777216, got \"8\"")
  lu.assertStrContains(refusal("defaults: {\n"), "F:2:1: ")
  lu.assertEquals(refusal("defaults:\nalgorithms:\n"), "accepted")
  lu.assertErrorMsgContains("nowhere/ccl.yaml: cannot open", config.load, "nowhere/ccl.yaml")
end

local TestPlans = {}
local MACHINE = { sips = 2, cubes = 4, pes = 4, mesh_w = 2, mesh_h = 2, sip_grid = "ring_1d", sip_w = 2, sip_h = 1 }
local SETTINGS = { buffer_kind = "tcm", n_slots = 4, slot_size = 256, backpressure = "sleep", credit_bytes = 16,
  vc_chunk = 0 }

local function make(name, options)
  return plan.make(algorithms.load(name), SETTINGS, options, MACHINE)
end

local function directions(entry)
  local words = {}
  for i, to in ipairs(entry.directions) do
    words[i] = ("%s %d.%d.%d %s"):format(to.name, to.peer[1], to.peer[2], to.peer[3], to.peer_direction)
  end
  return table.concat(words, ", ")
end

function TestPlans:test_ranks_fill_cubes_and_then_sips()
  local p = make("ring", { ranks = "pe", world_size = 18 })
  lu.assertEquals(#p.pes, 18)
  local last = p.pes[18]
  lu.assertEquals({ last.rank, last.sip, last.cube, last.pe }, { 17, 1, 0, 1 })
  lu.assertEquals(directions(last), "E 0.0.0 W, W 1.0.0 E")
  -- two cubes of each SIP hold 8 ranks: the ninth is on the next SIP
  local few = make("ring", { ranks = "pe", world_size = 9, num_cubes = 2 })
  lu.assertEquals({ few.pes[9].sip, few.pes[9].cube, few.pes[9].pe }, { 1, 0, 0 })
end

function TestPlans:test_ranks_that_are_cubes_use_their_first_pe_and_the_cubes_mesh()
  local p = make("mesh", { ranks = "cube", world_size = 4 })
  lu.assertEquals(directions(p.pes[1]), "E 0.1.0 W, S 0.2.0 N")
  lu.assertEquals(directions(p.pes[4]), "W 0.2.0 E, N 0.1.0 S")
end

function TestPlans:test_ranks_that_are_sips_connect_pes_of_the_same_number()
  local p = make("ring", { ranks = "sip", shards = { { cube = 1, pe = 3 }, { cube = 0, pe = 2 } } })
  lu.assertEquals(#p.pes, 4)
  lu.assertEquals({ p.pes[4].rank, p.pes[4].sip, p.pes[4].cube, p.pes[4].pe }, { 1, 1, 1, 3 })
  lu.assertEquals(directions(p.pes[4]), "global_E 0.1.3 global_W, global_W 0.1.3 global_E")
  lu.assertEquals(#make("ring", { ranks = "sip", num_cubes = 3 }).pes, 2 * 3 * 4)
end

function TestPlans:test_three_levels()
  local p = make("hierarchical", { ranks = "pe" })
  lu.assertEquals(directions(p.pes[1]), "E 0.0.1 W, W 0.0.3 E, S 0.1.0 N, N 0.3.0 S, child0 1.0.0 parent")
  lu.assertEquals(directions(p.pes[2]), "E 0.0.2 W, W 0.0.0 E")
  lu.assertEquals(directions(p.pes[17]), "E 1.0.1 W, W 1.0.3 E, S 1.1.0 N, N 1.3.0 S, parent 0.0.0 child0")
end

function TestPlans:test_ranks_go_where_they_are_put()
  local p = make("ring", { ranks = "pe", world_size = 2, rank_to_pe = { { 1, 3, 3 }, { 0, 2, 1 } } })
  lu.assertEquals(directions(p.pes[1]), "E 0.2.1 W, W 0.2.1 E")
  lu.assertErrorMsgContains("ranks 0 and 1 are both on sip0.cube0.pe0", make, "ring",
    { ranks = "pe", world_size = 2, rank_to_pe = function() return 0, 0, 0 end })
  lu.assertErrorMsgContains("rank 1 is on cube 4; there are 4, from 0", make, "ring",
    { ranks = "pe", world_size = 2, rank_to_pe = { { 0, 0, 0 }, { 0, 4, 0 } } })
  lu.assertErrorMsgContains("rank_to_pe gives no {sip, cube, pe} for rank 1", make, "ring",
    { ranks = "pe", world_size = 2, rank_to_pe = { { 0, 0, 0 } } })
end

function TestPlans:test_impossible_plans_are_refused()
  lu.assertErrorMsgContains("world_size is 33; expected 1 to 32, the PEs there are", make, "ring",
    { ranks = "pe", world_size = 33 })
  lu.assertErrorMsgContains("ranks is core; expected \"pe\", \"cube\" or \"sip\"", make, "ring", { ranks = "core" })
  local broken = make("ring", { ranks = "pe", world_size = 3 })
  broken.pes[1].directions[1].peer_direction = "E"
  lu.assertErrorMsgContains("direction E of sip0.cube0.pe0 leads to E of sip0.cube0.pe1, which does not lead back",
    plan.check, broken, MACHINE)
end

function TestPlans:test_a_plan_prints_one_line_per_pe()
  lu.assertEquals(plan.text(make("tree", { ranks = "pe", world_size = 3 })), table.concat({
    "plan 'tree': 3 PEs, 4 directions; rings of 4 slots of 256 B in tcm, sleep, credits of 16 B",
    "  rank 0    sip0.cube0.pe0  child0 -> sip0.cube0.pe1 parent, child1 -> sip0.cube0.pe2 parent",
    "  rank 1    sip0.cube0.pe1  parent -> sip0.cube0.pe0 child0",
    "  rank 2    sip0.cube0.pe2  parent -> sip0.cube0.pe0 child1" }, "\n"))
end

local TestChoice = {}

function TestChoice:test_short_messages_take_few_rounds_and_long_ones_few_bytes()
  local function choice(world, bytes, ranks)
    local in_sip = ranks == "sip" and { pes = 1, cubes = 1 } or nil
    return choose.all_reduce(world, bytes, ranks, topologies.layout(world, in_sip))
  end
  lu.assertEquals(choice(8, 16, "pe"), "centre_root")
  lu.assertEquals(choice(8, 1 << 20, "pe"), "torus")
  lu.assertEquals(choice(12, 16, "pe"), "tree") -- one cube and a half have no common middle
  lu.assertEquals(choice(7, 1 << 20, "pe"), "ring_chunked") -- 7 ranks are no grid
  lu.assertEquals(choice(2, 16, "sip"), "ring") -- one round
  lu.assertEquals(choice(16, 16, "sip"), "tree") -- 8 rounds against 15
  lu.assertEquals(choice(16, 1 << 20, "sip"), "ring_chunked")
end

function TestChoice:test_what_is_prepared_depends_on_options_and_file()
  local engine = assert(runtime.open { topology = helper.topology "small", data = false })
  lu.assertNotNil(engine)
  local a = ccl.prepare("all_reduce", { bytes = 1 << 20 })
  lu.assertEquals({ a.collective, a.world, a.plan.buffer_kind }, { "all_reduce", runtime.machine.sips, "tcm" })
  lu.assertEquals(ccl.prepare("all_gather", {}).algorithm, "all_gather")
  lu.assertEquals(ccl.prepare("all_reduce", { algorithm = "tree" }).algorithm, "tree")
  with_file("defaults:\n  algorithm: mesh\n  buffer_kind: sram\n", function(path)
    local b = ccl.prepare("all_reduce", { ccl_yaml = path })
    lu.assertEquals({ b.algorithm, b.plan.buffer_kind }, { "mesh", "sram" })
  end)
  -- rings that connect the same ranks in the same way are shared; others get directions of their own
  lu.assertIs(ccl.prepare("broadcast", { root = 1 }).plan, ccl.prepare("all_gather", {}).plan)
  lu.assertNotEquals(ccl.prepare("all_reduce", { algorithm = "tree" }).plan.pes[1].directions[1].name:match("^%w+_"),
    ccl.prepare("all_gather", {}).plan.pes[1].directions[1].name:match("^%w+_"))
  lu.assertErrorMsgContains("algorithm ring is for all_reduce, not for broadcast", ccl.prepare, "broadcast",
    { algorithm = "ring" })
  lu.assertErrorMsgContains("unknown option 'algoritm'; did you mean 'algorithm'?", ccl.prepare, "all_reduce",
    { algoritm = "ring" })
  lu.assertErrorMsgContains("topology is ring_1; did you mean 'ring_1d'?", ccl.prepare, "all_reduce",
    { topology = "ring_1" })
  lu.assertErrorMsgContains("op is mean; expected sum, avg, max, min, product, band, bor or bxor", ccl.prepare,
    "all_reduce",
    { op = "mean" })
  lu.assertErrorMsgContains("root is 2; ranks are 0 to 1", ccl.prepare, "reduce", { root = 2 })
  runtime.close()
end

helper.main { TestConfig = TestConfig, TestPlans = TestPlans, TestChoice = TestChoice }
