#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "addr/vaspace.h"
#include "base/rng.h"

#define BASE KB_VASPACE_BASE

static int set_up(void **state)
{
    static kb_vaspace space;
    *state = &space;
    return kb_vaspace_init(&space, KB_VASPACE_BASE, KB_VASPACE_BYTES, KB_PAGE_BYTES, NULL);
}

static int tear_down(void **state)
{
    kb_vaspace_fini(*state);
    return 0;
}

static kb_vaddr take(kb_vaspace *space, const char *name, uint64_t bytes)
{
    kb_vaddr va = {0};
    assert_int_equal(kb_vaspace_take(space, name, bytes, &va, NULL), 0);
    return va;
}

static void ranges_begin_on_pages_from_the_base_upwards(void **state)
{
    assert_true(take(*state, "a", 1).bits == BASE);
    assert_true(take(*state, "b", 4096).bits == BASE + 4096);
    assert_true(take(*state, "c", 4097).bits == BASE + 2 * 4096);
    assert_true(take(*state, "d", 1).bits == BASE + 4 * 4096);
    assert_int_equal(kb_vaspace_live(*state), 4);
}

static void a_freed_range_is_reused_lowest_first(void **state)
{
    kb_vaddr a = take(*state, "a", 4096);
    take(*state, "b", 4096);
    assert_int_equal(kb_vaspace_give(*state, a, NULL), 0);
    assert_true(take(*state, "c", 100).bits == BASE);
}

static void an_address_belongs_to_a_tensor_up_to_its_last_byte_only(void **state)
{
    char name[] = "weights";
    kb_vaddr w = take(*state, name, 100);
    memset(name, 'x', sizeof name - 1); /* the name was copied */
    kb_va_range found;
    assert_true(kb_vaspace_find(*state, kb_vaddr_plus(w, 99), &found));
    assert_true(found.va.bits == w.bits && found.bytes == 100);
    assert_string_equal(found.name, "weights");
    assert_false(kb_vaspace_find(*state, kb_vaddr_plus(w, 100), &found)); /* same page */
    assert_false(kb_vaspace_find(*state, kb_vaddr_plus(w, 4096), &found));
    assert_false(kb_vaspace_find(*state, (kb_vaddr){BASE - 1}, &found));
}

static void assert_nearest(void *space, uint64_t va, const char *name)
{
    kb_va_range near;
    assert_true(kb_vaspace_nearest(space, (kb_vaddr){va}, &near));
    assert_string_equal(near.name, name);
}

static void the_nearest_tensor_is_measured_to_its_nearest_byte(void **state)
{
    kb_va_range near;
    assert_false(kb_vaspace_nearest(*state, (kb_vaddr){BASE}, &near));
    take(*state, "a", 1000); /* [0, 1000), the next begins at 4096 */
    take(*state, "b", 8192);
    assert_nearest(*state, 0, "a");
    assert_nearest(*state, BASE + 5, "a");
    assert_nearest(*state, BASE + 2547, "a"); /* 1548 from byte 999, 1549 from byte 4096 */
    assert_nearest(*state, BASE + 2548, "b");
    assert_nearest(*state, UINT64_MAX, "b");
}

static void two_equally_near_tensors_give_the_lower_one(void **state)
{
    take(*state, "a", 1001); /* last byte 1000, next 4096: the middle is 2548 */
    take(*state, "b", 1);
    assert_nearest(*state, BASE + 2548, "a");
    assert_nearest(*state, BASE + 2549, "b");
}

static void a_trap_message_says_where_the_address_is(void **state)
{
    char text[200];
    assert_string_equal(kb_vaspace_describe(*state, (kb_vaddr){1}, text, sizeof text),
                        "0x1, and nothing at all is allocated");
    kb_vaddr w = take(*state, "w", 4096);
    kb_vaspace_describe(*state, kb_vaddr_plus(w, 0x1200), text, sizeof text);
    assert_string_equal(text, "0x100001200 is 513 bytes after the last byte of 'w' [0x100000000, "
                              "0x100001000)");
    kb_vaspace_describe(*state, (kb_vaddr){BASE - 1}, text, sizeof text);
    assert_string_equal(text, "0xffffffff is 1 byte before the first byte of 'w' [0x100000000, "
                              "0x100001000)");
    kb_vaspace_describe(*state, kb_vaddr_plus(w, 16), text, sizeof text);
    assert_string_equal(text, "0x100000010 is byte 16 of 'w' [0x100000000, 0x100001000)");
}

static void assert_take_says(void *space, uint64_t bytes, int code, const char *words)
{
    kb_vaddr va;
    kb_err err = {0};
    assert_int_equal(kb_vaspace_take(space, "big", bytes, &va, &err), code);
    if (!strstr(err.text, words)) fail_msg("expected \"%s\" in: %s", words, err.text);
}

static void errors_say_what_is_free(void **state)
{
    assert_take_says(*state, 0, KB_EINVAL,
                     "virtual address space (address.va_gb): cannot allocate 0 bytes");
    assert_take_says(*state, KB_VASPACE_BYTES + 1, KB_ENOSPC,
                     "virtual address space (address.va_gb): cannot allocate");
    assert_take_says(*state, UINT64_MAX, KB_ENOSPC, "the largest hole is 68719476736 bytes");
    kb_vaddr all = take(*state, "all", KB_VASPACE_BYTES);
    assert_take_says(*state, 1, KB_ENOSPC, "0 of 68719476736 bytes are free");
    assert_int_equal(kb_vaspace_give(*state, all, NULL), 0);
}

static void a_range_is_freed_once_and_by_its_beginning(void **state)
{
    kb_err err = {0};
    kb_vaddr a = take(*state, "a", 8192);
    assert_int_equal(kb_vaspace_give(*state, kb_vaddr_plus(a, 4096), &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "not its beginning"));
    assert_int_equal(kb_vaspace_give(*state, a, NULL), 0);
    assert_int_equal(kb_vaspace_give(*state, a, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "was it freed already?"));
    assert_int_equal(kb_vaspace_give(*state, (kb_vaddr){1}, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "foreign"));
}

static void a_space_that_is_not_whole_pages_is_refused(void **state)
{
    (void)state;
    kb_vaspace space;
    assert_int_equal(kb_vaspace_init(&space, 0, 4096, 1000, NULL), KB_EINVAL);
    assert_int_equal(kb_vaspace_init(&space, 0, 4096, 0, NULL), KB_EINVAL);
    assert_int_equal(kb_vaspace_init(&space, 100, 4096, 4096, NULL), KB_EINVAL);
    assert_int_equal(kb_vaspace_init(&space, 0, 5000, 4096, NULL), KB_EINVAL);
    assert_int_equal(kb_vaspace_init(&space, 0, 0, 4096, NULL), KB_EINVAL);
    assert_int_equal(kb_vaspace_init(&space, 0 - UINT64_C(4096), 8192, 4096, NULL), KB_EINVAL);
}

/* Against plain arrays: at most SLOTS tensors, searched one by one. */
enum { SLOTS = 40 };

static const kb_va_range *slot_of(const kb_va_range *slots, uint64_t va)
{
    for (int i = 0; i < SLOTS; i++)
        if (slots[i].bytes && va >= slots[i].va.bits && va - slots[i].va.bits < slots[i].bytes)
            return &slots[i];
    return NULL;
}

static uint64_t nearest_distance(const kb_va_range *slots, uint64_t va)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < SLOTS; i++) {
        if (!slots[i].bytes) continue;
        uint64_t first = slots[i].va.bits, last = first + slots[i].bytes - 1;
        uint64_t d = va < first ? first - va : va > last ? va - last : 0;
        if (d < best) best = d;
    }
    return best;
}

static void compare_at(const kb_vaspace *space, const kb_va_range *slots, uint64_t va)
{
    kb_va_range found;
    const kb_va_range *expected = slot_of(slots, va);
    assert_int_equal(kb_vaspace_find(space, (kb_vaddr){va}, &found), expected != NULL);
    if (expected) assert_true(found.va.bits == expected->va.bits && found.bytes == expected->bytes);
    uint64_t best = nearest_distance(slots, va);
    assert_int_equal(kb_vaspace_nearest(space, (kb_vaddr){va}, &found), best != UINT64_MAX);
    if (best == UINT64_MAX) return;
    uint64_t first = found.va.bits, last = first + found.bytes - 1;
    assert_true((va < first ? first - va : va > last ? va - last : 0) == best);
}

static void random_use_agrees_with_a_plain_list(void **state)
{
    kb_rng rng = {3};
    kb_va_range slots[SLOTS] = {0};
    for (int n = 0; n < 20000; n++) {
        kb_va_range *slot = &slots[kb_rng_below(&rng, SLOTS)];
        if (slot->bytes) {
            assert_int_equal(kb_vaspace_give(*state, slot->va, NULL), 0);
            slot->bytes = 0;
        } else if (kb_rng_below(&rng, 3)) {
            slot->bytes = 1 + kb_rng_below(&rng, 20000);
            slot->va = take(*state, "t", slot->bytes);
            assert_true(slot->va.bits % KB_PAGE_BYTES == 0);
        }
        compare_at(*state, slots, BASE - 100 + kb_rng_below(&rng, 400000));
    }
}

#define WITH_SPACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPACE(ranges_begin_on_pages_from_the_base_upwards),
        WITH_SPACE(a_freed_range_is_reused_lowest_first),
        WITH_SPACE(an_address_belongs_to_a_tensor_up_to_its_last_byte_only),
        WITH_SPACE(the_nearest_tensor_is_measured_to_its_nearest_byte),
        WITH_SPACE(two_equally_near_tensors_give_the_lower_one),
        WITH_SPACE(a_trap_message_says_where_the_address_is),
        WITH_SPACE(errors_say_what_is_free),
        WITH_SPACE(a_range_is_freed_once_and_by_its_beginning),
        cmocka_unit_test(a_space_that_is_not_whole_pages_is_refused),
        WITH_SPACE(random_use_agrees_with_a_plain_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
