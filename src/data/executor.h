/* A pool of threads that run tasks in the order of their dependencies.
 *
 * One thread, the owner, submits tasks, each with the earlier ones that it comes after, and waits
 * for them. Nothing else orders tasks: those that are ready run oldest first, on whichever thread
 * is free. While the owner waits it runs tasks, too, so a pool without threads of its own works:
 * then everything runs when it is waited for. Threads start when they are first woken.
 *
 * A task is part of a larger object of the owner's, who keeps it until it is done and reaped. All
 * functions but kb_task_is_done and kb_executor_split are for the owner. What a task wrote is seen
 * by those after it, and by the owner once the task is done. */
#ifndef KB_DATA_EXECUTOR_H
#define KB_DATA_EXECUTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/vec.h"

typedef struct kb_task {
    struct kb_task *prev, *next;         /* among the ready ones; `next` among the done ones */
    kb_vec(struct kb_task *) dependents; /* tasks that come after it */
    uint32_t missing;                    /* tasks that it comes after and that are not done */
    bool ready;                          /* and nobody has taken it */
    atomic_bool done;
} kb_task;

typedef struct kb_executor kb_executor;

typedef void (*kb_task_fn)(kb_executor *executor, kb_task *task);

enum { KB_THREADS_MAX = 64 };

/* One thread less than this machine has processors, since the owner computes, too, while it waits;
 * at most 15. */
int kb_executor_default_threads(void);

kb_executor *kb_executor_create(int threads, kb_task_fn run);
void kb_executor_destroy(kb_executor *executor); /* waits for what has been submitted */

/* `task` is zero, or done and reaped. It comes after the `count` tasks of `after`; those that are
 * done are fine, and so are repetitions. With `wake`, a thread is to take it soon; otherwise it may
 * lie until the owner waits. */
void kb_executor_submit(kb_executor *executor, kb_task *task, kb_task *const *after, size_t count,
                        bool wake);

static inline bool kb_task_is_done(const kb_task *task)
{
    return atomic_load_explicit(&task->done, memory_order_acquire);
}

/* Wait for a task that has been submitted, or with null for all; runs tasks meanwhile. */
void kb_executor_wait(kb_executor *executor, kb_task *task);

/* Run a ready task, or wait until another thread has finished one. False if none is left. */
bool kb_executor_help(kb_executor *executor);

/* The tasks that are done and not reaped, linked by `next`. They can be used again. */
kb_task *kb_executor_reap(kb_executor *executor);

/* From within a task, or for the owner: part(object, i) for all i below `count`, in any order and
 * on any threads that have nothing to do; returns when all are done. */
void kb_executor_split(kb_executor *executor, uint32_t count,
                       void (*part)(void *object, uint32_t i), void *object);

#endif
