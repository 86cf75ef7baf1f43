/* Products of matrices on a PE, tile by tile. */
#include "pe_bed.h"

static kb_operand pinned(void)
{
    return (kb_operand){.pinned = true, .element_bytes = 2};
}

static kb_operand streamed(uint64_t va, uint64_t columns)
{
    return (kb_operand){.va = {va}, .stride = columns * 2, .element_bytes = 2};
}

static kb_composite product(bed *b, uint32_t m, uint32_t k, uint32_t n, kb_time *ended)
{
    return (kb_composite){.pe = pe_of(b, 0),
                          .M = m,
                          .K = k,
                          .N = n,
                          .a = pinned(),
                          .b = pinned(),
                          .out = pinned(),
                          .done = note_time,
                          .object = ended};
}

static void issue(kb_composite *c)
{
    kb_err err = {0};
    if (kb_composite_check(c, &err)) fail_msg("%s", err.text);
    kb_pe_issue(c->pe, kb_composite_dispatch, c, 0);
}

static kb_time time_product(bed *b, kb_composite *c, kb_time *ended)
{
    issue(c);
    run_all(b);
    return *ended;
}

/* f16 tiles of 32 x 64 x 32: 4 KB + 4 KB are fetched in 16 ns; 8 cycles of gemm, and 16 more for
 * the last of an accumulation; a result of 2 KB is stored in 4 ns. A command takes 2 + 1 ns to be
 * dispatched. */
enum { ISSUE = 3000, FETCH = 16000, GEMM = 8000, PIPELINE = 16000, STORE = 4000 };

static void one_tile_passes_fetch_gemm_and_store(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    kb_composite c = product(&b, 32, 64, 32, &ended);
    assert_int_equal(time_product(&b, &c, &ended), ISSUE + FETCH + GEMM + PIPELINE + STORE);
    assert_int_equal(c.pe->macs, 32 * 64 * 32);
    bed_close(&b);
}

static void a_long_accumulation_runs_at_the_rate_of_the_fetch(void **state)
{
    (void)state;
    for (uint32_t tiles = 2; tiles <= 128; tiles *= 4) {
        bed b = bed_default();
        kb_time ended;
        kb_composite c = product(&b, 32, 64 * tiles, 32, &ended);
        assert_int_equal(time_product(&b, &c, &ended),
                         ISSUE + tiles * FETCH + GEMM + PIPELINE + STORE);
        assert_int_equal(c.pe->gemm.busy, tiles * GEMM + PIPELINE); /* once per accumulation */
        bed_close(&b);
    }
}

static void many_short_accumulations_run_at_the_rate_of_gemm(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    kb_composite c = product(&b, 32 * 5, 64, 32 * 3, &ended);
    assert_int_equal(time_product(&b, &c, &ended), ISSUE + FETCH + 15 * (GEMM + PIPELINE) + STORE);
    bed_close(&b);
}

static void edges_are_smaller_tiles(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    kb_composite c = product(&b, 33, 64, 32, &ended);
    /* The second tile has one row: 128 + 4096 B in 8.25 ns, as many cycles, 64 B stored in 125 ps.
     */
    assert_int_equal(time_product(&b, &c, &ended), ISSUE + FETCH + 2 * (GEMM + PIPELINE) + 125);
    assert_int_equal(c.pe->macs, 33 * 64 * 32);
    bed_close(&b);
}

static void an_accumulator_is_fetched_with_the_first_tile(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    kb_composite c = product(&b, 32, 128, 32, &ended);
    c.acc_bytes = 4; /* 32 x 32 x 4 B / 512 GB/s = 8 ns */
    assert_int_equal(time_product(&b, &c, &ended),
                     ISSUE + 8000 + 2 * FETCH + GEMM + PIPELINE + STORE);
    bed_close(&b);
}

static void a_streamed_operand_is_read_tile_by_tile(void **state)
{
    (void)state;
    for (uint32_t tiles = 1; tiles <= 48; tiles *= 4) {
        bed b = bed_default();
        map(&b, 0x100000, 64 * tiles * 32 * 2, 0, 0);
        kb_time ended;
        kb_composite c = product(&b, 32, 64 * tiles, 32, &ended);
        c.b = streamed(0x100000, 32); /* rows of 64 B: a tile is 4 KB in one piece */
        assert_int_equal(time_product(&b, &c, &ended),
                         ISSUE + tiles * READ_4K + FETCH + GEMM + PIPELINE + STORE);
        bed_close(&b);
    }
}

static void both_operands_share_the_read_channel(void **state)
{
    (void)state;
    bed b = bed_default();
    map(&b, 0x100000, 4096, 0, 0);
    map(&b, 0x200000, 4096, 0, 4096);
    kb_time ended;
    kb_composite c = product(&b, 32, 64, 32, &ended);
    c.a = streamed(0x100000, 64);
    c.b = streamed(0x200000, 32);
    assert_int_equal(time_product(&b, &c, &ended),
                     ISSUE + 2 * READ_4K + FETCH + GEMM + PIPELINE + STORE);
    bed_close(&b);
}

static void a_result_in_memory_is_written_back(void **state)
{
    (void)state;
    bed b = bed_default();
    map(&b, 0x300000, 2048, 0, 0);
    kb_time ended;
    kb_composite c = product(&b, 32, 64, 32, &ended);
    c.out = streamed(0x300000, 32);
    /* 2 KB: 4.12 until the first of eight flits, seven more, one burst, acknowledgement. */
    kb_time write = 4120 + 7000 + 10000 + 2120;
    assert_int_equal(time_product(&b, &c, &ended), ISSUE + FETCH + GEMM + PIPELINE + STORE + write);
    assert_int_equal(c.pe->dma_bytes[KB_DMA_WRITE], 2048);
    bed_close(&b);
}

/* Fill, (tiles - 1) x the slowest stage, drain: within one tile for any mixture. */
static void long_composites_are_fill_plus_slowest_plus_drain(void **state)
{
    (void)state;
    static const char *const rates[] = {"pe.pe_dma.outstanding=4", "pe.pe_tcm.read_bw_gbs=64",
                                        "pe.pe_gemm.ghz=0.1", "pe.pe_tcm.write_bw_gbs=1"};
    for (size_t i = 0; i < 4; i++) {
        bed b = bed_make(rates[i]);
        enum { M = 4, K = 3, N = 5, RESULTS = M * N, TILES = RESULTS * K };
        map(&b, 0x100000, 64 * K * 32 * N * 2, 0, 0);
        kb_time ended;
        kb_composite c = product(&b, 32 * M, 64 * K, 32 * N, &ended);
        c.b = streamed(0x100000, 32 * N);
        time_product(&b, &c, &ended);
        kb_gemm_tile t = {32, 64, 32};
        kb_time fetch = kb_pe_fetch_time(b.m, 8192), store = kb_pe_store_time(b.m, 2048);
        kb_time inner = kb_pe_gemm_time(b.m, t, 2, false), outer = kb_pe_gemm_time(b.m, t, 2, true);
        kb_time gemms = RESULTS * ((K - 1) * inner + outer);
        kb_server_settle(&c.pe->dma[KB_DMA_READ], b.sim);
        kb_time reads = c.pe->dma[KB_DMA_READ].busy_integral / c.pe->dma[KB_DMA_READ].capacity;
        kb_time all[] = {reads, TILES * fetch, gemms, RESULTS * store}, slowest = 0;
        for (int s = 0; s < 4; s++) slowest = all[s] > slowest ? all[s] : slowest;
        kb_time one = ISSUE + 2 * (reads / TILES) * 4 + fetch + inner * K + outer + store;
        assert_true(ended >= slowest);
        assert_true(ended <= slowest + one);
        bed_close(&b);
    }
}

/* Duration of every stage of the record: total, of one at most, first start and last end. */
typedef struct passage {
    kb_time total, longest, first, last;
} passage;

static void add_stages(const kb_stages *stages, passage all[KB_STAGE_COUNT])
{
    for (size_t i = 0; i < stages->rows.count; i++) {
        const kb_stage_row *row = &stages->rows.data[i];
        passage *p = &all[row->stage];
        kb_time took = row->end - row->start;
        if (!p->total || row->start < p->first) p->first = row->start;
        if (row->end > p->last) p->last = row->end;
        if (took > p->longest) p->longest = took;
        p->total += took;
    }
}

/* The slowest stage, once it has begun, hardly ever rests: fill + its total + drain is the time of
 * the composite to within the passage of one tile. Drain is at most that; fill, too, or if the
 * slowest stage takes results only, an accumulation over the other k as well. (A row of edge tiles
 * so small that another stage is their slowest, such as one row in f16, may add to the drain.) */
static void check_closed_form(const kb_stages *stages, kb_time ended, uint32_t k_tiles)
{
    passage all[KB_STAGE_COUNT] = {0};
    add_stages(stages, all);
    kb_time tile = 0;
    const passage *slowest = &all[0];
    for (int s = 0; s < KB_STAGE_COUNT; s++) {
        tile += s == KB_STAGE_DMA_IN ? 2 * all[s].longest : all[s].longest;
        if (all[s].total > slowest->total) slowest = &all[s];
    }
    kb_time fill = slowest->first - ISSUE, drain = ended - slowest->last;
    kb_time estimate = ISSUE + fill + slowest->total + drain;
    bool of_results = slowest == &all[KB_STAGE_STORE] || slowest == &all[KB_STAGE_DMA_WB];
    kb_time one_k = 2 * all[KB_STAGE_DMA_IN].longest;
    if (all[KB_STAGE_FETCH].longest > one_k) one_k = all[KB_STAGE_FETCH].longest;
    assert_true(fill <= tile + (of_results ? (k_tiles - 1) * one_k : 0));
    assert_true(drain <= tile);
    assert_true(estimate <= ended && ended - estimate <= tile);
}

static void every_shape_takes_fill_plus_slowest_plus_drain(void **state)
{
    (void)state;
    static const uint32_t shapes[][3] = {
        {32, 32, 32},  {32, 64, 32},   {32, 128, 32},   {32, 128, 128}, {32, 3072, 32},
        {8, 128, 128}, {128, 8, 128},  {256, 256, 256}, {33, 65, 31},   {1, 1000, 1},
        {100, 70, 90}, {80, 640, 144}, {320, 64, 32},   {32, 64, 640},  {7, 7, 700}};
    enum { SHAPES = sizeof shapes / sizeof shapes[0] };
    for (int i = 0; i < SHAPES * 3; i++) {
        const uint32_t *s = shapes[i / 3];
        int loaded = i % 3; /* operands: none, a, a and b */
        bed b = bed_default();
        kb_stages stages = {0};
        b.m->stages = &stages;
        map(&b, 0x1000000, 0x100000, 0, 0);
        map(&b, 0x2000000, 0x100000, 0, 0x100000);
        map(&b, 0x3000000, 0x100000, 0, 0x200000);
        kb_time ended;
        kb_composite c = product(&b, s[0], s[1], s[2], &ended);
        if (loaded < 1) c.a = streamed(0x1000000, s[1]);
        if (loaded < 2) c.b = streamed(0x2000000, s[2]);
        c.out = streamed(0x3000000, s[2]);
        time_product(&b, &c, &ended);
        check_closed_form(&stages, ended, (s[1] + 63) / 64);
        kb_vec_free(&stages.rows);
        bed_close(&b);
    }
}

static void composites_run_strictly_in_order(void **state)
{
    (void)state;
    bed b = bed_default();
    map(&b, 0x100000, 64 * 4 * 32 * 2, 0, 0);
    kb_time first, second;
    kb_composite slow = product(&b, 32, 64 * 4, 32, &first),
                 quick = product(&b, 32, 64, 32, &second);
    slow.b = streamed(0x100000, 32);
    issue(&slow);
    issue(&quick); /* everything is in TCM, yet it may not overtake */
    run_all(&b);
    assert_int_equal(first, ISSUE + 4 * READ_4K + FETCH + GEMM + PIPELINE + STORE);
    /* Its fetch follows the other's last one; gemm is the bottleneck of the two. */
    assert_int_equal(second, first - STORE + GEMM + PIPELINE + STORE);
    bed_close(&b);
}

static void tiles_are_multiplied_in_order_even_if_a_later_operand_comes_first(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_dma.outstanding=8");
    /* The first tile's operand is in a far cube, the second one's in the own slice. */
    kb_err err = {0};
    assert_int_equal(kb_pagetable_map(kb_machine_pagetable(b.m, 0, 0), (kb_vaddr){0x100000}, 4096,
                                      hbm(&b, 15, 0, 0), 1, &err),
                     KB_OK);
    map(&b, 0x101000, 4096, 0, 0);
    kb_time ended, alone;
    kb_composite c = product(&b, 32, 128, 32, &ended);
    c.b = streamed(0x100000, 32);
    kb_formula far;
    assert_int_equal(kb_closed_form(b.m, KB_TXN_READ, c.pe->dma_node,
                                    kb_graph_slice(b.m->graph, 0, 15, 0), 0, 4096, &far, NULL),
                     KB_OK);
    alone = far.total;
    assert_int_equal(time_product(&b, &c, &ended),
                     ISSUE + alone + 2 * FETCH + GEMM + PIPELINE + STORE);
    bed_close(&b);
}

static void no_more_tiles_are_staged_than_there_is_room_for(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_scheduler.tile_queue=2");
    map(&b, 0x100000, 64 * 8 * 32 * 2, 0, 0);
    kb_time ended[8];
    kb_composite c[8];
    for (uint32_t i = 0; i < 8; i++) { /* eight composites of one tile share the queue of two */
        c[i] = product(&b, 32, 64, 32, &ended[i]);
        c[i].b = streamed(0x100000 + i * 4096, 32);
        issue(&c[i]);
    }
    while (kb_sim_run(b.sim, KB_TIME_NEVER, 1) == KB_RUN_EVENTS)
        assert_true(pe_of(&b, 0)->staged_tiles <= 2);
    assert_int_equal(pe_of(&b, 0)->staged_tiles, 0);
    assert_int_equal(pe_of(&b, 0)->staged_bytes, 0);
    bed_close(&b);
}

static void a_composite_whose_operands_are_not_mapped_is_refused(void **state)
{
    (void)state;
    bed b = bed_default();
    map(&b, 0x100000, 4096, 0, 0);
    kb_time ended;
    kb_composite c = product(&b, 32, 65, 32, &ended); /* one row of b too many */
    c.b = streamed(0x100000, 32);
    kb_err err = {0};
    assert_int_equal(kb_composite_check(&c, &err), KB_EFAULT);
    assert_string_equal(err.text, "sip0.cube0.pe0: address 0x101000 is not mapped");
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_tile_passes_fetch_gemm_and_store),
        cmocka_unit_test(a_long_accumulation_runs_at_the_rate_of_the_fetch),
        cmocka_unit_test(many_short_accumulations_run_at_the_rate_of_gemm),
        cmocka_unit_test(edges_are_smaller_tiles),
        cmocka_unit_test(an_accumulator_is_fetched_with_the_first_tile),
        cmocka_unit_test(a_streamed_operand_is_read_tile_by_tile),
        cmocka_unit_test(both_operands_share_the_read_channel),
        cmocka_unit_test(a_result_in_memory_is_written_back),
        cmocka_unit_test(long_composites_are_fill_plus_slowest_plus_drain),
        cmocka_unit_test(every_shape_takes_fill_plus_slowest_plus_drain),
        cmocka_unit_test(composites_run_strictly_in_order),
        cmocka_unit_test(tiles_are_multiplied_in_order_even_if_a_later_operand_comes_first),
        cmocka_unit_test(no_more_tiles_are_staged_than_there_is_room_for),
        cmocka_unit_test(a_composite_whose_operands_are_not_mapped_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
