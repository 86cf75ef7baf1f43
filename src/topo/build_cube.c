/* The template of a cube: routers, UCIe ports, memories, PEs, and the wires between them. */
#include "topo/build_cube.h"

#include <stdio.h>
#include <string.h>

#define PE_ROUTERS "cube.pe_layout.pe_routers"

typedef struct builder {
    kb_graph *g;
    kb_die_type *die;
    kb_cube_plan *plan;
    const kb_spec *spec;
    kb_err *err;
} builder;

static kb_node_info at(kb_kind kind, double x_mm, double y_mm)
{
    return (kb_node_info){.kind = kind, .x_mm = x_mm, .y_mm = y_mm, .home = KB_NO_LOCAL};
}

static uint16_t add(builder *b, kb_node_info info)
{
    return kb_die_add_node(b->g, b->die, info);
}

static const kb_node_info *info_of(const builder *b, uint16_t local)
{
    return &b->die->nodes.data[local];
}

/* Connections spread inwards from both ends of a side: 0, 1, ..., n-2, n-1. */
static int spread(int connection, int connections, int places)
{
    int first = (connections + 1) / 2;
    int place = connection < first ? connection : places - (connections - connection);
    return place < 0 ? 0 : place >= places ? places - 1 : place;
}

static void add_ucie(builder *b)
{
    kb_cube_plan *plan = b->plan;
    double gbs = kb_spec_real(b->spec, "cube.noc.bw_gbs");
    double w = plan->width_mm;
    for (int side = KB_NORTH; side <= KB_WEST; side++)
        for (int c = 0; c < plan->connections; c++) {
            bool across = side == KB_NORTH || side == KB_SOUTH;
            int place = spread(c, plan->connections, across ? plan->cols : plan->rows);
            int row = across ? (side == KB_NORTH ? 0 : plan->rows - 1) : place;
            int col = across ? place : (side == KB_WEST ? 0 : plan->cols - 1);
            uint16_t router = kb_noc_nearest(plan, row, col);
            const kb_node_info *home = info_of(b, router);
            kb_node_info info = at(KB_UCIE, home->x_mm, home->y_mm);
            if (across) info.y_mm = side == KB_NORTH ? 0 : w;
            if (!across) info.x_mm = side == KB_WEST ? 0 : w;
            info.a = (uint16_t)side;
            info.b = (uint16_t)c;
            info.home = router;
            uint16_t port = add(b, info);
            plan->ucie[side][c] = port;
            kb_die_join(b->g, b->die, router, port, gbs);
            kb_die_add_edge(b->g, b->die, port, KB_TO_PEER,
                            kb_spec_real(b->spec, "cube.ucie.length_mm"),
                            kb_spec_real(b->spec, "cube.ucie.bw_gbs"));
        }
}

/* A node that hangs off the router that a parameter names, or nearest to (row, col) if that is
 * "auto"; it stands at the router's place. */
static int add_at_router(builder *b, kb_kind kind, int row, int col, double gbs, uint16_t *node)
{
    char path[64];
    snprintf(path, sizeof path, "%s.router", kb_kind_section(kind));
    const char *name = kb_spec_string(b->spec, path);
    uint16_t router = kb_noc_nearest(b->plan, row, col);
    int status = strcmp(name, "auto") ? kb_noc_find(b->g, path, name, &router, b->err) : KB_OK;
    if (status) return status;
    kb_node_info info = at(kind, info_of(b, router)->x_mm, info_of(b, router)->y_mm);
    info.home = router;
    *node = add(b, info);
    kb_die_join(b->g, b->die, router, *node, gbs);
    return KB_OK;
}

/* Routers of the PEs of a corner: from the corner inwards along a row, then the next row. North
 * rows start at 0 (west) and 1 (east), south rows at h-2 (west) and h-1 (east), so that PEs of the
 * same half do not share the rows on which they leave the cube. */
static uint16_t pe_router(const builder *b, const char *corner, int n)
{
    const kb_cube_plan *plan = b->plan;
    bool north = corner[0] == 'N', west = corner[1] == 'W';
    int half_rows = plan->rows / 2 > 0 ? plan->rows / 2 : 1;
    int half_cols = plan->cols / 2 > 0 ? plan->cols / 2 : 1;
    int start = half_rows > 1 && (north != west) ? 1 : 0;
    int per_corner = (int)kb_spec_int(b->spec, "cube.pe_layout.pe_per_corner");
    int width = per_corner < half_cols ? per_corner : half_cols;
    int row = (start + n / width) % half_rows;
    int col = n % width;
    if (!west) col = plan->cols - width + col;
    if (!north) row = plan->rows - 1 - row;
    return kb_noc_nearest(plan, row, col);
}

static int add_pe(builder *b, const char *corner, int n_in_corner)
{
    kb_cube_plan *plan = b->plan;
    int pe = plan->pes++;
    uint16_t router = pe_router(b, corner, n_in_corner);
    if (kb_spec_count(b->spec, PE_ROUTERS)) {
        const char *name = kb_spec_list_string(b->spec, PE_ROUTERS, (size_t)pe);
        int status = kb_noc_find(b->g, PE_ROUTERS, name, &router, b->err);
        if (status) return status;
    }
    const kb_node_info home = *info_of(b, router);
    double gbs = kb_spec_real(b->spec, "cube.noc.bw_gbs");
    plan->pe[pe] = (uint16_t)b->die->nodes.count;
    plan->pe_half[pe] = corner[0] == 'S';
    plan->pe_west[pe] = corner[1] == 'E';
    for (int kind = KB_PE_CPU; kind <= KB_PE_IPCQ; kind++) {
        kb_node_info info = at((kb_kind)kind, home.x_mm, home.y_mm);
        info.a = (uint16_t)pe;
        info.home = router;
        uint16_t node = add(b, info);
        if (kind == KB_PE_CPU || kind == KB_PE_DMA || kind == KB_PE_TCM || kind == KB_PE_MMU ||
            kind == KB_PE_IPCQ)
            kb_die_join(b->g, b->die, router, node, gbs);
    }
    return KB_OK;
}

static int check_pes(const builder *b)
{
    size_t corners = kb_spec_count(b->spec, "cube.pe_layout.corners");
    int per_corner = (int)kb_spec_int(b->spec, "cube.pe_layout.pe_per_corner");
    if (corners < 1)
        return kb_spec_reject(b->spec, "cube.pe_layout.corners", b->err,
                              "a cube needs at least one corner with PEs");
    if (corners * (size_t)per_corner > KB_PE_MAX)
        return kb_spec_reject(b->spec, "cube.pe_layout.pe_per_corner", b->err,
                              "%zu corners of %d PEs; expected 1 to %d PEs in a cube", corners,
                              per_corner, KB_PE_MAX);
    for (size_t i = 0; i < corners; i++)
        for (size_t j = 0; j < i; j++)
            if (!strcmp(kb_spec_list_string(b->spec, "cube.pe_layout.corners", i),
                        kb_spec_list_string(b->spec, "cube.pe_layout.corners", j)))
                return kb_spec_reject(b->spec, "cube.pe_layout.corners", b->err,
                                      "a corner is listed twice");
    size_t routers = kb_spec_count(b->spec, PE_ROUTERS);
    if (routers && routers != corners * (size_t)per_corner)
        return kb_spec_reject(b->spec, PE_ROUTERS, b->err,
                              "%zu routers for the %zu PEs of %zu corners", routers,
                              corners * (size_t)per_corner, corners);
    return KB_OK;
}

static int add_pes(builder *b)
{
    int status = check_pes(b);
    size_t corners = kb_spec_count(b->spec, "cube.pe_layout.corners");
    int per_corner = (int)kb_spec_int(b->spec, "cube.pe_layout.pe_per_corner");
    for (size_t i = 0; i < corners && !status; i++)
        for (int n = 0; n < per_corner && !status; n++)
            status = add_pe(b, kb_spec_list_string(b->spec, "cube.pe_layout.corners", i), n);
    return status;
}

/* The PE beside which a slice lies: the first one whose own it is (kb_graph_own_slice), or else the
 * last one whose own is before it. */
static int pe_of_slice(const kb_cube_plan *plan, int slice)
{
    int first = (slice * plan->pes + plan->slices - 1) / plan->slices;
    if (first * plan->slices / plan->pes == slice) return first;
    return ((slice + 1) * plan->pes - 1) / plan->slices;
}

/* Crossbars above and below the HBM in the middle of the cube, bridges left and right of it. */
static void add_xbars(builder *b)
{
    kb_cube_plan *plan = b->plan;
    double w = plan->width_mm, gbs = kb_spec_real(b->spec, "cube.bridge.bw_gbs");
    for (int half = 0; half < 2; half++) {
        kb_node_info info = at(KB_XBAR, w / 2, w / 2 + (half ? 2.0 : -2.0));
        info.a = (uint16_t)half;
        plan->xbars[half] = add(b, info);
    }
    for (int side = 0; side < 2; side++) {
        kb_node_info info = at(KB_BRIDGE, w / 2 + (side ? 4.0 : -4.0), w / 2);
        info.a = (uint16_t)side;
        plan->bridges[side] = add(b, info);
        kb_die_join(b->g, b->die, plan->xbars[0], plan->bridges[side], gbs);
        kb_die_join(b->g, b->die, plan->bridges[side], plan->xbars[1], gbs);
    }
}

static bool has_edge(const kb_die_type *die, uint16_t from, uint16_t to)
{
    for (size_t i = 0; i < die->edges.count; i++)
        if (die->edges.data[i].from == from && die->edges.data[i].to == to) return true;
    return false;
}

/* A slice is in the half of its PE. Returns how many before `slice` are in that half. */
static int slices_of_half(const kb_cube_plan *plan, int half, int slice)
{
    int count = 0;
    for (int s = 0; s < slice; s++) count += plan->pe_half[pe_of_slice(plan, s)] == half;
    return count;
}

static void add_slice_behind_xbar(builder *b, int slice)
{
    kb_cube_plan *plan = b->plan;
    int half = plan->pe_half[pe_of_slice(plan, slice)];
    int in_half = slices_of_half(plan, half, slice);
    int across = slices_of_half(plan, half, plan->slices);
    /* The slices of a half lie side by side over the 8 mm width of the HBM stack. */
    double x = plan->width_mm / 2 - 4.0 + 8.0 * (in_half + 0.5) / across;
    kb_node_info info = at(KB_HBM_CTRL, x, plan->width_mm / 2 + (half ? 1.0 : -1.0));
    info.a = (uint16_t)slice;
    info.b = (uint16_t)half;
    info.home = info_of(b, plan->pe[pe_of_slice(plan, slice)])->home;
    uint16_t node = add(b, info);
    uint16_t xbar = plan->xbars[half];
    plan->slice[slice] = node;
    plan->slice_entry[slice] = info.home;
    kb_die_join(b->g, b->die, xbar, node, kb_spec_real(b->spec, "cube.xbar.xbar_to_hbm_bw_gbs"));
    if (!has_edge(b->die, info.home, xbar))
        kb_die_join(b->g, b->die, info.home, xbar,
                    kb_spec_real(b->spec, "cube.xbar.noc_to_xbar_bw_gbs"));
}

static void add_slice_at_router(builder *b, int slice)
{
    kb_cube_plan *plan = b->plan;
    uint16_t router = info_of(b, plan->pe[pe_of_slice(plan, slice)])->home;
    kb_node_info info = at(KB_HBM_CTRL, info_of(b, router)->x_mm, info_of(b, router)->y_mm);
    info.a = (uint16_t)slice;
    info.home = router;
    uint16_t node = add(b, info);
    plan->slice[slice] = node;
    plan->slice_entry[slice] = router;
    kb_die_join(b->g, b->die, router, node, kb_spec_real(b->spec, "cube.xbar.xbar_to_hbm_bw_gbs"));
}

static void add_hbm(builder *b)
{
    kb_cube_plan *plan = b->plan;
    plan->slices = (int)kb_spec_int(b->spec, "cube.memory_map.hbm_slices_per_cube");
    plan->xbar = !strcmp(kb_spec_string(b->spec, "cube.hbm_access"), "xbar");
    if (plan->xbar) {
        add_xbars(b);
        double gbs = kb_spec_real(b->spec, "cube.xbar.pe_to_xbar_bw_gbs");
        for (int pe = 0; pe < plan->pes; pe++)
            kb_die_join(b->g, b->die, (uint16_t)(plan->pe[pe] + KB_PE_DMA - KB_PE_CPU),
                        plan->xbars[plan->pe_half[pe]], gbs);
    }
    for (int slice = 0; slice < plan->slices; slice++) {
        if (plan->xbar)
            add_slice_behind_xbar(b, slice);
        else
            add_slice_at_router(b, slice);
    }
}

int kb_build_cube(kb_graph *g, kb_err *err)
{
    kb_cube_plan *plan = &g->cube_plan;
    builder b = {.g = g, .die = &g->cube, .plan = plan, .spec = g->spec, .err = err};
    plan->width_mm = kb_spec_real(g->spec, "sip.cube_mesh.pitch_mm");
    plan->connections = (int)kb_spec_int(g->spec, "cube.ucie.connections");
    int status = kb_noc_build(g, err);
    if (status) return status;
    add_ucie(&b);
    double noc_gbs = kb_spec_real(g->spec, "cube.noc.bw_gbs");
    double sram_gbs = kb_spec_real(g->spec, "cube.sram.bw_gbs");
    status = add_at_router(&b, KB_M_CPU, 0, (plan->cols - 1) / 2, noc_gbs, &plan->m_cpu);
    if (!status) status = add_at_router(&b, KB_SRAM, plan->rows / 2, 0, sram_gbs, &plan->sram);
    if (!status) status = add_pes(&b);
    if (status) return status;
    add_hbm(&b);
    kb_die_finish(&g->cube);
    return kb_noc_table(g, err);
}
