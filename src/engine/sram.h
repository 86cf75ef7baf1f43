/* Room in the cubes' shared SRAM. */
#ifndef KB_ENGINE_SRAM_H
#define KB_ENGINE_SRAM_H

#include "engine/engine.h"

/* Take or give back bytes, in physical addresses. KB_ENOSPC names the cube. */
int kb_engine_sram_take(kb_engine *engine, int sip, int cube, uint64_t bytes, kb_paddr *pa,
                        kb_err *err);
void kb_engine_sram_give(kb_engine *engine, int sip, int cube, kb_paddr pa);

void kb_engine_sram_free_all(kb_engine *engine);

#endif
