/* How SIPs are arranged: side lengths, neighbours, refusals. */
#include "machine.h"

static kb_grid grid_of(const char *kind, int count, int w, int h)
{
    char text[4][64];
    snprintf(text[0], sizeof text[0], "system.sips.grid.kind=%s", kind);
    snprintf(text[1], sizeof text[1], "system.sips.count=%d", count);
    snprintf(text[2], sizeof text[2], "system.sips.grid.w=%d", w);
    snprintf(text[3], sizeof text[3], "system.sips.grid.h=%d", h);
    bed b = bed_make(text[0], text[1], text[2], text[3], "address.sip_bits=8");
    kb_grid grid = b.m->graph->grid;
    bed_close(&b);
    return grid;
}

/* The neighbours of a SIP in the order N E S W; -1 where there is none. */
static void expect_neighbours(const kb_grid *grid, int sip, int n, int e, int s, int w)
{
    assert_int_equal(kb_grid_neighbour(grid, sip, KB_NORTH), n);
    assert_int_equal(kb_grid_neighbour(grid, sip, KB_EAST), e);
    assert_int_equal(kb_grid_neighbour(grid, sip, KB_SOUTH), s);
    assert_int_equal(kb_grid_neighbour(grid, sip, KB_WEST), w);
}

static void sips_are_a_ring_unless_told_otherwise(void **state)
{
    (void)state;
    bed b = bed_default();
    kb_grid grid = b.m->graph->grid;
    assert_true(grid.kind == KB_RING_1D && grid.w == 2 && grid.h == 1);
    expect_neighbours(&grid, 0, -1, 1, -1, 1); /* of two, both ways lead to the other */
    bed_close(&b);
    grid = grid_of("ring_1d", 5, 0, 0);
    assert_true(grid.w == 5 && grid.h == 1);
    expect_neighbours(&grid, 0, -1, 1, -1, 4);
    expect_neighbours(&grid, 4, -1, 0, -1, 3);
    grid = grid_of("ring_1d", 5, 5, 1);
    expect_neighbours(&grid, 2, -1, 3, -1, 1);
    grid = grid_of("ring_1d", 1, 0, 0);
    expect_neighbours(&grid, 0, -1, -1, -1, -1);
}

/*  0 1 2
 *  3 4 5 */
static void a_torus_wraps_around_and_a_mesh_does_not(void **state)
{
    (void)state;
    kb_grid torus = grid_of("torus_2d", 6, 3, 2), mesh = grid_of("mesh_2d", 6, 3, 2);
    assert_true(torus.w == 3 && torus.h == 2);
    expect_neighbours(&torus, 0, 3, 1, 3, 2);
    expect_neighbours(&torus, 5, 2, 3, 2, 4);
    expect_neighbours(&mesh, 0, -1, 1, 3, -1);
    expect_neighbours(&mesh, 1, -1, 2, 4, 0);
    expect_neighbours(&mesh, 5, 2, -1, -1, 4);
    kb_grid tall = grid_of("mesh_2d", 6, 2, 3); /* 0 1 / 2 3 / 4 5 */
    expect_neighbours(&tall, 2, 0, 3, 4, -1);
}

static void an_axis_of_one_has_no_neighbours(void **state)
{
    (void)state;
    kb_grid row = grid_of("torus_2d", 7, 7, 1), column = grid_of("torus_2d", 7, 1, 7);
    expect_neighbours(&row, 0, -1, 1, -1, 6);
    expect_neighbours(&column, 0, 6, -1, 1, -1);
    row = grid_of("mesh_2d", 7, 7, 1);
    expect_neighbours(&row, 6, -1, -1, -1, 5);
    column = grid_of("mesh_2d", 7, 1, 7);
    expect_neighbours(&column, 6, 5, -1, -1, -1);
}

static void omitted_sides_are_those_of_a_square(void **state)
{
    (void)state;
    kb_grid grid = grid_of("mesh_2d", 9, 0, 0);
    assert_true(grid.w == 3 && grid.h == 3);
    expect_neighbours(&grid, 4, 1, 5, 7, 3);
    grid = grid_of("torus_2d", 1, 0, 0);
    expect_neighbours(&grid, 0, -1, -1, -1, -1);
}

/* Going back the other way leads home, and coordinates are an exact inverse. */
static void every_step_has_a_step_back(void **state)
{
    (void)state;
    static const char *const kinds[] = {"torus_2d", "mesh_2d"};
    for (int k = 0; k < 2; k++)
        for (int w = 1; w <= 5; w++)
            for (int h = 1; h <= 5; h++) {
                kb_grid grid = grid_of(kinds[k], w * h, w, h);
                assert_string_equal(kb_grid_kind_name(grid.kind), kinds[k]);
                for (int sip = 0; sip < w * h; sip++) {
                    int x = kb_grid_x(&grid, sip), y = kb_grid_y(&grid, sip);
                    assert_int_equal(kb_grid_sip(&grid, x, y), sip);
                    for (int side = KB_NORTH; side <= KB_WEST; side++) {
                        int other = kb_grid_neighbour(&grid, sip, (enum kb_side)side);
                        if (other == KB_NO_SIP) continue;
                        enum kb_side back = (enum kb_side)((side + 2) & 3);
                        assert_int_equal(kb_grid_neighbour(&grid, other, back), sip);
                    }
                }
            }
}

static void expect_refusal(const char *kind, const char *count, const char *sides, const char *text)
{
    char yaml[300];
    snprintf(yaml, sizeof yaml,
             "system:\n  sips:\n    count: %s\n    grid: {kind: %s%s}\nsip:\n  io_chiplets:\n    "
             "- side: N\n",
             count, kind, sides);
    bed b;
    kb_err err = {0};
    assert_int_equal(bed_try(&b, yaml, NULL, &err), KB_EINVAL);
    if (!strstr(err.text, text)) fail_msg("\"%s\" is not in: %s", text, err.text);
}

static void sides_that_do_not_make_up_the_count_are_refused_with_all_three(void **state)
{
    (void)state;
    expect_refusal("torus_2d", "6", "",
                   ":4:11: system.sips.grid: torus_2d needs w and h unless count is a square, but "
                   "system.sips.count is 6, w is 0, h is 0");
    expect_refusal("mesh_2d", "6", ", w: 2, h: 2",
                   "mesh_2d needs w x h = count, but system.sips.count is 6, w is 2, h is 2");
    expect_refusal("mesh_2d", "6", ", w: 3", "system.sips.count is 6, w is 3, h is 0");
    expect_refusal("torus_2d", "4", ", h: 2", "system.sips.count is 4, w is 0, h is 2");
    expect_refusal("ring_1d", "6", ", w: 3, h: 2", "system.sips.count is 6, w is 3, h is 2");
    expect_refusal("ring_1d", "6", ", h: 6", "system.sips.count is 6, w is 0, h is 6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sips_are_a_ring_unless_told_otherwise),
        cmocka_unit_test(a_torus_wraps_around_and_a_mesh_does_not),
        cmocka_unit_test(an_axis_of_one_has_no_neighbours),
        cmocka_unit_test(omitted_sides_are_those_of_a_square),
        cmocka_unit_test(every_step_has_a_step_back),
        cmocka_unit_test(sides_that_do_not_make_up_the_count_are_refused_with_all_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
