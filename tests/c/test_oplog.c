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

static const void *at(const kb_memory *memory, uint64_t offset, uint64_t bytes)
{
    return kb_memory_at(memory, kb_paddr_plus(BASE, offset), bytes);
}

static void memory_is_zero_at_first_and_known_by_address(void **state)
{
    (void)state;
    kb_memory memory = {0};
    assert_int_equal(kb_memory_add(&memory, BASE, 64, NULL), 0);
    assert_int_equal(kb_memory_add(&memory, (kb_paddr){0x8000}, 16, NULL), 0);
    const unsigned char *bytes = at(&memory, 0, 64);
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
    kb_value *value = kb_value_create(NULL, KB_F32, 2, shape);
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
        seen[i] = kb_value_create(NULL, KB_F32, 1, shape);
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

enum { PAGE = 4096, FLOATS = PAGE / 4 };

/* A log over two blocks of a page, the second at OTHER, with the same contents: 0, 1, 2, … */
static const kb_paddr OTHER = {0x20000};

static kb_oplog *two_pages(kb_memory *memory)
{
    *memory = (kb_memory){0};
    kb_memory_add(memory, BASE, PAGE, NULL);
    kb_memory_add(memory, OTHER, PAGE, NULL);
    kb_memory_block *first = kb_memory_block_at(memory, BASE, PAGE);
    float *floats = (void *)kb_memory_block_own(first, false, NULL);
    for (int i = 0; i < FLOATS; i++) floats[i] = (float)i;
    kb_memory_block_share(kb_memory_block_at(memory, OTHER, PAGE), first);
    return kb_oplog_create(memory, 0);
}

static kb_value *append_load(kb_oplog *log, size_t rows, size_t cols, kb_pieces from)
{
    size_t shape[2] = {rows, cols};
    kb_value *value = kb_value_create(NULL, KB_F32, 2, shape);
    kb_log_entry load = {.op = KB_LOG_LOAD, .move = {kb_value_retain(value), from}};
    kb_oplog_append(log, &load);
    return value;
}

static float element(const kb_value *value, size_t i)
{
    return ((const float *)value->array->data)[i];
}

/* A page at rest is loaded without a copy, once; what is stored there later changes neither the
 * value nor the block that had the same contents. */
static void a_load_from_memory_at_rest_shares_its_contents(void **state)
{
    (void)state;
    kb_memory memory;
    kb_oplog *log = two_pages(&memory);
    assert_ptr_equal(kb_memory_at(&memory, OTHER, PAGE), at(&memory, 0, PAGE));
    kb_value *value = append_load(log, 1, FLOATS, piece(0, 1, PAGE, PAGE));
    assert_non_null(value->array);
    assert_ptr_equal(value->array->data, at(&memory, 0, PAGE));
    append_store(log, value_of((const float[]){-1}, 1, 1), piece(8, 1, 4, 4));
    kb_value *later = append_load(log, 1, FLOATS, piece(0, 1, PAGE, PAGE));
    assert_null(later->array); /* not at rest */
    assert_int_equal(kb_oplog_run(log, NULL), 0);
    const float *other = (const void *)kb_memory_at(&memory, OTHER, PAGE);
    assert_true(element(value, 2) == 2 && element(later, 2) == -1 && other[2] == 2);
    assert_true(element(later, 3) == 3);
    kb_value_release(later);
    later = append_load(log, 1, FLOATS, piece(0, 1, PAGE, PAGE));
    assert_true(later->array && element(later, 2) == -1); /* at rest again */
    kb_value_release(value);
    kb_value_release(later);
    kb_oplog_destroy(log);
    kb_memory_fini(&memory);
}

/* What is not dense is read from the block when its turn comes, also if the block has contents of
 * its own by then and nobody else holds the former ones. */
static void former_contents_stay_until_they_have_been_read(void **state)
{
    (void)state;
    kb_memory memory;
    kb_oplog *log = two_pages(&memory);
    kb_value *column = append_load(log, FLOATS / 4, 1, piece(4, FLOATS / 4, 4, 16));
    append_store(log, value_of((const float[]){-1}, 1, 1), piece(4, 1, 4, 4));
    kb_oplog_remove_block(log, OTHER);
    assert_null(column->array);
    assert_int_equal(kb_oplog_run(log, NULL), 0);
    for (size_t i = 0; i < FLOATS / 4; i++) assert_true(element(column, i) == (float)(4 * i + 1));
    assert_true(((const float *)at(&memory, 4, 4))[0] == -1);
    kb_value_release(column);
    kb_oplog_destroy(log);
    kb_memory_fini(&memory);
}

/* A page of four: the first three quarters are copied, because a store could then make the whole
 * block be copied; the fourth is shared. */
static void parts_of_a_block_are_shared_once_as_much_has_been_copied(void **state)
{
    (void)state;
    kb_memory memory = {0};
    kb_memory_add(&memory, BASE, 4 * (uint64_t)PAGE, NULL);
    kb_oplog *log = kb_oplog_create(&memory, 0);
    for (uint64_t i = 0; i < 4; i++) {
        kb_value *value = append_load(log, 1, FLOATS, piece(i * PAGE, 1, PAGE, PAGE));
        assert_int_equal(value->array != NULL, i == 3);
        kb_value_release(value);
    }
    assert_int_equal(kb_oplog_run(log, NULL), 0);
    assert_int_equal(kb_oplog_executed(log), 4);
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
    product.gemm.in_a = product.gemm.in_b = product.gemm.out_type = KB_F32;
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
    kb_value *one = kb_value_create(NULL, KB_I32, 0, none),
             *zero = kb_value_create(NULL, KB_I32, 0, none);
    assert_int_equal(kb_array_zeros(KB_I32, 0, NULL, &zero->array, NULL), 0);
    assert_int_equal(kb_array_zeros(KB_I32, 0, NULL, &one->array, NULL), 0);
    *(int32_t *)one->array->data = 1;
    kb_log_entry entry = {.op = KB_LOG_COMPUTE};
    entry.compute.what = (kb_compute){
        .kind = KB_COMPUTE_BINARY, .op = KB_FLOORDIV, .in = {one, zero}, .in_count = 2};
    assert_int_equal(kb_compute_infer(&entry.compute.what, NULL), 0);
    entry.compute.out = kb_value_create(NULL, KB_I32, 0, none);
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
        cmocka_unit_test(a_load_from_memory_at_rest_shares_its_contents),
        cmocka_unit_test(former_contents_stay_until_they_have_been_read),
        cmocka_unit_test(parts_of_a_block_are_shared_once_as_much_has_been_copied),
        cmocka_unit_test(products_work_on_rows_of_wider_matrices),
        cmocka_unit_test(a_failure_stays),
    };
    return cmocka_run_group_tests_name("oplog", tests, NULL, NULL);
}
