/* A pool that one thread takes from and any thread gives back to (src/base/depot.h). */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/depot.h"

enum { BLOCKS = 1000, GIVERS = 4, ROUNDS = 20, BLOCK_BYTES = 32, CHUNK_BYTES = 64 << 10 };

typedef struct giver {
    kb_depot *depot;
    uint64_t **blocks;
    size_t count;
} giver;

static void *give_all(void *object)
{
    giver *g = object;
    for (size_t i = 0; i < g->count; i++) kb_depot_give(g->depot, g->blocks[i]);
    return NULL;
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (uint64_t *const *)a, y = (uintptr_t) * (uint64_t *const *)b;
    return (x > y) - (x < y);
}

static void take_all(kb_depot *depot, uint64_t **blocks)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = kb_depot_take(depot);
        blocks[i][0] = blocks[i][2] = i;
    }
    for (size_t i = 0; i < BLOCKS; i++) { /* nobody has a part of another's */
        assert_int_equal(blocks[i][0], i);
        assert_int_equal(blocks[i][2], i);
    }
}

static void give_from_threads(kb_depot *depot, uint64_t **blocks)
{
    pthread_t thread[GIVERS];
    giver g[GIVERS];
    for (int t = 0; t < GIVERS; t++) {
        g[t] = (giver){depot, blocks + t * BLOCKS / GIVERS, BLOCKS / GIVERS};
        assert_int_equal(pthread_create(&thread[t], NULL, give_all, &g[t]), 0);
    }
    for (int t = 0; t < GIVERS; t++) pthread_join(thread[t], NULL);
}

static void what_several_threads_gave_back_is_taken_again(void **state)
{
    (void)state;
    static uint64_t *seen[ROUNDS * BLOCKS];
    kb_depot *depot = kb_depot_create(BLOCK_BYTES);
    for (int r = 0; r < ROUNDS; r++) {
        take_all(depot, seen + r * BLOCKS);
        give_from_threads(depot, seen + r * BLOCKS);
    }
    kb_depot_close(depot);
    qsort(seen, ROUNDS * BLOCKS, sizeof *seen, by_address);
    size_t distinct = 1;
    for (size_t i = 1; i < ROUNDS * BLOCKS; i++) distinct += seen[i] != seen[i - 1];
    assert_in_range(distinct, BLOCKS, CHUNK_BYTES / BLOCK_BYTES);
}

/* The sanitizer's leak check sees whether the last one frees it, and only the last. */
static void blocks_outlive_the_owner(void **state)
{
    (void)state;
    kb_depot *depot = kb_depot_create(sizeof(uint64_t));
    uint64_t *a = kb_depot_take(depot), *b = kb_depot_take(depot), *c = kb_depot_take(depot);
    *b = 2;
    *c = 3;
    kb_depot_give(depot, a);
    kb_depot_close(depot);
    assert_int_equal(*b, 2);
    kb_depot_give(depot, b);
    assert_int_equal(*c, 3);
    kb_depot_give_own(depot, c);
}

static void an_owner_without_blocks_out_leaves_nothing(void **state)
{
    (void)state;
    kb_depot *depot = kb_depot_create(sizeof(uint64_t));
    kb_depot_give(depot, kb_depot_take(depot));
    kb_depot_close(depot);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_several_threads_gave_back_is_taken_again),
        cmocka_unit_test(blocks_outlive_the_owner),
        cmocka_unit_test(an_owner_without_blocks_out_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
