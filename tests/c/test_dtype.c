#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/rng.h"
#include "data/dtype.h"

static uint64_t bits64(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* The value of a finite half by the definition in IEEE 754: (-1)^s 2^(e-15) 1.f, or 2^-24 f. */
static double half_value(uint16_t half)
{
    int e = half >> 10 & 31, f = half & 1023;
    double magnitude = e ? ldexp(1024 + f, e - 25) : ldexp(f, -24);
    return half & 0x8000 ? -magnitude : magnitude;
}

static void every_half_widens_to_its_value(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        float wide = kb_f16_to_f32((uint16_t)h);
        if ((h & 0x7c00) != 0x7c00)
            assert_true(bits64((double)wide) == bits64(half_value((uint16_t)h)));
        else if (h & 1023)
            assert_true(wide != wide);
        else
            assert_true(wide == (h & 0x8000 ? -INFINITY : INFINITY));
    }
}

static void every_half_survives_the_way_there_and_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        bool nan = (h & 0x7c00) == 0x7c00 && (h & 1023);
        uint16_t expected = (uint16_t)(nan ? h | 0x200 : h); /* a NaN becomes quiet */
        float wide = kb_f16_to_f32((uint16_t)h);
        assert_int_equal(kb_f32_to_f16(wide), expected);
        assert_int_equal(kb_f64_to_f16((double)wide), expected);
    }
}

/* Between neighbours a < b the middle goes to the even one, all else to the nearer. */
static void check_between(uint16_t low)
{
    double a = half_value(low), b = half_value((uint16_t)(low + 1)), middle = (a + b) / 2;
    uint16_t even = (uint16_t)(low & 1 ? low + 1 : low);
    assert_int_equal(kb_f32_to_f16((float)middle), even); /* the middle has 12 bits: exact in f32 */
    assert_int_equal(kb_f32_to_f16(nextafterf((float)middle, INFINITY)), low + 1);
    assert_int_equal(kb_f32_to_f16(nextafterf((float)middle, 0)), low);
    assert_int_equal(kb_f64_to_f16(nextafter(middle, INFINITY)), low + 1);
    assert_int_equal(kb_f64_to_f16(nextafter(middle, 0)), low);
    assert_int_equal(kb_f64_to_f16(-middle), even | 0x8000);
}

static void every_gap_between_halves_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint16_t h = 0; h < 0x7bff; h++) check_between(h);
    assert_int_equal(kb_f32_to_f16(65519.996f), 0x7bff); /* 65504, the largest half */
    assert_int_equal(kb_f32_to_f16(65520), 0x7c00);
    assert_int_equal(kb_f64_to_f16(1e300), 0x7c00);
    assert_int_equal(kb_f64_to_f16(-1e300), 0xfc00);
    assert_int_equal(kb_f64_to_f16(1e-300), 0);
}

static void fill_with_awkward_floats(float *x, size_t n)
{
    kb_rng rng = {7};
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)kb_rng_next(&rng);
        if (i % 2) /* around the range of halves, low bits near ties */
            bits = (bits & 0x80000fff) | (uint32_t)(100 + i % 50) << 23 | (bits >> 3 & 0x7fe000);
        if (i % 16 == 1) bits = (bits & ~0x1fffu) | 0x1000;
        x[i] = kb_float_of_bits(bits);
    }
}

static void conversion_instructions_give_the_same_bits_as_plain_c(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    uint16_t *half = malloc(65536 * 2), *fast = malloc(N * 2), *slow = malloc(N * 2);
    float *wide = malloc(65536 * 4), *wide_slow = malloc(65536 * 4), *x = malloc(N * 4);
    for (uint32_t i = 0; i < 65536; i++) half[i] = (uint16_t)i;
    kb_convert(KB_F32, wide, KB_F16, half, 65536);
    kb_convert_f16_portable(wide_slow, half, 65536);
    assert_memory_equal(wide, wide_slow, 65536 * 4);
    fill_with_awkward_floats(x, N);
    kb_convert(KB_F16, fast, KB_F32, x, N);
    kb_convert_to_f16_portable(slow, x, N);
    assert_memory_equal(fast, slow, N * 2);
    free(half), free(fast), free(slow), free(wide), free(wide_slow), free(x);
}

static void bf16_is_the_upper_half_of_a_float_rounded_to_nearest_even(void **state)
{
    (void)state;
    assert_int_equal(kb_f32_to_bf16(1.0f), 0x3f80);
    assert_int_equal(kb_f32_to_bf16(0x1.01p0f), 0x3f80);       /* tie, down to even */
    assert_int_equal(kb_f32_to_bf16(0x1.03p0f), 0x3f82);       /* tie, up to even */
    assert_int_equal(kb_f32_to_bf16(0x1.010002p0f), 0x3f81);   /* just above a tie */
    assert_int_equal(kb_f32_to_bf16(0x1.fffffep127f), 0x7f80); /* beyond the largest */
    assert_int_equal(kb_f32_to_bf16(-0x1p-133f), 0x8001);      /* the least subnormal */
    assert_int_equal(kb_f32_to_bf16(kb_float_of_bits(0x7f800001)), 0x7fc0);
    for (uint32_t h = 0; h < 65536; h++)
        if ((h & 0x7f80) != 0x7f80 || !(h & 0x7f))
            assert_int_equal(kb_f32_to_bf16(kb_bf16_to_f32((uint16_t)h)), h);
}

/* The value of a finite 8-bit float by OFP8's definition: (-1)^s 2^(e - bias) 1.f, or 2^(1 - bias)
 * 0.f. */
static double f8_value(bool e4m3, uint8_t code)
{
    int bits = e4m3 ? 3 : 2, bias = e4m3 ? 7 : 15;
    int e = code >> bits & (e4m3 ? 15 : 31), f = code & ((1 << bits) - 1);
    double magnitude = e ? ldexp((1 << bits) + f, e - bias - bits) : ldexp(f, 1 - bias - bits);
    return code & 0x80 ? -magnitude : magnitude;
}

static uint8_t to_f8(bool e4m3, double value)
{
    uint8_t straight = e4m3 ? kb_f64_to_f8e4m3(value) : kb_f64_to_f8e5m2(value), code;
    kb_convert(e4m3 ? KB_F8E4M3 : KB_F8E5M2, &code, KB_F64, &value, 1);
    assert_int_equal(straight, code);
    if ((double)(float)value == value)
        assert_int_equal(e4m3 ? kb_f32_to_f8e4m3((float)value) : kb_f32_to_f8e5m2((float)value),
                         code);
    return code;
}

static float from_f8(bool e4m3, uint8_t code)
{
    float value;
    kb_convert(KB_F32, &value, e4m3 ? KB_F8E4M3 : KB_F8E5M2, &code, 1);
    return value;
}

static void every_finite_f8_widens_and_every_gap_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (int e4m3 = 0; e4m3 < 2; e4m3++) {
        uint8_t largest = e4m3 ? 0x7e : 0x7b;
        assert_true(f8_value(e4m3, largest) ==
                    (e4m3 ? 448 : 57344)); /* OFP8: S.1111.110, S.11110.11 */
        for (int c = 0; c <= largest; c++) {
            uint8_t code = (uint8_t)c, below = (uint8_t)(code | 0x80);
            double value = f8_value(e4m3, code);
            assert_true((double)from_f8(e4m3, code) == value);
            assert_true((double)from_f8(e4m3, below) == -value && signbit(from_f8(e4m3, below)));
            assert_int_equal(to_f8(e4m3, value), code);
            assert_int_equal(to_f8(e4m3, -value), below);
            if (code == largest) continue;
            double next = f8_value(e4m3, (uint8_t)(code + 1)), tie = (value + next) / 2;
            assert_int_equal(to_f8(e4m3, tie), code + (code & 1));
            assert_int_equal(to_f8(e4m3, nextafter(tie, 0)), code);
            assert_int_equal(to_f8(e4m3, nextafter(tie, next)), code + 1);
        }
    }
}

/* OFP8's overflow mode SAT. */
static void what_is_too_large_for_f8_saturates_and_nan_stays(void **state)
{
    (void)state;
    const double large[] = {449, 464, 57345, 61440, 65536, 1e300, INFINITY};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++) {
        assert_int_equal(to_f8(true, large[i]), 0x7e);
        assert_int_equal(to_f8(true, -large[i]), 0xfe);
        if (large[i] > 57344) assert_int_equal(to_f8(false, large[i]), 0x7b);
        if (large[i] > 57344) assert_int_equal(to_f8(false, -large[i]), 0xfb);
    }
    assert_int_equal(to_f8(true, NAN) & 0x7f, 0x7f);
    assert_int_equal(to_f8(false, NAN) & 0x7f, 0x7e);
    assert_true(isnan(from_f8(true, 0x7f)) && isnan(from_f8(true, 0xff)));
    for (uint8_t code = 0x7d; code < 0x80; code++) assert_true(isnan(from_f8(false, code)));
    assert_true(from_f8(false, 0x7c) == INFINITY && from_f8(false, 0xfc) == -INFINITY);
    assert_int_equal(to_f8(true, 0x1p-10), 0); /* half of the least: a tie, to even */
    assert_int_equal(to_f8(true, -0x1p-30), 0x80);
    assert_int_equal(to_f8(false, 0x1p-1000), 0);
}

static void doubles_and_long_integers_round_once_not_twice(void **state)
{
    (void)state;
    /* Through a nearest float these become ties, and then even: wrong. */
    assert_int_equal(kb_f64_to_f16(1 + 0x1p-11 + 0x1p-40), 0x3c01);
    assert_int_equal(kb_f64_to_bf16(1 + 0x1p-8 + 0x1p-40), 0x3f81);
    assert_int_equal(kb_f64_to_bf16(1 + 0x1p-8 + 0x1p-7 - 0x1p-40), 0x3f81);
    int64_t whole = (INT64_C(1) << 62) + (INT64_C(1) << 54) + 1; /* just above a tie of bf16 */
    uint16_t half;
    kb_convert(KB_BF16, &half, KB_I64, &whole, 1);
    assert_int_equal(half, 0x5e81); /* 2^62 (1 + 2^-7) */
    whole = -whole;
    kb_convert(KB_BF16, &half, KB_I64, &whole, 1);
    assert_int_equal(half, 0xde81);
}

/* In bulk, every 16-bit pattern: what the exact value gives, rounded once. */
static void short_floats_convert_into_each_other_by_their_values(void **state)
{
    (void)state;
    static uint16_t from[65536], to[65536];
    for (int b = 0; b < 65536; b++) from[b] = (uint16_t)b;
    kb_convert(KB_BF16, to, KB_F16, from, 65536);
    for (int b = 0; b < 65536; b++) {
        double value = (double)kb_f16_to_f32((uint16_t)b);
        if (isnan(value))
            assert_true(isnan(kb_bf16_to_f32(to[b])));
        else
            assert_int_equal(to[b], kb_f64_to_bf16(value));
    }
    kb_convert(KB_F16, to, KB_BF16, from, 65536);
    for (int b = 0; b < 65536; b++) {
        double value = (double)kb_bf16_to_f32((uint16_t)b);
        if (isnan(value))
            assert_true(isnan(kb_f16_to_f32(to[b])));
        else
            assert_int_equal(to[b], kb_f64_to_f16(value));
    }
}

static void floats_beyond_an_integer_type_saturate_and_nan_is_zero(void **state)
{
    (void)state;
    const double x[] = {NAN, INFINITY, -INFINITY, 1e30, -1e30, 2.9, -2.9, 127.5, -128.9, 255.9};
    const int8_t i8[] = {0, 127, -128, 127, -128, 2, -2, 127, -128, 127};
    const uint8_t u8[] = {0, 255, 0, 255, 0, 2, 0, 127, 0, 255};
    int8_t to_i8[10];
    uint8_t to_u8[10];
    kb_convert(KB_I8, to_i8, KB_F64, x, 10);
    kb_convert(KB_U8, to_u8, KB_F64, x, 10);
    assert_memory_equal(to_i8, i8, sizeof i8);
    assert_memory_equal(to_u8, u8, sizeof u8);
    const double edge[] = {0x1p63, -0x1p63, 0x1p64};
    int64_t i64[3];
    uint64_t u64[3];
    kb_convert(KB_I64, i64, KB_F64, edge, 3);
    kb_convert(KB_U64, u64, KB_F64, edge, 3);
    assert_true(i64[0] == INT64_MAX && i64[1] == INT64_MIN && i64[2] == INT64_MAX);
    assert_true(u64[0] == UINT64_C(1) << 63 && u64[1] == 0 && u64[2] == UINT64_MAX);
}

static void integers_keep_their_low_bits_and_bool_means_nonzero(void **state)
{
    (void)state;
    const int32_t x[] = {300, -1, 256};
    uint8_t u8[3], flag[3];
    kb_convert(KB_U8, u8, KB_I32, x, 3);
    kb_convert(KB_BOOL, flag, KB_I32, x, 3);
    assert_true(u8[0] == 44 && u8[1] == 255 && u8[2] == 0);
    assert_true(flag[0] == 1 && flag[1] == 1 && flag[2] == 1);
}

/* Small whole numbers exist in every type: any chain of conversions keeps them. */
static void every_pair_of_types_converts_small_numbers_exactly(void **state)
{
    (void)state;
    enum { N = 600 }; /* more than a chunk, and not a multiple of one */
    for (int a = 0; a < KB_DTYPE_COUNT; a++)
        for (int b = 0; b < KB_DTYPE_COUNT; b++) {
            uint64_t from[N], to[N];
            int32_t start[N], end[N];
            bool flags = a == KB_BOOL || b == KB_BOOL;
            bool narrow = kb_dtype_is_f8((kb_dtype)a) || kb_dtype_is_f8((kb_dtype)b);
            for (int i = 0; i < N; i++) start[i] = i % (flags ? 2 : narrow ? 8 : 128);
            kb_convert((kb_dtype)a, from, KB_I32, start, N);
            kb_convert((kb_dtype)b, to, (kb_dtype)a, from, N);
            kb_convert(KB_I32, end, (kb_dtype)b, to, N);
            assert_memory_equal(start, end, sizeof start);
        }
}

static void names_and_promotion_are_numpys(void **state)
{
    (void)state;
    assert_int_equal(kb_dtype_from_name("f16"), KB_F16);
    assert_int_equal(kb_dtype_from_name("bfloat16"), KB_BF16);
    assert_int_equal(kb_dtype_from_name("f8"), -1);
    for (int i = 0; i < KB_DTYPE_COUNT; i++)
        assert_int_equal(kb_dtype_from_name(kb_dtype_name((kb_dtype)i)), i);
    static const kb_dtype TABLE[][3] = {
        /* numpy.result_type, 1.24; bf16 as f16 there */
        {KB_F16, KB_F32, KB_F32},
        {KB_F16, KB_BF16, KB_F32},
        {KB_I8, KB_I64, KB_I64},
        {KB_U8, KB_I8, KB_I16},
        {KB_U16, KB_I8, KB_I32},
        {KB_U32, KB_I32, KB_I64},
        {KB_U64, KB_I64, KB_F64},
        {KB_U8, KB_I32, KB_I32},
        {KB_F16, KB_U8, KB_F16},
        {KB_F16, KB_I16, KB_F32},
        {KB_F32, KB_I32, KB_F64},
        {KB_BF16, KB_I8, KB_BF16},
        {KB_BOOL, KB_I8, KB_I8},
        {KB_BOOL, KB_F16, KB_F16},
        {KB_BOOL, KB_BOOL, KB_BOOL},
        {KB_F32, KB_U16, KB_F32},
        /* the least that holds both */
        {KB_F8E4M3, KB_F8E5M2, KB_F16},
        {KB_F8E4M3, KB_F16, KB_F16},
        {KB_F8E5M2, KB_BF16, KB_BF16},
        {KB_F8E5M2, KB_I8, KB_F16},
        {KB_F8E4M3, KB_BOOL, KB_F8E4M3},
        {KB_F8E4M3, KB_I16, KB_F32},
    };
    for (size_t i = 0; i < sizeof TABLE / sizeof *TABLE; i++) {
        assert_int_equal(kb_dtype_promote(TABLE[i][0], TABLE[i][1]), TABLE[i][2]);
        assert_int_equal(kb_dtype_promote(TABLE[i][1], TABLE[i][0]), TABLE[i][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_widens_to_its_value),
        cmocka_unit_test(every_half_survives_the_way_there_and_back),
        cmocka_unit_test(every_gap_between_halves_rounds_to_nearest_even),
        cmocka_unit_test(conversion_instructions_give_the_same_bits_as_plain_c),
        cmocka_unit_test(bf16_is_the_upper_half_of_a_float_rounded_to_nearest_even),
        cmocka_unit_test(every_finite_f8_widens_and_every_gap_rounds_to_nearest_even),
        cmocka_unit_test(what_is_too_large_for_f8_saturates_and_nan_stays),
        cmocka_unit_test(doubles_and_long_integers_round_once_not_twice),
        cmocka_unit_test(short_floats_convert_into_each_other_by_their_values),
        cmocka_unit_test(floats_beyond_an_integer_type_saturate_and_nan_is_zero),
        cmocka_unit_test(integers_keep_their_low_bits_and_bool_means_nonzero),
        cmocka_unit_test(every_pair_of_types_converts_small_numbers_exactly),
        cmocka_unit_test(names_and_promotion_are_numpys),
    };
    return cmocka_run_group_tests_name("dtype", tests, NULL, NULL);
}
