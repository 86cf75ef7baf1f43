#include "data/dtype.h"

#include <assert.h>

static const struct {
    const char *name, *long_name;
    unsigned char class;
} TYPES[KB_DTYPE_COUNT] = {
    [KB_F8E4M3] = {"f8e4m3", "float8_e4m3fn", KB_CLASS_FLOAT},
    [KB_F8E5M2] = {"f8e5m2", "float8_e5m2", KB_CLASS_FLOAT},
    [KB_F16] = {"f16", "float16", KB_CLASS_FLOAT},
    [KB_BF16] = {"bf16", "bfloat16", KB_CLASS_FLOAT},
    [KB_F32] = {"f32", "float32", KB_CLASS_FLOAT},
    [KB_F64] = {"f64", "float64", KB_CLASS_FLOAT},
    [KB_I8] = {"i8", "int8", KB_CLASS_SIGNED},
    [KB_I16] = {"i16", "int16", KB_CLASS_SIGNED},
    [KB_I32] = {"i32", "int32", KB_CLASS_SIGNED},
    [KB_I64] = {"i64", "int64", KB_CLASS_SIGNED},
    [KB_U8] = {"u8", "uint8", KB_CLASS_UNSIGNED},
    [KB_U16] = {"u16", "uint16", KB_CLASS_UNSIGNED},
    [KB_U32] = {"u32", "uint32", KB_CLASS_UNSIGNED},
    [KB_U64] = {"u64", "uint64", KB_CLASS_UNSIGNED},
    [KB_BOOL] = {"bool", "bool", KB_CLASS_BOOL},
};

const char *kb_dtype_name(kb_dtype dtype)
{
    assert(dtype < KB_DTYPE_COUNT);
    return TYPES[dtype].name;
}

kb_dtype_class kb_dtype_class_of(kb_dtype dtype)
{
    assert(dtype < KB_DTYPE_COUNT);
    return (kb_dtype_class)TYPES[dtype].class;
}

int kb_dtype_from_name(const char *name)
{
    for (int i = 0; i < KB_DTYPE_COUNT; i++)
        if (strcmp(name, TYPES[i].name) == 0 || strcmp(name, TYPES[i].long_name) == 0) return i;
    return -1;
}

static kb_dtype wider(kb_dtype a, kb_dtype b)
{
    if (a == b) return a;
    if (kb_dtype_size(a) == kb_dtype_size(b)) return kb_dtype_size(a) == 1 ? KB_F16 : KB_F32;
    return kb_dtype_size(a) > kb_dtype_size(b) ? a : b;
}

static kb_dtype signed_with_unsigned(kb_dtype s, kb_dtype u)
{
    if (kb_dtype_size(s) > kb_dtype_size(u)) return s;
    switch (kb_dtype_size(u)) {
    case 1:
        return KB_I16;
    case 2:
        return KB_I32;
    case 4:
        return KB_I64;
    default:
        return KB_F64;
    }
}

static kb_dtype float_with_integer(kb_dtype f, kb_dtype i)
{
    kb_dtype eight = kb_dtype_is_f8(f) ? KB_F16 : f; /* holds any 8-bit integer */
    kb_dtype holds = kb_dtype_size(i) == 1 ? eight : kb_dtype_size(i) == 2 ? KB_F32 : KB_F64;
    return wider(f, holds);
}

kb_dtype kb_dtype_promote(kb_dtype a, kb_dtype b)
{
    int ca = TYPES[a].class, cb = TYPES[b].class;
    if (ca == cb) return wider(a, b);
    if (ca == KB_CLASS_BOOL) return b;
    if (cb == KB_CLASS_BOOL) return a;
    if (ca == KB_CLASS_FLOAT) return float_with_integer(a, b);
    if (cb == KB_CLASS_FLOAT) return float_with_integer(b, a);
    return ca == KB_CLASS_SIGNED ? signed_with_unsigned(a, b) : signed_with_unsigned(b, a);
}

float kb_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31,
             fraction = half & 1023;
    if (exponent == 31) /* infinity, or NaN made quiet */
        return kb_float_of_bits(sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0));
    if (exponent == 0) { /* subnormal: fraction units of 2^-24, exact in f32 */
        float magnitude = (float)fraction * 0x1p-24f;
        return kb_float_of_bits(sign | kb_float_bits(magnitude));
    }
    return kb_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

uint16_t kb_f32_to_f16(float value)
{
    uint32_t bits = kb_float_bits(value), magnitude = bits & 0x7fffffff;
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
    if (magnitude >= 0x477ff000) return sign | 0x7c00; /* 65520 and above round to infinity */
    if (magnitude < 0x38800000) {
        /* Below 2^-14 the result counts units of 2^-24. Adding 0.5, whose last place is 2^-24,
         * makes the addition do that rounding; the count is then the low bits of the sum. */
        float sum = kb_float_of_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (kb_float_bits(sum) - 0x3f000000));
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1); /* nearest, ties to even */
    return (uint16_t)(sign | (rounded - (112u << 23)) >> 13);
}

uint16_t kb_f64_to_f16(double value)
{
    return kb_f32_to_f16(kb_f64_to_odd_f32(value));
}

uint16_t kb_f64_to_bf16(double value)
{
    return kb_f32_to_bf16(kb_f64_to_odd_f32(value));
}

/* ---- 8 bits ---- */

/* A float of one byte: exponent bias, bits of the fraction, largest finite number, the NaN, and
 * the encoding from which on there are only infinity and NaN. */
typedef struct f8_format {
    int bias, fraction_bits;
    uint8_t largest, nan, special;
} f8_format;

static const f8_format E4M3 = {7, 3, 0x7e, 0x7f, 0x7f}, E5M2 = {15, 2, 0x7b, 0x7e, 0x7c};

static float f8_to_f32(f8_format f, uint8_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x80) << 24, magnitude = bits & 0x7f;
    int shift = 23 - f.fraction_bits;
    uint32_t fraction = magnitude & ((1u << f.fraction_bits) - 1);
    if (magnitude >= f.special) {
        bool infinite = f.special != f.nan && fraction == 0;
        uint32_t payload = f.special == f.nan ? 0 : fraction << shift;
        return kb_float_of_bits(sign | 0x7f800000 | (infinite ? 0 : payload | 0x400000));
    }
    if (magnitude >> f.fraction_bits == 0) { /* subnormal: units of 2^(1 - bias - fraction bits) */
        uint32_t unit = (uint32_t)(127 + 1 - f.bias - f.fraction_bits) << 23;
        return kb_float_of_bits(sign | kb_float_bits((float)fraction * kb_float_of_bits(unit)));
    }
    return kb_float_of_bits(sign | ((magnitude << shift) + ((uint32_t)(127 - f.bias) << 23)));
}

static uint8_t f32_to_f8(f8_format f, float value)
{
    uint32_t bits = kb_float_bits(value), magnitude = bits & 0x7fffffff, code;
    uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
    int shift = 23 - f.fraction_bits;
    if (magnitude > 0x7f800000) {
        uint32_t payload = magnitude >> shift & ((1u << f.fraction_bits) - 1);
        return (uint8_t)(sign | f.nan | (f.special == f.nan ? 0 : payload));
    }
    if (magnitude < (uint32_t)(127 + 1 - f.bias) << 23) { /* as in kb_f32_to_f16 */
        uint32_t unit = (uint32_t)(127 + 1 - f.bias - f.fraction_bits + 23) << 23;
        code = kb_float_bits(kb_float_of_bits(magnitude) + kb_float_of_bits(unit)) - unit;
    } else {
        uint32_t rounded = magnitude + (1u << (shift - 1)) - 1 + (magnitude >> shift & 1);
        code = (rounded - ((uint32_t)(127 - f.bias) << 23)) >> shift;
    }
    return (uint8_t)(sign | (code > f.largest ? f.largest : code));
}

float kb_f8e4m3_to_f32(uint8_t bits)
{
    return f8_to_f32(E4M3, bits);
}

float kb_f8e5m2_to_f32(uint8_t bits)
{
    return f8_to_f32(E5M2, bits);
}

uint8_t kb_f32_to_f8e4m3(float value)
{
    return f32_to_f8(E4M3, value);
}

uint8_t kb_f32_to_f8e5m2(float value)
{
    return f32_to_f8(E5M2, value);
}

uint8_t kb_f64_to_f8e4m3(double value)
{
    return f32_to_f8(E4M3, kb_f64_to_odd_f32(value));
}

uint8_t kb_f64_to_f8e5m2(double value)
{
    return f32_to_f8(E5M2, kb_f64_to_odd_f32(value));
}
