/* Products of whole arrays, and products on several threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "data/gemm.h"

static kb_array *counting(int rank, const size_t *shape)
{
    kb_array *a;
    assert_int_equal(kb_array_create(KB_I32, rank, shape, &a, NULL), 0);
    for (size_t i = 0; i < a->count; i++) ((int32_t *)a->data)[i] = (int32_t)i;
    return a;
}

static void matmul_takes_vectors_and_stacks(void **state)
{
    (void)state;
    kb_array *stack = counting(3, (size_t[]){2, 2, 3}), *vector = counting(1, (size_t[]){3}), *out;
    kb_err err;
    assert_int_equal(kb_matmul(stack, vector, -1, NULL, &out, &err), 0);
    /* rows (0 1 2), (3 4 5), (6 7 8), (9 10 11) times (0 1 2): 1 + 4, 4 + 10, 7 + 16, 10 + 22 */
    const int32_t expected[] = {5, 14, 23, 32};
    assert_int_equal(out->rank, 2);
    assert_int_equal(out->dtype, KB_I32);
    assert_memory_equal(out->data, expected, sizeof expected);
    kb_array_release(out);
    assert_int_equal(kb_matmul(vector, vector, -1, NULL, &out, &err), 0);
    assert_int_equal(out->rank, 0);
    assert_int_equal(*(int32_t *)out->data, 5);
    kb_array_release(out);
    assert_int_equal(kb_matmul(stack, stack, -1, NULL, &out, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "inner extents 3 and 2 differ"));
    kb_array_release(stack), kb_array_release(vector);
}

static void no_task(kb_executor *executor, kb_task *task)
{
    (void)executor;
    (void)task;
}

/* Rows and columns in parts, and a stack of 20, with a second operand that all its products share:
 * sums of i * j modulo 2^32, whoever computes them. */
static void threads_give_the_products_of_one(void **state)
{
    (void)state;
    static const size_t SIZES[2][2][3] = {{{1, 800, 9}, {1, 9, 1100}}, {{20, 50, 99}, {1, 99, 70}}};
    for (int i = 0; i < 2; i++) {
        kb_array *a = counting(3, SIZES[i][0]), *b = counting(3, SIZES[i][1]), *one, *many;
        assert_int_equal(kb_matmul(a, b, -1, NULL, &one, NULL), 0);
        for (int threads = 0; threads < 4; threads++) {
            kb_executor *executor = kb_executor_create(threads, no_task);
            assert_int_equal(kb_matmul(a, b, -1, executor, &many, NULL), 0);
            assert_memory_equal(one->data, many->data, one->nbytes);
            kb_array_release(many);
            kb_executor_destroy(executor);
        }
        kb_array_release(a), kb_array_release(b), kb_array_release(one);
    }
}

/* C = acc + A B, in a block of a wider matrix. A and B are the low halves of 0, 1, 2, …; of B all
 * halves, 0, 0, 1, 0, 2, 0, …, unless it is transposed. */
static void a_split_product_begins_with_its_accumulators(void **state)
{
    (void)state;
    enum { M = 800, N = 1100, WIDE = 1200 };
    static const size_t shape[2] = {M, WIDE};
    kb_array *c, *acc = counting(2, shape), *a = counting(1, (size_t[]){M}),
                 *b = counting(1, (size_t[]){N});
    assert_int_equal(kb_array_zeros(KB_I32, 2, shape, &c, NULL), 0);
    kb_executor *executor = kb_executor_create(2, no_task);
    kb_gemm g = {.m = M,
                 .n = N,
                 .k = 1,
                 .in_a = KB_I16,
                 .in_b = KB_I16,
                 .out = KB_I32,
                 .a = a->data,
                 .b = b->data};
    g.lda = 2;
    g.ldc = g.ldacc = WIDE;
    g.acc = acc->data;
    g.c = c->data;
    for (int transposed = 0; transposed < 2; transposed++) {
        g.b_transposed = transposed;
        g.ldb = transposed ? 2 : N;
        assert_int_equal(kb_gemm_split(&g, executor, NULL), 0);
        for (int32_t i = 0; i < M; i++)
            for (int32_t j = 0; j < WIDE; j++) {
                int32_t product = i * (transposed ? j : j % 2 ? 0 : j / 2);
                int32_t expected = j < N ? i * WIDE + j + product : 0;
                assert_int_equal(((int32_t *)c->data)[i * WIDE + j], expected);
            }
    }
    kb_executor_destroy(executor);
    kb_array_release(a), kb_array_release(b), kb_array_release(c), kb_array_release(acc);
}

/* Operands whose accumulators are alike are multiplied as they are, others promoted first: the same
 * numbers as of operands that were promoted before. */
static void operands_of_two_types_are_promoted(void **state)
{
    (void)state;
    static const kb_dtype TYPES[][2] = {{KB_F16, KB_F32},    {KB_F32, KB_BF16}, {KB_F16, KB_BF16},
                                        {KB_F8E4M3, KB_F16}, {KB_I8, KB_U8},    {KB_I16, KB_I64},
                                        {KB_BOOL, KB_I32},   {KB_F32, KB_F64}};
    kb_array *a = counting(2, (size_t[]){7, 9}), *b = counting(2, (size_t[]){9, 8});
    for (size_t t = 0; t < sizeof TYPES / sizeof *TYPES; t++) {
        kb_dtype in = kb_dtype_promote(TYPES[t][0], TYPES[t][1]);
        kb_array *x, *y, *wide_x, *wide_y, *out, *expected;
        assert_int_equal(kb_array_cast(a, TYPES[t][0], &x, NULL), 0);
        assert_int_equal(kb_array_cast(b, TYPES[t][1], &y, NULL), 0);
        assert_int_equal(kb_array_cast(x, in, &wide_x, NULL), 0);
        assert_int_equal(kb_array_cast(y, in, &wide_y, NULL), 0);
        assert_int_equal(kb_matmul(x, y, -1, NULL, &out, NULL), 0);
        assert_int_equal(kb_matmul(wide_x, wide_y, -1, NULL, &expected, NULL), 0);
        assert_int_equal(out->dtype, in);
        assert_memory_equal(out->data, expected->data, expected->nbytes);
        kb_array_release(x), kb_array_release(y), kb_array_release(out);
        kb_array_release(wide_x), kb_array_release(wide_y), kb_array_release(expected);
    }
    kb_array_release(a), kb_array_release(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_takes_vectors_and_stacks),
        cmocka_unit_test(operands_of_two_types_are_promoted),
        cmocka_unit_test(threads_give_the_products_of_one),
        cmocka_unit_test(a_split_product_begins_with_its_accumulators),
    };
    return cmocka_run_group_tests_name("matmul", tests, NULL, NULL);
}
