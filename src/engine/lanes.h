/* From the addresses of single elements to what the DMA moves.
 *
 * Law of coalescing. The elements that are not masked off are taken in order. Each that follows its
 * predecessor in memory joins its run. Runs of one length, each as far behind its predecessor as
 * the second is behind the first, are rows of one region, as of a strided block; the first run that
 * is not begins the next region. Nothing is reordered, and an element that comes twice moves twice.
 */
#ifndef KB_ENGINE_LANES_H
#define KB_ENGINE_LANES_H

#include "hw/pe/pe.h"

typedef kb_vec(kb_va_region) kb_va_regions;

typedef struct kb_lanes {
    size_t count;
    const int64_t *element; /* of each lane, from `base` on; those not masked off are >= 0 */
    const uint8_t *mask;    /* 1: takes part; null: all do */
} kb_lanes;

/* Append the regions, elements having `bytes` each. */
void kb_lanes_coalesce(const kb_lanes *lanes, kb_vaddr base, size_t bytes, kb_va_regions *out);

#endif
