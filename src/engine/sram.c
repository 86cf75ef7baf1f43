#include "engine/sram.h"

#include <stdlib.h>

#include "topo/names.h"

enum { SRAM_ALIGN = 256 };

/* The allocator of a cube's SRAM, and its name. */
typedef struct kb_sram_alloc {
    kb_alloc alloc;
    char name[KB_NAME_MAX];
} kb_sram_alloc;

static size_t cube_count(const kb_engine *engine)
{
    const kb_graph *g = engine->m->graph;
    return (size_t)g->sips * (size_t)kb_graph_cubes(g);
}

static kb_alloc *alloc_of(kb_engine *engine, int sip, int cube)
{
    const kb_graph *g = engine->m->graph;
    if (!engine->sram) engine->sram = kb_xcalloc(cube_count(engine), sizeof *engine->sram);
    kb_sram_alloc **at = &engine->sram[sip * kb_graph_cubes(g) + cube];
    if (!*at) {
        *at = kb_xcalloc(1, sizeof **at);
        kb_node_name(g, kb_graph_node(g, (kb_place){sip, cube, g->cube_plan.sram}), (*at)->name);
        kb_alloc_init(&(*at)->alloc, (*at)->name, 0,
                      engine->m->layout.unit_bytes[KB_UNIT_CUBE_SRAM]);
    }
    return &(*at)->alloc;
}

int kb_engine_sram_take(kb_engine *engine, int sip, int cube, uint64_t bytes, kb_paddr *pa,
                        kb_err *err)
{
    kb_location at = {.sip = (uint32_t)sip,
                      .die_kind = KB_DIE_CUBE,
                      .die = (uint32_t)cube,
                      .unit = KB_UNIT_CUBE_SRAM};
    int status = kb_alloc_take(alloc_of(engine, sip, cube), bytes, SRAM_ALIGN, &at.offset, err);
    return status ? status : kb_paddr_encode(&engine->m->layout, &at, pa, err);
}

void kb_engine_sram_give(kb_engine *engine, int sip, int cube, kb_paddr pa)
{
    kb_location at;
    if (kb_paddr_decode(&engine->m->layout, pa, &at, NULL)) return;
    kb_alloc_give(alloc_of(engine, sip, cube), at.offset, NULL);
}

void kb_engine_sram_free_all(kb_engine *engine)
{
    for (size_t c = 0; engine->sram && c < cube_count(engine); c++) {
        if (engine->sram[c]) kb_alloc_fini(&engine->sram[c]->alloc);
        free(engine->sram[c]);
    }
    free(engine->sram);
}
