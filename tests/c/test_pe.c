/* The processing element: DMA channels, issue, engines, translation. */
#include "pe_bed.h"

/* ---- DMA ---- */

static void dma(bed *b, kb_pe *pe, int direction, int slice, uint64_t bytes, kb_time *ended)
{
    kb_pieces pieces = {0};
    kb_vec_push(&pieces, ((kb_piece){.pa = hbm(b, 0, slice, 0), .rows = 1, .row_bytes = bytes}));
    *ended = 0;
    kb_pe_dma(pe, direction, &pieces, note_time, ended, 0);
    assert_null(pieces.data); /* taken over */
}

/* 4 KB to the own slice: 4.12, seven flits later the last channel begins, two bursts,
 * acknowledgement 2.12. */
enum { WRITE_4K = 4120 + 7000 + 20000 + 2120 };

static void a_channel_takes_one_transaction_at_a_time(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_pe *pe = pe_of(&b, 0);
    kb_time ended[3];
    for (int i = 0; i < 3; i++) dma(&b, pe, KB_DMA_READ, 0, 4096, &ended[i]);
    assert_int_equal(pe->dma[KB_DMA_READ].in_use, 1);
    run_all(&b);
    for (kb_time i = 0; i < 3; i++) assert_int_equal(ended[i], (i + 1) * READ_4K);
    assert_int_equal(pe->dma[KB_DMA_READ].in_use, 0);
    assert_int_equal(pe->dma_bytes[KB_DMA_READ], 3 * 4096);
    assert_null(pe->moving);
    bed_close(&b);
}

static void a_channel_is_held_until_completion_and_not_only_at_issue(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_pe *pe = pe_of(&b, 0);
    kb_time ended;
    dma(&b, pe, KB_DMA_WRITE, 0, 4096, &ended);
    kb_sim_run(b.sim, WRITE_4K - 1, UINT64_MAX);
    assert_int_equal(pe->dma[KB_DMA_WRITE].in_use, 1);
    run_all(&b);
    assert_int_equal(ended, WRITE_4K);
    kb_server_settle(&pe->dma[KB_DMA_WRITE], b.sim);
    assert_int_equal(pe->dma[KB_DMA_WRITE].busy_integral, WRITE_4K);
    bed_close(&b);
}

static void reads_and_writes_have_channels_of_their_own(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_pe *pe = pe_of(&b, 0);
    kb_time read, write;
    dma(&b, pe, KB_DMA_READ, 0, 4096, &read);
    dma(&b, pe, KB_DMA_WRITE, 1, 4096, &write); /* another slice: 2 mm nearer the crossbar */
    run_all(&b);
    assert_int_equal(read, READ_4K);
    assert_int_equal(write, WRITE_4K - 2 * 20);
    bed_close(&b);
}

static void more_outstanding_transactions_overlap(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_dma.outstanding=2");
    kb_pe *pe = pe_of(&b, 0);
    kb_time ended[3];
    for (int i = 0; i < 3; i++) dma(&b, pe, KB_DMA_READ, i, 2048, &ended[i]);
    run_all(&b);
    /* Slices 0 and 1 answer at once: 2.12 (2.10) and 10 ns. Slice 1, nearer by 20 ps, is first at
     * the crossbar; both ways in end at pe0's link, on which 16 flits follow one another from
     * there. */
    kb_time first = 2100 + 10000 + 1000 + 20 + 2000; /* of slice 1, ready to leave the crossbar */
    assert_int_equal(ended[0] > ended[1] ? ended[0] : ended[1], first + 16 * 1000 + 80);
    assert_true(ended[2] > ended[1]);
    bed_close(&b);
}

static void pieces_follow_one_another(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_mmu.overhead_ns=3");
    kb_pieces pieces = {0};
    for (uint64_t i = 0; i < 3; i++)
        kb_vec_push(&pieces,
                    ((kb_piece){.pa = hbm(&b, 0, 0, 8192 * i), .rows = 1, .row_bytes = 4096}));
    kb_time ended;
    kb_pe_dma(pe_of(&b, 0), KB_DMA_READ, &pieces, note_time, &ended, 0);
    run_all(&b);
    assert_int_equal(ended, 3000 + 3 * READ_4K); /* translation is charged once per command */
    bed_close(&b);
}

/* ---- virtual channels ---- */

/* Reads of 4 KB: three of vc_compute, then two of vc_comm, all at once, or the latter four when the
 * first is under way already. Writes the order in which they ended, by letters, into `order`. */
static void read_on_both(const char *arbitration, bool later, char order[6])
{
    char set[64];
    snprintf(set, sizeof set, "pe.pe_dma.vc_arbitration=%s", arbitration);
    bed b = bed_make(set);
    kb_pe *pe = pe_of(&b, 0);
    kb_time ended[5];
    for (int i = 0; i < 5; i++) {
        kb_pieces pieces = {0};
        kb_vec_push(&pieces, ((kb_piece){.pa = hbm(&b, 0, 0, 0), .rows = 1, .row_bytes = 4096}));
        kb_pe_dma_vc(pe, KB_DMA_READ, i < 3 ? KB_VC_COMPUTE : KB_VC_COMM, &pieces, note_time,
                     &ended[i], 0);
        if (i == 0 && later) kb_sim_run(b.sim, 0, UINT64_MAX);
    }
    run_all(&b);
    for (int i = 0; i < 5; i++) order[ended[i] / READ_4K - 1] = "abcXY"[i];
    order[5] = 0;
    for (kb_time i = 0; i < 5; i++) assert_int_equal(ended[i] % READ_4K, 0);
    /* 1 + 2 + 3 + 4 turns were waited, whoever waited them, and the channel was never idle. */
    kb_dma_books *books = pe->dma_books[KB_DMA_READ];
    assert_int_equal(books[KB_VC_COMPUTE].waited + books[KB_VC_COMM].waited, 10 * READ_4K);
    assert_int_equal(books[KB_VC_COMPUTE].held, 3 * READ_4K);
    assert_int_equal(books[KB_VC_COMM].grants, 2);
    assert_null(pe->moving);
    bed_close(&b);
}

static void virtual_channels_are_arbitrated(void **state)
{
    (void)state;
    static const struct {
        const char *arbitration, *at_once, *later;
    } cases[] = {{"fcfs", "abcXY", "abcXY"},
                 {"round_robin", "aXbYc", "aXbYc"},
                 {"comm_first", "XYabc", "aXYbc"}};
    for (size_t i = 0; i < 3; i++) {
        char order[6];
        read_on_both(cases[i].arbitration, false, order);
        assert_string_equal(order, cases[i].at_once);
        read_on_both(cases[i].arbitration, true, order);
        assert_string_equal(order, cases[i].later);
    }
}

static void communication_gets_in_between_the_pieces_of_a_command(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_dma.vc_arbitration=comm_first");
    kb_time compute, comm;
    for (int vc = KB_VC_COMPUTE; vc <= KB_VC_COMM; vc++) {
        kb_pieces pieces = {0};
        for (uint64_t i = 0; i < (vc == KB_VC_COMPUTE ? 3 : 1); i++)
            kb_vec_push(&pieces,
                        ((kb_piece){.pa = hbm(&b, 0, 0, 8192 * i), .rows = 1, .row_bytes = 4096}));
        kb_pe_dma_vc(pe_of(&b, 0), KB_DMA_READ, (kb_vc)vc, &pieces, note_time,
                     vc == KB_VC_COMPUTE ? &compute : &comm, 0);
        kb_sim_run(b.sim, 0, UINT64_MAX); /* the first piece is under way */
    }
    run_all(&b);
    assert_int_equal(comm, 2 * READ_4K);
    assert_int_equal(compute, 4 * READ_4K);
    bed_close(&b);
}

static void commands_that_never_finish_are_dropped_with_the_machine(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    for (int i = 0; i < 3; i++) dma(&b, pe_of(&b, 0), KB_DMA_READ, 0, 4096, &ended);
    kb_sim_run(b.sim, 5000, UINT64_MAX);
    bed_close(&b); /* nothing leaks */
}

/* ---- issue ---- */

static void commands_are_issued_by_pe_cpu_and_dispatched_in_turn(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_scheduler.overhead_ns=5");
    kb_pe *pe = pe_of(&b, 0);
    kb_time dispatched[2];
    assert_int_equal(kb_pe_issue(pe, note_time, &dispatched[0], 0), 2000);
    assert_int_equal(kb_pe_now(pe), 2000);
    assert_int_equal(kb_pe_issue(pe, note_time, &dispatched[1], 0), 2000 + 2000); /* ahead */
    run_all(&b);
    assert_int_equal(kb_pe_now(pe), b.sim->now);
    assert_int_equal(dispatched[0], 2000 + 5000);
    assert_int_equal(dispatched[1], 2000 + 5000 + 5000);
    assert_int_equal(pe->commands, 2);
    bed_close(&b);
}

static int begun;

static void count_begin(void *object, kb_pe *pe)
{
    (void)pe;
    *(int *)object = ++begun;
}

static void a_pe_runs_one_kernel_at_a_time(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_pe *pe = pe_of(&b, 0);
    int order[3] = {0};
    kb_pe_start starts[3];
    begun = 0;
    for (int i = 0; i < 3; i++) {
        starts[i] = (kb_pe_start){.begin = count_begin, .object = &order[i]};
        kb_pe_cpu_start(pe, &starts[i]);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(order[i], i + 1);
        assert_int_equal(begun, i + 1);
        kb_pe_cpu_end(pe);
    }
    assert_false(pe->running);
    bed_close(&b);
}

/* ---- engines ---- */

static kb_time gemm(bed *b, uint32_t m, uint32_t k, uint32_t n, uint32_t bytes, bool last)
{
    return kb_pe_gemm_time(b->m, (kb_gemm_tile){m, k, n}, bytes, last);
}

static void gemm_cycles_are_blocks_of_the_array_by_its_depth(void **state)
{
    (void)state;
    bed b = bed_default();
    assert_int_equal(gemm(&b, 32, 64, 32, 2, false), 64 / 8 * 1000);
    assert_int_equal(gemm(&b, 32, 64, 32, 2, true), (64 / 8 + 16) * 1000);
    assert_int_equal(gemm(&b, 1, 1, 1, 2, false), 1000); /* a block is not divided */
    assert_int_equal(gemm(&b, 33, 9, 65, 2, false), 2 * 3 * 2 * 1000);
    assert_int_equal(gemm(&b, 32, 64, 32, 4, false), 64 / 4 * 1000);  /* f32: half rate */
    assert_int_equal(gemm(&b, 32, 64, 32, 1, false), 64 / 16 * 1000); /* i8: double */
    assert_true(kb_pe_gemm_peak(b.m, 2) == 32.0 * 32 * 8 * 1e9);
    bed_close(&b);
    b = bed_make("pe.pe_gemm.ghz=2", "pe.pe_gemm.overhead_ns=3");
    assert_int_equal(gemm(&b, 32, 64, 32, 2, true), 3000 + (8 + 16) * 500);
    bed_close(&b);
}

static void math_cycles_are_rows_of_lanes_by_passes(void **state)
{
    (void)state;
    bed b = bed_default();
    assert_int_equal(kb_pe_math_time(b.m, 128, 1, 2, false), 1000);
    assert_int_equal(kb_pe_math_time(b.m, 129, 4, 2, false), 2 * 4 * 1000);
    assert_int_equal(kb_pe_math_time(b.m, 128, 1, 4, false), 2 * 1000); /* 64 lanes of f32 */
    assert_int_equal(kb_pe_math_time(b.m, 128, 1, 1, false), 1000);     /* bytes use as many */
    assert_int_equal(kb_pe_math_time(b.m, 1024, 1, 2, true), (8 + 7) * 1000); /* log2(128) */
    assert_int_equal(kb_pe_math_time(b.m, 1024, 1, 4, true), (16 + 6) * 1000);
    bed_close(&b);
}

static void fetches_and_stores_run_at_the_rate_of_their_port(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_tcm.write_bw_gbs=256", "pe.pe_fetch_store.overhead_ns=1");
    assert_int_equal(kb_pe_fetch_time(b.m, 8192), 1000 + 16000); /* 8192 B / 512 GB/s */
    assert_int_equal(kb_pe_store_time(b.m, 8192), 1000 + 32000);
    bed_close(&b);
}

/* ---- translation ---- */

static void regions_become_contiguous_pieces(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_pe *pe = pe_of(&b, 0);
    map(&b, 0x10000, 4096, 0, 0);
    map(&b, 0x11000, 4096, 3, 65536);
    kb_pieces p = {0};
    /* Dense: cut where the mapping is. */
    kb_va_region dense = {{0x10800}, 4, 1024, 1024};
    assert_int_equal(kb_pe_translate(pe, &dense, &p, NULL), KB_OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.data[0].row_bytes, 2048);
    assert_int_equal(p.data[1].pa.bits, hbm(&b, 0, 3, 65536).bits);
    kb_vec_free(&p);
    /* Rows of 64 B, 512 B apart, 16 of them: eight in each part. */
    kb_va_region rows = {{0x10000}, 16, 64, 512};
    assert_int_equal(kb_pe_translate(pe, &rows, &p, NULL), KB_OK);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.data[0].rows, 8);
    assert_int_equal(p.data[1].rows, 8);
    assert_int_equal(p.data[1].stride, 512);
    kb_vec_free(&p);
    /* A row that straddles both. */
    kb_va_region straddle = {{0x10f80}, 2, 256, 1024};
    assert_int_equal(kb_pe_translate(pe, &straddle, &p, NULL), KB_OK);
    assert_int_equal(p.count, 3);
    assert_int_equal(p.data[0].row_bytes + p.data[1].row_bytes, 256);
    assert_int_equal(p.data[2].rows, 1);
    kb_vec_free(&p);
    bed_close(&b);
}

static void what_is_not_mapped_traps_with_the_pe_and_the_address(void **state)
{
    (void)state;
    bed b = bed_default();
    map(&b, 0x10000, 4096, 0, 0);
    kb_pieces p = {0};
    kb_err err = {0};
    kb_va_region past = {{0x10000}, 1, 4097, 4097};
    assert_int_equal(kb_pe_translate(pe_of(&b, 0), &past, &p, &err), KB_EFAULT);
    assert_string_equal(err.text, "sip0.cube0.pe0: address 0x11000 is not mapped");
    kb_va_region other = {{0x10000}, 1, 1, 1};
    assert_int_equal(kb_pe_translate(pe_of(&b, 1), &other, &p, &err), KB_EFAULT); /* not pe1's */
    kb_vec_free(&p);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_channel_takes_one_transaction_at_a_time),
        cmocka_unit_test(a_channel_is_held_until_completion_and_not_only_at_issue),
        cmocka_unit_test(reads_and_writes_have_channels_of_their_own),
        cmocka_unit_test(more_outstanding_transactions_overlap),
        cmocka_unit_test(pieces_follow_one_another),
        cmocka_unit_test(virtual_channels_are_arbitrated),
        cmocka_unit_test(communication_gets_in_between_the_pieces_of_a_command),
        cmocka_unit_test(commands_that_never_finish_are_dropped_with_the_machine),
        cmocka_unit_test(commands_are_issued_by_pe_cpu_and_dispatched_in_turn),
        cmocka_unit_test(a_pe_runs_one_kernel_at_a_time),
        cmocka_unit_test(gemm_cycles_are_blocks_of_the_array_by_its_depth),
        cmocka_unit_test(math_cycles_are_rows_of_lanes_by_passes),
        cmocka_unit_test(fetches_and_stores_run_at_the_rate_of_their_port),
        cmocka_unit_test(regions_become_contiguous_pieces),
        cmocka_unit_test(what_is_not_mapped_traps_with_the_pe_and_the_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
