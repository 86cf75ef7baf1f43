/* Energy: units counted times their energy (hw/energy.h). */
#include <math.h>

#include "hw/energy.h"
#include "pe_bed.h"

/* Every unit has a price of its own, in pJ, so that no two can be confused. */
#define PRICES                                                                                     \
    "energy.enabled=true", "energy.noc_pj_per_byte=2", "energy.xbar_pj_per_byte=3",                \
        "energy.ucie_pj_per_byte=5", "energy.pcie_pj_per_byte=7", "energy.fabric_pj_per_byte=11",  \
        "energy.hbm_read_pj_per_byte=13", "energy.hbm_write_pj_per_byte=17",                       \
        "energy.sram_pj_per_byte=19", "energy.tcm_pj_per_byte=23", "energy.mac_8bit_pj=0.25",      \
        "energy.mac_16bit_pj=0.5", "energy.mac_32bit_pj=1.5", "energy.mac_64bit_pj=6",             \
        "energy.math_lane_pj=0.125"

static const char *const pe0 = "sip0.cube0.pe0.pe_dma";

/* In whole and fractional picojoules. */
static void expect_part(bed *b, int part, double pj)
{
    kb_energy e;
    kb_energy_total(b->m, &e);
    if (fabs(e.joules[part] * 1e12 - pj) > 1e-9 * (pj + 1))
        fail_msg("%s: %.6f pJ instead of %.6f", kb_energy_name(part), e.joules[part] * 1e12, pj);
}

static void expect_total(bed *b, double pj)
{
    kb_energy e;
    kb_energy_total(b->m, &e);
    assert_true(fabs(e.total * 1e12 - pj) <= 1e-9 * (pj + 1));
}

static void it_is_nothing_unless_it_is_enabled(void **state)
{
    (void)state;
    bed b = bed_make("energy.hbm_read_pj_per_byte=13", "energy.pe_static_mw=1");
    time_txn(&b, KB_TXN_READ, pe0, "sip0.cube0.hbm_ctrl.slice0", 0, 4096);
    expect_total(&b, 0);
    bed_close(&b);
}

static void a_write_to_sram_pays_hops_and_both_memories(void **state)
{
    (void)state;
    bed b = bed_make(PRICES);
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.sram", 0, 1000);
    /* r0c0 -> r1c0 -> r2c0 -> r3c0; out of pe0's TCM, into the sram. */
    expect_part(&b, KB_ENERGY_LINKS + KB_TRAFFIC_NOC, 3 * 1000 * 2);
    expect_part(&b, KB_ENERGY_SRAM, 1000 * 19);
    expect_part(&b, KB_ENERGY_TCM, 1000 * 23);
    expect_total(&b, 1000 * (6 + 19 + 23));
    bed_close(&b);
}

static void hbm_has_prices_for_reading_and_writing(void **state)
{
    (void)state;
    bed b = bed_make(PRICES);
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.hbm_ctrl.slice0", 0, 4096);
    time_txn(&b, KB_TXN_READ, pe0, "sip0.cube0.hbm_ctrl.slice0", 0, 512);
    /* Each passes pe_dma - crossbar and crossbar - slice. */
    expect_part(&b, KB_ENERGY_LINKS + KB_TRAFFIC_XBAR, 2 * (4096 + 512) * 3);
    expect_part(&b, KB_ENERGY_HBM_WRITE, 4096 * 17);
    expect_part(&b, KB_ENERGY_HBM_READ, 512 * 13);
    expect_part(&b, KB_ENERGY_TCM, (4096 + 512) * 23);
    expect_part(&b, KB_ENERGY_LINKS + KB_TRAFFIC_NOC, 0);
    bed_close(&b);
}

static void the_host_pays_pcie_and_ucie(void **state)
{
    (void)state;
    bed b = bed_make(PRICES);
    time_txn(&b, KB_TXN_WRITE, "host", "sip0.cube0.hbm_ctrl.slice0", 0, 4096);
    /* PCIe, one crossing of UCIe, r0c0 -> crossbar -> slice. */
    expect_total(&b, 4096 * (7 + 5 + 2 * 3 + 17));
    bed_close(&b);
}

static void another_sip_is_behind_two_links_of_the_fabric(void **state)
{
    (void)state;
    bed b = bed_make(PRICES);
    time_txn(&b, KB_TXN_WRITE, pe0, "sip1.cube0.hbm_ctrl.slice0", 0, 4096);
    expect_part(&b, KB_ENERGY_LINKS + KB_TRAFFIC_FABRIC, 2 * 4096 * 11);
    expect_part(&b, KB_ENERGY_LINKS + KB_TRAFFIC_UCIE, 2 * 4096 * 5);
    expect_part(&b, KB_ENERGY_LINKS + KB_TRAFFIC_PCIE, 0);
    bed_close(&b);
}

static void from_tcm_to_tcm_pays_at_both_ends(void **state)
{
    (void)state;
    bed b = bed_make(PRICES);
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.pe1.pe_tcm", 0, 4096);
    expect_part(&b, KB_ENERGY_TCM, 2 * 4096 * 23);
    time_txn(&b, KB_TXN_READ, pe0, "sip0.cube0.pe0.pe_tcm", 0, 100); /* its own: out and in */
    expect_part(&b, KB_ENERGY_TCM, 2 * (4096 + 100) * 23);
    bed_close(&b);
}

static void products_are_priced_by_the_size_of_their_operands(void **state)
{
    (void)state;
    static const double prices[4] = {0.25, 0.5, 1.5, 6};
    for (uint32_t size = 0; size < 4; size++) {
        bed b = bed_make(PRICES);
        kb_operand pinned = {.pinned = true, .element_bytes = 1u << size};
        kb_time ended;
        kb_composite c = {.pe = pe_of(&b, 0),
                          .M = 40,
                          .K = 70,
                          .N = 50,
                          .a = pinned,
                          .b = pinned,
                          .out = pinned,
                          .done = note_time,
                          .object = &ended};
        assert_int_equal(kb_composite_check(&c, NULL), KB_OK);
        kb_pe_issue(c.pe, kb_composite_dispatch, &c, 0);
        run_all(&b);
        expect_part(&b, KB_ENERGY_GEMM, 40 * 70 * 50 * prices[size]);
        /* Tiles of 32 x 64 x 32: each of A is fetched for both columns of tiles, each of B for both
         * rows; the result is stored once. */
        double bytes = (2 * 40 * 70 + 2 * 70 * 50 + 40 * 50) * (double)(1u << size);
        expect_part(&b, KB_ENERGY_TCM, bytes * 23);
        bed_close(&b);
    }
}

static void the_vector_engine_pays_for_all_its_lanes(void **state)
{
    (void)state;
    bed b = bed_make(PRICES);
    /* 129 elements of 16 bits in 128 lanes, 4 passes: 8 cycles of 128 lanes. */
    kb_link_claim(&pe_of(&b, 0)->math, 0, kb_pe_math_time(b.m, 129, 4, 2, false), 0);
    expect_part(&b, KB_ENERGY_MATH, 8 * 128 * 0.125);
    bed_close(&b);
}

static void static_power_is_paid_by_all_for_all_of_the_time(void **state)
{
    (void)state;
    bed b = bed_make("energy.enabled=true", "energy.pe_static_mw=100", "energy.cube_static_mw=250");
    kb_time unused;
    kb_sim_at(b.sim, 3000000, note_time, &unused, 0); /* 3 us */
    run_all(&b);
    /* 2 x 16 cubes of 250 mW with 8 PEs of 100 mW: 33.6 W; a W for a us is a million pJ. */
    expect_part(&b, KB_ENERGY_STATIC, 2 * 16 * (0.25 + 8 * 0.1) * 3e6);
    expect_total(&b, 33.6 * 3e6);
    bed_close(&b);
}

static void the_energy_of_an_interval_is_a_difference(void **state)
{
    (void)state;
    bed b = bed_make(PRICES);
    kb_energy before, after;
    time_txn(&b, KB_TXN_READ, pe0, "sip0.cube0.sram", 0, 4096);
    kb_energy_total(b.m, &before);
    time_txn(&b, KB_TXN_READ, pe0, "sip0.cube0.sram", 0, 4096);
    kb_energy_total(b.m, &after);
    assert_true(fabs(after.total - 2 * before.total) <= 1e-12 * after.total);
    assert_true(before.total > 0);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_nothing_unless_it_is_enabled),
        cmocka_unit_test(a_write_to_sram_pays_hops_and_both_memories),
        cmocka_unit_test(hbm_has_prices_for_reading_and_writing),
        cmocka_unit_test(the_host_pays_pcie_and_ucie),
        cmocka_unit_test(another_sip_is_behind_two_links_of_the_fabric),
        cmocka_unit_test(from_tcm_to_tcm_pays_at_both_ends),
        cmocka_unit_test(products_are_priced_by_the_size_of_their_operands),
        cmocka_unit_test(the_vector_engine_pays_for_all_its_lanes),
        cmocka_unit_test(static_power_is_paid_by_all_for_all_of_the_time),
        cmocka_unit_test(the_energy_of_an_interval_is_a_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
