#include "data/fmath_many.h"

#include <stdbool.h>

#include "data/fmath_parts.h"

enum { BLOCK = KB_FMATH_BLOCK };

/* Up to here e^x needs one power of 2 that is a normal number. Below the other, it is 0. */
#define EXP_LIMIT 690.0
#define EXP_NONE  -745.14

/* 2^k for a whole k, -1022 <= k <= 1023: the sum holds k + 1023 in its last bits. */
static inline double power_of_2(double k)
{
    return kb_double_of_bits(kb_double_bits(k + (0x1p52 + 1023)) << 52);
}

static inline double exp_within(double x)
{
    double k = floor(x * LOG2_E + 0.5);
    double r = (x - k * LN2_HIGH) - k * LN2_LOW;
    return (1 + kb_expm1_series(r)) * power_of_2(k);
}

static bool exp_fits(double x)
{
    return fabs(x) < EXP_LIMIT || x < EXP_NONE;
}

KB_LOOPS exp_body(size_t n, const double *x, double *z)
{
    for (size_t i = 0; i < n; i++) z[i] = x[i] < EXP_NONE ? 0 : exp_within(x[i]);
}

static bool sigmoid_fits(double x)
{
    return fabs(x) < EXP_LIMIT;
}

KB_LOOPS sigmoid_body(size_t n, const double *x, double *z)
{
    for (size_t i = 0; i < n; i++) {
        double e = exp_within(-fabs(x[i]));
        z[i] = (x[i] >= 0 ? 1 : e) / (1 + e);
    }
}

static bool tanh_fits(double x)
{
    return x == x;
}

KB_LOOPS tanh_body(size_t n, const double *x, double *z)
{
    for (size_t i = 0; i < n; i++) {
        double a = fabs(x[i]), twice = 2 * (a < 22 ? a : 22);
        double k = floor(twice * LOG2_E + 0.5);
        double p = kb_expm1_series((twice - k * LN2_HIGH) - k * LN2_LOW);
        double power = power_of_2(k), e = power * p + (power - 1);
        double over = (a >= 1 ? 2 : e) / (e + 2), t = a >= 1 ? 1 - over : over;
        z[i] = a > 0x1p-28 ? copysign(a >= 22 ? 1 : t, x[i]) : x[i];
    }
}

static bool log_fits(double x)
{
    return x >= 0x1p-1022 && x < INFINITY;
}

KB_LOOPS log_body(size_t n, const double *x, double *z)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = kb_double_bits(x[i]);
        double m = kb_double_of_bits((bits & 0xfffffffffffff) | 0x3ff0000000000000);
        double k = kb_double_of_bits((bits >> 52) | 0x4330000000000000) - (0x1p52 + 1023);
        bool upper = m >= 0x1.6a09e667f3bcdp+0; /* sqrt(2) */
        z[i] = kb_log_of_parts(upper ? m * 0.5 : m, upper ? k + 1 : k);
    }
}

static bool sin_cos_fits(double x)
{
    return fabs(x) < 0x1p20;
}

KB_LOOPS sin_cos_body(size_t n, const double *x, double *sine, double *cosine)
{
    for (size_t i = 0; i < n; i++) {
        double r, low, k = kb_quarter_turns(x[i], &r, &low);
        double s = kb_sin_series(r, low), c = kb_cos_series(r, low);
        /* k / 2 and k / 4 without their fractions tell the last two bits of k. */
        double half = floor(k * 0.5), odd = k - 2 * half, second = half - 2 * floor(half * 0.5);
        double a = odd != 0 ? c : s, b = odd != 0 ? s : c;
        a = second != 0 ? -a : a;
        sine[i] = x[i] == 0 ? x[i] : a;
        cosine[i] = odd != second ? -b : b;
    }
}

#define COMPILE(suffix, target)                                                                    \
    target static void exp_##suffix(size_t n, const double *x, double *z)                          \
    {                                                                                              \
        exp_body(n, x, z);                                                                         \
    }                                                                                              \
    target static void sigmoid_##suffix(size_t n, const double *x, double *z)                      \
    {                                                                                              \
        sigmoid_body(n, x, z);                                                                     \
    }                                                                                              \
    target static void tanh_##suffix(size_t n, const double *x, double *z)                         \
    {                                                                                              \
        tanh_body(n, x, z);                                                                        \
    }                                                                                              \
    target static void log_##suffix(size_t n, const double *x, double *z)                          \
    {                                                                                              \
        log_body(n, x, z);                                                                         \
    }                                                                                              \
    target static void sin_cos_##suffix(size_t n, const double *x, double *s, double *c)           \
    {                                                                                              \
        sin_cos_body(n, x, s, c);                                                                  \
    }

COMPILE(base, )

#ifdef KB_WITH_AVX2
COMPILE(avx2, KB_WITH_AVX2)
#endif

/* A block with a number that does not fit is computed one by one. */
#define MANY(name)                                                                                 \
    void kb_##name##_many(size_t n, const double *x, double *z)                                    \
    {                                                                                              \
        void (*block)(size_t n, const double *x, double *z) = KB_FOR_CPU(name);                    \
        for (size_t at = 0; at < n; at += BLOCK) {                                                 \
            size_t end = n - at < BLOCK ? n : at + BLOCK, fit = 0;                                 \
            for (size_t i = at; i < end; i++) fit += name##_fits(x[i]);                            \
            if (fit == end - at)                                                                   \
                block(fit, x + at, z + at);                                                        \
            else                                                                                   \
                for (size_t i = at; i < end; i++) z[i] = kb_##name(x[i]);                          \
        }                                                                                          \
    }

MANY(exp)
MANY(sigmoid)
MANY(tanh)
MANY(log)

void kb_sin_cos_many(size_t n, const double *x, double *sine, double *cosine)
{
    void (*block)(size_t n, const double *x, double *s, double *c) = KB_FOR_CPU(sin_cos);
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t end = n - at < BLOCK ? n : at + BLOCK, fit = 0;
        for (size_t i = at; i < end; i++) fit += sin_cos_fits(x[i]);
        if (fit == end - at) {
            block(fit, x + at, sine + at, cosine + at);
            continue;
        }
        for (size_t i = at; i < end; i++) {
            sine[i] = kb_sin(x[i]);
            cosine[i] = kb_cos(x[i]);
        }
    }
}
