--- The kernel language: what code running on a PE can do, with Triton's names.
--
-- Functions take their arguments by position or as one table of named options. Those that wait return
-- when the PE has finished; simulated time passes meanwhile. The core is in C (src/bind/b_tl.c).
---@class tl
---@field load fun(ptr, shape?: integer[], dtype?: string): Tile a block of memory into TCM; waits
---@field load_async fun(ptr, shape?: integer[], dtype?: string): Handle the same; tl.wait returns the tile
---@field store fun(ptr, value: Tile) a tile to memory; waits
---@field store_async fun(ptr, value: Tile): Handle
---@field ref fun(ptr, shape?: integer[], dtype?: string): Pointer a block that stays in memory and is streamed
---@field dot fun(a: Tile, b: Tile, acc?: Tile, out_dtype?: string): Tile matrix product; accumulates in f32
---@field composite fun(options: {op: "gemm", a: Tile|Pointer, b: Tile|Pointer, out: Pointer}): Handle
---@field wait fun(...: Handle): Tile?
---@field program_id fun(axis?: integer): integer 0: PE in its cube, 1: cube, 2: SIP
---@field num_programs fun(axis?: integer): integer
---@field now fun(): number simulated time in ns
local core = require "kernbench.core.tl"

local M = setmetatable({}, {
  __index = function(_, name)
    local value = core[name]
    if value == nil then
      error(("tl.%s does not exist"):format(tostring(name)), 2)
    end
    return value
  end,
})

--- ceil(a / b) of integers.
---@param a integer
---@param b integer
---@return integer
function M.cdiv(a, b)
  return -(-a // b)
end

--- Raise unless the condition holds; evaluated when the kernel runs, costs no simulated time.
---@param condition any
---@param message string?
function M.static_assert(condition, message)
  if not condition then
    error(message or "static_assert failed", 2)
  end
end

return M
