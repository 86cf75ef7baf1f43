--- Arguments of torch.distributed: by name, checked, and what ranks must agree on about them.
local core = require "kernbench.core"
local shares = require "kernbench.dist.shares"
local tensors = require "kernbench.tensor"

local M = {}

--- Raise "torch.distributed.CALL: message" at the user's line.
---@param call string
---@param message string format
---@param ... any
function M.fail(call, message, ...)
  core.raise(("torch.distributed.%s: " .. message):format(call, ...))
end
local fail = M.fail

-- ---- names ----

local PARAMETERS = {
  init_process_group = { "backend", "world_size", "rank" },
  new_group = { "ranks", "backend" },
  barrier = { "group", "async_op" },
  all_reduce = { "tensor", "op", "group", "async_op" },
  reduce = { "tensor", "dst", "op", "group", "async_op" },
  broadcast = { "tensor", "src", "group", "async_op" },
  all_gather_into_tensor = { "output_tensor", "input_tensor", "group", "async_op" },
  reduce_scatter_tensor = { "output", "input", "op", "group", "async_op" },
  all_to_all_single = { "output", "input", "output_split_sizes", "input_split_sizes", "group", "async_op" },
  gather = { "tensor", "gather_list", "dst", "group", "async_op" },
  scatter = { "tensor", "scatter_list", "src", "group", "async_op" },
  send = { "tensor", "dst", "group", "tag" },
  recv = { "tensor", "src", "group", "tag" },
  isend = { "tensor", "dst", "group", "tag" },
  irecv = { "tensor", "src", "group", "tag" },
}

-- A table with names as keys, or an empty one behind other arguments: neither a list nor an object.
local function is_options(value, position)
  if type(value) ~= "table" or getmetatable(value) ~= nil then
    return false
  end
  local key = next(value)
  return type(key) == "string" or key == nil and position > 1
end

local function take_options(call, names, options, args)
  local known, unknown = {}, {}
  for _, name in ipairs(names) do known[name] = true end
  for key, value in pairs(options) do
    if known[key] then args[key] = value else unknown[#unknown + 1] = tostring(key) end
  end
  if #unknown > 0 then
    table.sort(unknown)
    fail(call, "unknown option '%s'; it takes %s", unknown[1], table.concat(names, ", "))
  end
end

--- The arguments of a call by name: given by position, the last one possibly a table of options.
---@param call string
---@param ... any
---@return table
function M.parse(call, ...)
  local given, names, args = table.pack(...), PARAMETERS[call], {}
  if is_options(given[given.n], given.n) then
    take_options(call, names, given[given.n], args)
    given.n = given.n - 1
  end
  if given.n > #names then
    fail(call, "%d arguments; it takes %s", given.n, table.concat(names, ", "))
  end
  for i = 1, given.n do
    if given[i] ~= nil then args[names[i]] = given[i] end
  end
  if args.async_op ~= nil and type(args.async_op) ~= "boolean" then
    fail(call, "async_op is a %s; expected true or false", type(args.async_op))
  end
  return args
end

-- ---- values ----

--- A tensor of this rank.
---@param call string
---@param name string of the argument
---@param tensor any
---@param rank integer
---@return Tensor
function M.tensor(call, name, tensor, rank)
  if not tensors.is_tensor(tensor) then
    fail(call, "%s is a %s; expected a tensor", name, type(tensor))
  elseif tensor.raw:is_freed() then
    fail(call, "tensor '%s' has been freed", tensor.name)
  elseif tensor.sip ~= rank then
    fail(call, "tensor '%s' is on sip%d, those of rank %d are on sip%d; call torch.ahbm.set_device(rank) before "
      .. "making them", tensor.name, tensor.sip, rank, rank)
  end
  return tensor
end

local OPS = { sum = "any", avg = "any", product = "any", min = "any", max = "any", band = "integer", bor = "integer",
  bxor = "integer" }

--- A reduction that the tensor's type has; the sum if absent.
---@return string
function M.op(call, op, tensor)
  op = op or "sum"
  if not OPS[op] then
    fail(call, "op is %s; expected one of torch.distributed.ReduceOp", tostring(op))
  elseif OPS[op] == "integer" and not (tensor.dtype:find "^[iu]%d" or tensor.dtype == "bool") then
    fail(call, "op %s needs integers; tensor '%s' is %s", op, tensor.name, tensor.dtype)
  end
  return op
end

--- A global rank that is in the group.
---@return integer
function M.peer(call, name, rank, group)
  if math.type(rank) ~= "integer" then
    fail(call, "%s is %s; expected a rank", name, tostring(rank))
  elseif not group.member[rank] then
    fail(call, "%s is %d, which is not in the group (%s)", name, rank, table.concat(group.ranks, ", "))
  end
  return rank
end

--- What all ranks must give alike.
---@return string ... name, text, name, text, ...
function M.layout(tensor)
  return "shape", tensors.shape_text(tensor.shape), "dtype", tensor.dtype, "placement", tostring(tensor.dp)
end

--- The same where only dimension 0 may differ.
---@return string ... name, text, name, text, ...
function M.row_layout(tensor)
  local row = table.move(tensor.shape, 2, #tensor.shape, 1, {})
  return "shape of a row", tensors.shape_text(row), "dtype", tensor.dtype, "placement", tostring(tensor.dp)
end

-- ---- several tensors ----

-- The extents of `whole` are those of `part`, `parts` times along dimension 0 or along a new one before.
local function extents_fit(whole, part, parts, stacked)
  local fits = #whole == #part + (stacked and 1 or 0) and whole[1] == (stacked and parts or parts * part[1])
  for d = 2, #whole do
    fits = fits and whole[d] == part[stacked and d - 1 or d]
  end
  return fits
end

-- Tensors of which one is cut along dimension 0, along which the parts of the ranks follow each other: the same
-- PEs reach all rows of both.
local function check_shares(call, a, a_name, b, b_name)
  for _, given in ipairs { { a, a_name }, { b, b_name } } do
    if not shares.scope(given[1]) then
      fail(call, "%s is cut along dimension 0, along which the parts of the ranks follow each other, and the PEs of a "
        .. "SIP or a cube do not hold every row once; cut it along another dimension, or by rows for both cubes and "
        .. "PEs", given[2])
    end
  end
  if shares.scope(a) ~= shares.scope(b) then
    fail(call, "of %s and %s one has a copy in every cube; give both the same placement", a_name, b_name)
  end
end

-- Both are cut alike.
local function check_cuts(call, whole, whole_name, part, part_name, stacked)
  if shares.is_cut(whole) or shares.is_cut(part) then
    return check_shares(call, whole, whole_name, part, part_name)
  end
  local on = {}
  for _, shard in ipairs(part.shards) do on[shard.cube << 8 | shard.pe] = shard end
  for _, shard in ipairs(whole.shards) do
    local other = on[shard.cube << 8 | shard.pe]
    if not other or #whole.shards ~= #part.shards then
      fail(call, "%s and %s are on different PEs; give both the same placement", whole_name, part_name)
    end
    for d = 2, #whole.shape do
      local e = stacked and d - 1 or d
      if shard.start[d] ~= other.start[e] or shard.extent[d] ~= other.extent[e] then
        fail(call, "%s and %s are not cut alike; give both the same placement", whole_name, part_name)
      end
    end
  end
end

--- Raise unless `whole` holds `parts` times `part`, one after another along dimension 0 or stacked along a
--- new one, in all and on every PE.
function M.check_blocks(call, whole, whole_name, part, part_name, parts)
  local stacked = #whole.shape == #part.shape + 1
  if whole.dtype ~= part.dtype then
    fail(call, "%s is %s, %s is %s", whole_name, whole.dtype, part_name, part.dtype)
  elseif not extents_fit(whole.shape, part.shape, parts, stacked) then
    fail(call, "%s is %s, %s is %s; over %d ranks the first must be %d times the second along dimension 0, or have "
      .. "a new dimension 0 of %d", whole_name, tensors.shape_text(whole.shape), part_name,
      tensors.shape_text(part.shape), parts, parts, parts)
  end
  check_cuts(call, whole, whole_name, part, part_name, stacked)
end

--- How dimension 0 of a tensor is shared out among `count` ranks; evenly unless `sizes` says otherwise.
---@return integer[]
function M.splits(call, name, sizes, tensor, count)
  local rows = tensor.shape[1]
  if sizes == nil then
    if rows % count ~= 0 then
      fail(call, "dimension 0 of tensor '%s' is %d, which %d ranks cannot share evenly; give %s", tensor.name, rows,
        count, name)
    end
    sizes = {}
    for i = 1, count do sizes[i] = rows // count end
  end
  local sum = 0
  for i = 1, count do
    local size = type(sizes) == "table" and sizes[i]
    if math.type(size) ~= "integer" or size < 0 then
      fail(call, "%s is not a sequence of %d integers of at least 0", name, count)
    end
    sum = sum + size
  end
  if sum ~= rows or #sizes ~= count then
    fail(call, "%s has %d entries with a sum of %d; expected %d entries with a sum of %d", name, #sizes, sum, count,
      rows)
  end
  return sizes
end

--- Raise unless both tensors have rows of the same type and shape, on the same PEs, and whole columns of them.
function M.check_rows(call, a, a_name, b, b_name)
  local facts, others = { M.row_layout(a) }, { M.row_layout(b) }
  for k = 1, #facts, 2 do
    if facts[k + 1] ~= others[k + 1] then
      fail(call, "%s of %s is %s, of %s %s", facts[k], a_name, facts[k + 1], b_name, others[k + 1])
    end
  end
  if shares.is_cut(a) or shares.is_cut(b) then check_shares(call, a, a_name, b, b_name) end
end

--- The list of tensors that the root gives, and only the root: one like `tensor` for every member.
---@return Tensor[]?
function M.list(call, name, list, tensor, rank, root, group)
  if rank ~= root then
    if list ~= nil then fail(call, "%s is given on rank %d; only rank %d gives it", name, rank, root) end
    return nil
  elseif type(list) ~= "table" or #list ~= #group.ranks then
    fail(call, "rank %d, the root, must give %s, with a tensor for each of the %d ranks", rank, name, #group.ranks)
  end
  for i, item in ipairs(list) do
    M.tensor(call, ("%s[%d]"):format(name, i), item, rank)
    local facts, expected = { M.layout(item) }, { M.layout(tensor) }
    for k = 1, #facts, 2 do
      if facts[k + 1] ~= expected[k + 1] then
        fail(call, "%s of %s[%d] is %s, of the tensor %s", facts[k], name, i, facts[k + 1], expected[k + 1])
      end
    end
  end
  return list
end

return M
