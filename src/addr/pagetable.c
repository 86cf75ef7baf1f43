#include "addr/pagetable.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

typedef struct extent {
    uint64_t va, bytes, pa;
} extent;

typedef kb_vec(extent) extents;

/* All extents of one mask; disjoint, by ascending va. */
typedef struct kb_pagetable_layer {
    uint32_t mask;
    extents list;
} layer;

static uint64_t end_of(const extent *e)
{
    return e->va + e->bytes;
}

void kb_pagetable_init(kb_pagetable *table, uint32_t pes)
{
    assert(pes >= 1 && pes <= KB_PAGETABLE_MAX_PES);
    *table = (kb_pagetable){.pes = pes};
}

void kb_pagetable_fini(kb_pagetable *table)
{
    for (uint32_t i = 0; i < table->layer_count; i++) kb_vec_free(&table->layers[i].list);
    free(table->layers);
    kb_pagetable_init(table, table->pes);
}

/* Index of the first extent that ends above `va`. */
static size_t first_ending_above(const extents *list, uint64_t va)
{
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (end_of(&list->data[middle]) > va)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The first extent with a byte in [va, end), or null. */
static const extent *first_in(const extents *list, uint64_t va, uint64_t end)
{
    size_t i = first_ending_above(list, va);
    return i < list->count && list->data[i].va < end ? &list->data[i] : NULL;
}

/* Replace the extents [from, to) by `count` others. */
static void splice(extents *list, size_t from, size_t to, const extent *with, size_t count)
{
    size_t size = list->count - (to - from) + count;
    if (size > list->capacity) kb_vec_reserve(list, size < 8 ? 8 : 2 * size);
    if (list->data == NULL) return;
    memmove(list->data + from + count, list->data + to, (list->count - to) * sizeof *list->data);
    if (count) memcpy(list->data + from, with, count * sizeof *with);
    list->count = size;
}

static extents *layer_for(kb_pagetable *table, uint32_t mask)
{
    for (uint32_t i = 0; i < table->layer_count; i++)
        if (table->layers[i].mask == mask) return &table->layers[i].list;
    if (table->layer_count == table->layer_capacity) {
        table->layer_capacity = table->layer_capacity ? 2 * table->layer_capacity : 2;
        table->layers = kb_xrealloc(table->layers, table->layer_capacity * sizeof *table->layers);
    }
    table->layers[table->layer_count] = (layer){.mask = mask};
    return &table->layers[table->layer_count++].list;
}

static void insert(kb_pagetable *table, uint32_t mask, extent e)
{
    extents *list = layer_for(table, mask);
    size_t at = first_ending_above(list, e.va);
    splice(list, at, at, &e, 1);
}

static void drop_empty_layers(kb_pagetable *table)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < table->layer_count; i++) {
        if (table->layers[i].list.count)
            table->layers[kept++] = table->layers[i];
        else
            kb_vec_free(&table->layers[i].list);
    }
    table->layer_count = kept;
    if (kept == 0) kb_pagetable_fini(table);
}

static uint32_t lowest_pe(uint32_t mask)
{
    return (uint32_t)__builtin_ctz(mask);
}

static int check_range(const kb_pagetable *table, uint64_t va, uint64_t bytes, uint32_t mask,
                       kb_err *err)
{
    if (bytes == 0) return kb_fail(err, KB_EINVAL, "a mapping of 0 bytes at 0x%" PRIx64, va);
    if (bytes > UINT64_MAX - va)
        return kb_fail(err, KB_EINVAL, "%" PRIu64 " bytes at 0x%" PRIx64 " wrap around", bytes, va);
    uint64_t all = (UINT64_C(1) << table->pes) - 1;
    if (mask == 0 || (mask & ~all))
        return kb_fail(err, KB_EINVAL,
                       "PE mask 0x%" PRIx32 " is out of range: allowed 0x1..0x%" PRIx64 " (%" PRIu32
                       " PEs)",
                       mask, all, table->pes);
    return 0;
}

static int check_unmapped(const kb_pagetable *table, const extent *wanted, uint32_t mask,
                          kb_err *err)
{
    for (uint32_t i = 0; i < table->layer_count; i++) {
        const layer *l = &table->layers[i];
        if (!(l->mask & mask)) continue;
        const extent *old = first_in(&l->list, wanted->va, end_of(wanted));
        if (!old) continue;
        return kb_fail(err, KB_EINVAL,
                       "pe%" PRIu32 ": cannot map [0x%" PRIx64 ", 0x%" PRIx64 ") to 0x%" PRIx64
                       ": it overlaps [0x%" PRIx64 ", 0x%" PRIx64 "), mapped to 0x%" PRIx64,
                       lowest_pe(l->mask & mask), wanted->va, end_of(wanted), wanted->pa, old->va,
                       end_of(old), old->pa);
    }
    return 0;
}

int kb_pagetable_map(kb_pagetable *table, kb_vaddr va, uint64_t bytes, kb_paddr pa,
                     uint32_t pe_mask, kb_err *err)
{
    extent wanted = {va.bits, bytes, pa.bits};
    if (check_range(table, va.bits, bytes, pe_mask, err) ||
        check_unmapped(table, &wanted, pe_mask, err))
        return KB_EINVAL;
    if (bytes - 1 > UINT64_MAX - pa.bits)
        return kb_fail(err, KB_EINVAL, "%" PRIu64 " bytes at physical 0x%" PRIx64 " wrap around",
                       bytes, pa.bits);
    insert(table, pe_mask, wanted);
    return 0;
}

/* The extent that holds `va` for a PE, or null. */
static const extent *lookup(const kb_pagetable *table, uint32_t pe, uint64_t va)
{
    for (uint32_t i = 0; i < table->layer_count; i++) {
        if (!(table->layers[i].mask >> pe & 1)) continue;
        const extent *found = first_in(&table->layers[i].list, va, va + 1);
        if (found) return found;
    }
    return NULL;
}

int kb_pagetable_translate(const kb_pagetable *table, uint32_t pe, kb_vaddr va, kb_paddr *pa,
                           uint64_t *contiguous_bytes, kb_err *err)
{
    const extent *found = pe < table->pes ? lookup(table, pe, va.bits) : NULL;
    if (!found)
        return kb_fail(err, KB_EFAULT, "pe%" PRIu32 ": virtual address 0x%" PRIx64 " is not mapped",
                       pe, va.bits);
    pa->bits = found->pa + (va.bits - found->va);
    *contiguous_bytes = end_of(found) - va.bits;
    return 0;
}

static int check_mapped(const kb_pagetable *table, uint32_t pe, uint64_t va, uint64_t end,
                        kb_err *err)
{
    for (uint64_t at = va; at < end;) {
        const extent *found = lookup(table, pe, at);
        if (!found)
            return kb_fail(err, KB_EINVAL,
                           "pe%" PRIu32 ": cannot unmap [0x%" PRIx64 ", 0x%" PRIx64 "): 0x%" PRIx64
                           " is not mapped",
                           pe, va, end, at);
        at = end_of(found);
    }
    return 0;
}

/* Cut [va, end) out of one array; what was cut is appended to `cut`. */
static void cut_out(extents *list, uint64_t va, uint64_t end, extents *cut)
{
    size_t from = first_ending_above(list, va), to = from, kept = 0;
    extent keep[2];
    for (; to < list->count && list->data[to].va < end; to++) {
        extent e = list->data[to];
        uint64_t low = e.va > va ? e.va : va, high = end_of(&e) < end ? end_of(&e) : end;
        extent middle = {low, high - low, e.pa + (low - e.va)};
        kb_vec_push(cut, middle);
        if (e.va < low) keep[kept++] = (extent){e.va, low - e.va, e.pa};
        if (end_of(&e) > high)
            keep[kept++] = (extent){high, end_of(&e) - high, e.pa + (high - e.va)};
    }
    splice(list, from, to, keep, kept);
}

int kb_pagetable_unmap(kb_pagetable *table, kb_vaddr va, uint64_t bytes, uint32_t pe_mask,
                       kb_err *err)
{
    if (check_range(table, va.bits, bytes, pe_mask, err)) return KB_EINVAL;
    uint64_t end = va.bits + bytes;
    for (uint32_t rest = pe_mask; rest; rest &= rest - 1)
        if (check_mapped(table, lowest_pe(rest), va.bits, end, err)) return KB_EINVAL;
    extents cut = {0};
    for (uint32_t i = 0; i < table->layer_count; i++) {
        uint32_t mask = table->layers[i].mask, others = mask & ~pe_mask;
        if (mask == others) continue;
        cut.count = 0;
        cut_out(&table->layers[i].list, va.bits, end, &cut);
        /* PEs that shared an extent and were not named keep it; may add a layer, never visited. */
        for (size_t k = 0; others && k < cut.count; k++) insert(table, others, cut.data[k]);
    }
    kb_vec_free(&cut);
    drop_empty_layers(table);
    return 0;
}

size_t kb_pagetable_extents(const kb_pagetable *table)
{
    size_t total = 0;
    for (uint32_t i = 0; i < table->layer_count; i++) total += table->layers[i].list.count;
    return total;
}
