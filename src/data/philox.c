#include "data/philox.h"

#include <math.h>

#include "data/fmath.h"

void kb_philox4x32(const uint32_t counter[4], const uint32_t key[2], int rounds, uint32_t out[4])
{
    const uint64_t a = 0xD2511F53, b = 0xCD9E8D57;
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k0 = key[0], k1 = key[1];
    for (int r = 0; r < rounds; r++) {
        uint64_t x = a * c[0], y = b * c[2];
        c[0] = (uint32_t)(y >> 32) ^ c[1] ^ k0;
        c[1] = (uint32_t)y;
        c[2] = (uint32_t)(x >> 32) ^ c[3] ^ k1;
        c[3] = (uint32_t)x;
        k0 += 0x9E3779B9;
        k1 += 0xBB67AE85;
    }
    for (int i = 0; i < 4; i++) out[i] = c[i];
}

/* [0, 1): the factor is so much below 2^-31 that the greatest integer, as a float, stays below 1.
 */
static float uniform(uint32_t bits)
{
    int32_t x = (int32_t)bits;
    return (float)(x < 0 ? -x - 1 : x) * 4.6566127342e-10f;
}

/* Every step rounded to f32. The first number is kept away from 0, which has no logarithm. */
static float normal(uint32_t first, uint32_t second)
{
    float u = uniform(first), angle = 6.2831853f * uniform(second);
    if (u < 1.0e-7f) u = 1.0e-7f;
    float square = -2.0f * (float)kb_log((double)u);
    return sqrtf(square) * (float)kb_cos((double)angle);
}

static void put(kb_philox_kind kind, const uint32_t bits[4], kb_array *out, size_t i)
{
    if (kind == KB_RANDINT)
        ((uint32_t *)out->data)[i] = bits[0];
    else
        ((float *)out->data)[i] = kind == KB_RAND ? uniform(bits[0]) : normal(bits[0], bits[1]);
}

int kb_philox_draw(kb_philox_kind kind, uint64_t seed, int rounds, const kb_array *offset,
                   kb_array **out, kb_err *err)
{
    kb_dtype dtype = kind == KB_RANDINT ? KB_U32 : KB_F32;
    int status = kb_array_create(dtype, offset->rank, offset->shape, out, err);
    if (status) return status;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    size_t size = kb_dtype_size(offset->dtype);
    for (size_t i = 0; i < offset->count; i++) {
        uint64_t at;
        uint32_t bits[4];
        kb_convert(KB_U64, &at, offset->dtype, (const char *)offset->data + i * size, 1);
        kb_philox4x32((uint32_t[]){(uint32_t)at, size > 4 ? (uint32_t)(at >> 32) : 0, 0, 0}, key,
                      rounds, bits);
        put(kind, bits, *out, i);
    }
    return KB_OK;
}

uint32_t kb_philox_passes(kb_philox_kind kind, int rounds)
{
    /* UNIFORM: compare, negate, subtract, choose, convert, multiply. A normal number takes two, a
     * maximum, three multiplications, and logarithm, square root and cosine of 4 each. */
    enum { ROUND = 8, UNIFORM = 6, NORMAL = 2 * UNIFORM + 1 + 3 + 3 * 4 };
    uint32_t bits = ROUND * (uint32_t)rounds;
    return bits + (kind == KB_RAND ? UNIFORM : kind == KB_RANDN ? NORMAL : 0);
}
