-- Placement: which part of a tensor each PE holds, from policies alone.
local lu = require "luaunit"
local dp = require "kernbench.dp"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local placements = require "kernbench.placement"

local MACHINE = { sips = 2, cubes = 4, mesh_w = 2, mesh_h = 2, pes = 8 }
local POLICIES = { "replicate", "column_wise", "row_wise" }

-- {["cube.pe"] = {start, extent}} of every shard.
local function placed(shape, options, machine)
  local pieces, flat = dp.shards(shape, dp.policy(options), machine or MACHINE)
  local at = {}
  for i = 1, #flat, 3 do
    local key = ("%d.%d"):format(flat[i], flat[i + 1])
    lu.assertNil(at[key], "two shards on " .. key)
    at[key] = pieces[flat[i + 2] + 1]
  end
  return at, pieces, flat
end

local function message_of(fn, ...)
  local ok, message = pcall(fn, ...)
  lu.assertFalse(ok)
  return message
end

local TestShards = {}

function TestShards:test_the_pieces_of_every_policy_cover_every_element_once()
  for _, cube in ipairs(POLICIES) do
    for _, pe in ipairs(POLICIES) do
      local _, pieces = placed({ 32, 96 }, { cube = cube, pe = pe })
      local seen = {}
      for _, piece in ipairs(pieces) do
        for i = piece.start[1], piece.start[1] + piece.extent[1] - 1 do
          for j = piece.start[2], piece.start[2] + piece.extent[2] - 1 do
            lu.assertNil(seen[i * 96 + j])
            seen[i * 96 + j] = true
          end
        end
      end
      lu.assertEquals(#seen + (seen[0] and 1 or 0), 32 * 96)
    end
  end
end

function TestShards:test_replicas_are_one_piece_on_every_pe()
  local at, pieces = placed({ 5, 7 }, {})
  lu.assertEquals(pieces, { { start = { 0, 0 }, extent = { 5, 7 } } })
  for cube = 0, 3 do
    for pe = 0, 7 do lu.assertIs(at[cube .. "." .. pe], pieces[1]) end
  end
end

function TestShards:test_cubes_cut_first_and_pes_cut_what_their_cube_holds()
  -- 4 cubes share 64 rows: 16 each; 8 PEs share these 16 rows: 2 each
  local at = placed({ 64, 3 }, { cube = "row_wise", pe = "row_wise" })
  lu.assertEquals(at["2.5"], { start = { 2 * 16 + 5 * 2, 0 }, extent = { 2, 3 } })
  -- columns of the cube, rows of the PE: 12 / 4 and 16 / 8
  at = placed({ 16, 12 }, { cube = "column_wise", pe = "row_wise" })
  lu.assertEquals(at["3.1"], { start = { 1 * 2, 3 * 3 }, extent = { 2, 3 } })
end

function TestShards:test_pes_of_one_cube_share_replicated_pieces_with_other_cubes()
  local at, pieces = placed({ 8, 8 }, { cube = "replicate", pe = "row_wise" })
  lu.assertEquals(#pieces, 8)
  lu.assertIs(at["0.3"], at["3.3"])
end

function TestShards:test_a_vector_has_one_dimension_to_cut()
  lu.assertEquals(placed({ 32 }, { pe = "column_wise" })["0.2"], { start = { 8 }, extent = { 4 } })
  lu.assertEquals(placed({ 32 }, { pe = "row_wise" })["0.2"], { start = { 8 }, extent = { 4 } })
end

function TestShards:test_of_three_dimensions_rows_are_the_first_and_columns_the_last()
  local at = placed({ 4, 5, 8 }, { cube = "row_wise", pe = "column_wise" })
  lu.assertEquals(at["1.6"], { start = { 1, 0, 6 }, extent = { 1, 5, 1 } })
end

function TestShards:test_fewer_cubes_and_pes_are_the_first_ones()
  local at = placed({ 6, 6 }, { cube = "row_wise", num_cubes = 3, pe = "column_wise", num_pes = 2 })
  local count = 0
  for _ in pairs(at) do count = count + 1 end
  lu.assertEquals(count, 6)
  lu.assertEquals(at["2.1"], { start = { 4, 3 }, extent = { 2, 3 } })
end

function TestShards:test_without_a_policy_a_tensor_lives_on_the_first_pe()
  local pieces, flat = dp.shards({ 7, 11 }, dp.single, MACHINE)
  lu.assertEquals(flat, { 0, 0, 0 })
  lu.assertEquals(pieces[1].extent, { 7, 11 })
end

local TestTiles = {}

function TestTiles:test_cubes_are_tiled_as_they_lie_and_pes_in_two_rows()
  -- cube 2 is in row 1, column 0 of the mesh; PE 6 of 8 in row 1, column 2 of 2 x 4
  local at = placed({ 8, 32 }, { cube = "tiled_2d", pe = "tiled_2d" })
  lu.assertEquals(at["2.6"], { start = { 1 * 4 + 1 * 2, 0 * 16 + 2 * 4 }, extent = { 2, 4 } })
  at = placed({ 4, 9 }, { pe = "tiled_2d", num_pes = 3 }) -- an odd number: one row
  lu.assertEquals(at["1.2"], { start = { 0, 6 }, extent = { 4, 3 } })
end

function TestTiles:test_a_grid_may_be_given_and_says_how_many_are_used()
  local at = placed({ 6, 8 }, { cube = "tiled_2d", cube_grid = { 3, 1 }, pe = "tiled_2d", pe_grid = { 1, 4 } })
  lu.assertEquals(at["2.3"], { start = { 4, 6 }, extent = { 2, 2 } })
  lu.assertNil(at["3.0"])
  lu.assertNil(at["0.4"])
end

function TestTiles:test_of_three_dimensions_the_first_and_the_last_are_cut()
  local at = placed({ 4, 5, 8 }, { cube = "tiled_2d" })
  lu.assertEquals(at["1.0"], { start = { 0, 0, 4 }, extent = { 2, 5, 4 } })
end

function TestTiles:test_padded_parts_are_shorter_at_the_end_or_missing()
  -- 10 rows over 4 cubes: 3 + 3 + 3 + 1; 5 columns over 8 PEs: one each for the first five
  local at = placed({ 10, 5 }, { cube = "row_wise", pe = "column_wise", pad = true })
  lu.assertEquals(at["3.4"], { start = { 9, 4 }, extent = { 1, 1 } })
  lu.assertNil(at["0.5"])
  -- 9 rows over 4 cubes are 3 + 3 + 3 + 0
  at = placed({ 9, 2 }, { cube = "row_wise", num_pes = 1, pad = true })
  lu.assertEquals(at["2.0"].extent, { 3, 2 })
  lu.assertNil(at["3.0"])
end

-- Every element is held as often as there are copies, whatever the sizes and grids.
function TestTiles:test_random_placements_hold_every_element_once_per_copy()
  local random = np.random(11)
  local function draw(list) return list[random:randint(0, #list, 1):item() + 1] end
  local names = { "replicate", "row_wise", "column_wise", "tiled_2d" }
  for _ = 1, 150 do
    local rows, columns = draw { 1, 3, 8, 13 }, draw { 2, 5, 16, 31 }
    local cube, pe = draw(names), draw(names)
    local cubes, pes = draw { 1, 3, 4 }, draw { 1, 2, 5, 8 }
    local _, pieces, flat = placed({ rows, columns }, { cube = cube, pe = pe, num_cubes = cubes, num_pes = pes,
      cube_grid = cube == "tiled_2d" and { 1, cubes } or nil, pad = true })
    local held = np.zeros({ rows, columns }, "i64")
    for i = 1, #flat, 3 do
      local piece = pieces[flat[i + 2] + 1]
      local key = { { piece.start[1], piece.start[1] + piece.extent[1] },
        { piece.start[2], piece.start[2] + piece.extent[2] } }
      held[key] = held[key] + 1
    end
    local copies = (cube == "replicate" and cubes or 1) * (pe == "replicate" and pes or 1)
    lu.assertEquals({ held:min(), held:max() }, { copies, copies })
  end
end

local TestPlacements = {}

function TestPlacements:test_the_same_question_has_one_answer()
  local shape = { 16, 8 }
  local first = placements.of(shape, dp.policy { pe = "row_wise" }, MACHINE)
  lu.assertIs(placements.of({ 16, 8 }, dp.policy { pe = "row_wise" }, MACHINE), first)
  lu.assertNotIs(placements.of({ 16, 8 }, dp.policy { pe = "column_wise" }, MACHINE), first)
  lu.assertNotIs(placements.of({ 8, 16 }, dp.policy { pe = "row_wise" }, MACHINE), first)
  lu.assertNotIs(placements.of({ 16, 8 }, dp.policy { pe = "row_wise" }, { cubes = 2, pes = 8 }), first)
  lu.assertIs(placements.of(shape, dp.policy { pe = "row_wise" }, MACHINE), first)
end

function TestPlacements:test_an_answer_does_not_change_with_the_tables_it_was_asked_with()
  local shape, policy = { 3, 5 }, dp.policy()
  local placement = placements.of(shape, policy, MACHINE)
  shape[1], policy.pe = 7, "row_wise"
  lu.assertEquals(placement.pieces, { { start = { 0, 0 }, extent = { 3, 5 } } })
  lu.assertIs(placements.of({ 3, 5 }, dp.policy(), MACHINE), placement)
end

function TestPlacements:test_many_are_forgotten_and_made_again()
  local machine = { cubes = 1, pes = 1 }
  local first, kept = placements.of({ 1 }, dp.single, machine), setmetatable({}, { __mode = "v" })
  for i = 1, 1000 do kept[i] = placements.of({ i }, dp.single, machine) end
  lu.assertEquals(placements.of({ 1 }, dp.single, machine).flat, first.flat)
  collectgarbage()
  local count = 0
  for _ in pairs(kept) do count = count + 1 end
  lu.assertTrue(count < 100)
end

function TestPlacements:test_shards_are_described_once_for_a_sip_and_an_element_size()
  local placement = placements.of({ 4, 16 }, dp.policy { pe = "column_wise", num_cubes = 1 }, MACHINE)
  local list = placement:shards(1, 2)
  lu.assertIs(placement:shards(1, 2), list)
  lu.assertEquals(#list, 8)
  -- the last PE: columns 14 and 15 of 4 rows, of 2 bytes each, and of 4
  lu.assertEquals(list[8], { sip = 1, cube = 0, pe = 7, start = { 0, 14 }, extent = { 4, 2 }, offset_bytes = 14 * 2,
    nbytes = 4 * 2 * 2 })
  local wide = placement:shards(0, 4)[8]
  lu.assertEquals({ wide.sip, wide.offset_bytes, wide.nbytes }, { 0, 14 * 4, 4 * 2 * 4 })
end

function TestPlacements:test_holders_are_the_pes_of_the_shards()
  for _, options in ipairs { {}, { num_pes = 3 }, { cube = "row_wise", pe = "row_wise", pad = true } } do
    local placement, expected = placements.of({ 10, 8 }, dp.policy(options), MACHINE), {}
    for _, shard in ipairs(placement:shards(0, 1)) do
      expected[shard.cube] = (expected[shard.cube] or 0) | 1 << shard.pe
    end
    lu.assertEquals(placement:masks(), expected)
  end
end

function TestPlacements:test_a_list_of_shards_is_known_and_not_added_to()
  local placement = placements.of({ 10 }, dp.policy { num_cubes = 1 }, MACHINE)
  local list = placement:shards(1, 4)
  local found, sip = placements.of_shards(list)
  lu.assertIs(found, placement)
  lu.assertEquals(sip, 1)
  lu.assertStrContains(message_of(table.insert, list, { cube = 1, pe = 0 }), "change a copy of it")
  local copy = table.move(list, 1, #list, 1, {})
  copy[#copy + 1] = { sip = 1, cube = 1, pe = 0 }
  for _, other in ipairs { copy, {}, setmetatable({}, { __metatable = "none" }), setmetatable({}, {}) } do
    lu.assertNil(placements.of_shards(other))
  end
end

local TestErrors = {}

function TestErrors:test_grids_that_make_no_sense()
  lu.assertEquals(message_of(dp.shards, { 6, 7 }, dp.policy { cube = "tiled_2d", cube_grid = { 2, 2 } }, MACHINE),
    "dimension 1 has 7 elements, which 2 columns of cubes cannot share evenly (tiled_2d)")
  lu.assertEquals(message_of(dp.shards, { 8 }, dp.policy { pe = "tiled_2d" }, MACHINE),
    "tiled_2d cuts rows and columns; the tensor has one dimension")
  lu.assertEquals(message_of(dp.shards, { 8, 8 }, dp.policy { cube = "tiled_2d", num_cubes = 3 }, MACHINE),
    "tiled_2d over 3 of 4 cubes needs cube_grid = {rows, columns}")
  lu.assertStrContains(message_of(dp.policy, { pe = "tiled_2d", pe_grid = { 2, 3 }, num_pes = 8 }),
    "pe_grid is 2 x 3, which is not the 8 of num_pes")
  lu.assertStrContains(message_of(dp.policy, { cube_grid = { 2, 2 } }),
    'cube_grid is for cube = "tiled_2d", which is "replicate"')
  for _, bad in ipairs { 4, { 2 }, { 2, 0 }, { 1, 2, 3 }, { "2", 2 } } do
    lu.assertStrContains(message_of(dp.policy, { pe = "tiled_2d", pe_grid = bad }),
      "pe_grid: expected {rows, columns}, two integers of at least 1")
  end
  lu.assertStrContains(message_of(dp.policy, { pad = 3 }), "pad is 3; expected true or false")
end

function TestErrors:test_sizes_that_do_not_divide_name_the_dimension_and_the_count()
  local policy = dp.policy { cube = "row_wise", pe = "column_wise" }
  lu.assertEquals(message_of(dp.shards, { 6, 8 }, policy, MACHINE),
    "dimension 0 has 6 elements, which 4 cubes cannot share evenly (row_wise)")
  lu.assertEquals(message_of(dp.shards, { 4, 12 }, policy, MACHINE),
    "dimension 1 has 12 elements, which 8 PEs cannot share evenly (column_wise)")
end

function TestErrors:test_what_pes_share_is_what_their_cube_has()
  -- 32 rows over 4 cubes are 8 rows, over 8 PEs 1 each; 16 rows would be 4 for 8 PEs
  placed({ 32 }, { cube = "row_wise", pe = "row_wise" })
  lu.assertEquals(message_of(dp.shards, { 16 }, dp.policy { cube = "row_wise", pe = "row_wise" }, MACHINE),
    "dimension 0 has 4 elements, which 8 PEs cannot share evenly (row_wise)")
end

function TestErrors:test_more_than_the_machine_has()
  lu.assertEquals(message_of(dp.shards, { 8 }, dp.policy { num_cubes = 5 }, MACHINE),
    "DPPolicy: num_cubes is 5, a SIP has 4")
  lu.assertEquals(message_of(dp.shards, { 8 }, dp.policy { num_pes = 9 }, MACHINE),
    "DPPolicy: num_pes is 9, a cube has 8")
end

function TestErrors:test_fields_that_make_no_sense()
  lu.assertStrContains(message_of(dp.policy, { sip = "replicate" }), "torch.ahbm.set_device(rank)")
  lu.assertStrContains(message_of(dp.policy, { num_sips = 2 }), "torch.ahbm.set_device(rank)")
  lu.assertStrContains(message_of(dp.policy, { cubes = 2 }), "unknown field 'cubes'; it has cube, pe,")
  lu.assertStrContains(message_of(dp.policy, { pe = "diagonal" }), "pe is \"diagonal\"; expected replicate")
  for _, bad in ipairs { 0, -1, 1.5, "2" } do
    lu.assertStrContains(message_of(dp.policy, { num_pes = bad }),
      ("num_pes is %s; expected an integer of at least 1"):format(bad))
  end
end

function TestErrors:test_policies_are_known_and_shown()
  local policy = dp.policy { pe = "row_wise", num_cubes = 2 }
  lu.assertTrue(dp.is_policy(policy))
  lu.assertFalse(dp.is_policy { cube = "replicate", pe = "replicate" })
  lu.assertEquals(tostring(policy),
    'DPPolicy{cube = "replicate", pe = "row_wise", num_cubes = 2, num_pes = all}')
  lu.assertEquals(tostring(dp.policy { cube = "tiled_2d", cube_grid = { 1, 2 }, pad = true }),
    'DPPolicy{cube = "tiled_2d", pe = "replicate", num_cubes = 2, num_pes = all, cube_grid = {1, 2}, pad = true}')
end

helper.main { TestShards = TestShards, TestTiles = TestTiles, TestPlacements = TestPlacements,
  TestErrors = TestErrors }
