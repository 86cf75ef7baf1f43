/* A translation look-aside buffer: the pages touched last, the least recently used gives way.
 * Touching a page takes constant time: a hash table of entries that are also a list by last use. */
#ifndef KB_HW_PE_TLB_H
#define KB_HW_PE_TLB_H

#include <stdbool.h>
#include <stdint.h>

/* Fields are private. All zero: not initialised, holds nothing. */
typedef struct kb_tlb {
    uint32_t capacity, count;
    uint32_t newest, oldest;
    uint32_t buckets; /* a power of two */
    uint32_t *bucket; /* first entry of each */
    struct kb_tlb_entry *entries;
} kb_tlb;

void kb_tlb_init(kb_tlb *tlb, uint32_t capacity); /* > 0 */
void kb_tlb_fini(kb_tlb *tlb);

/* Whether it held the page; afterwards it does, as the newest. */
bool kb_tlb_touch(kb_tlb *tlb, uint64_t page);

#endif
