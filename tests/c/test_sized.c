#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/sized.h"

static int set_up(void **state)
{
    kb_sized *sized = malloc(sizeof *sized);
    kb_sized_init(sized);
    *state = sized;
    return 0;
}

static int tear_down(void **state)
{
    kb_sized_fini(*state);
    free(*state);
    return 0;
}

static void fill(unsigned char *block, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) block[i] = (unsigned char)(seed + i * 7);
}

static void check(const unsigned char *block, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++) assert_int_equal(block[i], (unsigned char)(seed + i * 7));
}

static void a_block_keeps_its_contents_as_it_grows_and_shrinks(void **state)
{
    static const size_t sizes[] = {1, 16, 17, 100, 2047, 2048, 2049, 9000, 2500, 2048, 33, 8};
    size_t old = 200;
    unsigned char *block = kb_sized_take(*state, old);
    fill(block, old, 3);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        block = kb_sized_resize(*state, block, old, sizes[i]);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        check(block, old < sizes[i] ? old : sizes[i], 3);
        fill(block, sizes[i], 3);
        old = sizes[i];
    }
    kb_sized_give(*state, block, old);
}

static void blocks_do_not_overlap(void **state)
{
    enum { COUNT = 5000 };
    unsigned char **blocks = malloc(COUNT * sizeof *blocks);
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = 1 + i * 37 % 2600;
        blocks[i] = kb_sized_take(*state, size);
        fill(blocks[i], size, i);
    }
    for (unsigned i = 0; i < COUNT; i++) check(blocks[i], 1 + i * 37 % 2600, i);
    for (unsigned i = 0; i < COUNT; i++) kb_sized_give(*state, blocks[i], 1 + i * 37 % 2600);
    free(blocks);
}

static void what_is_given_back_serves_the_next_of_about_its_size(void **state)
{
    void *block = kb_sized_take(*state, 40);
    assert_ptr_equal(kb_sized_resize(*state, block, 40, 33), block);
    kb_sized_give(*state, block, 33);
    void *other = kb_sized_take(*state, 49);
    assert_ptr_not_equal(other, block);
    assert_ptr_equal(kb_sized_take(*state, 48), block);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_block_keeps_its_contents_as_it_grows_and_shrinks),
        TEST(blocks_do_not_overlap),
        TEST(what_is_given_back_serves_the_next_of_about_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
