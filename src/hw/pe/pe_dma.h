/* pe_dma: a read and a write channel, each with `outstanding` transactions at a time. A command
 * holds its channel from the grant to the completion of its transaction, not from its issue.
 *
 * Each channel is shared by two virtual ones, vc_compute and vc_comm, which queue apart. Law: when
 * the channel has room, `vc_arbitration` says whose oldest transaction it takes: fcfs, that which
 * came first; round_robin, that of the other virtual channel than the last time, if it has one;
 * comm_first, vc_comm's, if it has one. It is decided for each transaction, among all that have
 * come by that picosecond; nothing under way is interrupted. */
#ifndef KB_HW_PE_PE_DMA_H
#define KB_HW_PE_PE_DMA_H

#include "hw/pe/pe.h"

typedef enum kb_vc_arbitration {
    KB_VC_FCFS,
    KB_VC_ROUND_ROBIN,
    KB_VC_COMM_FIRST
} kb_vc_arbitration;

typedef struct kb_dma_config {
    uint32_t outstanding;
    kb_vc_arbitration arbitration;
} kb_dma_config;

/* Drop the commands under way: the machine ends. */
void kb_pe_dma_fini(kb_pe *pe);

/* Where the machine's commands lie. */
void kb_pe_dma_pools_init(kb_machine *m);
void kb_pe_dma_pools_fini(kb_machine *m);

#endif
