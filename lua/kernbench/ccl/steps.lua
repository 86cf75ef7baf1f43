--- What the kernels of collectives are made of: cutting messages, exchanging them, combining them.
--
-- Everything here runs inside kernels and uses nothing but `tl`, so it runs on the mock as well. `c` is
-- what a kernel gets first; see algorithms.lua.
--
-- No step can block for ever, whatever the number of slots and the size of the message:
--
-- * An exchange sends its first `ahead` pieces, and from then on receives one before it sends one. Every
--   ring concerned holds `ahead` pieces. Give sending piece i the date i, and receiving piece i the date
--   i + ahead - 1/2: what either waits for (its own program before it, the peer's sending of piece i, the
--   peer's receiving of the piece that is as many before i as the ring holds) has an earlier date. Hence no
--   cycle of waits. Where pieces differ in size, ranks may differ in `ahead`; each takes one that suits all
--   the rings it sends to and receives from, and the argument holds.
-- * Going up or down a tree, messages flow in one direction, and trees have no cycles.
-- * A step begins where the one before has consumed all it was sent.
local shapes = require "kernbench.shape"
local tl = require "kernbench.tl"

local M = {}

local ITEM = { f16 = 2, bf16 = 2, f32 = 4, f64 = 8, i8 = 1, i16 = 2, i32 = 4, i64 = 8,
  u8 = 1, u16 = 2, u32 = 4, u64 = 8, bool = 1 }

local BUDGET = 6 * 1024 * 1024 -- bytes of TCM that a collective may keep tiles in

---@class ccl.Cut
---@field at integer first element
---@field n integer elements
---@field shape integer[] {n}

---@alias ccl.Cuts ccl.Cut[] a range of elements in pieces that are sent one by one

--- Number of elements of what this PE holds.
---@param ptr Pointer
---@return integer
function M.count(ptr)
  return shapes.numel(ptr.shape)
end

local NOTHING = {} -- no pieces, or no tiles; never changed

-- Pieces of a message that are under way at a time, if it has several.
local function window(c)
  return math.min(2, c.n_slots)
end

--- Elements of the pieces that a message of `n` is sent in: all, or of which the ring holds `window`.
---@param c ccl.Rank
---@param dtype string
---@param n integer
---@return integer
function M.piece(c, dtype, n)
  local item = ITEM[dtype]
  if n * item <= c.n_slots * c.slot_size then
    return n
  end
  return math.max(1, c.n_slots // window(c) * c.slot_size // item)
end

--- The range [at, at + n) in pieces: one if the ring holds it whole, else such that it holds `window`.
---@param c ccl.Rank
---@param dtype string
---@param at integer
---@param n integer
---@return ccl.Cuts
function M.cut(c, dtype, at, n)
  if n == 0 then
    return NOTHING
  end
  local size, cuts = M.piece(c, dtype, n), {}
  for from = 0, n - 1, size do
    local length = math.min(size, n - from)
    cuts[#cuts + 1] = { at = at + from, n = length, shape = { length } }
  end
  return cuts
end

--- The range in `count` parts as equal as possible, each as pieces: parts[0] to parts[count - 1]. The
--- first parts are longer by one element where it does not divide; parts may be empty.
---@return ccl.Cuts[]
function M.parts(c, dtype, at, n, count)
  local parts = {}
  for i = 0, count - 1 do
    local size = n // count + (i < n % count and 1 or 0)
    parts[i] = M.cut(c, dtype, at, size)
    at = at + size
  end
  return parts
end

--- `count` equal parts of `n` elements each, from element `at`, as pieces.
---@return ccl.Cuts[]
function M.blocks(c, dtype, at, n, count, stride)
  local parts = {}
  for i = 0, count - 1 do parts[i] = M.cut(c, dtype, at + i * stride, n) end
  return parts
end

--- Ranges that fit into TCM `copies` times: for at, n in steps.segments(count, dtype, copies).
---@param count integer elements
---@param dtype string
---@param copies integer
---@return fun(): integer?, integer?
function M.segments(count, dtype, copies)
  local size, at = math.max(1, BUDGET // (ITEM[dtype] * copies)), 0
  return function()
    if at >= count then
      return nil
    end
    local from = at
    at = at + size
    return from, math.min(size, count - from)
  end
end

--- Load pieces into TCM.
---@param ptr Pointer
---@param cuts ccl.Cuts
---@return Tile[]
function M.load(ptr, cuts)
  if #cuts <= 1 then
    return cuts[1] and { tl.load(ptr + cuts[1].at, cuts[1].shape) } or NOTHING
  end
  local tiles = {}
  for i, cut in ipairs(cuts) do tiles[i] = tl.load_async(ptr + cut.at, cut.shape) end
  for i = 1, #tiles do tiles[i] = tl.wait(tiles[i]) end
  return tiles
end

--- Begin to load pieces: for `ready`, which waits where they are needed.
---@param ptr Pointer
---@param cuts ccl.Cuts
---@return Handle[]
function M.fetch(ptr, cuts)
  if not cuts[1] then
    return NOTHING
  end
  local handles = { pending = true }
  for i, cut in ipairs(cuts) do handles[i] = tl.load_async(ptr + cut.at, cut.shape) end
  return handles
end

--- The tiles of what was fetched; tiles are left as they are.
---@param list Handle[]|Tile[]
---@return Tile[]
function M.ready(list)
  if list.pending then
    for i = 1, #list do list[i] = tl.wait(list[i]) end
    list.pending = nil
  end
  return list
end

--- Store them; does not wait.
---@param ptr Pointer
---@param cuts ccl.Cuts
---@param tiles Tile[]
function M.store(ptr, cuts, tiles)
  for i, cut in ipairs(cuts) do tl.store_async(ptr + cut.at, tiles[i]) end
end

-- Up to this many bytes, putting tiles together costs less than storing them one by one.
local JOINED = 4096

--- Whether parts of `n` elements in all are better stored together, by store_joined.
---@param parts ccl.Cuts[] from part 0
---@return boolean
function M.are_short(dtype, n, parts)
  return n * ITEM[dtype] <= JOINED and #parts[0] == 1
end

--- The tile of parts that follow one another.
---@param tiles Tile[][] from part 0; parts of one piece or none, not all of none
---@param count integer parts
---@return Tile
function M.joined(tiles, count)
  local list = {}
  for i = 0, count - 1 do list[#list + 1] = tiles[i][1] end
  while #list > 1 do
    local half = {}
    for i = 1, #list, 2 do half[#half + 1] = list[i + 1] and tl.cat(list[i], list[i + 1], 0) or list[i] end
    list = half
  end
  return list[1]
end

--- Store short parts that follow one another, in one piece; does not wait.
---@param ptr Pointer
---@param at integer first element
---@param tiles Tile[][]
---@param count integer
function M.store_joined(ptr, at, tiles, count)
  tl.store_async(ptr + at, M.joined(tiles, count))
end

-- ---- combining ----

local function add(a, b) return a + b end
local COMBINE = { sum = add, avg = add, max = tl.maximum, min = tl.minimum,
  product = function(a, b) return a * b end, band = function(a, b) return a & b end,
  bor = function(a, b) return a | b end, bxor = function(a, b) return a ~ b end }

--- The reduction of two tiles.
---@param c ccl.Rank
---@param a Tile
---@param b Tile
---@return Tile
function M.combine(c, a, b)
  return COMBINE[c.op](a, b)
end

local function is_float(dtype)
  local first = dtype:sub(1, 1)
  return first == "f" or first == "b" and dtype ~= "bool"
end

--- What remains to be done when all ranks are in: the quotient of an average; integers round down.
---@param c ccl.Rank
---@param tiles Tile[]
---@return Tile[]
function M.finish(c, tiles)
  if c.op ~= "avg" or c.world == 1 then
    return tiles
  end
  local done = {}
  for i, tile in ipairs(tiles) do
    done[i] = is_float(tile.dtype) and tile / c.world or tile // c.world
  end
  return done
end

--- Pieces of several members, reduced in the order of the members whatever the order they come in, so
--- that every member computes the same bits. Where the order cannot matter they are reduced at once.
---@class ccl.Gathering
local Gathering = {}
Gathering.__index = Gathering

---@return ccl.Gathering
function M.gathering(c, dtype)
  local exact = c.op == "max" or c.op == "min" or not is_float(dtype)
  return setmetatable({ c = c, exact = exact, members = {} }, Gathering)
end

local function combine_all(c, a, b)
  local combined = {}
  for i = 1, #a do combined[i] = M.combine(c, a[i], b[i]) end
  return combined
end

---@param member integer from 0
---@param tiles Tile[]
function Gathering:add(member, tiles)
  if self.exact then
    self.total = self.total and combine_all(self.c, self.total, tiles) or tiles
  else
    self.members[member + 1] = tiles
  end
end

---@return Tile[]
function Gathering:result()
  local total = self.total
  for _, tiles in ipairs(self.members) do
    total = total and combine_all(self.c, total, tiles) or tiles
  end
  return total
end

-- ---- exchanging ----

-- Pieces to send ahead: 2 if any two pieces of these flows fit into a ring together.
local function ahead_of(c, dtype, flows)
  local item, longest = ITEM[dtype], 0
  for _, flow in ipairs(flows) do
    for i = 1, flow.out do longest = math.max(longest, flow.tiles[i].shape[1]) end
    for i = 1, flow.coming do longest = math.max(longest, flow.cuts[i].n) end
  end
  return 2 * math.ceil(longest * item / c.slot_size) <= c.n_slots and 2 or 1
end

--- Send and receive at the same time, over one or several flows {to =, tiles =, from =, cuts =, each =}:
--- `tiles` go to direction `to`, pieces as in `cuts` come from direction `from`. Either may be absent.
--- `each(i, tile)` may replace what came. Returns the tiles received, one sequence per flow.
---@param c ccl.Rank
---@param dtype string
---@param ... table flows
---@return Tile[] ...
function M.exchange(c, dtype, ...)
  local flows, got, most = { ... }, {}, 0
  for f, flow in ipairs(flows) do
    got[f] = {}
    flow.out = flow.to and #flow.tiles or 0
    flow.coming = flow.from and #flow.cuts or 0
    most = math.max(most, flow.out, flow.coming)
  end
  local ahead = most > 1 and ahead_of(c, dtype, flows) or 1
  for i = 1, ahead do
    for _, flow in ipairs(flows) do
      if i <= flow.out then tl.send(flow.to, flow.tiles[i]) end
    end
  end
  for i = 1, most do
    for f, flow in ipairs(flows) do
      if i <= flow.coming then
        local tile = tl.recv(flow.from, flow.cuts[i].shape, dtype)
        got[f][i] = flow.each and flow.each(i, tile) or tile
      end
    end
    for _, flow in ipairs(flows) do
      if i + ahead <= flow.out then tl.send(flow.to, flow.tiles[i + ahead]) end
    end
  end
  return table.unpack(got)
end

-- The exchange of one flow, which is most of what collectives do: nothing is built for short messages.
local function pass(c, dtype, to, tiles, from, cuts, each)
  if #tiles <= 1 and #cuts <= 1 then
    if tiles[1] then tl.send(to, tiles[1]) end
    if not cuts[1] then
      return NOTHING
    end
    local tile = tl.recv(from, cuts[1].shape, dtype)
    return { each and each(1, tile) or tile }
  end
  return (M.exchange(c, dtype, { to = to, tiles = tiles, from = from, cuts = cuts, each = each }))
end

--- A ring as an algorithm sees it: how many members, which one this is, and the directions to the next
--- and the previous one.
---@class ccl.Ring
---@field n integer
---@field me integer
---@field next string
---@field previous string

-- Both ways around a ring.
local function pass_both(c, dtype, ring, onward, backward, cuts)
  if #cuts <= 1 then
    tl.send(ring.next, onward[1])
    tl.send(ring.previous, backward[1])
    local from_previous = tl.recv(ring.previous, cuts[1].shape, dtype)
    return { from_previous }, { (tl.recv(ring.next, cuts[1].shape, dtype)) }
  end
  return M.exchange(c, dtype, { to = ring.next, tiles = onward, from = ring.previous, cuts = cuts },
    { to = ring.previous, tiles = backward, from = ring.next, cuts = cuts })
end

--- Every member's tiles to every member, in n - 1 rounds, and reduced.
---@param c ccl.Rank
---@param ring ccl.Ring
---@return Tile[]
function M.ring_reduce(c, ring, dtype, cuts, tiles)
  local gathering = M.gathering(c, dtype)
  gathering:add(ring.me, tiles)
  for round = 1, ring.n - 1 do
    tiles = pass(c, dtype, ring.next, tiles, ring.previous, cuts)
    gathering:add((ring.me - round) % ring.n, tiles)
  end
  return gathering:result()
end

--- The same with both directions in use: ceil((n - 1) / 2) rounds.
---@return Tile[]
function M.ring_reduce_both_ways(c, ring, dtype, cuts, tiles)
  local gathering = M.gathering(c, dtype)
  gathering:add(ring.me, tiles)
  local onward, backward = tiles, tiles
  for round = 1, ring.n // 2 do
    if 2 * round == ring.n then -- both ways would bring the member opposite
      onward = pass(c, dtype, ring.next, onward, ring.previous, cuts)
    else
      onward, backward = pass_both(c, dtype, ring, onward, backward, cuts)
      gathering:add((ring.me + round) % ring.n, backward)
    end
    gathering:add((ring.me - round) % ring.n, onward)
  end
  return gathering:result()
end

--- Parts of all members reduced, member i being left with part i. `parts[i]` are pieces, `tiles[i]` what
--- this member holds of them, loaded or fetched; tiles[me] is replaced by the result.
---@param c ccl.Rank
---@param ring ccl.Ring
function M.reduce_scatter(c, ring, dtype, parts, tiles)
  local n = ring.n
  for step = 1, n - 1 do
    local out, coming = (ring.me - step) % n, (ring.me - step - 1) % n
    if parts[out][1] or parts[coming][1] then
      local own = tiles[coming]
      tiles[coming] = pass(c, dtype, ring.next, M.ready(tiles[out]), ring.previous, parts[coming],
        function(i, tile) return M.combine(c, tile, M.ready(own)[i]) end)
    end
    tiles[out] = nil
  end
end

--- The parts of all members to all members: this one begins with tiles[me] and ends with all. As soon as a
--- part has been passed on it is stored to `out`, if that is given.
---@param c ccl.Rank
---@param ring ccl.Ring
---@param out Pointer?
function M.all_gather(c, ring, dtype, parts, tiles, out)
  local n = ring.n
  for step = 0, n - 2 do
    local going, coming = (ring.me - step) % n, (ring.me - step - 1) % n
    tiles[coming] = NOTHING
    if parts[going][1] or parts[coming][1] then
      tiles[coming] = pass(c, dtype, ring.next, tiles[going], ring.previous, parts[coming])
    end
    if out then M.store(out, parts[going], tiles[going]) end
  end
  if out then M.store(out, parts[(ring.me + 1) % n], tiles[(ring.me + 1) % n]) end
end

-- Pieces from several directions, in the order of the pieces, then of the directions: a function that returns the
-- next. Of several pieces the next one's receives are posted before, so that it is out of its slots when its turn
-- comes.
local function receiver(dtype, cuts, directions)
  local posted, piece, from = {}, 1, 0
  if #cuts > 1 then
    for d, direction in ipairs(directions) do posted[d] = tl.recv_async(direction, cuts[1].shape, dtype) end
  end
  return function()
    from = from + 1
    if from > #directions then piece, from = piece + 1, 1 end
    if #cuts == 1 then
      return (tl.recv(directions[from], cuts[1].shape, dtype))
    end
    local tile = tl.wait(posted[from])
    if piece < #cuts then posted[from] = tl.recv_async(directions[from], cuts[piece + 1].shape, dtype) end
    return tile
  end
end

--- Towards the root of a tree: own pieces combined with the children's, in this order, and passed on.
---@param c ccl.Rank
---@param children string[] directions
---@param parent string? direction; nil at the root
---@return Tile[] of the tree below
function M.reduce_up(c, dtype, cuts, tiles, children, parent)
  local totals, next_tile = {}, receiver(dtype, cuts, children)
  for i = 1, #cuts do
    local total = tiles[i]
    for _ = 1, #children do total = M.combine(c, total, next_tile()) end
    if parent then tl.send(parent, total) end
    totals[i] = total
  end
  return totals
end

--- From the root of a tree; `tiles` is what the root has to say.
---@param c ccl.Rank
---@return Tile[]
function M.broadcast_down(c, dtype, cuts, tiles, children, parent)
  local had, next_tile = {}, receiver(dtype, cuts, M.present(parent))
  for i = 1, #cuts do
    had[i] = parent and next_tile() or tiles[i]
    for _, child in ipairs(children) do tl.send(child, had[i]) end
  end
  return had
end

--- Those of the directions that are not nil.
function M.present(...)
  local names = {}
  for i = 1, select("#", ...) do
    names[#names + 1] = (select(i, ...))
  end
  return names
end

--- A ring as a tree from the root, both ways around it: this rank's parent, nil at the root, and its children.
function M.ring_tree(c)
  local distance = (c.rank - c.root) % c.world -- going east
  local east = c.world // 2 -- ranks whose way to the root leads west
  if distance == 0 then
    return nil, M.present(east > 0 and c.E or nil, c.world - 1 > east and c.W or nil)
  elseif distance <= east then
    return c.W, M.present(distance < east and c.E or nil)
  end
  return c.E, M.present(distance > east + 1 and c.W or nil)
end

return M
