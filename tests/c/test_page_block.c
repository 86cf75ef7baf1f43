/* Blocks of extents in page tables: each one entry, for a tensor of many pieces. */
#include "pagetable.h"

#include <stdlib.h>

#include "base/rng.h"

enum { SPREAD = 4 }; /* extents of the blocks here */

/* `bytes` each, `step` apart; for free(). */
static kb_page_block *make_block(uint64_t va, uint64_t step, uint64_t bytes, uint64_t pa)
{
    kb_page_block *b = malloc(sizeof *b + SPREAD * sizeof *b->extents);
    assert_non_null(b);
    b->count = SPREAD;
    for (uint32_t i = 0; i < SPREAD; i++)
        b->extents[i] = (kb_page_extent){va + i * step, bytes, pa + i * 0x10000};
    return b;
}

static int map_block(void *table, const kb_page_block *b, uint32_t mask)
{
    return kb_pagetable_map_block(table, b, mask, NULL);
}

static int unmap_block(void *table, const kb_page_block *b, uint32_t mask)
{
    return kb_pagetable_unmap_block(table, b, mask, NULL);
}

static void a_block_maps_its_extents_and_nothing_between(void **state)
{
    kb_page_block *b = make_block(BASE, 4096, 100, 0x70000);
    assert_int_equal(map_block(*state, b, 0x0f), 0);
    assert_int_equal(kb_pagetable_extents(*state), SPREAD);
    for (uint64_t i = 0; i < SPREAD; i++) {
        assert_at(*state, 3, BASE + i * 4096, 0x70000 + i * 0x10000, 100);
        assert_at(*state, 0, BASE + i * 4096 + 99, 0x70063 + i * 0x10000, 1);
        assert_trap(*state, 0, BASE + i * 4096 + 100);
        assert_trap(*state, 0, BASE + i * 4096 - 1);
        assert_trap(*state, 4, BASE + i * 4096);
    }
    assert_int_equal(unmap_block(*state, b, 0x0f), 0);
    assert_owns_nothing(*state);
    free(b);
}

static void extents_of_a_block_may_lie_anywhere(void **state)
{
    kb_page_block *b = make_block(BASE, 4096, 100, 0x70000);
    static const uint64_t at[SPREAD] = {0, 100, 150, 70000}, bytes[SPREAD] = {100, 50, 1000, 9};
    for (uint32_t i = 0; i < SPREAD; i++) {
        b->extents[i].va = BASE + at[i];
        b->extents[i].bytes = bytes[i];
    }
    assert_int_equal(map_block(*state, b, ALL8), 0);
    for (uint64_t i = 0; i < SPREAD; i++)
        for (uint64_t k = 0; k < bytes[i]; k++)
            assert_at(*state, 1, BASE + at[i] + k, 0x70000 + i * 0x10000 + k, bytes[i] - k);
    assert_trap(*state, 1, BASE + 1150);
    assert_trap(*state, 1, BASE + 69999);
    assert_trap(*state, 1, BASE + 70009);
    assert_int_equal(unmap_block(*state, b, ALL8), 0);
    free(b);
}

static void a_block_has_its_whole_span_to_itself(void **state)
{
    kb_page_block *b = make_block(0x2000, 0x1000, 0x100, 0x7000); /* to 0x5100 */
    assert_int_equal(map(*state, 0x5000, 1, 0x9000, 0x01), 0);
    assert_int_equal(map_block(*state, b, 0x03), KB_EINVAL);
    assert_trap(*state, 1, 0x2000);
    assert_int_equal(map_block(*state, b, 0x06), 0); /* other PEs */
    assert_map_says(*state, 0x2800, 1, 0x04,
                    "pe2: cannot map [0x2800, 0x2801) to 0x9000: it overlaps [0x2000, 0x5100), "
                    "mapped to 0x7000");
    assert_int_equal(map_block(*state, b, 0x04), KB_EINVAL);
    assert_int_equal(map(*state, 0x5100, 1, 0x9000, 0x06), 0); /* just above */
    free(b);
}

static void a_block_is_unmapped_as_it_was_mapped(void **state)
{
    kb_page_block *b = make_block(0x2000, 0x1000, 0x100, 0x7000);
    kb_page_block *other = make_block(0x2000, 0x1000, 0x100, 0x7000);
    assert_int_equal(unmap_block(*state, b, 0x03), KB_EINVAL);
    assert_int_equal(map_block(*state, b, 0x03), 0);
    assert_int_equal(unmap_block(*state, other, 0x03), KB_EINVAL);
    assert_int_equal(unmap_block(*state, b, 0x01), KB_EINVAL);
    assert_int_equal(unmap(*state, 0x3080, 0x10, 0x01), 0); /* a part, for one PE */
    assert_trap(*state, 0, 0x3080);
    assert_at(*state, 0, 0x3090, 0x17090, 0x70);
    assert_at(*state, 1, 0x3080, 0x17080, 0x10);
    assert_at(*state, 0, 0x5000, 0x37000, 0x100);
    assert_int_equal(unmap_block(*state, b, 0x03), KB_EINVAL);
    free(b);
    free(other);
}

enum { BYTES = 256, PES = 5 };

/* The same changes, in `blocks` with blocks and in `single` extent by extent. A slot of 64 bytes
 * has at most one block, which is whole while `mask` is not 0. */
enum { SLOTS = BYTES / 64 };
typedef struct twins {
    kb_pagetable blocks, single;
    kb_page_block *block[SLOTS];
    uint32_t mask[SLOTS];
    int mapped, unmapped, cut;
} twins;

static bool is_free(const kb_pagetable *table, uint64_t from, uint64_t to)
{
    kb_paddr pa;
    uint64_t rest;
    for (uint64_t at = from; at < to; at++)
        for (uint32_t pe = 0; pe < PES; pe++)
            if (!kb_pagetable_translate(table, pe, (kb_vaddr){at}, &pa, &rest, NULL)) return false;
    return true;
}

static void twins_map(twins *t, uint32_t slot, uint32_t mask, uint64_t bytes, uint64_t pa)
{
    if (!is_free(&t->single, BASE + slot * 64, BASE + slot * 64 + 64)) return;
    free(t->block[slot]);
    t->block[slot] = make_block(BASE + slot * 64, 16, bytes, pa);
    const kb_page_extent *e = t->block[slot]->extents;
    assert_int_equal(map_block(&t->blocks, t->block[slot], mask), 0);
    for (int i = 0; i < SPREAD; i++)
        assert_int_equal(map(&t->single, e[i].va, e[i].bytes, e[i].pa, mask), 0);
    t->mask[slot] = mask;
    t->mapped++;
}

static void twins_unmap(twins *t, uint32_t slot, uint32_t mask)
{
    if (!t->block[slot] || !mask) return;
    bool whole = t->mask[slot] == mask;
    assert_int_equal(unmap_block(&t->blocks, t->block[slot], mask), whole ? 0 : KB_EINVAL);
    const kb_page_extent *e = t->block[slot]->extents;
    for (int i = 0; whole && i < SPREAD; i++)
        assert_int_equal(unmap(&t->single, e[i].va, e[i].bytes, mask), 0);
    if (whole) t->mask[slot] = 0;
    t->unmapped += whole;
}

/* What is mapped of [from, to) in bytes of its own. */
static void twins_cut(twins *t, uint64_t from, uint64_t to, uint32_t mask)
{
    for (uint64_t at = from; at < to; at++) {
        int status = unmap(&t->single, BASE + at, 1, mask);
        assert_int_equal(unmap(&t->blocks, BASE + at, 1, mask), status);
        if (!status) t->mask[at / 64] = 0;
        t->cut += !status;
    }
}

static void twins_compare(const twins *t)
{
    assert_int_equal(kb_pagetable_extents(&t->blocks), kb_pagetable_extents(&t->single));
    for (uint32_t pe = 0; pe < PES; pe++)
        for (uint64_t at = BASE; at < BASE + BYTES; at++) {
            kb_paddr pa[2] = {{0}, {0}};
            uint64_t rest[2] = {0, 0};
            assert_int_equal(
                kb_pagetable_translate(&t->blocks, pe, (kb_vaddr){at}, &pa[0], &rest[0], NULL),
                kb_pagetable_translate(&t->single, pe, (kb_vaddr){at}, &pa[1], &rest[1], NULL));
            assert_true(pa[0].bits == pa[1].bits && rest[0] == rest[1]);
        }
}

static void blocks_are_what_their_extents_are(void **state)
{
    (void)state;
    kb_rng rng = {13};
    static twins t;
    kb_pagetable_init(&t.blocks, PES);
    kb_pagetable_init(&t.single, PES);
    for (uint64_t n = 1; n <= 4000; n++) {
        uint32_t slot = kb_rng_below(&rng, SLOTS), kind = kb_rng_below(&rng, 8);
        uint32_t mask = kb_rng_below(&rng, 2) ? 0x1f : 1 + kb_rng_below(&rng, 0x1f);
        if (kind < 4)
            twins_map(&t, slot, mask, 1 + kb_rng_below(&rng, 16), n * 0x100000);
        else if (kind < 6)
            twins_unmap(&t, slot, kb_rng_below(&rng, 4) ? t.mask[slot] : mask);
        else if (kind < 7)
            twins_cut(&t, slot * 64, slot * 64 + 1 + kb_rng_below(&rng, 64), mask);
        else if (!t.mask[slot]) /* what cuts have left */
            for (uint32_t pe = 0; pe < PES; pe++)
                twins_cut(&t, slot * 64, slot * 64 + 64, UINT32_C(1) << pe);
        if (n % 4 == 0) twins_compare(&t);
    }
    assert_true(t.mapped > 500 && t.unmapped > 200 && t.cut > 1000);
    kb_pagetable_fini(&t.blocks);
    kb_pagetable_fini(&t.single);
    for (int i = 0; i < SLOTS; i++) free(t.block[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TABLE(a_block_maps_its_extents_and_nothing_between),
        WITH_TABLE(extents_of_a_block_may_lie_anywhere),
        WITH_TABLE(a_block_has_its_whole_span_to_itself),
        WITH_TABLE(a_block_is_unmapped_as_it_was_mapped),
        cmocka_unit_test(blocks_are_what_their_extents_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
