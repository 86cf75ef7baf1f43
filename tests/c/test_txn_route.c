/* Routes that are kept (hw/txn_route.h). */
#include "random_machine.h"

enum { TXNS = 60 };

static kb_txn_route *take_route(bed *b, kb_txn_op op, kb_node requester, kb_node memory)
{
    kb_txn_route *route;
    kb_err err = {0};
    if (kb_txn_route_take(b->m, op, requester, memory, &route, &err)) fail_msg("%s", err.text);
    return route;
}

static void a_route_is_worked_out_once_for_each_direction(void **state)
{
    (void)state;
    bed b = bed_default();
    for (int i = 0; i < 3; i++)
        for (int op = 0; op < 2; op++)
            time_txn(&b, (kb_txn_op)op, "host", "sip0.cube1.hbm_ctrl.slice0", 0, 1000);
    assert_int_equal(b.m->routes.resolved, 2);
    time_txn(&b, KB_TXN_READ, "host", "sip0.cube1.sram", 0, 1000);
    assert_int_equal(b.m->routes.resolved, 3);
    assert_int_equal(b.m->host_bytes[KB_TXN_READ], 4000);
    assert_int_equal(b.m->host_bytes[KB_TXN_WRITE], 3000);
    bed_close(&b);
}

static void there_is_no_route_to_what_cannot_be_reached(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_err err = {0};
    kb_txn_route *route;
    assert_int_equal(kb_txn_route_take(b.m, KB_TXN_READ, node_of(&b, "sip0.cube0.pe0.pe_dma"),
                                       node_of(&b, "sip0.cube0.pe0.pe_gemm"), &route, &err),
                     KB_EINVAL);
    assert_int_equal(b.m->routes.kept, 0);
    bed_close(&b);
}

static void expect_same(const kb_txn_route *a, const kb_txn_route *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->command, b->command);
    assert_ptr_equal(a->device, b->device);
    assert_ptr_equal(a->requested, b->requested);
    for (uint32_t i = 0; i < a->count; i++) {
        const kb_stop *p = &a->stops[i], *q = &b->stops[i];
        assert_ptr_equal(p->wire, q->wire);
        assert_true(p->receive == q->receive);
        assert_int_equal(p->flit_occupancy, q->flit_occupancy);
        assert_int_equal(p->propagation, q->propagation);
        assert_int_equal(p->overhead, q->overhead);
        assert_int_equal(p->node, q->node);
        if (a->buffers && i + 1 < a->count) assert_ptr_equal(a->buffers[i], b->buffers[i]);
    }
}

/* While somebody holds the old one. */
static void a_forgotten_route_is_worked_out_as_before(void **state)
{
    (void)state;
    kb_rng rng = {31};
    for (int i = 0; i < 40; i++) {
        bed b = random_bed_with_buffers(&rng);
        for (int k = 0; k < 20; k++) {
            kb_txn_op op = kb_rng_below(&rng, 2) ? KB_TXN_READ : KB_TXN_WRITE;
            kb_node requester = random_requester(&b, &rng), memory = random_memory(&b, &rng);
            kb_txn_route *old = take_route(&b, op, requester, memory);
            assert_ptr_equal(take_route(&b, op, requester, memory), old);
            kb_txn_route_give(old);
            kb_txn_routes_fini(&b.m->routes);
            kb_txn_route *new = take_route(&b, op, requester, memory);
            assert_ptr_not_equal(new, old);
            expect_same(old, new);
            kb_txn_route_give(old);
            kb_txn_route_give(new);
        }
        bed_close(&b);
    }
}

/* Of 20,000 pairs, more than there is room for; twice. */
static void a_command_takes_what_its_path_takes(void **state)
{
    (void)state;
    kb_rng rng = {13};
    bed b = bed_make("system.sips.count=2", "cube.noc.overhead_ns=0.3");
    kb_path path = {0};
    for (int i = 0; i < 40000; i++) {
        if (i == 20000) rng.state = 13;
        kb_node from = random_requester(&b, &rng), to = random_memory(&b, &rng);
        assert_int_equal(kb_route(b.m->graph, from, to, &path, NULL), KB_OK);
        kb_time time = kb_path_command_time(b.m->graph, &path);
        assert_int_equal(kb_machine_command_time(b.m, from, to), time);
    }
    kb_path_free(&path);
    assert_int_equal(kb_machine_command_time(b.m, node_of(&b, "host"), node_of(&b, "host")), 0);
    bed_close(&b);
}

typedef struct start {
    bed *b;
    kb_txn_op op;
    kb_node requester, memory;
    uint64_t bytes;
    kb_time ended;
} start;

static void begin(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    start *s = object;
    begin_txn(s->b, s->op, s->requester, s->memory, 0, s->bytes, &s->ended);
}

static void run_random(bed *b, uint64_t seed, bool forget, start *starts)
{
    kb_rng rng = {seed};
    kb_node memories[3], requesters[3];
    for (int i = 0; i < 3; i++) {
        memories[i] = random_memory(b, &rng);
        requesters[i] = random_requester(b, &rng);
    }
    for (int i = 0; i < TXNS; i++) {
        starts[i] = (start){.b = b,
                            .op = kb_rng_below(&rng, 2) ? KB_TXN_READ : KB_TXN_WRITE,
                            .requester = requesters[kb_rng_below(&rng, 3)],
                            .memory = memories[kb_rng_below(&rng, 3)],
                            .bytes = random_bytes(b, &rng, 30)};
        kb_sim_at(b->sim, kb_rng_below(&rng, 1000000), begin, &starts[i], 0);
    }
    for (kb_time until = 0; forget && until < 1000000; until += 50000) {
        kb_sim_run(b->sim, until, UINT64_MAX);
        kb_txn_routes_fini(&b->m->routes);
    }
    run_all(b);
}

static void what_is_kept_makes_no_difference(void **state)
{
    (void)state;
    kb_rng rng = {47};
    for (int i = 0; i < 60; i++) {
        random_sets sets = {.count = 0};
        char chiplets[CHIPLETS_SIZE];
        bed kept = random_bed_with(&sets, chiplets, &rng);
        if (i % 2) {
            bed_close(&kept);
            random_flow_control(&sets, &rng);
            kept = bed_yaml(chiplets, sets.list);
        }
        bed forgotten = bed_yaml(chiplets, sets.list);
        static start a[TXNS], b[TXNS];
        run_random(&kept, (uint64_t)i, false, a);
        run_random(&forgotten, (uint64_t)i, true, b);
        assert_true(kept.m->routes.resolved <= 2 * 3 * 3);
        assert_true(forgotten.m->routes.resolved >= kept.m->routes.resolved);
        for (int k = 0; k < TXNS; k++) assert_int_equal(a[k].ended, b[k].ended);
        assert_int_equal(kept.m->waited, forgotten.m->waited);
        assert_int_equal(kept.sim->events, forgotten.sim->events);
        bed_close(&kept);
        bed_close(&forgotten);
    }
}

/* 256 PEs and 256 slices: 65,536 pairs, each with two routes. */
static void no_more_routes_are_kept_than_there_is_room_for(void **state)
{
    (void)state;
    bed b = bed_make("system.sips.count=2");
    const kb_graph *g = b.m->graph;
    kb_txn_route *held = take_route(&b, KB_TXN_READ, kb_graph_host(g), kb_graph_slice(g, 1, 3, 2));
    uint64_t taken = 1;
    for (int pe = 0; pe < 256; pe++) {
        for (int slice = 0; slice < 300; slice++) {
            kb_txn_op op = slice < 256 ? KB_TXN_READ : KB_TXN_WRITE;
            kb_node from = kb_graph_pe(g, pe / 128, pe / 8 % 16, pe % 8, KB_PE_DMA);
            kb_node to = kb_graph_slice(g, slice / 128 % 2, slice / 8 % 16, slice % 8);
            kb_txn_route_give(take_route(&b, op, from, to));
            assert_int_equal(b.m->routes.resolved, ++taken);
        }
    }
    assert_true(taken > KB_TXN_ROUTES_MOST);
    assert_true(b.m->routes.kept <= KB_TXN_ROUTES_MOST);
    assert_true(b.m->routes.kept > KB_TXN_ROUTES_MOST / 2);
    kb_txn_routes_fini(&b.m->routes);
    kb_txn_route *again = take_route(&b, KB_TXN_READ, kb_graph_host(g), kb_graph_slice(g, 1, 3, 2));
    expect_same(held, again);
    kb_txn_route_give(held);
    kb_txn_route_give(again);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_is_worked_out_once_for_each_direction),
        cmocka_unit_test(there_is_no_route_to_what_cannot_be_reached),
        cmocka_unit_test(a_forgotten_route_is_worked_out_as_before),
        cmocka_unit_test(a_command_takes_what_its_path_takes),
        cmocka_unit_test(what_is_kept_makes_no_difference),
        cmocka_unit_test(no_more_routes_are_kept_than_there_is_room_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
