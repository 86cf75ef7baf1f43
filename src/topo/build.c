/* Specification -> graph: the templates of the system, of a cube and of each IO chiplet. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "topo/build_cube.h"
#include "topo/graph.h"

static const kb_param system_params[] = {
    {"ns_per_mm", KB_PARAM_REAL, "ns/mm", "0.01", 0, 10, NULL, "propagation delay of every wire"},
    {"flit_bytes", KB_PARAM_INT, "B", "256", 16, 65536, NULL,
     "unit in which payload moves through links"},
    {"fidelity", KB_PARAM_CHOICE, NULL, "train", 0, 0, "train flit",
     "how payload is simulated: in one go while nobody is in its way, or always flit by flit"},
    {0}};

static const kb_param sips_params[] = {
    {"count", KB_PARAM_INT, NULL, "2", 1, 65536, NULL, "SIPs in the tray"}, {0}};

static const kb_param host_link_params[] = {
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "64", 1e-3, 1e6, NULL,
     "PCIe bandwidth between the host and each IO chiplet, per direction"},
    {"length_mm", KB_PARAM_REAL, "mm", "200", 0, 1e6, NULL, "length of that link"},
    {0}};

static const kb_param fabric_params[] = {
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "128", 1e-3, 1e6, NULL,
     "bandwidth between each IO chiplet and the switch, per direction"},
    {"length_mm", KB_PARAM_REAL, "mm", "200", 0, 1e6, NULL, "length of that link"},
    {0}};

static const kb_param cube_mesh_params[] = {
    {"w", KB_PARAM_INT, NULL, "4", 1, 64, NULL, "cubes in a row of a SIP"},
    {"h", KB_PARAM_INT, NULL, "4", 1, 64, NULL, "rows of cubes in a SIP"},
    {"pitch_mm", KB_PARAM_REAL, "mm", "14", 0.1, 1000, NULL, "edge length of a cube"},
    {0}};

static const kb_param io_chiplet_params[] = {
    {"side", KB_PARAM_CHOICE, NULL, "N", 0, 0, "N E S W", "edge of the cube mesh on which it sits"},
    {0}};

static const kb_param cube_params[] = {
    {"hbm_access", KB_PARAM_CHOICE, NULL, "xbar", 0, 0, "xbar router",
     "how PEs reach HBM: through crossbars, or slices on the PEs' routers"},
    {0}};

static const kb_param pe_layout_params[] = {
    {"corners", KB_PARAM_STRING_LIST, NULL, "[NW, NE, SW, SE]", 0, 0, "NW NE SW SE",
     "corners of a cube that hold PEs, in the order in which PEs are numbered"},
    {"pe_per_corner", KB_PARAM_INT, NULL, "2", 1, KB_PE_MAX, NULL, "PEs in each of these corners"},
    {"pe_routers", KB_PARAM_STRING_LIST, NULL, "[]", 0, 0, NULL,
     "router of every PE, in the order of PEs, such as [r0c0, r0c1]; []: from the corners inwards"},
    {0}};

static const kb_param memory_map_params[] = {
    {"hbm_total_gb_per_cube", KB_PARAM_INT, "GiB", "48", 1, 128, NULL, "HBM capacity of a cube"},
    {"hbm_slices_per_cube", KB_PARAM_INT, NULL, "8", 1, KB_SLICE_MAX, NULL,
     "slices into which a cube's HBM is divided, each with its own controller"},
    {0}};

const kb_section kb_topo_sections[] = {
    {"system", "the tray: one host, identical SIPs, a fabric between them", system_params, false},
    {"system.sips", "how many SIPs", sips_params, false},
    {"system.sips.grid", "how the SIPs are arranged, for collectives", kb_grid_params, false},
    {"system.host_link", "PCIe from the host to every IO chiplet", host_link_params, false},
    {"system.fabric", "links between the SIPs' IO chiplets and the switch", fabric_params, false},
    {"sip.cube_mesh", "the cubes of a SIP", cube_mesh_params, false},
    {"sip.io_chiplets", "IO chiplets of a SIP, each on one edge", io_chiplet_params, true},
    {"cube", "a cube: an HBM die with compute", cube_params, false},
    {"cube.pe_layout", "where the PEs are", pe_layout_params, false},
    {"cube.memory_map", "the cube's HBM", memory_map_params, false},
};
const size_t kb_topo_section_count = sizeof kb_topo_sections / sizeof kb_topo_sections[0];

/* ---- die templates ---- */

uint16_t kb_die_add_node(const kb_graph *graph, kb_die_type *die, kb_node_info info)
{
    char path[96];
    snprintf(path, sizeof path, "%s.overhead_ns", kb_kind_section(info.kind));
    info.overhead = kb_spec_time(graph->spec, path);
    assert(die->nodes.count < KB_TO_PEER);
    kb_vec_push(&die->nodes, info);
    return (uint16_t)(die->nodes.count - 1);
}

void kb_die_add_edge(const kb_graph *graph, kb_die_type *die, uint16_t from, uint16_t to,
                     double length_mm, double gbs)
{
    kb_edge_info edge = {.from = from,
                         .to = to,
                         .length_mm = length_mm,
                         .gbs = gbs,
                         .propagation = kb_time_from_ns(length_mm * graph->ns_per_mm),
                         .flit_occupancy = kb_time_transfer(graph->flit_bytes, gbs)};
    kb_vec_push(&die->edges, edge);
}

void kb_die_join(const kb_graph *graph, kb_die_type *die, uint16_t a, uint16_t b, double gbs)
{
    const kb_node_info *p = &die->nodes.data[a], *q = &die->nodes.data[b];
    double length = fabs(p->x_mm - q->x_mm) + fabs(p->y_mm - q->y_mm);
    kb_die_add_edge(graph, die, a, b, length, gbs);
    kb_die_add_edge(graph, die, b, a, length, gbs);
}

void kb_die_finish(kb_die_type *die)
{
    /* Counting sort by `from`; stable, so edges of a node stay in the order of construction. */
    size_t nodes = die->nodes.count, edges = die->edges.count;
    die->first_edge = kb_xcalloc(nodes + 1, sizeof *die->first_edge);
    for (size_t i = 0; i < edges; i++) die->first_edge[die->edges.data[i].from + 1]++;
    for (size_t n = 0; n < nodes; n++)
        die->first_edge[n + 1] = (uint16_t)(die->first_edge[n + 1] + die->first_edge[n]);
    kb_edge_info *sorted = kb_xmalloc((edges ? edges : 1) * sizeof *sorted);
    uint16_t *at = kb_xmalloc((nodes + 1) * sizeof *at);
    memcpy(at, die->first_edge, (nodes + 1) * sizeof *at);
    for (size_t i = 0; i < edges; i++) sorted[at[die->edges.data[i].from]++] = die->edges.data[i];
    free(at);
    free(die->edges.data);
    die->edges.data = sorted;
    die->edges.capacity = edges;
}

/* Host, switch, and one link from each to every IO chiplet, in the order of SIPs and chiplets. */
static void build_system(kb_graph *g)
{
    const kb_spec *spec = g->spec;
    kb_die_type *die = &g->system;
    uint16_t host = kb_die_add_node(g, die, (kb_node_info){.kind = KB_HOST});
    uint16_t fabric = kb_die_add_node(g, die, (kb_node_info){.kind = KB_SWITCH});
    double host_mm = kb_spec_real(spec, "system.host_link.length_mm");
    double host_gbs = kb_spec_real(spec, "system.host_link.bw_gbs");
    double fabric_mm = kb_spec_real(spec, "system.fabric.length_mm");
    double fabric_gbs = kb_spec_real(spec, "system.fabric.bw_gbs");
    int chiplets = g->sips * g->ios;
    for (int i = 0; i < chiplets; i++) kb_die_add_edge(g, die, host, KB_TO_PEER, host_mm, host_gbs);
    for (int i = 0; i < chiplets; i++)
        kb_die_add_edge(g, die, fabric, KB_TO_PEER, fabric_mm, fabric_gbs);
    /* Sorted as built; the system's node count is two, so no index is needed. */
}

/* Where each die begins in the numbering of its SIP. */
static int number_dies(kb_graph *g, kb_err *err)
{
    int cubes = kb_graph_cubes(g);
    g->dies = cubes + g->ios;
    g->die_node = kb_xcalloc((size_t)g->dies, sizeof *g->die_node);
    g->die_edge = kb_xcalloc((size_t)g->dies, sizeof *g->die_edge);
    uint64_t nodes = 0, edges = 0;
    for (int d = 0; d < g->dies; d++) {
        const kb_die_type *die = d < cubes ? &g->cube : &g->io[d - cubes];
        g->die_node[d] = (uint32_t)nodes;
        g->die_edge[d] = (uint32_t)edges;
        nodes += die->nodes.count;
        edges += die->edges.count;
    }
    uint64_t most = nodes > edges ? nodes : edges;
    if (most * (uint64_t)g->sips > UINT32_MAX - 65536u * 16u)
        return kb_spec_reject(g->spec, "system.sips.count", err,
                              "%d SIPs of %d cubes have more nodes or links than fit in 32 bits",
                              g->sips, cubes);
    g->sip_nodes = (uint32_t)nodes;
    g->sip_edges = (uint32_t)edges;
    return KB_OK;
}

static int build(kb_graph *g, kb_err *err)
{
    const kb_spec *spec = g->spec;
    g->flit_bytes = (uint32_t)kb_spec_int(spec, "system.flit_bytes");
    g->ns_per_mm = kb_spec_real(spec, "system.ns_per_mm");
    g->sips = (int)kb_spec_int(spec, "system.sips.count");
    g->mesh_w = (int)kb_spec_int(spec, "sip.cube_mesh.w");
    g->mesh_h = (int)kb_spec_int(spec, "sip.cube_mesh.h");
    size_t ios = kb_spec_count(spec, "sip.io_chiplets");
    if (ios < 1 || ios > sizeof g->io / sizeof g->io[0])
        return kb_spec_reject(spec, "sip.io_chiplets", err,
                              "expected 1 to 8 IO chiplets, found %zu; without one the host cannot "
                              "reach the SIP",
                              ios);
    g->ios = (int)ios;
    int status = kb_grid_read(&g->grid, spec, err);
    if (!status) status = kb_build_cube(g, err);
    if (status) return status;
    build_system(g);
    status = kb_build_ios(g, err);
    return status ? status : number_dies(g, err);
}

int kb_graph_create(kb_graph **out, const kb_spec *spec, kb_err *err)
{
    kb_graph *g = kb_xcalloc(1, sizeof *g);
    g->spec = spec;
    int status = build(g, err);
    if (status) {
        kb_graph_destroy(g);
        g = NULL;
    }
    *out = g;
    return status;
}

static void die_fini(kb_die_type *die)
{
    kb_vec_free(&die->nodes);
    kb_vec_free(&die->edges);
    free(die->first_edge);
}

void kb_graph_destroy(kb_graph *g)
{
    if (!g) return;
    die_fini(&g->system);
    die_fini(&g->cube);
    for (int io = 0; io < g->ios; io++) die_fini(&g->io[io]);
    free(g->cube_plan.next);
    free(g->die_node);
    free(g->die_edge);
    free(g);
}
