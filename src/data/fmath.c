#include "data/fmath_parts.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* An unevaluated sum: high carries the value, low what rounding took from it. */
typedef struct pair {
    double high, low;
} pair;

/* a + b exactly, for |a| >= |b| (Dekker 1971). */
static pair fast_two_sum(double a, double b)
{
    double sum = a + b;
    return (pair){sum, b - (sum - a)};
}

/* a * b exactly, by splitting both factors in halves of 26 bits (Dekker 1971). */
static pair two_product(double a, double b)
{
    double p = a * b, wa = 0x1.0000002p27 * a, wb = 0x1.0000002p27 * b;
    double ah = wa - (wa - a), bh = wb - (wb - b), al = a - ah, bl = b - bh;
    return (pair){p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

/* x * 2^k for any k; at most one rounding, and only into the subnormal range. */
static double scale(double x, int k)
{
    for (; k > 1000; k -= 1000) x *= 0x1p1000;
    for (; k < -1000; k += 900) x *= 0x1p-900;
    return x * kb_double_of_bits((uint64_t)(k + 1023) << 52);
}

/* e^(x + low), x within the range where the result neither overflows nor vanishes. */
static double exp_core(double x, double low)
{
    double k = floor(x * LOG2_E + 0.5);
    double r = (x - k * LN2_HIGH) - (k * LN2_LOW - low);
    return scale(1 + kb_expm1_series(r), (int)k);
}

double kb_exp(double x)
{
    if (x != x) return x;
    if (x > 709.79) return INFINITY; /* ln of the largest double: 709.7827 */
    if (x < -745.14) return 0;       /* ln of half the smallest: -745.1332 */
    return exp_core(x, 0);
}

double kb_exp2(double x)
{
    if (x != x) return x;
    if (x >= 1024) return INFINITY;
    if (x < -1076) return 0;
    double k = floor(x + 0.5);
    return scale(1 + kb_expm1_series((x - k) * LN2), (int)k);
}

/* Split a positive finite x into 2^k * m, m in [sqrt(1/2), sqrt(2)). */
static double split(double x, int *k)
{
    int shift = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        shift = -54;
    }
    uint64_t bits = kb_double_bits(x);
    *k = (int)(bits >> 52) - 1023 + shift;
    double m = kb_double_of_bits((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);
    if (m < 0x1.6a09e667f3bcdp+0) return m;
    ++*k;
    return m * 0.5;
}

static int log_special(double x, double *result)
{
    if (x > 0 && x < INFINITY) return 0;
    *result = x == 0 ? -INFINITY : x < 0 ? NAN : x; /* inf, NaN */
    return 1;
}

double kb_log(double x)
{
    double special;
    if (log_special(x, &special)) return special;
    int k;
    double m = split(x, &k);
    return kb_log_of_parts(m, k);
}

double kb_log2(double x)
{
    double special;
    if (log_special(x, &special)) return special;
    int k;
    double m = split(x, &k);
    return k + kb_log(m) * LOG2_E;
}

/* ln x with some 60 correct bits, for pow. */
static pair log_pair(double x)
{
    int k;
    double m = split(x, &k), f = m - 1, d = m + 1, d_low = m - (d - 1);
    double s = f / d;
    pair sd = two_product(s, d);
    double s_low = (((f - sd.high) - sd.low) - s * d_low) / d;
    pair sum = fast_two_sum(2 * s, 2 * s_low + s * kb_log_tail(s * s));
    if (k == 0) return sum;
    pair total = fast_two_sum(k * LN2_HIGH, sum.high);
    return fast_two_sum(total.high, total.low + (sum.low + k * LN2_LOW));
}

/* x^y for finite x > 0 and finite y. */
static double pow_positive(double x, double y)
{
    if (x == 1) return 1;
    pair l = log_pair(x);
    if (fabs(y) > 1000 / fabs(l.high)) return (y > 0) == (l.high > 0) ? INFINITY : 0;
    pair p = two_product(y, l.high);
    p = fast_two_sum(p.high, p.low + y * l.low);
    if (p.high > 709.79) return INFINITY;
    if (p.high < -745.14) return 0;
    return exp_core(p.high, p.low);
}

double kb_pow(double x, double y)
{
    int whole = floor(y) == y;
    /* The C library's pow is exact by definition for these, hence the same everywhere. */
    if (!isfinite(x) || !isfinite(y) || x == 0 || y == 0 || (x < 0 && !whole)) return pow(x, y);
    if (y == 1) return x;
    if (y == 2) return x * x;
    if (y == -1) return 1 / x;
    if (y == 0.5) return sqrt(x);
    double magnitude = pow_positive(fabs(x), y);
    int odd = whole && fmod(y, 2) != 0;
    return x < 0 && odd ? -magnitude : magnitude;
}

/* e^x - 1 for 0 < x < 44 */
static double expm1_positive(double x)
{
    double k = floor(x * LOG2_E + 0.5);
    double p = kb_expm1_series((x - k * LN2_HIGH) - k * LN2_LOW);
    double power = scale(1, (int)k);
    return power * p + (power - 1);
}

double kb_tanh(double x)
{
    double a = fabs(x), t;
    if (!(a > 0x1p-28)) return x; /* also NaN and both zeros; x^3/3 is below half a unit */
    if (a >= 22) {
        t = 1;
    } else if (a >= 1) {
        t = 1 - 2 / (expm1_positive(2 * a) + 2);
    } else {
        double e = expm1_positive(2 * a);
        t = e / (e + 2);
    }
    return copysign(t, x);
}

double kb_sigmoid(double x)
{
    if (x != x) return x;
    if (x >= 0) return 1 / (1 + kb_exp(-x));
    double e = kb_exp(x);
    return e / (1 + e);
}
