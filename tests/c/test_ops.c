#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rng.h"
#include "data/ops.h"

/* An array of that type and shape with the given numbers. */
static kb_array *array_of(kb_dtype dtype, int rank, const size_t *shape, const double *values)
{
    kb_array *a;
    assert_int_equal(kb_array_create(dtype, rank, shape, &a, NULL), 0);
    kb_convert(dtype, a->data, KB_F64, values, a->count);
    return a;
}

static kb_array *vector(kb_dtype dtype, size_t n, const double *values)
{
    return array_of(dtype, 1, &n, values);
}

static double value(const kb_array *a, size_t i)
{
    double x;
    kb_convert(KB_F64, &x, a->dtype, (char *)a->data + i * kb_dtype_size(a->dtype), 1);
    return x;
}

static void check(kb_array *a, kb_dtype dtype, size_t n, const double *expected)
{
    assert_int_equal(a->dtype, dtype);
    assert_int_equal(a->count, n);
    for (size_t i = 0; i < n; i++) {
        double got = value(a, i);
        if (got != expected[i] && !(isnan(got) && isnan(expected[i])))
            fail_msg("element %zu: %g, not %g", i, got, expected[i]);
    }
    kb_array_release(a);
}

static kb_array *apply(kb_binary_op op, kb_array *a, kb_array *b)
{
    kb_array *out;
    kb_err err;
    if (kb_binary(op, a, b, &out, &err)) fail_msg("%s", err.text);
    return out;
}

static kb_array *apply1(kb_unary_op op, kb_array *a)
{
    kb_array *out;
    kb_err err;
    if (kb_unary(op, a, &out, &err)) fail_msg("%s", err.text);
    return out;
}

#define LIST(...) ((double[]){__VA_ARGS__})

static void shapes_broadcast_as_in_numpy(void **state)
{
    (void)state;
    kb_array *m = array_of(KB_F32, 2, (size_t[]){2, 3}, LIST(1, 2, 3, 4, 5, 6));
    kb_array *row = vector(KB_F32, 3, LIST(10, 20, 30));
    kb_array *column = array_of(KB_F32, 2, (size_t[]){2, 1}, LIST(100, 200));
    kb_array *scalar = array_of(KB_F32, 0, NULL, LIST(7)), *three = vector(KB_F32, 2, LIST(0, 0));
    check(apply(KB_ADD, m, row), KB_F32, 6, LIST(11, 22, 33, 14, 25, 36));
    check(apply(KB_ADD, column, m), KB_F32, 6, LIST(101, 102, 103, 204, 205, 206));
    check(apply(KB_ADD, column, row), KB_F32, 6, LIST(110, 120, 130, 210, 220, 230));
    check(apply(KB_SUB, scalar, row), KB_F32, 3, LIST(-3, -13, -23));
    check(apply(KB_MUL, scalar, scalar), KB_F32, 1, LIST(49));
    kb_array *out = NULL;
    kb_err err;
    assert_int_equal(kb_binary(KB_ADD, m, three, &out, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "(2, 3) and (2,) do not broadcast"));
    kb_array_release(m), kb_array_release(row), kb_array_release(column);
    kb_array_release(scalar), kb_array_release(three);
}

/* Against plain index arithmetic, with extents that no chunk divides and dimensions that merge. */
static void long_broadcasts_match_index_arithmetic(void **state)
{
    (void)state;
    size_t sa[] = {3, 1, 700}, sb[] = {3, 5, 1};
    kb_array *a, *b;
    assert_int_equal(kb_array_create(KB_I32, 3, sa, &a, NULL), 0);
    assert_int_equal(kb_array_create(KB_I32, 3, sb, &b, NULL), 0);
    for (int i = 0; i < 2100; i++) ((int32_t *)a->data)[i] = i;
    for (int i = 0; i < 15; i++) ((int32_t *)b->data)[i] = 10000 * i;
    kb_array *out = apply(KB_ADD, a, b);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++)
            for (int k = 0; k < 700; k++)
                assert_int_equal(((int32_t *)out->data)[(i * 5 + j) * 700 + k],
                                 i * 700 + k + 10000 * (i * 5 + j));
    kb_array_release(a), kb_array_release(b), kb_array_release(out);
}

/* The exact sum, product, quotient of two halves, rounded once: from double for + and * (exact
 * there), and by comparing neighbours for /. */
static void halves_round_once_per_operation(void **state)
{
    (void)state;
    enum { N = 20000 };
    for (int t = 0; t < 2; t++) {
        kb_dtype dtype = t ? KB_BF16 : KB_F16;
        kb_rng rng = {9};
        size_t n = N;
        kb_array *a, *b;
        kb_array_create(dtype, 1, &n, &a, NULL);
        kb_array_create(dtype, 1, &n, &b, NULL);
        for (int i = 0; i < N; i++) /* away from infinities and NaN: top exponent bit cleared */
            ((uint16_t *)a->data)[i] = (uint16_t)(kb_rng_next(&rng) & 0xbfff),
                       ((uint16_t *)b->data)[i] = (uint16_t)(kb_rng_next(&rng) & 0xbfff);
        kb_array *sum = apply(KB_ADD, a, b), *product = apply(KB_MUL, a, b);
        kb_array *quotient = apply(KB_DIV, a, b), *root = apply1(KB_SQRT, a);
        for (size_t i = 0; i < N; i++) {
            double x = value(a, i), y = value(b, i);
            uint16_t want[4];
            /* Double holds sums of halves exactly (bf16: unless far apart, then rounding cannot
             * matter), products always, and quotients and roots to 53 bits, more than twice
             * the type's: none of them lies near enough to a tie to be misled. */
            double exact[4] = {x + y, x * y, x / y, sqrt(x)};
            kb_convert(dtype, want, KB_F64, exact, 4);
            assert_int_equal(((uint16_t *)sum->data)[i], want[0]);
            assert_int_equal(((uint16_t *)product->data)[i], want[1]);
            if (y != 0) assert_int_equal(((uint16_t *)quotient->data)[i], want[2]);
            if (x >= 0) assert_int_equal(((uint16_t *)root->data)[i], want[3]);
        }
        kb_array_release(a), kb_array_release(b), kb_array_release(sum);
        kb_array_release(product), kb_array_release(quotient), kb_array_release(root);
    }
}

static void integers_wrap(void **state)
{
    (void)state;
    kb_array *a = vector(KB_I8, 3, LIST(127, -128, 100)), *b = vector(KB_I8, 3, LIST(1, -1, 3));
    check(apply(KB_ADD, a, b), KB_I8, 3, LIST(-128, 127, 103));
    check(apply(KB_MUL, a, b), KB_I8, 3, LIST(127, -128, 300 - 256));
    check(apply(KB_FLOORDIV, a, b), KB_I8, 3, LIST(127, -128, 33)); /* -128 / -1 wraps */
    check(apply1(KB_NEG, a), KB_I8, 3, LIST(-127, -128, -100));
    check(apply1(KB_ABS, a), KB_I8, 3, LIST(127, -128, 100));
    kb_array *big = vector(KB_I64, 1, LIST(-0x1p63)), *minus = vector(KB_I64, 1, LIST(-1));
    check(apply(KB_FLOORDIV, big, minus), KB_I64, 1, LIST(-0x1p63));
    check(apply(KB_MOD, big, minus), KB_I64, 1, LIST(0));
    kb_array_release(a), kb_array_release(b), kb_array_release(big), kb_array_release(minus);
}

static void division_follows_python(void **state)
{
    (void)state;
    kb_array *a = vector(KB_I32, 4, LIST(7, -7, 7, -7)), *b = vector(KB_I32, 4, LIST(2, 2, -2, -2));
    check(apply(KB_FLOORDIV, a, b), KB_I32, 4, LIST(3, -4, -4, 3));
    check(apply(KB_MOD, a, b), KB_I32, 4, LIST(1, 1, -1, -1));
    check(apply(KB_DIV, a, b), KB_F64, 4, LIST(3.5, -3.5, -3.5, 3.5));
    kb_array *x = vector(KB_F32, 5, LIST(7.5, -7.5, 7.5, 1, INFINITY));
    kb_array *y = vector(KB_F32, 5, LIST(2, 2, -2, INFINITY, 2));
    check(apply(KB_FLOORDIV, x, y), KB_F32, 5, LIST(3, -4, -4, 0, NAN));
    check(apply(KB_MOD, x, y), KB_F32, 5, LIST(1.5, 0.5, -0.5, 1, NAN));
    kb_array *zero = vector(KB_I32, 1, LIST(0)), *out;
    kb_err err;
    assert_int_equal(kb_binary(KB_MOD, a, zero, &out, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "division by zero"));
    assert_int_equal(kb_binary(KB_FLOORDIV, a, zero, &out, &err), KB_EINVAL);
    kb_array *nought = vector(KB_F32, 1, LIST(0));
    check(apply(KB_DIV, x, nought), KB_F32, 5,
          LIST(INFINITY, -INFINITY, INFINITY, INFINITY, INFINITY));
    kb_array_release(a), kb_array_release(b), kb_array_release(x), kb_array_release(y);
    kb_array_release(zero), kb_array_release(nought);
}

static void powers_shifts_and_bits(void **state)
{
    (void)state;
    kb_array *a = vector(KB_I32, 4, LIST(3, -2, 10, 0)), *b = vector(KB_I32, 4, LIST(4, 3, 10, 0));
    check(apply(KB_POW, a, b), KB_I32, 4, LIST(81, -8, 1410065408, 1)); /* 10^10 mod 2^32 */
    check(apply(KB_AND, a, b), KB_I32, 4, LIST(0, 2, 10, 0));
    check(apply(KB_OR, a, b), KB_I32, 4, LIST(7, -1, 10, 0));
    check(apply(KB_SHL, a, b), KB_I32, 4, LIST(48, -16, 10240, 0));
    check(apply(KB_SHR, a, b), KB_I32, 4, LIST(0, -1, 0, 0));
    kb_array *f = vector(KB_F16, 3, LIST(2, 9, -2)), *e = vector(KB_F16, 3, LIST(10, 0.5, 3));
    check(apply(KB_POW, f, e), KB_F16, 3, LIST(1024, 3, -8));
    kb_array *out;
    kb_err err;
    assert_int_equal(kb_binary(KB_AND, f, e, &out, &err), KB_EINVAL);
    kb_array *minus = vector(KB_I32, 1, LIST(-1));
    assert_int_equal(kb_binary(KB_POW, a, minus, &out, &err), KB_EINVAL);
    kb_array_release(a), kb_array_release(b), kb_array_release(f), kb_array_release(e);
    kb_array_release(minus);
}

static void comparisons_give_masks_and_masks_choose(void **state)
{
    (void)state;
    kb_array *a = vector(KB_F32, 4, LIST(1, 2, NAN, 4)), *b = vector(KB_F32, 4, LIST(2, 2, 2, 2));
    check(apply(KB_LT, a, b), KB_BOOL, 4, LIST(1, 0, 0, 0));
    check(apply(KB_GE, a, b), KB_BOOL, 4, LIST(0, 1, 0, 1));
    check(apply(KB_NE, a, b), KB_BOOL, 4, LIST(1, 0, 1, 1));
    kb_array *mask = apply(KB_EQ, a, b), *out;
    check(apply1(KB_NOT, mask), KB_BOOL, 4, LIST(1, 0, 1, 1));
    kb_array *small = vector(KB_I8, 1, LIST(-1));
    assert_int_equal(kb_where(mask, a, small, &out, NULL), 0);
    check(out, KB_F32, 4, LIST(-1, 2, -1, -1));
    kb_array *u = vector(KB_U8, 2, LIST(200, 1)), *i = vector(KB_I8, 2, LIST(-1, -1));
    check(apply(KB_GT, u, i), KB_BOOL, 2, LIST(1, 1)); /* compared as i16 */
    kb_array_release(a), kb_array_release(b), kb_array_release(mask), kb_array_release(small);
    kb_array_release(u), kb_array_release(i);
}

static void minimum_and_maximum_pass_nan_on(void **state)
{
    (void)state;
    kb_array *a = vector(KB_F16, 3, LIST(1, NAN, 3)), *b = vector(KB_F16, 3, LIST(2, 2, NAN));
    check(apply(KB_MIN, a, b), KB_F16, 3, LIST(1, NAN, NAN));
    check(apply(KB_MAX, a, b), KB_F16, 3, LIST(2, NAN, NAN));
    kb_array_release(a), kb_array_release(b);
}

static void every_nan_result_has_the_same_bits(void **state)
{
    (void)state;
    kb_array *a = vector(KB_F32, 2, LIST(INFINITY, -INFINITY)), *out = apply(KB_SUB, a, a);
    const uint32_t nan = 0x7fc00000;
    for (int i = 0; i < 2; i++) assert_memory_equal((uint32_t *)out->data + i, &nan, 4);
    kb_array_release(a), kb_array_release(out);
}

/* Halves hold few enough bits that the value rounded from long double must come out exactly. */
static void elementary_functions_of_halves_are_correctly_rounded(void **state)
{
    (void)state;
    static const struct {
        kb_unary_op op;
        long double (*f)(long double);
    } CASES[] = {{KB_EXP, expl}, {KB_EXP2, exp2l}, {KB_LOG, logl},   {KB_LOG2, log2l},
                 {KB_SIN, sinl}, {KB_COS, cosl},   {KB_TANH, tanhl}, {KB_ERF, erfl}};
    size_t n = 65536;
    kb_array *a;
    kb_array_create(KB_F16, 1, &n, &a, NULL);
    for (size_t i = 0; i < n; i++) ((uint16_t *)a->data)[i] = (uint16_t)i;
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        kb_array *out = apply1(CASES[c].op, a);
        for (size_t i = 0; i < n; i++) {
            long double exact = CASES[c].f((long double)value(a, i));
            if (isnan(exact)) continue;
            assert_int_equal(((uint16_t *)out->data)[i], kb_f64_to_f16((double)exact));
        }
        kb_array_release(out);
    }
    kb_array_release(a);
}

static void rounding_and_sign_functions(void **state)
{
    (void)state;
    kb_array *a = vector(KB_F32, 5, LIST(-1.5, -0.5, 0.5, 1.5, 2.5));
    check(apply1(KB_FLOOR, a), KB_F32, 5, LIST(-2, -1, 0, 1, 2));
    check(apply1(KB_CEIL, a), KB_F32, 5, LIST(-1, 0, 1, 2, 3));
    check(apply1(KB_TRUNC, a), KB_F32, 5, LIST(-1, 0, 0, 1, 2));
    check(apply1(KB_ROUND, a), KB_F32, 5, LIST(-2, 0, 0, 2, 2));
    check(apply1(KB_SIGN, a), KB_F32, 5, LIST(-1, -1, 1, 1, 1));
    check(apply1(KB_SQUARE, a), KB_F32, 5, LIST(2.25, 0.25, 0.25, 2.25, 6.25));
    kb_array *b = vector(KB_F32, 3, LIST(4, 16, 0));
    check(apply1(KB_RSQRT, b), KB_F32, 3, LIST(0.5, 0.25, INFINITY));
    check(apply1(KB_RECIPROCAL, b), KB_F32, 3, LIST(0.25, 0.0625, INFINITY));
    kb_array *i = vector(KB_I32, 2, LIST(4, 9));
    check(apply1(KB_SQRT, i), KB_F64, 2, LIST(2, 3));
    check(apply1(KB_FLOOR, i), KB_I32, 2, LIST(4, 9));
    check(apply1(KB_ISNAN, a), KB_BOOL, 5, LIST(0, 0, 0, 0, 0));
    kb_array_release(a), kb_array_release(b), kb_array_release(i);
}

static kb_array *fold(kb_reduce_op op, kb_array *a, int axis, bool keep)
{
    kb_array *out;
    kb_err err;
    if (kb_reduce(op, a, axis, keep, &out, &err)) fail_msg("%s", err.text);
    return out;
}

static void reductions_over_each_axis(void **state)
{
    (void)state;
    kb_array *a = array_of(KB_F16, 2, (size_t[]){2, 3}, LIST(1, 5, 3, 4, 2, 6));
    check(fold(KB_SUM, a, KB_ALL_AXES, false), KB_F16, 1, LIST(21));
    check(fold(KB_SUM, a, 0, false), KB_F16, 3, LIST(5, 7, 9));
    check(fold(KB_SUM, a, 1, false), KB_F16, 2, LIST(9, 12));
    check(fold(KB_MEAN, a, 1, false), KB_F16, 2, LIST(3, 4));
    check(fold(KB_PROD, a, 0, false), KB_F16, 3, LIST(4, 10, 18));
    check(fold(KB_AMAX, a, 0, false), KB_F16, 3, LIST(4, 5, 6));
    check(fold(KB_AMIN, a, 1, false), KB_F16, 2, LIST(1, 2));
    check(fold(KB_ARGMAX, a, 0, false), KB_I64, 3, LIST(1, 0, 1));
    check(fold(KB_ARGMIN, a, KB_ALL_AXES, false), KB_I64, 1, LIST(0));
    kb_array *kept = fold(KB_SUM, a, 0, true);
    assert_true(kept->rank == 2 && kept->shape[0] == 1 && kept->shape[1] == 3);
    kb_array_release(kept), kb_array_release(a);
}

static void reductions_choose_their_types_and_meet_edge_cases(void **state)
{
    (void)state;
    kb_array *i = vector(KB_I8, 3, LIST(100, 100, -1)), *u = vector(KB_U8, 2, LIST(255, 255));
    kb_array *n = vector(KB_F32, 4, LIST(1, NAN, 3, NAN)), *none = vector(KB_F32, 0, LIST(0));
    check(fold(KB_SUM, i, 0, false), KB_I64, 1, LIST(199));
    check(fold(KB_SUM, u, 0, false), KB_U64, 1, LIST(510));
    check(fold(KB_MEAN, i, 0, false), KB_F64, 1, LIST(199 / 3.0));
    check(fold(KB_AMAX, i, 0, false), KB_I8, 1, LIST(100));
    check(fold(KB_AMAX, n, 0, false), KB_F32, 1, LIST(NAN));
    check(fold(KB_ARGMAX, n, 0, false), KB_I64, 1, LIST(1));
    check(fold(KB_ARGMIN, n, 0, false), KB_I64, 1, LIST(1));
    check(fold(KB_ANY, i, 0, false), KB_BOOL, 1, LIST(1));
    check(fold(KB_SUM, none, 0, false), KB_F32, 1, LIST(0));
    check(fold(KB_ALL, none, 0, false), KB_BOOL, 1, LIST(1));
    check(fold(KB_MEAN, none, 0, false), KB_F32, 1, LIST(NAN));
    kb_array *out;
    assert_int_equal(kb_reduce(KB_AMAX, none, 0, false, &out, NULL), KB_EINVAL);
    assert_int_equal(kb_reduce(KB_SUM, none, 1, false, &out, NULL), KB_EINVAL);
    kb_array_release(i), kb_array_release(u), kb_array_release(n), kb_array_release(none);
}

/* 4096 + 4096 * 1: in f16 alone the sum would stick at 4096 (its next value is 4100). */
static void sums_do_not_lose_small_terms(void **state)
{
    (void)state;
    size_t n = 4097;
    kb_array *a;
    double one = 1;
    kb_array_create(KB_F16, 1, &n, &a, NULL);
    kb_array_fill(a, KB_F64, &one);
    ((uint16_t *)a->data)[0] = 0x6c00; /* 2^12 */
    check(fold(KB_SUM, a, 0, false), KB_F16, 1, LIST(8192));
    kb_array *prefix;
    assert_int_equal(kb_scan(KB_SUM, a, 0, false, &prefix, NULL), 0);
    assert_true(value(prefix, 4) == 4100 && value(prefix, 4096) == 8192);
    kb_array_release(a), kb_array_release(prefix);
}

static void closeness_is_numpys(void **state)
{
    (void)state;
    kb_array *a = vector(KB_F64, 4, LIST(100, 1, INFINITY, NAN));
    kb_array *b = vector(KB_F64, 4, LIST(101, 1, INFINITY, NAN));
    size_t where = 99;
    kb_tolerance t = {.rtol = 0.01}, exact = {.atol = 0.5, .equal_nan = true};
    assert_int_equal(kb_allclose(a, b, &t, NULL, &where, NULL), 0); /* 1 <= 0.01 * 101, but NaN */
    assert_int_equal(where, 3);
    t.equal_nan = true;
    assert_int_equal(kb_allclose(a, b, &t, NULL, &where, NULL), 1);
    assert_int_equal(kb_allclose(a, b, &exact, NULL, &where, NULL), 0);
    assert_int_equal(where, 0);
    double diff;
    assert_int_equal(kb_max_abs_diff(a, b, NULL, &diff, NULL), 0);
    assert_true(isnan(diff));
    kb_array *c = vector(KB_F64, 1, LIST(98));
    assert_int_equal(kb_max_abs_diff(c, c, NULL, &diff, NULL), 0);
    assert_true(diff == 0);
    kb_array_release(a), kb_array_release(b), kb_array_release(c);
}

static void no_task(kb_executor *executor, kb_task *task)
{
    (void)executor;
    (void)task;
}

/* 300,000 elements in parts. Of two that differ, the first is told; a NaN hides every number. */
static void large_arrays_are_compared_on_threads(void **state)
{
    (void)state;
    static const size_t shape[2] = {300, 1000};
    kb_array *a, *b;
    assert_int_equal(kb_array_zeros(KB_F32, 2, shape, &a, NULL), 0);
    assert_int_equal(kb_array_zeros(KB_F32, 2, shape, &b, NULL), 0);
    float *x = a->data;
    kb_tolerance t = {.atol = 0.5};
    for (int threads = 0; threads < 4; threads++) {
        kb_executor *executor = kb_executor_create(threads, no_task);
        size_t where = 0;
        double diff;
        assert_int_equal(kb_allclose(a, b, &t, executor, &where, NULL), 1);
        x[100000] = -0.25f;
        x[200001] = 3;
        x[299999] = 7;
        assert_int_equal(kb_allclose(a, b, &t, executor, &where, NULL), 0);
        assert_int_equal(where, 200001);
        assert_int_equal(kb_max_abs_diff(a, b, executor, &diff, NULL), 0);
        assert_true(diff == 7);
        x[150000] = NAN;
        assert_int_equal(kb_max_abs_diff(a, b, executor, &diff, NULL), 0);
        assert_true(isnan(diff));
        x[100000] = x[150000] = x[200001] = x[299999] = 0;
        kb_executor_destroy(executor);
    }
    kb_array_release(a), kb_array_release(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_broadcast_as_in_numpy),
        cmocka_unit_test(long_broadcasts_match_index_arithmetic),
        cmocka_unit_test(halves_round_once_per_operation),
        cmocka_unit_test(integers_wrap),
        cmocka_unit_test(division_follows_python),
        cmocka_unit_test(powers_shifts_and_bits),
        cmocka_unit_test(comparisons_give_masks_and_masks_choose),
        cmocka_unit_test(minimum_and_maximum_pass_nan_on),
        cmocka_unit_test(every_nan_result_has_the_same_bits),
        cmocka_unit_test(elementary_functions_of_halves_are_correctly_rounded),
        cmocka_unit_test(rounding_and_sign_functions),
        cmocka_unit_test(reductions_over_each_axis),
        cmocka_unit_test(reductions_choose_their_types_and_meet_edge_cases),
        cmocka_unit_test(sums_do_not_lose_small_terms),
        cmocka_unit_test(closeness_is_numpys),
        cmocka_unit_test(large_arrays_are_compared_on_threads),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
