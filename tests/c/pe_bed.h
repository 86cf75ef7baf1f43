/* PEs of sip0.cube0 with memory mapped for them, for tests. */
#ifndef KB_TESTS_PE_BED_H
#define KB_TESTS_PE_BED_H

#include "hw/pe/tile.h"
#include "machine.h"

static inline kb_pe *pe_of(bed *b, int number)
{
    return kb_machine_pe(b->m, 0, 0, number);
}

static inline kb_paddr hbm(bed *b, int cube, int slice, uint64_t offset)
{
    kb_location at = {.die_kind = KB_DIE_CUBE,
                      .die = (uint32_t)cube,
                      .unit = KB_UNIT_HBM,
                      .index = (uint32_t)slice,
                      .offset = offset};
    kb_paddr pa;
    kb_err err = {0};
    if (kb_paddr_encode(&b->m->layout, &at, &pa, &err)) fail_msg("%s", err.text);
    return pa;
}

/* For pe0. */
static inline void map(bed *b, uint64_t va, uint64_t bytes, int slice, uint64_t offset)
{
    kb_err err = {0};
    if (kb_pagetable_map(kb_machine_pagetable(b->m, 0, 0), (kb_vaddr){va}, bytes,
                         hbm(b, 0, slice, offset), 0x1, &err))
        fail_msg("%s", err.text);
}

/* 4 KB from the own slice: request 2.12, two bursts, eight flits and a link, 0.12. */
enum { READ_4K = 2120 + 20000 + 8000 + 1000 + 120 };

#endif
