/* Memory that is given back as a whole (base/arena.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/rng.h"

enum { PIECES = 3000 };

/* From one byte to some chunks; 20 MB of them, so some chunks are large. */
static size_t random_size(kb_rng *rng)
{
    if (kb_rng_below(rng, 500) == 0) return 1 + kb_rng_below(rng, 3 << 20);
    return 1 + kb_rng_below(rng, 4000);
}

static void pieces_are_zeroed_begin_with_a_line_and_stay_apart(void **state)
{
    (void)state;
    kb_rng rng = {3};
    kb_arena arena = {0};
    static unsigned char *piece[PIECES];
    static size_t size[PIECES];
    for (int i = 0; i < PIECES; i++) {
        size[i] = random_size(&rng);
        piece[i] = kb_arena_take(&arena, size[i]);
        assert_int_equal((uintptr_t)piece[i] % 64, 0);
        for (size_t k = 0; k < size[i]; k++) assert_true(piece[i][k] == 0);
        memset(piece[i], 1 + i % 255, size[i]);
    }
    for (int i = 0; i < PIECES; i++)
        for (size_t k = 0; k < size[i]; k++) assert_true(piece[i][k] == 1 + i % 255);
    kb_arena_fini(&arena);
    assert_null(arena.chunks);
}

static void an_empty_arena_can_be_finished(void **state)
{
    (void)state;
    kb_arena arena = {0};
    kb_arena_fini(&arena);
    assert_null(arena.chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_begin_with_a_line_and_stay_apart),
        cmocka_unit_test(an_empty_arena_can_be_finished),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
