-- Collectives on tensors that are cut along dimension 0, along which the parts of the ranks follow each other.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"
local dist = torch.distributed

-- fn(rank) on n ranks, SIPs of 2 x 2 cubes with four PEs each.
local function ranks(n, fn, options)
  return helper.simulate(function()
    torch.multiprocessing.spawn(helper.watched(function(rank)
      torch.ahbm.set_device(rank)
      dist.init_process_group "ahbm"
      fn(rank)
    end), { nprocs = n })
  end, { sets = { "system.sips.count=" .. n }, data = options and options.data })
end

local ROWS = { cube = "row_wise", pe = "row_wise", pad = true } -- over all PEs
local IN_CUBES = { cube = "replicate", pe = "row_wise", pad = true } -- a copy in each cube, over its PEs
local EVEN = { cube = "row_wise", pe = "row_wise" }
local LAYOUTS = { { ROWS, { 1, 5, 16, 21 } }, { IN_CUBES, { 1, 6 } }, { EVEN, { 16 } } }

-- Element i of a rank's tensor of `rows` rows of 3.
local function matrix(rank, rows)
  return np.arange(rows * 3, "f32"):reshape { rows, 3 } + 1000 * rank
end

local function rows_of(array, from, count)
  return array[{ { from, from + count }, {} }]
end

local function assert_same(tensor, expected)
  lu.assertEquals(tensor:numpy():tolist(), expected:tolist())
end

-- Every copy, as the PEs of each cube see it.
local function assert_in_every_cube(tensor, expected)
  local seen = {}
  torch.launch { name = "look", args = { tensor }, pes = "all", kernel = function(p)
    seen[tl.program_id(1) + 1] = tl.values(tl.load(p:whole())):tolist()
  end }:wait()
  for cube = 1, 4 do lu.assertEquals(seen[cube], expected:tolist()) end
end

local TestRows = {}

function TestRows:test_gather_scatter_and_exchange()
  for _, n in ipairs { 2, 3 } do
    ranks(n, function(rank)
      for _, layout in ipairs(LAYOUTS) do
        local options = { dp = torch.DPPolicy(layout[1]) }
        for _, rows in ipairs(layout[2]) do
          local all = {}
          for i = 0, n - 1 do all[i + 1] = matrix(i, rows) end
          local gathered = np.concatenate(all)
          local x, out = torch.from_numpy(matrix(rank, rows), options), torch.zeros({ n * rows, 3 }, options)
          dist.all_gather_into_tensor(out, x)
          assert_same(out, gathered)
          assert_in_every_cube(out, gathered)

          local part = torch.zeros({ rows, 3 }, options)
          dist.reduce_scatter_tensor(part, out)
          assert_same(part, rows_of(gathered, rank * rows, rows) * n)

          local exchanged = torch.zeros({ n * rows, 3 }, options)
          dist.all_to_all_single(exchanged, torch.from_numpy(matrix(rank, n * rows), options))
          local parts = {}
          for i = 0, n - 1 do parts[i + 1] = rows_of(matrix(i, n * rows), rank * rows, rows) end
          assert_same(exchanged, np.concatenate(parts))
        end
      end
    end)
  end
end

function TestRows:test_stacked_along_a_new_dimension()
  ranks(2, function(rank)
    local x = torch.from_numpy(matrix(rank, 5), { dp = torch.DPPolicy(ROWS) })
    local out = torch.zeros({ 2, 5, 3 }, { dp = torch.DPPolicy(ROWS) })
    dist.all_gather_into_tensor(out, x)
    assert_same(out, np.stack { matrix(0, 5), matrix(1, 5) })
  end)
end

-- Who has the rows in one piece gets them from, and gives them to, who has them cut.
function TestRows:test_one_of_the_tensors_may_be_in_one_piece()
  ranks(2, function(rank)
    local cut = { dp = torch.DPPolicy(ROWS) }
    local both = np.concatenate { matrix(0, 7), matrix(1, 7) }
    for _, options in ipairs { { {}, cut }, { cut, {} } } do
      local out = torch.zeros({ 14, 3 }, options[2])
      dist.all_gather_into_tensor(out, torch.from_numpy(matrix(rank, 7), options[1]))
      assert_same(out, both)
      local part = torch.zeros({ 7, 3 }, options[1])
      dist.reduce_scatter_tensor(part, out, "max")
      assert_same(part, matrix(rank, 7))
    end
  end)
end

function TestRows:test_gather_and_scatter_with_lists()
  ranks(3, function(rank)
    local options, list = { dp = torch.DPPolicy(ROWS) }, nil
    for _, rows in ipairs { 3, 21 } do
      local t = torch.from_numpy(matrix(rank, rows), options)
      if rank == 1 then
        list = {}
        for i = 1, 3 do list[i] = torch.zeros({ rows, 3 }, options) end
      end
      dist.gather(t, { gather_list = list, dst = 1 })
      for i = 0, list and 2 or -1 do assert_same(list[i + 1], matrix(i, rows)) end
      local mine = torch.zeros({ rows, 3 }, options)
      dist.scatter(mine, { scatter_list = list, src = 1 })
      assert_same(mine, matrix(rank, rows))
    end
  end)
end

-- given[i][j]: rows from rank i - 1 to rank j - 1; ranks have different numbers of rows, on different PEs.
function TestRows:test_exchange_of_parts_of_any_size()
  local given = { { 0, 3, 1 }, { 2, 0, 25 }, { 40, 1, 0 } }
  local function sum(list)
    local total = 0
    for _, count in ipairs(list) do total = total + count end
    return total
  end
  for _, layout in ipairs { ROWS, IN_CUBES } do
    ranks(3, function(rank)
      local options, takes, parts = { dp = torch.DPPolicy(layout) }, {}, {}
      for from = 0, 2 do
        local before = 0
        for to = 1, rank do before = before + given[from + 1][to] end
        takes[from + 1] = given[from + 1][rank + 1]
        if takes[from + 1] > 0 then
          parts[#parts + 1] = rows_of(matrix(from, sum(given[from + 1])), before, takes[from + 1])
        end
      end
      local x = torch.from_numpy(matrix(rank, sum(given[rank + 1])), options)
      local out = torch.zeros({ sum(takes), 3 }, options)
      dist.all_to_all_single(out, x, takes, given[rank + 1])
      assert_same(out, np.concatenate(parts))
    end)
  end
end

function TestRows:test_all_reduce_and_the_like_work_part_by_part()
  ranks(2, function(rank)
    for _, rows in ipairs { 1, 21 } do
      local t = torch.from_numpy(matrix(rank, rows), { dp = torch.DPPolicy(ROWS) })
      dist.all_reduce(t)
      assert_same(t, matrix(0, rows) + matrix(1, rows))
      dist.broadcast(t, 1)
      assert_same(t, matrix(0, rows) + matrix(1, rows))
    end
  end)
end

local TestTime = {}

-- 16 PEs have as much to send as with columns cut; only the stores go elsewhere, to other cubes in part.
function TestTime:test_all_pes_work_at_once()
  local function took(shape, whole, policy, call)
    local time
    local _, launches = ranks(2, function()
      local options = { dp = policy and torch.DPPolicy(policy) }
      local small, large = torch.empty(shape, options), torch.empty(whole, options)
      if call == "all_gather_into_tensor" then dist[call](large, small) else dist[call](small, large) end
    end, { data = false })
    for _, launch in ipairs(launches) do
      if launch.name == call then time = launch.end_ns - launch.start_ns end
    end
    return time
  end
  for _, call in ipairs { "all_gather_into_tensor", "reduce_scatter_tensor" } do
    local rows = took({ 256, 1024 }, { 512, 1024 }, EVEN, call)
    local columns = took({ 256, 1024 }, { 512, 1024 }, { cube = "column_wise", pe = "column_wise" }, call)
    local alone = took({ 256, 1024 }, { 512, 1024 }, nil, call)
    lu.assertTrue(rows < 1.5 * columns, call)
    lu.assertTrue(rows < alone / 4, call)
  end
end

local TestMistakes = {}

local function refused(text, fn, ...)
  local ok, message = pcall(fn, ...)
  lu.assertFalse(ok, "nothing was raised")
  lu.assertStrContains(message, text)
end

function TestMistakes:test_cuts_that_do_not_hold_every_row_once()
  ranks(2, function()
    local function tensor(rows, policy)
      return torch.zeros({ rows, 16 }, { dp = torch.DPPolicy(policy) })
    end
    for _, policy in ipairs { { cube = "row_wise" }, { cube = "column_wise", pe = "row_wise" },
      { cube = "tiled_2d", num_pes = 1 } } do
      refused("all_gather_into_tensor: output_tensor is cut along dimension 0, along which the parts of the ranks",
        dist.all_gather_into_tensor, tensor(32, policy), tensor(16, policy))
      refused("reduce_scatter_tensor: input is cut along dimension 0", dist.reduce_scatter_tensor, tensor(16, policy),
        tensor(32, policy))
      refused("all_to_all_single: input is cut along dimension 0", dist.all_to_all_single, tensor(16, policy),
        tensor(16, policy))
    end
    refused("of output_tensor and input_tensor one has a copy in every cube", dist.all_gather_into_tensor,
      tensor(32, ROWS), tensor(16, IN_CUBES))
  end)
end

function TestMistakes:test_ranks_agree_on_the_placement_of_the_output()
  local outcome = helper.run(function()
    torch.multiprocessing.spawn(helper.watched(function(rank)
      torch.ahbm.set_device(rank)
      dist.init_process_group "ahbm"
      dist.all_gather_into_tensor(torch.zeros({ 32 }, { dp = torch.DPPolicy(rank == 0 and ROWS or EVEN) }),
        torch.zeros({ 16 }, { dp = torch.DPPolicy(ROWS) }))
    end), { nprocs = 2 })
  end)
  lu.assertStrContains(outcome.error, "placement of the output differs")
end

helper.main { TestRows = TestRows, TestTime = TestTime, TestMistakes = TestMistakes }
