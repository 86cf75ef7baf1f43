/* Sine and cosine: reduce to [-pi/4, pi/4] with a remainder held as a pair of doubles, then Taylor.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "data/fmath_parts.h"

__extension__ typedef unsigned __int128 u128;

typedef struct reduced {
    double r, low; /* x - quadrant * pi/2, as a sum */
    int quadrant;  /* modulo 4 */
} reduced;

static reduced reduce_small(double x)
{
    reduced y;
    double k = kb_quarter_turns(x, &y.r, &y.low);
    y.quadrant = (int)((int64_t)k & 3);
    return y;
}

/* 64 bits of 2/pi beginning at the bit of weight 2^-first; bits before the point are zero. */
static uint64_t two_over_pi(int first)
{
    static const uint64_t BITS[20] = {
        0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
        0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
        0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
        0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
        0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab, 0xf0cfbc209af4361d,
    };
    int at = first - 1; /* BITS[0] begins with weight 2^-1 */
    if (at < 0) return at <= -64 ? 0 : BITS[0] >> -at;
    int word = at / 64, shift = at % 64;
    return shift ? BITS[word] << shift | BITS[word + 1] >> (64 - shift) : BITS[word];
}

/* The fraction f in [-1/2, 1/2), 128 bits in two words, times pi/2. */
static reduced from_fraction(uint64_t high, uint64_t low, int quadrant)
{
    double sign = 1;
    if (high >> 63) { /* nearer to the next quadrant */
        low = ~low;
        high = ~high;
        quadrant++;
        sign = -1;
    }
    double a = (double)(high >> 32) * 0x1p-32, b = (double)(high & 0xffffffff) * 0x1p-64;
    double s = a + b, rest = (a - s) + b + (double)low * 0x1p-128;
    /* s * pi/2 with s and pi/2 split in halves, so that the partial products are exact. */
    double w = 0x1.0000002p27 * s, s1 = w - (w - s), s2 = s - s1;
    double p1 = 0x1.921fb58p+0, p2 = -0x1.dde973dcb3b3ap-27; /* p1 + p2 = pi/2 to 80 bits */
    double r = s1 * p1, tail = s1 * p2 + s2 * p1 + s2 * p2 + rest * 0x1.921fb54442d18p+0;
    double sum = r + tail;
    return (reduced){sign * sum, sign * (tail - (sum - r)), quadrant & 3};
}

/* Payne and Hanek (1983): x = m * 2^e with a whole m; of 2^e * 2/pi, bits of weight 4 and more only
 * add whole turns, and 192 bits below those leave more than enough fraction. */
static reduced reduce_large(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int e = (int)(bits >> 52 & 2047) - 1075;
    uint64_t m = (bits & 0xfffffffffffff) | 0x10000000000000;
    uint64_t w0 = two_over_pi(e - 1), w1 = two_over_pi(e + 63), w2 = two_over_pi(e + 127);
    u128 low = (u128)m * w2, middle = (u128)m * w1 + (uint64_t)(low >> 64);
    uint64_t top = m * w0 + (uint64_t)(middle >> 64), next = (uint64_t)middle;
    uint64_t last = (uint64_t)low;
    return from_fraction(top << 2 | next >> 62, next << 2 | last >> 62, (int)(top >> 62));
}

static reduced reduce(double x)
{
    if (fabs(x) < 0x1p20) return reduce_small(x);
    reduced out = reduce_large(fabs(x));
    if (x < 0) out = (reduced){-out.r, -out.low, -out.quadrant & 3};
    return out;
}

/* sin(x + turn * pi/2) */
static double circular(double x, int turn)
{
    if (!(fabs(x) < INFINITY)) return NAN;
    reduced y = reduce(x);
    int quadrant = (y.quadrant + turn) & 3;
    double value = quadrant & 1 ? kb_cos_series(y.r, y.low) : kb_sin_series(y.r, y.low);
    return quadrant & 2 ? -value : value;
}

double kb_sin(double x)
{
    return x == 0 ? x : circular(x, 0);
}

double kb_cos(double x)
{
    return circular(x, 1);
}
