/* Element types, and conversion between them.
 *
 * Sizes are those of the stored element. KB_BOOL is one byte holding 0 or 1: masks are arrays of
 * it. There is no arithmetic type for f16, bf16 and the 8-bit floats here: they are storage
 * formats, held as their bits; whoever computes widens, computes, and rounds once (compilers keep
 * excess precision in _Float16). f8e4m3 and f8e5m2 are E4M3 and E5M2 of the OCP 8-bit Floating
 * Point Specification (OFP8), revision 1.0, 2023.
 *
 * Conversion rules, the same bits on every CPU:
 * - to a narrower float: one rounding to nearest, ties to even, from the exact source value, with
 *   subnormals, infinities, and NaN (sign and leading payload bits kept, made quiet);
 * - to f8e4m3 and f8e5m2 likewise, but saturating (OFP8's overflow mode SAT): what rounds beyond
 * the largest finite number, and infinity, becomes that number; e4m3 has a NaN per sign and no
 * infinity;
 * - float to integer: toward zero; beyond the range saturates; NaN gives 0;
 * - integer to integer: the low bits (two's complement), as C and NumPy do;
 * - to bool: whether the value differs from 0 (NaN does); from bool: 0 or 1. */
#ifndef KB_DATA_DTYPE_H
#define KB_DATA_DTYPE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum kb_dtype {
    KB_F8E4M3,
    KB_F8E5M2,
    KB_F16,
    KB_BF16,
    KB_F32,
    KB_F64,
    KB_I8,
    KB_I16,
    KB_I32,
    KB_I64,
    KB_U8,
    KB_U16,
    KB_U32,
    KB_U64,
    KB_BOOL,
    KB_DTYPE_COUNT
} kb_dtype;

typedef enum kb_dtype_class {
    KB_CLASS_FLOAT,
    KB_CLASS_SIGNED,
    KB_CLASS_UNSIGNED,
    KB_CLASS_BOOL
} kb_dtype_class;

/* "f8e4m3", "f8e5m2", "f16", "bf16", … "u64", "bool". */
const char *kb_dtype_name(kb_dtype dtype);

/* Bytes per element. */
static inline size_t kb_dtype_size(kb_dtype dtype)
{
    static const unsigned char SIZES[KB_DTYPE_COUNT] = {
        [KB_F8E4M3] = 1, [KB_F8E5M2] = 1, [KB_F16] = 2, [KB_BF16] = 2, [KB_F32] = 4,
        [KB_F64] = 8,    [KB_I8] = 1,     [KB_I16] = 2, [KB_I32] = 4,  [KB_I64] = 8,
        [KB_U8] = 1,     [KB_U16] = 2,    [KB_U32] = 4, [KB_U64] = 8,  [KB_BOOL] = 1};
    assert(dtype < KB_DTYPE_COUNT);
    return SIZES[dtype];
}

kb_dtype_class kb_dtype_class_of(kb_dtype dtype);

/* The type of that name, or -1. Understands ours, and "float16", "bfloat16", "int8", "uint8", …. */
int kb_dtype_from_name(const char *name);

/* The type that holds the result of an operation on both. One kind: the wider of the two (f16 with
 * bf16: f32; f8e4m3 with f8e5m2: f16); bool gives way to anything; signed with unsigned: the
 * smallest signed type that holds both, f64 if none does; integer with float: the smallest float at
 * least as wide as the float one whose significand holds the integer type, else f64. This is
 * NumPy's table (bf16 treated as f16).
 */
kb_dtype kb_dtype_promote(kb_dtype a, kb_dtype b);

/* Elements moved without regard to their type: may alias anything. */
typedef uint16_t __attribute__((may_alias)) kb_word16;
typedef uint32_t __attribute__((may_alias)) kb_word32;
typedef uint64_t __attribute__((may_alias)) kb_word64;

static inline bool kb_dtype_is_float(kb_dtype dtype)
{
    return dtype <= KB_F64;
}

static inline float kb_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t kb_float_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float kb_bf16_to_f32(uint16_t half)
{
    return kb_float_of_bits((uint32_t)half << 16);
}

/* Conversions of many compile to vectors: no branches. */
static inline uint16_t kb_f32_to_bf16(float value)
{
    uint32_t bits = kb_float_bits(value);
    bool nan = (bits & 0x7fffffff) > 0x7f800000;
    return (uint16_t)((nan ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* Round to odd: truncate, and set the last bit if anything was lost. The float that results still
 * knows on which side of every shorter tie the double was, so that rounding it again to 16 bits or
 * fewer gives what rounding the double once would (Boldo and Melquiond, 2008). */
static inline float kb_f64_to_odd_f32(double value)
{
    float near = (float)value;
    double back = (double)near;
    uint32_t bits = kb_float_bits(near);
    bool up = value < 0 ? back < value : back > value;
    bool lost = back < value || back > value; /* not of a NaN */
    return kb_float_of_bits((bits - up) | lost);
}

static inline bool kb_dtype_is_f8(kb_dtype dtype)
{
    return dtype <= KB_F8E5M2;
}

float kb_f8e4m3_to_f32(uint8_t bits);
float kb_f8e5m2_to_f32(uint8_t bits);
uint8_t kb_f32_to_f8e4m3(float value);
uint8_t kb_f32_to_f8e5m2(float value);
uint8_t kb_f64_to_f8e4m3(double value);
uint8_t kb_f64_to_f8e5m2(double value);

float kb_f16_to_f32(uint16_t half);
uint16_t kb_f32_to_f16(float value);

/* Straight from double: going through a nearest float would round twice. */
uint16_t kb_f64_to_f16(double value);
uint16_t kb_f64_to_bf16(double value);

/* `n` elements from `src` to `dst`, which do not overlap (or are the same address and type). */
void kb_convert(kb_dtype to, void *dst, kb_dtype from, const void *src, size_t n);

/* kb_convert between f16 and f32 without the CPU's conversion instructions: what they are tested
 * against. */
void kb_convert_f16_portable(float *dst, const uint16_t *src, size_t n);
void kb_convert_to_f16_portable(uint16_t *dst, const float *src, size_t n);

#endif
