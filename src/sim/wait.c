#include "sim/wait.h"

#include <assert.h>

const char *kb_wait_reason_name(kb_wait_reason reason)
{
    static const char *const names[KB_WAIT_REASON_COUNT] = {
        [KB_WAIT_NONE] = "none",       [KB_WAIT_LINK] = "link",       [KB_WAIT_CHANNEL] = "channel",
        [KB_WAIT_DMA] = "dma",         [KB_WAIT_ENGINE] = "engine",   [KB_WAIT_ISSUE] = "issue",
        [KB_WAIT_MEMORY] = "memory",   [KB_WAIT_COMPUTE] = "compute", [KB_WAIT_LAUNCH] = "launch",
        [KB_WAIT_MESSAGE] = "message", [KB_WAIT_TIMER] = "timer",     [KB_WAIT_WORKERS] = "workers",
        [KB_WAIT_RANKS] = "ranks",     [KB_WAIT_DATA] = "data",       [KB_WAIT_CREDIT] = "credit",
        [KB_WAIT_SIGNAL] = "signal",
    };
    assert((unsigned)reason < KB_WAIT_REASON_COUNT);
    return names[reason];
}

static void wake(const kb_waiter *w, kb_sim *sim)
{
    kb_sim_at(sim, kb_sim_now(sim), w->fn, w->object, w->arg);
}

void kb_completion_init(kb_completion *c, uint32_t parts)
{
    *c = (kb_completion){.remaining = parts};
}

void kb_completion_part(kb_completion *c, kb_sim *sim)
{
    assert(c->remaining > 0);
    if (--c->remaining > 0) return;
    for (kb_waiter *w = c->head; w; w = w->next) {
        w->of = NULL;
        wake(w, sim);
    }
    c->head = c->tail = NULL;
}

void kb_completion_wait(kb_completion *c, kb_sim *sim, kb_waiter *w)
{
    if (kb_completion_done(c)) {
        wake(w, sim);
        return;
    }
    w->next = NULL;
    w->of = c;
    if (c->tail)
        c->tail->next = w;
    else
        c->head = w;
    c->tail = w;
}

bool kb_waiter_leave(kb_waiter *w)
{
    kb_completion *c = w->of;
    if (!c) return false;
    kb_waiter *before = NULL;
    for (kb_waiter *at = c->head; at != w; at = at->next) before = at;
    if (before)
        before->next = w->next;
    else
        c->head = w->next;
    if (c->tail == w) c->tail = before;
    w->of = NULL;
    return true;
}
