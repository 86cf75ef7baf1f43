/* Bulk conversion: direct loops for the pairs that matter (f16, bf16 and f64 with f32, 8-bit floats
 * to f32, and copies); every other pair goes in chunks through the widest type of the source's
 * class (double, int64_t or uint64_t), which holds every source value exactly, so that the only
 * rounding is the second hop's.
 */
#include "data/dtype.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#define HAVE_X86 1
/* clang 14 cannot be asked about F16C by name; every CPU with AVX2 has it. */
#ifdef __clang__
#define CPU_HAS_F16C() __builtin_cpu_supports("avx2")
#else
#define CPU_HAS_F16C() (__builtin_cpu_supports("avx") && __builtin_cpu_supports("f16c"))
#endif
#endif

enum { CHUNK = 256 };

void kb_convert_f16_portable(float *dst, const uint16_t *src, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = kb_f16_to_f32(src[i]);
}

void kb_convert_to_f16_portable(uint16_t *dst, const float *src, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = kb_f32_to_f16(src[i]);
}

#if HAVE_X86
__attribute__((target("avx,f16c"))) static void f16_to_f32_f16c(float *dst, const uint16_t *src,
                                                                size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(src + i))));
    for (; i < n; i++) dst[i] = kb_f16_to_f32(src[i]);
}

__attribute__((target("avx,f16c"))) static void f32_to_f16_f16c(uint16_t *dst, const float *src,
                                                                size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(dst + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; i++) dst[i] = kb_f32_to_f16(src[i]);
}
#endif

static void f16_to_f32(float *dst, const uint16_t *src, size_t n)
{
#if HAVE_X86
    if (CPU_HAS_F16C()) {
        f16_to_f32_f16c(dst, src, n);
        return;
    }
#endif
    kb_convert_f16_portable(dst, src, n);
}

static void f32_to_f16(uint16_t *dst, const float *src, size_t n)
{
#if HAVE_X86
    if (CPU_HAS_F16C()) {
        f32_to_f16_f16c(dst, src, n);
        return;
    }
#endif
    kb_convert_to_f16_portable(dst, src, n);
}

/* A whole number as a double that no 53-bit limit has rounded to even: beyond 2^53 the lost bits
 * are folded into the last kept one (round to odd), so a later rounding to 8 or 11 bits is the only
 * one. */
static double odd_double(uint64_t magnitude)
{
    if (magnitude >> 53 == 0) return (double)magnitude;
    return (double)(magnitude >> 11 | ((magnitude & 0x7ff) != 0)) * 0x1p11;
}

static uint64_t magnitude_of(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

static double odd_double_signed(int64_t value)
{
    double magnitude = odd_double(magnitude_of(value));
    return value < 0 ? -magnitude : magnitude;
}

/* Toward zero, saturating, NaN to 0. The upper bounds are exact powers of two. */
static int64_t saturate_signed(double value, int bits)
{
    int64_t top = (int64_t)(UINT64_MAX >> (65 - bits));
    double limit = (double)(UINT64_C(1) << (bits - 1));
    if (value != value) return 0;
    if (value >= limit) return top;
    if (value <= -limit) return -top - 1;
    return (int64_t)value;
}

static uint64_t saturate_unsigned(double value, int bits)
{
    double limit = (double)(UINT64_C(1) << (bits - 1)) * 2;
    if (value != value || value <= 0) return 0;
    if (value >= limit) return UINT64_MAX >> (64 - bits);
    return (uint64_t)value;
}

#define EACH(dst_type, src_type, expression)                                                       \
    do {                                                                                           \
        dst_type *d = dst;                                                                         \
        const src_type *s = src;                                                                   \
        for (size_t i = 0; i < n; i++) d[i] = (expression);                                        \
    } while (0);                                                                                   \
    return

/* Up to a chunk. f32 holds what shorter types do. */
static void load_double(double *dst, kb_dtype from, const void *src, size_t n)
{
    float narrow[CHUNK];
    if (from != KB_F32) {
        kb_convert(KB_F32, narrow, from, src, n);
        src = narrow;
    }
    EACH(double, float, (double)s[i]);
}

static void load_signed(int64_t *dst, kb_dtype from, const void *src, size_t n)
{
    switch (from) {
    case KB_I8:
        EACH(int64_t, int8_t, s[i]);
    case KB_I16:
        EACH(int64_t, int16_t, s[i]);
    case KB_I32:
        EACH(int64_t, int32_t, s[i]);
    default:
        EACH(int64_t, int64_t, s[i]);
    }
}

static void load_unsigned(uint64_t *dst, kb_dtype from, const void *src, size_t n)
{
    switch (from) {
    case KB_U8:
        EACH(uint64_t, uint8_t, s[i]);
    case KB_U16:
        EACH(uint64_t, uint16_t, s[i]);
    case KB_U32:
        EACH(uint64_t, uint32_t, s[i]);
    case KB_BOOL:
        EACH(uint64_t, uint8_t, s[i] != 0);
    default:
        EACH(uint64_t, uint64_t, s[i]);
    }
}

/* By way of f32, rounded to odd. */
static void store_narrow(kb_dtype to, void *dst, const double *src, size_t n)
{
    float odd[CHUNK];
    size_t size = kb_dtype_size(to);
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t part = n - at < CHUNK ? n - at : CHUNK;
        for (size_t i = 0; i < part; i++) odd[i] = kb_f64_to_odd_f32(src[at + i]);
        kb_convert(to, (char *)dst + at * size, KB_F32, odd, part);
    }
}

static void store_double(kb_dtype to, void *dst, const double *src, size_t n)
{
    switch (to) {
    case KB_F8E4M3:
        EACH(uint8_t, double, kb_f64_to_f8e4m3(s[i]));
    case KB_F8E5M2:
        EACH(uint8_t, double, kb_f64_to_f8e5m2(s[i]));
    case KB_F16:
    case KB_BF16:
        store_narrow(to, dst, src, n);
        return;
    case KB_F32:
        EACH(float, double, (float)s[i]);
    case KB_F64:
        EACH(double, double, s[i]);
    case KB_I8:
        EACH(int8_t, double, (int8_t)saturate_signed(s[i], 8));
    case KB_I16:
        EACH(int16_t, double, (int16_t)saturate_signed(s[i], 16));
    case KB_I32:
        EACH(int32_t, double, (int32_t)saturate_signed(s[i], 32));
    case KB_I64:
        EACH(int64_t, double, saturate_signed(s[i], 64));
    case KB_U8:
        EACH(uint8_t, double, (uint8_t)saturate_unsigned(s[i], 8));
    case KB_U16:
        EACH(uint16_t, double, (uint16_t)saturate_unsigned(s[i], 16));
    case KB_U32:
        EACH(uint32_t, double, (uint32_t)saturate_unsigned(s[i], 32));
    case KB_U64:
        EACH(uint64_t, double, saturate_unsigned(s[i], 64));
    default:
        EACH(uint8_t, double, !(s[i] == 0));
    }
}

/* Integers to integers: the bits are the same whatever the signedness of the source. */
static void store_bits(kb_dtype to, void *dst, const uint64_t *src, size_t n)
{
    switch (to) {
    case KB_I8:
    case KB_U8:
        EACH(uint8_t, uint64_t, (uint8_t)s[i]);
    case KB_I16:
    case KB_U16:
        EACH(uint16_t, uint64_t, (uint16_t)s[i]);
    case KB_I32:
    case KB_U32:
        EACH(uint32_t, uint64_t, (uint32_t)s[i]);
    case KB_BOOL:
        EACH(uint8_t, uint64_t, s[i] != 0);
    default:
        EACH(uint64_t, uint64_t, s[i]);
    }
}

static void store_signed(kb_dtype to, void *dst, const int64_t *src, size_t n)
{
    switch (to) {
    case KB_F8E4M3:
        EACH(uint8_t, int64_t, kb_f64_to_f8e4m3(odd_double_signed(s[i])));
    case KB_F8E5M2:
        EACH(uint8_t, int64_t, kb_f64_to_f8e5m2(odd_double_signed(s[i])));
    case KB_F16:
        EACH(uint16_t, int64_t, kb_f64_to_f16(odd_double_signed(s[i])));
    case KB_BF16:
        EACH(uint16_t, int64_t, kb_f64_to_bf16(odd_double_signed(s[i])));
    case KB_F32:
        EACH(float, int64_t, (float)s[i]);
    case KB_F64:
        EACH(double, int64_t, (double)s[i]);
    default:
        store_bits(to, dst, (const uint64_t *)src, n);
    }
}

static void store_unsigned(kb_dtype to, void *dst, const uint64_t *src, size_t n)
{
    switch (to) {
    case KB_F8E4M3:
        EACH(uint8_t, uint64_t, kb_f64_to_f8e4m3(odd_double(s[i])));
    case KB_F8E5M2:
        EACH(uint8_t, uint64_t, kb_f64_to_f8e5m2(odd_double(s[i])));
    case KB_F16:
        EACH(uint16_t, uint64_t, kb_f64_to_f16(odd_double(s[i])));
    case KB_BF16:
        EACH(uint16_t, uint64_t, kb_f64_to_bf16(odd_double(s[i])));
    case KB_F32:
        EACH(float, uint64_t, (float)s[i]);
    case KB_F64:
        EACH(double, uint64_t, (double)s[i]);
    default:
        store_bits(to, dst, src, n);
    }
}

/* Between floats of at most 16 bits: f32 holds both. */
static void convert_short(kb_dtype to, void *dst, kb_dtype from, const void *src, size_t n)
{
    float wide[CHUNK];
    kb_convert(KB_F32, wide, from, src, n);
    kb_convert(to, dst, KB_F32, wide, n);
}

static bool is_short_float(kb_dtype dtype)
{
    return kb_dtype_is_float(dtype) && kb_dtype_size(dtype) <= 2;
}

static void convert_chunk(kb_dtype to, void *dst, kb_dtype from, const void *src, size_t n)
{
    union {
        double f[CHUNK];
        int64_t s[CHUNK];
        uint64_t u[CHUNK];
    } wide;
    if (is_short_float(from) && is_short_float(to)) {
        convert_short(to, dst, from, src, n);
        return;
    }
    switch (kb_dtype_class_of(from)) {
    case KB_CLASS_FLOAT:
        load_double(wide.f, from, src, n);
        store_double(to, dst, wide.f, n);
        break;
    case KB_CLASS_SIGNED:
        load_signed(wide.s, from, src, n);
        store_signed(to, dst, wide.s, n);
        break;
    default:
        load_unsigned(wide.u, from, src, n);
        store_unsigned(to, dst, wide.u, n);
    }
}

/* 8-bit floats by way of a table of all 256. */
static void f8_to_f32(kb_dtype from, float *dst, const uint8_t *src, size_t n)
{
    bool e4m3 = from == KB_F8E4M3;
    float all[256];
    if (n < 256) {
        for (size_t i = 0; i < n; i++)
            dst[i] = e4m3 ? kb_f8e4m3_to_f32(src[i]) : kb_f8e5m2_to_f32(src[i]);
        return;
    }
    for (int b = 0; b < 256; b++)
        all[b] = e4m3 ? kb_f8e4m3_to_f32((uint8_t)b) : kb_f8e5m2_to_f32((uint8_t)b);
    for (size_t i = 0; i < n; i++) dst[i] = all[src[i]];
}

static bool convert_direct(kb_dtype to, void *dst, kb_dtype from, const void *src, size_t n)
{
    if (from == KB_F16 && to == KB_F32) return f16_to_f32(dst, src, n), true;
    if (from == KB_F32 && to == KB_F16) return f32_to_f16(dst, src, n), true;
    if (kb_dtype_is_f8(from) && to == KB_F32) return f8_to_f32(from, dst, src, n), true;
    if (from == KB_BF16 && to == KB_F32) {
        const uint16_t *s = src;
        for (size_t i = 0; i < n; i++) ((float *)dst)[i] = kb_bf16_to_f32(s[i]);
        return true;
    }
    if (from == KB_F32 && to == KB_BF16) {
        const float *s = src;
        for (size_t i = 0; i < n; i++) ((uint16_t *)dst)[i] = kb_f32_to_bf16(s[i]);
        return true;
    }
    /* The widest types need no first hop. */
    if (from == KB_F64) return store_double(to, dst, src, n), true;
    if (from == KB_I64) return store_signed(to, dst, src, n), true;
    if (from == KB_U64) return store_unsigned(to, dst, src, n), true;
    return false;
}

void kb_convert(kb_dtype to, void *dst, kb_dtype from, const void *src, size_t n)
{
    if (n == 0) return;
    if (to == from) {
        if (dst != src) memcpy(dst, src, n * kb_dtype_size(to));
        return;
    }
    if (convert_direct(to, dst, from, src, n)) return;
    size_t to_size = kb_dtype_size(to), from_size = kb_dtype_size(from);
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        convert_chunk(to, (char *)dst + i * to_size, from, (const char *)src + i * from_size, part);
    }
}
