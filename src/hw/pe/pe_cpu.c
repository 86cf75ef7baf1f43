/* pe_cpu: runs one kernel at a time and issues its commands (T3: its overhead per command). */
#include <assert.h>

#include "hw/classes.h"
#include "hw/pe/pe.h"
#include "hw/pe/pe_scheduler.h"

static const kb_param params[] = {{"overhead_ns", KB_PARAM_REAL, "ns", "2", 0, 1e6, NULL,
                                   "time to accept a message, and to issue a command"},
                                  {0}};

typedef struct cpu_config {
    kb_time issue;
} cpu_config;

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    ((cpu_config *)block)->issue = kb_spec_time(spec, "pe.pe_cpu.overhead_ns");
    return KB_OK;
}

void kb_pe_cpu_start(kb_pe *pe, kb_pe_start *start)
{
    if (!pe->running) {
        pe->running = true;
        start->begin(start->object, pe);
        return;
    }
    start->next = NULL;
    if (pe->start_head)
        pe->start_tail->next = start;
    else
        pe->start_head = start;
    pe->start_tail = start;
}

void kb_pe_cpu_end(kb_pe *pe)
{
    assert(pe->running);
    pe->running = false;
    kb_pe_start *next = pe->start_head;
    if (!next) return;
    pe->start_head = next->next;
    kb_pe_cpu_start(pe, next);
}

kb_time kb_pe_now(const kb_pe *pe)
{
    kb_time now = pe->m->sim->now;
    return pe->cpu_free > now ? pe->cpu_free : now;
}

kb_time kb_pe_issue(kb_pe *pe, kb_event_fn dispatch, void *object, uint64_t arg)
{
    kb_machine *m = pe->m;
    const cpu_config *cpu = kb_machine_config(m, KB_PE_CPU);
    const kb_scheduler_config *scheduler = kb_machine_config(m, KB_PE_SCHEDULER);
    kb_time issued = kb_pe_now(pe) + cpu->issue;
    kb_time dispatched = kb_link_claim(&pe->scheduler, issued, scheduler->dispatch, 0);
    pe->commands++;
    kb_sim_at(m->sim, dispatched, dispatch, object, arg);
    pe->cpu_free = issued;
    return issued;
}

const kb_device_class kb_pe_cpu_class = {
    .kind = KB_PE_CPU,
    .help = "the PE's processor: runs a kernel and issues its commands",
    .params = params,
    .config_size = sizeof(cpu_config),
    .configure = configure,
    .transit = kb_txn_forward};
