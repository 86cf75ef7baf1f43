/* The map of physical addresses: hardware.md, "Addresses". The table below is written out a second
 * time on purpose, from that text and from the comment of physaddr.h, not from the code. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "addr/physaddr.h"
#include "base/rng.h"

#define MB (UINT64_C(1) << 20)
#define GB (UINT64_C(1) << 30)

typedef struct place {
    kb_die_kind die;
    kb_unit unit;
    uint64_t base, step, count, bytes;
} place;

static const place MAP[] = {
    {KB_DIE_CUBE, KB_UNIT_HBM, 0, 6 * GB, 8, 6 * GB},
    {KB_DIE_CUBE, KB_UNIT_PE_TCM, 128 * GB, 512 * MB, 8, 16 * MB},
    {KB_DIE_CUBE, KB_UNIT_PE_IPCQ, 128 * GB + 256 * MB, 512 * MB, 8, 64 * MB},
    {KB_DIE_CUBE, KB_UNIT_PE_CSR, 128 * GB + 320 * MB, 512 * MB, 8, MB},
    {KB_DIE_CUBE, KB_UNIT_PE_MMU, 128 * GB + 321 * MB, 512 * MB, 8, MB},
    {KB_DIE_CUBE, KB_UNIT_MCPU_SRAM, 144 * GB, 0, 1, 256 * MB},
    {KB_DIE_CUBE, KB_UNIT_MCPU_DMA, 144 * GB + 256 * MB, 0, 1, MB},
    {KB_DIE_CUBE, KB_UNIT_MCPU_CSR, 144 * GB + 320 * MB, 0, 1, MB},
    {KB_DIE_CUBE, KB_UNIT_CUBE_SRAM, 160 * GB, 0, 1, 32 * MB},
    {KB_DIE_IO, KB_UNIT_IO_SRAM, 0, 0, 1, 256 * MB},
    {KB_DIE_IO, KB_UNIT_IO_DMA, 256 * MB, 0, 1, MB},
    {KB_DIE_IO, KB_UNIT_IO_CSR, 320 * MB, 0, 1, MB},
    {KB_DIE_IO, KB_UNIT_IO_DOORBELL, 384 * MB, 0, 1, 64 * MB},
    {KB_DIE_IO, KB_UNIT_IO_PCIE_BAR, 512 * GB, 0, 1, 512 * GB},
};
enum { PLACES = sizeof MAP / sizeof MAP[0] };

static kb_addr_layout checked(kb_addr_layout layout)
{
    kb_err err = {0};
    int rc = kb_addr_layout_check(&layout, &err);
    if (rc) print_error("%s\n", err.text);
    assert_int_equal(rc, 0);
    return layout;
}

static void assert_same_place(const kb_location *a, const kb_location *b)
{
    assert_int_equal(a->sip, b->sip);
    assert_int_equal(a->die_kind, b->die_kind);
    assert_int_equal(a->die, b->die);
    assert_int_equal(a->unit, b->unit);
    assert_int_equal(a->index, b->index);
    assert_true(a->offset == b->offset);
}

static void check_both_ways(const kb_addr_layout *layout, const kb_location *where, uint64_t bits)
{
    kb_paddr address = {0};
    kb_location back = {0};
    kb_err err = {0};
    assert_int_equal(kb_paddr_encode(layout, where, &address, &err), 0);
    assert_true(address.bits == bits);
    assert_int_equal(kb_paddr_decode(layout, address, &back, &err), 0);
    assert_same_place(where, &back);
}

static void check_unit(const kb_addr_layout *layout, uint32_t sip, uint32_t die, const place *p)
{
    uint64_t die_id = p->die == KB_DIE_CUBE ? die : layout->cube_dies + die;
    uint64_t high = ((uint64_t)sip << layout->die_bits | die_id) << layout->offset_bits;
    for (uint32_t index = 0; index < p->count; index++) {
        uint64_t offsets[] = {0, 1, p->bytes / 2, p->bytes - 1};
        for (int i = 0; i < 4; i++) {
            kb_location where = {sip, p->die, die, p->unit, index, offsets[i]};
            check_both_ways(layout, &where, high | (p->base + index * p->step + offsets[i]));
        }
        /* The byte after the unit is never the same unit's. */
        kb_location after;
        kb_paddr next = {high | (p->base + index * p->step + p->bytes)};
        if (next.bits < high + (UINT64_C(1) << layout->offset_bits) &&
            kb_paddr_decode(layout, next, &after, NULL) == 0)
            assert_true(after.unit != p->unit || after.index == index + 1);
    }
}

static void check_all_units(const kb_addr_layout *layout, uint32_t sip)
{
    for (int i = 0; i < PLACES; i++) {
        uint32_t dies = MAP[i].die == KB_DIE_CUBE ? layout->cube_dies : layout->io_dies;
        for (uint32_t die = 0; die < dies; die++) check_unit(layout, sip, die, &MAP[i]);
    }
}

static void every_boundary_of_every_unit_goes_both_ways(void **state)
{
    (void)state;
    kb_addr_layout layout = checked(kb_addr_layout_default());
    for (uint32_t sip = 0; sip < 16; sip++) check_all_units(&layout, sip);
}

static void the_default_layout_has_51_bits_where_the_document_says(void **state)
{
    (void)state;
    kb_addr_layout layout = checked(kb_addr_layout_default());
    kb_location last = {15, KB_DIE_IO, 4, KB_UNIT_IO_PCIE_BAR, 0, 512 * GB - 1};
    check_both_ways(&layout, &last,
                    UINT64_C(15) << 47 | UINT64_C(20) << 42 | ((UINT64_C(1) << 40) - 1));
    kb_location csr = {3, KB_DIE_CUBE, 9, KB_UNIT_PE_CSR, 7, 0x40};
    check_both_ways(&layout, &csr,
                    UINT64_C(3) << 47 | UINT64_C(9) << 42 |
                        (UINT64_C(0x2000000000) + 7 * UINT64_C(0x20000000) + 0x14000040));
}

static void wider_layouts_work_up_to_64_bits(void **state)
{
    (void)state;
    kb_addr_layout wide = kb_addr_layout_default();
    wide.sip_bits = 10; /* 1024 SIPs of 64 cubes */
    wide.die_bits = 7;
    wide.cube_dies = 64;
    wide.io_dies = 64;
    wide = checked(wide);
    check_all_units(&wide, 0);
    check_all_units(&wide, 1023);
    wide.sip_bits = 15;
    wide = checked(wide); /* 15 + 7 + 42 = 64 */
    check_all_units(&wide, 32767);
    kb_addr_layout narrow = kb_addr_layout_default();
    narrow.offset_bits = 40;
    narrow.sip_bits = 1;
    narrow = checked(narrow);
    check_all_units(&narrow, 1);
}

/* Whether a 51-bit number is a valid default address, by the table above. */
static bool is_valid(uint64_t bits)
{
    uint64_t die_id = bits >> 42 & 31, local = bits & ((UINT64_C(1) << 42) - 1);
    if (bits >> 51 || die_id > 20) return false;
    kb_die_kind die = die_id < 16 ? KB_DIE_CUBE : KB_DIE_IO;
    for (int i = 0; i < PLACES; i++)
        for (uint64_t k = 0; MAP[i].die == die && k < MAP[i].count; k++) {
            uint64_t start = MAP[i].base + k * MAP[i].step;
            if (local >= start && local - start < MAP[i].bytes) return true;
        }
    return false;
}

static void a_million_random_locations_return_unchanged(void **state)
{
    (void)state;
    kb_addr_layout layout = checked(kb_addr_layout_default());
    kb_rng rng = {1};
    for (int n = 0; n < 1000000; n++) {
        const place *p = &MAP[kb_rng_below(&rng, PLACES)];
        kb_location where = {kb_rng_below(&rng, 16),
                             p->die,
                             kb_rng_below(&rng, p->die == KB_DIE_CUBE ? 16 : 5),
                             p->unit,
                             kb_rng_below(&rng, (uint32_t)p->count),
                             kb_rng_next(&rng) % p->bytes};
        kb_paddr address;
        kb_location back;
        assert_int_equal(kb_paddr_encode(&layout, &where, &address, NULL), 0);
        assert_true(is_valid(address.bits));
        assert_int_equal(kb_paddr_decode(&layout, address, &back, NULL), 0);
        assert_same_place(&where, &back);
    }
}

static void a_million_random_numbers_are_refused_or_return_unchanged(void **state)
{
    (void)state;
    kb_addr_layout layout = checked(kb_addr_layout_default());
    kb_rng rng = {2};
    int valid = 0;
    for (int n = 0; n < 1000000; n++) {
        /* Mostly inside the used part of a die, else hardly any would be valid. */
        uint64_t local = kb_rng_next(&rng) >> (22 + kb_rng_below(&rng, 12));
        kb_paddr address = {kb_rng_next(&rng) >> 12 & ~((UINT64_C(1) << 42) - 1)};
        address.bits |= local;
        kb_location where;
        kb_paddr again;
        int rc = kb_paddr_decode(&layout, address, &where, NULL);
        assert_int_equal(rc, is_valid(address.bits) ? 0 : KB_EINVAL);
        if (rc) continue;
        valid++;
        assert_int_equal(kb_paddr_encode(&layout, &where, &again, NULL), 0);
        assert_true(again.bits == address.bits);
    }
    assert_true(valid > 50000);
}

static void assert_encode_says(kb_location where, const char *words)
{
    kb_addr_layout layout = kb_addr_layout_default();
    kb_paddr out = {42};
    kb_err err = {0};
    assert_int_equal(kb_paddr_encode(&layout, &where, &out, &err), KB_EINVAL);
    if (!strstr(err.text, words)) fail_msg("expected \"%s\" in: %s", words, err.text);
    assert_true(out.bits == 42);
}

static void encoding_names_the_wrong_field_its_value_and_its_range(void **state)
{
    (void)state;
    assert_encode_says((kb_location){16, KB_DIE_CUBE, 0, KB_UNIT_HBM, 0, 0},
                       "sip_id 16 is out of range: allowed 0..15");
    assert_encode_says((kb_location){0, KB_DIE_CUBE, 16, KB_UNIT_HBM, 0, 0},
                       "cube 16 is out of range: allowed 0..15");
    assert_encode_says((kb_location){0, KB_DIE_IO, 5, KB_UNIT_IO_DMA, 0, 0},
                       "io 5 is out of range: allowed 0..4");
    assert_encode_says((kb_location){0, (kb_die_kind)2, 0, KB_UNIT_HBM, 0, 0},
                       "die kind 2 is out of range: allowed 0 (cube), 1 (io)");
    assert_encode_says((kb_location){0, KB_DIE_CUBE, 0, KB_UNIT_COUNT, 0, 0},
                       "unit 14 is out of range: allowed 0..13");
    assert_encode_says((kb_location){0, KB_DIE_IO, 0, KB_UNIT_HBM, 0, 0},
                       "unit hbm is not on a die of kind io: allowed io_sram 0x0 + 0x10000000,");
    assert_encode_says((kb_location){0, KB_DIE_CUBE, 0, KB_UNIT_IO_CSR, 0, 0},
                       "unit io_csr is not on a die of kind cube: allowed hbm 0x0 + 0x180000000");
    assert_encode_says((kb_location){0, KB_DIE_CUBE, 0, KB_UNIT_HBM, 8, 0},
                       "slice 8 of hbm is out of range: allowed 0..7");
    assert_encode_says((kb_location){0, KB_DIE_CUBE, 0, KB_UNIT_PE_MMU, 9, 0},
                       "pe 9 of pe_mmu is out of range: allowed 0..7");
    assert_encode_says((kb_location){0, KB_DIE_CUBE, 0, KB_UNIT_CUBE_SRAM, 1, 0},
                       "index 1 of cube_sram is out of range: allowed 0..0");
}

static void the_first_byte_beyond_any_unit_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < PLACES; i++) {
        char words[120];
        snprintf(words, sizeof words,
                 "offset 0x%" PRIx64 " in %s is out of range: allowed 0x0..0x%" PRIx64,
                 MAP[i].bytes, kb_unit_name(MAP[i].unit), MAP[i].bytes - 1);
        assert_encode_says((kb_location){0, MAP[i].die, 0, MAP[i].unit, 0, MAP[i].bytes}, words);
        assert_encode_says((kb_location){0, MAP[i].die, 0, MAP[i].unit, 0, UINT64_MAX}, "offset");
    }
}

static void assert_decode_says(uint64_t bits, const char *words)
{
    kb_addr_layout layout = kb_addr_layout_default();
    kb_location out;
    kb_err err = {0};
    assert_int_equal(kb_paddr_decode(&layout, (kb_paddr){bits}, &out, &err), KB_EINVAL);
    assert_non_null(strstr(err.text, "physical address 0x"));
    if (!strstr(err.text, words)) fail_msg("expected \"%s\" in: %s", words, err.text);
}

static void decoding_names_the_wrong_field_its_value_and_its_range(void **state)
{
    (void)state;
    assert_decode_says(UINT64_C(1) << 51, "sip_id 16 is out of range: allowed 0..15");
    for (uint64_t die = 21; die < 32; die++) {
        char words[120];
        snprintf(words, sizeof words,
                 "die_id %" PRIu64 " is reserved: allowed 0..15 (cubes) and 16..20 (IO chiplets)",
                 die);
        assert_decode_says(die << 42, words);
    }
    assert_decode_says(48 * GB, "slice 8 of hbm is out of range: allowed 0..7");
    assert_decode_says(128 * GB - 1, "slice 21 of hbm is out of range: allowed 0..7");
    assert_decode_says(128 * GB + 8 * 512 * MB, "pe 8 of pe_tcm is out of range: allowed 0..7");
    assert_decode_says(128 * GB + 31 * 512 * MB + 321 * MB, "pe 31 of pe_mmu is out of range");
    assert_decode_says(128 * GB + 16 * MB, "offset 0x1000000 in pe_tcm is out of range: allowed "
                                           "0x0..0xffffff");
    assert_decode_says(160 * GB + 32 * MB, "offset 0x2000000 in cube_sram is out of range");
    assert_decode_says(128 * GB + 322 * MB, "local_offset 0x2014200000 belongs to no unit");
    assert_decode_says(144 * GB + 257 * MB,
                       "belongs to no unit of a die of kind cube: allowed hbm");
    assert_decode_says(176 * GB, "belongs to no unit"); /* the fourth 16 GB window */
    assert_decode_says(256 * GB, "belongs to no unit");
    assert_decode_says((UINT64_C(1) << 42) - 1, "belongs to no unit");
    uint64_t io = UINT64_C(16) << 42;
    assert_decode_says(io + 512 * GB - 1, "belongs to no unit of a die of kind io");
    assert_decode_says(io + 1024 * GB, "io_pcie_bar 0x8000000000 + 0x8000000000");
}

static void assert_layout_refused(kb_addr_layout layout, const char *words)
{
    kb_err err = {0};
    assert_int_equal(kb_addr_layout_check(&layout, &err), KB_EINVAL);
    if (!strstr(err.text, words)) fail_msg("expected \"%s\" in: %s", words, err.text);
}

static void a_contradictory_layout_is_refused(void **state)
{
    (void)state;
    const kb_addr_layout good = checked(kb_addr_layout_default());
    kb_addr_layout bad = good;
    bad.offset_bits = 39;
    assert_layout_refused(bad, "offset_bits 39 is out of range: allowed 40..62");
    bad = good, bad.sip_bits = 0;
    assert_layout_refused(bad, "sip_bits 0 is out of range: allowed 1..23");
    bad = good, bad.die_bits = 0;
    assert_layout_refused(bad, "die_bits 0 is out of range");
    bad = good, bad.sip_bits = 18;
    assert_layout_refused(bad, "sip_bits + die_bits + offset_bits 65 is out of range");
    bad = good, bad.cube_dies = 32;
    assert_layout_refused(bad, "cube_dies 32 is out of range: allowed 1..31");
    bad = good, bad.io_dies = 17;
    assert_layout_refused(bad, "io_dies 17 is out of range: allowed 1..16");
    bad = good, bad.pes_per_cube = 33;
    assert_layout_refused(bad, "pes_per_cube 33 is out of range: allowed 1..32");
    bad = good, bad.hbm_slices_per_cube = 0;
    assert_layout_refused(bad, "hbm_slices_per_cube 0 is out of range");
    bad = good, bad.hbm_slices_per_cube = 22; /* 22 * 6 GB = 132 GB */
    assert_layout_refused(bad, "hbm: size 6442450944 is out of range: allowed 1..6247225157");
    bad = good, bad.unit_bytes[KB_UNIT_PE_TCM] = 256 * MB + 1;
    assert_layout_refused(bad, "pe_tcm: size 268435457 is out of range: allowed 1..268435456");
    bad = good, bad.unit_bytes[KB_UNIT_CUBE_SRAM] = 0;
    assert_layout_refused(bad, "cube_sram: size 0 is out of range");
}

static void a_full_cube_of_32_pes_and_128_gb_goes_both_ways(void **state)
{
    (void)state;
    kb_addr_layout layout = kb_addr_layout_default();
    layout.pes_per_cube = 32;
    layout.hbm_slices_per_cube = 32;
    layout.unit_bytes[KB_UNIT_HBM] = 4 * GB;
    layout.unit_bytes[KB_UNIT_PE_TCM] = 256 * MB;
    layout = checked(layout);
    for (uint32_t i = 0; i < 32; i++) {
        kb_location hbm = {0, KB_DIE_CUBE, 0, KB_UNIT_HBM, i, 4 * GB - 1};
        check_both_ways(&layout, &hbm, (i + 1) * 4 * GB - 1);
        kb_location tcm = {0, KB_DIE_CUBE, 0, KB_UNIT_PE_TCM, i, 256 * MB - 1};
        check_both_ways(&layout, &tcm, 128 * GB + i * 512 * MB + 256 * MB - 1);
    }
}

static void assert_text(kb_location where, const char *expected)
{
    kb_addr_layout layout = kb_addr_layout_default();
    kb_paddr address;
    char text[80];
    assert_int_equal(kb_paddr_encode(&layout, &where, &address, NULL), 0);
    assert_string_equal(kb_paddr_format(&layout, address, text, sizeof text), expected);
}

static void an_address_prints_as_the_node_and_the_offset(void **state)
{
    (void)state;
    assert_text((kb_location){0, KB_DIE_CUBE, 5, KB_UNIT_HBM, 3, 0x100},
                "sip0.cube5.hbm_ctrl.slice3+0x100");
    assert_text((kb_location){1, KB_DIE_CUBE, 15, KB_UNIT_PE_TCM, 7, 0},
                "sip1.cube15.pe7.pe_tcm+0x0");
    assert_text((kb_location){1, KB_DIE_CUBE, 2, KB_UNIT_CUBE_SRAM, 0, 8}, "sip1.cube2.sram+0x8");
    assert_text((kb_location){1, KB_DIE_IO, 0, KB_UNIT_IO_DMA, 0, 8}, "sip1.io0.io_cpu.dma+0x8");
    kb_addr_layout layout = kb_addr_layout_default();
    char text[80];
    kb_paddr_format(&layout, (kb_paddr){48 * GB}, text, sizeof text);
    assert_string_equal(text, "0xc00000000 (not a valid physical address)");
    kb_paddr_format(&layout, (kb_paddr){0}, text, 5);
    assert_string_equal(text, "sip0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_boundary_of_every_unit_goes_both_ways),
        cmocka_unit_test(the_default_layout_has_51_bits_where_the_document_says),
        cmocka_unit_test(wider_layouts_work_up_to_64_bits),
        cmocka_unit_test(a_million_random_locations_return_unchanged),
        cmocka_unit_test(a_million_random_numbers_are_refused_or_return_unchanged),
        cmocka_unit_test(encoding_names_the_wrong_field_its_value_and_its_range),
        cmocka_unit_test(the_first_byte_beyond_any_unit_is_refused),
        cmocka_unit_test(decoding_names_the_wrong_field_its_value_and_its_range),
        cmocka_unit_test(a_contradictory_layout_is_refused),
        cmocka_unit_test(a_full_cube_of_32_pes_and_128_gb_goes_both_ways),
        cmocka_unit_test(an_address_prints_as_the_node_and_the_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
