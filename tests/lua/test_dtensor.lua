-- DTensor: every way between two placements, on meshes of one and two dimensions, and what products and sums
-- do with placements.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local tp = require "kernbench.tp"
local dist = torch.distributed

local function ranks(n, fn)
  return helper.simulate(function()
    torch.multiprocessing.spawn(helper.watched(function(rank)
      torch.ahbm.set_device(rank)
      dist.init_process_group "ahbm"
      fn(rank)
    end), { nprocs = n })
  end, { sets = { "system.sips.count=" .. n } })
end

local function caught(fn, ...)
  local ok, message = pcall(fn, ...)
  lu.assertFalse(ok, "nothing was raised")
  return message
end

local S, R, P = tp.Shard, tp.Replicate(), tp.Partial()

local function array(...)
  local n = 1
  for _, extent in ipairs { ... } do n = n * extent end
  return (np.arange(0, n, 1, "i32") % 11):astype("f32"):reshape { ... }
end

local function names(list)
  local words = {}
  for i, placement in ipairs(list) do words[i] = tostring(placement) end
  return table.concat(words, " ")
end

-- The whole of `a` under placements, checked on every rank.
local function assert_is(dtensor, expected, wanted)
  lu.assertEquals(names(dtensor.placements), names(wanted))
  lu.assertEquals(dtensor.shape, expected.shape)
  lu.assertTrue(np.array_equal(dtensor:full_tensor():numpy(), expected), tostring(dtensor))
end

local TestRedistribute = {}

-- Of a tensor of three dimensions; test_dtensor_bytes.lua has all pairs for matrices.
function TestRedistribute:test_parts_along_the_last_dimension()
  ranks(4, function(rank)
    local mesh = tp.init_device_mesh("ahbm", { 4 })
    local a = array(4, 3, 8)
    for _, way in ipairs { { S(0), S(2) }, { S(2), S(0) }, { S(2), R }, { S(2), P }, { P, S(2) }, { R, S(2) } } do
      local x = tp.distribute_tensor(torch.from_numpy(a), mesh, { way[1] })
      local y = x:redistribute { way[2] }
      assert_is(y, a, { way[2] })
      assert_is(x, a, { way[1] }) -- it is as it was
      local part = y:to_local():numpy()
      if way[2] == S(2) then
        lu.assertTrue(np.array_equal(part, a[{ {}, {}, { rank * 2, rank * 2 + 2 } }]))
      elseif way[2] == S(0) then
        lu.assertTrue(np.array_equal(part, a[{ { rank, rank + 1 } }]))
      end
    end
  end)
end

function TestRedistribute:test_what_is_sent()
  -- Launches of rank 0, by name, for a tensor of (4, 8) over 2 ranks
  local cases = {
    { S(0), R, "all_gather_into_tensor" }, { S(1), R, "all_gather_into_tensor merge" },
    { S(0), S(1), "split all_to_all_single" }, { S(1), S(0), "all_to_all_single merge" }, { R, S(1), "slice" },
    { P, R, "copy all_reduce" }, { P, S(0), "reduce_scatter_tensor" }, { P, S(1), "split reduce_scatter_tensor" },
    { S(1), P, "place" }, { R, P, "copy" },
  }
  for _, case in ipairs(cases) do
    local _, launches = ranks(2, function()
      local mesh = tp.init_device_mesh("ahbm", { 2 })
      local x = tp.from_local(torch.from_numpy(array(4, 8)), mesh, { case[1] })
      x:redistribute { case[2] }
    end)
    local words = {}
    for _, launch in ipairs(launches) do
      if launch.sip == 0 then words[#words + 1] = launch.name end
    end
    lu.assertEquals(table.concat(words, " "), case[3])
  end
end

function TestRedistribute:test_meshes_of_two_dimensions()
  ranks(4, function(rank)
    local mesh = tp.init_device_mesh("ahbm", { 2, 2 }, { mesh_dim_names = { "data", "model" } })
    lu.assertEquals({ mesh:get_local_rank "data", mesh:get_local_rank(1) }, { rank // 2, rank % 2 })
    lu.assertEquals({ mesh:size(), mesh:size(1) }, { 4, 2 })
    local a = array(4, 6)
    local part = tp.distribute_tensor(torch.from_numpy(a), mesh, { S(0), S(1) }):to_local():numpy()
    lu.assertTrue(np.array_equal(part,
      a[{ { rank // 2 * 2, rank // 2 * 2 + 2 }, { rank % 2 * 3, rank % 2 * 3 + 3 } }]))
  end)
end

local TestOperations = {}

function TestOperations:test_products_keep_what_is_cut_or_leave_terms()
  local cases = {
    { R, R, R }, { S(0), R, S(0) }, { R, S(1), S(1) }, { S(1), S(0), P }, { R, S(0), P }, { S(1), R, P },
    { S(0), S(1), S(0) }, { S(0), S(0), S(0) }, { S(1), S(1), S(1) }, { P, R, R }, { P, S(1), S(1) },
  }
  ranks(2, function()
    local mesh = tp.init_device_mesh("ahbm", { 2 })
    local a, b = array(6, 4), array(4, 2)
    local expected = np.matmul(a, b)
    for _, case in ipairs(cases) do
      local x = tp.distribute_tensor(torch.from_numpy(a), mesh, { case[1] })
      local y = tp.distribute_tensor(torch.from_numpy(b), mesh, { case[2] })
      assert_is(tp.matmul(x, y), expected, { case[3] })
    end
    lu.assertStrContains(caught(tp.matmul, tp.from_local(torch.zeros(2, 3), mesh, { R }),
      tp.from_local(torch.zeros(2, 3), mesh, { R })), "matmul: (2, 3) and (2, 3) cannot be multiplied")
  end)
end

function TestOperations:test_products_are_computed_by_all_pes()
  for _, dp in ipairs { false, tp.rows() } do
    local _, launches = ranks(2, function()
      local mesh = tp.init_device_mesh("ahbm", { 2 })
      local x = tp.from_local(torch.from_numpy(array(5, 7), { dp = dp or nil }), mesh, { S(0) })
      local y = tp.from_local(torch.from_numpy(array(7, 40), { dp = dp or nil }), mesh, { R })
      assert_is(tp.matmul(x, y), np.concatenate { np.matmul(array(5, 7), array(7, 40)),
        np.matmul(array(5, 7), array(7, 40)) }, { S(0) })
    end)
    for _, launch in ipairs(launches) do
      if launch.name == "matmul" then lu.assertEquals(launch.pes, 16) end
    end
  end
end

function TestOperations:test_a_product_on_a_mesh_of_two_dimensions()
  ranks(4, function()
    local mesh = tp.init_device_mesh("ahbm", { 2, 2 })
    local a, b = array(4, 6), array(6, 8)
    local x = tp.distribute_tensor(torch.from_numpy(a), mesh, { S(0), S(1) })
    local y = tp.distribute_tensor(torch.from_numpy(b), mesh, { R, S(0) })
    assert_is(tp.matmul(x, y), np.matmul(a, b), { S(0), P })
  end)
end

function TestOperations:test_sums_and_products_of_elements()
  local cases = { -- placements of both, of the sum, of the product
    { S(0), S(0), S(0), S(0) }, { R, R, R, R }, { P, P, P, R }, { S(0), R, S(0), S(0) }, { R, S(1), S(1), S(1) },
    { P, S(0), S(0), S(0) }, { P, R, R, R }, { S(0), S(1), S(0), S(0) },
  }
  ranks(2, function()
    local mesh = tp.init_device_mesh("ahbm", { 2 })
    local a, b = array(4, 6), array(4, 6) + 1
    for _, case in ipairs(cases) do
      local x = tp.distribute_tensor(torch.from_numpy(a), mesh, { case[1] })
      local y = tp.distribute_tensor(torch.from_numpy(b), mesh, { case[2] })
      assert_is(x + y, a + b, { case[3] })
      assert_is(x - y, a - b, { case[3] })
      assert_is(x * y, a * b, { case[4] })
    end
  end)
end

function TestOperations:test_mistakes()
  ranks(2, function()
    local function refuses(text, fn, ...)
      lu.assertStrContains(caught(fn, ...), text)
    end
    refuses("a mesh of 3 does not have 2 ranks", tp.init_device_mesh, "ahbm", { 3 })
    refuses("unknown device type 'cuda'", tp.init_device_mesh, "cuda", { 2 })
    local mesh = tp.init_device_mesh("ahbm", { 2, 1 })
    local t = torch.zeros(3, 4)
    refuses("expected a placement for each of the 2 dimensions", tp.distribute_tensor, t, mesh, { R })
    refuses("expected Shard(d), Replicate() or Partial(), got 4", tp.distribute_tensor, t, mesh, { R, 4 })
    refuses("dimension 0 (3) is not divisible by 2 ranks", tp.distribute_tensor, t, mesh, { S(0), R })
    refuses("a tensor of shape (3, 4) has no such dimension", tp.distribute_tensor, t, mesh, { S(2), R })
    refuses("dimension 1 is cut along two dimensions of the mesh", tp.distribute_tensor, t, mesh, { S(1), S(1) })
    refuses("Shard: the dimension is -1", tp.Shard, -1)
    refuses("from_local: expected a tensor in one piece", tp.from_local, 4, mesh, { R, R })
  end)
end

helper.main { TestRedistribute = TestRedistribute, TestOperations = TestOperations }
