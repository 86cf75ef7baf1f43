# A machine whose figures are easy to work out: 3 SIPs of 2 x 3 cubes, a 4 x 4 NOC, 4 PEs
$ cat >small.yaml <<'END'
> system: {sips: {count: 3}, fabric: {bw_gbs: 100}}
> sip:
>   cube_mesh: {w: 2, h: 3}
>   io_chiplets: [{side: N}]
> cube:
>   pe_layout: {pe_per_corner: 1}
>   memory_map: {hbm_total_gb_per_cube: 12, hbm_slices_per_cube: 4}
>   noc: {rows: 4, cols: 4, bw_gbs: 200, missing: []}
>   ucie: {connections: 2, bw_gbs: 50}
>   hbm_ctrl: {pseudo_channels: 4, pc_bw_gbs: 30, efficiency: 0.5}
> END

# The report names the file and what it describes
$ kernbench topology small.yaml
small.yaml: ok, 3 SIPs of 2 x 3 cubes with 4 PEs each

  counts .*cube +SIP +system (re)
...
  capacity .* (re)
  HBM .* 3 GiB +12 GiB +72 GiB +216 GiB (re)
...
  from the host .* (re)

  inside a cube: sip0.cube0.pe.*, limited by .* (re)
...

# The file may be given as elsewhere, but not twice
$ kernbench topology --topology small.yaml >a && kernbench topology small.yaml >b && cmp a b
$ kernbench topology small.yaml --topology small.yaml
kernbench: two topology files are given, small.yaml and small.yaml
[2]
$ kernbench topology small.yaml --view cube
kernbench: --view says what to draw; it needs --svg OUT.svg
[2]
$ kernbench topology small.yaml --svg a.svg --view chip
kernbench: argument for option '--view' must be one of .*; see `kernbench topology --help` (re)
[2]

# Wrong files and wrong overrides are refused with their place
$ kernbench topology nowhere.yaml
kernbench: nowhere.yaml: cannot open: No such file or directory
[2]
$ sed 's/rows: 4/rwos: 4/' small.yaml >bad.yaml; kernbench topology bad.yaml --svg bad.svg; code=$?; ls *.svg* 2>/dev/null; exit $code
kernbench: bad.yaml:8:9: cube.noc.rwos: unknown key; did you mean "rows"?
[2]
$ kernbench topology small.yaml --set cube.noc.rows=99
kernbench: --set cube.noc.rows=99: expected an integer from 1 to 16, got "99"
[2]

# The figures of --json are those that follow from the file
$ cat >check.lua <<'END'
> local j = require("cjson").decode(io.read("a"))
> local function is(what, got, expected)
>   if got ~= expected then print(what, "is", got, "and should be", expected) end
> end
> local SIPS, W, H, PES, SLICES, CONNECTIONS = 3, 2, 3, 4, 4, 2
> local CUBES, GIB = W * H, 2^30
> is("schema", j.schema, 1)
> is("set", #j.set, 0)
>
> local c = j.counts
> is("SIPs", c.sips.system, SIPS)
> is("cubes", c.cubes.system, SIPS * CUBES)
> is("chiplets", c.io_chiplets.system, SIPS)
> is("PEs", c.pes.system, SIPS * CUBES * PES)
> is("slices", c.hbm_slices.sip, CUBES * SLICES)
> is("routers", c.routers.system, SIPS * CUBES * 16)
> local io_nodes = 3 + W * CONNECTIONS                           -- io_noc, pcie_ep, io_cpu, PHYs
> is("nodes of a SIP", c.nodes.sip, CUBES * c.nodes.cube + io_nodes)
> is("nodes", c.nodes.system, 2 + SIPS * c.nodes.sip)            -- the host and the switch
> local mesh = 2 * 4 * 3                                         -- between the routers
> local pes = PES * (5 + 1)                                      -- to the router, and pe_dma to a crossbar
> local xbars = 4 + SLICES + PES                                 -- bridges, slices, routers
> local cube = mesh + 4 * CONNECTIONS + 2 + pes + xbars          -- 2: m_cpu, sram
> is("links of a cube", c.links.cube, cube)
> local between = (1 * 3 + 2 * 2) * CONNECTIONS                  -- neighbours in the mesh of cubes
> local io = (2 + W * CONNECTIONS) + W * CONNECTIONS             -- the chiplet's star, its wires to the cubes
> is("links of a SIP", c.links.sip, CUBES * cube + between + io)
> is("links", c.links.system, SIPS * (c.links.sip + 2))          -- PCIe and fabric
>
> is("HBM slice", j.capacity_bytes.hbm.each, 12 / SLICES * GIB)
> is("HBM", j.capacity_bytes.hbm.system, SIPS * CUBES * 12 * GIB)
> is("SRAM", j.capacity_bytes.sram.sip, CUBES * 32 * 2^20)
> is("TCM", j.capacity_bytes.tcm.system, SIPS * CUBES * PES * 16 * 2^20)
>
> local b = j.bandwidth_gbs
> is("slice peak", b.hbm_peak.each, 4 * 30)
> is("HBM peak", b.hbm_peak.system, SIPS * CUBES * SLICES * 4 * 30)
> is("HBM reached", b.hbm_efficiency.cube, SLICES * 4 * 30 * 0.5)
> is("PE to HBM", b.pe_to_hbm.cube, PES * 256)
> is("NOC bisection", b.noc_bisection.gbs, 4 * 200)              -- four rows, or four columns, are cut
> is("UCIe side", b.ucie_side.gbs, CONNECTIONS * 50)
> is("SIP bisection", b.sip_bisection.gbs, 2 * CONNECTIONS * 50) -- between two rows of two cubes
> is("PCIe", b.pcie.system, SIPS * 64)
> is("fabric", b.fabric.system, SIPS * 100)
>
> local gemm = 2 * 32 * 32 * 8 * 1 / 1000                        -- TFLOP/s at 1 GHz
> is("gemm", j.compute_tflops.gemm_f16.each, gemm)
> is("gemm of all", math.abs(j.compute_tflops.gemm_f16.system - SIPS * CUBES * PES * gemm) < 1e-6, true)
> is("math", j.compute_tflops.math_f16.each, 128 / 1000)
>
> local limit = { cube = 60, sip = 50, sips = 50, host = 50 }    -- a slice; UCIe
> is("routes", #j.longest_routes, 4)
> for _, route in ipairs(j.longest_routes) do
>   is("bottleneck of " .. route.scope, route.bottleneck_gbs, limit[route.scope])
> end
> END
$ kernbench topology small.yaml --json >small.json && lua5.4 check.lua <small.json

# The longest route inside a cube of the default machine, worked out: from PE 0 (2, 2) over the top
# crossbar (7, 5), the left bridge (3, 7) and the bottom crossbar (7, 9) to slice 4 (4, 8); in mm
$ cat >route.lua <<'END'
> local scope, mm, overhead, links = arg[1], load("return " .. arg[2])(), load("return " .. arg[3])(), tonumber(arg[4])
> for _, route in ipairs(require("cjson").decode(io.read("a")).longest_routes) do
>   if route.scope == scope then
>     local ns = overhead + 0.01 * mm
>     print(route.mm == mm, route.links == links, math.abs(route.command_ns - ns) < 1e-9, route.from, route.to)
>   end
> end
> END
$ kernbench topology $ROOT/topology.yaml --json | lua5.4 route.lua cube '(5+3) + (4+2) + (4+2) + (3+1)' '2 + 1 + 2' 4 | tr '\t' ' '
true true true sip0.cube0.pe0.pe_dma sip0.cube0.hbm_ctrl.slice4

# From the host to the only slice of the smallest machine: PCIe, two wires of the chiplet, UCIe, to
# router r0c0 (2, 2), to the crossbar (7, 5), to the slice (7, 6)
$ kernbench topology $ROOT/tests/data/topologies/one_pe.yaml --json | lua5.4 route.lua host '200 + 2 + 2 + 2 + 2 + (5+3) + 1' '5 + 8 + 8 + 2' 7 | tr '\t' ' '
true true true host sip0.cube0.hbm_ctrl.slice0

# A machine of a thousand SIPs is looked at as quickly
$ timeout 60 kernbench topology small.yaml --set system.sips.count=1024 --set address.sip_bits=10 --json >many.json
> lua5.4 -e 'local j = require("cjson").decode(io.open("many.json"):read("a")); print(j.counts.sips.system // 1 | 0, j.set[1])'
1024	system.sips.count=1024

# A drawing is well-formed XML, all of its views and each of them
$ cat >xml.lua <<'END'
> local text, open, elements = io.open(arg[1]):read("a"), {}, 0
> assert(text:sub(1, 38) == '<?xml version="1.0" encoding="UTF-8"?>' and utf8.len(text))
> text = text:gsub("^<%?.-%?>", "")
> local at = 1
> while true do
>   local from, to = text:find("<[^>]*>", at)
>   local between = text:sub(at, (from or #text + 1) - 1)
>   assert(not between:find("[<>]") or between:find("rect:hover"), between)
>   assert(not between:gsub("&%w+;", ""):gsub("&#%d+;", ""):find("&"), between)
>   if not from then break end
>   local tag = text:sub(from, to)
>   if tag:sub(2, 2) == "/" then
>     assert(table.remove(open) == tag:match("^</(%w+)>$"), tag)
>   else
>     local name, rest, slash = tag:match("^<(%w+)(.-)(/?)>$")
>     local left = rest:gsub('%s+[%w:%-]+="[^"<]*"', "")
>     assert(name and left:match("^%s*$"), tag)
>     elements = elements + 1
>     if slash == "" then open[#open + 1] = name end
>   end
>   at = to + 1
> end
> assert(#open == 0, open[#open])
> print(elements > 20)
> END
$ kernbench topology small.yaml --svg all.svg >report && cmp report a && lua5.4 xml.lua all.svg
true
$ for view in system sip cube pe; do
>   kernbench topology small.yaml --svg $view.svg --view $view >/dev/null && lua5.4 xml.lua $view.svg
> done
true
true
true
true
$ command -v xmllint >/dev/null || exit 0; xmllint --noout all.svg system.svg sip.svg cube.svg pe.svg

# It says what it shows: the file, overrides, names, bandwidths and lengths to hover over
$ cp small.yaml 'a&b<1>.yaml' && kernbench topology 'a&b<1>.yaml' --set cube.noc.bw_gbs=300 --svg odd.svg >/dev/null
> lua5.4 xml.lua odd.svg && grep -c 'a&amp;b&lt;1&gt;.yaml: cube<' odd.svg && grep -c -e '--set cube.noc.bw_gbs=300' odd.svg
true
1
4
$ grep -o '<title>r0c0 to r0c1: [^<]*' cube.svg
<title>r0c0 to r0c1: 200 GB/s each way, 2 mm
$ grep -o '<title>sip2.io0.pcie_ep[^<]*\|<title>fabric.switch0 to sip1[^<]*' system.svg
<title>fabric.switch0 to sip1.io0.pcie_ep: 100 GB/s each way, 200 mm
<title>sip2.io0.pcie_ep

# Equal machines make equal bytes; an older drawing is replaced
$ cp all.svg first.svg && echo old >all.svg && kernbench topology small.yaml --svg all.svg >/dev/null && cmp first.svg all.svg

# A drawing that cannot be written is a message, and nothing is left behind
$ mkdir there && kernbench topology small.yaml --svg there
kernbench: cannot write there: Is a directory
[2]
$ kernbench topology small.yaml --svg nowhere/a.svg
kernbench: cannot write nowhere/a.svg: No such file or directory
[2]
$ ln -s /dev/full full.svg.part && kernbench topology small.yaml --svg full.svg; code=$?; rm -f full.svg.part; exit $code
kernbench: cannot write full.svg: No space left on device
[2]
$ ls *.part full.svg nowhere 2>/dev/null; ls there
