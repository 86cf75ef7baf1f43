/* Memory transactions on idle paths: the timing laws T1 to T7 and T9, with the arithmetic written
 * out. */
#include "machine.h"

static const char *const pe = "sip0.cube0.pe0.pe_dma";
static const char *const slice = "sip0.cube0.hbm_ctrl.slice0";

/* From pe0 (at r0c0) to the sram (at r3c0): pe_dma -> r0c0 -> r1c0 -> r2c0 -> r3c0 -> sram, four
 * links of 256 GB/s and the last one of 128 GB/s; the three between routers are 2 mm long. */
static const char *const sram = "sip0.cube0.sram";
enum { SRAM_P = 3 * 20 };

static kb_time one(kb_txn_op op, const char *from, const char *to, uint64_t offset, uint64_t bytes,
                   const char *const *sets)
{
    bed b = bed_yaml(DEFAULT_YAML, sets);
    kb_time time = time_txn(&b, op, from, to, offset, bytes);
    bed_close(&b);
    return time;
}

static void the_worked_example_holds_to_the_picosecond(void **state)
{
    (void)state;
    /* pe0 is at (2, 2) mm, xbar.top at (7, 5), slice 0 at (4, 6): d1 = 8 mm, d2 = 4 mm. */
    kb_time p = 10 * (8 + 4);
    assert_int_equal(one(KB_TXN_WRITE, pe, slice, 0, 32768, NULL), 173000 + 2 * p);
    assert_int_equal(one(KB_TXN_READ, pe, slice, 0, 32768, NULL), 171000 + 2 * p);
}

static void t1_a_wire_adds_its_length(void **state)
{
    (void)state;
    const char *sets[] = {"system.ns_per_mm=0.5", NULL};
    kb_time fast = one(KB_TXN_READ, pe, sram, 0, 256, NULL);
    /* 6 mm there and 6 mm back, at 500 instead of 10 ps. */
    assert_int_equal(one(KB_TXN_READ, pe, sram, 0, 256, sets) - fast, 2 * 6 * (500 - 10));
}

static void t2_one_flit_occupies_every_link_in_turn(void **state)
{
    (void)state;
    /* 256 B: 1 ns on four links, 2 ns on the last; the request or acknowledgement costs 3 x 20 ps.
     */
    assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, 256, NULL), 4 * 1000 + 2000 + 2 * SRAM_P);
    assert_int_equal(one(KB_TXN_READ, pe, sram, 0, 256, NULL), 4 * 1000 + 2000 + 2 * SRAM_P);
    /* 64 B: a quarter. */
    assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, 64, NULL), 4 * 250 + 500 + 2 * SRAM_P);
}

static void t3_each_node_entered_charges_its_overhead_once(void **state)
{
    (void)state;
    const char *sets[] = {"cube.noc.overhead_ns=1.5", "cube.sram.overhead_ns=3",
                          "pe.pe_dma.overhead_ns=7", NULL};
    /* There: four routers and the sram. Back: four routers and pe_dma. The origin charges nothing.
     */
    kb_time there = 4 * 1500 + 3000, back = 4 * 1500 + 7000, wire = 4 * 1000 + 2000;
    assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, 256, sets), there + wire + back + 2 * SRAM_P);
    assert_int_equal(one(KB_TXN_READ, pe, sram, 0, 256, sets), there + wire + back + 2 * SRAM_P);
}

static void t3_later_flits_queue_behind_the_first_and_pay_nothing(void **state)
{
    (void)state;
    const char *sets[] = {"cube.sram.overhead_ns=3", NULL};
    /* The first flit is at the sram at 6 ns + p and ready at 9; the second arrives at 8 and waits
     * till 9; the third arrives at 10 and does not wait at all. */
    static const kb_time ready[] = {9000, 9000, 10000, 12000};
    for (uint64_t flits = 1; flits <= 4; flits++)
        assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, flits * 256, sets),
                         ready[flits - 1] + 2 * SRAM_P);
}

static void t4_flits_overlap_and_the_slowest_link_sets_the_pace(void **state)
{
    (void)state;
    for (uint64_t kb = 1; kb <= 1024; kb *= 4) {
        uint64_t flits = kb * 1024 / 256;
        kb_time expected = 4 * 1000 + 2000 + (flits - 1) * 2000 + 2 * SRAM_P;
        assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, kb * 1024, NULL), expected);
        assert_int_equal(one(KB_TXN_READ, pe, sram, 0, kb * 1024, NULL), expected);
    }
}

static void t4_holds_for_every_flit_size(void **state)
{
    (void)state;
    for (uint64_t flit = 64; flit <= 4096; flit *= 2) {
        char set[40];
        snprintf(set, sizeof set, "system.flit_bytes=%d", (int)flit);
        const char *sets[] = {set, NULL};
        kb_time o = flit * 1000 / 256; /* 250 ps for 64 B, to 16 ns for 4 KB */
        uint64_t flits = 65536 / flit;
        assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, 65536, sets),
                         4 * o + 2 * o + (flits - 1) * 2 * o + 2 * SRAM_P);
    }
}

static void t5_commands_occupy_no_link(void **state)
{
    (void)state;
    bed b = bed_default();
    time_txn(&b, KB_TXN_READ, pe, sram, 0, 4096);
    kb_path path = {0};
    assert_int_equal(kb_route(b.m->graph, node_of(&b, pe), node_of(&b, sram), &path, NULL), 0);
    for (size_t i = 0; i < path.edges.count; i++)
        assert_int_equal(kb_machine_link(b.m, path.edges.data[i])->busy, 0);
    kb_path_reverse(b.m->graph, &path);
    for (size_t i = 0; i < path.edges.count; i++)
        assert_int_equal(kb_machine_link(b.m, path.edges.data[i])->bytes, 4096);
    kb_path_free(&path);
    bed_close(&b);
}

/* The host's way to slice 0: 64 GB/s and 200 mm to pcie_ep (5 ns), 2 mm to io_noc, 2 mm to the PHY
 * (8 ns), 128 GB/s and 2 mm to the cube's port (8 ns), 2 mm to r0c0, 8 mm to xbar.top (2 ns), 4 mm.
 */
enum {
    HOST_P = 10 * (200 + 2 + 2 + 2 + 2 + 8 + 4),
    HOST_WIRE = 4000 + 1000 + 1000 + 2000 + 3 * 1000
};

static void t9_the_host_writes_through_pcie_and_ucie(void **state)
{
    (void)state;
    /* 16 flits of 4 ns. The last is injected at 64 ns, by which time the first has long paid all 23
     * ns of overheads: it only takes the way, and then one burst of 10 ns; its channel is free. */
    kb_time last = 15 * 4000 + HOST_WIRE + HOST_P, ack = 23000 + HOST_P;
    assert_int_equal(one(KB_TXN_WRITE, "host", slice, 0, 4096, NULL), last + 10000 + ack);
}

static void t9_the_host_reads_through_pcie_and_ucie(void **state)
{
    (void)state;
    /* The request takes 25 ns + p; flits are released, eight at a time, after 10 and 20 ns. The
     * slowest link is the last, so every overhead delays the stream: first flit, then 15 times 4
     * ns. */
    kb_time request = 23000 + HOST_P, first = 10000 + HOST_WIRE + 23000 + HOST_P;
    assert_int_equal(one(KB_TXN_READ, "host", slice, 0, 4096, NULL), request + first + 15 * 4000);
}

static void t9_host_traffic_bypasses_the_processors(void **state)
{
    (void)state;
    const char *slow[] = {"io.io_cpu.overhead_ns=1000", "cube.m_cpu.overhead_ns=1000", NULL};
    const char *far = "sip1.cube14.hbm_ctrl.slice5";
    for (int op = KB_TXN_READ; op <= KB_TXN_WRITE; op++)
        assert_int_equal(one((kb_txn_op)op, "host", far, 0, 10000, slow),
                         one((kb_txn_op)op, "host", far, 0, 10000, NULL));
}

static void a_short_last_flit_is_stuck_behind_the_one_before_it(void **state)
{
    (void)state;
    /* 257 B: the 1 B flit takes 4 ps (rounded from 3.9) on a link, 8 ps on the last. The full flit
     * leaves the links at 1, 2, 3, 4 and 6 ns, the short one each time right behind it. */
    assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, 257, NULL), 6000 + 8 + 2 * SRAM_P);
    /* Alone it takes what its byte takes. */
    assert_int_equal(one(KB_TXN_WRITE, pe, sram, 0, 1, NULL), 4 * 4 + 8 + 2 * SRAM_P);
}

/* Four rows of 300 B, 1 KB apart, to the own slice: each a flit of 256 B and one of 44 B, which
 * takes 172 ps (171.875) on a link. Flits leave pe_dma at 1.000, 1.172, 2.172, 2.344, ... and queue
 * at the crossbar until the first has paid its 2 ns: it is ready at 3.000, they leave it
 * at 4.000, 4.172, ... Offsets 0, 256, 1024, 1280, 2048, ... are channels 0, 1, 4, 5, 0, 1, 4, 5:
 * two bursts of 10 ns each. */
static void rows_are_cut_into_flits_on_their_own(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    kb_txn_request request = {.op = KB_TXN_WRITE,
                              .requester = node_of(&b, pe),
                              .memory = node_of(&b, slice),
                              .rows = 4,
                              .row_bytes = 300,
                              .stride = 1024,
                              .done = note_time,
                              .object = &ended};
    assert_int_equal(kb_txn_start(b.m, &request, NULL), KB_OK);
    run_all(&b);
    kb_time p = 120;
    kb_time fifth = 4000 + 1172 + 172; /* arrival of the fourth flit, first of channel 5 */
    assert_int_equal(ended, fifth + p + 2 * 10000 + 2000 + p);
    assert_int_equal(b.m->flits_injected, 8);
    bed_close(&b);
}

static void dense_rows_are_one_run(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    kb_txn_request request = {.op = KB_TXN_READ,
                              .requester = node_of(&b, pe),
                              .memory = node_of(&b, slice),
                              .rows = 32,
                              .row_bytes = 1024,
                              .stride = 1024,
                              .done = note_time,
                              .object = &ended};
    assert_int_equal(kb_txn_start(b.m, &request, NULL), KB_OK);
    run_all(&b);
    assert_int_equal(ended, 171000 + 2 * 120); /* the worked example: 32 KB */
    bed_close(&b);
}

/* What the watcher saw: when the first flit was ready at each node. */
typedef struct seen {
    kb_time first[8], started, ended;
    uint32_t hops;
} seen;

static void watch(void *object, const kb_txn *txn)
{
    seen *s = object;
    s->hops = txn->hop_count;
    s->started = txn->started;
    s->ended = txn->ended;
    for (uint32_t i = 0; i < txn->hop_count; i++) s->first[i] = txn->hops[i].first;
}

static void a_watcher_sees_when_the_first_flit_was_ready_at_each_node(void **state)
{
    (void)state;
    bed b = bed_default();
    seen s = {.hops = 0};
    kb_txn_request request = {.op = KB_TXN_WRITE,
                              .requester = node_of(&b, pe),
                              .memory = node_of(&b, slice),
                              .rows = 1,
                              .row_bytes = 32768,
                              .object = &s,
                              .watch = watch};
    assert_int_equal(kb_txn_start(b.m, &request, NULL), KB_OK);
    run_all(&b);
    assert_int_equal(s.hops, 3);
    assert_int_equal(s.first[0], 0);
    assert_int_equal(s.first[1], 1000 + 80 + 2000);
    assert_int_equal(s.first[2], 4000 + 120);
    assert_int_equal(s.ended - s.started, 173000 + 2 * 120);
    bed_close(&b);
}

static void payload_that_has_no_way_is_refused(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_err err = {0};
    kb_txn_request request = {.op = KB_TXN_WRITE,
                              .requester = node_of(&b, "sip0.cube0.pe0.pe_gemm"),
                              .memory = node_of(&b, sram),
                              .rows = 1,
                              .row_bytes = 1};
    assert_int_equal(kb_txn_start(b.m, &request, &err), KB_EINVAL);
    request.requester = node_of(&b, pe);
    request.row_bytes = UINT64_C(1) << 41;
    assert_int_equal(kb_txn_start(b.m, &request, &err), KB_EINVAL);
    assert_int_equal(b.m->txns_started, 0);
    assert_int_equal(kb_sim_pending(b.sim), 0);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example_holds_to_the_picosecond),
        cmocka_unit_test(t1_a_wire_adds_its_length),
        cmocka_unit_test(t2_one_flit_occupies_every_link_in_turn),
        cmocka_unit_test(t3_each_node_entered_charges_its_overhead_once),
        cmocka_unit_test(t3_later_flits_queue_behind_the_first_and_pay_nothing),
        cmocka_unit_test(t4_flits_overlap_and_the_slowest_link_sets_the_pace),
        cmocka_unit_test(t4_holds_for_every_flit_size),
        cmocka_unit_test(t5_commands_occupy_no_link),
        cmocka_unit_test(t9_the_host_writes_through_pcie_and_ucie),
        cmocka_unit_test(t9_the_host_reads_through_pcie_and_ucie),
        cmocka_unit_test(t9_host_traffic_bypasses_the_processors),
        cmocka_unit_test(a_short_last_flit_is_stuck_behind_the_one_before_it),
        cmocka_unit_test(rows_are_cut_into_flits_on_their_own),
        cmocka_unit_test(dense_rows_are_one_run),
        cmocka_unit_test(a_watcher_sees_when_the_first_flit_was_ready_at_each_node),
        cmocka_unit_test(payload_that_has_no_way_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
