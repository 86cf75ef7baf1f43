/* Trains (hw/train.h) against the same transactions moved flit by flit. */
#include "hw/audit.h"
#include "random_machine.h"

enum { TXNS = 60 };

typedef struct start {
    bed *b;
    kb_txn_request request;
    kb_time ended;
} start;

static void begin(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    const start *s = object;
    kb_err err = {0};
    if (kb_txn_start(s->b->m, &s->request, &err)) fail_msg("%s", err.text);
}

static void fail_on_violation(void *user, const char *text)
{
    (void)user;
    fail_msg("%s", text);
}

static kb_node random_target(const bed *b, kb_rng *rng)
{
    const kb_graph *g = b->m->graph;
    if (kb_rng_below(rng, 5)) return random_memory(b, rng);
    return kb_graph_pe(g, 0, (int)kb_rng_below(rng, (uint32_t)kb_graph_cubes(g)), 0, KB_PE_TCM);
}

static void plan(start *s, bed *b, kb_rng *rng, uint64_t within)
{
    kb_txn_request *r = &s->request;
    *s = (start){.b = b, .ended = KB_TIME_NEVER};
    *r = (kb_txn_request){.op = kb_rng_below(rng, 2) ? KB_TXN_READ : KB_TXN_WRITE,
                          .requester = random_requester(b, rng),
                          .memory = random_target(b, rng),
                          .offset = kb_rng_below(rng, 100000),
                          .rows = kb_rng_below(rng, 2) ? 1 : 1 + kb_rng_below(rng, 5),
                          .row_bytes = random_bytes(b, rng, 100),
                          .done = note_time,
                          .object = &s->ended};
    r->stride = r->row_bytes + 64 * kb_rng_below(rng, 3);
    kb_sim_at(b->sim, kb_rng_below(rng, (uint32_t)within), begin, s, 0);
}

/* Starts within so many ps; looks at all links in between if `watched`. */
static void run_random(bed *b, uint64_t seed, uint64_t within, bool watched, start *starts)
{
    kb_rng rng = {seed};
    for (int i = 0; i < TXNS; i++) plan(&starts[i], b, &rng, within);
    for (int i = 0; watched && i < 10; i++) {
        kb_sim_run(b->sim, within * (uint64_t)i / 10, UINT64_MAX);
        kb_machine_audit(b->m, fail_on_violation, NULL);
    }
    run_all(b);
    kb_machine_audit(b->m, fail_on_violation, NULL);
}

/* In some of the scenarios two flits are ready for a link at the same time, but the order of no two
 * makes a difference. */
static void trains_take_the_time_that_flits_take(void **state)
{
    (void)state;
    kb_rng rng = {110};
    uint64_t train_events = 0, flit_events = 0, passages = 0, regular = 0;
    for (int i = 0; i < 120; i++) {
        random_sets sets = {.count = 0};
        char chiplets[CHIPLETS_SIZE];
        bed by_train = random_bed_with(&sets, chiplets, &rng);
        add_set(&sets, "system.fidelity", "flit");
        bed by_flit = bed_yaml(chiplets, sets.list);
        static start train[TXNS], flit[TXNS];
        uint64_t within = UINT64_C(100000) << kb_rng_below(&rng, 8);
        run_random(&by_train, (uint64_t)i, within, i % 2, train);
        run_random(&by_flit, (uint64_t)i, within, false, flit);
        for (int k = 0; k < TXNS; k++) assert_int_equal(train[k].ended, flit[k].ended);
        assert_int_equal(by_train.m->flit_hops, by_flit.m->flit_hops);
        assert_int_equal(by_train.m->waited, by_flit.m->waited);
        train_events += by_train.sim->events;
        flit_events += by_flit.sim->events;
        passages += by_train.m->passages;
        regular += by_train.m->regular_passages;
        bed_close(&by_train);
        bed_close(&by_flit);
    }
    assert_true(train_events < flit_events);
    assert_true(regular > 1000 && passages - regular > 1000); /* in a rhythm; flit by flit */
}

/* Request or start, last arrival, completion. */
static void what_nobody_disturbs_takes_as_many_events_however_long_it_is(void **state)
{
    (void)state;
    for (int op = 0; op < 2; op++) {
        bed b = bed_default();
        time_txn(&b, (kb_txn_op)op, "host", "sip0.cube15.hbm_ctrl.slice3", 0, 256);
        uint64_t one = b.sim->events;
        time_txn(&b, (kb_txn_op)op, "host", "sip0.cube15.hbm_ctrl.slice3", 0, 64 << 20);
        assert_int_equal(b.sim->events, 2 * one);
        assert_true(one <= 3);
        bed_close(&b);
    }
}

/* A hundred writes are queued at the host's link, and follow each other all the way. */
static void trains_follow_each_other(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended[100];
    for (int i = 0; i < 100; i++)
        begin_txn(&b, KB_TXN_WRITE, node_of(&b, "host"), node_of(&b, "sip0.cube15.sram"), 0, 65536,
                  &ended[i]);
    run_all(&b);
    assert_true(b.sim->events <= 2 * 100);
    for (int i = 1; i < 100; i++) assert_int_equal(ended[i] - ended[i - 1], 65536 * 1000 / 64);
    bed_close(&b);
}

static void plan_read(start *s, bed *b, const char *pe, const char *slice, uint64_t bytes,
                      kb_time when)
{
    *s = (start){.b = b};
    s->request = (kb_txn_request){.op = KB_TXN_READ,
                                  .requester = node_of(b, pe),
                                  .memory = node_of(b, slice),
                                  .rows = 1,
                                  .row_bytes = bytes,
                                  .done = note_time,
                                  .object = &s->ended};
    kb_sim_at(b->sim, when, begin, s, 0);
}

/* A short read meets a long one on the bridge between the crossbars; not within whole ns, in which
 * the flits of the long one move. */
static void who_has_been_disturbed_becomes_a_train_again(void **state)
{
    (void)state;
    start reads[2][2];
    uint64_t events[2];
    for (int flit = 0; flit < 2; flit++) {
        bed b = bed_make(flit ? "system.fidelity=flit" : "system.fidelity=train");
        plan_read(&reads[flit][0], &b, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice4",
                  4 << 20, 0);
        plan_read(&reads[flit][1], &b, "sip0.cube0.pe1.pe_dma", "sip0.cube0.hbm_ctrl.slice5", 4096,
                  1000300);
        run_all(&b);
        kb_machine_audit(b.m, fail_on_violation, NULL);
        events[flit] = b.sim->events;
        bed_close(&b);
    }
    assert_true(reads[1][1].ended < reads[1][0].ended);
    for (int i = 0; i < 2; i++) assert_int_equal(reads[0][i].ended, reads[1][i].ended);
    assert_true(events[0] < events[1] / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trains_take_the_time_that_flits_take),
        cmocka_unit_test(what_nobody_disturbs_takes_as_many_events_however_long_it_is),
        cmocka_unit_test(trains_follow_each_other),
        cmocka_unit_test(who_has_been_disturbed_becomes_a_train_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
