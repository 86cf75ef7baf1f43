#include "engine/proc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/engine.h"

static void forget(kb_proc *proc)
{
    kb_engine *engine = proc->engine;
    if (proc->prev)
        proc->prev->next = proc->next;
    else
        engine->procs = proc->next;
    if (proc->next) proc->next->prev = proc->prev;
    kb_pool_give(&engine->proc_pool, proc);
}

void kb_proc_wake(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_proc *proc = object;
    proc->waiting = false;
    if (proc->stopped) {
        forget(proc);
        return;
    }
    proc->reason = KB_WAIT_NONE;
    proc->ahead = 0;
    proc->resume(proc);
}

kb_proc *kb_proc_create(kb_engine *engine, kb_proc_kind kind, void (*resume)(kb_proc *proc),
                        void *user)
{
    kb_proc *proc = kb_pool_take(&engine->proc_pool);
    *proc = (kb_proc){.engine = engine,
                      .kind = kind,
                      .next = engine->procs,
                      .waiter = {.fn = kb_proc_wake, .object = proc},
                      .resume = resume,
                      .user = user};
    if (proc->next) proc->next->prev = proc;
    engine->procs = proc;
    engine->proc_count++;
    return proc;
}

void kb_proc_leave(kb_proc *proc)
{
    if (proc->waiting && kb_waiter_leave(&proc->waiter)) proc->waiting = false;
}

void kb_proc_end(kb_proc *proc)
{
    assert(!proc->stopped);
    proc->engine->proc_count--;
    proc->stopped = true;
    kb_proc_leave(proc);
    if (!proc->waiting) forget(proc);
}

void kb_proc_wait_wake(kb_proc *proc, kb_wait_reason reason, const char *what)
{
    assert(!proc->waiting && !proc->stopped);
    proc->waiting = true;
    proc->reason = reason;
    proc->what = what;
    proc->since = proc->engine->sim->now;
}

void kb_proc_wait(kb_proc *proc, kb_completion *completion, kb_wait_reason reason, const char *what)
{
    kb_proc_wait_wake(proc, reason, what);
    kb_completion_wait(completion, proc->engine->sim, &proc->waiter);
}

void kb_proc_wait_until(kb_proc *proc, kb_time when, kb_wait_reason reason, const char *what)
{
    kb_proc_wait_wake(proc, reason, what);
    kb_sim_at(proc->engine->sim, when, kb_proc_wake, proc, 0);
}

kb_time kb_proc_now(const kb_proc *proc)
{
    return proc->kind == KB_PROC_KERNEL ? kb_pe_now(proc->pe) : proc->engine->sim->now;
}

const char *kb_proc_where(const kb_proc *proc, char *text, size_t size)
{
    if (proc->kind == KB_PROC_KERNEL)
        snprintf(text, size, "%s", proc->pe->name);
    else if (proc->kind == KB_PROC_WORKER)
        snprintf(text, size, "rank %d", proc->rank);
    else
        snprintf(text, size, "the bench");
    return text;
}
