/* The audit (hw/audit.h): silent on whatever works, and by name on everything that does not. */
#include "hw/audit.h"
#include "hw/hbm_ctrl.h"
#include "pe_bed.h"
#include "random_machine.h"

typedef struct findings {
    char text[16][400];
    int count;
} findings;

static void keep(void *user, const char *text)
{
    findings *f = user;
    if (f->count < 16) snprintf(f->text[f->count], sizeof f->text[0], "%s", text);
    f->count++;
}

static findings audit(bed *b)
{
    findings f = {.count = 0};
    kb_machine_audit(b->m, keep, &f);
    return f;
}

static void expect(bed *b, const char *text)
{
    findings f = audit(b);
    for (int i = 0; i < f.count && i < 16; i++)
        if (!strcmp(f.text[i], text)) return;
    fail_msg("no \"%s\" among %d findings, of which the first is \"%s\"", text, f.count, f.text[0]);
}

static void expect_silence(bed *b)
{
    findings f = audit(b);
    if (f.count) fail_msg("%s", f.text[0]);
}

static void drain(bed *b)
{
    assert_int_equal(kb_sim_run(b->sim, KB_TIME_NEVER, UINT64_MAX), KB_RUN_EMPTY);
}

/* 1 KB from pe0 to the sram: pe_dma -> r0c0 -> r1c0 -> r2c0 -> r3c0 -> sram. */
static const char *const pe0 = "sip0.cube0.pe0.pe_dma", *const sram = "sip0.cube0.sram";

static void write_1k(bed *b)
{
    static kb_time ended;
    begin_txn(b, KB_TXN_WRITE, node_of(b, pe0), node_of(b, sram), 0, 1024, &ended);
    drain(b);
}

/* Replace what a kind does; the copy must outlive the bed. */
static kb_device_class tampered;

static void tamper(bed *b, kb_kind kind, kb_event_fn transit, kb_event_fn receive)
{
    tampered = *b->m->classes[kind];
    if (transit) tampered.transit = transit;
    if (receive) tampered.receive = receive;
    b->m->classes[kind] = &tampered;
}

/* ---- what works ---- */

static void random_traffic_on_random_machines_is_sound(void **state)
{
    (void)state;
    kb_rng rng = {99};
    for (int machine = 0; machine < 60; machine++) {
        bed b = random_bed_with_buffers(&rng);
        const kb_graph *g = b.m->graph;
        static kb_time ended[40];
        for (int i = 0; i < 40; i++) {
            kb_node to = random_memory(&b, &rng);
            if (kb_rng_below(&rng, 4) == 0)
                to = kb_graph_pe(g, (int)kb_rng_below(&rng, (uint32_t)g->sips), 0, 0, KB_PE_TCM);
            begin_txn(&b, kb_rng_below(&rng, 2) ? KB_TXN_READ : KB_TXN_WRITE,
                      random_requester(&b, &rng), to, kb_rng_below(&rng, 100000),
                      random_bytes(&b, &rng, 40), &ended[i]);
        }
        kb_sim_run(b.sim, 50000, UINT64_MAX);
        expect_silence(&b); /* half way too */
        run_all(&b);
        expect_silence(&b);
        bed_close(&b);
    }
}

static void dma_commands_are_sound(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_dma.outstanding=2", "pe.pe_dma.vc_arbitration=round_robin",
                     "cube.hbm_ctrl.switch_penalty_ns=3", "cube.hbm_ctrl.refresh_interval_ns=200",
                     "cube.hbm_ctrl.refresh_ns=20", "cube.hbm_ctrl.row_bytes=1024",
                     "cube.hbm_ctrl.row_miss_ns=15");
    static kb_time ended[60];
    for (int i = 0; i < 60; i++) {
        kb_pieces pieces = {0};
        for (uint64_t p = 0; p < 3; p++)
            kb_vec_push(&pieces, ((kb_piece){.pa = hbm(&b, i % 4, i % 8, p << 16),
                                             .rows = 1 + (uint32_t)i % 3,
                                             .row_bytes = 300,
                                             .stride = 1024}));
        kb_pe_dma_vc(pe_of(&b, i % 3), i % 2, i % 5 ? KB_VC_COMPUTE : KB_VC_COMM, &pieces,
                     note_time, &ended[i], 0);
    }
    run_all(&b);
    assert_true(pe_of(&b, 0)->dma_books[0][KB_VC_COMPUTE].waited > 0);
    expect_silence(&b);
    bed_close(&b);
}

/* ---- routers that lose, invent and cut ---- */

static bool at_r1c0_flit_2(const kb_txn *t, uint64_t arg)
{
    const kb_node_info *info = kb_graph_info(t->m->graph, t->route->stops[arg >> 32].node);
    return info->a == 1 && info->b == 0 && kb_txn_flit(arg) == 2;
}

static void drop(kb_sim *sim, void *object, uint64_t arg)
{
    if (!at_r1c0_flit_2(object, arg)) kb_txn_forward(sim, object, arg);
}

static void a_dropped_flit_is_found_where_it_was_lost(void **state)
{
    (void)state;
    bed b = bed_make("system.fidelity=flit");
    tamper(&b, KB_ROUTER, drop, NULL);
    write_1k(&b);
    expect(&b, "sip0.cube0.r1c0: 1024 bytes in, 768 bytes out");
    expect(&b, "machine: 1 transactions started, 0 completed");
    expect(&b, "machine: 4 flits were sent, 3 delivered");
    bed_close(&b);
}

static void duplicate(kb_sim *sim, void *object, uint64_t arg)
{
    if (at_r1c0_flit_2(object, arg)) kb_txn_forward(sim, object, arg);
    kb_txn_forward(sim, object, arg);
}

static void a_duplicated_flit_is_found_where_it_was_made(void **state)
{
    (void)state;
    bed b = bed_make("system.fidelity=flit");
    tamper(&b, KB_ROUTER, duplicate, NULL);
    write_1k(&b);
    expect(&b, "sip0.cube0.r1c0: 1024 bytes in, 1280 bytes out");
    expect(&b, "machine: 4 flits were sent, 5 delivered");
    bed_close(&b);
}

/* Forwards flit 2 as if it had 64 B less. */
static void shorten(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    kb_link *link = &t->route->stops[arg >> 32].wire->link;
    bool cut = at_r1c0_flit_2(t, arg);
    kb_txn_forward(sim, t, arg);
    if (cut) link->bytes -= 64;
}

static void a_shortened_flit_is_found_on_both_sides_of_the_link(void **state)
{
    (void)state;
    bed b = bed_make("system.fidelity=flit");
    tamper(&b, KB_ROUTER, shorten, NULL);
    write_1k(&b);
    expect(&b, "sip0.cube0.r1c0: 1024 bytes in, 960 bytes out");
    expect(&b, "sip0.cube0.r2c0: 960 bytes in, 1024 bytes out");
    /* It still took the link's time: 4 ns, where 960 B take 3.75. */
    expect(&b,
           "sip0.cube0.r1c0 -> sip0.cube0.r2c0: busy for 4.000 ns, its 960 bytes take 3.750 ns");
    bed_close(&b);
}

/* ---- memories ---- */

/* Says that a flit is written without writing it. */
static void forgetful(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_txn_written(object, sim->now);
}

static void a_memory_that_loses_what_it_acknowledges_is_found(void **state)
{
    (void)state;
    bed b = bed_make("system.fidelity=flit");
    tamper(&b, KB_SRAM, NULL, forgetful);
    write_1k(&b);
    expect(&b, "sip0.cube0.sram: 1024 bytes came in, 0 were written");
    bed_close(&b);
}

static void a_channel_that_takes_too_long_is_found(void **state)
{
    (void)state;
    bed b = bed_default();
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.hbm_ctrl.slice0", 0, 4096);
    kb_hbm_ctrl *hbm =
        (kb_hbm_ctrl *)kb_machine_device(b.m, node_of(&b, "sip0.cube0.hbm_ctrl.slice0"));
    hbm->channel[3].fifo.busy += 1;
    expect(&b, "sip0.cube0.hbm_ctrl.slice0: its channels were busy for 160.001 ns, its bursts take "
               "160.000 ns");
    hbm->channel[3].fifo.busy += 1000000 - 1;
    expect(&b,
           "sip0.cube0.hbm_ctrl.slice0: pseudo-channel 3 was busy for 1020.000 ns of 33.240 ns");
    bed_close(&b);
}

/* ---- links and servers ---- */

static kb_link *link_between(bed *b, const char *from, const char *to)
{
    kb_path path = {0};
    assert_int_equal(kb_route(b->m->graph, node_of(b, from), node_of(b, to), &path, NULL), KB_OK);
    kb_link *link = kb_machine_link(b->m, path.edges.data[0]);
    kb_path_free(&path);
    return link;
}

static void a_link_whose_busy_time_is_wrong_is_found(void **state)
{
    (void)state;
    bed b = bed_default();
    write_1k(&b);
    link_between(&b, "sip0.cube0.r3c0", sram)->busy += 2000;
    expect(&b,
           "sip0.cube0.r3c0 -> sip0.cube0.sram: busy for 10.000 ns, its 1024 bytes take 8.000 ns");
    link_between(&b, "sip0.cube0.r3c0", sram)->busy += 1000000;
    /* The write took 4 + 2 + 3 x 2 ns and 60 ps each way. */
    expect(&b, "sip0.cube0.r3c0 -> sip0.cube0.sram: busy for 1010.000 ns of 12.120 ns");
    bed_close(&b);
}

static void a_link_whose_waiting_time_is_wrong_is_found(void **state)
{
    (void)state;
    bed b = bed_default();
    write_1k(&b);
    /* Flits come to the last link one per ns and leave one per 2: they wait 1, 2 and 3 ns. */
    assert_int_equal(link_between(&b, "sip0.cube0.r3c0", sram)->waited, 6000);
    link_between(&b, "sip0.cube0.r3c0", sram)->waited -= 500;
    expect(&b, "machine: links say that flits waited 5.500 ns, transactions waited 6.000 ns");
    bed_close(&b);
}

static void release_once_more(kb_sim *sim, void *server, uint64_t arg)
{
    (void)arg;
    kb_server_release(server, sim);
}

/* The unit that was released too early comes back: without it the last release would assert. */
static void put_back(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_server *server = object;
    kb_server_settle(server, sim);
    server->in_use++;
}

static void a_server_that_releases_twice_is_found(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_pe *pe = pe_of(&b, 0);
    static kb_time ended[2];
    for (int i = 0; i < 2; i++) { /* slices 0 and 1, so that they would not disturb each other */
        kb_pieces pieces = {0};
        kb_vec_push(
            &pieces,
            ((kb_piece){.pa = hbm(&b, 0, i, 0), .rows = 1, .row_bytes = 256, .stride = 256}));
        kb_pe_dma(pe, KB_DMA_READ, &pieces, note_time, &ended[i], 0);
    }
    /* A read of 256 B takes 2.12 + 10 + 1 + 2 + 1 + 0.12 = 16.24 ns. The second begins at 5 ns
     * instead, is 40 ps shorter, and ends at 21.2. Held: 16.24 + 16.2. The channel saw one holder
     * until 16.24, none until 18, one until 21.2: 16.24 + 3.2. */
    kb_sim_at(b.sim, 5000, release_once_more, &pe->dma[KB_DMA_READ], 0);
    kb_sim_at(b.sim, 18000, put_back, &pe->dma[KB_DMA_READ], 0);
    drain(&b);
    assert_int_equal(ended[0], 16240);
    assert_int_equal(ended[1], 5000 + 16200);
    expect(&b,
           "sip0.cube0.pe0: pe_dma's read channel says that it was held 19.440 ns, transactions "
           "held it 32.440 ns");
    bed_close(&b);
}

static void a_channel_that_is_never_released_is_found(void **state)
{
    (void)state;
    bed b = bed_default();
    static kb_waiter nobody;
    nobody = (kb_waiter){.fn = note_time, .object = &(kb_time){0}};
    kb_server_acquire(&pe_of(&b, 3)->dma[KB_DMA_WRITE], b.sim, &nobody);
    drain(&b);
    expect(&b, "sip0.cube0.pe3: 1 transactions are still in pe_dma's write channel");
    expect(&b, "sip0.cube0.pe3: pe_dma's write channel was granted 1 times, taken 0 times");
    bed_close(&b);
}

static void an_engine_that_worked_more_than_time_has_passed_is_found(void **state)
{
    (void)state;
    bed b = bed_default();
    write_1k(&b);
    pe_of(&b, 0)->gemm.busy = 20000;
    expect(&b, "sip0.cube0.pe0: pe_gemm was busy for 20.000 ns of 12.120 ns");
    bed_close(&b);
}

static void what_a_requester_asked_for_must_reach_it(void **state)
{
    (void)state;
    bed b = bed_default();
    write_1k(&b);
    pe_of(&b, 0)->dma_bytes[KB_DMA_WRITE] += 1;
    expect(&b, "sip0.cube0.pe0.pe_dma: 1024 bytes went out, 1025 were requested");
    time_txn(&b, KB_TXN_READ, "host", sram, 0, 512);
    b.m->host_bytes[KB_TXN_READ] -= 12;
    expect(&b, "host: 512 bytes came in, 500 were requested");
    bed_close(&b);
}

static void a_link_on_whose_end_routes_disagree_is_found(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_link *link = link_between(&b, "sip0.cube0.r3c0", sram);
    ((kb_wire *)link)->to = node_of(&b, "sip0.cube0.r4c0");
    write_1k(&b);
    expect(&b, "sip0.cube0.r3c0: a link leads to more than one node");
    bed_close(&b);
}

static void chiplets_that_share_an_edge_are_sound(void **state)
{
    (void)state;
    bed b = bed_yaml("sip:\n  io_chiplets:\n    - side: N\n    - side: N\n", NULL);
    for (int i = 0; i < 4; i++) {
        const char *to = i < 2 ? "sip1.cube4.hbm_ctrl.slice1" : "sip0.cube7.sram";
        time_txn(&b, i % 2 ? KB_TXN_READ : KB_TXN_WRITE, "host", to, 0, 4096);
    }
    expect_silence(&b);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_traffic_on_random_machines_is_sound),
        cmocka_unit_test(dma_commands_are_sound),
        cmocka_unit_test(a_dropped_flit_is_found_where_it_was_lost),
        cmocka_unit_test(a_duplicated_flit_is_found_where_it_was_made),
        cmocka_unit_test(a_shortened_flit_is_found_on_both_sides_of_the_link),
        cmocka_unit_test(a_memory_that_loses_what_it_acknowledges_is_found),
        cmocka_unit_test(a_channel_that_takes_too_long_is_found),
        cmocka_unit_test(a_link_whose_busy_time_is_wrong_is_found),
        cmocka_unit_test(a_link_whose_waiting_time_is_wrong_is_found),
        cmocka_unit_test(a_server_that_releases_twice_is_found),
        cmocka_unit_test(a_channel_that_is_never_released_is_found),
        cmocka_unit_test(an_engine_that_worked_more_than_time_has_passed_is_found),
        cmocka_unit_test(what_a_requester_asked_for_must_reach_it),
        cmocka_unit_test(a_link_on_whose_end_routes_disagree_is_found),
        cmocka_unit_test(chiplets_that_share_an_edge_are_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
