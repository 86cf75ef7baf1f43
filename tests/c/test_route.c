/* Routes (law T10). */
#include "random_machine.h"
#include "route_check.h"

static void inside_a_cube_columns_come_first_along_the_row(void **state)
{
    (void)state;
    bed b = bed_default();
    expect_route(&b, "sip0.cube0.r0c1", "sip0.cube0.r3c4", "r0c1 r0c2 r0c3 r0c4 r1c4 r2c4 r3c4");
    expect_route(&b, "sip0.cube0.r5c5", "sip0.cube0.r4c0", "r5c5 r5c4 r5c3 r5c2 r5c1 r5c0 r4c0");
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip0.cube0.sram",
                 "pe0.pe_dma r0c0 r1c0 r2c0 r3c0 sram");
    expect_route(&b, "sip0.cube0.m_cpu", "sip0.cube0.pe7.pe_cpu",
                 "m_cpu r0c2 r0c3 r0c4 r0c5 r1c5 r2c5 r3c5 r4c5 r5c5 pe7.pe_cpu");
    bed_close(&b);
}

static void the_hole_is_gone_round_the_shortest_way(void **state)
{
    (void)state;
    bed b = bed_default();
    /* Along row 2 columns 2 and 3 are missing: one row up, which is as short as one row down + 2.
     */
    expect_route(&b, "sip0.cube0.r2c0", "sip0.cube0.r2c5",
                 "r2c0 r2c1 r1c1 r1c2 r1c3 r1c4 r1c5 r2c5");
    expect_route(&b, "sip0.cube0.r3c4", "sip0.cube0.r3c1", "r3c4 r4c4 r4c3 r4c2 r4c1 r3c1");
    /* Down column 2 from row 1: XY would go straight through the hole. */
    expect_route(&b, "sip0.cube0.r1c2", "sip0.cube0.r4c2", "r1c2 r1c1 r2c1 r3c1 r4c1 r4c2");
    bed_close(&b);
}

static void pes_reach_slices_through_crossbars_and_bridges(void **state)
{
    (void)state;
    bed b = bed_default();
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice3",
                 "pe0.pe_dma xbar.top hbm_ctrl.slice3");
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice4",
                 "pe0.pe_dma xbar.top bridge.left xbar.bottom hbm_ctrl.slice4");
    expect_route(&b, "sip0.cube0.pe7.pe_dma", "sip0.cube0.hbm_ctrl.slice0",
                 "pe7.pe_dma xbar.bottom bridge.right xbar.top hbm_ctrl.slice0");
    expect_route(&b, "sip0.cube0.m_cpu", "sip0.cube0.hbm_ctrl.slice4",
                 "m_cpu r0c2 r0c1 r0c0 r1c0 r2c0 r3c0 r4c0 xbar.bottom hbm_ctrl.slice4");
    bed_close(&b);
    b = bed_make("cube.hbm_access=router");
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice0",
                 "pe0.pe_dma r0c0 hbm_ctrl.slice0");
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice2",
                 "pe0.pe_dma r0c0 r0c1 r0c2 r0c3 r0c4 r1c4 hbm_ctrl.slice2");
    bed_close(&b);
}

static void the_host_enters_over_the_phy_in_line_and_the_connection_nearest_the_target(void **state)
{
    (void)state;
    bed b = bed_default();
    expect_route(&b, "host", "sip0.cube0.pe1.pe_mmu",
                 "host sip0.io0.pcie_ep sip0.io0.io_noc sip0.io0.ucie0.conn1 ucie_n.conn1 r0c1 "
                 "pe1.pe_mmu");
    expect_route(&b, "sip0.io0.io_cpu", "sip0.cube3.m_cpu",
                 "sip0.io0.io_cpu sip0.io0.io_noc sip0.io0.ucie3.conn1 sip0.cube3.ucie_n.conn1 "
                 "sip0.cube3.r0c1 sip0.cube3.r0c2 sip0.cube3.m_cpu");
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip1.cube0.hbm_ctrl.slice0",
                 "pe0.pe_dma r0c0 ucie_n.conn0 sip0.io0.ucie0.conn0 sip0.io0.io_noc "
                 "sip0.io0.pcie_ep fabric.switch0 sip1.io0.pcie_ep sip1.io0.io_noc "
                 "sip1.io0.ucie0.conn0 sip1.cube0.ucie_n.conn0 sip1.cube0.r0c0 "
                 "sip1.cube0.xbar.top sip1.cube0.hbm_ctrl.slice0");
    bed_close(&b);
}

static void a_cube_is_left_over_the_connection_nearest_to_where_the_route_stands(void **state)
{
    (void)state;
    bed b = bed_default();
    /* Connections 0..3 of the east side are at rows 0, 1, 4, 5. */
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip0.cube1.sram",
                 "pe0.pe_dma r0c0 r0c1 r0c2 r0c3 r0c4 r0c5 ucie_e.conn0 sip0.cube1.ucie_w.conn0 "
                 "sip0.cube1.r0c0 sip0.cube1.r1c0 sip0.cube1.r2c0 sip0.cube1.r3c0 "
                 "sip0.cube1.sram");
    expect_route(&b, "sip0.cube0.pe7.pe_dma", "sip0.cube1.r5c0",
                 "pe7.pe_dma r5c5 ucie_e.conn3 sip0.cube1.ucie_w.conn3 sip0.cube1.r5c0");
    bed_close(&b);
}

/* Any requester to any memory: sound both ways, and no cube more than needed. */
static void random_pairs_are_joined_by_sound_routes(void **state)
{
    (void)state;
    kb_rng rng = {11};
    for (int machine = 0; machine < 60; machine++) {
        bed b = random_bed(&rng);
        const kb_graph *g = b.m->graph;
        for (int pair = 0; pair < 40; pair++) {
            kb_node from = random_requester(&b, &rng), to = random_memory(&b, &rng);
            kb_path path = route(&b, from, to);
            check_path(g, &path);
            check_reverse(g, &path);
            kb_place p = kb_graph_place(g, from), q = kb_graph_place(g, to);
            if (p.sip == q.sip) assert_int_equal(die_changes(g, &path), distance(g, p.die, q.die));
            kb_path_free(&path);
        }
        bed_close(&b);
    }
}

static void between_cubes_rows_come_first(void **state)
{
    (void)state;
    bed b = bed_default();
    static const int cubes[] = {0, 1, 2, 3, 7, 11, 15};
    const kb_graph *g = b.m->graph;
    kb_path path = route(&b, node_of(&b, "sip0.cube0.pe4.pe_dma"), node_of(&b, "sip0.cube15.sram"));
    int at = 0;
    for (size_t i = 0; i < path.nodes.count; i++) {
        int die = kb_graph_place(g, path.nodes.data[i]).die;
        if (die != cubes[at]) assert_int_equal(die, cubes[++at]);
    }
    assert_int_equal(at, 6);
    kb_path_free(&path);
    bed_close(&b);
}

static void traffic_of_one_cube_never_leaves_it(void **state)
{
    (void)state;
    static const int counts[][2] = {{1, 1}, {1, 64}, {8, 1}, {8, 64}, {2, 5}, {3, 8}};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (int routers = 0; routers < 2; routers++) {
            char pes[64], slices[64];
            snprintf(pes, sizeof pes, "cube.pe_layout.pe_per_corner=%d", counts[i][0]);
            snprintf(slices, sizeof slices, "cube.memory_map.hbm_slices_per_cube=%d", counts[i][1]);
            bed b =
                bed_make(pes, slices, routers ? "cube.hbm_access=router" : "cube.hbm_access=xbar");
            const kb_graph *g = b.m->graph;
            for (int pe = 0; pe < g->cube_plan.pes; pe++)
                for (int slice = 0; slice <= g->cube_plan.slices; slice++) {
                    kb_node to = slice < g->cube_plan.slices ? kb_graph_slice(g, 1, 5, slice)
                                                             : node_of(&b, "sip1.cube5.sram");
                    kb_path path = route(&b, kb_graph_pe(g, 1, 5, pe, KB_PE_DMA), to);
                    assert_int_equal(die_changes(g, &path), 0);
                    kb_path_free(&path);
                }
            bed_close(&b);
        }
}

static void the_host_uses_the_io_chiplet_nearest_to_the_cube(void **state)
{
    (void)state;
    static const char four[] =
        "sip:\n  io_chiplets:\n    - side: N\n    - side: E\n    - side: S\n    - side: W\n";
    bed b = bed_yaml(four, NULL);
    const kb_graph *g = b.m->graph;
    /* Of 4 x 4 cubes: distance to the edges N, E, S, W; the first of the least. */
    static const int chiplet[16] = {0, 0, 0, 0, 3, 0, 0, 1, 3, 2, 2, 1, 2, 2, 2, 1};
    for (int cube = 0; cube < 16; cube++) {
        int x = cube % 4, y = cube / 4, to[4] = {y, 3 - x, 3 - y, x}, best = 0;
        for (int io = 1; io < 4; io++)
            if (to[io] < to[best]) best = io;
        kb_path path = route(&b, kb_graph_host(g), kb_graph_slice(g, 0, cube, 0));
        assert_int_equal(kb_graph_place(g, path.nodes.data[1]).die, 16 + best);
        assert_int_equal(die_changes(g, &path), 2 + to[best]); /* PCIe, the PHY, cubes passed */
        if (cube == 0 || cube == 5 || cube == 7) assert_int_equal(best, chiplet[cube]);
        kb_path_free(&path);
    }
    bed_close(&b);
}

static const char two_in_the_north[] =
    "sip:\n  io_chiplets:\n    - side: N\n    - side: N\n    - side: S\n";

static void io_chiplets_of_one_side_share_its_cubes(void **state)
{
    (void)state;
    bed b = bed_make("sip.cube_mesh.w=5", "sip.cube_mesh.h=3"); /* one: all of the edge */
    assert_int_equal(b.m->graph->io_plan[0].phys, 5);
    bed_close(&b);
    const char *sets[] = {"sip.cube_mesh.w=5", "sip.cube_mesh.h=3", NULL};
    b = bed_yaml(two_in_the_north, sets);
    const kb_graph *g = b.m->graph;
    assert_true(g->io_plan[0].first == 0 && g->io_plan[0].phys == 2);
    assert_true(g->io_plan[1].first == 2 && g->io_plan[1].phys == 3);
    assert_true(g->io_plan[2].first == 0 && g->io_plan[2].phys == 5);
    /* Columns 0 and 1 belong to the first; row 1 is nearer to the north than to the south. */
    static const int chiplet[15] = {0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2};
    for (int cube = 0; cube < 15; cube++) {
        kb_path path = route(&b, kb_graph_host(g), kb_graph_slice(g, 1, cube, 3));
        assert_int_equal(kb_graph_place(g, path.nodes.data[1]).die, 15 + chiplet[cube]);
        check_path(g, &path);
        kb_path_free(&path);
    }
    expect_route(&b, "sip0.io1.io_cpu", "sip0.cube2.r0c0",
                 "sip0.io1.io_cpu sip0.io1.io_noc sip0.io1.ucie0.conn0 sip0.cube2.ucie_n.conn0 "
                 "sip0.cube2.r0c0");
    bed_close(&b);
}

/* Launches go through the first chiplet wherever the cube is. */
static void a_chiplet_reaches_cubes_beyond_its_stretch_over_the_nearest_of_it(void **state)
{
    (void)state;
    bed b = bed_yaml(two_in_the_north, NULL);
    const kb_graph *g = b.m->graph;
    for (int cube = 0; cube < 16; cube++) {
        kb_path path = route(&b, kb_graph_io_cpu(g, 0, 0), kb_graph_m_cpu(g, 0, cube));
        check_path(g, &path);
        check_reverse(g, &path);
        int x = cube % 4, entry = x < 1 ? x : 1; /* cubes 0 and 1 are its own */
        assert_int_equal(die_changes(g, &path), 1 + distance(g, entry, cube));
        kb_path_free(&path);
        path = route(&b, kb_graph_m_cpu(g, 0, cube), kb_graph_io_cpu(g, 0, 0));
        assert_int_equal(die_changes(g, &path), 1 + distance(g, entry, cube));
        kb_path_free(&path);
    }
    bed_close(&b);
}

static void traffic_between_sips_uses_ual_ep_where_there_is_one(void **state)
{
    (void)state;
    bed b = bed_make("io.ual_ep.enabled=true", "system.fabric.bw_gbs=100");
    const kb_graph *g = b.m->graph;
    expect_route(&b, "sip0.cube0.pe0.pe_dma", "sip1.cube0.hbm_ctrl.slice0",
                 "pe0.pe_dma r0c0 ucie_n.conn0 sip0.io0.ucie0.conn0 sip0.io0.io_noc "
                 "sip0.io0.ual_ep fabric.switch0 sip1.io0.ual_ep sip1.io0.io_noc "
                 "sip1.io0.ucie0.conn0 sip1.cube0.ucie_n.conn0 sip1.cube0.r0c0 "
                 "sip1.cube0.xbar.top sip1.cube0.hbm_ctrl.slice0");
    expect_route(&b, "host", "sip1.io0.io_cpu",
                 "host sip1.io0.pcie_ep sip1.io0.io_noc sip1.io0.io_cpu");
    expect_route(&b, "sip1.io0.pcie_ep", "sip0.io0.pcie_ep",
                 "sip1.io0.pcie_ep sip1.io0.io_noc sip1.io0.ual_ep fabric.switch0 "
                 "sip0.io0.ual_ep sip0.io0.io_noc sip0.io0.pcie_ep");
    kb_path path = route(&b, node_of(&b, "sip0.io0.ual_ep"), node_of(&b, "sip1.io0.ual_ep"));
    assert_int_equal(path.edges.count, 2);
    for (size_t i = 0; i < 2; i++)
        assert_true(kb_graph_edge_info(g, path.edges.data[i])->gbs == 100);
    check_reverse(g, &path);
    /* 200 mm and 5 ns to the switch, and on to the endpoint. */
    assert_int_equal(kb_path_command_time(g, &path), 2 * (2000 + 5000));
    kb_path_free(&path);
    bed_close(&b);
}

static void meshes_of_any_shape_are_routed(void **state)
{
    (void)state;
    static const char *const meshes[][4] = {
        {"sip.cube_mesh.w=1", "sip.cube_mesh.h=1", NULL},
        {"sip.cube_mesh.w=2", "sip.cube_mesh.h=8", NULL},
        {"sip.cube_mesh.w=8", "sip.cube_mesh.h=8", "address.cube_dies=64", NULL}};
    for (size_t i = 0; i < 3; i++) {
        const char *sets[6] = {"address.die_bits=7"};
        for (size_t k = 0; meshes[i][k]; k++) sets[k + 1] = meshes[i][k];
        bed b = bed_yaml("sip:\n  io_chiplets:\n    - side: W\n", sets);
        const kb_graph *g = b.m->graph;
        for (int a = 0; a < kb_graph_cubes(g); a++)
            for (int c = 0; c < kb_graph_cubes(g); c++) {
                kb_path path =
                    route(&b, kb_graph_pe(g, 1, a, 2, KB_PE_DMA), kb_graph_slice(g, 1, c, 6));
                check_path(g, &path);
                assert_int_equal(die_changes(g, &path), distance(g, a, c));
                kb_path_free(&path);
            }
        bed_close(&b);
    }
}

static void a_command_pays_propagation_and_the_overheads_of_nodes_entered(void **state)
{
    (void)state;
    bed b = bed_default();
    /* host -> pcie_ep: 200 mm, 5 ns; io_noc: 2 mm; io_cpu: 2 mm, 10 ns. */
    assert_int_equal(
        kb_machine_command_time(b.m, node_of(&b, "host"), node_of(&b, "sip0.io0.io_cpu")),
        2000 + 5000 + 20 + 0 + 20 + 10000);
    /* The way back enters the host, whose overhead is 0, and not io_cpu. */
    assert_int_equal(
        kb_machine_command_time(b.m, node_of(&b, "sip0.io0.io_cpu"), node_of(&b, "host")),
        20 + 0 + 20 + 5000 + 2000);
    bed_close(&b);
}

static void where_there_is_no_way_both_ends_are_named(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_path path = {0};
    kb_err err = {0};
    assert_int_equal(kb_route(b.m->graph, node_of(&b, "sip0.cube0.pe0.pe_gemm"),
                              node_of(&b, "sip0.cube0.sram"), &path, &err),
                     KB_EINVAL);
    assert_string_equal(err.text, "there is no way from sip0.cube0.pe0.pe_gemm to sip0.cube0.sram");
    kb_path_free(&path);
    bed_close(&b);
}

static void chiplets_of_a_sip_meet_over_its_cubes(void **state)
{
    (void)state;
    bed b = bed_yaml("sip:\n  io_chiplets:\n    - side: N\n    - side: E\n    - side: N\n",
                     (const char *[]){"system.sips.count=1", NULL});
    /* io0 has the PHYs of cubes 0 and 1, io1 those of cubes 3, 7, 11 and 15, io2 of 2 and 3. */
    kb_path path = route(&b, node_of(&b, "sip0.io0.io_cpu"), node_of(&b, "sip0.io1.io_cpu"));
    check_path(b.m->graph, &path);
    check_reverse(b.m->graph, &path);
    assert_int_equal(die_changes(b.m->graph, &path), 4); /* cubes 1, 2, 3, io1 */
    kb_path_free(&path);
    path = route(&b, node_of(&b, "sip0.io2.io_cpu"), node_of(&b, "sip0.io0.io_noc"));
    check_path(b.m->graph, &path);
    assert_int_equal(die_changes(b.m->graph, &path), 3); /* cubes 2, 1, io0 */
    kb_path_free(&path);
    /* In the cube that both have a PHY to: in at the north, out at the east. */
    path = route(&b, node_of(&b, "sip0.io2.pcie_ep"), node_of(&b, "sip0.io1.io_cpu"));
    check_path(b.m->graph, &path);
    assert_int_equal(die_changes(b.m->graph, &path), 2);
    kb_path_free(&path);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inside_a_cube_columns_come_first_along_the_row),
        cmocka_unit_test(the_hole_is_gone_round_the_shortest_way),
        cmocka_unit_test(pes_reach_slices_through_crossbars_and_bridges),
        cmocka_unit_test(
            the_host_enters_over_the_phy_in_line_and_the_connection_nearest_the_target),
        cmocka_unit_test(a_cube_is_left_over_the_connection_nearest_to_where_the_route_stands),
        cmocka_unit_test(random_pairs_are_joined_by_sound_routes),
        cmocka_unit_test(between_cubes_rows_come_first),
        cmocka_unit_test(traffic_of_one_cube_never_leaves_it),
        cmocka_unit_test(the_host_uses_the_io_chiplet_nearest_to_the_cube),
        cmocka_unit_test(io_chiplets_of_one_side_share_its_cubes),
        cmocka_unit_test(a_chiplet_reaches_cubes_beyond_its_stretch_over_the_nearest_of_it),
        cmocka_unit_test(traffic_between_sips_uses_ual_ep_where_there_is_one),
        cmocka_unit_test(meshes_of_any_shape_are_routed),
        cmocka_unit_test(a_command_pays_propagation_and_the_overheads_of_nodes_entered),
        cmocka_unit_test(where_there_is_no_way_both_ends_are_named),
        cmocka_unit_test(chiplets_of_a_sip_meet_over_its_cubes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
