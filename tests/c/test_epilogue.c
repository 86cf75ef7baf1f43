/* Epilogues of composites on a PE: vector operations between the last product and the store. */
#include "pe_bed.h"

static kb_operand pinned(void)
{
    return (kb_operand){.pinned = true, .element_bytes = 2};
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

static kb_time time_product(bed *b, kb_composite *c, kb_time *ended)
{
    kb_err err = {0};
    if (kb_composite_check(c, &err)) fail_msg("%s", err.text);
    kb_pe_issue(c->pe, kb_composite_dispatch, c, 0);
    run_all(b);
    return *ended;
}

/* As in test_composite.c. A pass over a tile's 32 x 32 results in f32 takes 16 cycles of 64 lanes.
 */
enum { ISSUE = 3000, FETCH = 16000, GEMM = 8000, PIPELINE = 16000, STORE = 4000, PASS = 16000 };

static void the_vector_engine_is_one_more_stage_of_the_pipeline(void **state)
{
    (void)state;
    for (uint32_t passes = 1; passes <= 8; passes++) {
        bed b = bed_default();
        kb_time ended;
        kb_tile_step step = {.passes = passes, .width = 4, .x_bytes = 4};
        kb_composite c = product(&b, 32 * 3, 64, 32 * 5, &ended);
        c.steps = &step;
        c.step_count = 1;
        kb_time gemm = GEMM + PIPELINE, math = passes * PASS, slowest = math > gemm ? math : gemm;
        assert_int_equal(time_product(&b, &c, &ended),
                         ISSUE + FETCH + gemm + math + 14 * slowest + STORE);
        assert_int_equal(c.pe->math.busy, 15 * math);
        bed_close(&b);
    }
}

static void only_the_last_of_an_accumulation_is_computed(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_time ended;
    kb_tile_step steps[] = {{.passes = 1, .width = 4, .x_bytes = 4},
                            {.passes = 4, .width = 2, .x_bytes = 4}};
    kb_composite c = product(&b, 32, 64 * 8, 32, &ended);
    c.steps = steps;
    c.step_count = 2;
    /* 1024 elements of 2 bytes: 8 cycles of 128 lanes */
    assert_int_equal(time_product(&b, &c, &ended),
                     ISSUE + 8 * FETCH + GEMM + PIPELINE + PASS + 4 * 8000 + STORE);
    bed_close(&b);
}

/* Rows of 64: two tiles each. The results of a block are stored as f32 (8 ns each), fetched
 * together (16), computed (1 pass over 2048 elements: 32) and stored as f16 (8). */
static void blocks_of_rows_overlap_with_the_tiles_of_the_next_block(void **state)
{
    (void)state;
    enum { HELD = 8000, BLOCK_FETCH = 16000, BLOCK_PASS = 32000, BLOCK_STORE = 8000 };
    kb_tile_step step = {.passes = 1, .width = 4, .x_bytes = 4, .whole_rows = true};
    bed b = bed_default();
    kb_time ended;
    kb_composite c = product(&b, 32, 64, 64, &ended);
    c.steps = &step;
    c.step_count = 1;
    kb_time one =
        ISSUE + FETCH + 2 * (GEMM + PIPELINE) + HELD + BLOCK_FETCH + BLOCK_PASS + BLOCK_STORE;
    assert_int_equal(time_product(&b, &c, &ended), one);
    bed_close(&b);
    b = bed_default();
    c = product(&b, 96, 64, 64, &ended);
    c.steps = &step;
    c.step_count = 1;
    /* gemm is the slowest stage: 48 per block, behind which the vector engine keeps up; the fetch
     * of a block takes its turn among those of tiles, which are ahead of gemm */
    assert_int_equal(time_product(&b, &c, &ended), one + 2 * 2 * (GEMM + PIPELINE));
    assert_int_equal(c.pe->staged_bytes, 0);
    bed_close(&b);
}

static void a_block_waits_for_room_in_the_scheduler_s_part_of_tcm(void **state)
{
    (void)state;
    enum { N = 20000, BLOCK = 32 * N * 4 }; /* 2.56 MB of 4 MiB: one at a time */
    kb_tile_step step = {.passes = 1, .width = 4, .x_bytes = 4, .whole_rows = true};
    bed b = bed_default();
    kb_time ended = 0;
    kb_composite c = product(&b, 96, 64, N, &ended);
    c.steps = &step;
    c.step_count = 1;
    kb_err err = {0};
    assert_int_equal(kb_composite_check(&c, &err), 0);
    kb_pe_issue(c.pe, kb_composite_dispatch, &c, 0);
    while (kb_sim_run(b.sim, KB_TIME_NEVER, 1) == KB_RUN_EVENTS)
        assert_true(c.pe->staged_bytes <= BLOCK);
    assert_true(ended > 0);
    assert_int_equal(c.pe->staged_bytes, 0);
    assert_int_equal(c.pe->math.busy, 3 * (uint64_t)(32 * N / 64) * 1000);
    bed_close(&b);
}

static void rows_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    kb_tile_step step = {.passes = 1, .width = 4, .x_bytes = 4, .whole_rows = true};
    bed b = bed_default();
    kb_time ended;
    kb_composite c = product(&b, 64, 64, 32769, &ended);
    c.steps = &step;
    c.step_count = 1;
    kb_err err = {0};
    assert_int_equal(kb_composite_check(&c, &err), KB_EINVAL);
    assert_string_equal(err.text,
                        "a step of the epilogue needs whole rows: 32 rows of 32769 columns and a "
                        "tile's operands take 4194432 bytes, the scheduler's part of TCM has "
                        "4194304");
    c.N = 32768;
    assert_int_equal(kb_composite_check(&c, &err), 0);
    bed_close(&b);
}

static void operands_that_are_not_mapped_are_refused(void **state)
{
    (void)state;
    bed b = bed_default();
    map(&b, 0x100000, 4096, 0, 0);
    kb_time ended;
    kb_tile_step step = {.passes = 1, .width = 4, .x_bytes = 4, .with = KB_STEP_MATRIX};
    step.operand = (kb_operand){.va = {0x100000}, .stride = 64, .element_bytes = 2};
    kb_composite c = product(&b, 64, 64, 32, &ended);
    c.steps = &step;
    c.step_count = 1;
    kb_err err = {0};
    assert_int_equal(kb_composite_check(&c, &err), 0);
    c.M = 65;
    assert_int_equal(kb_composite_check(&c, &err), KB_EFAULT);
    step.with = KB_STEP_ROW; /* one row is enough */
    assert_int_equal(kb_composite_check(&c, &err), 0);
    bed_close(&b);
}

/* Every stage of every tile, once, with the component's time; in the order of the pipeline. */
static void the_record_has_every_stage_of_every_tile(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_stages stages = {0};
    b.m->stages = &stages;
    map(&b, 0x100000, 64 * 3 * 32 * 2, 0, 0);
    map(&b, 0x300000, 2048, 0, 0x10000);
    kb_time ended;
    kb_tile_step step = {.passes = 1, .width = 4, .x_bytes = 4};
    kb_composite c = product(&b, 32, 64 * 3, 32, &ended);
    c.b = (kb_operand){.va = {0x100000}, .stride = 64, .element_bytes = 2};
    c.out = (kb_operand){.va = {0x300000}, .stride = 64, .element_bytes = 2};
    c.steps = &step;
    c.step_count = 1;
    c.label = (kb_command_label){.launch = 7, .number = 9, .what = "a composite"};
    time_product(&b, &c, &ended);
    unsigned seen[KB_STAGE_COUNT] = {0};
    kb_time took[] = {READ_4K, FETCH, GEMM, PASS, STORE, 4120 + 7000 + 10000 + 2120};
    for (size_t i = 0; i < stages.rows.count; i++) {
        const kb_stage_row *row = &stages.rows.data[i];
        bool last = row->k0 == 128;
        assert_int_equal(row->command.launch, 7);
        assert_int_equal(row->command.number, 9);
        assert_int_equal(row->tile, row->k0 / 64);
        assert_int_equal(row->end - row->start,
                         took[row->stage] + (row->stage == KB_STAGE_GEMM && last ? PIPELINE : 0));
        if (row->stage == KB_STAGE_DMA_IN) /* a read begins when the one before is done */
            assert_int_equal(row->start, ISSUE + row->tile * (kb_time)READ_4K);
        seen[row->stage]++;
    }
    assert_int_equal(seen[KB_STAGE_DMA_IN], 3);
    assert_int_equal(seen[KB_STAGE_FETCH], 3);
    assert_int_equal(seen[KB_STAGE_GEMM], 3);
    assert_int_equal(seen[KB_STAGE_MATH], 1);
    assert_int_equal(seen[KB_STAGE_STORE], 1);
    assert_int_equal(seen[KB_STAGE_DMA_WB], 1);
    assert_int_equal(stages.rows.data[stages.rows.count - 1].end, ended);
    kb_vec_free(&stages.rows);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector_engine_is_one_more_stage_of_the_pipeline),
        cmocka_unit_test(only_the_last_of_an_accumulation_is_computed),
        cmocka_unit_test(blocks_of_rows_overlap_with_the_tiles_of_the_next_block),
        cmocka_unit_test(a_block_waits_for_room_in_the_scheduler_s_part_of_tcm),
        cmocka_unit_test(rows_that_do_not_fit_are_refused),
        cmocka_unit_test(operands_that_are_not_mapped_are_refused),
        cmocka_unit_test(the_record_has_every_stage_of_every_tile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
