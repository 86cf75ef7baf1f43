/* Inside src/data/fmath*.c: what the functions of one number and those of many have in common, so
 * that both give the same bits. Without branches: loops over them compile to vectors. */
#ifndef KB_DATA_FMATH_PARTS_H
#define KB_DATA_FMATH_PARTS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "data/fmath.h"

#define LN2      0x1.62e42fefa39efp-1
#define LN2_HIGH 0x1.62e42fefa2000p-1 /* 40 bits: times an exponent it is exact */
#define LN2_LOW  0x1.9ef35793c7673p-41
#define LOG2_E   0x1.71547652b82fep+0

/* Loops that are compiled for what the program needs, and for AVX2. */
#define KB_LOOPS static inline __attribute__((always_inline)) void

#if defined(__x86_64__)
#define KB_WITH_AVX2     __attribute__((target("avx2")))
#define KB_FOR_CPU(name) (__builtin_cpu_supports("avx2") ? name##_avx2 : name##_base)
#else
#define KB_FOR_CPU(name) name##_base
#endif

/* Numbers at a time. */
enum { KB_FMATH_BLOCK = 64 };

/* pi/2 in pieces: the first two have 33 bits, so that times a 20-bit count they are exact. */
#define PI_2_A 0x1.921fb54400000p+0
#define PI_2_B 0x1.0b4611a600000p-34
#define PI_2_C 0x1.3198a2e037073p-69

static inline uint64_t kb_double_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double kb_double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* e^r - 1 for |r| <= ln 2 / 2: the Taylor series, whose next term is below 2^-57 of the result. */
static inline double kb_expm1_series(double r)
{
    double p = 1.0 / 6227020800;
    p = p * r + 1.0 / 479001600;
    p = p * r + 1.0 / 39916800;
    p = p * r + 1.0 / 3628800;
    p = p * r + 1.0 / 362880;
    p = p * r + 1.0 / 40320;
    p = p * r + 1.0 / 5040;
    p = p * r + 1.0 / 720;
    p = p * r + 1.0 / 120;
    p = p * r + 1.0 / 24;
    p = p * r + 1.0 / 6;
    p = p * r + 0.5;
    return r + r * r * p;
}

/* (ln((1 + s) / (1 - s)) - 2s) / s = 2 z/3 + 2 z^2/5 + … with z = s^2 < 0.0295. */
static inline double kb_log_tail(double z)
{
    double p = 2.0 / 23;
    p = p * z + 2.0 / 21;
    p = p * z + 2.0 / 19;
    p = p * z + 2.0 / 17;
    p = p * z + 2.0 / 15;
    p = p * z + 2.0 / 13;
    p = p * z + 2.0 / 11;
    p = p * z + 2.0 / 9;
    p = p * z + 2.0 / 7;
    p = p * z + 2.0 / 5;
    p = p * z + 2.0 / 3;
    return p * z;
}

/* ln(2^k m) for m in [sqrt(1/2), sqrt(2)) and a whole k */
static inline double kb_log_of_parts(double m, double k)
{
    double f = m - 1, s = f / (2 + f), half = 0.5 * f * f;
    /* 2s = f - half + s * half, and f is exact: only small terms carry rounding errors. */
    double correction = s * (half + kb_log_tail(s * s)) + k * LN2_LOW;
    return k * LN2_HIGH - ((half - correction) - f);
}

/* The quarter turns next to x, |x| < 2^20, and what is left of x, as a sum. */
static inline double kb_quarter_turns(double x, double *r, double *low)
{
    double k = floor(x * 0x1.45f306dc9c883p-1 + 0.5);
    double y = x - k * PI_2_A, w = k * PI_2_B, rest = y - w;
    double tail = ((y - rest) - w) - k * PI_2_C;
    *r = rest + tail;
    *low = tail - (*r - rest);
    return k;
}

static inline double kb_sin_series(double r, double low)
{
    double z = r * r, p = 1.0 / 355687428096000;
    p = p * z - 1.0 / 1307674368000;
    p = p * z + 1.0 / 6227020800;
    p = p * z - 1.0 / 39916800;
    p = p * z + 1.0 / 362880;
    p = p * z - 1.0 / 5040;
    p = p * z + 1.0 / 120;
    p = p * z - 1.0 / 6;
    return r + (r * z * p + low * (1 - 0.5 * z));
}

static inline double kb_cos_series(double r, double low)
{
    double z = r * r, p = 1.0 / 20922789888000;
    p = p * z - 1.0 / 87178291200;
    p = p * z + 1.0 / 479001600;
    p = p * z - 1.0 / 3628800;
    p = p * z + 1.0 / 40320;
    p = p * z - 1.0 / 720;
    p = p * z + 1.0 / 24;
    double half = 0.5 * z, one = 1 - half;
    return one + (((1 - one) - half) + (z * z * p - r * low));
}

#endif
