/* Names of nodes: one spelling each, there and back. */
#include "machine.h"

static void round_trip(const char *yaml, const char *const *sets)
{
    bed b = bed_yaml(yaml, sets);
    const kb_graph *g = b.m->graph;
    for (kb_node n = 0; n < kb_graph_node_count(g); n++) {
        char name[KB_NAME_MAX];
        assert_int_equal(kb_node_parse(g, kb_node_name(g, n, name)), n);
    }
    bed_close(&b);
}

static void every_node_is_found_under_its_name(void **state)
{
    (void)state;
    round_trip(DEFAULT_YAML, NULL);
    const char *routers[] = {"cube.hbm_access=router", "sip.cube_mesh.h=2", NULL};
    round_trip("sip:\n  io_chiplets:\n    - side: S\n    - side: E\n", routers);
    const char *many[] = {"sip.cube_mesh.w=1",
                          "sip.cube_mesh.h=1",
                          "system.sips.count=12",
                          "cube.noc.rows=16",
                          "cube.noc.cols=16",
                          "cube.noc.pitch_mm=0.5",
                          "cube.ucie.connections=16",
                          "cube.pe_layout.pe_per_corner=8",
                          "cube.memory_map.hbm_slices_per_cube=64",
                          NULL};
    round_trip(DEFAULT_YAML, many);
}

static void names_are_hierarchical(void **state)
{
    (void)state;
    bed b = bed_default();
    const kb_graph *g = b.m->graph;
    char name[KB_NAME_MAX];
    assert_string_equal(kb_node_name(g, kb_graph_host(g), name), "host");
    assert_string_equal(kb_node_name(g, kb_graph_pe(g, 1, 5, 3, KB_PE_DMA), name),
                        "sip1.cube5.pe3.pe_dma");
    assert_string_equal(kb_node_name(g, kb_graph_slice(g, 0, 15, 7), name),
                        "sip0.cube15.hbm_ctrl.slice7");
    assert_string_equal(kb_node_name(g, kb_graph_pcie_ep(g, 1, 0), name), "sip1.io0.pcie_ep");
    assert_string_equal(kb_node_name(g, kb_graph_m_cpu(g, 0, 2), name), "sip0.cube2.m_cpu");
    kb_place port = {0, 3, g->cube_plan.ucie[KB_EAST][2]};
    assert_string_equal(kb_node_name(g, kb_graph_node(g, port), name), "sip0.cube3.ucie_e.conn2");
    kb_place router = {0, 0, g->cube_plan.router[2][1]};
    assert_string_equal(kb_node_name(g, kb_graph_node(g, router), name), "sip0.cube0.r2c1");
    assert_int_equal(kb_node_parse(g, "fabric.switch0"), 1);
    assert_int_equal(kb_node_parse(g, "sip1.io0.io_cpu"), kb_graph_io_cpu(g, 1, 0));
    bed_close(&b);
}

static void an_optional_endpoint_is_named_where_it_exists(void **state)
{
    (void)state;
    bed b = bed_default();
    assert_int_equal(kb_node_parse(b.m->graph, "sip1.io0.ual_ep"), KB_NO_NODE);
    bed_close(&b);
    const char *sets[] = {"io.ual_ep.enabled=true", NULL};
    round_trip("sip:\n  io_chiplets:\n    - side: S\n    - side: S\n", sets);
    b = bed_yaml(DEFAULT_YAML, sets);
    kb_node node = node_of(&b, "sip1.io0.ual_ep");
    assert_int_equal(kb_graph_info(b.m->graph, node)->kind, KB_UAL_EP);
    bed_close(&b);
}

static void anything_else_names_nothing(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "Host",
                                        "host.",
                                        "fabric.switch1",
                                        "sip0",
                                        "sip0.cube0",
                                        "sip0.cube0.",
                                        "sip0.cube0.r2c2", /* missing for the HBM */
                                        "sip0.cube0.r6c0",
                                        "sip0.cube0.pe8.pe_dma",
                                        "sip0.cube0.pe0",
                                        "sip0.cube0.pe0.pe_dma ",
                                        " sip0.cube0.m_cpu",
                                        "sip 0.cube0.m_cpu",
                                        "sip+0.cube0.m_cpu",
                                        "sip00.cube0.m_cpu",
                                        "sip-1.cube0.m_cpu",
                                        "sip2.cube0.m_cpu",
                                        "sip0.cube16.m_cpu",
                                        "sip0.io1.io_cpu",
                                        "sip0.io0.m_cpu",
                                        "sip0.tube0.m_cpu",
                                        "sip99999999999.cube0.m_cpu"};
    bed b = bed_default();
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (kb_node_parse(b.m->graph, wrong[i]) != KB_NO_NODE) fail_msg("found \"%s\"", wrong[i]);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_is_found_under_its_name),
        cmocka_unit_test(names_are_hierarchical),
        cmocka_unit_test(an_optional_endpoint_is_named_where_it_exists),
        cmocka_unit_test(anything_else_names_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
