#include "addr/pagetable.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"

/* An extent, or all those of a block: then `pa` is that of the first, and bytes between them count.
 */
typedef struct entry {
    uint64_t va, bytes, pa;
    const kb_page_block *block;
} entry;

typedef kb_vec(entry) entries;

enum { GUESSES = 16, GUESS_SHIFT = 20 };

/* All entries of one mask; disjoint, by ascending va. PEs of a cube look at the same tensors at a
 * time: `guess` is which entry was found last, by address. */
typedef struct kb_pagetable_layer {
    uint32_t mask;
    uint32_t guess[GUESSES];
    entries list;
} layer;

static uint64_t end_of(const entry *e)
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

/* Index of the first entry that ends above `va`. */
static size_t first_ending_above(const entries *list, uint64_t va)
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

/* The first entry with a byte in [va, end), or null. */
static const entry *first_in(const entries *list, uint64_t va, uint64_t end)
{
    size_t i = first_ending_above(list, va);
    return i < list->count && list->data[i].va < end ? &list->data[i] : NULL;
}

/* Replace the entries [from, to) by `count` others. */
static void splice(entries *list, size_t from, size_t to, const entry *with, size_t count)
{
    size_t size = list->count - (to - from) + count;
    if (size > list->capacity) kb_vec_reserve(list, size < 8 ? 8 : 2 * size);
    if (list->data == NULL) return;
    memmove(list->data + from + count, list->data + to, (list->count - to) * sizeof *list->data);
    if (count) memcpy(list->data + from, with, count * sizeof *with);
    list->count = size;
}

static entries *layer_for(kb_pagetable *table, uint32_t mask)
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

static void insert(kb_pagetable *table, uint32_t mask, entry e)
{
    entries *list = layer_for(table, mask);
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

static int check_unmapped(const kb_pagetable *table, const entry *wanted, uint32_t mask,
                          kb_err *err)
{
    for (uint32_t i = 0; i < table->layer_count; i++) {
        const layer *l = &table->layers[i];
        if (!(l->mask & mask)) continue;
        const entry *old = first_in(&l->list, wanted->va, end_of(wanted));
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
    entry wanted = {va.bits, bytes, pa.bits, NULL};
    if (check_range(table, va.bits, bytes, pe_mask, err) ||
        check_unmapped(table, &wanted, pe_mask, err))
        return KB_EINVAL;
    if (bytes - 1 > UINT64_MAX - pa.bits)
        return kb_fail(err, KB_EINVAL, "%" PRIu64 " bytes at physical 0x%" PRIx64 " wrap around",
                       bytes, pa.bits);
    insert(table, pe_mask, wanted);
    return 0;
}

/* What a block is in a table. */
static entry entry_of(const kb_page_block *block)
{
    const kb_page_extent *first = block->extents, *last = first + block->count - 1;
    return (entry){first->va, last->va + last->bytes - first->va, first->pa, block};
}

int kb_pagetable_map_block(kb_pagetable *table, const kb_page_block *block, uint32_t pe_mask,
                           kb_err *err)
{
    entry wanted = entry_of(block);
    if (check_range(table, wanted.va, wanted.bytes, pe_mask, err) ||
        check_unmapped(table, &wanted, pe_mask, err))
        return KB_EINVAL;
    insert(table, pe_mask, wanted);
    return 0;
}

/* The entry that has `va` in its range, or null. */
static const entry *entry_at(layer *l, uint64_t va)
{
    uint32_t *guess = &l->guess[(va >> GUESS_SHIFT) % GUESSES];
    if (*guess < l->list.count) {
        const entry *e = &l->list.data[*guess];
        if (va - e->va < e->bytes) return e;
    }
    const entry *found = first_in(&l->list, va, va + 1);
    if (found) *guess = (uint32_t)(found - l->list.data);
    return found;
}

/* The extent of a block that holds `va`, which is not below it, or null. Most blocks are of extents
 * that are equally far apart. */
static const kb_page_extent *extent_in(const kb_page_block *block, uint64_t va)
{
    const kb_page_extent *first = block->extents;
    uint64_t pitch = block->count > 1 ? first[1].va - first->va : first->bytes;
    uint64_t guess = (va - first->va) / pitch;
    if (guess < block->count && va - first[guess].va < first[guess].bytes) return &first[guess];
    uint32_t low = 0, high = block->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (first[middle].va > va)
            high = middle;
        else
            low = middle + 1;
    }
    const kb_page_extent *e = low ? &first[low - 1] : NULL;
    return e && va - e->va < e->bytes ? e : NULL;
}

/* The extent that holds `va` for a PE; false if there is none. */
static bool lookup(const kb_pagetable *table, uint32_t pe, uint64_t va, kb_page_extent *out)
{
    for (uint32_t i = 0; i < table->layer_count; i++) {
        if (!(table->layers[i].mask >> pe & 1)) continue;
        const entry *found = entry_at(&table->layers[i], va);
        if (!found) continue;
        const kb_page_extent *in = found->block ? extent_in(found->block, va) : NULL;
        if (found->block && !in) return false; /* between its extents */
        *out = in ? *in : (kb_page_extent){found->va, found->bytes, found->pa};
        return true;
    }
    return false;
}

int kb_pagetable_translate(const kb_pagetable *table, uint32_t pe, kb_vaddr va, kb_paddr *pa,
                           uint64_t *contiguous_bytes, kb_err *err)
{
    kb_page_extent found;
    if (pe >= table->pes || !lookup(table, pe, va.bits, &found))
        return kb_fail(err, KB_EFAULT, "pe%" PRIu32 ": virtual address 0x%" PRIx64 " is not mapped",
                       pe, va.bits);
    pa->bits = found.pa + (va.bits - found.va);
    *contiguous_bytes = found.va + found.bytes - va.bits;
    return 0;
}

static int check_mapped(const kb_pagetable *table, uint32_t pe, uint64_t va, uint64_t end,
                        kb_err *err)
{
    for (uint64_t at = va; at < end;) {
        kb_page_extent found;
        if (!lookup(table, pe, at, &found))
            return kb_fail(err, KB_EINVAL,
                           "pe%" PRIu32 ": cannot unmap [0x%" PRIx64 ", 0x%" PRIx64 "): 0x%" PRIx64
                           " is not mapped",
                           pe, va, end, at);
        at = found.va + found.bytes;
    }
    return 0;
}

/* Write down the extents of a block one by one. */
static void break_up(entries *list, size_t at)
{
    const kb_page_block *block = list->data[at].block;
    entry *each = kb_xmalloc(block->count * sizeof *each);
    for (uint32_t i = 0; i < block->count; i++) {
        const kb_page_extent *e = &block->extents[i];
        each[i] = (entry){e->va, e->bytes, e->pa, NULL};
    }
    splice(list, at, at + 1, each, block->count);
    free(each);
}

/* Break up the blocks with a byte in [va, end). */
static void break_blocks(entries *list, uint64_t va, uint64_t end)
{
    for (size_t i = first_ending_above(list, va); i < list->count && list->data[i].va < end; i++)
        if (list->data[i].block) break_up(list, i);
}

/* Cut [va, end) out of one array without blocks there; what was cut is appended to `cut`. */
static void cut_out(entries *list, uint64_t va, uint64_t end, entries *cut)
{
    size_t from = first_ending_above(list, va), to = from, kept = 0;
    entry keep[2];
    for (; to < list->count && list->data[to].va < end; to++) {
        entry e = list->data[to];
        uint64_t low = e.va > va ? e.va : va, high = end_of(&e) < end ? end_of(&e) : end;
        entry middle = {low, high - low, e.pa + (low - e.va), NULL};
        kb_vec_push(cut, middle);
        if (e.va < low) keep[kept++] = (entry){e.va, low - e.va, e.pa, NULL};
        if (end_of(&e) > high)
            keep[kept++] = (entry){high, end_of(&e) - high, e.pa + (high - e.va), NULL};
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
    entries cut = {0};
    for (uint32_t i = 0; i < table->layer_count; i++) {
        uint32_t mask = table->layers[i].mask, others = mask & ~pe_mask;
        if (mask == others) continue;
        cut.count = 0;
        break_blocks(&table->layers[i].list, va.bits, end);
        cut_out(&table->layers[i].list, va.bits, end, &cut);
        /* PEs that shared an extent and were not named keep it; may add a layer, never visited. */
        for (size_t k = 0; others && k < cut.count; k++) insert(table, others, cut.data[k]);
    }
    kb_vec_free(&cut);
    drop_empty_layers(table);
    return 0;
}

/* Where the block is in the array for exactly these PEs, or null. */
static entries *list_with(kb_pagetable *table, const kb_page_block *block, uint32_t pe_mask,
                          size_t *at)
{
    for (uint32_t i = 0; i < table->layer_count; i++) {
        entries *list = &table->layers[i].list;
        if (table->layers[i].mask != pe_mask) continue;
        *at = first_ending_above(list, block->extents[0].va);
        return *at < list->count && list->data[*at].block == block ? list : NULL;
    }
    return NULL;
}

int kb_pagetable_unmap_block(kb_pagetable *table, const kb_page_block *block, uint32_t pe_mask,
                             kb_err *err)
{
    size_t at;
    entries *list = list_with(table, block, pe_mask, &at);
    if (!list)
        return kb_fail(err, KB_EINVAL,
                       "cannot unmap a block at 0x%" PRIx64 " for PEs 0x%" PRIx32
                       ": it is not mapped as a whole for these",
                       block->extents[0].va, pe_mask);
    splice(list, at, at + 1, NULL, 0);
    drop_empty_layers(table);
    return 0;
}

size_t kb_pagetable_extents(const kb_pagetable *table)
{
    size_t total = 0;
    for (uint32_t i = 0; i < table->layer_count; i++) {
        const entries *list = &table->layers[i].list;
        for (size_t k = 0; k < list->count; k++)
            total += list->data[k].block ? list->data[k].block->count : 1;
    }
    return total;
}
