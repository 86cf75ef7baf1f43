#include "addr/alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/rng.h"

_Static_assert(sizeof(kb_alloc) <= 64, "there is one of these for every slice of every cube");

/* A treap (Seidel and Aragon, "Randomized search trees", 1996): a search tree by address, a heap by
 * a priority that is a hash of the address, so that its shape depends on the live blocks alone.
 * Node 0 stands for no node and has no gap. */
typedef struct kb_alloc_node {
    uint64_t addr, bytes;
    uint64_t gap;     /* free bytes between the end of this block and the next block or the end */
    uint64_t max_gap; /* in the subtree */
    void *tag;
    uint32_t left, right;
    uint32_t priority;
} node;

void kb_alloc_init(kb_alloc *alloc, const char *name, uint64_t base, uint64_t size)
{
    assert(size <= UINT64_MAX - base);
    *alloc = (kb_alloc){.name = name, .base = base, .size = size};
}

void kb_alloc_fini(kb_alloc *alloc)
{
    free(alloc->nodes);
    kb_alloc_init(alloc, alloc->name, alloc->base, alloc->size);
}

static uint64_t limit(const kb_alloc *alloc)
{
    return alloc->base + alloc->size;
}

static uint64_t block_end(const node *block)
{
    return block->addr + block->bytes;
}

static uint32_t new_node(kb_alloc *alloc)
{
    uint32_t id = alloc->spare;
    if (id) {
        alloc->spare = alloc->nodes[id].right;
        return id;
    }
    if (alloc->count == alloc->capacity) {
        alloc->capacity = alloc->capacity ? 2 * alloc->capacity : 8;
        alloc->nodes = kb_xrealloc(alloc->nodes, alloc->capacity * sizeof *alloc->nodes);
    }
    if (alloc->count == 0) alloc->nodes[alloc->count++] = (node){0};
    return alloc->count++;
}

static void drop_node(kb_alloc *alloc, uint32_t id)
{
    alloc->nodes[id].right = alloc->spare;
    alloc->spare = id;
}

/* Recompute what a node knows about its subtree. */
static void pull(node *n, uint32_t t)
{
    uint64_t most = n[t].gap;
    if (n[n[t].left].max_gap > most) most = n[n[t].left].max_gap;
    if (n[n[t].right].max_gap > most) most = n[n[t].right].max_gap;
    n[t].max_gap = most;
}

/* Cut the tree in two: blocks that begin below `addr`, and the others. */
static void split(node *n, uint32_t t, uint64_t addr, uint32_t *low, uint32_t *high)
{
    if (!t) {
        *low = *high = 0;
        return;
    }
    if (n[t].addr < addr) {
        split(n, n[t].right, addr, &n[t].right, high);
        *low = t;
    } else {
        split(n, n[t].left, addr, low, &n[t].left);
        *high = t;
    }
    pull(n, t);
}

/* Join two trees, all of `low` being below all of `high`. */
static uint32_t merge(node *n, uint32_t low, uint32_t high)
{
    if (!low || !high) return low | high;
    if (n[low].priority > n[high].priority) {
        n[low].right = merge(n, n[low].right, high);
        pull(n, low);
        return low;
    }
    n[high].left = merge(n, low, n[high].left);
    pull(n, high);
    return high;
}

/* The last block of a tree gets what lies between it and `next`. */
static void stretch_last(node *n, uint32_t t, uint64_t next)
{
    if (!t) return;
    if (n[t].right)
        stretch_last(n, n[t].right, next);
    else
        n[t].gap = next - block_end(&n[t]);
    pull(n, t);
}

/* Where the first block begins: everything below it is a hole that follows no block. */
static uint64_t first_start(const kb_alloc *alloc, uint32_t t)
{
    if (!t) return limit(alloc);
    while (alloc->nodes[t].left) t = alloc->nodes[t].left;
    return alloc->nodes[t].addr;
}

static bool fits(uint64_t start, uint64_t hole, uint64_t bytes, uint64_t align, uint64_t *addr)
{
    uint64_t padding = (0 - start) & (align - 1);
    if (padding > hole || hole - padding < bytes) return false;
    *addr = start + padding;
    return true;
}

static bool first_fit(const node *n, uint32_t t, uint64_t bytes, uint64_t align, uint64_t *addr)
{
    if (!t || n[t].max_gap < bytes) return false;
    return first_fit(n, n[t].left, bytes, align, addr) ||
           fits(block_end(&n[t]), n[t].gap, bytes, align, addr) ||
           first_fit(n, n[t].right, bytes, align, addr);
}

static void insert(kb_alloc *alloc, uint64_t addr, uint64_t bytes)
{
    uint32_t id = new_node(alloc), low, high;
    node *n = alloc->nodes;
    split(n, alloc->root, addr, &low, &high);
    kb_rng hash = {addr};
    n[id] = (node){.addr = addr, .bytes = bytes, .priority = (uint32_t)kb_rng_next(&hash)};
    stretch_last(n, low, addr);
    stretch_last(n, id, first_start(alloc, high));
    alloc->root = merge(n, merge(n, low, id), high);
    alloc->used += bytes;
    alloc->live++;
}

int kb_alloc_take(kb_alloc *alloc, uint64_t bytes, uint64_t align, uint64_t *addr, kb_err *err)
{
    if (bytes == 0) return kb_fail(err, KB_EINVAL, "%s: cannot allocate 0 bytes", alloc->name);
    if (align == 0 || (align & (align - 1)))
        return kb_fail(err, KB_EINVAL, "%s: alignment %" PRIu64 " is not a power of two",
                       alloc->name, align);
    uint64_t front = first_start(alloc, alloc->root) - alloc->base;
    if (!fits(alloc->base, front, bytes, align, addr) &&
        !first_fit(alloc->nodes, alloc->root, bytes, align, addr))
        return kb_fail(err, KB_ENOSPC,
                       "%s: cannot allocate %" PRIu64 " bytes (aligned to %" PRIu64 "): %" PRIu64
                       " of %" PRIu64 " bytes are free, the largest hole is %" PRIu64
                       " bytes; blocks in use: %" PRIu32,
                       alloc->name, bytes, align, kb_alloc_free_bytes(alloc), alloc->size,
                       kb_alloc_largest_hole(alloc), alloc->live);
    insert(alloc, *addr, bytes);
    return 0;
}

static uint32_t at_or_below(const kb_alloc *alloc, uint64_t addr)
{
    const node *n = alloc->nodes;
    uint32_t best = 0;
    for (uint32_t t = alloc->root; t;) {
        bool take = n[t].addr <= addr;
        if (take) best = t;
        t = take ? n[t].right : n[t].left;
    }
    return best;
}

static uint32_t at_or_above(const kb_alloc *alloc, uint64_t addr)
{
    const node *n = alloc->nodes;
    uint32_t best = 0;
    for (uint32_t t = alloc->root; t;) {
        bool take = n[t].addr >= addr;
        if (take) best = t;
        t = take ? n[t].left : n[t].right;
    }
    return best;
}

/* The block that begins at `addr`, or an error that says what is there instead. */
static int look_up(const kb_alloc *alloc, uint64_t addr, uint32_t *out, kb_err *err)
{
    if (addr < alloc->base || addr - alloc->base >= alloc->size)
        return kb_fail(err, KB_EINVAL,
                       "%s: 0x%" PRIx64 " is foreign: this memory is [0x%" PRIx64 ", 0x%" PRIx64
                       ")",
                       alloc->name, addr, alloc->base, limit(alloc));
    uint32_t id = at_or_below(alloc, addr);
    const node *block = id ? &alloc->nodes[id] : NULL;
    if (!block || addr >= block_end(block))
        return kb_fail(err, KB_EINVAL, "%s: 0x%" PRIx64 " is not allocated; was it freed already?",
                       alloc->name, addr);
    if (addr != block->addr)
        return kb_fail(err, KB_EINVAL,
                       "%s: 0x%" PRIx64 " is inside the block [0x%" PRIx64 ", 0x%" PRIx64
                       "), not its beginning",
                       alloc->name, addr, block->addr, block_end(block));
    *out = id;
    return 0;
}

int kb_alloc_give(kb_alloc *alloc, uint64_t addr, kb_err *err)
{
    uint32_t id = 0, low, rest, high;
    int rc = look_up(alloc, addr, &id, err);
    if (rc) return rc;
    node *n = alloc->nodes;
    split(n, alloc->root, addr, &low, &rest);
    split(n, rest, addr + 1, &id, &high);
    stretch_last(n, low, first_start(alloc, high));
    alloc->root = merge(n, low, high);
    alloc->used -= n[id].bytes;
    alloc->live--;
    drop_node(alloc, id);
    return 0;
}

int kb_alloc_set_tag(kb_alloc *alloc, uint64_t addr, void *tag, kb_err *err)
{
    uint32_t id = 0;
    int rc = look_up(alloc, addr, &id, err);
    if (rc == 0) alloc->nodes[id].tag = tag;
    return rc;
}

static bool show(const kb_alloc *alloc, uint32_t id, kb_block *out)
{
    if (!id) return false;
    const node *block = &alloc->nodes[id];
    *out = (kb_block){.addr = block->addr, .bytes = block->bytes, .tag = block->tag};
    return true;
}

bool kb_alloc_at_or_below(const kb_alloc *alloc, uint64_t addr, kb_block *out)
{
    return show(alloc, at_or_below(alloc, addr), out);
}

bool kb_alloc_at_or_above(const kb_alloc *alloc, uint64_t addr, kb_block *out)
{
    return show(alloc, at_or_above(alloc, addr), out);
}

bool kb_alloc_find(const kb_alloc *alloc, uint64_t addr, kb_block *out)
{
    uint32_t id = at_or_below(alloc, addr);
    if (!id || addr >= block_end(&alloc->nodes[id])) return false;
    return show(alloc, id, out);
}

uint64_t kb_alloc_largest_hole(const kb_alloc *alloc)
{
    uint64_t front = first_start(alloc, alloc->root) - alloc->base;
    uint64_t inner = alloc->root ? alloc->nodes[alloc->root].max_gap : 0;
    return front > inner ? front : inner;
}
