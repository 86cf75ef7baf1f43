#include "engine/launch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel.h"
#include "hw/energy.h"

/* Messages of failed instances that are kept. */
enum { ERRORS_KEPT = 8 };

/* What pe_cpu hands back when the PE is free for the instance. */
typedef struct kb_instance {
    kb_pe_start start;
    kb_launch *launch;
    int target;
} kb_instance;

/* Energy of the machine from the beginning until now; 0 unless it is reported. */
static double joules_so_far(const kb_launch *launch)
{
    kb_energy energy;
    kb_energy_total(launch->engine->m, &energy);
    return energy.total;
}

static kb_msg *msg_on(const kb_launch *launch, int sip)
{
    kb_msg *msg = launch->msgs;
    while (msg->sip != sip) msg++;
    return msg;
}

const kb_msg *kb_launch_msg_of(const kb_proc *proc)
{
    return msg_on(proc->launch, proc->pe->sip);
}

static void report(kb_launch *launch, kb_pe *pe, int target)
{
    launch->end = launch->engine->sim->now;
    if (++launch->ended == launch->pe_count) {
        launch->joules += joules_so_far(launch);
        kb_launch_use_end(launch);
    }
    kb_pe_cpu_end(pe);
    kb_msg_report(msg_on(launch, pe->sip), target, pe->number);
}

static void begin_on_pe(void *object, kb_pe *pe)
{
    const kb_instance *in = object;
    kb_launch *launch = in->launch;
    int target = in->target;
    if (launch->started++ == 0) {
        launch->start = launch->engine->sim->now;
        launch->joules = -joules_so_far(launch);
        kb_launch_use_begin(launch);
    }
    if (launch->stopped) {
        report(launch, pe, target);
        return;
    }
    kb_proc *proc = kb_proc_create(launch->engine, KB_PROC_KERNEL, NULL, NULL);
    proc->launch = launch;
    proc->target = target;
    proc->pe = pe;
    proc->launch_next = launch->procs;
    if (proc->launch_next) proc->launch_next->launch_prev = proc;
    launch->procs = proc;
    launch->begin(launch, proc);
}

static void deliver(kb_msg *msg, int target, int pe_number)
{
    kb_launch *launch = msg->object;
    kb_pe *pe = kb_machine_pe(msg->m, msg->sip, msg->targets[target].cube, pe_number);
    kb_instance *in = &launch->instances[launch->delivered++];
    *in = (kb_instance){.start = {.begin = begin_on_pe, .object = in}, launch, target};
    kb_pe_cpu_start(pe, &in->start);
}

static void completed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_launch *launch = object;
    kb_completion_part(&launch->done, sim);
    if (!kb_completion_done(&launch->done)) return;
    for (uint32_t i = 0; i < launch->tensor_count; i++) kb_tensor_unuse(launch->tensors[i]);
    launch->tensor_count = 0;
}

static void fill_messages(kb_launch *launch, const kb_launch_desc *desc)
{
    launch->msgs = kb_xcalloc(desc->sip_count, sizeof *launch->msgs);
    launch->sip_count = desc->sip_count;
    for (uint32_t i = 0; i < desc->sip_count; i++) {
        const kb_launch_sip *on = &desc->sips[i];
        launch->msgs[i] = (kb_msg){.m = launch->engine->m,
                                   .sip = on->sip,
                                   .synchronised = true,
                                   .component = KB_PE_CPU,
                                   .targets = on->targets,
                                   .target_count = on->target_count,
                                   .deliver = deliver,
                                   .done = completed,
                                   .object = launch};
        for (uint32_t t = 0; t < on->target_count; t++)
            launch->pe_count += (uint32_t)__builtin_popcount(on->targets[t].pe_mask);
    }
}

static void use_tensors(kb_launch *launch, const kb_launch_desc *desc)
{
    launch->tensors = kb_xcalloc(desc->tensor_count + 1, sizeof(kb_tensor *));
    launch->tensor_count = desc->tensor_count;
    for (uint32_t i = 0; i < desc->tensor_count; i++) {
        launch->tensors[i] = desc->tensors[i];
        kb_tensor_use(desc->tensors[i]);
    }
}

static void send(kb_launch *launch)
{
    if (launch->sip_count == 1) {
        kb_msg_send(launch->msgs);
        return;
    }
    kb_msg **group = kb_xmalloc(launch->sip_count * sizeof(kb_msg *));
    for (uint32_t i = 0; i < launch->sip_count; i++) group[i] = &launch->msgs[i];
    kb_msg_send_group(group, launch->sip_count);
    free(group);
}

kb_launch *kb_launch_submit(kb_engine *engine, const kb_launch_desc *desc)
{
    kb_launch *launch = kb_xcalloc(1, sizeof *launch);
    *launch = (kb_launch){.engine = engine,
                          .name = kb_xstrdup(desc->name),
                          .number = engine->launch_count,
                          .spawn = desc->spawn,
                          .begin = desc->begin,
                          .stop = desc->stop,
                          .user = desc->user};
    fill_messages(launch, desc);
    use_tensors(launch, desc);
    launch->instances = kb_xcalloc(launch->pe_count, sizeof *launch->instances);
    kb_completion_init(&launch->done, launch->sip_count);
    if (engine->last_launch)
        engine->last_launch->next = launch;
    else
        engine->launches = launch;
    engine->last_launch = launch;
    engine->launch_count++;
    engine->submissions++;
    send(launch);
    return launch;
}

kb_time kb_launch_sent(const kb_launch *launch)
{
    return launch->msgs[0].sent;
}

kb_time kb_launch_completed(const kb_launch *launch)
{
    kb_time last = 0;
    for (uint32_t i = 0; i < launch->sip_count; i++)
        if (launch->msgs[i].completed > last) last = launch->msgs[i].completed;
    return last;
}

static void add_error(kb_launch *launch, const char *error)
{
    if (launch->failures++ >= ERRORS_KEPT) return;
    size_t old = launch->errors ? strlen(launch->errors) : 0, more = strlen(error);
    launch->errors = kb_xrealloc(launch->errors, old + more + 2);
    if (old) launch->errors[old++] = '\n';
    memcpy(launch->errors + old, error, more + 1);
}

char *kb_launch_error_text(const kb_launch *launch)
{
    size_t size = strlen(launch->errors) + 64;
    char *text = kb_xmalloc(size);
    uint32_t more = launch->failures > ERRORS_KEPT ? launch->failures - ERRORS_KEPT : 0;
    if (more)
        snprintf(text, size, "%s\n(%u more PEs failed)", launch->errors, more);
    else
        snprintf(text, size, "%s", launch->errors);
    return text;
}

static void retire(kb_proc *proc)
{
    kb_launch *launch = proc->launch;
    if (proc->launch_prev)
        proc->launch_prev->launch_next = proc->launch_next;
    else
        launch->procs = proc->launch_next;
    if (proc->launch_next) proc->launch_next->launch_prev = proc->launch_prev;
    kb_pe *pe = proc->pe;
    int target = proc->target;
    kb_kernel_forget(proc);
    kb_proc_end(proc);
    report(launch, pe, target);
}

static void stop_siblings(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_launch *launch = object;
    launch->stopped = true;
    while (launch->procs) {
        kb_proc *sibling = launch->procs;
        if (!sibling->ending) launch->stop(sibling);
        retire(sibling);
    }
}

void kb_launch_instance_end(kb_proc *proc, const char *error)
{
    kb_launch *launch = proc->launch;
    proc->ending = true;
    if (!error) {
        if (!proc->ops) retire(proc);
        return;
    }
    add_error(launch, error);
    retire(proc);
    if (launch->failed) return;
    launch->failed = true;
    kb_sim_after(launch->engine->sim, 0, stop_siblings, launch, 0);
}

void kb_launch_instance_idle(kb_proc *proc)
{
    retire(proc);
}

void kb_launch_stop_spawn(kb_engine *engine, uint32_t spawn)
{
    for (kb_launch *launch = engine->launches; launch; launch = launch->next) {
        if (launch->spawn != spawn || kb_completion_done(&launch->done)) continue;
        if (!launch->failed)
            add_error(launch, "it was stopped, because the worker that launched it was");
        launch->failed = launch->reported = true;
        stop_siblings(engine->sim, launch, 0);
    }
}

void kb_launch_free_all(kb_engine *engine)
{
    for (kb_launch *launch = engine->launches; launch;) {
        kb_launch *next = launch->next;
        for (uint32_t i = 0; i < launch->sip_count; i++) free(launch->msgs[i].targets);
        free(launch->msgs);
        free(launch->tensors);
        free(launch->instances);
        free(launch->errors);
        kb_vec_free(&launch->use.slices);
        free(launch->name);
        free(launch);
        launch = next;
    }
    engine->launches = engine->last_launch = NULL;
}
