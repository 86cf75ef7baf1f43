/* HBM slices (law T7): channels by address, bursts, directions, streaming. */
#include "hw/hbm_ctrl.h"
#include "machine.h"

static const char *const pe = "sip0.cube0.pe0.pe_dma";
static const char *const slice = "sip0.cube0.hbm_ctrl.slice0";
enum { BURST = 10000 }; /* 256 B / (32 GB/s x 0.8) */

static kb_hbm_ctrl *hbm_of(bed *b)
{
    return (kb_hbm_ctrl *)kb_machine_device(b->m, node_of(b, slice));
}

/* Several one-flit transactions at once; returns when the last ends. */
static kb_time together(bed *b, kb_txn_op op, const uint64_t *offsets, size_t count)
{
    kb_time ended[64], last = 0, began = b->sim->now;
    for (size_t i = 0; i < count; i++)
        begin_txn(b, op, node_of(b, pe), node_of(b, slice), offsets[i], 256, &ended[i]);
    run_all(b);
    for (size_t i = 0; i < count; i++)
        if (ended[i] > last) last = ended[i];
    return last - began;
}

static void the_channel_is_the_burst_number_modulo_the_channels(void **state)
{
    (void)state;
    bed b = bed_default();
    static const uint64_t offsets[] = {0, 255, 256, 2047, 2048, 4096 + 3 * 256, 1 << 20};
    static const uint32_t channels[] = {0, 0, 1, 7, 0, 3, 0};
    for (size_t i = 0; i < 7; i++) {
        uint64_t before = hbm_of(&b)->channel[channels[i]].fifo.bytes;
        time_txn(&b, KB_TXN_WRITE, pe, slice, offsets[i], 1);
        assert_int_equal(hbm_of(&b)->channel[channels[i]].fifo.bytes, before + 1);
    }
    bed_close(&b);
}

static void addresses_conflict_by_channel_and_not_in_turn(void **state)
{
    (void)state;
    static const uint64_t same[] = {0, 2048, 4096, 6144}, apart[] = {0, 256, 512, 768};
    bed b = bed_default();
    /* All four requests arrive at once. One channel: four bursts, then the last flit passes the
     * crossbar. Four channels: one burst, then the flits pass one after the other; each is a
     * transaction of its own and pays 2 ns at the crossbar while the next follows. */
    kb_time request = 2120, back = 120 + 2000 + 2000;
    assert_int_equal(together(&b, KB_TXN_READ, same, 4), request + 4 * BURST + back);
    assert_int_equal(together(&b, KB_TXN_READ, apart, 4), request + BURST + 3 * 1000 + back);
    bed_close(&b);
}

static void a_partial_burst_takes_a_whole_one_and_a_long_flit_several(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time byte = time_txn(&b, KB_TXN_READ, pe, slice, 0, 1);
    assert_int_equal(byte, 2120 + BURST + 4 + 2000 + 4 + 120);
    bed_close(&b);
    b = bed_make("cube.hbm_ctrl.burst_bytes=64");
    /* 64 B / 25.6 GB/s = 2.5 ns; a flit of 256 B is four bursts of the same channel. */
    assert_int_equal(time_txn(&b, KB_TXN_READ, pe, slice, 0, 256),
                     2120 + 4 * 2500 + 1000 + 2000 + 1000 + 120);
    assert_int_equal(hbm_of(&b)->bursts, 4);
    bed_close(&b);
}

static void changing_direction_costs_the_penalty(void **state)
{
    (void)state;
    bed b = bed_make("cube.hbm_ctrl.switch_penalty_ns=7");
    static const uint64_t at[] = {0};
    kb_time write = together(&b, KB_TXN_WRITE, at, 1); /* the first access of all pays nothing */
    assert_int_equal(together(&b, KB_TXN_WRITE, at, 1), write);
    kb_time read = together(&b, KB_TXN_READ, at, 1);
    assert_int_equal(together(&b, KB_TXN_READ, at, 1), read - 7000);
    assert_int_equal(together(&b, KB_TXN_WRITE, at, 1), write + 7000);
    static const uint64_t other[] = {256};
    assert_int_equal(together(&b, KB_TXN_READ, other, 1), read - 7000); /* channel by channel */
    bed_close(&b);
}

static void streaming_reaches_the_bandwidth_of_the_slice(void **state)
{
    (void)state;
    for (int op = KB_TXN_READ; op <= KB_TXN_WRITE; op++)
        for (uint64_t bytes = 65536; bytes <= 1 << 20; bytes *= 2) {
            bed b = bed_default();
            kb_time half = time_txn(&b, (kb_txn_op)op, pe, slice, 0, bytes);
            kb_time all = time_txn(&b, (kb_txn_op)op, pe, slice, 0, 2 * bytes);
            /* 8 x 32 x 0.8 = 204.8 GB/s for the second half: 1,250 ps per flit. */
            assert_int_equal(all - half, bytes / 256 * 1250);
            /* The rest is latency: 4 ns + 2 p of commands and overheads, and for a write 2 ns of
             * wire and 7 until the last channel has work, for a read 8 flits and a link after the
             * last burst. */
            assert_int_equal(half - bytes / 256 * 1250, op == KB_TXN_WRITE
                                                            ? 4000 + 240 + 2000 + 7000
                                                            : 2000 + 240 + 8000 + 1000);
            bed_close(&b);
        }
}

static void efficiency_and_channels_scale_it(void **state)
{
    (void)state;
    bed b = bed_make("cube.hbm_ctrl.pseudo_channels=4", "cube.hbm_ctrl.efficiency=0.5");
    kb_time half = time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 1 << 20);
    kb_time all = time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 2 << 20);
    assert_int_equal(all - half, (1 << 20) / (4 * 256) * 16000); /* 256 B / 16 GB/s, four at once */
    bed_close(&b);
}

static void a_pe_gets_its_own_slice_whatever_the_others_do(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time alone = time_txn(&b, KB_TXN_READ, pe, slice, 0, 65536);
    kb_time ended[40], began = b.sim->now;
    size_t n = 0;
    for (int p = 1; p < 8; p++) { /* the others use theirs, the sram, and another cube */
        kb_node from = kb_graph_pe(b.m->graph, 0, 0, p, KB_PE_DMA);
        for (int op = KB_TXN_READ; op <= KB_TXN_WRITE; op++) {
            kb_node own = kb_graph_slice(b.m->graph, 0, 0, p);
            begin_txn(&b, (kb_txn_op)op, from, own, 0, 65536, &ended[n++]);
            begin_txn(&b, (kb_txn_op)op, from, node_of(&b, "sip0.cube0.sram"), 0, 65536,
                      &ended[n++]);
        }
    }
    kb_time mine;
    begin_txn(&b, KB_TXN_READ, node_of(&b, pe), node_of(&b, slice), 0, 65536, &mine);
    run_all(&b);
    assert_int_equal(mine - began, alone);
    bed_close(&b);
}

static void bytes_and_bursts_are_counted(void **state)
{
    (void)state;
    bed b = bed_default();
    time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 1000);
    time_txn(&b, KB_TXN_READ, pe, slice, 128, 512);
    assert_int_equal(hbm_of(&b)->bytes_written, 1000);
    assert_int_equal(hbm_of(&b)->bytes_read, 512);
    assert_int_equal(hbm_of(&b)->bursts, 4 + 2);
    kb_time busy = 0;
    for (int c = 0; c < 8; c++) busy += hbm_of(&b)->channel[c].fifo.busy;
    assert_int_equal(busy, 6 * BURST);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_channel_is_the_burst_number_modulo_the_channels),
        cmocka_unit_test(addresses_conflict_by_channel_and_not_in_turn),
        cmocka_unit_test(a_partial_burst_takes_a_whole_one_and_a_long_flit_several),
        cmocka_unit_test(changing_direction_costs_the_penalty),
        cmocka_unit_test(streaming_reaches_the_bandwidth_of_the_slice),
        cmocka_unit_test(efficiency_and_channels_scale_it),
        cmocka_unit_test(a_pe_gets_its_own_slice_whatever_the_others_do),
        cmocka_unit_test(bytes_and_bursts_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
