#include "pagetable.h"

#include "base/rng.h"

static void an_empty_table_owns_no_heap_memory_and_traps(void **state)
{
    assert_owns_nothing(*state);
    assert_trap(*state, 0, BASE);
    assert_trap(*state, 7, UINT64_MAX);
}

static void a_table_emptied_again_owns_no_heap_memory(void **state)
{
    assert_int_equal(map(*state, BASE, 100, 0x5000, ALL8), 0);
    assert_int_equal(unmap(*state, BASE, 100, 0x0f), 0);
    assert_int_equal(unmap(*state, BASE, 100, 0xf0), 0);
    assert_owns_nothing(*state);
}

static void a_shared_mapping_serves_every_pe_of_its_mask_from_one_extent(void **state)
{
    assert_int_equal(map(*state, BASE, 8192, 0x70000, 0x0f), 0);
    assert_int_equal(kb_pagetable_extents(*state), 1);
    for (uint32_t pe = 0; pe < 4; pe++) assert_at(*state, pe, BASE + 10, 0x7000a, 8182);
    for (uint32_t pe = 4; pe < 8; pe++) assert_trap(*state, pe, BASE + 10);
}

static void a_mapping_ends_at_its_last_byte_even_inside_a_page(void **state)
{
    assert_int_equal(map(*state, BASE, 100, 0x70000, ALL8), 0);
    assert_at(*state, 3, BASE, 0x70000, 100);
    assert_at(*state, 3, BASE + 99, 0x70063, 1);
    assert_trap(*state, 3, BASE + 100);
    assert_trap(*state, 3, BASE + 4095);
    assert_trap(*state, 3, BASE - 1);
}

static void replicas_at_one_address_lead_each_pe_to_its_own_copy(void **state)
{
    for (uint32_t pe = 0; pe < 8; pe++)
        assert_int_equal(map(*state, BASE, 4096, 0x100000u * (pe + 1), 1u << pe), 0);
    for (uint32_t pe = 0; pe < 8; pe++)
        assert_at(*state, pe, BASE + 96, 0x100000u * (pe + 1) + 96, 4000);
    assert_int_equal(unmap(*state, BASE, 4096, 1u << 3), 0);
    assert_trap(*state, 3, BASE);
    assert_at(*state, 2, BASE, 0x300000, 4096);
    assert_at(*state, 4, BASE, 0x500000, 4096);
}

/* 8 shards of 48 bytes share one page; one physical address per page would lose 7 of them. */
static void shards_smaller_than_a_page_do_not_overwrite_each_other(void **state)
{
    for (uint32_t shard = 0; shard < 8; shard++)
        assert_int_equal(map(*state, BASE + shard * 48, 48, 0x1000000u * (shard + 1), ALL8), 0);
    for (uint32_t pe = 0; pe < 8; pe++)
        for (uint32_t i = 0; i < 8 * 48; i++)
            assert_at(*state, pe, BASE + i, 0x1000000u * (i / 48 + 1) + i % 48, 48 - i % 48);
    assert_trap(*state, 0, BASE + 8 * 48);
}

static void extents_that_touch_on_both_sides_are_still_two(void **state)
{
    assert_int_equal(map(*state, BASE, 64, 0x1000, ALL8), 0);
    assert_int_equal(map(*state, BASE + 64, 64, 0x1040, ALL8), 0);
    assert_at(*state, 0, BASE + 60, 0x103c, 4);
    assert_at(*state, 0, BASE + 64, 0x1040, 64);
}

static void mapping_twice_names_both_ranges_and_the_pe(void **state)
{
    assert_int_equal(map(*state, 0x2000, 0x100, 0x7000, 0x0c), 0);
    assert_map_says(*state, 0x20ff, 0x10, 0xf8,
                    "pe3: cannot map [0x20ff, 0x210f) to 0x9000: it overlaps [0x2000, 0x2100), "
                    "mapped to 0x7000");
    assert_map_says(*state, 0x1fff, 2, 0x04, "pe2: cannot map");
    assert_map_says(*state, 0x1000, 0x2000, 0x0c, "overlaps");
    assert_map_says(*state, 0x2050, 1, 0x0c, "overlaps");
    assert_int_equal(map(*state, 0x2000, 0x100, 0x8000, 0xf3), 0); /* other PEs */
    assert_int_equal(map(*state, 0x1f00, 0x100, 0x8000, 0x0c), 0); /* just below */
    assert_int_equal(map(*state, 0x2100, 0x100, 0x8000, 0x0c), 0); /* just above */
}

static void nonsense_is_refused(void **state)
{
    assert_map_says(*state, BASE, 0, 1, "a mapping of 0 bytes");
    assert_map_says(*state, UINT64_MAX - 1, 3, 1, "wrap around");
    assert_map_says(*state, BASE, 1, 0, "PE mask 0x0 is out of range: allowed 0x1..0xff (8 PEs)");
    assert_map_says(*state, BASE, 1, 0x100, "PE mask 0x100 is out of range");
    assert_int_equal(map(*state, BASE, 2, UINT64_MAX, 1), KB_EINVAL);
    assert_trap(*state, 8, BASE);
    kb_paddr pa;
    uint64_t rest;
    kb_err err = {0};
    kb_pagetable_translate(*state, 5, (kb_vaddr){BASE}, &pa, &rest, &err);
    assert_string_equal(err.text, "pe5: virtual address 0x100000000 is not mapped");
}

static void assert_unmap_says(void *table, uint64_t va, uint64_t bytes, uint32_t mask,
                              const char *words)
{
    kb_err err = {0};
    assert_int_equal(kb_pagetable_unmap(table, (kb_vaddr){va}, bytes, mask, &err), KB_EINVAL);
    if (!strstr(err.text, words)) fail_msg("expected \"%s\" in: %s", words, err.text);
}

static void unmapping_what_is_not_mapped_changes_nothing(void **state)
{
    assert_int_equal(map(*state, 0x2000, 0x100, 0x7000, 0x03), 0);
    assert_unmap_says(*state, 0x2000, 0x101, 0x01,
                      "pe0: cannot unmap [0x2000, 0x2101): 0x2100 is not mapped");
    assert_unmap_says(*state, 0x2000, 0x100, 0x07, "pe2: cannot unmap [0x2000, 0x2100): 0x2000");
    assert_unmap_says(*state, 0x1fff, 1, 0x01, "0x1fff is not mapped");
    assert_unmap_says(*state, 0x2000, 0, 0x01, "0 bytes");
    assert_at(*state, 0, 0x2000, 0x7000, 0x100);
    assert_at(*state, 1, 0x2000, 0x7000, 0x100);
    assert_int_equal(unmap(*state, 0x2000, 0x100, 0x03), 0);
    assert_unmap_says(*state, 0x2000, 0x100, 0x03, "not mapped");
}

static void unmapping_the_middle_leaves_both_ends_and_the_other_pes(void **state)
{
    assert_int_equal(map(*state, 0x2000, 0x300, 0x7000, 0x03), 0);
    assert_int_equal(unmap(*state, 0x2100, 0x100, 0x01), 0);
    assert_at(*state, 0, 0x2000, 0x7000, 0x100);
    assert_trap(*state, 0, 0x2100);
    assert_trap(*state, 0, 0x21ff);
    assert_at(*state, 0, 0x2200, 0x7200, 0x100);
    for (uint64_t at = 0x2000; at < 0x2300; at += 0x80) {
        kb_paddr pa;
        uint64_t rest;
        assert_int_equal(kb_pagetable_translate(*state, 1, (kb_vaddr){at}, &pa, &rest, NULL), 0);
        assert_true(pa.bits == at + 0x5000);
    }
}

static void one_call_unmaps_many_extents(void **state)
{
    for (uint64_t i = 0; i < 16; i++)
        assert_int_equal(map(*state, BASE + i * 10, 10, 0x1000 * (i + 1), i % 2 ? 0x01 : 0x03), 0);
    assert_int_equal(unmap(*state, BASE + 5, 150, 0x01), 0);
    assert_at(*state, 0, BASE, 0x1000, 5);
    assert_trap(*state, 0, BASE + 5);
    assert_trap(*state, 0, BASE + 154);
    assert_at(*state, 0, BASE + 155, 0x10005, 5);
    assert_at(*state, 1, BASE + 25, 0x3005, 5);
}

static void a_cube_may_have_32_pes(void **state)
{
    (void)state;
    kb_pagetable table;
    kb_pagetable_init(&table, 32);
    assert_int_equal(map(&table, BASE, 8, 0x1000, UINT32_MAX), 0);
    assert_int_equal(unmap(&table, BASE, 8, 0x7fffffff), 0);
    assert_at(&table, 31, BASE, 0x1000, 8);
    assert_trap(&table, 0, BASE);
    kb_pagetable_fini(&table);
}

/* The oracle: for every PE and every byte, its physical address or 0. */
enum { BYTES = 256, PES = 5 };
typedef uint64_t oracle[PES][BYTES];

static bool all_mapped(oracle o, uint32_t mask, uint64_t from, uint64_t to, bool mapped)
{
    for (uint32_t pe = 0; pe < PES; pe++)
        for (uint64_t i = from; (mask >> pe & 1) && i < to; i++)
            if ((o[pe][i] != 0) != mapped) return false;
    return true;
}

static void set(oracle o, uint32_t mask, uint64_t from, uint64_t to, uint64_t pa)
{
    for (uint32_t pe = 0; pe < PES; pe++)
        for (uint64_t i = from; (mask >> pe & 1) && i < to; i++)
            o[pe][i] = pa ? pa + (i - from) : 0;
}

static void compare(oracle o, kb_pagetable *table)
{
    for (uint32_t pe = 0; pe < PES; pe++)
        for (uint64_t i = 0; i < BYTES; i++) {
            kb_paddr pa;
            uint64_t rest;
            int rc = kb_pagetable_translate(table, pe, (kb_vaddr){BASE + i}, &pa, &rest, NULL);
            assert_int_equal(rc, o[pe][i] ? 0 : KB_EFAULT);
            if (rc) continue;
            assert_true(pa.bits == o[pe][i]);
            assert_true(rest >= 1 && i + rest <= BYTES);
            for (uint64_t k = 0; k < rest; k++) assert_true(o[pe][i + k] == pa.bits + k);
        }
}

/* Try one random change; true if it was legal and hence made. Most are what the first byte of one
 * PE calls for, and half of them are shortened until legal, else hardly any would be. */
static bool random_step(oracle o, kb_pagetable *table, kb_rng *rng, uint64_t fresh)
{
    uint64_t from = kb_rng_below(rng, BYTES);
    uint64_t to = from + 1 + kb_rng_below(rng, 1 + kb_rng_below(rng, 60));
    if (to > BYTES) to = BYTES;
    uint32_t one = kb_rng_below(rng, PES), all = (1u << PES) - 1;
    uint32_t some = kb_rng_below(rng, all + 1); /* a quarter of the PEs, with the next line */
    uint32_t mask = 1u << one | (some & kb_rng_below(rng, all + 1));
    bool mapping = kb_rng_below(rng, 4) ? !o[one][from] : kb_rng_below(rng, 2) != 0;
    bool shrink = kb_rng_below(rng, 2);
    while (shrink && to > from + 1 && !all_mapped(o, mask, from, to, !mapping)) to--;
    bool legal = all_mapped(o, mask, from, to, !mapping);
    int rc = mapping ? map(table, BASE + from, to - from, fresh, mask)
                     : unmap(table, BASE + from, to - from, mask);
    assert_int_equal(rc, legal ? 0 : KB_EINVAL);
    if (legal) set(o, mask, from, to, mapping ? fresh : 0);
    return legal;
}

static void random_use_agrees_with_a_map_of_bytes(void **state)
{
    (void)state;
    kb_rng rng = {11};
    kb_pagetable table;
    static oracle o;
    kb_pagetable_init(&table, PES);
    int changes = 0;
    for (uint64_t n = 1; n <= 30000; n++) {
        if (random_step(o, &table, &rng, n * 0x1000) && changes++ % 8 == 0) compare(o, &table);
        if (n % 10000 == 0) compare(o, &table);
    }
    assert_true(changes > 5000); /* the test did not pass by being refused */
    kb_pagetable_fini(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TABLE(an_empty_table_owns_no_heap_memory_and_traps),
        WITH_TABLE(a_table_emptied_again_owns_no_heap_memory),
        WITH_TABLE(a_shared_mapping_serves_every_pe_of_its_mask_from_one_extent),
        WITH_TABLE(a_mapping_ends_at_its_last_byte_even_inside_a_page),
        WITH_TABLE(replicas_at_one_address_lead_each_pe_to_its_own_copy),
        WITH_TABLE(shards_smaller_than_a_page_do_not_overwrite_each_other),
        WITH_TABLE(extents_that_touch_on_both_sides_are_still_two),
        WITH_TABLE(mapping_twice_names_both_ranges_and_the_pe),
        WITH_TABLE(nonsense_is_refused),
        WITH_TABLE(unmapping_what_is_not_mapped_changes_nothing),
        WITH_TABLE(unmapping_the_middle_leaves_both_ends_and_the_other_pes),
        WITH_TABLE(one_call_unmaps_many_extents),
        cmocka_unit_test(a_cube_may_have_32_pes),
        cmocka_unit_test(random_use_agrees_with_a_map_of_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
