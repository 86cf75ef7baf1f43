--- Who moves what in collectives on tensors that are cut along dimension 0, along which the parts of the ranks
-- follow each other.
--
-- There a PE's part is not a part of every rank's part. But such a tensor is one block in virtual memory, which
-- every PE reaches by ptr:whole(). So a PE moves a share, a range of elements of a rank's part, wherever it lies:
-- what it holds of the smaller of two tensors, or an even share. PEs with the same numbers on the ranks' SIPs
-- have the same share and exchange it.
local M = {}

---@class dist.Shares
---@field pes table[] {cube =, pe =}: who moves something
---@field of table<integer, {at: integer, n: integer}> by cube << 8 | pe

local function place(shard)
  return shard.cube << 8 | shard.pe
end

---@param tensor Tensor
---@return boolean
function M.is_cut(tensor)
  for _, shard in ipairs(tensor.shards) do
    if shard.extent[1] ~= tensor.shape[1] then return true end
  end
  return false
end

-- Every group of shards with that key holds every row once, and whole rows.
local function hold_all(tensor, key)
  local rows, seen = {}, {}
  for _, shard in ipairs(tensor.shards) do
    local group, first = key(shard), shard.start[1]
    for d = 2, #tensor.shape do
      if shard.extent[d] ~= tensor.shape[d] then return false end
    end
    seen[group] = seen[group] or {}
    if seen[group][first] then return false end
    seen[group][first] = true
    rows[group] = (rows[group] or 0) + shard.extent[1]
  end
  for _, count in pairs(rows) do -- the order does not matter
    if count ~= tensor.shape[1] then return false end
  end
  return true
end

--- The PEs that hold a part, for launches on any SIP.
---@param tensor Tensor
---@return {cube: integer, pe: integer}[]
function M.places(tensor)
  local list = {}
  for i, shard in ipairs(tensor.shards) do list[i] = { cube = shard.cube, pe = shard.pe } end
  return list
end

local function one_copy() return 0 end
local function one_per_cube(shard) return shard.cube end

--- The group of PEs of a shard that has every row once: "sip", "cube", or nil if there is none.
---@param tensor Tensor
---@return "sip"|"cube"|nil
function M.scope(tensor)
  return hold_all(tensor, one_copy) and "sip" or hold_all(tensor, one_per_cube) and "cube" or nil
end

--- What each PE holds.
---@param tensor Tensor
---@return dist.Shares
function M.own(tensor)
  local row, of = tensor:numel() // tensor.shape[1], {}
  for _, shard in ipairs(tensor.shards) do
    of[place(shard)] = { at = shard.start[1] * row, n = shard.extent[1] * row }
  end
  return { pes = M.places(tensor), of = of }
end

--- How n elements are shared out evenly: a function that gives the first of them and their number to the PEs
--- of that tensor.
---@param tensor Tensor
---@return fun(cube: integer, pe: integer, n: integer): integer, integer
function M.even(tensor)
  local group, index, count = M.scope(tensor) == "cube" and one_per_cube or one_copy, {}, {}
  for _, shard in ipairs(tensor.shards) do
    local key = group(shard)
    index[place(shard)] = count[key] or 0
    count[key] = (count[key] or 0) + 1
  end
  return function(cube, pe, n)
    local share = -(-n // count[group { cube = cube }])
    local at = math.min(n, index[cube << 8 | pe] * share)
    return at, math.min(share, n - at)
  end
end

--- Even shares of n elements.
---@param tensor Tensor
---@param n integer
---@return dist.Shares
function M.of_block(tensor, n)
  local share, of = M.even(tensor), {}
  for _, shard in ipairs(tensor.shards) do
    local at, count = share(shard.cube, shard.pe, n)
    of[place(shard)] = { at = at, n = count }
  end
  return { pes = M.places(tensor), of = of }
end

return M
