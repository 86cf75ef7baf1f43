/* The graph: what there is of everything, numbering, wires, and refusals. */
#include "machine.h"

static void expect_refusal(const char *yaml, const char *set, const char *text)
{
    bed b;
    kb_err err = {0};
    const char *sets[] = {set, NULL};
    assert_int_equal(bed_try(&b, yaml, sets, &err), KB_EINVAL);
    if (!strstr(err.text, text)) fail_msg("\"%s\" is not in: %s", text, err.text);
}

static uint32_t count_kind(const kb_graph *g, kb_kind kind)
{
    uint32_t count = 0;
    for (kb_node n = 0; n < kb_graph_node_count(g); n++) count += kb_graph_info(g, n)->kind == kind;
    return count;
}

enum { PE_PARTS = KB_KIND_COUNT - KB_PE_CPU };

static void the_default_machine_has_what_the_tables_say(void **state)
{
    (void)state;
    bed b = bed_default();
    const kb_graph *g = b.m->graph;
    assert_int_equal(count_kind(g, KB_ROUTER), 2 * 16 * (6 * 6 - 4));
    assert_int_equal(count_kind(g, KB_UCIE), 2 * 16 * 4 * 4);
    assert_int_equal(count_kind(g, KB_IO_UCIE), 2 * 4 * 4);
    assert_int_equal(count_kind(g, KB_HBM_CTRL), 2 * 16 * 8);
    assert_int_equal(count_kind(g, KB_XBAR), 2 * 16 * 2);
    assert_int_equal(count_kind(g, KB_BRIDGE), 2 * 16 * 2);
    for (int kind = KB_PE_CPU; kind < KB_KIND_COUNT; kind++)
        assert_int_equal(count_kind(g, (kb_kind)kind), 2 * 16 * 8);
    assert_int_equal(count_kind(g, KB_M_CPU) + count_kind(g, KB_SRAM), 2 * 16 * 2);
    assert_int_equal(count_kind(g, KB_IO_CPU) + count_kind(g, KB_PCIE_EP), 2 * 2);
    assert_int_equal(count_kind(g, KB_UAL_EP), 0); /* only where enabled */
    /* A cube: 32 routers, 16 ports, 8 slices, 8 PEs, 4 crossbars and bridges, m_cpu, sram.
     * A chiplet: 16 ports and three more. The system: host and switch. */
    uint32_t cube = 32 + 16 + 8 + 8 * PE_PARTS + 4 + 2;
    assert_int_equal(kb_graph_node_count(g), 2 + 2 * (16 * cube + 19));
    bed_close(&b);
}

static const char *const shapes[][5] = {
    {NULL},
    {"sip.cube_mesh.w=1", "sip.cube_mesh.h=1", "system.sips.count=1", NULL},
    {"sip.cube_mesh.w=2", "sip.cube_mesh.h=8", "cube.hbm_access=router", NULL},
    {"cube.noc.rows=1", "cube.noc.cols=1", "cube.noc.missing=[]", "sip.cube_mesh.w=3", NULL},
    {"cube.memory_map.hbm_slices_per_cube=64", "cube.pe_layout.pe_per_corner=8", NULL},
    {"io.ual_ep.enabled=true", "cube.noc.skip_links=true", NULL}};
enum { SHAPES = sizeof shapes / sizeof shapes[0] };

static const char four_sides[] =
    "sip:\n  io_chiplets:\n    - side: E\n    - side: N\n    - side: W\n    - side: S\n";

static void every_node_has_a_place_and_every_place_its_node(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        bed b = bed_yaml(four_sides, shapes[i]);
        const kb_graph *g = b.m->graph;
        for (kb_node n = 0; n < kb_graph_node_count(g); n++) {
            kb_place place = kb_graph_place(g, n);
            assert_true(place.sip >= -1 && place.sip < g->sips);
            assert_true(place.local < kb_graph_die_type(g, place)->nodes.count);
            assert_int_equal(kb_graph_node(g, place), n);
        }
        bed_close(&b);
    }
}

static void count_link(void *user, kb_edge edge, const kb_edge_info *info, const kb_link *link)
{
    const kb_machine *m = ((void **)user)[0];
    uint32_t *count = ((void **)user)[1];
    assert_ptr_equal(info, kb_graph_edge_info(m->graph, edge));
    assert_int_equal(link->bytes, edge); /* as marked: no two edges share a link */
    ++*count;
}

static void every_edge_has_a_link_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        bed b = bed_yaml(four_sides, shapes[i]);
        uint32_t count = 0, edges = kb_graph_edge_count(b.m->graph);
        for (kb_edge e = 0; e < edges; e++) kb_machine_link(b.m, e)->bytes = e;
        void *user[] = {b.m, &count};
        kb_machine_each_link(b.m, count_link, user);
        assert_int_equal(count, edges);
        bed_close(&b);
    }
}

static const kb_edge_info *edge_of(const kb_die_type *die, uint16_t from, uint16_t to)
{
    for (int e = die->first_edge[from]; e < die->first_edge[from + 1]; e++)
        if (die->edges.data[e].to == to) return &die->edges.data[e];
    return NULL;
}

static void every_wire_of_a_cube_has_two_equal_directions(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHAPES; i++) {
        bed b = bed_yaml(DEFAULT_YAML, shapes[i]);
        const kb_die_type *cube = &b.m->graph->cube;
        for (size_t e = 0; e < cube->edges.count; e++) {
            const kb_edge_info *there = &cube->edges.data[e];
            if (there->to >= KB_TO_PEER) continue;
            const kb_edge_info *back = edge_of(cube, there->to, there->from);
            assert_non_null(back);
            assert_true(back->gbs == there->gbs && back->length_mm == there->length_mm);
            assert_int_equal(back->propagation, there->propagation);
        }
        bed_close(&b);
    }
}

static void a_wire_takes_10_ps_per_mm_and_a_flit_its_bytes_over_the_bandwidth(void **state)
{
    (void)state;
    bed b = bed_default();
    const kb_graph *g = b.m->graph;
    const kb_edge_info *hop =
        edge_of(&g->cube, g->cube_plan.router[0][0], g->cube_plan.router[0][1]);
    assert_int_equal(hop->propagation, 2 * 10);              /* 2 mm */
    assert_int_equal(hop->flit_occupancy, 256 * 1000 / 256); /* 256 B at 256 GB/s */
    const kb_edge_info *crossing = edge_of(&g->cube, g->cube_plan.ucie[KB_EAST][2], KB_TO_PEER);
    assert_int_equal(crossing->propagation, 2 * 10);
    assert_int_equal(crossing->flit_occupancy, 256 * 1000 / 128);
    assert_int_equal(kb_graph_edge_info(g, 0)->propagation, 200 * 10); /* host link */
    assert_int_equal(kb_graph_edge_info(g, 0)->flit_occupancy, 256 * 1000 / 64);
    bed_close(&b);
}

static void everything_lies_inside_its_cube(void **state)
{
    (void)state;
    bed b = bed_default();
    const kb_die_type *cube = &b.m->graph->cube;
    for (size_t n = 0; n < cube->nodes.count; n++) {
        const kb_node_info *info = &cube->nodes.data[n];
        assert_true(info->x_mm >= 0 && info->x_mm <= 14 && info->y_mm >= 0 && info->y_mm <= 14);
    }
    bed_close(&b);
}

static void pes_stand_at_the_routers_of_their_corners(void **state)
{
    (void)state;
    /* Two per corner on 6 x 6, no two corners of a half in the same row. */
    static const int at[8][2] = {{0, 0}, {0, 1}, {1, 4}, {1, 5}, {4, 0}, {4, 1}, {5, 4}, {5, 5}};
    bed b = bed_default();
    const kb_graph *g = b.m->graph;
    for (int pe = 0; pe < 8; pe++) {
        uint16_t home = g->cube.nodes.data[g->cube_plan.pe[pe]].home;
        assert_int_equal(home, g->cube_plan.router[at[pe][0]][at[pe][1]]);
        assert_int_equal(kb_graph_own_slice(g, pe), pe);
    }
    bed_close(&b);
}

static void nodes_hang_off_the_routers_that_parameters_name(void **state)
{
    (void)state;
    bed b =
        bed_make("cube.m_cpu.router=r5c1", "cube.sram.router=r2c4", "cube.pe_layout.corners=[SE]",
                 "cube.pe_layout.pe_routers=[r0c5, r0c5]"); /* one router may hold several */
    const kb_graph *g = b.m->graph;
    const kb_node_info *nodes = g->cube.nodes.data;
    assert_int_equal(nodes[g->cube_plan.m_cpu].home, g->cube_plan.router[5][1]);
    assert_int_equal(nodes[g->cube_plan.sram].home, g->cube_plan.router[2][4]);
    for (int pe = 0; pe < 2; pe++)
        assert_int_equal(nodes[g->cube_plan.pe[pe]].home, g->cube_plan.router[0][5]);
    bed_close(&b);
}

static void rows_and_columns_may_have_gaps_of_their_own(void **state)
{
    (void)state;
    bed b = bed_make("cube.noc.rows=1", "cube.noc.cols=4", "cube.noc.col_gaps_mm=[1, 2.5, 4]",
                     "cube.noc.missing=[]");
    const kb_graph *g = b.m->graph;
    static const double x[] = {3.25, 4.25, 6.75, 10.75}; /* 7.5 mm in the middle of 14 */
    for (int c = 0; c < 4; c++) {
        const kb_node_info *info = &g->cube.nodes.data[g->cube_plan.router[0][c]];
        assert_true(info->x_mm == x[c] && info->y_mm == 7);
    }
    const kb_edge_info *hop =
        edge_of(&g->cube, g->cube_plan.router[0][1], g->cube_plan.router[0][2]);
    assert_true(hop->length_mm == 2.5);
    assert_int_equal(hop->propagation, 25);
    bed_close(&b);
}

static void skip_links_join_routers_that_face_each_other_across_missing_ones(void **state)
{
    (void)state;
    bed without = bed_default(), with = bed_make("cube.noc.skip_links=true");
    const kb_graph *g = with.m->graph;
    const kb_cube_plan *plan = &g->cube_plan;
    static const int across[][4] = {{2, 1, 2, 4}, {3, 1, 3, 4}, {1, 2, 4, 2}, {1, 3, 4, 3}};
    for (size_t i = 0; i < 4; i++) {
        const int *at = across[i];
        const kb_edge_info *skip =
            edge_of(&g->cube, plan->router[at[0]][at[1]], plan->router[at[2]][at[3]]);
        assert_non_null(skip);
        assert_true(skip->length_mm == 6 && skip->gbs == 256); /* three gaps of 2 mm */
    }
    assert_int_equal(g->cube.edges.count, without.m->graph->cube.edges.count + 2 * 4);
    bed_close(&with);
    bed_close(&without);
}

static void own_slices_are_spread_evenly(void **state)
{
    (void)state;
    for (int slices = 1; slices <= 64; slices *= 2) {
        char set[64];
        snprintf(set, sizeof set, "cube.memory_map.hbm_slices_per_cube=%d", slices);
        bed b = bed_make(set);
        int used[64] = {0};
        for (int pe = 0; pe < 8; pe++) used[kb_graph_own_slice(b.m->graph, pe)]++;
        for (int s = 0; s < slices; s++)
            assert_true(used[s] == (slices >= 8 ? (s % (slices / 8) == 0) : 8 / slices));
        bed_close(&b);
    }
}

static void a_thousand_sips_are_as_cheap_as_one(void **state)
{
    (void)state;
    bed b = bed_make("system.sips.count=1024", "address.sip_bits=10");
    const kb_graph *g = b.m->graph;
    uint32_t cube = (uint32_t)g->cube.nodes.count; /* one template for 16,384 cubes */
    assert_int_equal(kb_graph_node_count(g), 2 + 1024 * (16 * cube + 19));
    kb_time one = time_txn(&b, KB_TXN_WRITE, "sip1023.cube15.pe7.pe_dma",
                           "sip512.cube3.hbm_ctrl.slice2", 0, 4096);
    assert_true(one > 0);
    bed_close(&b);
}

static void what_cannot_be_built_is_refused_with_its_place(void **state)
{
    (void)state;
    expect_refusal("cube:\n", NULL, "sip.io_chiplets (default): expected 1 to 8");
    expect_refusal(DEFAULT_YAML, "cube.noc.missing=[r9c0]", "there is no router r9c0");
    expect_refusal(DEFAULT_YAML, "cube.noc.missing=[c0r0]", "expected router names such as r2c3");
    expect_refusal(DEFAULT_YAML, "cube.noc.missing=[r0c1, r1c0]", "r0c0");
    expect_refusal(DEFAULT_YAML, "cube.noc.pitch_mm=3", "do not fit into a cube of 14 mm");
    expect_refusal(DEFAULT_YAML, "cube.noc.col_gaps_mm=[3, 3, 3, 3, 3]",
                   "cube.noc.col_gaps_mm=[3, 3, 3, 3, 3]: 6 columns of routers over 15 mm do not "
                   "fit into a cube of 14 mm");
    expect_refusal(DEFAULT_YAML, "cube.noc.row_gaps_mm=[1, 2]",
                   "expected 5 gaps between 6 rows, found 2");
    expect_refusal(DEFAULT_YAML, "cube.m_cpu.router=r2c2",
                   "router r2c2 is one of cube.noc.missing");
    expect_refusal(DEFAULT_YAML, "cube.sram.router=r6c0", "there is no router r6c0");
    expect_refusal(DEFAULT_YAML, "cube.sram.router=r01c0", "expected router names such as r2c3");
    expect_refusal(DEFAULT_YAML, "cube.pe_layout.pe_routers=[r0c0, r0c1]",
                   "2 routers for the 8 PEs of 4 corners");
    expect_refusal("sip:\n  cube_mesh:\n    w: 1\n  io_chiplets: [{side: S}, {side: S}]\n", NULL,
                   "2 IO chiplets are on side S, where there are 1 cubes");
    expect_refusal(DEFAULT_YAML, "cube.pe_layout.pe_per_corner=9", "expected 1 to 32 PEs");
    expect_refusal(DEFAULT_YAML, "cube.pe_layout.corners=[NW, NW]", "listed twice");
    expect_refusal(DEFAULT_YAML, "system.sips.count=17", "address.sip_bits");
    expect_refusal(DEFAULT_YAML, "sip.cube_mesh.w=5", "address.cube_dies");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_machine_has_what_the_tables_say),
        cmocka_unit_test(every_node_has_a_place_and_every_place_its_node),
        cmocka_unit_test(every_edge_has_a_link_of_its_own),
        cmocka_unit_test(every_wire_of_a_cube_has_two_equal_directions),
        cmocka_unit_test(a_wire_takes_10_ps_per_mm_and_a_flit_its_bytes_over_the_bandwidth),
        cmocka_unit_test(everything_lies_inside_its_cube),
        cmocka_unit_test(pes_stand_at_the_routers_of_their_corners),
        cmocka_unit_test(nodes_hang_off_the_routers_that_parameters_name),
        cmocka_unit_test(rows_and_columns_may_have_gaps_of_their_own),
        cmocka_unit_test(skip_links_join_routers_that_face_each_other_across_missing_ones),
        cmocka_unit_test(own_slices_are_spread_evenly),
        cmocka_unit_test(a_thousand_sips_are_as_cheap_as_one),
        cmocka_unit_test(what_cannot_be_built_is_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
