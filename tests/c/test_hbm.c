/* HBM slices (law T7): channels by address, bursts, directions, streaming. */
#include "hw/hbm_ctrl.h"
#include "random_machine.h"

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

/* ---- refresh ---- */

/* One channel, bursts of 10 ns, a refresh of 25 ns every 100 ns, first at 100 (channel 0 of 1). */
#define REFRESH                                                                                    \
    "cube.hbm_ctrl.pseudo_channels=1", "cube.hbm_ctrl.refresh_interval_ns=100",                    \
        "cube.hbm_ctrl.refresh_ns=25"

static void streams_lose_whole_bursts_to_refreshes(void **state)
{
    (void)state;
    bed b = bed_make(REFRESH);
    /* A write: nine bursts from 4.12 to 94.12; the tenth would end at 104.12 and starts at 125.
     * Between 125 and 200 there is room for seven, and so on: 9 + 3 x 7 bursts end at 395. */
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 30 * 256), 395000 + 2120);
    assert_int_equal(hbm_of(&b)->channel[0].fifo.busy, 30 * BURST);
    bed_close(&b);
    b = bed_make(REFRESH);
    /* A read: nine from 2.12, then the same; two links of 1 ns after the last. */
    assert_int_equal(time_txn(&b, KB_TXN_READ, pe, slice, 0, 30 * 256), 395000 + 2000 + 120);
    /* The long run: 7 bursts in 100 ns. */
    kb_time half = b.sim->now;
    time_txn(&b, KB_TXN_READ, pe, slice, 0, 700 * 256);
    kb_time took = b.sim->now - half;
    assert_true(took >= 100 * 100000 - 100000 && took <= 100 * 100000 + 100000);
    bed_close(&b);
}

static void long_flits_are_interrupted_between_their_bursts(void **state)
{
    (void)state;
    bed b = bed_make(REFRESH, "cube.hbm_ctrl.burst_bytes=64", "cube.hbm_ctrl.efficiency=0.2");
    /* 64 B at 6.4 GB/s: 10 ns. Flits of four bursts, from 4.12: nine bursts before the refresh, so
     * the third flit has its first burst before 100 and the other three from 125 to 155. */
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 3 * 256), 155000 + 2120);
    bed_close(&b);
}

static void channels_are_refreshed_in_turn(void **state)
{
    (void)state;
    for (uint64_t c = 0; c < 8; c++) {
        bed b = bed_make("cube.hbm_ctrl.refresh_interval_ns=800", "cube.hbm_ctrl.refresh_ns=40");
        kb_time idle = 2120 + BURST + 2000 + 2000 + 120, unused;
        /* The request arrives 1 ns after the refresh of channel c, the third one, has begun. */
        kb_sim_at(b.sim, 100000 * (c + 1) + 2 * 800000 + 1000 - 2120, note_time, &unused, 0);
        run_all(&b);
        uint64_t now[] = {256 * c}, next[] = {256 * ((c + 1) % 8)};
        assert_int_equal(together(&b, KB_TXN_READ, now, 1), idle + 39000);
        bed_close(&b);
        b = bed_make("cube.hbm_ctrl.refresh_interval_ns=800", "cube.hbm_ctrl.refresh_ns=40");
        kb_sim_at(b.sim, 100000 * (c + 1) + 2 * 800000 + 1000 - 2120, note_time, &unused, 0);
        run_all(&b);
        assert_int_equal(together(&b, KB_TXN_READ, next, 1), idle);
        bed_close(&b);
    }
}

static void refreshes_that_leave_no_room_for_a_burst_are_refused(void **state)
{
    (void)state;
    bed b;
    kb_err err = {0};
    const char *sets[] = {REFRESH, "cube.hbm_ctrl.refresh_ns=91", NULL};
    assert_int_equal(bed_try(&b, DEFAULT_YAML, sets, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "a refresh and a burst take 101.000 ns, which is longer"));
}

/* ---- rows ---- */

/* One channel, rows of 1 KB (four bursts) round four banks, 30 ns to open one. */
#define ROWS "cube.hbm_ctrl.row_bytes=1024", "cube.hbm_ctrl.banks=4", "cube.hbm_ctrl.row_miss_ns=30"

static kb_time strided_write(bed *b, uint32_t rows, uint64_t stride)
{
    kb_time ended = 0, began = b->sim->now;
    kb_txn_request request = {.op = KB_TXN_WRITE,
                              .requester = node_of(b, pe),
                              .memory = node_of(b, slice),
                              .rows = rows,
                              .row_bytes = 256,
                              .stride = stride,
                              .done = note_time,
                              .object = &ended};
    assert_int_equal(kb_txn_start(b->m, &request, NULL), KB_OK);
    run_all(b);
    return ended - began;
}

static void a_stream_opens_each_row_once(void **state)
{
    (void)state;
    bed b = bed_make("cube.hbm_ctrl.pseudo_channels=1", ROWS);
    /* 64 flits: 16 rows of 30 + 4 x 10 ns, from 4.12. */
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 64 * 256),
                     4120 + 16 * (30000 + 4 * BURST) + 2120);
    assert_int_equal(hbm_of(&b)->row_misses, 16);
    /* The last four rows are open, one in each bank. */
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe, slice, 12 * 1024, 16 * 256),
                     4120 + 16 * BURST + 2120);
    bed_close(&b);
    /* Eight channels: a row holds 4 x 8 flits of the stream; the last channel starts 7 ns later. */
    b = bed_make(ROWS);
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 128 * 256),
                     4120 + 7000 + 4 * (30000 + 4 * BURST) + 2120);
    bed_close(&b);
}

static void the_worst_stride_opens_a_row_for_every_burst(void **state)
{
    (void)state;
    bed b = bed_make("cube.hbm_ctrl.pseudo_channels=1", ROWS);
    /* Banks x row: always another row of bank 0. Again and again, since none stays open. */
    for (int i = 0; i < 2; i++)
        assert_int_equal(strided_write(&b, 16, 4096), 4120 + 16 * (30000 + BURST) + 2120);
    bed_close(&b);
    b = bed_make("cube.hbm_ctrl.pseudo_channels=1", ROWS);
    /* A row: bank after bank. Four rows stay open. */
    assert_int_equal(strided_write(&b, 4, 1024), 4120 + 4 * (30000 + BURST) + 2120);
    assert_int_equal(strided_write(&b, 4, 1024), 4120 + 4 * BURST + 2120);
    bed_close(&b);
}

static void rows_and_refreshes_add_up(void **state)
{
    (void)state;
    bed b = bed_make(REFRESH, ROWS);
    /* Rows of 30 + 10, 10, 10, 10 from 4.12: to 74.12; the next row's 40 ns do not fit before 100.
     * 125 to 195 for that row; then again 225 to 295. */
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, pe, slice, 0, 12 * 256), 295000 + 2120);
    assert_int_equal(hbm_of(&b)->channel[0].fifo.busy, 12 * BURST + 3 * 30000);
    bed_close(&b);
}

/* A refresh that is due after a second keeps the controller from treating runs as streams. */
static void a_stream_is_served_as_its_bursts_are(void **state)
{
    (void)state;
    kb_rng rng = {77};
    for (int i = 0; i < 100; i++) {
        bed streams = bed_make("cube.hbm_ctrl.switch_penalty_ns=7"), bursts;
        bursts = bed_make("cube.hbm_ctrl.switch_penalty_ns=7",
                          "cube.hbm_ctrl.refresh_interval_ns=1000000000");
        bed *beds[] = {&streams, &bursts};
        static kb_time ended[2][20];
        for (int k = 0; k < 20; k++) {
            kb_txn_op op = kb_rng_below(&rng, 3) ? KB_TXN_READ : KB_TXN_WRITE;
            uint64_t offset = kb_rng_below(&rng, 100000), bytes = random_bytes(&streams, &rng, 60);
            kb_time pause = kb_rng_below(&rng, 60000);
            int from = (int)kb_rng_below(&rng, 8);
            for (int b = 0; b < 2; b++) {
                kb_node dma = kb_graph_pe(beds[b]->m->graph, 0, 0, from, KB_PE_DMA);
                begin_txn(beds[b], op, dma, node_of(beds[b], slice), offset, bytes, &ended[b][k]);
                kb_sim_run(beds[b]->sim, beds[b]->sim->now + pause, UINT64_MAX);
            }
        }
        for (int b = 0; b < 2; b++) run_all(beds[b]);
        assert_memory_equal(ended[0], ended[1], sizeof ended[0]);
        const kb_hbm_ctrl *a = hbm_of(&streams), *b = hbm_of(&bursts);
        assert_int_equal(a->bursts, b->bursts);
        assert_int_equal(a->switches, b->switches);
        assert_memory_equal(a->channel, b->channel, 8 * sizeof a->channel[0]);
        bed_close(&streams);
        bed_close(&bursts);
    }
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
        cmocka_unit_test(streams_lose_whole_bursts_to_refreshes),
        cmocka_unit_test(long_flits_are_interrupted_between_their_bursts),
        cmocka_unit_test(channels_are_refreshed_in_turn),
        cmocka_unit_test(refreshes_that_leave_no_room_for_a_burst_are_refused),
        cmocka_unit_test(a_stream_opens_each_row_once),
        cmocka_unit_test(the_worst_stride_opens_a_row_for_every_burst),
        cmocka_unit_test(rows_and_refreshes_add_up),
        cmocka_unit_test(a_stream_is_served_as_its_bursts_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
