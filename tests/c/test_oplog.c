/* Contents of memories, and the replay of what kernels did on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "data/gemm.h"
#include "data/oplog.h"

static const kb_paddr BASE = {0x10000};

static void *at(const kb_memory *memory, uint64_t offset, uint64_t bytes)
{
    return kb_memory_at(memory, kb_paddr_plus(BASE, offset), bytes);
}

static void memory_is_zero_at_first_and_known_by_address(void **state)
{
    (void)state;
    kb_memory memory = {0};
    assert_int_equal(kb_memory_add(&memory, BASE, 64, NULL), 0);
    assert_int_equal(kb_memory_add(&memory, (kb_paddr){0x8000}, 16, NULL), 0);
    unsigned char *bytes = at(&memory, 0, 64);
    for (int i = 0; i < 64; i++) assert_int_equal(bytes[i], 0);
    assert_ptr_equal(at(&memory, 10, 54), bytes + 10);
    assert_null(at(&memory, 10, 55));
    assert_null(kb_memory_at(&memory, (kb_paddr){0x7fff}, 1));
    assert_null(kb_memory_at(&memory, (kb_paddr){0x8010}, 1));
    assert_int_equal(memory.bytes, 80);
    kb_memory_remove(&memory, BASE);
    assert_null(at(&memory, 0, 1));
    assert_int_equal(memory.bytes, 16);
    assert_int_equal(memory.peak_bytes, 80);
    kb_memory_fini(&memory);
}

/* A value that holds the given floats. */
static kb_value *value_of(const float *numbers, size_t rows, size_t cols)
{
    size_t shape[2] = {rows, cols};
    kb_value *value = kb_value_create(KB_F32, 2, shape);
    assert_int_equal(kb_array_create(KB_F32, 2, shape, &value->array, NULL), 0);
    memcpy(value->array->data, numbers, rows * cols * sizeof *numbers);
    return value;
}

static kb_pieces piece(uint64_t offset, uint32_t rows, uint64_t row_bytes, uint64_t stride)
{
    kb_pieces pieces = {0};
    kb_vec_push(&pieces, ((kb_piece){.pa = kb_paddr_plus(BASE, offset),
                                     .rows = rows,
                                     .row_bytes = row_bytes,
                                     .stride = stride}));
    return pieces;
}

static void append_store(kb_oplog *log, kb_value *value, kb_pieces to)
{
    kb_log_entry entry = {.op = KB_LOG_STORE, .move = {value, to}};
    kb_oplog_append(log, &entry);
}

/* Rows of two floats, eight floats apart, are read back as they were written; between them nothing
 * changes. */
static void strided_rows_go_to_their_places(void **state)
{
    (void)state;
    kb_memory memory = {0};
    kb_oplog *log = kb_oplog_create(&memory, 0);
    kb_memory_add(&memory, BASE, 256, NULL);
    append_store(log, value_of((const float[]){1, 2, 3, 4, 5, 6}, 3, 2), piece(8, 3, 8, 32));
    assert_int_equal(kb_oplog_run(log, NULL), 0);
    const float *floats = at(&memory, 0, 256);
    static const float expected[20] = {[2] = 1, [3] = 2, [10] = 3, [11] = 4, [18] = 5, [19] = 6};
    for (int i = 0; i < 20; i++) assert_true(floats[i] == expected[i]);
    kb_oplog_destroy(log);
    kb_memory_fini(&memory);
}

/* Load, overwrite, load: each load has what was there at its place in the order. */
static void loads_see_what_was_stored_before_them(void **state)
{
    (void)state;
    kb_memory memory = {0};
    kb_oplog *log = kb_oplog_create(&memory, 0);
    kb_memory_add(&memory, BASE, 16, NULL);
    size_t shape[1] = {1};
    kb_value *seen[3];
    for (int i = 0; i < 3; i++) {
        seen[i] = kb_value_create(KB_F32, 1, shape);
        kb_log_entry load = {.op = KB_LOG_LOAD,
                             .move = {kb_value_retain(seen[i]), piece(4, 1, 4, 4)}};
        kb_oplog_append(log, &load);
        float next = (float)(i + 1);
        append_store(log, value_of(&next, 1, 1), piece(4, 1, 4, 4));
    }
    assert_null(seen[2]->array); /* nothing is computed before it is asked for */
    assert_int_equal(kb_oplog_run(log, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(*(float *)seen[i]->array->data == (float)i);
        kb_value_release(seen[i]);
    }
    assert_int_equal(kb_oplog_executed(log), 6);
    kb_oplog_destroy(log);
    kb_memory_fini(&memory);
}

/* [1 2; 3 4] [5 6; 7 8] = [19 22; 43 50], operands and result as rows of wider matrices. */
static void products_work_on_rows_of_wider_matrices(void **state)
{
    (void)state;
    kb_memory memory = {0};
    kb_oplog *log = kb_oplog_create(&memory, 0);
    kb_memory_add(&memory, BASE, 512, NULL);
    append_store(log, value_of((const float[]){1, 2, 3, 4}, 2, 2), piece(0, 2, 8, 20));
    append_store(log, value_of((const float[]){5, 6, 7, 8}, 2, 2), piece(128, 2, 8, 8));
    kb_log_entry product = {.op = KB_LOG_GEMM};
    product.gemm.M = product.gemm.K = product.gemm.N = 2;
    product.gemm.in = product.gemm.out_type = KB_F32;
    product.gemm.a.pieces = piece(0, 2, 8, 20);
    product.gemm.b.pieces = piece(128, 1, 16, 16);
    product.gemm.out.pieces = piece(256, 2, 8, 12);
    kb_oplog_append(log, &product);
    assert_int_equal(kb_oplog_run(log, NULL), 0);
    const float *out = at(&memory, 256, 20);
    assert_true(out[0] == 19 && out[1] == 22 && out[2] == 0 && out[3] == 43 && out[4] == 50);
    kb_oplog_destroy(log);
    kb_memory_fini(&memory);
}

/* Integers divided by zero: the first failure stays, nothing after it is executed. */
static void a_failure_stays(void **state)
{
    (void)state;
    kb_memory memory = {0};
    kb_oplog *log = kb_oplog_create(&memory, 0);
    static const size_t none[1] = {0}; /* rank 0 */
    kb_value *one = kb_value_create(KB_I32, 0, none), *zero = kb_value_create(KB_I32, 0, none);
    assert_int_equal(kb_array_zeros(KB_I32, 0, NULL, &zero->array, NULL), 0);
    assert_int_equal(kb_array_zeros(KB_I32, 0, NULL, &one->array, NULL), 0);
    *(int32_t *)one->array->data = 1;
    kb_log_entry entry = {.op = KB_LOG_COMPUTE};
    entry.compute.what = (kb_compute){
        .kind = KB_COMPUTE_BINARY, .op = KB_FLOORDIV, .in = {one, zero}, .in_count = 2};
    assert_int_equal(kb_compute_infer(&entry.compute.what, NULL), 0);
    entry.compute.out = kb_value_create(KB_I32, 0, none);
    kb_oplog_append(log, &entry);
    kb_err err = {0};
    assert_int_equal(kb_oplog_run(log, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "zero"));
    err = (kb_err){0};
    assert_int_equal(kb_oplog_run(log, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "zero"));
    kb_oplog_destroy(log);
    kb_memory_fini(&memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zero_at_first_and_known_by_address),
        cmocka_unit_test(strided_rows_go_to_their_places),
        cmocka_unit_test(loads_see_what_was_stored_before_them),
        cmocka_unit_test(products_work_on_rows_of_wider_matrices),
        cmocka_unit_test(a_failure_stays),
    };
    return cmocka_run_group_tests_name("oplog", tests, NULL, NULL);
}
