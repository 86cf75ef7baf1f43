-- Products of many shapes on one PE, with both operands streamed, A loaded first, and both loaded first: time,
-- rate, how busy each engine was, and how near it came to the roofline, with the resource that sets that.
local np = require "kernbench.np"
local torch = require "kernbench.torch"
local kernels = require "kernels.gemm"
local reference = require "kernels.reference"

local SHAPES = "32x32x32,32x64x32,32x128x32,32x128x128,32x3072x32,8x128x128,128x8x128,512x512x512"
local FORMS = "ref/ref,load/ref,load/load"
local TCM = 12 << 20 -- bytes that kernels have of it, by default

local function parse(shapes)
  local list = {}
  for word in shapes:gmatch("[^,]+") do
    local m, k, n = word:match("^%s*(%d+)x(%d+)x(%d+)%s*$")
    local shape = { math.tointeger(m), math.tointeger(k), math.tointeger(n), name = word }
    assert(m and shape[1] > 0 and shape[2] > 0 and shape[3] > 0,
      ("--shapes: '%s' is not a shape such as 32x64x32"):format(word))
    list[#list + 1] = shape
  end
  return list
end

local function parse_forms(forms)
  local list = {}
  for word in forms:gmatch("[^,]+") do
    local a, b = word:match("^%s*(%a+)/(%a+)%s*$")
    assert((a == "ref" or a == "load") and (b == "ref" or b == "load"),
      ("--forms: '%s' is not ref/ref, load/ref, ref/load or load/load"):format(word))
    list[#list + 1] = { a, b }
  end
  return list
end

local function print_row(...)
  print(("%-16s  %-9s  %12s  %9s  %6s  %6s  %6s  %6s  %8s  %s"):format(...))
end

local function percent(share)
  return ("%.1f %%"):format(100 * share)
end

-- One product: its row of the table.
local function measure(shape, operands, kernel, args, dtype)
  local M, K, N = table.unpack(shape)
  local dp = torch.DPPolicy { num_cubes = 1, num_pes = 1 }
  local random, data = np.random(1), torch.ahbm.has_data()
  local x, y = random:randn({ M, K }, dtype), random:randn({ K, N }, dtype)
  local a <close> = torch.from_numpy(x, { dp = dp, name = "a" })
  local b <close> = torch.from_numpy(y, { dp = dp, name = "b" })
  local out <close> = torch.empty({ M, N }, { dtype = "f16", dp = dp, name = "out" })
  local s = torch.launch(shape.name .. " " .. operands, kernel, a, b, out, table.unpack(args)):stats()
  if data then
    local expected = reference.gemm(x, y)
    assert(np.allclose(out:numpy():astype "f64", expected, { rtol = 2e-3, atol = 2e-2 }), "the product is wrong")
  end
  local e = s.engines
  print_row(shape.name, operands, ("%.3f"):format(s.time_ns), ("%.3f"):format(s.tflops),
    percent(e.pe_dma_read.utilization), percent(e.pe_fetch.utilization), percent(e.pe_gemm.utilization),
    percent(e.pe_dma_write.utilization), percent(s.roofline.fraction), s.roofline.of)
  return s
end

local function run(args)
  local best = { fraction = 0, tflops = 0 }
  local function keep(s)
    best.fraction = math.max(best.fraction, s.roofline.fraction)
    best.tflops = math.max(best.tflops, s.tflops)
  end
  local shapes, forms = parse(args.shapes), parse_forms(args.forms)
  print_row("M x K x N", "a/b", "ns", "TFLOP/s", "read", "fetch", "gemm", "write", "roofline", "of")
  for _, shape in ipairs(shapes) do
    local bytes = (shape[1] + shape[3]) * shape[2] * 2
    for _, form in ipairs(forms) do
      if form[2] == "ref" or bytes <= TCM then
        keep(measure(shape, form[1] .. "/" .. form[2], kernels.streamed, form, args.dtype))
      end
    end
    if args.panel > 0 and (shape[1] + 2 * math.min(args.panel, shape[3])) * shape[2] * 2 <= TCM then
      keep(measure(shape, "panels", kernels.panels, { args.panel, args.panel }, args.dtype))
    end
  end
  return { best_roofline = percent(best.fraction), best_tflops = ("%.3f"):format(best.tflops) }
end

return {
  name = "gemm_sweep",
  description = "GEMM on one PE over shapes and operand forms: time, rate, use of engines, roofline.",
  args = {
    shapes = { default = SHAPES, help = "Shapes MxKxN, separated by commas." },
    forms = { default = FORMS, help = "How a and b come: streamed (ref) or loaded first, separated by commas." },
    dtype = { default = "f16", choices = { "f16", "bf16", "f8e4m3", "f8e5m2" }, help = "Of the operands." },
    panel = { default = 0, help = "Also by panels of so many rows and columns, loaded ahead." },
  },
  run = run,
}
