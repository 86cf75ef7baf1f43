#include "engine/engine.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/device_memory.h"
#include "engine/host_work.h"
#include "engine/ipcq.h"
#include "engine/kernel_ipcq.h"
#include "engine/launch.h"
#include "engine/tensor.h"
#include "hw/pe/pe_mmu.h"

enum { EVENTS_PER_PROGRESS = 1 << 22 };

static int open_va(kb_engine *engine, kb_err *err)
{
    const kb_spec *spec = engine->spec;
    const kb_mmu_config *mmu = kb_machine_config(engine->m, KB_PE_MMU);
    int status =
        kb_vaspace_init(&engine->va, (uint64_t)kb_spec_int(spec, "address.va_base"),
                        (uint64_t)kb_spec_int(spec, "address.va_gb") << 30, mmu->page_bytes, err);
    engine->m->va = &engine->va;
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
    kb_pool_init(&engine->op_pool, (sizeof(kb_op) + 63) / 64 * 64);
    kb_pool_init(&engine->proc_pool, sizeof(kb_proc));
    kb_pool_init(&engine->comm_pool, sizeof(kb_comm));
    engine->tiles = kb_depot_create(sizeof(kb_tile));
    engine->values = kb_depot_create(sizeof(kb_value));
    engine->sim = kb_sim_create();
    engine->log = kb_oplog_create(&engine->memory, options->data ? options->data_threads : 0);
    int status = kb_spec_load(&engine->spec, &source, err);
    if (!status) status = kb_machine_create(&engine->m, engine->sim, engine->spec, err);
    if (!status) status = open_va(engine, err);
    if (status) {
        kb_engine_destroy(engine);
        engine = NULL;
    }
    *out = engine;
    return status;
}

void kb_engine_destroy(kb_engine *engine)
{
    if (!engine) return;
    kb_kernel_free_all(engine);
    kb_host_work_drop_all(engine);
    kb_tensor_free_all(engine);
    kb_launch_free_all(engine);
    kb_ipcq_free_all(engine);
    kb_oplog_destroy(engine->log);
    kb_memory_fini(&engine->memory);
    kb_vaspace_fini(&engine->va);
    kb_device_memory_fini(engine);
    kb_machine_destroy(engine->m);
    kb_sim_destroy(engine->sim);
    kb_pool_fini(&engine->op_pool);
    kb_pool_fini(&engine->comm_pool);
    kb_pool_fini(&engine->proc_pool);
    kb_depot_close(engine->tiles);
    kb_depot_close(engine->values);
    kb_spec_destroy(engine->spec);
    free(engine);
}

static kb_run_end run_some(kb_engine *engine, kb_time max_time, uint64_t max_events)
{
    kb_run_end end = kb_sim_run(engine->sim, max_time, max_events);
    if (end == KB_RUN_TIME) kb_sim_rest(engine->sim, max_time);
    return end;
}

kb_run_end kb_engine_run(kb_engine *engine, kb_time max_time, uint64_t max_events,
                         kb_progress progress, void *user)
{
    while (max_events > EVENTS_PER_PROGRESS) {
        kb_run_end end = run_some(engine, max_time, EVENTS_PER_PROGRESS);
        if (end != KB_RUN_EVENTS) return end;
        max_events -= EVENTS_PER_PROGRESS;
        if (progress) progress(user, engine);
    }
    return run_some(engine, max_time, max_events);
}

int kb_engine_settle(kb_engine *engine, kb_err *err)
{
    return kb_oplog_run(engine->log, err);
}

int kb_engine_settle_value(kb_engine *engine, const kb_value *value, kb_err *err)
{
    return kb_oplog_run_for(engine->log, value, err);
}
