/* The cube's SRAM as a target of PEs' DMA. */
#include "hw/sram.h"
#include "pe_bed.h"

static kb_paddr sram_address(bed *b, int sip, int cube, uint64_t offset)
{
    kb_location at = {.sip = (uint32_t)sip,
                      .die_kind = KB_DIE_CUBE,
                      .die = (uint32_t)cube,
                      .unit = KB_UNIT_CUBE_SRAM,
                      .offset = offset};
    kb_paddr pa;
    kb_err err = {0};
    if (kb_paddr_encode(&b->m->layout, &at, &pa, &err)) fail_msg("%s", err.text);
    return pa;
}

static kb_time move(bed *b, int direction, int sip, int cube, uint64_t bytes)
{
    kb_pieces pieces = {0};
    kb_vec_push(
        &pieces,
        ((kb_piece){
            .pa = sram_address(b, sip, cube, 64), .rows = 1, .row_bytes = bytes, .stride = bytes}));
    kb_time ended, began = b->sim->now;
    kb_pe_dma(pe_of(b, 0), direction, &pieces, note_time, &ended, 0);
    run_all(b);
    return ended - began;
}

static void the_sram_of_the_own_cube_runs_at_its_link(void **state)
{
    (void)state;
    bed b = bed_default();
    /* pe0 (r0c0) to the sram (r3c0): four links of 1 ns, one of 2; three of 20 ps, there and back.
     */
    kb_time expected = 4000 + 2000 + 15 * 2000 + 2 * 60;
    assert_int_equal(move(&b, KB_DMA_WRITE, 0, 0, 4096), expected);
    assert_int_equal(move(&b, KB_DMA_READ, 0, 0, 4096), expected);
    bed_close(&b);
}

static void other_cubes_and_sips_are_reached_too(void **state)
{
    (void)state;
    bed b = bed_default();
    static const int targets[][2] = {{0, 1}, {0, 15}, {1, 0}, {1, 15}};
    kb_time last = 0;
    for (size_t i = 0; i < 4; i++) {
        int sip = targets[i][0], cube = targets[i][1];
        char name[KB_NAME_MAX];
        snprintf(name, sizeof name, "sip%d.cube%d.sram", sip, cube);
        for (int op = KB_TXN_READ; op <= KB_TXN_WRITE; op++) {
            kb_formula f;
            assert_int_equal(kb_closed_form(b.m, (kb_txn_op)op,
                                            node_of(&b, "sip0.cube0.pe0.pe_dma"), node_of(&b, name),
                                            64, 5000, &f, NULL),
                             KB_OK);
            kb_time time = move(&b, op, sip, cube, 5000);
            assert_int_equal(time, f.total);
            if (op == KB_TXN_WRITE && i < 2) {
                assert_true(time > last); /* the next cube, the farthest one */
                last = time;
            }
        }
        const kb_sram *sram = (const kb_sram *)kb_machine_device(b.m, node_of(&b, name));
        assert_int_equal(sram->bytes_read, 5000);
        assert_int_equal(sram->bytes_written, 5000);
    }
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sram_of_the_own_cube_runs_at_its_link),
        cmocka_unit_test(other_cubes_and_sips_are_reached_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
