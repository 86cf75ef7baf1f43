/* pe_mmu: translates the regions of DMA commands. A translation costs `overhead_ns` per command,
 * before the command queues for its channel. */
#ifndef KB_HW_PE_PE_MMU_H
#define KB_HW_PE_PE_MMU_H

#include "hw/pe/pe.h"

typedef struct kb_mmu_config {
    kb_time translation;
    uint64_t page_bytes;
} kb_mmu_config;

#endif
