#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/ipcq.h"
#include "engine/kernel.h"
#include "engine/launch.h"
#include "engine/sram.h"
#include "engine/tensor.h"
#include "topo/names.h"
#include "hw/pe/pe_mmu.h"

/* The allocators of a cube's slices, and their names. */
typedef struct kb_slice_alloc {
    kb_alloc alloc;
    char name[KB_NAME_MAX];
} kb_slice_alloc;

enum { HBM_ALIGN = 4096, EVENTS_PER_PROGRESS = 1 << 22 };

static int open_va(kb_engine *engine, kb_err *err)
{
    const kb_spec *spec = engine->spec;
    const kb_mmu_config *mmu = kb_machine_config(engine->m, KB_PE_MMU);
    int status =
        kb_vaspace_init(&engine->va, (uint64_t)kb_spec_int(spec, "address.va_base"),
                        (uint64_t)kb_spec_int(spec, "address.va_gb") << 30, mmu->page_bytes, err);
    if (!status) return KB_OK;
    const char *path = kb_spec_given(spec, "address.va_base") ? "address.va_base"
                       : kb_spec_given(spec, "address.va_gb") ? "address.va_gb"
                                                              : "pe.pe_mmu.page_bytes";
    return kb_spec_reject(spec, path, err, "%s", err->text);
}

int kb_engine_create(kb_engine **out, const kb_engine_options *options, kb_err *err)
{
    kb_engine *engine = kb_xcalloc(1, sizeof *engine);
    kb_section sections[KB_SECTION_MAX];
    size_t section_count = kb_machine_sections(sections);
    kb_spec_source source = {options->topology, options->sets, options->set_count, sections,
                             section_count};
    engine->data = options->data;
    engine->sim = kb_sim_create();
    kb_oplog_init(&engine->log, &engine->memory);
    int status = kb_spec_load(&engine->spec, &source, err);
    if (!status) status = kb_machine_create(&engine->m, engine->sim, engine->spec, err);
    if (!status) status = open_va(engine, err);
    if (status) {
        kb_engine_destroy(engine);
        engine = NULL;
    } else {
        size_t cubes = (size_t)engine->m->graph->sips * (size_t)kb_graph_cubes(engine->m->graph);
        engine->hbm = kb_xcalloc(cubes, sizeof(kb_slice_alloc *));
    }
    *out = engine;
    return status;
}

static void free_hbm(kb_engine *engine)
{
    const kb_graph *g = engine->m->graph;
    size_t cubes = (size_t)g->sips * (size_t)kb_graph_cubes(g);
    for (size_t c = 0; c < cubes; c++) {
        for (int s = 0; engine->hbm[c] && s < g->cube_plan.slices; s++)
            kb_alloc_fini(&engine->hbm[c][s].alloc);
        free(engine->hbm[c]);
    }
    free(engine->hbm);
}

void kb_engine_destroy(kb_engine *engine)
{
    if (!engine) return;
    kb_kernel_free_all(engine);
    kb_tensor_free_all(engine);
    for (kb_proc *proc = engine->procs; proc;) {
        kb_proc *next = proc->next;
        free(proc);
        proc = next;
    }
    kb_launch_free_all(engine);
    kb_ipcq_free_all(engine);
    kb_oplog_fini(&engine->log);
    kb_memory_fini(&engine->memory);
    kb_vaspace_fini(&engine->va);
    if (engine->hbm) free_hbm(engine);
    if (engine->m) kb_engine_sram_free_all(engine);
    kb_machine_destroy(engine->m);
    kb_sim_destroy(engine->sim);
    kb_spec_destroy(engine->spec);
    free(engine);
}

static kb_alloc *slice_alloc(kb_engine *engine, int sip, int cube, int slice)
{
    const kb_graph *g = engine->m->graph;
    kb_slice_alloc **slices = &engine->hbm[sip * kb_graph_cubes(g) + cube];
    if (!*slices) {
        *slices = kb_xcalloc((size_t)g->cube_plan.slices, sizeof **slices);
        for (int s = 0; s < g->cube_plan.slices; s++) {
            kb_slice_alloc *one = &(*slices)[s];
            kb_node_name(g, kb_graph_slice(g, sip, cube, s), one->name);
            kb_alloc_init(&one->alloc, one->name, 0, engine->m->layout.unit_bytes[KB_UNIT_HBM]);
        }
    }
    return &(*slices)[slice].alloc;
}

int kb_engine_hbm_take(kb_engine *engine, int sip, int cube, int slice, uint64_t bytes,
                       kb_paddr *pa, kb_err *err)
{
    uint64_t offset;
    int status =
        kb_alloc_take(slice_alloc(engine, sip, cube, slice), bytes, HBM_ALIGN, &offset, err);
    if (status) return status;
    kb_location at = {.sip = (uint32_t)sip,
                      .die_kind = KB_DIE_CUBE,
                      .die = (uint32_t)cube,
                      .unit = KB_UNIT_HBM,
                      .index = (uint32_t)slice,
                      .offset = offset};
    return kb_paddr_encode(&engine->m->layout, &at, pa, err);
}

void kb_engine_hbm_give(kb_engine *engine, int sip, int cube, int slice, kb_paddr pa)
{
    kb_location at;
    if (kb_paddr_decode(&engine->m->layout, pa, &at, NULL)) return;
    kb_alloc_give(slice_alloc(engine, sip, cube, slice), at.offset, NULL);
}

kb_run_end kb_engine_run(kb_engine *engine, kb_time max_time, uint64_t max_events,
                         kb_progress progress, void *user)
{
    while (max_events > EVENTS_PER_PROGRESS) {
        kb_run_end end = kb_sim_run(engine->sim, max_time, EVENTS_PER_PROGRESS);
        if (end != KB_RUN_EVENTS) return end;
        max_events -= EVENTS_PER_PROGRESS;
        if (progress) progress(user, engine);
    }
    return kb_sim_run(engine->sim, max_time, max_events);
}

int kb_engine_settle(kb_engine *engine, kb_err *err)
{
    return kb_oplog_run(&engine->log, err);
}
