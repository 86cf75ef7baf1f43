/* TCM as a memory that DMA engines of any PE reach (pe_tcm.h). */
#include "hw/pe/pe_tcm.h"
#include "pe_bed.h"
#include "random_machine.h"

static kb_tcm *tcm_of(bed *b, const char *name)
{
    return (kb_tcm *)kb_machine_device(b->m, node_of(b, name));
}

static kb_paddr tcm_address(bed *b, int sip, int cube, int pe, uint64_t offset)
{
    kb_location at = {.sip = (uint32_t)sip,
                      .die_kind = KB_DIE_CUBE,
                      .die = (uint32_t)cube,
                      .unit = KB_UNIT_PE_TCM,
                      .index = (uint32_t)pe,
                      .offset = offset};
    kb_paddr pa;
    kb_err err = {0};
    if (kb_paddr_encode(&b->m->layout, &at, &pa, &err)) fail_msg("%s", err.text);
    return pa;
}

/* pe0 (r0c0) to pe1 (r0c1): pe_dma -> r0c0 -> r0c1 -> pe_tcm, three links of 1 ns per flit, 2 mm.
 */
static const char *const pe0 = "sip0.cube0.pe0.pe_dma", *const tcm1 = "sip0.cube0.pe1.pe_tcm";
enum { LINKS = 3000, P = 20 };

static void flits_pass_the_port_as_they_arrive(void **state)
{
    (void)state;
    bed b = bed_default();
    /* 16 flits, one per ns; the port (512 GB/s) takes 0.5 ns for each and is not what limits. */
    kb_time expected = LINKS + P + 15 * 1000 + 500 + P;
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe0, tcm1, 0, 4096), expected);
    /* A read: the first flit is out of the port after 0.5 ns, then the links set the pace. */
    assert_int_equal(time_txn(&b, KB_TXN_READ, pe0, tcm1, 0, 4096), expected);
    assert_int_equal(tcm_of(&b, tcm1)->bytes_written, 4096);
    assert_int_equal(tcm_of(&b, tcm1)->bytes_read, 4096);
    assert_int_equal(tcm_of(&b, tcm1)->pe->store.busy, 16 * 500);
    assert_int_equal(tcm_of(&b, tcm1)->pe->fetch.busy, 16 * 500);
    assert_int_equal(tcm_of(&b, tcm1)->read_busy, 16 * 500);
    bed_close(&b);
}

static void a_slow_port_sets_the_pace(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_tcm.read_bw_gbs=128", "pe.pe_tcm.write_bw_gbs=64");
    /* 2 ns per flit out, 4 ns in. */
    assert_int_equal(time_txn(&b, KB_TXN_READ, pe0, tcm1, 0, 4096), P + 16 * 2000 + LINKS + P);
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe0, tcm1, 0, 4096), LINKS + P + 16 * 4000 + P);
    /* 1 B: 4 ps (3.9) on each link; 16 ps (15.6) through the write port. */
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe0, tcm1, 0, 1), 3 * 4 + P + 16 + P);
    bed_close(&b);
}

static void ports_are_shared_with_fetch_and_store(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_pe *pe1 = pe_of(&b, 1);
    kb_time ended, busy = kb_pe_store_time(b.m, 8192);
    assert_int_equal(busy, 16000);
    kb_link_claim(&pe1->store, 0, busy, 8192);
    begin_txn(&b, KB_TXN_WRITE, node_of(&b, pe0), node_of(&b, tcm1), 0, 4096, &ended);
    run_all(&b);
    /* At 16 ns 13 flits wait (the first came at 3.02) and the others come faster than the port
     * drains them: 16 times 0.5 ns. */
    assert_int_equal(ended, 16000 + 16 * 500 + P);
    /* The read port was free all the while. */
    kb_link_claim(&pe1->store, b.sim->now, busy, 8192);
    kb_time began = b.sim->now;
    begin_txn(&b, KB_TXN_READ, node_of(&b, pe0), node_of(&b, tcm1), 0, 4096, &ended);
    run_all(&b);
    assert_int_equal(ended - began, P + 500 + 16 * 1000 + 2000 + P);
    bed_close(&b);
}

static void a_fetch_waits_for_what_others_read(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    begin_txn(&b, KB_TXN_READ, node_of(&b, pe0), node_of(&b, tcm1), 0, 4096, &ended);
    kb_sim_run(b.sim, P, UINT64_MAX); /* the request is there: 16 flits of 0.5 ns */
    assert_int_equal(pe_of(&b, 1)->fetch.free, P + 16 * 500);
    bed_close(&b);
}

static void the_own_dma_is_not_charged(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_tcm.read_bw_gbs=1", "pe.pe_tcm.write_bw_gbs=1");
    /* pe_dma -> r0c0 -> pe_tcm: two links, no length; 16 flits. */
    const char *own = "sip0.cube0.pe0.pe_tcm";
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe0, own, 0, 4096), 2000 + 15 * 1000);
    assert_int_equal(time_txn(&b, KB_TXN_READ, pe0, own, 0, 4096), 2000 + 15 * 1000);
    assert_int_equal(tcm_of(&b, own)->bytes_read + tcm_of(&b, own)->bytes_written, 8192);
    assert_int_equal(pe_of(&b, 0)->fetch.busy + pe_of(&b, 0)->store.busy, 0);
    bed_close(&b);
}

static void another_cube_is_reached_through_ucie(void **state)
{
    (void)state;
    bed b = bed_make("cube.ucie.connections=1");
    /* pe3 (r1c5) -> r0c5 -> ucie_e -> cube1's ucie_w -> r0c0 -> pe0's TCM: five links of 1 ns and
     * one of 2, four of them 2 mm long; 8 ns at each port. The last of 16 flits leaves the slow
     * link 30 ns after the first, which had paid 8 ns; the second 8 ns are over by then. */
    kb_time last = 5 * 1000 + 2000 + 4 * 20 + 8000 + 15 * 2000, ack = 16000 + 4 * 20;
    assert_int_equal(
        time_txn(&b, KB_TXN_WRITE, "sip0.cube0.pe3.pe_dma", "sip0.cube1.pe0.pe_tcm", 0, 4096),
        last + 500 + ack);
    bed_close(&b);
}

/* The closed form is written without the simulator. */
static void it_takes_what_the_closed_form_says(void **state)
{
    (void)state;
    kb_rng rng = {77};
    for (int machine = 0; machine < 60; machine++) {
        bed b = random_bed(&rng);
        const kb_graph *g = b.m->graph;
        for (int i = 0; i < 15; i++) {
            kb_txn_op op = kb_rng_below(&rng, 2) ? KB_TXN_READ : KB_TXN_WRITE;
            kb_node from = random_requester(&b, &rng);
            kb_node to =
                kb_graph_pe(g, (int)kb_rng_below(&rng, (uint32_t)g->sips),
                            (int)kb_rng_below(&rng, (uint32_t)kb_graph_cubes(g)),
                            (int)kb_rng_below(&rng, (uint32_t)g->cube_plan.pes), KB_PE_TCM);
            uint64_t offset = kb_rng_below(&rng, 100000), bytes = random_bytes(&b, &rng, 120);
            kb_formula f;
            assert_int_equal(kb_closed_form(b.m, op, from, to, offset, bytes, &f, NULL), KB_OK);
            kb_time began = b.sim->now + 1000000, ended;
            kb_sim_at(b.sim, began, note_time, &ended, 0);
            run_all(&b);
            begin_txn(&b, op, from, to, offset, bytes, &ended);
            run_all(&b);
            assert_int_equal(ended - began, f.total);
            assert_true(f.bottleneck_gbs > 0);
        }
        bed_close(&b);
    }
}

static void the_closed_form_knows_the_port(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_tcm.write_bw_gbs=64");
    kb_formula f;
    assert_int_equal(kb_closed_form(b.m, KB_TXN_WRITE, node_of(&b, pe0), node_of(&b, tcm1), 0,
                                    UINT64_C(1) << 30, &f, NULL),
                     KB_OK);
    assert_true(f.bottleneck_gbs == 64);
    assert_int_equal(f.total, LINKS + P + (UINT64_C(1) << 22) * 4000 + P);
    bed_close(&b);
}

static void addresses_name_the_tcm_of_any_pe(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_err err = {0};
    kb_node node;
    uint64_t offset;
    char name[KB_NAME_MAX];
    assert_int_equal(kb_machine_memory(b.m, tcm_address(&b, 1, 9, 5, 0x1234), &node, &offset, &err),
                     KB_OK);
    assert_string_equal(kb_node_name(b.m->graph, node, name), "sip1.cube9.pe5.pe_tcm");
    assert_int_equal(offset, 0x1234);
    /* The layout has room for 16 SIPs; this machine has two. */
    assert_int_equal(kb_machine_memory(b.m, tcm_address(&b, 2, 0, 0, 0), &node, &offset, &err),
                     KB_EINVAL);
    assert_string_equal(err.text, "sip2.cube0 is not in this machine");
    bed_close(&b);
}

static void a_pe_dma_command_reaches_it_in_every_sip(void **state)
{
    (void)state;
    bed b = bed_default();
    for (int sip = 0; sip < 2; sip++) {
        kb_pieces pieces = {0};
        kb_vec_push(&pieces, ((kb_piece){.pa = tcm_address(&b, sip, 3, 2, 0),
                                         .rows = 1,
                                         .row_bytes = 10000,
                                         .stride = 10000}));
        kb_formula f;
        kb_node to = kb_graph_pe(b.m->graph, sip, 3, 2, KB_PE_TCM);
        assert_int_equal(
            kb_closed_form(b.m, KB_TXN_WRITE, node_of(&b, pe0), to, 0, 10000, &f, NULL), KB_OK);
        kb_time ended, began = b.sim->now;
        kb_pe_dma(pe_of(&b, 0), KB_DMA_WRITE, &pieces, note_time, &ended, 0);
        run_all(&b);
        assert_int_equal(ended - began, f.total);
        assert_int_equal(((kb_tcm *)kb_machine_device(b.m, to))->bytes_written, 10000);
    }
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flits_pass_the_port_as_they_arrive),
        cmocka_unit_test(a_slow_port_sets_the_pace),
        cmocka_unit_test(ports_are_shared_with_fetch_and_store),
        cmocka_unit_test(a_fetch_waits_for_what_others_read),
        cmocka_unit_test(the_own_dma_is_not_charged),
        cmocka_unit_test(another_cube_is_reached_through_ucie),
        cmocka_unit_test(it_takes_what_the_closed_form_says),
        cmocka_unit_test(the_closed_form_knows_the_port),
        cmocka_unit_test(addresses_name_the_tcm_of_any_pe),
        cmocka_unit_test(a_pe_dma_command_reaches_it_in_every_sip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
