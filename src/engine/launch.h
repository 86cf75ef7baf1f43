/* Kernel launches: one KernelLaunch message per SIP, an instance of the kernel on every target PE.
 *
 * Launches of a SIP run one after another in the order of submission; all instances of one, on all
 * of its SIPs, begin at the same picosecond (law T8): the messages to several SIPs are a group. If
 * instances fail, the others are stopped when everything due at that picosecond has happened, so
 * that all that fail together have their say; the launch completes as failed. */
#ifndef KB_ENGINE_LAUNCH_H
#define KB_ENGINE_LAUNCH_H

#include "engine/engine.h"
#include "engine/launch_use.h"
#include "engine/tensor.h"
#include "hw/msg.h"

typedef struct kb_launch {
    kb_engine *engine;
    struct kb_launch *next; /* in the order of submission */
    uint32_t spawn;         /* of the worker that submitted it; 0: the bench did */
    char *name;
    uint32_t number; /* in that order, from 0 */
    kb_msg *msgs;    /* one for each SIP, in ascending order */
    uint32_t sip_count;
    kb_completion done;  /* at the host, of all SIPs */
    kb_tensor **tensors; /* in use until then */
    uint32_t tensor_count;
    uint32_t pe_count;
    struct kb_instance *instances;
    uint32_t delivered, started, ended;
    double joules;      /* of the machine from the first start to the last end; 0: not reported */
    kb_time start, end; /* of the first and the last instance */
    kb_launch_use use;  /* complete with the last end */
    bool failed, reported; /* reported: somebody was told of the failure */
    uint32_t failures;
    bool stopped; /* after a failure: no instance runs any more */
    char *errors; /* of the first failed instances, one after the other */
    kb_proc *procs;

    /* Who runs instances: `begin` makes a process and lets it run; `stop` ends one that waits. */
    void (*begin)(struct kb_launch *launch, kb_proc *proc);
    void (*stop)(kb_proc *proc);
    void *user;
} kb_launch;

/* The part of a launch on one SIP: cubes in ascending order with their PEs. */
typedef struct kb_launch_sip {
    int sip;
    kb_msg_target *targets; /* malloc */
    uint32_t target_count;
} kb_launch_sip;

typedef struct kb_launch_desc {
    const char *name;
    const kb_launch_sip *sips; /* in ascending order */
    uint32_t sip_count;
    kb_tensor *const *tensors; /* that it uses */
    uint32_t tensor_count;
    void (*begin)(kb_launch *launch, kb_proc *proc);
    void (*stop)(kb_proc *proc);
    void *user;
    uint32_t spawn; /* of the worker that submits it; 0: the bench does */
} kb_launch_desc;

/* Submit now. Takes over the targets. The engine owns the launch. */
kb_launch *kb_launch_submit(kb_engine *engine, const kb_launch_desc *desc);

/* The message that started an instance: who runs the kernel on its SIP. */
const kb_msg *kb_launch_msg_of(const kb_proc *proc);

/* When the host sent it, and when the host knew that all of it was complete. */
kb_time kb_launch_sent(const kb_launch *launch);
kb_time kb_launch_completed(const kb_launch *launch);

/* The code of an instance has ended; `error` is null or its message. Without an error the instance
 * ends when the operations that it has not waited for are complete too. The process is freed then.
 */
void kb_launch_instance_end(kb_proc *proc, const char *error);

/* The last operation of a process that is ending has completed. */
void kb_launch_instance_idle(kb_proc *proc);

/* Stop all instances of the launches that workers of a spawn have submitted and that are not
 * complete. They fail, and complete as soon as the host can know. */
void kb_launch_stop_spawn(kb_engine *engine, uint32_t spawn);

/* What went wrong, in malloc'ed text: the messages kept, and how many more there were. */
char *kb_launch_error_text(const kb_launch *launch);

void kb_launch_free_all(kb_engine *engine);

#endif
