/* A first-fit allocator over one modelled memory or address range.
 *
 * It hands out addresses of [base, base + size); it owns no memory of the machine itself. The
 * lowest address that fits is taken, so equal sequences of calls give equal addresses. Neighbouring
 * holes are one hole by construction: only live blocks are kept, in order, in rows that know a
 * bound of their holes. Made for up to some thousand blocks; with a dozen, taking and giving back
 * is a walk over a few lines of memory. Holes that are large enough but badly aligned are tried one
 * by one: where all blocks have the same alignment, let them take multiples of it.
 *
 * An allocator that nothing was taken from owns no heap memory (there may be one for every slice of
 * 16,384 cubes), and is 64 bytes. Not thread safe. */
#ifndef KB_ADDR_ALLOC_H
#define KB_ADDR_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Fields are private, visible so that allocators can live in arrays. */
typedef struct kb_alloc {
    const char *name;
    uint64_t base, size, used;
    struct kb_alloc_row *rows;
    uint32_t row_count, row_capacity, live, grain;
} kb_alloc;

/* A live block. */
typedef struct kb_block {
    uint64_t addr, bytes;
    void *tag; /* null, or what kb_alloc_set_tag set */
} kb_block;

/* `name` begins every message ("sip0.cube2.hbm_ctrl.slice3"); it is borrowed and must outlive the
 * allocator. base + size must not exceed UINT64_MAX. */
void kb_alloc_init(kb_alloc *alloc, const char *name, uint64_t base, uint64_t size);
/* Every block takes a multiple of `grain`, a power of two, however much is asked for. */
void kb_alloc_init_whole(kb_alloc *alloc, const char *name, uint64_t base, uint64_t size,
                         uint32_t grain);
void kb_alloc_fini(kb_alloc *alloc); /* live blocks are dropped; tags are not followed */

/* The first hole that holds `bytes` > 0 at an address that is a multiple of `align`, a power of
 * two. KB_ENOSPC, with what is free and the largest hole, if there is none. */
int kb_alloc_take(kb_alloc *alloc, uint64_t bytes, uint64_t align, uint64_t *addr, kb_err *err);

/* Give a block back by its first address. KB_EINVAL for anything that is not one: outside the
 * range, inside a block, or not allocated (any more). */
int kb_alloc_give(kb_alloc *alloc, uint64_t addr, kb_err *err);

/* Attach something of the caller's to the live block that begins at `addr`. */
int kb_alloc_set_tag(kb_alloc *alloc, uint64_t addr, void *tag, kb_err *err);

/* The last live block that begins at or below `addr` / the first that begins at or above it. False
 * if there is none. Iterate over all, in order of address:
 *
 *     for (uint64_t at = 0; kb_alloc_at_or_above(a, at, &block); at = block.addr + block.bytes) */
bool kb_alloc_at_or_below(const kb_alloc *alloc, uint64_t addr, kb_block *out);
bool kb_alloc_at_or_above(const kb_alloc *alloc, uint64_t addr, kb_block *out);

/* The live block that contains `addr`. */
bool kb_alloc_find(const kb_alloc *alloc, uint64_t addr, kb_block *out);

uint64_t kb_alloc_largest_hole(const kb_alloc *alloc);

static inline uint64_t kb_alloc_used_bytes(const kb_alloc *alloc)
{
    return alloc->used;
}

static inline uint64_t kb_alloc_free_bytes(const kb_alloc *alloc)
{
    return alloc->size - alloc->used;
}

static inline size_t kb_alloc_live(const kb_alloc *alloc)
{
    return alloc->live;
}

#endif
