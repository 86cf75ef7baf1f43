#include "engine/host_work.h"

#include <stdlib.h>

kb_host_work *kb_host_work_create(kb_tensor *t, uint32_t parts)
{
    kb_engine *engine = t->engine;
    kb_host_work *work = kb_xcalloc(1, sizeof *work);
    work->engine = engine;
    work->refs = 1;
    work->started = work->ended = engine->sim->now;
    kb_completion_init(&work->done, parts);
    if (!parts) return work;
    work->refs++;
    work->tensor = t;
    t->users++;
    work->next = engine->host_work;
    if (work->next) work->next->prev = work;
    engine->host_work = work;
    return work;
}

kb_host_work *kb_host_work_retain(kb_host_work *work)
{
    work->refs++;
    return work;
}

void kb_host_work_release(kb_host_work *work)
{
    if (!work || --work->refs) return;
    for (uint32_t i = 0; i < work->map_count; i++) {
        free(work->maps[i].msg.targets);
        free(work->maps[i].applied);
    }
    free(work->maps);
    free(work);
}

static void take_out(kb_host_work *work)
{
    if (work->prev)
        work->prev->next = work->next;
    else
        work->engine->host_work = work->next;
    if (work->next) work->next->prev = work->prev;
    work->prev = work->next = NULL;
}

void kb_host_work_part(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_host_work *work = object;
    work->ended = sim->now;
    kb_completion_part(&work->done, sim);
    if (!kb_completion_done(&work->done)) return;
    take_out(work);
    kb_tensor *t = work->tensor;
    work->tensor = NULL;
    kb_host_work_release(work);
    kb_tensor_unuse(t);
}

void kb_host_work_drop_all(kb_engine *engine)
{
    while (engine->host_work) {
        kb_host_work *work = engine->host_work;
        take_out(work);
        work->engine = NULL;
        work->tensor = NULL;
        kb_host_work_release(work);
    }
}
