/* pe_scheduler: the only dispatcher of a PE. Commands are dispatched one after another; products of
 * matrices (composites) are cut into tiles, which are fed strictly in order, as many at a time as
 * the tile queue and the scheduler's part of TCM have room for. */
#ifndef KB_HW_PE_PE_SCHEDULER_H
#define KB_HW_PE_PE_SCHEDULER_H

#include "hw/pe/pe.h"

typedef struct kb_scheduler_config {
    kb_time dispatch;
    uint32_t tile_queue;
} kb_scheduler_config;

#endif
