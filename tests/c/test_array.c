#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/array.h"

/* i32 0, 1, 2, … in that shape. */
static kb_array *counting(int rank, const size_t *shape)
{
    kb_array *a;
    kb_err err;
    assert_int_equal(kb_array_create(KB_I32, rank, shape, &a, &err), 0);
    for (size_t i = 0; i < a->count; i++) ((int32_t *)a->data)[i] = (int32_t)i;
    return a;
}

static void storage_is_aligned_and_counted(void **state)
{
    (void)state;
    size_t shape[] = {3, 5, 7};
    kb_array *a = counting(3, shape);
    assert_int_equal((uintptr_t)a->data % 64, 0);
    assert_int_equal(a->count, 105);
    assert_int_equal(a->nbytes, 420);
    kb_array *same = kb_array_retain(a);
    kb_array_release(a);
    assert_int_equal(((int32_t *)same->data)[104], 104);
    kb_array_release(same);
    kb_array_release(NULL);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    kb_array *a = NULL;
    kb_err err;
    size_t overflow[] = {SIZE_MAX / 2, 3}, bytes[] = {SIZE_MAX / 4}, huge[] = {(size_t)1 << 50};
    assert_int_equal(kb_array_create(KB_F32, 2, overflow, &a, &err), KB_EINVAL);
    assert_int_equal(kb_array_create(KB_F64, 1, bytes, &a, &err), KB_EINVAL);
    assert_int_equal(kb_array_create(KB_F64, 1, huge, &a, &err), KB_ELIMIT);
    assert_int_equal(kb_array_create(KB_F64, 9, huge, &a, &err), KB_EINVAL);
    assert_null(a);
    size_t empty[] = {SIZE_MAX / 2, 0, 3};
    assert_int_equal(kb_array_create(KB_F32, 3, empty, &a, &err), 0);
    assert_int_equal(a->count, 0);
    kb_array_release(a);
}

static void fill_cast_and_copy_convert(void **state)
{
    (void)state;
    size_t shape[] = {3, 3};
    kb_array *a, *b, *c;
    kb_err err;
    double value = 1.5;
    assert_int_equal(kb_array_zeros(KB_F16, 2, shape, &a, &err), 0);
    kb_array_fill(a, KB_F64, &value);
    assert_int_equal(kb_array_cast(a, KB_F32, &b, &err), 0);
    assert_int_equal(kb_array_copy(b, &c, &err), 0);
    for (int i = 0; i < 9; i++) assert_true(((float *)c->data)[i] == 1.5f);
    kb_array_release(a), kb_array_release(b), kb_array_release(c);
}

static void a_region_comes_out_and_goes_back(void **state)
{
    (void)state;
    size_t shape[] = {5, 7};
    kb_array *a = counting(2, shape), *part;
    kb_err err;
    kb_region r = {.start = {1, 2}, .extent = {2, 3}, .step = {3, 2}};
    assert_int_equal(kb_array_get(a, &r, &part, &err), 0);
    for (int i = 0; i < 2; i++) /* row 1 + 3i, column 2 + 2j of 7 columns */
        for (int j = 0; j < 3; j++)
            assert_int_equal(((int32_t *)part->data)[3 * i + j], (1 + 3 * i) * 7 + 2 + 2 * j);
    int16_t value = -1;
    kb_array_fill(part, KB_I16, &value);
    assert_int_equal(kb_array_set(a, &r, part, &err), 0);
    int changed = 0;
    for (int i = 0; i < 35; i++) changed += ((int32_t *)a->data)[i] == -1;
    assert_int_equal(changed, 6);
    assert_int_equal(((int32_t *)a->data)[4 * 7 + 6], -1);
    kb_array_release(a), kb_array_release(part);
}

static void a_region_outside_is_refused(void **state)
{
    (void)state;
    size_t shape[] = {5};
    kb_array *a = counting(1, shape), *part = NULL;
    kb_err err;
    kb_region bad[] = {{{0}, {6}, {1}}, {{5}, {1}, {1}}, {{1}, {3}, {2}},
                       {{0}, {1}, {0}}, {{6}, {0}, {1}}, {{1}, {2}, {SIZE_MAX}}};
    for (int i = 0; i < 6; i++) assert_int_equal(kb_array_get(a, &bad[i], &part, &err), KB_EFAULT);
    kb_region none = {{5}, {0}, {1}};
    assert_int_equal(kb_array_get(a, &none, &part, &err), 0);
    assert_int_equal(part->count, 0);
    kb_array_release(a), kb_array_release(part);
}

static void assignment_broadcasts_and_converts(void **state)
{
    (void)state;
    size_t shape[] = {2, 3}, row[] = {3};
    kb_array *a = counting(2, shape), *values, *half;
    kb_err err;
    values = counting(1, row);
    assert_int_equal(kb_array_cast(values, KB_F16, &half, &err), 0);
    kb_region all = {{0, 0}, {2, 3}, {1, 1}};
    assert_int_equal(kb_array_set(a, &all, half, &err), 0);
    const int32_t expected[] = {0, 1, 2, 0, 1, 2};
    assert_memory_equal(a->data, expected, sizeof expected);
    kb_region narrow = {{0, 0}, {2, 2}, {1, 1}};
    assert_int_equal(kb_array_set(a, &narrow, half, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "(3,) does not broadcast to (2, 2)"));
    kb_array_release(a), kb_array_release(values), kb_array_release(half);
}

static void permute_moves_dimensions(void **state)
{
    (void)state;
    size_t shape[] = {2, 3, 4};
    kb_array *a = counting(3, shape), *b;
    kb_err err;
    const int axes[] = {2, 0, 1}, twice[] = {0, 0, 1};
    assert_int_equal(kb_array_permute(a, axes, &b, &err), 0);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++)
                assert_int_equal(((int32_t *)b->data)[(k * 2 + i) * 3 + j], (i * 3 + j) * 4 + k);
    kb_array_release(b);
    assert_int_equal(kb_array_permute(a, twice, &b, &err), KB_EINVAL);
    kb_array_release(a);
}

static void reshape_keeps_the_elements_and_wants_their_number(void **state)
{
    (void)state;
    size_t shape[] = {2, 6}, good[] = {3, 2, 2}, bad[] = {5, 2};
    kb_array *a = counting(2, shape), *b;
    kb_err err;
    assert_int_equal(kb_array_reshape(a, 3, good, &b, &err), 0);
    assert_memory_equal(a->data, b->data, a->nbytes);
    kb_array_release(b);
    assert_int_equal(kb_array_reshape(a, 2, bad, &b, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "(2, 6) (12 elements) to (5, 2) (10 elements)"));
    kb_array_release(a);
}

static void concatenate_joins_along_an_axis(void **state)
{
    (void)state;
    size_t shape[] = {2, 2}, wide[] = {2, 1};
    kb_array *parts[2] = {counting(2, shape), counting(2, wide)}, *joined;
    kb_err err;
    assert_int_equal(kb_array_concatenate(2, parts, 1, &joined, &err), 0);
    const int32_t expected[] = {0, 1, 0, 2, 3, 1};
    assert_memory_equal(joined->data, expected, sizeof expected);
    kb_array_release(joined);
    assert_int_equal(kb_array_concatenate(2, parts, 0, &joined, &err), KB_EINVAL);
    kb_array_release(parts[0]), kb_array_release(parts[1]);
}

/* Every order of three dimensions, ragged against tiles, of every element size: by index
 * arithmetic. */
static void permutations_of_large_arrays_move_every_element(void **state)
{
    (void)state;
    static const int ORDERS[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const kb_dtype TYPES[] = {KB_U8, KB_U16, KB_U32, KB_U64};
    static const size_t shape[3] = {37, 3, 70}, apart[3] = {210, 70, 1};
    for (int t = 0; t < 4; t++) {
        kb_array *a;
        assert_int_equal(kb_array_create(TYPES[t], 3, shape, &a, NULL), 0);
        for (uint64_t i = 0; i < a->count; i++)
            kb_convert(TYPES[t], (char *)a->data + i * kb_dtype_size(TYPES[t]), KB_U64, &i, 1);
        for (int o = 0; o < 6; o++) {
            kb_array *b;
            assert_int_equal(kb_array_permute(a, ORDERS[o], &b, NULL), 0);
            size_t at = 0, index[3];
            for (index[0] = 0; index[0] < b->shape[0]; index[0]++)
                for (index[1] = 0; index[1] < b->shape[1]; index[1]++)
                    for (index[2] = 0; index[2] < b->shape[2]; index[2]++, at++) {
                        uint64_t from = 0, got;
                        for (int d = 0; d < 3; d++) from += index[d] * apart[ORDERS[o][d]];
                        size_t element = kb_dtype_size(TYPES[t]);
                        kb_convert(KB_U64, &got, TYPES[t], (char *)b->data + at * element, 1);
                        assert_true(got == (t ? from : from % 256)); /* 7,770 elements */
                    }
            kb_array_release(b);
        }
        kb_array_release(a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(storage_is_aligned_and_counted),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(fill_cast_and_copy_convert),
        cmocka_unit_test(a_region_comes_out_and_goes_back),
        cmocka_unit_test(a_region_outside_is_refused),
        cmocka_unit_test(assignment_broadcasts_and_converts),
        cmocka_unit_test(permute_moves_dimensions),
        cmocka_unit_test(permutations_of_large_arrays_move_every_element),
        cmocka_unit_test(reshape_keeps_the_elements_and_wants_their_number),
        cmocka_unit_test(concatenate_joins_along_an_axis),
    };
    return cmocka_run_group_tests_name("array", tests, NULL, NULL);
}
