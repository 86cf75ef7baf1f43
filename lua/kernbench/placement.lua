--- Placements: dp.lua's answers, kept. Tensors of the same shape and policy share one, and what is made of it;
--- a model has thousands of tensors on hundreds of PEs, and few placements.
local dp = require "kernbench.dp"
local fail = require("kernbench.core").raise
local shapes = require "kernbench.shape"

local M = {}

---@class kernbench.Placement
---@field pieces table[] {start = {...}, extent = {...}}
---@field flat integer[] cube, pe, piece (from 0), cube, pe, piece, ...
---@field shape integer[]
---@field private raw userdata? the same for engines
---@field private holders table<integer, integer>? by cube
---@field private lists table<integer, table[]> shards as users see them, by SIP and bytes of an element
local Placement = {}
Placement.__index = Placement

local KEPT = 32 -- placements in each of two generations

-- By machine: those asked for lately, and those before them.
local caches = setmetatable({}, { __mode = "k" })

local function cache_of(machine)
  local cache = caches[machine]
  if not cache then
    cache = { count = 0, recent = {}, before = {} }
    caches[machine] = cache
  end
  return cache
end

local function make(shape, policy, machine)
  shape = table.move(shape, 1, #shape, 1, {}) -- the caller's may change
  local pieces, flat = dp.shards(shape, policy, machine)
  return setmetatable({ shape = shape, pieces = pieces, flat = flat, lists = {} }, Placement)
end

--- Where a tensor lies. Raises what dp.shards does.
---@param shape integer[]
---@param policy DPPolicy
---@param machine table
---@return kernbench.Placement
function M.of(shape, policy, machine)
  local cache, key = cache_of(machine), table.concat(shape, ",") .. tostring(policy)
  local known = cache.recent[key]
  if known then
    return known
  end
  local placement = cache.before[key] or make(shape, policy, machine)
  if cache.count == KEPT then
    cache.count, cache.recent, cache.before = 0, {}, cache.recent
  end
  cache.count, cache.recent[key] = cache.count + 1, placement
  return placement
end

--- What engines make tensors from.
---@param engine table
---@return userdata
function Placement:raw_of(engine)
  self.raw = self.raw or engine:placement(self)
  return self.raw
end

--- The PEs that hold a part, as masks by cube. Not to be changed.
---@return table<integer, integer>
function Placement:masks()
  if not self.holders then
    local masks, flat = {}, self.flat
    for i = 1, #flat, 3 do masks[flat[i]] = (masks[flat[i]] or 0) | 1 << flat[i + 1] end
    self.holders = masks
  end
  return self.holders
end

local function describe(placement, sip, item)
  local shape, flat, shards = placement.shape, placement.flat, {}
  for i = 1, #flat, 3 do
    local piece = placement.pieces[flat[i + 2] + 1]
    local offset = 0
    for d = 1, #shape do offset = offset * shape[d] + piece.start[d] end
    shards[#shards + 1] = { sip = sip, cube = flat[i], pe = flat[i + 1], start = piece.start,
      extent = piece.extent, offset_bytes = offset * item, nbytes = shapes.numel(piece.extent) * item }
  end
  return setmetatable(shards, { shards_of = placement, sip = sip, __newindex = function()
    fail("t.shards is shared by all tensors that lie alike; change a copy of it")
  end })
end

--- The parts on a SIP as users see them; offset_bytes counts within the tensor's elements in row-major order. All
--- tensors of this placement, SIP and element size get the same tables.
---@param sip integer
---@param item integer bytes of an element
---@return table[]
function Placement:shards(sip, item)
  local key = sip << 8 | item
  if not self.lists[key] then
    self.lists[key] = describe(self, sip, item)
  end
  return self.lists[key]
end

--- Whose shards a list is, and on which SIP; nil if it is not what Placement:shards returned.
---@param list table
---@return kernbench.Placement?
---@return integer?
function M.of_shards(list)
  local meta = getmetatable(list)
  if type(meta) == "table" and getmetatable(meta.shards_of) == Placement then
    return meta.shards_of, meta.sip
  end
end

return M
