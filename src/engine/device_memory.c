#include "engine/device_memory.h"

#include <stdlib.h>

#include "engine/engine.h"
#include "topo/names.h"

/* Allocators and their names. */
typedef struct named_alloc {
    kb_alloc alloc;
    char name[KB_NAME_MAX];
} named_alloc;

/* Of a cube, from the first use on. */
typedef struct kb_cube_memory {
    named_alloc sram;
    named_alloc slices[];
} kb_cube_memory;

static uint32_t alignment(kb_memory_kind kind)
{
    static const uint32_t bytes[KB_MEMORY_KINDS] = {
        [KB_IN_HBM] = 4096, [KB_IN_SRAM] = 256, [KB_IN_TCM] = 256};
    return bytes[kind];
}

const char *kb_device_memory_name(kb_memory_kind kind)
{
    static const char *const names[KB_MEMORY_KINDS] = {
        [KB_IN_HBM] = "hbm", [KB_IN_SRAM] = "sram", [KB_IN_TCM] = "tcm"};
    return names[kind];
}

static void open_alloc(const kb_engine *engine, named_alloc *a, kb_node node, kb_unit unit,
                       kb_memory_kind kind)
{
    kb_node_name(engine->m->graph, node, a->name);
    kb_alloc_init_whole(&a->alloc, a->name, 0, engine->m->layout.unit_bytes[unit], alignment(kind));
}

static kb_cube_memory *cube_memory(kb_engine *engine, int sip, int cube)
{
    const kb_graph *g = engine->m->graph;
    size_t cubes = (size_t)kb_graph_cubes(g);
    if (!engine->cube_memory)
        engine->cube_memory = kb_xcalloc((size_t)g->sips * cubes, sizeof(kb_cube_memory *));
    kb_cube_memory **at = &engine->cube_memory[(size_t)sip * cubes + (size_t)cube];
    kb_cube_memory *memory = *at;
    if (memory) return memory;
    int slices = g->cube_plan.slices;
    *at = memory = kb_xcalloc(1, sizeof *memory + (size_t)slices * sizeof *memory->slices);
    kb_node sram = kb_graph_node(g, (kb_place){sip, cube, g->cube_plan.sram});
    open_alloc(engine, &memory->sram, sram, KB_UNIT_CUBE_SRAM, KB_IN_SRAM);
    for (int s = 0; s < slices; s++)
        open_alloc(engine, &memory->slices[s], kb_graph_slice(g, sip, cube, s), KB_UNIT_HBM,
                   KB_IN_HBM);
    return memory;
}

static kb_alloc *alloc_of(kb_engine *engine, const kb_memory_place *p)
{
    switch (p->kind) {
    case KB_IN_TCM:
        return &kb_machine_pe(engine->m, p->sip, p->cube, p->pe)->tcm;
    case KB_IN_SRAM:
        return &cube_memory(engine, p->sip, p->cube)->sram.alloc;
    default: {
        int slice = kb_graph_own_slice(engine->m->graph, p->pe);
        return &cube_memory(engine, p->sip, p->cube)->slices[slice].alloc;
    }
    }
}

static kb_location location(const kb_engine *engine, const kb_memory_place *p, uint64_t offset)
{
    kb_location at = {.sip = (uint32_t)p->sip,
                      .die_kind = KB_DIE_CUBE,
                      .die = (uint32_t)p->cube,
                      .offset = offset};
    if (p->kind == KB_IN_HBM) {
        at.unit = KB_UNIT_HBM;
        at.index = (uint32_t)kb_graph_own_slice(engine->m->graph, p->pe);
    } else if (p->kind == KB_IN_TCM) {
        at.unit = KB_UNIT_PE_TCM;
        at.index = (uint32_t)p->pe;
    } else {
        at.unit = KB_UNIT_CUBE_SRAM;
    }
    return at;
}

int kb_device_memory_take(kb_engine *engine, const kb_memory_place *place, uint64_t bytes,
                          kb_paddr *pa, kb_err *err)
{
    kb_alloc *alloc = alloc_of(engine, place);
    uint64_t offset;
    int status = kb_alloc_take(alloc, bytes, alignment(place->kind), &offset, err);
    if (status) return place->kind == KB_IN_TCM ? kb_fail_at(err, "TCM") : status;
    kb_location at = location(engine, place, offset);
    status = kb_paddr_encode(&engine->m->layout, &at, pa, err);
    if (status) kb_alloc_give(alloc, offset, NULL);
    return status;
}

void kb_device_memory_give(kb_engine *engine, const kb_memory_place *place, kb_paddr pa)
{
    kb_location at;
    if (kb_paddr_decode(&engine->m->layout, pa, &at, NULL)) return;
    kb_alloc_give(alloc_of(engine, place), at.offset, NULL);
}

void kb_device_memory_fini(kb_engine *engine)
{
    if (!engine->cube_memory) return;
    const kb_graph *g = engine->m->graph;
    size_t cubes = (size_t)g->sips * (size_t)kb_graph_cubes(g);
    for (size_t c = 0; c < cubes; c++) {
        kb_cube_memory *memory = engine->cube_memory[c];
        if (!memory) continue;
        kb_alloc_fini(&memory->sram.alloc);
        for (int s = 0; s < g->cube_plan.slices; s++) kb_alloc_fini(&memory->slices[s].alloc);
        free(memory);
    }
    free(engine->cube_memory);
    engine->cube_memory = NULL;
}
