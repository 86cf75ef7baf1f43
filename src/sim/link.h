/* One direction of a link: a FIFO server of fixed bandwidth, followed by propagation (laws T1, T2).
 *
 * A unit that is ready at t starts at max(t, free), occupies the link for its occupancy, and is at
 * the far end at start + occupancy + propagation. Callers claim in the order in which units become
 * ready (event order), so `free` alone is the whole queue: no list, no event of the link's own. */
#ifndef KB_SIM_LINK_H
#define KB_SIM_LINK_H

#include "sim/time.h"

typedef struct kb_link {
    kb_time free;   /* when the last claimed unit has left */
    kb_time busy;   /* total occupancy */
    kb_time waited; /* total of start - ready */
    uint64_t bytes;
} kb_link;

/* Claim the link for a unit that is ready at `ready`; returns when its last byte leaves. */
static inline kb_time kb_link_claim(kb_link *link, kb_time ready, kb_time occupancy, uint64_t bytes)
{
    kb_time start = link->free > ready ? link->free : ready;
    link->waited += start - ready;
    link->busy += occupancy;
    link->bytes += bytes;
    link->free = start + occupancy;
    return link->free;
}

/* Claim the link for `count` > 0 units in a row that are ready at once. The first occupies it for
 * `first`, the others for `each`; returns when the first leaves. */
static inline kb_time kb_link_claim_row(kb_link *link, kb_time ready, kb_time first, kb_time each,
                                        uint64_t count, uint64_t bytes)
{
    uint64_t more = count - 1;
    kb_time left = kb_link_claim(link, ready, first, bytes), rest = more * each;
    link->waited += more * (left - ready) + each * (more * (more - 1) / 2);
    link->busy += rest;
    link->free += rest;
    return left;
}

#endif
