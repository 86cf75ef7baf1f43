--- What collectives must compute, from the inputs of all ranks on the host: for tests and benches.
local np = require "kernbench.np"

local M = {}

local FOLD = { sum = np.add, avg = np.add, max = np.maximum, min = np.minimum, product = np.mul,
  band = np.bitwise_and, bor = np.bitwise_or, bxor = np.bitwise_xor }

--- The reduction in the order of the ranks, in the inputs' type; averages divide once, integers rounding down.
---@param inputs table<integer, kernbench.array> by rank, from 0
---@param world integer
---@param op string
---@return kernbench.array
function M.reduced(inputs, world, op)
  local total = inputs[0]
  for rank = 1, world - 1 do total = FOLD[op](total, inputs[rank]) end
  if op == "avg" and world > 1 then
    local first = total.dtype:sub(1, 1)
    total = (first == "f" or first == "b") and total / world or total // world
  end
  return total
end

-- Rows first to last - 1 of an array.
local function rows(array, first, last)
  return array[{ { first, last } }]
end

local EXPECTED = {
  all_reduce = function(inputs, world, options)
    local total = M.reduced(inputs, world, options.op or "sum")
    return function() return total end
  end,
  reduce = function(inputs, world, options)
    local total = M.reduced(inputs, world, options.op or "sum")
    return function(rank) return rank == (options.root or 0) and total or inputs[rank] end
  end,
  broadcast = function(inputs, _, options)
    return function() return inputs[options.root or 0] end
  end,
  shift = function(inputs, world)
    return function(rank) return inputs[(rank - 1) % world] end
  end,
  all_gather = function(inputs, world)
    local list = {}
    for rank = 0, world - 1 do list[rank + 1] = inputs[rank] end
    local all = np.concatenate(list)
    return function() return all end
  end,
  reduce_scatter = function(inputs, world, options)
    local total = M.reduced(inputs, world, options.op or "sum")
    local part = total.shape[1] // world
    return function(rank) return rows(total, rank * part, (rank + 1) * part) end
  end,
  all_to_all = function(inputs, world)
    local part = inputs[0].shape[1] // world
    return function(rank)
      local list = {}
      for from = 0, world - 1 do list[from + 1] = rows(inputs[from], rank * part, (rank + 1) * part) end
      return np.concatenate(list)
    end
  end,
}

--- What every rank has to end with, as a function of the rank.
---@param collective string
---@param inputs table<integer, kernbench.array>
---@param world integer
---@param options? {op?: string, root?: integer}
---@return fun(rank: integer): kernbench.array
function M.outputs(collective, inputs, world, options)
  return EXPECTED[collective](inputs, world, options or {})
end

--- Rows of a rank's input such that outputs hold n: collectives that cut need a multiple.
---@param collective string
---@param n integer
---@param world integer
---@return integer
function M.input_rows(collective, n, world)
  return (collective == "reduce_scatter" or collective == "all_to_all") and n * world or n
end

--- Inputs whose reductions are exact in every type: small whole numbers; ones and a few twos for products.
---@param world integer
---@param n integer
---@param dtype string
---@param op? string
---@return table<integer, kernbench.array>
function M.inputs(world, n, dtype, op)
  local inputs = {}
  for rank = 0, world - 1 do
    local random = np.random(1000 * rank + 7)
    if op == "product" then
      inputs[rank] = random:randint(0, 2, { n }, "i64"):mul(2):sub(1):astype(dtype)
      if rank < 3 then inputs[rank] = inputs[rank] * 2 end
    else
      inputs[rank] = random:randint(-2, 3, { n }, "i64"):astype(dtype)
    end
  end
  return inputs
end

return M
