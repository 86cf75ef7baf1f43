/* pe_mmu: translates the regions of DMA commands. A translation costs `overhead_ns` per command,
 * before the command queues for its channel.
 *
 * Law of the TLB: it holds the `tlb_entries` pages that the PE's commands touched last. When a
 * command is dispatched it touches its pages in order; each that is not there costs `miss_ns`, in
 * addition and one after another, and takes the place of the one touched longest ago. With
 * tlb_entries 0 every mapped page is there, and with miss_ns 0 nobody would notice: then the TLB is
 * not followed at all and counts nothing. Unmapping does not evict. */
#ifndef KB_HW_PE_PE_MMU_H
#define KB_HW_PE_PE_MMU_H

#include "hw/pe/pe.h"

typedef struct kb_mmu_config {
    kb_time translation, miss;
    uint64_t page_bytes;
    uint32_t tlb_entries;
} kb_mmu_config;

/* Time that translating a command takes now; the TLB has its pages afterwards. */
kb_time kb_pe_mmu_time(kb_pe *pe, const kb_pieces *pieces);

#endif
