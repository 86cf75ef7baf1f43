#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "addr/alloc.h"
#include "base/rng.h"

static const char NAME[] = "sip0.cube2.hbm_ctrl.slice3";

static uint64_t take(kb_alloc *alloc, uint64_t bytes, uint64_t align)
{
    uint64_t addr = 0;
    kb_err err = {0};
    int rc = kb_alloc_take(alloc, bytes, align, &addr, &err);
    if (rc) print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return addr;
}

static void give(kb_alloc *alloc, uint64_t addr)
{
    assert_int_equal(kb_alloc_give(alloc, addr, NULL), 0);
}

static void assert_give_says(kb_alloc *alloc, uint64_t addr, const char *words)
{
    kb_err err = {0};
    uint64_t used = kb_alloc_used_bytes(alloc);
    assert_int_equal(kb_alloc_give(alloc, addr, &err), KB_EINVAL);
    if (!strstr(err.text, words)) fail_msg("expected \"%s\" in: %s", words, err.text);
    assert_non_null(strstr(err.text, NAME));
    assert_true(kb_alloc_used_bytes(alloc) == used);
}

static void an_unused_allocator_owns_no_heap_memory_and_is_small(void **state)
{
    (void)state;
    kb_alloc alloc;
    kb_alloc_init(&alloc, NAME, 0x1000, 0x1000);
    assert_true(sizeof alloc <= 64);
    assert_null(alloc.rows);
    assert_true(kb_alloc_largest_hole(&alloc) == 0x1000);
    assert_true(kb_alloc_free_bytes(&alloc) == 0x1000);
    assert_int_equal(kb_alloc_live(&alloc), 0);
    kb_block block;
    assert_false(kb_alloc_find(&alloc, 0x1000, &block));
    assert_false(kb_alloc_at_or_above(&alloc, 0, &block));
    assert_false(kb_alloc_at_or_below(&alloc, UINT64_MAX, &block));
    assert_give_says(&alloc, 0x1000, "not allocated");
    assert_null(alloc.rows);
}

static void the_lowest_hole_that_fits_is_taken(void **state)
{
    (void)state;
    kb_alloc a;
    kb_alloc_init(&a, NAME, 1000, 1000);
    assert_true(take(&a, 100, 1) == 1000);
    assert_true(take(&a, 50, 1) == 1100);
    assert_true(take(&a, 100, 1) == 1150);
    give(&a, 1000); /* holes: [1000, 1100), [1250, 2000) */
    assert_true(take(&a, 101, 1) == 1250);
    assert_true(take(&a, 60, 1) == 1000);
    assert_true(take(&a, 40, 1) == 1060);
    assert_int_equal(kb_alloc_live(&a), 5);
    assert_true(kb_alloc_used_bytes(&a) == 50 + 100 + 101 + 60 + 40);
    kb_alloc_fini(&a);
}

static void neighbouring_holes_become_one_in_any_order_of_freeing(void **state)
{
    (void)state;
    const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int i = 0; i < 6; i++) {
        kb_alloc a;
        kb_alloc_init(&a, NAME, 0, 300);
        uint64_t at[3];
        for (int k = 0; k < 3; k++) at[k] = take(&a, 100, 1);
        for (int k = 0; k < 3; k++) give(&a, at[orders[i][k]]);
        assert_true(kb_alloc_largest_hole(&a) == 300);
        assert_true(take(&a, 300, 1) == 0);
        kb_alloc_fini(&a);
    }
}

static void alignment_is_of_the_address_and_skips_holes_that_only_seem_to_fit(void **state)
{
    (void)state;
    kb_alloc a;
    kb_alloc_init(&a, NAME, 100, 1000); /* [100, 1100) */
    assert_true(take(&a, 10, 256) == 256);
    assert_true(take(&a, 156, 4) == 100);   /* [100, 256) exactly */
    assert_true(take(&a, 256, 256) == 512); /* 266..512 is large enough, but not aligned */
    assert_true(take(&a, 246, 2) == 266);
    uint64_t addr;
    kb_err err = {0};
    assert_int_equal(kb_alloc_take(&a, 8, 2048, &addr, &err), KB_ENOSPC);
    assert_int_equal(kb_alloc_take(&a, 8, 3, &addr, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "alignment 3 is not a power of two"));
    assert_int_equal(kb_alloc_take(&a, 8, 0, &addr, &err), KB_EINVAL);
    kb_alloc_fini(&a);
}

static void blocks_of_whole_grains_leave_no_holes_between_them(void **state)
{
    (void)state;
    kb_alloc a;
    kb_alloc_init_whole(&a, NAME, 0, 4096, 256);
    assert_true(take(&a, 1, 256) == 0);
    assert_true(take(&a, 257, 256) == 256);
    assert_true(kb_alloc_used_bytes(&a) == 256 + 512);
    assert_true(take(&a, 4096 - 768, 256) == 768);
    assert_true(kb_alloc_largest_hole(&a) == 0);
    kb_err err = {0};
    uint64_t addr;
    assert_int_equal(kb_alloc_take(&a, 100, 256, &addr, &err), KB_ENOSPC);
    assert_non_null(strstr(err.text, "cannot allocate 100 bytes (aligned to 256)"));
    assert_int_equal(kb_alloc_take(&a, UINT64_MAX, 256, &addr, NULL), KB_ENOSPC);
    give(&a, 256);
    assert_true(take(&a, 512, 256) == 256);
    kb_alloc_fini(&a);
}

static void the_top_of_the_64_bit_range_does_not_wrap(void **state)
{
    (void)state;
    kb_alloc a;
    kb_alloc_init(&a, NAME, UINT64_MAX - 100, 100); /* ends at the last number there is */
    uint64_t addr;
    assert_int_equal(kb_alloc_take(&a, 1, 256, &addr, NULL), KB_ENOSPC);
    assert_int_equal(kb_alloc_take(&a, UINT64_MAX, 1, &addr, NULL), KB_ENOSPC);
    assert_true(take(&a, 100, 1) == UINT64_MAX - 100);
    assert_true(kb_alloc_largest_hole(&a) == 0);
    kb_alloc_fini(&a);
}

static void freeing_what_is_not_a_block_says_why(void **state)
{
    (void)state;
    kb_alloc a;
    kb_alloc_init(&a, NAME, 0x1000, 0x1000);
    uint64_t first = take(&a, 0x100, 1), second = take(&a, 0x100, 1);
    give(&a, first);
    assert_give_says(&a, first, "0x1000 is not allocated; was it freed already?");
    assert_give_says(&a, second + 1,
                     "0x1101 is inside the block [0x1100, 0x1200), not its beginning");
    assert_give_says(&a, 0xfff, "0xfff is foreign: this memory is [0x1000, 0x2000)");
    assert_give_says(&a, 0x2000, "foreign");
    assert_give_says(&a, 0x1200, "not allocated");
    kb_alloc_fini(&a);
}

static void zero_bytes_are_refused(void **state)
{
    (void)state;
    kb_alloc a;
    kb_alloc_init(&a, NAME, 0, 16);
    uint64_t addr;
    kb_err err = {0};
    assert_int_equal(kb_alloc_take(&a, 0, 1, &addr, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "cannot allocate 0 bytes"));
    kb_alloc_fini(&a);
}

static void exhaustion_lists_request_free_total_and_largest_hole(void **state)
{
    (void)state;
    kb_alloc a;
    kb_alloc_init(&a, NAME, 0, 1000);
    uint64_t at[10], addr;
    for (int i = 0; i < 10; i++) at[i] = take(&a, 100, 1);
    give(&a, at[1]);
    give(&a, at[4]);
    give(&a, at[5]); /* free: 100 + 200 */
    kb_err err = {0};
    assert_int_equal(kb_alloc_take(&a, 250, 2, &addr, &err), KB_ENOSPC);
    assert_string_equal(err.text,
                        "sip0.cube2.hbm_ctrl.slice3: cannot allocate 250 bytes (aligned to 2): 300 "
                        "of 1000 bytes are free, the largest hole is 200 bytes; blocks in use: 7");
    kb_alloc_fini(&a);
}

static void blocks_are_found_and_iterated_with_their_tags(void **state)
{
    (void)state;
    kb_alloc a;
    int tags[4];
    kb_alloc_init(&a, NAME, 0, 1000);
    for (int i = 0; i < 4; i++)
        assert_int_equal(kb_alloc_set_tag(&a, take(&a, 10, 64), &tags[i], NULL), 0);
    kb_block block;
    int seen = 0;
    for (uint64_t at = 0; kb_alloc_at_or_above(&a, at, &block); at = block.addr + block.bytes) {
        assert_true(block.addr == 64 * (uint64_t)seen && block.bytes == 10);
        assert_ptr_equal(block.tag, &tags[seen]);
        seen++;
    }
    assert_int_equal(seen, 4);
    assert_true(kb_alloc_find(&a, 73, &block) && block.addr == 64);
    assert_false(kb_alloc_find(&a, 74, &block));
    assert_true(kb_alloc_at_or_below(&a, 127, &block) && block.addr == 64);
    assert_int_equal(kb_alloc_set_tag(&a, 65, NULL, NULL), KB_EINVAL);
    kb_alloc_fini(&a);
}

/* The oracle: one byte of state per byte of memory. */
enum { BASE = 40, SIZE = 3000 };

typedef struct oracle {
    unsigned char busy[SIZE];
    uint64_t start[SIZE], bytes[SIZE];
    size_t live;
} oracle;

static bool oracle_fit(const oracle *o, uint64_t bytes, uint64_t align, uint64_t *addr)
{
    uint64_t run = 0;
    for (uint64_t at = (BASE + align - 1) / align * align; at + bytes <= BASE + SIZE; at += align) {
        for (run = 0; run < bytes && !o->busy[at - BASE + run]; run++) {
        }
        if (run == bytes) {
            *addr = at;
            return true;
        }
    }
    return false;
}

static void oracle_compare(const oracle *o, const kb_alloc *a)
{
    uint64_t used = 0, hole = 0, largest = 0;
    for (int i = 0; i < SIZE; i++) {
        used += o->busy[i];
        hole = o->busy[i] ? 0 : hole + 1;
        if (hole > largest) largest = hole;
    }
    assert_true(kb_alloc_used_bytes(a) == used);
    assert_true(kb_alloc_free_bytes(a) == SIZE - used);
    assert_true(kb_alloc_largest_hole(a) == largest);
    assert_int_equal(kb_alloc_live(a), o->live);
}

/* What an even address is tagged with. */
static void *tag_of(uint64_t addr)
{
    return addr % 2 ? NULL : (void *)(uintptr_t)addr;
}

static void oracle_step(oracle *o, kb_alloc *a, kb_rng *rng, uint32_t pressure, uint32_t largest)
{
    uint64_t addr = 0, expected = 0;
    kb_block block = {0};
    if (kb_rng_below(rng, 100) < pressure) {
        uint64_t bytes = 1 + kb_rng_below(rng, 1 + kb_rng_below(rng, largest));
        uint64_t align = UINT64_C(1) << kb_rng_below(rng, 8);
        bool fits = oracle_fit(o, bytes, align, &expected);
        assert_int_equal(kb_alloc_take(a, bytes, align, &addr, NULL), fits ? 0 : KB_ENOSPC);
        if (!fits) return;
        assert_true(addr == expected);
        if (tag_of(addr)) assert_int_equal(kb_alloc_set_tag(a, addr, tag_of(addr), NULL), 0);
        memset(o->busy + (addr - BASE), 1, bytes);
        o->start[o->live] = addr;
        o->bytes[o->live++] = bytes;
    } else if (o->live) {
        size_t victim = kb_rng_below(rng, (uint32_t)o->live);
        addr = o->start[victim];
        assert_true(kb_alloc_find(a, addr + o->bytes[victim] - 1, &block));
        assert_true(block.addr == addr && block.bytes == o->bytes[victim]);
        assert_ptr_equal(block.tag, tag_of(addr));
        assert_int_equal(kb_alloc_give(a, addr, NULL), 0);
        assert_int_equal(kb_alloc_give(a, addr, NULL), KB_EINVAL);
        memset(o->busy + (addr - BASE), 0, o->bytes[victim]);
        o->live--;
        o->start[victim] = o->start[o->live];
        o->bytes[victim] = o->bytes[o->live];
    }
}

static void random_use_agrees_with_a_map_of_bytes(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        oracle *o = calloc(1, sizeof *o);
        kb_rng rng = {seed};
        kb_alloc a;
        kb_alloc_init(&a, NAME, BASE, SIZE);
        for (int n = 0; n < 2000; n++) {
            oracle_step(o, &a, &rng, n / 500 % 2 ? 40 : 65, seed % 2 ? 200 : 8);
            oracle_compare(o, &a);
        }
        kb_alloc_fini(&a);
        free(o);
    }
}

/* Not a timed test, but one that a quadratic allocator does not finish in reasonable time. */
static void a_hundred_thousand_live_blocks_are_taken_and_freed_in_random_order(void **state)
{
    (void)state;
    enum { BLOCKS = 100000 };
    uint64_t *at = calloc(BLOCKS, sizeof *at);
    kb_rng rng = {7};
    kb_alloc a;
    kb_alloc_init(&a, NAME, 0, UINT64_C(1) << 40);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < BLOCKS; i++) at[i] = take(&a, 256 + kb_rng_below(&rng, 4096), 256);
        assert_int_equal(kb_alloc_live(&a), BLOCKS);
        for (uint32_t i = BLOCKS; i > 0; i--) {
            uint32_t k = kb_rng_below(&rng, i);
            give(&a, at[k]);
            at[k] = at[i - 1];
        }
        assert_int_equal(kb_alloc_live(&a), 0);
        assert_true(kb_alloc_largest_hole(&a) == UINT64_C(1) << 40);
    }
    kb_alloc_fini(&a);
    free(at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unused_allocator_owns_no_heap_memory_and_is_small),
        cmocka_unit_test(the_lowest_hole_that_fits_is_taken),
        cmocka_unit_test(neighbouring_holes_become_one_in_any_order_of_freeing),
        cmocka_unit_test(alignment_is_of_the_address_and_skips_holes_that_only_seem_to_fit),
        cmocka_unit_test(blocks_of_whole_grains_leave_no_holes_between_them),
        cmocka_unit_test(the_top_of_the_64_bit_range_does_not_wrap),
        cmocka_unit_test(freeing_what_is_not_a_block_says_why),
        cmocka_unit_test(zero_bytes_are_refused),
        cmocka_unit_test(exhaustion_lists_request_free_total_and_largest_hole),
        cmocka_unit_test(blocks_are_found_and_iterated_with_their_tags),
        cmocka_unit_test(random_use_agrees_with_a_map_of_bytes),
        cmocka_unit_test(a_hundred_thousand_live_blocks_are_taken_and_freed_in_random_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
