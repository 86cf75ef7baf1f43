#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "base/rng.h"
#include "data/fmath.h"
#include "data/fmath_many.h"

/* Distance in units of the last place of a double near `want`. */
static double units(double got, long double want)
{
    int exponent;
    if (isinf(got) && fabsl(want) > 0x1.fffffffffffffp1023L) return 0; /* overflowed, rightly */
    (void)frexpl(want, &exponent);
    if (exponent < -1021) exponent = -1021;
    return (double)(fabsl((long double)got - want) / ldexpl(1, exponent - 53));
}

typedef double (*function)(double);
typedef long double (*reference)(long double);

static long double sigmoidl(long double x)
{
    return 1 / (1 + expl(-x));
}

static uint64_t bits(double x)
{
    uint64_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

/* The same bits, or both a NaN. */
static bool same(double a, double b)
{
    return bits(a) == bits(b) || (isnan(a) && isnan(b));
}

/* Arguments of either sign up to `limit`, spread over `octaves` powers of two. */
static double argument(kb_rng *rng, double limit, int octaves)
{
    double x = ldexp(kb_rng_unit(rng), -(int)kb_rng_below(rng, (uint32_t)octaves)) * limit;
    return kb_rng_next(rng) & 1 ? x : -x;
}

/* valgrind computes long double in 64 bits: no better a reference than what it judges. */
static void need_wide_long_double(void)
{
    volatile long double one = 1.0L, least = 0x1p-60L;
    if (one + least == one) skip();
}

static void functions_agree_with_the_c_librarys_long_double_ones(void **state)
{
    (void)state;
    need_wide_long_double();
    static const struct {
        function got;
        reference want;
        double limit;
    } CASES[] = {
        {kb_exp, expl, 740},         {kb_exp2, exp2l, 1070}, {kb_sin, sinl, 0x1p60},
        {kb_cos, cosl, 0x1p60},      {kb_tanh, tanhl, 25},   {kb_erf, erfl, 7},
        {kb_sigmoid, sigmoidl, 700},
    };
    kb_rng rng = {3};
    for (size_t f = 0; f < sizeof CASES / sizeof *CASES; f++)
        for (int i = 0; i < 200000; i++) {
            double x = argument(&rng, CASES[f].limit, 70);
            double error = units(CASES[f].got(x), CASES[f].want((long double)x));
            if (!(error <= 3)) fail_msg("function %zu at %a: %g units", f, x, error);
        }
}

static void logarithms_agree_over_the_whole_range(void **state)
{
    (void)state;
    kb_rng rng = {4};
    for (int i = 0; i < 400000; i++) {
        double x = ldexp(0.5 + kb_rng_unit(&rng), i % 2 ? (int)kb_rng_below(&rng, 2090) - 1070 : 0);
        assert_true(units(kb_log(x), logl((long double)x)) <= 3);
        assert_true(units(kb_log2(x), log2l((long double)x)) <= 3);
    }
    for (int k = -1074; k < 1024; k++) assert_true(kb_log2(ldexp(1, k)) == k);
}

static void powers_agree(void **state)
{
    (void)state;
    need_wide_long_double();
    kb_rng rng = {5};
    for (int i = 0; i < 400000; i++) {
        double x = ldexp(0.5 + kb_rng_unit(&rng), (int)kb_rng_below(&rng, 200) - 100);
        double y = argument(&rng, 7, 8); /* 2^(+-100 * 7) neither overflows nor vanishes */
        assert_true(units(kb_pow(x, y), powl((long double)x, (long double)y)) <= 8);
    }
    assert_true(kb_pow(3, 4) == 81 && kb_pow(-2, 3) == -8 && kb_pow(-2, 4) == 16);
    assert_true(kb_pow(2, 10) == 1024 && kb_pow(2, -1) == 0.5 && kb_pow(9, 0.5) == 3);
}

/* Huge arguments near multiples of pi/2. 6381956970095103 * 2^797 is the double closest to one
 * (Muller et al., Handbook of Floating-Point Arithmetic, 11.2): its cosine is
 * -4.68716592425462761112e-19. */
static void huge_angles_are_reduced_exactly(void **state)
{
    (void)state;
    double x = ldexp(6381956970095103.0, 797);
    assert_true(units(kb_cos(x), -4.68716592425462761112e-19L) <= 3);
    assert_true(kb_sin(x) == 1 || kb_sin(x) == -1);
    /* sin(10^22), same book */
    assert_true(units(kb_sin(1e22), -0.8522008497671888017727L) <= 3);
}

static void special_values_are_those_of_c11_annex_f(void **state)
{
    (void)state;
    assert_true(kb_exp(-INFINITY) == 0 && kb_exp(INFINITY) == INFINITY && kb_exp(0) == 1);
    assert_true(kb_exp2(1024) == INFINITY && kb_exp2(-1074) == 0x1p-1074 && kb_exp2(-1076) == 0);
    assert_true(kb_log(0) == -INFINITY && isnan(kb_log(-1)) && kb_log(1) == 0);
    assert_true(kb_log(INFINITY) == INFINITY && kb_log2(-0.0) == -INFINITY);
    assert_true(signbit(kb_sin(-0.0)) && isnan(kb_sin(INFINITY)) && kb_cos(0) == 1);
    assert_true(kb_tanh(INFINITY) == 1 && kb_tanh(-INFINITY) == -1 && signbit(kb_tanh(-0.0)));
    assert_true(kb_erf(INFINITY) == 1 && kb_erf(-9) == -1 && signbit(kb_erf(-0.0)));
    assert_true(kb_sigmoid(0) == 0.5 && kb_sigmoid(-800) == 0 && kb_sigmoid(INFINITY) == 1);
    assert_true(kb_pow(0, -1) == INFINITY && kb_pow(NAN, 0) == 1 && isnan(kb_pow(-1, 0.5)));
    assert_true(kb_pow(10, 400) == INFINITY && kb_pow(10, -400) == 0 &&
                kb_pow(-10, 401) == -INFINITY);
    function all[] = {kb_exp, kb_exp2, kb_log, kb_log2,   kb_sin,
                      kb_cos, kb_tanh, kb_erf, kb_sigmoid};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) assert_true(isnan(all[i](NAN)));
}

/* Blocks of 64 and a rest, of ordinary numbers and with some that are not. */
static void many_numbers_give_the_bits_that_each_gives(void **state)
{
    (void)state;
    enum { N = 64 * 40 + 7 };
    static const double ODD[] = {0.0,     -0.0,    INFINITY, -INFINITY, NAN,  0x1p-1074, 0x1p-1030,
                                 -745.13, -745.15, -700,     700,       22.0, 0x1p20,    0x1p60};
    static const struct {
        void (*many)(size_t n, const double *x, double *z);
        function one;
    } CASES[] = {{kb_exp_many, kb_exp},
                 {kb_log_many, kb_log},
                 {kb_tanh_many, kb_tanh},
                 {kb_erf_many, kb_erf},
                 {kb_sigmoid_many, kb_sigmoid}};
    static double x[N], z[N], other[N];
    kb_rng rng = {9};
    for (int octaves = 1; octaves <= 70; octaves++) {
        double limit = octaves % 2 ? 30 : 760;
        for (int i = 0; i < N; i++) x[i] = argument(&rng, limit, octaves);
        for (int i = 0; octaves % 3 == 0 && i < N; i++) x[i] = fabs(x[i]);
        size_t odd = sizeof ODD / sizeof *ODD;
        for (size_t i = 0; i < odd; i++) x[kb_rng_below(&rng, N)] = ODD[i];
        for (size_t f = 0; f < sizeof CASES / sizeof *CASES; f++) {
            CASES[f].many(N, x, z);
            for (int i = 0; i < N; i++) other[i] = CASES[f].one(x[i]);
            for (int i = 0; i < N; i++) assert_true(same(z[i], other[i]));
        }
        kb_sin_cos_many(N, x, z, other);
        for (int i = 0; i < N; i++)
            assert_true(same(z[i], kb_sin(x[i])) && same(other[i], kb_cos(x[i])));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_numbers_give_the_bits_that_each_gives),
        cmocka_unit_test(functions_agree_with_the_c_librarys_long_double_ones),
        cmocka_unit_test(logarithms_agree_over_the_whole_range),
        cmocka_unit_test(powers_agree),
        cmocka_unit_test(huge_angles_are_reduced_exactly),
        cmocka_unit_test(special_values_are_those_of_c11_annex_f),
    };
    return cmocka_run_group_tests_name("fmath", tests, NULL, NULL);
}
