#include "data/executor.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS_DEFAULT_MAX = 15 };

/* A task divided into parts, on the stack of whoever divided it. */
typedef struct division {
    struct division *next;
    void (*part)(void *object, uint32_t i);
    void *object;
    uint32_t count, taken, done;
} division;

struct kb_executor {
    kb_task_fn run;
    pthread_mutex_t lock;    /* for all that follows, and for tasks that are not done */
    pthread_cond_t work;     /* threads wait for something to do */
    pthread_cond_t progress; /* the owner, for a task that is ready or done */
    pthread_cond_t parts;    /* who divided a task, for the last part */
    kb_task *first, *last;   /* ready */
    kb_task *finished;       /* done, not reaped */
    division *divisions;     /* with parts that nobody has taken */
    uint64_t under_way;      /* submitted and not done */
    int threads, started, idle;
    bool owner_waits, stop;
    pthread_t thread[KB_THREADS_MAX];
};

int kb_executor_default_threads(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (cores < 1) cores = 1;
    return cores - 1 < THREADS_DEFAULT_MAX ? (int)cores - 1 : THREADS_DEFAULT_MAX;
}

/* ---- with the lock held ---- */

static void lock(kb_executor *ex)
{
    pthread_mutex_lock(&ex->lock);
}

static void unlock(kb_executor *ex)
{
    pthread_mutex_unlock(&ex->lock);
}

static void take_ready(kb_executor *ex, kb_task *task)
{
    *(task->prev ? &task->prev->next : &ex->first) = task->next;
    *(task->next ? &task->next->prev : &ex->last) = task->prev;
    task->prev = task->next = NULL;
    task->ready = false;
}

static void make_ready(kb_executor *ex, kb_task *task)
{
    task->ready = true;
    task->prev = ex->last;
    *(ex->last ? &ex->last->next : &ex->first) = task;
    ex->last = task;
    if (ex->owner_waits) pthread_cond_signal(&ex->progress);
}

static void finish(kb_executor *ex, kb_task *task)
{
    uint32_t ready = 0;
    for (size_t i = 0; i < task->dependents.count; i++) {
        kb_task *dependent = task->dependents.data[i];
        if (--dependent->missing > 0) continue;
        make_ready(ex, dependent);
        ready++;
    }
    task->dependents.count = 0;
    /* This thread goes on with one of them. */
    for (int idle = ex->idle; ready > 1 && idle > 0; ready--, idle--)
        pthread_cond_signal(&ex->work);
    task->next = ex->finished;
    ex->finished = task;
    ex->under_way--;
    atomic_store_explicit(&task->done, true, memory_order_release);
    if (ex->owner_waits) pthread_cond_signal(&ex->progress);
}

static void run_task(kb_executor *ex, kb_task *task)
{
    take_ready(ex, task);
    unlock(ex);
    ex->run(ex, task);
    lock(ex);
    finish(ex, task);
}

static void run_part(kb_executor *ex, division *d)
{
    uint32_t i = d->taken++;
    if (d->taken == d->count) {
        division **link = &ex->divisions;
        while (*link != d) link = &(*link)->next;
        *link = d->next;
    }
    unlock(ex);
    d->part(d->object, i);
    lock(ex);
    if (++d->done == d->count) pthread_cond_broadcast(&ex->parts);
}

/* Something that is there to do; parts first, because somebody waits for them. */
static bool run_something(kb_executor *ex)
{
    if (ex->divisions)
        run_part(ex, ex->divisions);
    else if (ex->first)
        run_task(ex, ex->first);
    else
        return false;
    return true;
}

/* The owner has nothing to do until another thread has. */
static void await_progress(kb_executor *ex)
{
    ex->owner_waits = true;
    pthread_cond_wait(&ex->progress, &ex->lock);
    ex->owner_waits = false;
}

/* ---- threads ---- */

static void *work(void *object)
{
    kb_executor *ex = object;
    lock(ex);
    while (!ex->stop) {
        if (run_something(ex)) continue;
        ex->idle++;
        pthread_cond_wait(&ex->work, &ex->lock);
        ex->idle--;
    }
    unlock(ex);
    return NULL;
}

/* A thread for what is ready: an idle one, else a new one. Fewer than asked for will do. */
static void wake(kb_executor *ex)
{
    if (ex->idle > 0)
        pthread_cond_signal(&ex->work);
    else if (ex->started < ex->threads &&
             pthread_create(&ex->thread[ex->started], NULL, work, ex) == 0)
        ex->started++;
}

/* ---- for the owner ---- */

kb_executor *kb_executor_create(int threads, kb_task_fn run)
{
    assert(threads >= 0 && threads <= KB_THREADS_MAX);
    kb_executor *ex = kb_xcalloc(1, sizeof *ex);
    ex->run = run;
    ex->threads = threads;
    pthread_mutex_init(&ex->lock, NULL);
    pthread_cond_init(&ex->work, NULL);
    pthread_cond_init(&ex->progress, NULL);
    pthread_cond_init(&ex->parts, NULL);
    return ex;
}

void kb_executor_destroy(kb_executor *ex)
{
    if (!ex) return;
    kb_executor_wait(ex, NULL);
    lock(ex);
    ex->stop = true;
    pthread_cond_broadcast(&ex->work);
    unlock(ex);
    for (int i = 0; i < ex->started; i++) pthread_join(ex->thread[i], NULL);
    pthread_cond_destroy(&ex->parts);
    pthread_cond_destroy(&ex->progress);
    pthread_cond_destroy(&ex->work);
    pthread_mutex_destroy(&ex->lock);
    free(ex);
}

void kb_executor_submit(kb_executor *ex, kb_task *task, kb_task *const *after, size_t count,
                        bool soon)
{
    lock(ex);
    task->missing = 0;
    atomic_store_explicit(&task->done, false, memory_order_relaxed);
    ex->under_way++;
    for (size_t i = 0; i < count; i++) {
        if (kb_task_is_done(after[i])) continue;
        kb_vec_push(&after[i]->dependents, task);
        task->missing++;
    }
    if (task->missing == 0) make_ready(ex, task);
    if (soon && ex->first) wake(ex);
    unlock(ex);
}

void kb_executor_wait(kb_executor *ex, kb_task *task)
{
    lock(ex);
    while (task ? !kb_task_is_done(task) : ex->under_way > 0) {
        if (task && task->ready)
            run_task(ex, task);
        else if (!run_something(ex))
            await_progress(ex);
    }
    unlock(ex);
}

bool kb_executor_help(kb_executor *ex)
{
    lock(ex);
    bool left = ex->under_way > 0;
    if (left && !run_something(ex)) await_progress(ex);
    unlock(ex);
    return left;
}

kb_task *kb_executor_reap(kb_executor *ex)
{
    lock(ex);
    kb_task *tasks = ex->finished;
    ex->finished = NULL;
    unlock(ex);
    return tasks;
}

void kb_executor_split(kb_executor *ex, uint32_t count, void (*part)(void *object, uint32_t i),
                       void *object)
{
    division d = {.part = part, .object = object, .count = count};
    if (count == 0) return;
    lock(ex);
    d.next = ex->divisions;
    ex->divisions = &d; /* cppcheck-suppress autoVariables ; run_part takes it off the list */
    for (uint32_t i = 1; i < count && (int)i <= ex->threads; i++) wake(ex);
    if (ex->owner_waits) pthread_cond_signal(&ex->progress);
    while (d.taken < d.count) run_part(ex, &d);
    while (d.done < d.count) pthread_cond_wait(&ex->parts, &ex->lock);
    unlock(ex);
}
