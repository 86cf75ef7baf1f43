/* What the scheduler sees of user code.
 *
 * A bench, a rank worker and a kernel instance are processes: something that runs until it waits,
 * and is resumed by the run loop when what it waits for has happened. Who implements the resumption
 * (a Lua coroutine) is not known here. A process waits for one thing at a time and says why, so
 * that a deadlock can be explained.
 *
 * A process that is stopped while it waits is freed at once, or, if its wake-up is already due,
 * when that has passed. */
#ifndef KB_ENGINE_PROC_H
#define KB_ENGINE_PROC_H

#include "hw/pe/pe.h"
#include "sim/wait.h"

struct kb_engine;
struct kb_launch;

typedef enum kb_proc_kind { KB_PROC_BENCH, KB_PROC_WORKER, KB_PROC_KERNEL } kb_proc_kind;

typedef struct kb_proc {
    struct kb_engine *engine;
    struct kb_proc *prev, *next; /* of the engine's processes */
    kb_proc_kind kind;
    bool waiting, stopped;
    kb_wait_reason reason;
    const char *what; /* static text: "tl.load", "Tensor:numpy" */
    kb_time since;
    kb_waiter waiter;

    void (*resume)(struct kb_proc *proc); /* run it until it waits again or ends */
    void *user;                           /* of whoever implements resume */

    /* A rank worker. */
    uint32_t spawn; /* number of its spawn, from 1 */
    int rank;

    /* A kernel instance: where it runs. */
    struct kb_launch *launch;
    struct kb_proc *launch_prev, *launch_next;
    int target; /* index into the launch's targets */
    kb_pe *pe;
    struct kb_tile *tiles;  /* TCM that it holds */
    struct kb_rooms *rooms; /* room of former tiles, kept for the next; or null */
    struct kb_op *ops;      /* issued and not completed */
    struct kb_op *awaited;  /* what a call waits for that gives nobody a handle: a reference */
    uint32_t ahead;         /* commands since it was resumed that it did not wait for */
    bool ending;            /* its code has ended; it ends when its operations have */
} kb_proc;

kb_proc *kb_proc_create(struct kb_engine *engine, kb_proc_kind kind, void (*resume)(kb_proc *proc),
                        void *user);

/* It has ended, or is to be resumed no more. */
void kb_proc_end(kb_proc *proc);

/* Wait, and be resumed, until the completion is done; or until a time. `what` is static text. */
void kb_proc_wait(kb_proc *proc, kb_completion *completion, kb_wait_reason reason,
                  const char *what);
void kb_proc_wait_until(kb_proc *proc, kb_time when, kb_wait_reason reason, const char *what);

/* Wait no longer, where that is possible: not when it is being woken, nor for a time. */
void kb_proc_leave(kb_proc *proc);

/* Wait for a call of kb_proc_wake, once, from an event: for whoever knows when that is. */
void kb_proc_wait_wake(kb_proc *proc, kb_wait_reason reason, const char *what);
void kb_proc_wake(kb_sim *sim, void *proc, uint64_t arg);

/* The time at which its code is: see kb_pe_now. */
kb_time kb_proc_now(const kb_proc *proc);

/* "sip0.cube2.pe5", "rank 3", "the bench". Returns `text`. */
const char *kb_proc_where(const kb_proc *proc, char *text, size_t size);

#endif
