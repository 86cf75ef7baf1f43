/* Law of coalescing: single elements to regions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/lanes.h"

static const kb_vaddr BASE = {0x1000};

typedef struct expected {
    uint64_t element; /* first */
    uint32_t rows;
    uint64_t row, stride; /* elements */
} expected;

/* Elements of 4 bytes give exactly these regions. */
static void gives(const int64_t *element, const uint8_t *mask, size_t count, const expected *want,
                  size_t regions)
{
    kb_va_regions out = {0};
    kb_lanes lanes = {.count = count, .element = element, .mask = mask};
    kb_lanes_coalesce(&lanes, BASE, 4, &out);
    assert_int_equal(out.count, regions);
    for (size_t i = 0; i < regions; i++) {
        assert_int_equal(out.data[i].va.bits, 0x1000 + 4 * want[i].element);
        assert_int_equal(out.data[i].rows, want[i].rows);
        assert_int_equal(out.data[i].row_bytes, 4 * want[i].row);
        assert_int_equal(out.data[i].stride, 4 * want[i].stride);
    }
    kb_vec_free(&out);
}

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define GIVES(element, mask, ...)                                                                  \
    gives(element, mask, COUNT(element), (expected[]){__VA_ARGS__},                                \
          COUNT(((expected[]){__VA_ARGS__})))

static void neighbours_are_one_run(void **state)
{
    (void)state;
    int64_t element[] = {5, 6, 7, 8};
    GIVES(element, NULL, {5, 1, 4, 4});
}

static void equal_runs_at_equal_distances_are_rows_of_one_region(void **state)
{
    (void)state;
    int64_t block[] = {0, 1, 2, 10, 11, 12, 20, 21, 22};
    GIVES(block, NULL, {0, 3, 3, 10});
    int64_t column[] = {3, 19, 35, 51};
    GIVES(column, NULL, {3, 4, 1, 16});
}

static void another_length_or_distance_begins_another_region(void **state)
{
    (void)state;
    int64_t distance[] = {0, 10, 20, 31};
    GIVES(distance, NULL, {0, 3, 1, 10}, {31, 1, 1, 1});
    int64_t length[] = {0, 1, 10, 11, 20};
    GIVES(length, NULL, {0, 2, 2, 10}, {20, 1, 1, 1});
    int64_t any[] = {40, 7, 90, 2};
    GIVES(any, NULL, {40, 1, 1, 1}, {7, 2, 1, 83}, {2, 1, 1, 1});
}

static void nothing_is_reordered_and_repetitions_are_kept(void **state)
{
    (void)state;
    int64_t down[] = {3, 2, 1};
    GIVES(down, NULL, {3, 1, 1, 1}, {2, 1, 1, 1}, {1, 1, 1, 1});
    int64_t same[] = {9, 9};
    GIVES(same, NULL, {9, 1, 1, 1}, {9, 1, 1, 1});
    int64_t overlap[] = {0, 1, 2, 1, 2, 3};
    GIVES(overlap, NULL, {0, 1, 3, 3}, {1, 1, 3, 3});
}

static void what_is_masked_off_does_not_exist(void **state)
{
    (void)state;
    int64_t element[] = {-1, 4, 99, 5, 6, INT64_MIN};
    uint8_t mask[] = {0, 1, 0, 1, 1, 0};
    GIVES(element, mask, {4, 1, 3, 3});
    uint8_t none[] = {0, 0, 0, 0, 0, 0};
    gives(element, none, 6, NULL, 0);
}

static void regions_are_appended_to_those_there_are(void **state)
{
    (void)state;
    kb_va_regions out = {0};
    int64_t first[] = {0}, second[] = {1};
    kb_lanes_coalesce(&(kb_lanes){1, first, NULL}, BASE, 4, &out);
    kb_lanes_coalesce(&(kb_lanes){1, second, NULL}, BASE, 4, &out);
    assert_int_equal(out.count, 2);
    kb_vec_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbours_are_one_run),
        cmocka_unit_test(equal_runs_at_equal_distances_are_rows_of_one_region),
        cmocka_unit_test(another_length_or_distance_begins_another_region),
        cmocka_unit_test(nothing_is_reordered_and_repetitions_are_kept),
        cmocka_unit_test(what_is_masked_off_does_not_exist),
        cmocka_unit_test(regions_are_appended_to_those_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
