#include "addr/alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof(kb_alloc) <= 64, "there is one of these for every slice of every cube");

/* Live blocks in order of address, cut into rows. A row is searched and shifted as a whole: for the
 * few blocks that most allocators have, that is a few lines of memory. Of MANY blocks, rows are
 * longer, so that going through the rows does not take longer than going through one. */
enum { FIRST_ROW = 4, ROW = 32, LONG_ROW = 256, MANY = ROW * LONG_ROW };

typedef struct span {
    uint64_t addr, end;
} span;

typedef struct kb_alloc_row {
    uint64_t addr; /* of the first block */
    uint64_t gap;  /* no hole behind one of the blocks is larger */
    span *blocks;
    void **tags; /* null: no block has one */
    uint32_t count, capacity;
} row;

/* A block: blocks[index] of rows[row]; or where one would be. */
typedef struct spot {
    uint32_t row, index;
} spot;

void kb_alloc_init(kb_alloc *alloc, const char *name, uint64_t base, uint64_t size)
{
    kb_alloc_init_whole(alloc, name, base, size, 1);
}

void kb_alloc_init_whole(kb_alloc *alloc, const char *name, uint64_t base, uint64_t size,
                         uint32_t grain)
{
    assert(size <= UINT64_MAX - base && grain && !(grain & (grain - 1)));
    *alloc = (kb_alloc){.name = name, .base = base, .size = size, .grain = grain};
}

static void free_row(row *r)
{
    free(r->blocks);
    free(r->tags);
}

void kb_alloc_fini(kb_alloc *alloc)
{
    for (uint32_t r = 0; r < alloc->row_count; r++) free_row(&alloc->rows[r]);
    free(alloc->rows);
    alloc->rows = NULL;
    alloc->used = 0;
    alloc->row_count = alloc->row_capacity = alloc->live = 0;
}

static uint64_t limit(const kb_alloc *alloc)
{
    return alloc->base + alloc->size;
}

/* How many blocks a row may have. */
static uint32_t row_limit(const kb_alloc *alloc)
{
    return alloc->live < MANY ? ROW : LONG_ROW;
}

/* Where the hole behind the last block of a row ends. */
static uint64_t row_end(const kb_alloc *alloc, uint32_t r)
{
    return r + 1 < alloc->row_count ? alloc->rows[r + 1].addr : limit(alloc);
}

/* Where the hole below the first block ends. */
static uint64_t front_end(const kb_alloc *alloc)
{
    return alloc->live ? alloc->rows[0].addr : limit(alloc);
}

/* ---- rows ---- */

static void reserve(row *r, uint32_t count)
{
    if (count <= r->capacity) return;
    r->capacity = r->capacity ? 2 * r->capacity : FIRST_ROW;
    if (r->capacity < count) r->capacity = count;
    r->blocks = kb_xrealloc(r->blocks, r->capacity * sizeof *r->blocks);
    if (r->tags) r->tags = kb_xrealloc(r->tags, r->capacity * sizeof *r->tags);
}

static void make_tags(row *r)
{
    if (!r->tags) r->tags = kb_xcalloc(r->capacity, sizeof *r->tags);
}

/* Make room for an empty row at `at`. */
static row *add_row(kb_alloc *alloc, uint32_t at)
{
    if (alloc->row_count == alloc->row_capacity) {
        alloc->row_capacity = alloc->row_capacity ? 2 * alloc->row_capacity : 1;
        alloc->rows = kb_xrealloc(alloc->rows, alloc->row_capacity * sizeof *alloc->rows);
    }
    row *r = &alloc->rows[at];
    memmove(r + 1, r, (alloc->row_count - at) * sizeof *r);
    alloc->row_count++;
    *r = (row){.blocks = NULL};
    return r;
}

static void drop_row(kb_alloc *alloc, uint32_t at)
{
    row *r = &alloc->rows[at];
    free_row(r);
    alloc->row_count--;
    memmove(r, r + 1, (alloc->row_count - at) * sizeof *r);
}

/* Move the blocks of `from` beginning with the one at `index` behind those of `to`. */
static void move_blocks(row *to, row *from, uint32_t index)
{
    uint32_t count = from->count - index;
    assert(count > 0);
    reserve(to, to->count + count);
    memcpy(to->blocks + to->count, from->blocks + index, count * sizeof *to->blocks);
    if (from->tags || to->tags) {
        make_tags(to);
        make_tags(from);
        memcpy(to->tags + to->count, from->tags + index, count * sizeof *to->tags);
    }
    if (to->count == 0) to->addr = to->blocks[0].addr;
    if (from->gap > to->gap) to->gap = from->gap;
    to->count += count;
    from->count = index;
}

/* Cut a full row in two, or begin another behind it; returns where the block at `at` is to be. */
static spot split_row(kb_alloc *alloc, spot at)
{
    row *added = add_row(alloc, at.row + 1);
    uint32_t count = added[-1].count;
    if (at.index == count) return (spot){at.row + 1, 0};
    move_blocks(added, added - 1, count / 2);
    return at.index <= count / 2 ? at : (spot){at.row + 1, at.index - count / 2};
}

/* Join a row with the next one if both together are half a row. */
static void join_rows(kb_alloc *alloc, uint32_t at)
{
    if (at + 1 >= alloc->row_count) return;
    row *r = &alloc->rows[at];
    if (r->count + r[1].count > row_limit(alloc) / 2) return;
    move_blocks(r, r + 1, 0);
    drop_row(alloc, at + 1);
}

/* ---- looking up ---- */

/* The last row that begins at or below `addr`; the first if there is none. */
static uint32_t row_of(const kb_alloc *alloc, uint64_t addr)
{
    uint32_t low = 0, high = alloc->row_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (alloc->rows[middle].addr <= addr)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The last block that begins at or below `addr`. */
static bool at_or_below(const kb_alloc *alloc, uint64_t addr, spot *at)
{
    if (addr < front_end(alloc) || !alloc->live) return false;
    at->row = row_of(alloc, addr);
    const row *r = &alloc->rows[at->row];
    uint32_t low = 0, high = r->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        bool below = r->blocks[middle].addr <= addr;
        low = below ? middle : low;
        high = below ? high : middle;
    }
    at->index = low;
    return true;
}

static span *block_at(const kb_alloc *alloc, spot at)
{
    return &alloc->rows[at.row].blocks[at.index];
}

/* The block that begins at `addr`, or an error that says what is there instead. */
static int look_up(const kb_alloc *alloc, uint64_t addr, spot *at, kb_err *err)
{
    if (addr < alloc->base || addr - alloc->base >= alloc->size)
        return kb_fail(err, KB_EINVAL,
                       "%s: 0x%" PRIx64 " is foreign: this memory is [0x%" PRIx64 ", 0x%" PRIx64
                       ")",
                       alloc->name, addr, alloc->base, limit(alloc));
    const span *block = at_or_below(alloc, addr, at) ? block_at(alloc, *at) : NULL;
    if (!block || addr >= block->end)
        return kb_fail(err, KB_EINVAL, "%s: 0x%" PRIx64 " is not allocated; was it freed already?",
                       alloc->name, addr);
    if (addr != block->addr)
        return kb_fail(err, KB_EINVAL,
                       "%s: 0x%" PRIx64 " is inside the block [0x%" PRIx64 ", 0x%" PRIx64
                       "), not its beginning",
                       alloc->name, addr, block->addr, block->end);
    return 0;
}

static bool show(const kb_alloc *alloc, spot at, kb_block *out)
{
    const row *r = &alloc->rows[at.row];
    const span *block = &r->blocks[at.index];
    *out = (kb_block){.addr = block->addr,
                      .bytes = block->end - block->addr,
                      .tag = r->tags ? r->tags[at.index] : NULL};
    return true;
}

bool kb_alloc_at_or_below(const kb_alloc *alloc, uint64_t addr, kb_block *out)
{
    spot at;
    return at_or_below(alloc, addr, &at) && show(alloc, at, out);
}

bool kb_alloc_at_or_above(const kb_alloc *alloc, uint64_t addr, kb_block *out)
{
    spot at;
    if (!alloc->live) return false;
    if (!at_or_below(alloc, addr, &at)) return show(alloc, (spot){0, 0}, out);
    if (block_at(alloc, at)->addr == addr) return show(alloc, at, out);
    if (++at.index == alloc->rows[at.row].count) at = (spot){at.row + 1, 0};
    return at.row < alloc->row_count && show(alloc, at, out);
}

bool kb_alloc_find(const kb_alloc *alloc, uint64_t addr, kb_block *out)
{
    spot at;
    return at_or_below(alloc, addr, &at) && addr < block_at(alloc, at)->end && show(alloc, at, out);
}

/* The hole behind a block, of which `next` is the end of the last one's in the row. */
static uint64_t gap_behind(const row *r, uint32_t index, uint64_t next)
{
    return (index + 1 < r->count ? r->blocks[index + 1].addr : next) - r->blocks[index].end;
}

static uint64_t largest_gap(const row *r, uint64_t next)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t gap = gap_behind(r, i, next);
        if (gap > most) most = gap;
    }
    return most;
}

uint64_t kb_alloc_largest_hole(const kb_alloc *alloc)
{
    uint64_t most = front_end(alloc) - alloc->base;
    for (uint32_t r = 0; r < alloc->row_count; r++) {
        uint64_t gap = largest_gap(&alloc->rows[r], row_end(alloc, r));
        if (gap > most) most = gap;
    }
    return most;
}

/* ---- taking and giving back ---- */

static bool fits(uint64_t start, uint64_t hole, uint64_t bytes, uint64_t align, uint64_t *addr)
{
    uint64_t padding = (0 - start) & (align - 1);
    if (padding > hole || hole - padding < bytes) return false;
    *addr = start + padding;
    return true;
}

/* In a hole of a row; `index` is that of the block behind which it is. */
static bool fits_row(const row *r, uint64_t next, uint64_t bytes, uint64_t align, uint32_t *index,
                     uint64_t *addr)
{
    for (uint32_t i = 0; i < r->count; i++) {
        uint64_t gap = gap_behind(r, i, next);
        if (gap < bytes || !fits(r->blocks[i].end, gap, bytes, align, addr)) continue;
        *index = i;
        return true;
    }
    return false;
}

/* The first hole that holds so much, and where a block in it belongs. */
static bool first_fit(kb_alloc *alloc, uint64_t bytes, uint64_t align, spot *at, uint64_t *addr)
{
    *at = (spot){0, 0};
    if (fits(alloc->base, front_end(alloc) - alloc->base, bytes, align, addr)) return true;
    for (at->row = 0; at->row < alloc->row_count; at->row++) {
        row *r = &alloc->rows[at->row];
        if (r->gap < bytes) continue;
        uint64_t next = row_end(alloc, at->row);
        if (fits_row(r, next, bytes, align, &at->index, addr)) {
            at->index++;
            return true;
        }
        r->gap = largest_gap(r, next);
    }
    return false;
}

static void insert(kb_alloc *alloc, spot at, uint64_t addr, uint64_t bytes)
{
    if (alloc->row_count == 0) add_row(alloc, 0);
    if (alloc->rows[at.row].count >= row_limit(alloc)) at = split_row(alloc, at);
    row *r = &alloc->rows[at.row];
    reserve(r, r->count + 1);
    span *block = &r->blocks[at.index];
    memmove(block + 1, block, (r->count - at.index) * sizeof *block);
    *block = (span){addr, addr + bytes};
    if (r->tags) {
        memmove(r->tags + at.index + 1, r->tags + at.index,
                (r->count - at.index) * sizeof *r->tags);
        r->tags[at.index] = NULL;
    }
    if (at.index == 0) r->addr = addr;
    r->count++;
    alloc->used += bytes;
    alloc->live++;
    /* What is left of the hole behind it is new to the row if the hole was in front of all. */
    uint64_t gap = gap_behind(r, at.index, row_end(alloc, at.row));
    if (gap > r->gap) r->gap = gap;
}

int kb_alloc_take(kb_alloc *alloc, uint64_t bytes, uint64_t align, uint64_t *addr, kb_err *err)
{
    if (bytes == 0) return kb_fail(err, KB_EINVAL, "%s: cannot allocate 0 bytes", alloc->name);
    if (align == 0 || (align & (align - 1)))
        return kb_fail(err, KB_EINVAL, "%s: alignment %" PRIu64 " is not a power of two",
                       alloc->name, align);
    /* What exceeds all of it is left alone: it fails all the same, and rounding could wrap. */
    uint64_t whole =
        bytes > alloc->size ? bytes : (bytes + alloc->grain - 1) & -(uint64_t)alloc->grain;
    spot at;
    if (!first_fit(alloc, whole, align, &at, addr))
        return kb_fail(err, KB_ENOSPC,
                       "%s: cannot allocate %" PRIu64 " bytes (aligned to %" PRIu64 "): %" PRIu64
                       " of %" PRIu64 " bytes are free, the largest hole is %" PRIu64
                       " bytes; blocks in use: %" PRIu32,
                       alloc->name, bytes, align, kb_alloc_free_bytes(alloc), alloc->size,
                       kb_alloc_largest_hole(alloc), alloc->live);
    insert(alloc, at, *addr, whole);
    return 0;
}

/* The hole behind the block before `at`, which has become larger. */
static void widen_hole(kb_alloc *alloc, spot at)
{
    if (at.index == 0 && at.row == 0) return;
    at = at.index ? (spot){at.row, at.index - 1}
                  : (spot){at.row - 1, alloc->rows[at.row - 1].count - 1};
    row *r = &alloc->rows[at.row];
    uint64_t gap = gap_behind(r, at.index, row_end(alloc, at.row));
    if (gap > r->gap) r->gap = gap;
}

int kb_alloc_give(kb_alloc *alloc, uint64_t addr, kb_err *err)
{
    spot at = {0, 0};
    int rc = look_up(alloc, addr, &at, err);
    if (rc) return rc;
    row *r = &alloc->rows[at.row];
    span *block = &r->blocks[at.index];
    alloc->used -= block->end - block->addr;
    alloc->live--;
    r->count--;
    memmove(block, block + 1, (r->count - at.index) * sizeof *block);
    if (r->tags)
        memmove(r->tags + at.index, r->tags + at.index + 1,
                (r->count - at.index) * sizeof *r->tags);
    if (r->count)
        r->addr = r->blocks[0].addr;
    else if (alloc->row_count > 1)
        drop_row(alloc, at.row);
    widen_hole(alloc, at);
    if (at.row > 0) join_rows(alloc, at.row - 1);
    join_rows(alloc, at.row);
    return 0;
}

int kb_alloc_set_tag(kb_alloc *alloc, uint64_t addr, void *tag, kb_err *err)
{
    spot at = {0, 0};
    int rc = look_up(alloc, addr, &at, err);
    if (rc) return rc;
    make_tags(&alloc->rows[at.row]);
    alloc->rows[at.row].tags[at.index] = tag;
    return 0;
}
