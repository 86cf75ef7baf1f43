/* What tests of page tables share: a table of eight PEs, and what it says of addresses. */
#ifndef KB_TESTS_PAGETABLE_H
#define KB_TESTS_PAGETABLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "addr/pagetable.h"

#define BASE KB_VASPACE_BASE
#define ALL8 0xffu

static inline int set_up(void **state)
{
    static kb_pagetable table;
    kb_pagetable_init(&table, 8);
    *state = &table;
    return 0;
}

static inline int tear_down(void **state)
{
    kb_pagetable_fini(*state);
    return 0;
}

static inline int map(void *table, uint64_t va, uint64_t bytes, uint64_t pa, uint32_t mask)
{
    return kb_pagetable_map(table, (kb_vaddr){va}, bytes, (kb_paddr){pa}, mask, NULL);
}

static inline int unmap(void *table, uint64_t va, uint64_t bytes, uint32_t mask)
{
    return kb_pagetable_unmap(table, (kb_vaddr){va}, bytes, mask, NULL);
}

static inline void assert_at(void *table, uint32_t pe, uint64_t va, uint64_t pa, uint64_t bytes)
{
    kb_paddr got = {0};
    uint64_t rest = 0;
    assert_int_equal(kb_pagetable_translate(table, pe, (kb_vaddr){va}, &got, &rest, NULL), 0);
    assert_true(got.bits == pa);
    assert_true(rest == bytes);
}

static inline void assert_trap(void *table, uint32_t pe, uint64_t va)
{
    kb_paddr pa;
    uint64_t rest;
    assert_int_equal(kb_pagetable_translate(table, pe, (kb_vaddr){va}, &pa, &rest, NULL),
                     KB_EFAULT);
}

static inline void assert_owns_nothing(const kb_pagetable *table)
{
    assert_null(table->layers);
    assert_int_equal(kb_pagetable_extents(table), 0);
}

static inline void assert_map_says(void *table, uint64_t va, uint64_t bytes, uint32_t mask,
                                   const char *words)
{
    kb_err err = {0};
    size_t before = kb_pagetable_extents(table);
    assert_int_equal(kb_pagetable_map(table, (kb_vaddr){va}, bytes, (kb_paddr){0x9000}, mask, &err),
                     KB_EINVAL);
    if (!strstr(err.text, words)) fail_msg("expected \"%s\" in: %s", words, err.text);
    assert_int_equal(kb_pagetable_extents(table), before);
}

#define WITH_TABLE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
