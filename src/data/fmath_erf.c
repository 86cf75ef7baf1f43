/* The error function, of one number and of many. */
#include "data/fmath_many.h"
#include "data/fmath_parts.h"

#define TWO_SQRT_PI 0x1.20dd750429b6dp+0 /* 2 / sqrt(pi) */

/* |x| < 1: the Maclaurin series, sum of (-1)^n x^(2n+1) / (n! (2n+1)). */
enum { TERMS = 18 };
static const double TERM[TERMS] = {1.0 / 1.0 / 1,
                                   1.0 / 1.0 / 3,
                                   1.0 / 2.0 / 5,
                                   1.0 / 6.0 / 7,
                                   1.0 / 24.0 / 9,
                                   1.0 / 120.0 / 11,
                                   1.0 / 720.0 / 13,
                                   1.0 / 5040.0 / 15,
                                   1.0 / 40320.0 / 17,
                                   1.0 / 362880.0 / 19,
                                   1.0 / 3628800.0 / 21,
                                   1.0 / 39916800.0 / 23,
                                   1.0 / 479001600.0 / 25,
                                   1.0 / 6227020800.0 / 27,
                                   1.0 / 87178291200.0 / 29,
                                   1.0 / 1307674368000.0 / 31,
                                   1.0 / 20922789888000.0 / 33,
                                   1.0 / 355687428096000.0 / 35};

/* 1 <= |x| < 6: Taylor's series about the nearest of ten centres c. With g the derivative of erf
 * and g_n its Taylor coefficients at c, g' = -2 x g gives g_(n+1) = -2 (c g_n + g_(n-1)) / (n + 1).
 */
enum { STEPS = 22 };
static const double INVERSE[STEPS] = {1.0,      1.0 / 2,  1.0 / 3,  1.0 / 4,  1.0 / 5,  1.0 / 6,
                                      1.0 / 7,  1.0 / 8,  1.0 / 9,  1.0 / 10, 1.0 / 11, 1.0 / 12,
                                      1.0 / 13, 1.0 / 14, 1.0 / 15, 1.0 / 16, 1.0 / 17, 1.0 / 18,
                                      1.0 / 19, 1.0 / 20, 1.0 / 21, 1.0 / 22};

static const struct {
    double value, slope; /* erf and its derivative at 1.25 + i/2, from 400-digit arithmetic */
} CENTRE[10] = {
    {0x1.d8865d98abe01p-1, 0x1.e4652fadcb6b2p-3},  {0x1.f92d077f8d56dp-1, 0x1.b055303221015p-5},
    {0x1.ff404760319b4p-1, 0x1.d4143a9dfe965p-8},  {0x1.fff2cfb0453d9p-1, 0x1.3360ccd23db3ap-11},
    {0x1.ffff6f9f67e55p-1, 0x1.e9b5e8d00ce77p-16}, {0x1.fffffc2f171e3p-1, 0x1.d9371e2ff7c35p-21},
    {0x1.fffffff01a8b6p-1, 0x1.155a09065d4f7p-26}, {0x1.ffffffffd759dp-1, 0x1.8a61745ec7d1dp-33},
    {0x1.ffffffffffc05p-1, 0x1.5422ef5d8949dp-40}, {0x1.ffffffffffffcp-1, 0x1.63daf8b4b1e0cp-48},
};

static double erf_small(double x)
{
    double z = x * x, sum = 0;
    for (int n = TERMS; n-- > 0;) sum = TERM[n] - z * sum;
    return TWO_SQRT_PI * (x * sum);
}

static double erf_middle(double x)
{
    int i = (int)(2 * x - 2);
    double c = 1.25 + 0.5 * i, h = x - c;
    double previous = 0, g = CENTRE[i].slope, power = h, sum = 0;
    for (int n = 0; n < STEPS; n++) {
        sum += g * power * INVERSE[n];
        double next = -2 * (c * g + previous) * INVERSE[n];
        previous = g;
        g = next;
        power *= h;
    }
    return CENTRE[i].value + sum;
}

double kb_erf(double x)
{
    double a = fabs(x);
    if (x != x) return x;
    if (a < 1) return erf_small(x);
    return copysign(a < 6 ? erf_middle(a) : 1, x);
}

/* ---- many ---- */

enum { BLOCK = KB_FMATH_BLOCK };

/* The same as erf_small, term by term. */
KB_LOOPS small_body(size_t n, const double *x, double *z)
{
    double square[BLOCK], sum[BLOCK];
    for (size_t i = 0; i < n; i++) square[i] = x[i] * x[i];
    for (size_t i = 0; i < n; i++) sum[i] = 0;
    for (int t = TERMS; t-- > 0;)
        for (size_t i = 0; i < n; i++) sum[i] = TERM[t] - square[i] * sum[i];
    for (size_t i = 0; i < n; i++) z[i] = TWO_SQRT_PI * (x[i] * sum[i]);
}

/* The same as erf_middle, step by step. */
KB_LOOPS middle_body(size_t n, const double *x, double *z)
{
    double c[BLOCK], h[BLOCK], previous[BLOCK], g[BLOCK], power[BLOCK], sum[BLOCK];
    for (size_t i = 0; i < n; i++) {
        int centre = (int)(2 * fabs(x[i]) - 2);
        c[i] = 1.25 + 0.5 * centre;
        h[i] = power[i] = fabs(x[i]) - c[i];
        g[i] = CENTRE[centre].slope;
        z[i] = CENTRE[centre].value;
        previous[i] = sum[i] = 0;
    }
    for (int t = 0; t < STEPS; t++)
        for (size_t i = 0; i < n; i++) {
            sum[i] += g[i] * power[i] * INVERSE[t];
            double next = -2 * (c[i] * g[i] + previous[i]) * INVERSE[t];
            previous[i] = g[i];
            g[i] = next;
            power[i] *= h[i];
        }
    for (size_t i = 0; i < n; i++) z[i] = copysign(z[i] + sum[i], x[i]);
}

#define COMPILE(suffix, target)                                                                    \
    target static void small_##suffix(size_t n, const double *x, double *z)                        \
    {                                                                                              \
        small_body(n, x, z);                                                                       \
    }                                                                                              \
    target static void middle_##suffix(size_t n, const double *x, double *z)                       \
    {                                                                                              \
        middle_body(n, x, z);                                                                      \
    }

COMPILE(base, )

#ifdef KB_WITH_AVX2
COMPILE(avx2, KB_WITH_AVX2)
#endif

typedef struct chosen {
    size_t count, at[BLOCK];
    double x[BLOCK], z[BLOCK];
} chosen;

static void choose(chosen *c, size_t at, double x)
{
    c->at[c->count] = at;
    c->z[c->count] = 0; /* until its series has been computed */
    c->x[c->count++] = x;
}

/* Of a block, those that each series is for. */
static void erf_block(size_t n, const double *x, double *z)
{
    chosen small, middle;
    small.count = middle.count = 0;
    for (size_t i = 0; i < n; i++) {
        double a = fabs(x[i]);
        if (a < 1)
            choose(&small, i, x[i]);
        else if (a < 6)
            choose(&middle, i, x[i]);
        else
            z[i] = kb_erf(x[i]);
    }
    KB_FOR_CPU(small)(small.count, small.x, small.z);
    KB_FOR_CPU(middle)(middle.count, middle.x, middle.z);
    for (size_t i = 0; i < small.count; i++) z[small.at[i]] = small.z[i];
    for (size_t i = 0; i < middle.count; i++) z[middle.at[i]] = middle.z[i];
}

void kb_erf_many(size_t n, const double *x, double *z)
{
    for (size_t at = 0; at < n; at += BLOCK)
        erf_block(n - at < BLOCK ? n - at : BLOCK, x + at, z + at);
}
