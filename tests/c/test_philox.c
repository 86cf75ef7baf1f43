/* Philox against the known answers of its authors' library, and counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/order.h"
#include "data/philox.h"

/* From kat_vectors of Random123, the library of the authors: "philox4x32 10". */
static void philox_gives_the_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], expected[4];
    } known[] = {{{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
                 {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
                  {0xffffffff, 0xffffffff},
                  {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
                 {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                  {0xa4093822, 0x299f31d0},
                  {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        kb_philox4x32(known[i].counter, known[i].key, KB_PHILOX_ROUNDS, out);
        assert_memory_equal(out, known[i].expected, sizeof out);
    }
}

static kb_array *of_i64(const int64_t *numbers, size_t count)
{
    kb_array *array;
    assert_int_equal(kb_array_create(KB_I64, 1, &count, &array, NULL), 0);
    memcpy(array->data, numbers, count * sizeof *numbers);
    return array;
}

/* The upper half of a counter of 64 bits counts, a narrower one's sign is all that it extends. */
static void the_offset_is_the_counter_and_the_seed_the_key(void **state)
{
    (void)state;
    const int64_t numbers[] = {7, INT64_C(0x123456789abcdef0), -1};
    const uint64_t seed = UINT64_C(0xfedcba9876543210);
    const uint32_t key[2] = {0x76543210, 0xfedcba98};
    const uint32_t counters[][4] = {{7, 0, 0, 0}, {0x9abcdef0, 0x12345678, 0, 0}, {~0u, ~0u, 0, 0}};
    kb_array *offset = of_i64(numbers, 3), *narrow, *out;
    assert_int_equal(kb_philox_draw(KB_RANDINT, seed, 10, offset, &out, NULL), 0);
    uint32_t expected[4];
    for (int i = 0; i < 3; i++) {
        kb_philox4x32(counters[i], key, 10, expected);
        assert_int_equal(((uint32_t *)out->data)[i], expected[0]);
    }
    kb_array_release(out);
    assert_int_equal(kb_array_cast(offset, KB_I8, &narrow, NULL), 0);
    assert_int_equal(kb_philox_draw(KB_RANDINT, seed, 10, narrow, &out, NULL), 0);
    kb_philox4x32((const uint32_t[]){~0u, 0, 0, 0}, key, 10, expected);
    assert_int_equal(((uint32_t *)out->data)[2], expected[0]);
    kb_array_release(out);
    kb_array_release(narrow);
    kb_array_release(offset);
}

static void only_what_lies_in_a_bin_is_counted(void **state)
{
    (void)state;
    const int64_t numbers[] = {0, 2, 2, -1, 3, INT64_MAX, INT64_MIN, 1};
    const int32_t all[] = {1, 1, 2}, some[] = {0, 1, 1};
    size_t count = 8;
    kb_array *a = of_i64(numbers, count), *mask, *out;
    assert_int_equal(kb_histogram(a, NULL, 3, &out, NULL), 0);
    assert_int_equal(out->dtype, KB_I32);
    assert_int_equal(out->count, 3);
    assert_memory_equal(out->data, all, sizeof all);
    kb_array_release(out);
    assert_int_equal(kb_array_zeros(KB_BOOL, 1, &count, &mask, NULL), 0);
    ((uint8_t *)mask->data)[1] = ((uint8_t *)mask->data)[7] = 1;
    assert_int_equal(kb_histogram(a, mask, 3, &out, NULL), 0);
    assert_memory_equal(out->data, some, sizeof some);
    kb_array_release(out);
    kb_array_release(mask);
    kb_array_release(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(the_offset_is_the_counter_and_the_seed_the_key),
        cmocka_unit_test(only_what_lies_in_a_bin_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
