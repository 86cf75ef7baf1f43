-- DTensor: every ordered pair of placements, on meshes of one and two dimensions: what every rank has then, and how
-- many bytes ranks have sent each other, as the machine counts them.
local lu = require "luaunit"
local helper = require "tests.lua.helper"
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local torch = require "kernbench.torch"
local tp = require "kernbench.tp"
local dist = torch.distributed

local S, R, P = tp.Shard, tp.Replicate(), tp.Partial()
local ALL = { S(0), S(1), R, P }

local SIZE, ITEM = 8, 4 -- a matrix of SIZE x SIZE in f32
local MATRIX = (np.arange(SIZE * SIZE, "f32") % 11):reshape { SIZE, SIZE }
local BYTES = SIZE * SIZE * ITEM

-- ---- what is to be sent ----

-- Bytes that a rank sends in one step along a dimension of n ranks, if it has `have` bytes before; and how many it
-- has then.
local function step(from, to, n, have)
  if from == to then
    return 0, have
  elseif from.kind == "shard" and to.kind == "replicate" then -- all-gather: (n - 1) / n of the result
    return (n - 1) * have, n * have
  elseif from.kind == "shard" and to.kind == "shard" then -- all-to-all: all but the own part
    return (n - 1) * have / n, have
  elseif from.kind == "shard" then -- a term of zeros but for the own part
    return 0, n * have
  elseif from.kind == "replicate" then
    return 0, to.kind == "shard" and have / n or have
  elseif to.kind == "replicate" then -- all-reduce in chunks
    return 2 * (n - 1) * have / n, have
  end
  return (n - 1) * have / n, have / n -- reduce-scatter
end

-- No dimension of the tensor is cut twice.
local function is_possible(list)
  return not (list[1].dim and list[2] and list[1].dim == list[2].dim)
end

-- The least that a rank sends, whatever the order in which the dimensions of the mesh are changed, and whether
-- one of them is gathered first.
local function least(from, to, extents, have)
  local best = math.huge
  local function try(orders)
    local now, sent, bytes = table.move(from, 1, #from, 1, {}), 0, have
    for _, change in ipairs(orders) do
      local more
      more, bytes = step(now[change[1]], change[2], extents[change[1]], bytes)
      now[change[1]], sent = change[2], sent + more
      if not is_possible(now) then return end
    end
    best = math.min(best, sent)
  end
  if #from == 1 then
    try { { 1, to[1] } }
    return best
  end
  for first = 1, 2 do
    local second = 3 - first
    try { { first, to[first] }, { second, to[second] } }
    try { { first, R }, { second, to[second] }, { first, to[first] } }
  end
  return best
end

-- ---- what is sent ----

local function product_of(list)
  local n = 1
  for _, extent in ipairs(list) do n = n * extent end
  return n
end

-- The part of the matrix that a rank has, but for terms.
local function part_of(list, extents, rank)
  local ranges, at = { {}, {} }, rank
  for i = #extents, 1, -1 do
    local index = at % extents[i]
    at = at // extents[i]
    if list[i].dim then
      local size = SIZE // extents[i]
      ranges[list[i].dim + 1] = { index * size, index * size + size }
    end
  end
  return MATRIX[ranges]
end

-- Ranks that have the terms of the same part as this one, one after another; nil if it is not the first.
local function terms_of(list, extents, rank)
  local ranks = { rank }
  local stride = 1
  for i = #extents, 1, -1 do
    if list[i].kind == "partial" then
      if rank // stride % extents[i] ~= 0 then return nil end
      local more = {}
      for _, first in ipairs(ranks) do
        for k = 0, extents[i] - 1 do more[#more + 1] = first + k * stride end
      end
      ranks = more
    end
    stride = stride * extents[i]
  end
  return ranks
end

local function text(list)
  local words = {}
  for i, placement in ipairs(list) do words[i] = tostring(placement) end
  return "(" .. table.concat(words, ", ") .. ")"
end

local function sent()
  return runtime.engine:stats().bytes.ipcq
end

-- Check what ranks have got and sent.
local function check(from, to, extents, got, bytes)
  local n, have, case = product_of(extents), BYTES, text(from) .. " to " .. text(to)
  for i, placement in ipairs(from) do
    if placement.dim then have = have // extents[i] end
  end
  lu.assertEquals(bytes, n * least(from, to, extents, have), case)
  for rank = 0, n - 1 do
    local terms = terms_of(to, extents, rank)
    if terms then
      local sum = np.zeros(got[rank].shape, "f32")
      for _, other in ipairs(terms) do sum = sum + got[other] end
      lu.assertEquals(sum:tolist(), part_of(to, extents, rank):tolist(), ("%s, rank %d"):format(case, rank))
    end
  end
end

-- Every rank comes here with all its work done before the first one goes on. Takes no time and sends nothing.
local function meet()
  torch.accelerator.synchronize()
  dist.new_group()
end

-- What a rank does: go from each list of placements to each other one on a mesh.
local function go(rank, lists, extents, shared)
  torch.ahbm.set_device(rank)
  dist.init_process_group "ahbm"
  local mesh = tp.init_device_mesh("ahbm", extents)
  local whole = torch.from_numpy(MATRIX, { dp = mesh:size() > 2 and tp.rows() or nil })
  for i, from in ipairs(lists) do
    local x = tp.distribute_tensor(whole, mesh, from)
    for k, to in ipairs(lists) do
      local case = i * #lists + k
      meet()
      shared[case] = shared[case] or { before = sent(), got = {} }
      local y = x:redistribute(to)
      meet()
      shared[case].bytes = shared[case].bytes or sent() - shared[case].before
      shared[case].got[rank] = y:to_local():numpy()
      meet()
      if rank == 0 then check(from, to, extents, shared[case].got, shared[case].bytes) end
    end
  end
end

-- All ordered pairs of lists, on SIPs of two cubes of four PEs, with the all-reduce that sends least.
local function check_pairs(lists, extents)
  local n, path, shared = product_of(extents), os.tmpname(), {}
  local file = assert(io.open(path, "w"))
  file:write("defaults:\n  algorithm: ring_chunked\n")
  file:close()
  local ok, problem = pcall(helper.simulate, function()
    torch.multiprocessing.spawn(helper.watched(go), { args = { lists, extents, shared }, nprocs = n })
  end, { sets = { "system.sips.count=" .. n, "sip.cube_mesh.h=1" }, ccl_yaml = path })
  os.remove(path)
  lu.assertTrue(ok, tostring(problem))
end

local TestBytes = {}

function TestBytes:test_one_dimension()
  local lists = {}
  for i, placement in ipairs(ALL) do lists[i] = { placement } end
  for _, n in ipairs { 2, 4, 8 } do check_pairs(lists, { n }) end
end

function TestBytes:test_two_dimensions()
  local lists = {}
  for _, a in ipairs(ALL) do
    for _, b in ipairs(ALL) do
      if is_possible { a, b } then lists[#lists + 1] = { a, b } end
    end
  end
  check_pairs(lists, { 2, 2 })
end

helper.main { TestBytes = TestBytes }
