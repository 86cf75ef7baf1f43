/* The closed form is the simulator's equal on any idle path, to the picosecond. */
#include "random_machine.h"

static void check_one(bed *b, kb_rng *rng, uint32_t most_flits)
{
    kb_txn_op op = kb_rng_below(rng, 2) ? KB_TXN_READ : KB_TXN_WRITE;
    kb_node from = random_requester(b, rng), to = random_memory(b, rng);
    uint64_t offset =
        kb_rng_below(rng, 2) ? kb_rng_below(rng, 100000) : 4096 * kb_rng_below(rng, 9);
    uint64_t bytes = random_bytes(b, rng, most_flits);
    kb_formula f;
    kb_err err = {0};
    if (kb_closed_form(b->m, op, from, to, offset, bytes, &f, &err)) fail_msg("%s", err.text);
    assert_int_equal(f.total, f.command + f.overhead + f.propagation + f.wire + f.drain - f.hidden);
    assert_true(f.hidden <= f.overhead && f.drain <= f.total);

    kb_time began = b->sim->now + 1000000, ended; /* 1 us later everything is idle again */
    kb_sim_at(b->sim, began, note_time, &ended, 0);
    run_all(b);
    begin_txn(b, op, from, to, offset, bytes, &ended);
    run_all(b);
    if (ended - began == f.total) return;
    char p[KB_NAME_MAX], q[KB_NAME_MAX];
    fail_msg("%s %s %s: %llu B at %llu, flits of %u B: simulated %llu ps, closed form %llu ps",
             kb_node_name(b->m->graph, from, p), op == KB_TXN_READ ? "reads" : "writes",
             kb_node_name(b->m->graph, to, q), (unsigned long long)bytes,
             (unsigned long long)offset, b->m->graph->flit_bytes,
             (unsigned long long)(ended - began), (unsigned long long)f.total);
}

static void random_transfers_on_random_machines_take_exactly_what_it_says(void **state)
{
    (void)state;
    kb_rng rng = {2024};
    for (int machine = 0; machine < 150; machine++) {
        bed b = random_bed(&rng);
        for (int i = 0; i < 20; i++) check_one(&b, &rng, 120);
        bed_close(&b);
    }
}

static void it_holds_for_long_transfers(void **state)
{
    (void)state;
    kb_rng rng = {5};
    for (int machine = 0; machine < 6; machine++) {
        bed b = random_bed(&rng);
        for (int i = 0; i < 4; i++) check_one(&b, &rng, 4000);
        bed_close(&b);
    }
}

static kb_formula formula(bed *b, kb_txn_op op, const char *from, const char *to, uint64_t bytes)
{
    kb_formula f;
    kb_err err = {0};
    if (kb_closed_form(b->m, op, node_of(b, from), node_of(b, to), 0, bytes, &f, &err))
        fail_msg("%s", err.text);
    return f;
}

/* T4 as written, where the slowest link is the last one and no overhead lies behind it. */
static void it_is_the_law_of_idle_paths_word_for_word(void **state)
{
    (void)state;
    bed b = bed_make("cube.noc.overhead_ns=1.5");
    const char *pe = "sip0.cube0.pe0.pe_dma", *sram = "sip0.cube0.sram";
    /* pe_dma, r0c0, r1c0, r2c0, r3c0: 4 links of 256 GB/s; sram: one of 128. Three of 2 mm. */
    for (uint64_t flits = 1; flits <= 4096; flits *= 4) {
        kb_formula f = formula(&b, KB_TXN_WRITE, pe, sram, flits * 256);
        assert_int_equal(f.overhead, 4 * 1500);
        assert_int_equal(f.propagation, 3 * 20);
        assert_int_equal(f.wire, 4 * 1000 + 2000);
        assert_int_equal(f.drain, (flits - 1) * 2000);
        assert_int_equal(f.hidden, 0);
        assert_int_equal(f.command, 4 * 1500 + 3 * 20);
        assert_int_equal(f.hops, 5);
        assert_true(f.bottleneck_gbs == 128);
    }
    bed_close(&b);
}

/* The sram's own overhead lies behind the slow link: only what the stream does not queue anyhow. */
static void an_overhead_behind_the_slowest_link_is_hidden(void **state)
{
    (void)state;
    bed b = bed_make("cube.sram.overhead_ns=5");
    static const kb_time hidden[] = {0, 2000, 4000, 5000, 5000}; /* min(5, (flits - 1) x 2) */
    for (uint64_t flits = 1; flits <= 5; flits++) {
        kb_formula f =
            formula(&b, KB_TXN_WRITE, "sip0.cube0.pe0.pe_dma", "sip0.cube0.sram", flits * 256);
        assert_int_equal(f.overhead, 5000);
        assert_int_equal(f.hidden, hidden[flits - 1]);
        assert_int_equal(f.total, 60 + 60 + 6000 + 5000 + (flits - 1) * 2000 - hidden[flits - 1]);
    }
    bed_close(&b);
}

static void its_parts_of_the_worked_example_are_these(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_formula f =
        formula(&b, KB_TXN_WRITE, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice0", 32768);
    kb_time p = f.propagation;
    assert_int_equal(f.command, 2000 + p);
    assert_int_equal(f.overhead, 2000);
    assert_int_equal(f.wire, 2000);
    assert_int_equal(f.drain, 7000 + 160000); /* seven channels later, sixteen bursts */
    assert_int_equal(f.total, 173000 + 2 * p);
    assert_true(f.bottleneck_gbs > 204.799 && f.bottleneck_gbs < 204.801);
    bed_close(&b);
}

static void its_cost_does_not_depend_on_the_size(void **state)
{
    (void)state;
    bed b = bed_default();
    /* 32 TB: 2^37 flits of 2 ns. Nobody could simulate that. */
    kb_formula f =
        formula(&b, KB_TXN_READ, "sip0.cube0.pe0.pe_dma", "sip0.cube0.sram", UINT64_C(1) << 45);
    assert_int_equal(f.total, 60 + 60 + 6000 + ((UINT64_C(1) << 37) - 1) * 2000);
    f = formula(&b, KB_TXN_READ, "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice0",
                UINT64_C(1) << 45);
    /* As in the worked example: 2 + p, 2^34 turns of 10 ns, 8 on the link, one more link, p. */
    assert_int_equal(f.total, 2000 + 2 * 120 + (UINT64_C(1) << 34) * 10000 + 8000 + 1000);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_transfers_on_random_machines_take_exactly_what_it_says),
        cmocka_unit_test(it_holds_for_long_transfers),
        cmocka_unit_test(it_is_the_law_of_idle_paths_word_for_word),
        cmocka_unit_test(an_overhead_behind_the_slowest_link_is_hidden),
        cmocka_unit_test(its_parts_of_the_worked_example_are_these),
        cmocka_unit_test(its_cost_does_not_depend_on_the_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
