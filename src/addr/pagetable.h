/* The translations of one cube: for each of its PEs, a map from virtual to physical addresses.
 *
 * A mapping is an extent: exactly `bytes` from a virtual address onto as many from a physical one,
 * for a set of PEs (bit p of the mask is PE p). Extents have byte granularity although virtual
 * ranges are handed out in pages: shards smaller than a page share it, each with an extent of its
 * own, and an access beyond a tensor traps even inside the tensor's last page. For one PE extents
 * never overlap; different PEs may see different memory at the same address (replicas).
 *
 * Extents with the same mask form one array sorted by address; a look-up searches the few arrays
 * whose mask has the PE. Extents are not merged, even if they touch on both sides: the end of one
 * slice and the start of the next are neighbours by number but not in hardware, and a mapping that
 * lies within one unit must give translations that do.
 *
 * A block is many extents as one entry: what several tables map alike is written down once, and
 * mapped in each in the time of one extent.
 *
 * An empty table owns no heap memory. Not thread safe. */
#ifndef KB_ADDR_PAGETABLE_H
#define KB_ADDR_PAGETABLE_H

#include <stddef.h>
#include <stdint.h>

#include "addr/physaddr.h"
#include "addr/vaspace.h"
#include "base/err.h"

enum { KB_PAGETABLE_MAX_PES = 32 };

typedef struct kb_page_extent {
    uint64_t va, bytes, pa;
} kb_page_extent;

/* Extents by ascending va, disjoint; at least one. Whoever maps it keeps it, unchanged, while a
 * table has it. */
typedef struct kb_page_block {
    uint32_t count;
    kb_page_extent extents[];
} kb_page_block;

/* Fields are private. */
typedef struct kb_pagetable {
    struct kb_pagetable_layer *layers;
    uint32_t layer_count, layer_capacity;
    uint32_t pes;
} kb_pagetable;

/* `pes` in 1..KB_PAGETABLE_MAX_PES. */
void kb_pagetable_init(kb_pagetable *table, uint32_t pes);
void kb_pagetable_fini(kb_pagetable *table);

/* KB_EINVAL, naming both ranges, if one of the PEs already maps a part of it; then nothing changes.
 */
int kb_pagetable_map(kb_pagetable *table, kb_vaddr va, uint64_t bytes, kb_paddr pa,
                     uint32_t pe_mask, kb_err *err);

/* Map all extents of a block. Nothing else of its PEs may lie between them. KB_EINVAL as above. */
int kb_pagetable_map_block(kb_pagetable *table, const kb_page_block *block, uint32_t pe_mask,
                           kb_err *err);

/* Remove a block that was mapped for exactly these PEs. KB_EINVAL if it was not, or if a part of it
 * has been unmapped. */
int kb_pagetable_unmap_block(kb_pagetable *table, const kb_page_block *block, uint32_t pe_mask,
                             kb_err *err);

/* Remove exactly this range for exactly these PEs; extents that reach further are cut. KB_EINVAL if
 * one of the PEs does not map a part of it; then nothing changes. */
int kb_pagetable_unmap(kb_pagetable *table, kb_vaddr va, uint64_t bytes, uint32_t pe_mask,
                       kb_err *err);

/* Where `va` lies for a PE, and how many bytes from there on the extent still has (at least 1).
 * KB_EFAULT if it is not mapped; `err` may be null, as it usually is here. */
int kb_pagetable_translate(const kb_pagetable *table, uint32_t pe, kb_vaddr va, kb_paddr *pa,
                           uint64_t *contiguous_bytes, kb_err *err);

/* How many extents there are; one that several PEs share counts once, one of a block like any
 * other. */
size_t kb_pagetable_extents(const kb_pagetable *table);

#endif
