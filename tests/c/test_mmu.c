/* The TLB of pe_mmu (pe_mmu.h): which pages miss, and what that costs. */
#include "base/rng.h"
#include "hw/pe/pe_mmu.h"
#include "pe_bed.h"

enum { PAGE = 4096, MISS = 50000 };

/* A command of pe0 over `region`, and how long it takes beyond what it takes without a TLB. */
static kb_time extra(bed *b, uint64_t va, uint32_t rows, uint64_t row_bytes, uint64_t stride)
{
    kb_time ended[2];
    for (int plain = 0; plain < 2; plain++) {
        kb_pieces pieces = {0};
        kb_va_region region = {{va}, rows, row_bytes, stride};
        kb_err err = {0};
        if (kb_pe_translate(pe_of(b, 0), &region, &pieces, &err)) fail_msg("%s", err.text);
        for (size_t i = 0; plain && i < pieces.count; i++) pieces.data[i].va.bits = 0;
        kb_time began = b->sim->now;
        kb_pe_dma(pe_of(b, 0), KB_DMA_READ, &pieces, note_time, &ended[plain], 0);
        run_all(b);
        ended[plain] -= began;
    }
    return ended[0] - ended[1];
}

static void each_page_that_is_not_there_costs_a_miss(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_mmu.tlb_entries=2", "pe.pe_mmu.miss_ns=50");
    map(&b, 0x100000, 16 * PAGE, 0, 0);
    assert_int_equal(extra(&b, 0x100000, 1, 100, 100), MISS);   /* page 0 */
    assert_int_equal(extra(&b, 0x100f00, 1, 100, 100), 0);      /* again */
    assert_int_equal(extra(&b, 0x100f00, 1, PAGE, PAGE), MISS); /* 0 and 1 */
    assert_int_equal(extra(&b, 0x102000, 1, 1, 1), MISS);       /* 2 takes the place of 0 */
    assert_int_equal(extra(&b, 0x101000, 1, 1, 1), 0);          /* 1 is still there */
    assert_int_equal(extra(&b, 0x100000, 1, 1, 1), MISS);       /* 0 takes that of 2 */
    assert_int_equal(extra(&b, 0x101000, 1, 1, 1), 0);
    assert_int_equal(extra(&b, 0x100000, 1, 16 * PAGE, 0), 14 * MISS); /* 0 and 1 were there */
    const kb_pe *pe = pe_of(&b, 0);
    assert_int_equal(pe->tlb_misses, 1 + 1 + 1 + 1 + 14);
    assert_int_equal(pe->tlb_hits, 1 + 1 + 1 + 1 + 2);
    bed_close(&b);
}

static void rows_in_one_page_touch_it_once(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_mmu.tlb_entries=64", "pe.pe_mmu.miss_ns=50");
    map(&b, 0x100000, 64 * PAGE, 0, 0);
    /* 32 rows of 64 B, 512 B apart: eight to a page, four pages. */
    assert_int_equal(extra(&b, 0x100000, 32, 64, 512), 4 * MISS);
    assert_int_equal(pe_of(&b, 0)->tlb_hits, 0);
    /* Eight rows of 256 B, 4096 B apart, each across the end of a page: pages 10 to 18. */
    assert_int_equal(extra(&b, 0x10af80, 8, 256, PAGE), 9 * MISS);
    /* The second row begins in the page in which the first one ends, and so on: nobody comes back
     * to a page after another. */
    assert_int_equal(pe_of(&b, 0)->tlb_hits, 0);
    bed_close(&b);
}

static void the_translation_of_a_command_is_added(void **state)
{
    (void)state;
    bed b = bed_make("pe.pe_mmu.tlb_entries=4", "pe.pe_mmu.miss_ns=50", "pe.pe_mmu.overhead_ns=3");
    map(&b, 0x100000, PAGE, 0, 0);
    kb_pieces pieces = {0};
    kb_va_region region = {{0x100000}, 1, 4096, 4096};
    assert_int_equal(kb_pe_translate(pe_of(&b, 0), &region, &pieces, NULL), KB_OK);
    kb_time ended;
    kb_pe_dma(pe_of(&b, 0), KB_DMA_READ, &pieces, note_time, &ended, 0);
    run_all(&b);
    assert_int_equal(ended, 3000 + MISS + READ_4K);
    bed_close(&b);
}

static void without_capacity_or_cost_it_is_not_followed(void **state)
{
    (void)state;
    static const char *const off[] = {"pe.pe_mmu.tlb_entries=2", "pe.pe_mmu.miss_ns=50"};
    for (int i = 0; i < 2; i++) {
        bed b = bed_make(off[i]);
        map(&b, 0x100000, 16 * PAGE, 0, 0);
        assert_int_equal(extra(&b, 0x100000, 1, 16 * PAGE, 0), 0);
        assert_int_equal(pe_of(&b, 0)->tlb_hits + pe_of(&b, 0)->tlb_misses, 0);
        bed_close(&b);
    }
}

/* Against a list that is searched from end to end. */
static void it_is_least_recently_used_in_the_long_run(void **state)
{
    (void)state;
    enum { CAPACITY = 37 };
    kb_rng rng = {8};
    kb_tlb tlb = {0};
    kb_tlb_init(&tlb, CAPACITY);
    uint64_t list[CAPACITY] = {0};
    size_t count = 0;
    for (int i = 0; i < 20000; i++) {
        uint64_t page = kb_rng_below(&rng, 2) ? kb_rng_below(&rng, 30) : kb_rng_below(&rng, 90);
        size_t at = 0;
        while (at < count && list[at] != page) at++;
        bool held = at < count;
        if (!held && count < CAPACITY) count++;
        if (at == CAPACITY) at--;
        for (; at > 0; at--) list[at] = list[at - 1];
        list[0] = page;
        assert_int_equal(kb_tlb_touch(&tlb, page), held);
    }
    kb_tlb_fini(&tlb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_page_that_is_not_there_costs_a_miss),
        cmocka_unit_test(rows_in_one_page_touch_it_once),
        cmocka_unit_test(the_translation_of_a_command_is_added),
        cmocka_unit_test(without_capacity_or_cost_it_is_not_followed),
        cmocka_unit_test(it_is_least_recently_used_in_the_long_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
