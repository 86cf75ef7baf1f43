/* Memory of the machine that is handed out: HBM by slice, SRAM by cube, TCM by PE.
 *
 * Everything that lies at a physical address takes its room here: parts of tensors, and whatever
 * else is given an address of its own. TCM comes from the PE's user part, which the tiles of
 * kernels share. What is taken has an address and no contents. */
#ifndef KB_ENGINE_DEVICE_MEMORY_H
#define KB_ENGINE_DEVICE_MEMORY_H

#include "addr/physaddr.h"

struct kb_engine;

typedef enum kb_memory_kind {
    KB_IN_HBM, /* the PE's own slice */
    KB_IN_SRAM,
    KB_IN_TCM,
    KB_MEMORY_KINDS
} kb_memory_kind;

const char *kb_device_memory_name(kb_memory_kind kind); /* "hbm", "sram", "tcm" */

typedef struct kb_memory_place {
    kb_memory_kind kind;
    int sip, cube, pe;
} kb_memory_place;

/* `bytes` > 0 in the memory of that kind that belongs to the PE. KB_ENOSPC, naming the memory and
 * its largest hole, when it is full. */
int kb_device_memory_take(struct kb_engine *engine, const kb_memory_place *place, uint64_t bytes,
                          kb_paddr *pa, kb_err *err);
void kb_device_memory_give(struct kb_engine *engine, const kb_memory_place *place, kb_paddr pa);

void kb_device_memory_fini(struct kb_engine *engine);

#endif
