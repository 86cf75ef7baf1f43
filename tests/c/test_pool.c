/* Pools of equal blocks (src/base/pool.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/pool.h"

enum { BLOCKS = 5000 };

static size_t visited;
static uint64_t sum;

static void visit(void *block)
{
    visited++;
    sum += *(uint64_t *)block;
}

static kb_pool *pool;

static void give(void *block)
{
    kb_pool_give(pool, block);
}

/* Every third block is given back: the others are numbered 0, 1, 3, 4, 6, ... */
static void taken_blocks_are_visited_and_no_others(void **state)
{
    (void)state;
    kb_pool all;
    uint64_t *blocks[BLOCKS], expected = 0, left = 0;
    kb_pool_init(&all, 48);
    visited = sum = 0;
    kb_pool_each_taken(&all, visit);
    assert_int_equal(visited, 0);
    for (uint64_t i = 0; i < BLOCKS; i++) {
        blocks[i] = kb_pool_take(&all);
        *blocks[i] = i;
    }
    for (uint64_t i = 0; i < BLOCKS; i++) {
        if (i % 3 == 2)
            kb_pool_give(&all, blocks[i]);
        else
            expected += i, left++;
    }
    kb_pool_each_taken(&all, visit);
    assert_int_equal(visited, left);
    assert_int_equal(sum, expected);
    pool = &all;
    kb_pool_each_taken(&all, give);
    assert_int_equal(all.live, 0);
    kb_pool_fini(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taken_blocks_are_visited_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
