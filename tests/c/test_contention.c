/* Several transactions at once: who waits for whom, and what can never be exceeded. */
#include "hw/hbm_ctrl.h"
#include "random_machine.h"

/* Wires without length, so that all PEs of a half are equally far from their crossbar. */
#define NO_LENGTH "system.ns_per_mm=0"

static void fan_in_into_one_link_takes_all_bytes_over_its_bandwidth(void **state)
{
    (void)state;
    enum { FLITS = 64 };
    for (int senders = 1; senders <= 4; senders++) {
        /* A slice so fast (one burst: 10 ps) that the link to it is what limits. */
        bed b = bed_make(NO_LENGTH, "cube.hbm_ctrl.pc_bw_gbs=32000");
        kb_time ended[4], last = 0;
        for (int p = 0; p < senders; p++)
            begin_txn(&b, KB_TXN_WRITE, kb_graph_pe(b.m->graph, 0, 0, p, KB_PE_DMA),
                      kb_graph_slice(b.m->graph, 0, 0, 0), (uint64_t)p << 20, FLITS * 256,
                      &ended[p]);
        run_all(&b);
        for (int p = 0; p < senders; p++) last = ended[p] > last ? ended[p] : last;
        /* Ready at the crossbar after 1 + 2 ns, then the link never rests: 1 ns per flit. */
        assert_int_equal(last, 3000 + senders * FLITS * 1000 + 10 + 2000);
        bed_close(&b);
    }
}

static void fan_in_into_one_slice_takes_all_bytes_over_its_bandwidth(void **state)
{
    (void)state;
    enum { FLITS = 256 };
    for (int senders = 2; senders <= 4; senders++) {
        bed b = bed_make(NO_LENGTH);
        kb_time ended[4], last = 0;
        for (int p = 0; p < senders; p++)
            begin_txn(&b, KB_TXN_READ, kb_graph_pe(b.m->graph, 0, 0, p, KB_PE_DMA),
                      kb_graph_slice(b.m->graph, 0, 0, 0), (uint64_t)p << 20, FLITS * 256,
                      &ended[p]);
        run_all(&b);
        for (int p = 0; p < senders; p++) last = ended[p] > last ? ended[p] : last;
        /* All requests arrive after 2 ns; every channel has senders x 32 bursts of 10 ns. The last
         * eight flits then leave one per ns and pass one more link. */
        assert_int_equal(last, 2000 + senders * FLITS / 8 * 10000 + 8 * 1000 + 1000);
        bed_close(&b);
    }
}

static void what_queues_on_a_link_is_served_in_order(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_node pe = node_of(&b, "sip0.cube0.pe0.pe_dma"), sram = node_of(&b, "sip0.cube0.sram");
    kb_time first, second;
    begin_txn(&b, KB_TXN_WRITE, pe, sram, 0, 10 * 256, &first);
    begin_txn(&b, KB_TXN_WRITE, pe, sram, 65536, 10 * 256, &second);
    run_all(&b);
    /* The first as on an idle machine: 4 links of 1 ns, 2 ns, nine more flits of 2 ns. The second's
     * ten flits follow at 2 ns each, as if both were one. */
    assert_int_equal(first, 4000 + 2000 + 9 * 2000 + 2 * 60);
    assert_int_equal(second, first + 10 * 2000);
    bed_close(&b);
}

static void a_long_head_blocks_what_is_behind_it_and_nobody_else(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_node pe = node_of(&b, "sip0.cube0.pe0.pe_dma"), other = node_of(&b, "sip0.cube0.pe1.pe_dma");
    kb_node slice = node_of(&b, "sip0.cube0.hbm_ctrl.slice0");
    kb_node quiet = node_of(&b, "sip0.cube0.hbm_ctrl.slice1");
    kb_time alone =
        time_txn(&b, KB_TXN_WRITE, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice1", 0, 256);
    kb_time free =
        time_txn(&b, KB_TXN_WRITE, "sip0.cube0.pe1.pe_dma", "sip0.cube0.hbm_ctrl.slice1", 256, 256);
    kb_time head, behind, beside, began = b.sim->now;
    begin_txn(&b, KB_TXN_WRITE, pe, slice, 0, 100 * 256, &head);
    begin_txn(&b, KB_TXN_WRITE, pe, quiet, 0, 256, &behind);
    begin_txn(&b, KB_TXN_WRITE, other, quiet, 256, 256, &beside);
    run_all(&b);
    assert_int_equal(behind - began, alone + 100 * 1000); /* its flit leaves pe_dma as the 101st */
    assert_int_equal(beside - began, free);
    bed_close(&b);
}

/* A requester that keeps `outstanding` transactions under way until `left` are started. */
typedef struct stream {
    bed *b;
    int left, op;
    uint64_t at, bytes;
} stream;

static void next_of_stream(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    stream *s = object;
    if (!s->left) return;
    s->left--;
    kb_txn_request request = {.op = (kb_txn_op)s->op,
                              .requester = node_of(s->b, "sip0.cube0.pe0.pe_dma"),
                              .memory = node_of(s->b, "sip0.cube0.sram"),
                              .offset = s->at,
                              .rows = 1,
                              .row_bytes = s->bytes,
                              .done = next_of_stream,
                              .object = s};
    s->at += s->bytes;
    assert_int_equal(kb_txn_start(s->b->m, &request, NULL), KB_OK);
}

static void throughput_is_outstanding_times_size_over_round_trip_up_to_the_bandwidth(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    for (int outstanding = 1; outstanding <= 16; outstanding *= 2) {
        bed b = bed_make("cube.noc.overhead_ns=5");
        stream s = {.b = &b, .left = COUNT, .op = KB_TXN_READ, .bytes = 256};
        for (int i = 0; i < outstanding; i++) next_of_stream(b.sim, &s, 0);
        run_all(&b);
        /* One flit: four routers there and back, 6 ns of wire, 2 x 60 ps. The slowest link: 2 ns.
         */
        double round_trip = 2 * 4 * 5000 + 6000 + 120, rate = COUNT / (double)b.sim->now;
        double expected =
            outstanding / round_trip < 1.0 / 2000 ? outstanding / round_trip : 1.0 / 2000;
        assert_true(rate > 0.99 * expected && rate < 1.01 * expected);
        bed_close(&b);
    }
}

/* ---- random traffic ---- */

typedef struct traffic {
    kb_time ended[200];
    uint64_t read, written; /* bytes */
} traffic;

typedef struct transfer {
    kb_txn_op op;
    kb_node from, to;
    uint64_t offset, bytes;
} transfer;

static void run_traffic(bed *b, const transfer *list, size_t count, traffic *out)
{
    *out = (traffic){.read = 0};
    for (size_t i = 0; i < count; i++) {
        const transfer *t = &list[i];
        begin_txn(b, t->op, t->from, t->to, t->offset, t->bytes, &out->ended[i]);
        *(t->op == KB_TXN_READ ? &out->read : &out->written) += t->bytes;
    }
    run_all(b);
}

static size_t random_traffic(const bed *b, kb_rng *rng, transfer *list, bool whole_flits)
{
    size_t count = 20 + kb_rng_below(rng, 80);
    uint32_t flit = b->m->graph->flit_bytes;
    for (size_t i = 0; i < count; i++) {
        list[i] = (transfer){kb_rng_below(rng, 2) ? KB_TXN_READ : KB_TXN_WRITE,
                             random_requester(b, rng), random_memory(b, rng),
                             256 * kb_rng_below(rng, 1000), random_bytes(b, rng, 30)};
        if (whole_flits) list[i].bytes = (list[i].bytes + flit - 1) / flit * flit;
    }
    return count;
}

static void check_link(void *user, kb_edge edge, const kb_edge_info *info, const kb_link *link)
{
    (void)edge;
    (void)info;
    const kb_sim *sim = user;
    assert_true(link->busy <= sim->now);
    assert_true(link->free <= sim->now);
}

static void no_link_is_ever_more_than_busy(void **state)
{
    (void)state;
    kb_rng rng = {3};
    for (int machine = 0; machine < 30; machine++) {
        bed b = random_bed(&rng);
        static transfer list[100];
        static traffic t;
        size_t count = random_traffic(&b, &rng, list, false);
        run_traffic(&b, list, count, &t);
        kb_machine_each_link(b.m, check_link, b.sim);
        for (size_t i = 0; i < count; i++) { /* nor is anything faster than alone */
            kb_formula f;
            assert_int_equal(kb_closed_form(b.m, list[i].op, list[i].from, list[i].to,
                                            list[i].offset, list[i].bytes, &f, NULL),
                             KB_OK);
            if (t.ended[i] < f.total) fail_msg("%zu is faster than on an idle machine", i);
        }
        bed_close(&b);
    }
}

/* What enters each node over links, and what leaves it. */
typedef struct flow {
    const kb_graph *g;
    int64_t *into;
} flow;

static void add_flow(flow *f, bed *b, const transfer *t)
{
    kb_path path = {0};
    assert_int_equal(kb_route(f->g, t->from, t->to, &path, NULL), KB_OK);
    if (t->op == KB_TXN_READ) kb_path_reverse(f->g, &path);
    for (size_t i = 0; i < path.edges.count; i++) {
        kb_link *link = kb_machine_link(b->m, path.edges.data[i]);
        if (!link->bytes) continue; /* counted with an earlier transfer */
        f->into[path.nodes.data[i + 1]] += (int64_t)link->bytes;
        f->into[path.nodes.data[i]] -= (int64_t)link->bytes;
        link->bytes = 0;
    }
    kb_path_free(&path);
}

static void every_byte_that_enters_a_node_leaves_it_or_belongs_there(void **state)
{
    (void)state;
    kb_rng rng = {4};
    for (int machine = 0; machine < 30; machine++) {
        bed b = random_bed(&rng);
        static transfer list[100];
        static traffic t;
        size_t count = random_traffic(&b, &rng, list, false);
        run_traffic(&b, list, count, &t);
        flow f = {b.m->graph, kb_xcalloc(kb_graph_node_count(b.m->graph), sizeof(int64_t))};
        for (size_t i = 0; i < count; i++) add_flow(&f, &b, &list[i]);
        for (size_t i = 0; i < count; i++) { /* take away what was meant for the ends */
            bool read = list[i].op == KB_TXN_READ;
            f.into[read ? list[i].from : list[i].to] -= (int64_t)list[i].bytes;
            f.into[read ? list[i].to : list[i].from] += (int64_t)list[i].bytes;
        }
        for (kb_node n = 0; n < kb_graph_node_count(b.m->graph); n++)
            assert_int_equal(f.into[n], 0);
        free(f.into);
        bed_close(&b);
    }
}

static void equal_traffic_takes_equal_times(void **state)
{
    (void)state;
    static transfer list[100];
    static traffic t, u;
    kb_rng rng = {9};
    bed b = bed_default();
    size_t count = random_traffic(&b, &rng, list, false);
    run_traffic(&b, list, count, &t);
    uint64_t events = b.sim->events;
    bed_close(&b);
    b = bed_default();
    run_traffic(&b, list, count, &u);
    assert_memory_equal(&t, &u, sizeof t);
    assert_int_equal(b.sim->events, events);
    bed_close(&b);
}

static void all_durations_times_three_is_three_times_as_long(void **state)
{
    (void)state;
    static transfer list[100];
    static traffic t, u;
    kb_rng rng = {10};
    bed b = bed_default();
    size_t count = random_traffic(&b, &rng, list, true);
    run_traffic(&b, list, count, &t);
    bed_close(&b);
    random_sets s = {.count = 0};
    static const struct {
        const char *path;
        double value;
    } slower[] = {{"system.ns_per_mm", 0.03},
                  {"system.switch.overhead_ns", 15},
                  {"system.host_link.bw_gbs", 64},
                  {"system.fabric.bw_gbs", 128},
                  {"cube.ucie.overhead_ns", 24},
                  {"cube.ucie.bw_gbs", 128},
                  {"cube.noc.bw_gbs", 256},
                  {"cube.xbar.overhead_ns", 6},
                  {"cube.xbar.pe_to_xbar_bw_gbs", 256},
                  {"cube.xbar.xbar_to_hbm_bw_gbs", 256},
                  {"cube.xbar.noc_to_xbar_bw_gbs", 256},
                  {"cube.bridge.overhead_ns", 3},
                  {"cube.bridge.bw_gbs", 256},
                  {"cube.hbm_ctrl.pc_bw_gbs", 32},
                  {"cube.sram.bw_gbs", 128},
                  {"io.pcie_ep.overhead_ns", 15},
                  {"io.io_noc.bw_gbs", 256},
                  {"io.ucie.overhead_ns", 24}};
    for (size_t i = 0; i < sizeof slower / sizeof slower[0]; i++) {
        bool rate = strstr(slower[i].path, "_gbs");
        snprintf(s.text[i], sizeof s.text[i], "%s=%.17g", slower[i].path,
                 rate ? slower[i].value / 3 : slower[i].value);
        s.list[i] = s.text[i];
        s.list[i + 1] = NULL;
    }
    b = bed_yaml(DEFAULT_YAML, s.list);
    run_traffic(&b, list, count, &u);
    for (size_t i = 0; i < count; i++) assert_int_equal(u.ended[i], 3 * t.ended[i]);
    bed_close(&b);
}

static void idle_hardware_changes_nothing(void **state)
{
    (void)state;
    static transfer list[100];
    static traffic t, u;
    kb_rng rng = {12};
    bed b = bed_default();
    size_t count = random_traffic(&b, &rng, list, false);
    run_traffic(&b, list, count, &t);
    uint64_t events = b.sim->events;
    bed_close(&b);
    b = bed_make("system.sips.count=16"); /* nodes of the first two keep their numbers */
    run_traffic(&b, list, count, &u);
    assert_memory_equal(&t, &u, sizeof t);
    assert_int_equal(b.sim->events, events);
    bed_close(&b);
}

static void a_faster_link_never_slows_a_lone_transfer(void **state)
{
    (void)state;
    kb_time last = KB_TIME_NEVER;
    for (int gbs = 32; gbs <= 1024; gbs *= 2) {
        char set[40];
        snprintf(set, sizeof set, "cube.ucie.bw_gbs=%d", gbs);
        bed b = bed_make(set);
        kb_time now = time_txn(&b, KB_TXN_READ, "sip0.cube0.pe0.pe_dma",
                               "sip0.cube6.hbm_ctrl.slice2", 77, 100000);
        assert_true(now <= last);
        last = now;
        bed_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fan_in_into_one_link_takes_all_bytes_over_its_bandwidth),
        cmocka_unit_test(fan_in_into_one_slice_takes_all_bytes_over_its_bandwidth),
        cmocka_unit_test(what_queues_on_a_link_is_served_in_order),
        cmocka_unit_test(a_long_head_blocks_what_is_behind_it_and_nobody_else),
        cmocka_unit_test(throughput_is_outstanding_times_size_over_round_trip_up_to_the_bandwidth),
        cmocka_unit_test(no_link_is_ever_more_than_busy),
        cmocka_unit_test(every_byte_that_enters_a_node_leaves_it_or_belongs_there),
        cmocka_unit_test(equal_traffic_takes_equal_times),
        cmocka_unit_test(all_durations_times_three_is_three_times_as_long),
        cmocka_unit_test(idle_hardware_changes_nothing),
        cmocka_unit_test(a_faster_link_never_slows_a_lone_transfer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
