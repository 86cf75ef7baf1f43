#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rng.h"
#include "data/gemm.h"

/* Ragged against every block size in use: 4 … 32 columns, 6 and 12 rows, 192, 256, 1024, 1536. */
static const size_t SHAPES[][3] = {{1, 1, 1},     {1, 5, 0},     {7, 3, 5},      {12, 32, 256},
                                   {13, 33, 257}, {25, 70, 300}, {200, 17, 513}, {5, 1030, 3},
                                   {1540, 3, 2},  {1, 100, 700}, {64, 1, 64}};
enum { SHAPE_COUNT = sizeof SHAPES / sizeof *SHAPES };

typedef struct problem {
    size_t m, n, k;
    float *a, *b; /* values that f16 and bf16 hold exactly */
    float *acc;
} problem;

static float *random_values(kb_rng *rng, size_t n)
{
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (float)((int)kb_rng_below(rng, 255) - 127) / 16;
    return x;
}

static problem make(const size_t *shape)
{
    kb_rng rng = {42};
    problem p = {.m = shape[0], .n = shape[1], .k = shape[2]};
    p.a = random_values(&rng, p.m * p.k);
    p.b = random_values(&rng, p.k * p.n);
    p.acc = random_values(&rng, p.m * p.n);
    for (size_t i = 0; i < p.m * p.n; i++) p.acc[i] /= 3; /* so that additions do round */
    return p;
}

static void drop(problem *p)
{
    free(p->a), free(p->b), free(p->acc);
}

static void *converted(kb_dtype to, const float *x, size_t n)
{
    void *out = malloc((n + 1) * kb_dtype_size(to));
    kb_convert(to, out, KB_F32, x, n);
    return out;
}

/* The order that gemm.h defines, written down naively. `volatile` forbids any fusing. */
static float naive_f32(const problem *p, const float *acc, size_t i, size_t j)
{
    float sum = acc ? acc[i * p->n + j] : 0;
    for (size_t q = 0; q < p->k; q++) {
        volatile float product = p->a[i * p->k + q] * p->b[q * p->n + j];
        sum = sum + product;
    }
    return sum;
}

static void check_floats(kb_dtype in, kb_dtype out, kb_gemm_level level, bool with_acc)
{
    for (int s = 0; s < SHAPE_COUNT; s++) {
        problem p = make(SHAPES[s]);
        for (size_t i = 0; in == KB_F32 && i < p.m * p.k; i++) p.a[i] /= 3; /* 24-bit values */
        void *a = converted(in, p.a, p.m * p.k), *b = converted(in, p.b, p.k * p.n);
        kb_convert(KB_F32, p.a, in, a, p.m * p.k); /* what 8-bit floats hold of them */
        kb_convert(KB_F32, p.b, in, b, p.k * p.n);
        void *c = malloc(p.m * p.n * kb_dtype_size(out)), *want = malloc(p.m * p.n * 4);
        float *exact = malloc(p.m * p.n * 4);
        kb_gemm g = {.m = p.m,
                     .n = p.n,
                     .k = p.k,
                     .in_a = in,
                     .in_b = in,
                     .out = out,
                     .a = a,
                     .b = b,
                     .c = c,
                     .acc = with_acc ? p.acc : NULL,
                     .lda = p.k,
                     .ldb = p.n,
                     .ldacc = p.n,
                     .ldc = p.n,
                     .level = level};
        kb_err err;
        assert_int_equal(kb_gemm_run(&g, &err), 0);
        for (size_t i = 0; i < p.m; i++)
            for (size_t j = 0; j < p.n; j++)
                exact[i * p.n + j] = naive_f32(&p, with_acc ? p.acc : NULL, i, j);
        kb_convert(out, want, KB_F32, exact, p.m * p.n);
        assert_memory_equal(c, want, p.m * p.n * kb_dtype_size(out));
        free(a), free(b), free(c), free(want), free(exact);
        drop(&p);
    }
}

static void products_have_the_bits_of_the_defined_order_at_every_level(void **state)
{
    (void)state;
    for (int level = KB_GEMM_BEST; level <= KB_GEMM_AVX512; level++) {
        if (!kb_gemm_level_supported((kb_gemm_level)level)) {
            print_message("level %d: this CPU lacks it\n", level);
            continue;
        }
        for (int acc = 0; acc < 2; acc++) {
            check_floats(KB_F16, KB_F16, (kb_gemm_level)level, acc);
            check_floats(KB_F8E4M3, KB_F32, (kb_gemm_level)level, acc);
            check_floats(KB_F8E5M2, KB_F8E5M2, (kb_gemm_level)level, acc);
            check_floats(KB_F16, KB_F32, (kb_gemm_level)level, acc);
            check_floats(KB_BF16, KB_BF16, (kb_gemm_level)level, acc);
            check_floats(KB_F32, KB_F32, (kb_gemm_level)level, acc);
        }
    }
}

/* Against double: the usual bound of a recursive sum, k units of 2^-24 of the sum of magnitudes. */
static void products_are_near_the_exact_ones(void **state)
{
    (void)state;
    for (int s = 0; s < SHAPE_COUNT; s++) {
        problem p = make(SHAPES[s]);
        float *c = malloc(p.m * p.n * 4);
        kb_gemm g = {.m = p.m,
                     .n = p.n,
                     .k = p.k,
                     .in_a = KB_F32,
                     .in_b = KB_F32,
                     .out = KB_F32,
                     .a = p.a,
                     .b = p.b,
                     .c = c,
                     .lda = p.k,
                     .ldb = p.n,
                     .ldc = p.n};
        assert_int_equal(kb_gemm_run(&g, NULL), 0);
        for (size_t i = 0; i < p.m; i++)
            for (size_t j = 0; j < p.n; j++) {
                double sum = 0, size = 0;
                for (size_t q = 0; q < p.k; q++) {
                    double product = (double)p.a[i * p.k + q] * (double)p.b[q * p.n + j];
                    sum += product;
                    size += fabs(product);
                }
                assert_true(fabs((double)c[i * p.n + j] - sum) <= (double)p.k * 0x1p-24 * size);
            }
        free(c);
        drop(&p);
    }
}

static void doubles_accumulate_in_double(void **state)
{
    (void)state;
    problem p = make(SHAPES[4]);
    double *a = converted(KB_F64, p.a, p.m * p.k), *b = converted(KB_F64, p.b, p.k * p.n);
    double *c = malloc(p.m * p.n * sizeof *c);
    for (size_t i = 0; i < p.m * p.k; i++) a[i] /= 3;
    kb_gemm g = {.m = p.m,
                 .n = p.n,
                 .k = p.k,
                 .in_a = KB_F64,
                 .in_b = KB_F64,
                 .out = KB_F64,
                 .a = a,
                 .b = b,
                 .c = c,
                 .lda = p.k,
                 .ldb = p.n,
                 .ldc = p.n};
    for (int level = KB_GEMM_BEST; level <= KB_GEMM_AVX512; level++) {
        if (!kb_gemm_level_supported((kb_gemm_level)level)) continue;
        g.level = (kb_gemm_level)level;
        assert_int_equal(kb_gemm_run(&g, NULL), 0);
        for (size_t i = 0; i < p.m; i++)
            for (size_t j = 0; j < p.n; j++) {
                double sum = 0;
                for (size_t q = 0; q < p.k; q++) {
                    volatile double product = a[i * p.k + q] * b[q * p.n + j];
                    sum = sum + product;
                }
                assert_true(c[i * p.n + j] == sum);
            }
    }
    free(a), free(b), free(c);
    drop(&p);
}

static void check_integers(kb_dtype in, kb_gemm_level level)
{
    enum { M = 13, N = 35, K = 300 };
    kb_rng rng = {5};
    int64_t *a = malloc(M * K * 8), *b = malloc(K * N * 8), *wide = malloc((M * K + K * N) * 8);
    void *na = malloc(M * K * 8), *nb = malloc(K * N * 8), *c = malloc(M * N * 8);
    for (int i = 0; i < M * K; i++) wide[i] = (int64_t)kb_rng_next(&rng);
    for (int i = 0; i < K * N; i++) wide[M * K + i] = (int64_t)kb_rng_next(&rng);
    kb_convert(in, na, KB_I64, wide, M * K); /* low bits, */
    kb_convert(in, nb, KB_I64, wide + M * K, K * N);
    kb_convert(KB_I64, a, in, na, M * K); /* as that type reads them */
    kb_convert(KB_I64, b, in, nb, K * N);
    kb_dtype acc = kb_gemm_acc(in);
    kb_gemm g = {.m = M,
                 .n = N,
                 .k = K,
                 .in_a = in,
                 .in_b = in,
                 .out = acc,
                 .a = na,
                 .b = nb,
                 .c = c,
                 .lda = K,
                 .ldb = N,
                 .ldc = N,
                 .level = level};
    assert_int_equal(kb_gemm_run(&g, NULL), 0);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < N; j++) {
            uint64_t sum = 0;
            for (int q = 0; q < K; q++) sum += (uint64_t)a[i * K + q] * (uint64_t)b[q * N + j];
            if (acc == KB_I32)
                assert_int_equal(((uint32_t *)c)[i * N + j], (uint32_t)sum);
            else
                assert_true(((uint64_t *)c)[i * N + j] == sum);
        }
    free(a), free(b), free(wide), free(na), free(nb), free(c);
}

static void integer_products_wrap_in_the_accumulators_width(void **state)
{
    (void)state;
    for (int level = KB_GEMM_BEST; level <= KB_GEMM_AVX512; level++)
        for (int in = KB_I8; in <= KB_U64; in++)
            if (kb_gemm_level_supported((kb_gemm_level)level))
                check_integers((kb_dtype)in, (kb_gemm_level)level);
}

static void row_ranges_and_splits_of_k_give_the_bits_of_the_whole(void **state)
{
    (void)state;
    problem p = make(SHAPES[6]);
    float *whole = malloc(p.m * p.n * 4), *parts = malloc(p.m * p.n * 4);
    kb_gemm g = {.m = p.m,
                 .n = p.n,
                 .k = p.k,
                 .in_a = KB_F32,
                 .in_b = KB_F32,
                 .out = KB_F32,
                 .a = p.a,
                 .b = p.b,
                 .c = whole,
                 .lda = p.k,
                 .ldb = p.n,
                 .ldc = p.n};
    assert_int_equal(kb_gemm_run(&g, NULL), 0);
    g.c = parts;
    assert_int_equal(kb_gemm_rows(&g, 0, 61, NULL), 0);
    assert_int_equal(kb_gemm_rows(&g, 61, p.m, NULL), 0);
    assert_memory_equal(whole, parts, p.m * p.n * 4);
    g.k = 100; /* the first columns of A and rows of B, then the rest on top */
    assert_int_equal(kb_gemm_run(&g, NULL), 0);
    g.k = p.k - 100;
    g.a = p.a + 100;
    g.b = p.b + 100 * p.n;
    g.acc = parts;
    g.ldacc = p.n;
    assert_int_equal(kb_gemm_run(&g, NULL), 0);
    assert_memory_equal(whole, parts, p.m * p.n * 4);
    free(whole), free(parts);
    drop(&p);
}

static void a_block_inside_a_larger_matrix_is_all_that_changes(void **state)
{
    (void)state;
    enum { LD = 50 };
    float a[3 * LD], b[3 * LD], c[4 * LD];
    for (int i = 0; i < 3 * LD; i++) a[i] = b[i] = NAN; /* whatever is outside must not be used */
    for (int i = 0; i < 4 * LD; i++) c[i] = -1;
    for (int i = 0; i < 2; i++)
        for (int q = 0; q < 3; q++) a[i * LD + q] = (float)(i + q);
    for (int q = 0; q < 3; q++)
        for (int j = 0; j < 33; j++) b[q * LD + j] = (float)(q + 1);
    kb_gemm g = {.m = 2,
                 .n = 33,
                 .k = 3,
                 .in_a = KB_F32,
                 .in_b = KB_F32,
                 .out = KB_F32,
                 .a = a,
                 .b = b,
                 .c = c + LD + 1,
                 .lda = LD,
                 .ldb = LD,
                 .ldc = LD};
    assert_int_equal(kb_gemm_run(&g, NULL), 0);
    for (int i = 0; i < 4 * LD; i++) {
        int row = i / LD - 1, column = i % LD - 1;
        bool inside = row >= 0 && row < 2 && column >= 0 && column < 33;
        /* row 0: 0*1 + 1*2 + 2*3 = 8; row 1: 1*1 + 2*2 + 3*3 = 14 */
        assert_true(c[i] == (inside ? row ? 14.0f : 8.0f : -1.0f));
    }
}

static void every_nan_is_the_same_one(void **state)
{
    (void)state;
    float a[] = {INFINITY, 1, -NAN, 1}, b[] = {0, 0}, c[2]; /* inf * 0, and a NaN with a sign */
    kb_gemm g = {.m = 2,
                 .n = 1,
                 .k = 2,
                 .in_a = KB_F32,
                 .in_b = KB_F32,
                 .out = KB_F32,
                 .a = a,
                 .b = b,
                 .c = c,
                 .lda = 2,
                 .ldb = 1,
                 .ldc = 1};
    assert_int_equal(kb_gemm_run(&g, NULL), 0);
    assert_int_equal(kb_float_bits(c[0]), 0x7fc00000);
    assert_int_equal(kb_float_bits(c[1]), 0x7fc00000);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    float x[4] = {0};
    kb_err err;
    kb_gemm g = {.m = 2,
                 .n = 2,
                 .k = 2,
                 .in_a = KB_F32,
                 .in_b = KB_F32,
                 .out = KB_F32,
                 .a = x,
                 .b = x,
                 .c = x,
                 .lda = 1,
                 .ldb = 2,
                 .ldc = 2};
    assert_int_equal(kb_gemm_run(&g, &err), KB_EINVAL);
    g.lda = 2;
    g.out = KB_I32;
    assert_int_equal(kb_gemm_run(&g, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "f32 operands do not give i32"));
    g.out = KB_F32;
    assert_int_equal(kb_gemm_rows(&g, 1, 3, &err), KB_EINVAL);
}

/* n rows of k elements from k rows of n. */
static void *transposed(kb_dtype type, const void *b, size_t k, size_t n)
{
    size_t size = kb_dtype_size(type);
    char *out = malloc((k * n + 1) * size);
    for (size_t p = 0; p < k; p++)
        for (size_t j = 0; j < n; j++)
            memcpy(out + (j * k + p) * size, (const char *)b + (p * n + j) * size, size);
    return out;
}

/* A product of f32 from operands of narrower types, in every form that B may have. */
static void check_forms(const size_t *shape, kb_dtype in_a, kb_dtype in_b, kb_gemm_level level)
{
    problem p = make(shape);
    void *a = converted(in_a, p.a, p.m * p.k), *b = converted(in_b, p.b, p.k * p.n);
    void *bt = transposed(in_b, b, p.k, p.n);
    kb_convert(KB_F32, p.a, in_a, a, p.m * p.k);
    kb_convert(KB_F32, p.b, in_b, b, p.k * p.n);
    float *c = malloc(p.m * p.n * sizeof *c), *ct = malloc(p.m * p.n * sizeof *ct);
    kb_gemm g = {.m = p.m, .n = p.n, .k = p.k, .in_a = in_a, .in_b = in_b, .out = KB_F32};
    g.a = a, g.b = b, g.c = c, g.lda = p.k, g.ldb = p.n, g.ldc = p.n, g.level = level;
    kb_err err;
    assert_int_equal(kb_gemm_run(&g, &err), 0);
    g.b_transposed = true;
    g.b = bt, g.ldb = p.k, g.c = ct;
    assert_int_equal(kb_gemm_run(&g, &err), 0);
    for (size_t i = 0; i < p.m; i++)
        for (size_t j = 0; j < p.n; j++) {
            float exact = naive_f32(&p, NULL, i, j);
            assert_memory_equal(&c[i * p.n + j], &exact, sizeof exact);
            assert_memory_equal(&ct[i * p.n + j], &exact, sizeof exact);
        }
    free(a), free(b), free(bt), free(c), free(ct);
    drop(&p);
}

static void a_transposed_b_and_two_types_of_8_bits_give_the_same_bits(void **state)
{
    (void)state;
    static const kb_dtype types[][2] = {{KB_F32, KB_F32},       {KB_F16, KB_F16},
                                        {KB_F8E4M3, KB_F8E5M2}, {KB_F8E5M2, KB_F8E4M3},
                                        {KB_F8E4M3, KB_F8E4M3}, {KB_BF16, KB_BF16}};
    for (int level = KB_GEMM_BEST; level <= KB_GEMM_AVX512; level++)
        for (int s = 0; s < SHAPE_COUNT && kb_gemm_level_supported((kb_gemm_level)level); s++)
            for (size_t t = 0; t < sizeof types / sizeof *types; t++)
                check_forms(SHAPES[s], types[t][0], types[t][1], (kb_gemm_level)level);
}

static void a_transposed_b_of_64_bits_is_multiplied(void **state)
{
    (void)state;
    /* (1 2; 3 4) times the transpose of (5 6; 7 8; 9 10): rows times rows */
    const int64_t a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8, 9, 10},
                  expected[] = {17, 23, 29, 39, 53, 67};
    int64_t c[6];
    kb_gemm g = {.m = 2, .n = 3, .k = 2, .in_a = KB_I64, .in_b = KB_I64, .out = KB_I64};
    g.a = a, g.b = b, g.c = c, g.lda = 2, g.ldb = 2, g.ldc = 3, g.b_transposed = true;
    kb_err err;
    assert_int_equal(kb_gemm_run(&g, &err), 0);
    assert_memory_equal(c, expected, sizeof expected);
    g.ldb = 1; /* rows of 2 */
    assert_int_equal(kb_gemm_run(&g, &err), KB_EINVAL);
    g.ldb = 2;
    g.in_b = KB_I16;
    assert_int_equal(kb_gemm_run(&g, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "operands of i64 and i16"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_have_the_bits_of_the_defined_order_at_every_level),
        cmocka_unit_test(products_are_near_the_exact_ones),
        cmocka_unit_test(doubles_accumulate_in_double),
        cmocka_unit_test(integer_products_wrap_in_the_accumulators_width),
        cmocka_unit_test(row_ranges_and_splits_of_k_give_the_bits_of_the_whole),
        cmocka_unit_test(a_block_inside_a_larger_matrix_is_all_that_changes),
        cmocka_unit_test(every_nan_is_the_same_one),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(a_transposed_b_and_two_types_of_8_bits_give_the_same_bits),
        cmocka_unit_test(a_transposed_b_of_64_bits_is_multiplied),
    };
    return cmocka_run_group_tests_name("gemm", tests, NULL, NULL);
}
