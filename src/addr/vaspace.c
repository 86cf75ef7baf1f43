#include "addr/vaspace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What hangs on an allocator's block. */
typedef struct range {
    uint64_t bytes;
    char name[];
} range;

int kb_vaspace_init(kb_vaspace *space, uint64_t base, uint64_t bytes, uint64_t page_bytes,
                    kb_err *err)
{
    if (page_bytes == 0 || (page_bytes & (page_bytes - 1)))
        return kb_fail(err, KB_EINVAL, "page size %" PRIu64 " is not a power of two", page_bytes);
    if (base % page_bytes || bytes % page_bytes || bytes == 0 || bytes > UINT64_MAX - base)
        return kb_fail(err, KB_EINVAL,
                       "virtual address space of %" PRIu64 " bytes from 0x%" PRIx64
                       ": both must be multiples of the page size %" PRIu64
                       ", the size above 0, the end below 2^64",
                       bytes, base, page_bytes);
    kb_alloc_init(&space->alloc, "virtual address space (address.va_gb)", base, bytes);
    space->page_bytes = page_bytes;
    return 0;
}

void kb_vaspace_fini(kb_vaspace *space)
{
    kb_block block;
    for (uint64_t at = 0; kb_alloc_at_or_above(&space->alloc, at, &block);
         at = block.addr + block.bytes)
        free(block.tag);
    kb_alloc_fini(&space->alloc);
}

static range *new_range(const char *name, uint64_t bytes)
{
    size_t length = strlen(name) + 1;
    range *made = kb_xmalloc(sizeof *made + length);
    made->bytes = bytes;
    memcpy(made->name, name, length);
    return made;
}

int kb_vaspace_take(kb_vaspace *space, const char *name, uint64_t bytes, kb_vaddr *va, kb_err *err)
{
    uint64_t mask = space->page_bytes - 1;
    /* What exceeds the space is left alone: it fails all the same, and rounding could wrap. */
    uint64_t pages = bytes > space->alloc.size ? bytes : (bytes + mask) & ~mask;
    uint64_t addr;
    int rc = kb_alloc_take(&space->alloc, pages, space->page_bytes, &addr, err);
    if (rc) return rc;
    kb_alloc_set_tag(&space->alloc, addr, new_range(name, bytes), NULL);
    va->bits = addr;
    return 0;
}

int kb_vaspace_give(kb_vaspace *space, kb_vaddr va, kb_err *err)
{
    kb_block block = {0};
    kb_alloc_find(&space->alloc, va.bits, &block);
    int rc = kb_alloc_give(&space->alloc, va.bits, err);
    if (rc == 0) free(block.tag);
    return rc;
}

static kb_va_range show(const kb_block *block)
{
    const range *tag = block->tag;
    return (kb_va_range){.va = {block->addr}, .bytes = tag->bytes, .name = tag->name};
}

bool kb_vaspace_find(const kb_vaspace *space, kb_vaddr va, kb_va_range *out)
{
    kb_block block;
    if (!kb_alloc_find(&space->alloc, va.bits, &block)) return false;
    kb_va_range found = show(&block);
    if (va.bits - found.va.bits >= found.bytes) return false;
    *out = found;
    return true;
}

bool kb_vaspace_at_or_above(const kb_vaspace *space, kb_vaddr va, kb_va_range *out)
{
    kb_block block;
    if (!kb_alloc_at_or_above(&space->alloc, va.bits, &block)) return false;
    *out = show(&block);
    return true;
}

/* Bytes from `va` to the nearest byte of a range; 0 inside it. */
static uint64_t distance(const kb_va_range *r, kb_vaddr va)
{
    uint64_t last = r->va.bits + r->bytes - 1;
    if (va.bits < r->va.bits) return r->va.bits - va.bits;
    return va.bits > last ? va.bits - last : 0;
}

bool kb_vaspace_nearest(const kb_vaspace *space, kb_vaddr va, kb_va_range *out)
{
    kb_block block;
    kb_va_range above;
    bool has_above = kb_vaspace_at_or_above(space, va, &above);
    if (!kb_alloc_at_or_below(&space->alloc, va.bits, &block)) {
        if (has_above) *out = above;
        return has_above;
    }
    kb_va_range below = show(&block);
    *out = has_above && distance(&above, va) < distance(&below, va) ? above : below;
    return true;
}

const char *kb_vaspace_describe(const kb_vaspace *space, kb_vaddr va, char *text, size_t size)
{
    kb_va_range near;
    if (!kb_vaspace_nearest(space, va, &near)) {
        snprintf(text, size, "0x%" PRIx64 ", and nothing at all is allocated", va.bits);
        return text;
    }
    uint64_t away = distance(&near, va), end = near.va.bits + near.bytes;
    if (away == 0) {
        snprintf(text, size,
                 "0x%" PRIx64 " is byte %" PRIu64 " of '%s' [0x%" PRIx64 ", 0x%" PRIx64 ")",
                 va.bits, va.bits - near.va.bits, near.name, near.va.bits, end);
        return text;
    }
    snprintf(text, size,
             "0x%" PRIx64 " is %" PRIu64 " byte%s %s byte of '%s' [0x%" PRIx64 ", 0x%" PRIx64 ")",
             va.bits, away, away == 1 ? "" : "s",
             va.bits < near.va.bits ? "before the first" : "after the last", near.name,
             near.va.bits, end);
    return text;
}
