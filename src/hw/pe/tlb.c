#include "hw/pe/tlb.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

#define NONE UINT32_MAX

struct kb_tlb_entry {
    uint64_t page;
    uint32_t newer, older; /* by last use */
    uint32_t next;         /* in its bucket */
};

void kb_tlb_init(kb_tlb *tlb, uint32_t capacity)
{
    assert(capacity > 0);
    *tlb = (kb_tlb){.capacity = capacity, .newest = NONE, .oldest = NONE, .buckets = 1};
    while (tlb->buckets < capacity) tlb->buckets *= 2;
    tlb->bucket = kb_xmalloc(tlb->buckets * sizeof *tlb->bucket);
    for (uint32_t b = 0; b < tlb->buckets; b++) tlb->bucket[b] = NONE;
    tlb->entries = kb_xmalloc(capacity * sizeof *tlb->entries);
}

void kb_tlb_fini(kb_tlb *tlb)
{
    free(tlb->bucket);
    free(tlb->entries);
    *tlb = (kb_tlb){0};
}

/* Fibonacci hashing: neighbouring pages spread over the buckets. */
static uint32_t *bucket_of(const kb_tlb *tlb, uint64_t page)
{
    return &tlb->bucket[(page * 0x9e3779b97f4a7c15u >> 32) & (tlb->buckets - 1)];
}

static void unlink_use(kb_tlb *tlb, uint32_t e)
{
    struct kb_tlb_entry *entry = &tlb->entries[e];
    if (entry->newer == NONE)
        tlb->newest = entry->older;
    else
        tlb->entries[entry->newer].older = entry->older;
    if (entry->older == NONE)
        tlb->oldest = entry->newer;
    else
        tlb->entries[entry->older].newer = entry->newer;
}

static void make_newest(kb_tlb *tlb, uint32_t e)
{
    tlb->entries[e].newer = NONE;
    tlb->entries[e].older = tlb->newest;
    if (tlb->newest == NONE)
        tlb->oldest = e;
    else
        tlb->entries[tlb->newest].newer = e;
    tlb->newest = e;
}

static uint32_t evict_oldest(kb_tlb *tlb)
{
    uint32_t e = tlb->oldest;
    uint32_t *link = bucket_of(tlb, tlb->entries[e].page);
    while (*link != e) link = &tlb->entries[*link].next;
    *link = tlb->entries[e].next;
    unlink_use(tlb, e);
    return e;
}

bool kb_tlb_touch(kb_tlb *tlb, uint64_t page)
{
    uint32_t *bucket = bucket_of(tlb, page);
    uint32_t e = *bucket;
    while (e != NONE && tlb->entries[e].page != page) e = tlb->entries[e].next;
    if (e != NONE) {
        unlink_use(tlb, e);
        make_newest(tlb, e);
        return true;
    }
    e = tlb->count < tlb->capacity ? tlb->count++ : evict_oldest(tlb);
    tlb->entries[e].page = page;
    tlb->entries[e].next = *bucket;
    *bucket = e;
    make_newest(tlb, e);
    return false;
}
