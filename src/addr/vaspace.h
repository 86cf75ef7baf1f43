/* Virtual addresses: one space per process of the modelled machine, in which every tensor has one
 * contiguous range that begins on a page boundary.
 *
 * A range is known by its exact size in bytes; the rest of its last page belongs to nobody, so an
 * access there is as wrong as one anywhere else. Names are copied. Addresses of freed ranges are
 * reused, lowest first. A kb_vaddr is a struct of its own so that a physical address (kb_paddr,
 * addr/physaddr.h) in its place does not compile. */
#ifndef KB_ADDR_VASPACE_H
#define KB_ADDR_VASPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr/alloc.h"
#include "base/err.h"

typedef struct kb_vaddr {
    uint64_t bits;
} kb_vaddr;

#define KB_VASPACE_BASE  UINT64_C(0x100000000)
#define KB_VASPACE_BYTES (UINT64_C(64) << 30)
#define KB_PAGE_BYTES    UINT64_C(4096)

/* Fields are private. */
typedef struct kb_vaspace {
    kb_alloc alloc;
    uint64_t page_bytes;
} kb_vaspace;

typedef struct kb_va_range {
    kb_vaddr va;
    uint64_t bytes;   /* as asked for, not rounded to pages */
    const char *name; /* valid until the range is given back */
} kb_va_range;

static inline kb_vaddr kb_vaddr_plus(kb_vaddr va, uint64_t bytes)
{
    return (kb_vaddr){va.bits + bytes};
}

/* `page_bytes` is a power of two; base and size are multiples of it. KB_EINVAL otherwise. */
int kb_vaspace_init(kb_vaspace *space, uint64_t base, uint64_t bytes, uint64_t page_bytes,
                    kb_err *err);
void kb_vaspace_fini(kb_vaspace *space);

/* A range of whole pages for `bytes` > 0. KB_ENOSPC when no hole is large enough; the message does
 * not say for whom. */
int kb_vaspace_take(kb_vaspace *space, const char *name, uint64_t bytes, kb_vaddr *va, kb_err *err);
int kb_vaspace_give(kb_vaspace *space, kb_vaddr va, kb_err *err);

/* The range that contains `va`; false if `va` belongs to none. */
bool kb_vaspace_find(const kb_vaspace *space, kb_vaddr va, kb_va_range *out);

/* The range with a byte nearest to `va`, the lower one of two equally near; false if there is none.
 */
bool kb_vaspace_nearest(const kb_vaspace *space, kb_vaddr va, kb_va_range *out);

/* The first range that begins at or above `va`: iterate as with kb_alloc_at_or_above. */
bool kb_vaspace_at_or_above(const kb_vaspace *space, kb_vaddr va, kb_va_range *out);

/* For trap messages: "0x100001200 is 513 bytes after the last byte of 'w' [0x100000000,
 * 0x100001000)". Cut to `size`, which is not 0. Returns `text`. */
const char *kb_vaspace_describe(const kb_vaspace *space, kb_vaddr va, char *text, size_t size);

static inline size_t kb_vaspace_live(const kb_vaspace *space)
{
    return kb_alloc_live(&space->alloc);
}

#endif
