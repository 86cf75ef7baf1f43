/* Tiles without events (hw/pe/tile_ahead.c) against the same tiles with events, which a record of
 * stages asks for. */
#include "base/rng.h"
#include "hw/audit.h"
#include "pe_bed.h"

enum { PRODUCTS = 24, VISITS = 40, LOOKS = 16, STEPS = 2, SEEN = 7 };

typedef struct work {
    kb_composite c;
    kb_tile_step steps[STEPS];
    kb_time ended;
} work;

typedef struct scenario {
    bed b;
    uint32_t within; /* everything begins within so many ps */
    work works[PRODUCTS];
    kb_time visits[VISITS];
    uint64_t seen[LOOKS][SEEN];
    uint64_t events;
} scenario;

static uint32_t below(kb_rng *rng, uint32_t bound)
{
    return kb_rng_below(rng, bound);
}

/* In TCM, or, one time in `streams`, in memory that is mapped. */
static kb_operand random_operand(kb_rng *rng, uint32_t columns, uint32_t streams)
{
    if (streams && below(rng, streams) == 0)
        return (kb_operand){.va = {0x1000000 + 64 * (uint64_t)below(rng, 1000)},
                            .stride = columns * 2,
                            .element_bytes = 2};
    return (kb_operand){.pinned = true, .element_bytes = 2};
}

static void random_steps(work *w, kb_rng *rng, uint32_t streams)
{
    if (below(rng, 4)) return;
    w->c.steps = w->steps;
    w->c.step_count = 1 + below(rng, STEPS);
    for (uint32_t i = 0; i < w->c.step_count; i++) {
        w->steps[i] = (kb_tile_step){.passes = 1 + below(rng, 5),
                                     .width = 4,
                                     .x_bytes = 4,
                                     .tree = below(rng, 2),
                                     .whole_rows = below(rng, 4) == 0,
                                     .with = (kb_step_operand)below(rng, 3)};
        w->steps[i].operand = random_operand(rng, w->c.N, streams);
    }
}

static void begin(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_composite *c = object;
    kb_err err = {0};
    if (kb_composite_check(c, &err)) fail_msg("%s", err.text);
    kb_pe_issue(c->pe, kb_composite_dispatch, c, 0);
}

static void plan_product(scenario *s, work *w, kb_rng *rng, uint32_t streams)
{
    static const uint32_t lengths[] = {1, 8, 32, 33, 64, 100, 128, 192, 448, 1024};
    w->c = (kb_composite){.pe = pe_of(&s->b, 0),
                          .M = lengths[below(rng, below(rng, 3) ? 3 : 6)],
                          .K = lengths[below(rng, 10)],
                          .N = lengths[below(rng, 6)],
                          .acc_bytes = below(rng, 2) ? 4 : 0,
                          .done = note_time,
                          .object = &w->ended};
    w->c.a = random_operand(rng, w->c.K, streams);
    w->c.b = random_operand(rng, w->c.N, streams);
    w->c.out = random_operand(rng, w->c.N, streams);
    w->ended = KB_TIME_NEVER;
    random_steps(w, rng, streams);
    kb_sim_at(s->b.sim, below(rng, s->within), begin, &w->c, 0);
}

typedef struct visit {
    scenario *s;
    kb_time *ended;
    kb_txn_op op;
    uint64_t bytes;
} visit;

/* Somebody else's transaction with the TCM, through its ports. */
static void begin_visit(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    visit *v = object;
    begin_txn(&v->s->b, v->op, node_of(&v->s->b, "sip0.cube0.pe1.pe_dma"),
              node_of(&v->s->b, "sip0.cube0.pe0.pe_tcm"), 0, v->bytes, v->ended);
}

static void plan_visit(scenario *s, visit *v, kb_time *ended, kb_rng *rng)
{
    *v = (visit){s, ended, below(rng, 2) ? KB_TXN_READ : KB_TXN_WRITE, 1 + below(rng, 20000)};
    *ended = KB_TIME_NEVER;
    kb_sim_at(s->b.sim, below(rng, s->within), begin_visit, v, 0);
}

static void fail_on_violation(void *user, const char *text)
{
    (void)user;
    fail_msg("%s", text);
}

/* What statistics see of the PE now. */
static void look(scenario *s, uint64_t *seen)
{
    kb_machine_audit(s->b.m, fail_on_violation, NULL);
    const kb_pe *pe = pe_of(&s->b, 0);
    const kb_link *links[] = {&pe->gemm, &pe->fetch, &pe->store, &pe->math};
    for (int i = 0; i < 4; i++) seen[i] = kb_link_busy_so_far(links[i], s->b.sim->now);
    seen[4] = pe->macs;
    seen[5] = pe->gemm.waited;
    seen[6] = pe->fetch.bytes;
}

/* `streams`: one in so many operands is in memory, 0 for none. `visited`: others use the TCM. */
static void run_scenario(scenario *s, const char *const *sets, uint64_t seed, uint32_t streams,
                         bool visited, bool by_events)
{
    kb_rng rng = {seed};
    visit visits[VISITS];
    kb_stages stages = {0};
    s->b = bed_yaml(DEFAULT_YAML, sets);
    s->within = UINT32_C(2000000) << seed / 16 % 5;
    if (by_events) s->b.m->stages = &stages;
    map(&s->b, 0x1000000, 0x1000000, 0, 0);
    for (int i = 0; i < PRODUCTS; i++) plan_product(s, &s->works[i], &rng, streams);
    for (int i = 0; i < VISITS; i++)
        if (visited) plan_visit(s, &visits[i], &s->visits[i], &rng);
    for (int i = 0; i < LOOKS; i++) {
        kb_time until = (kb_time)s->within * (uint64_t)i / LOOKS;
        kb_sim_run(s->b.sim, until, UINT64_MAX);
        kb_sim_rest(s->b.sim, until);
        look(s, s->seen[i]);
    }
    run_all(&s->b);
    kb_machine_audit(s->b.m, fail_on_violation, NULL);
    s->events = s->b.sim->events;
    kb_vec_free(&stages.rows);
    bed_close(&s->b);
}

/* Returns how many events there were fewer. */
static uint64_t compare(const char *const *sets, uint64_t seed, uint32_t streams, bool visited)
{
    static scenario ahead, by_events;
    run_scenario(&ahead, sets, seed, streams, visited, false);
    run_scenario(&by_events, sets, seed, streams, visited, true);
    for (int i = 0; i < PRODUCTS; i++)
        assert_int_equal(ahead.works[i].ended, by_events.works[i].ended);
    for (int i = 0; i < VISITS; i++)
        if (visited) assert_int_equal(ahead.visits[i], by_events.visits[i]);
    for (int i = 0; i < LOOKS; i++)
        for (int n = 0; n < SEEN; n++) assert_int_equal(ahead.seen[i][n], by_events.seen[i][n]);
    return by_events.events - ahead.events;
}

static const char *const queues[] = {"pe.pe_scheduler.tile_queue=1", "pe.pe_scheduler.tile_queue=3",
                                     "pe.pe_scheduler.tile_queue=32",
                                     "pe.pe_scheduler.tile_queue=4000"};

static const char *const rates[] = {"pe.pe_gemm.ghz=1", "pe.pe_gemm.ghz=0.31",
                                    "pe.pe_tcm.read_bw_gbs=101.7", "pe.pe_tcm.write_bw_gbs=7.3"};

static void products_of_tiles_take_as_long_without_events(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 64; i++) {
        const char *sets[] = {queues[i % 4], rates[i / 4 % 4], NULL};
        uint64_t fewer = compare(sets, i, 0, false);
        if (i % 4 == 3) assert_true(fewer > 0); /* every product fits into that queue */
    }
}

static void they_mix_with_products_of_memory(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 64; i++) {
        const char *sets[] = {queues[i % 4], rates[i / 4 % 4], NULL};
        compare(sets, 100 + i, 12, false);
    }
}

/* Rates at which no two claims of a port come at the same picosecond. */
static void others_find_the_ports_of_tcm_as_they_would(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 64; i++) {
        const char *sets[] = {queues[i % 4], "pe.pe_tcm.read_bw_gbs=113.77",
                              "pe.pe_tcm.write_bw_gbs=97.31", NULL};
        compare(sets, 200 + i, i % 2 ? 12 : 0, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_tiles_take_as_long_without_events),
        cmocka_unit_test(they_mix_with_products_of_memory),
        cmocka_unit_test(others_find_the_ports_of_tcm_as_they_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
