/* pe_dma: a read and a write channel, each with `outstanding` transactions at a time. A command
 * holds its channel from the grant to the completion of its transaction, not from its issue. */
#ifndef KB_HW_PE_PE_DMA_H
#define KB_HW_PE_PE_DMA_H

#include "hw/pe/pe.h"

typedef struct kb_dma_config {
    uint32_t outstanding;
} kb_dma_config;

/* Drop the commands under way: the machine ends. */
void kb_pe_dma_fini(kb_pe *pe);

#endif
