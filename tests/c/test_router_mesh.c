/* topologies/router_mesh.yaml: its geometry, and the figures published for it. The differences are
 * explained in docs/router-mesh.md. */
#include "pe_bed.h"
#include "route_check.h"

static bed mesh_bed_with(const char *set)
{
    static char yaml[8192];
    FILE *file = fopen(KB_SOURCE_DIR "/topologies/router_mesh.yaml", "r");
    assert_non_null(file);
    size_t length = fread(yaml, 1, sizeof yaml - 1, file);
    fclose(file);
    yaml[length] = '\0';
    return bed_yaml(yaml, (const char *[]){set, NULL});
}

static bed mesh_bed(void)
{
    return mesh_bed_with(NULL);
}

static const kb_edge_info *link_of(const bed *b, const char *from, const char *to)
{
    kb_path path = route(b, node_of(b, from), node_of(b, to));
    assert_int_equal(path.edges.count, 1);
    const kb_edge_info *edge = kb_graph_edge_info(b->m->graph, path.edges.data[0]);
    kb_path_free(&path);
    return edge;
}

static void its_geometry_is_the_given_one(void **state)
{
    (void)state;
    static const double cols[] = {3, 3, 3, 2, 3}, rows[] = {2.5, 1.5, 3, 1.5, 2.5};
    static const char *const homes[] = {"r0c0", "r0c1", "r1c4", "r1c5",
                                        "r4c0", "r4c1", "r5c4", "r5c5"};
    bed b = mesh_bed();
    char from[64], to[64];
    for (int i = 0; i < 5; i++) {
        snprintf(from, sizeof from, "sip0.cube0.r0c%d", i);
        snprintf(to, sizeof to, "sip0.cube0.r0c%d", i + 1);
        assert_true(link_of(&b, from, to)->length_mm == cols[i]);
        snprintf(from, sizeof from, "sip0.cube0.r%dc0", i);
        snprintf(to, sizeof to, "sip0.cube0.r%dc0", i + 1);
        assert_true(link_of(&b, from, to)->length_mm == rows[i]);
    }
    assert_true(link_of(&b, "sip0.cube0.r2c1", "sip0.cube0.r2c4")->length_mm == 8);
    assert_true(link_of(&b, "sip0.cube0.r3c4", "sip0.cube0.r3c1")->length_mm == 8);
    assert_true(link_of(&b, "sip0.cube0.r1c2", "sip0.cube0.r4c2")->length_mm == 6);
    assert_true(link_of(&b, "sip0.cube0.r4c3", "sip0.cube0.r1c3")->length_mm == 6);
    for (int pe = 0; pe < 8; pe++) {
        snprintf(from, sizeof from, "sip1.cube9.%s", homes[pe]);
        snprintf(to, sizeof to, "sip1.cube9.pe%d.pe_dma", pe);
        link_of(&b, from, to);
        snprintf(to, sizeof to, "sip1.cube9.hbm_ctrl.slice%d", pe);
        assert_true(link_of(&b, from, to)->gbs == 256);
    }
    link_of(&b, "sip0.cube0.r0c2", "sip0.cube0.m_cpu");
    assert_true(link_of(&b, "sip0.cube0.r3c0", "sip0.cube0.sram")->gbs == 128);
    assert_int_equal(kb_node_parse(b.m->graph, "sip0.cube0.xbar.top"), KB_NO_NODE);
    assert_int_equal(kb_node_parse(b.m->graph, "sip0.cube0.bridge.left"), KB_NO_NODE);
    bed_close(&b);
}

static void skip_links_are_taken_unless_they_lead_past_the_target(void **state)
{
    (void)state;
    bed b = mesh_bed();
    expect_route(&b, "sip0.cube0.r2c0", "sip0.cube0.r2c5", "r2c0 r2c1 r2c4 r2c5");
    expect_route(&b, "sip0.cube0.r3c5", "sip0.cube0.r3c1", "r3c5 r3c4 r3c1");
    expect_route(&b, "sip0.cube0.r0c2", "sip0.cube0.r5c2", "r0c2 r1c2 r4c2 r5c2");
    expect_route(&b, "sip0.cube0.r3c1", "sip0.cube0.r5c5", "r3c1 r3c4 r3c5 r4c5 r5c5");
    /* Column 2 or 3 from row 2 or 3, and row 2 or 3 from column 2 or 3: along the hole instead. */
    expect_route(&b, "sip0.cube0.r2c1", "sip0.cube0.r4c2", "r2c1 r3c1 r4c1 r4c2");
    expect_route(&b, "sip0.cube0.r3c4", "sip0.cube0.r1c3", "r3c4 r2c4 r1c4 r1c3");
    expect_route(&b, "sip0.cube0.r1c2", "sip0.cube0.r3c4", "r1c2 r1c3 r1c4 r2c4 r3c4");
    expect_route(&b, "sip0.cube0.r4c3", "sip0.cube0.r2c1", "r4c3 r4c2 r4c1 r3c1 r2c1");
    bed_close(&b);
}

/* ---- published figures ---- */

static kb_time exactly(bed *b, kb_txn_op op, const char *memory, uint64_t bytes)
{
    kb_formula f;
    kb_err err = {0};
    const char *pe = "sip0.cube0.pe0.pe_dma";
    if (kb_closed_form(b->m, op, node_of(b, pe), node_of(b, memory), 0, bytes, &f, &err))
        fail_msg("%s", err.text);
    assert_int_equal(time_txn(b, op, pe, memory, 0, bytes), f.total);
    return f.total;
}

static void expect_within_10_percent(kb_time ours, kb_time published)
{
    kb_time most = published + published / 10, least = published - published / 10;
    if (ours < least || ours > most)
        fail_msg("%llu ps, published %llu ps", (unsigned long long)ours,
                 (unsigned long long)published);
}

/* 64 flits of 1 ns over pe_dma - r0c0 - slice0, which stand at one place. */
static void a_local_dma_of_16_kb_takes_73_ns_published_77(void **state)
{
    (void)state;
    bed b = mesh_bed();
    kb_time write = exactly(&b, KB_TXN_WRITE, "sip0.cube0.hbm_ctrl.slice0", 16384);
    kb_time read = exactly(&b, KB_TXN_READ, "sip0.cube0.hbm_ctrl.slice0", 16384);
    /* Two links to the first flit, the others behind it, the last one's burst; no channel is ever
     * late, for a burst takes as long as eight flits. The acknowledgement crosses 0 mm. */
    assert_int_equal(write, 2000 + 63 * 1000 + 8000);
    /* Eight turns of all channels, the last eight flits on the slice's link, one more link. */
    assert_int_equal(read, 8 * 8000 + 8 * 1000 + 1000);
    expect_within_10_percent(write, 6000 + 63 * 1000 + 8000);
    expect_within_10_percent(read, 77000);
    bed_close(&b);
}

/* pe0 to slice 0 of the next cube: pe_dma, r0c0 to r0c5, two ports, r0c0, slice. Ten links, nine
 * of 256 GB/s and the crossing of 128; 14 mm along the row, 1 mm to the edge of each cube, 2 mm
 * between them. */
enum { PROPAGATION = 140 + 10 + 20 + 10, NINE_LINKS = 10 * 1000 - 1000, PORT = 8000, BURST = 8000 };

static kb_time over_one_connection(kb_time flits)
{
    /* The second port's overhead passes while the stream queues before the crossing. */
    kb_time there = NINE_LINKS + PROPAGATION + PORT + flits * 2000 + BURST;
    kb_time acknowledgement = 2 * PORT + PROPAGATION;
    return there + acknowledgement;
}

static void a_write_over_one_connection_takes_553_and_8233_ns_published_545_and_8230(void **state)
{
    (void)state;
    bed b = mesh_bed();
    kb_time small = exactly(&b, KB_TXN_WRITE, "sip0.cube1.hbm_ctrl.slice0", 64 << 10);
    kb_time large = exactly(&b, KB_TXN_WRITE, "sip0.cube1.hbm_ctrl.slice0", 1 << 20);
    assert_int_equal(small, over_one_connection(256));
    assert_int_equal(large, over_one_connection(4096));
    assert_int_equal(small, 553360);
    assert_int_equal(large, 8233360);
    expect_within_10_percent(small, 545000);
    expect_within_10_percent(large, 8230000);
    bed_close(&b);
}

/* ---- 32 x 3072 x 32, A in TCM, B streamed; published 992 ns ---- */

/* A tile of B, 64 x 32 x 2 B = 4 KB: two bursts on each channel, the last eight flits on the
 * slice's link, one more link. Of reads that overlap only the bursts count. */
enum { TILES = 3072 / 64, BURSTS = 2 * 8000, READ_TILE = BURSTS + 8 * 1000 + 1000 };
enum { ISSUE = 2000 + 1000, FETCH = 16000, GEMM = 8000, PIPELINE = 16000, STORE = 4000 };

static kb_time composite_window(const char *set)
{
    bed b = mesh_bed_with(set);
    map(&b, 0x100000, (uint64_t)TILES * 4096, 0, 0);
    kb_time ended;
    kb_composite c = {.pe = pe_of(&b, 0),
                      .M = 32,
                      .K = 3072,
                      .N = 32,
                      .a = {.pinned = true, .element_bytes = 2},
                      .b = {.va = {0x100000}, .stride = 64, .element_bytes = 2},
                      .out = {.pinned = true, .element_bytes = 2},
                      .done = note_time,
                      .object = &ended};
    kb_err err = {0};
    if (kb_composite_check(&c, &err)) fail_msg("%s", err.text);
    kb_pe_issue(c.pe, kb_composite_dispatch, &c, 0);
    run_all(&b);
    bed_close(&b);
    return ended;
}

static void a_composite_that_streams_b_takes_1247_ns_or_824_published_992(void **state)
{
    (void)state;
    kb_time rest = FETCH + GEMM + PIPELINE + STORE; /* of the last tile */
    kb_time one = composite_window(NULL), two = composite_window("pe.pe_dma.outstanding=2");
    assert_int_equal(one, ISSUE + TILES * READ_TILE + rest);
    assert_int_equal(one, 1247000);
    assert_int_equal(two, ISSUE + (TILES - 1) * BURSTS + READ_TILE + rest);
    assert_int_equal(two, 824000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_geometry_is_the_given_one),
        cmocka_unit_test(skip_links_are_taken_unless_they_lead_past_the_target),
        cmocka_unit_test(a_local_dma_of_16_kb_takes_73_ns_published_77),
        cmocka_unit_test(a_write_over_one_connection_takes_553_and_8233_ns_published_545_and_8230),
        cmocka_unit_test(a_composite_that_streams_b_takes_1247_ns_or_824_published_992),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
