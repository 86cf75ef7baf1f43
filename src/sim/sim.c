#include "sim/sim.h"

#include <stdlib.h>

#include "base/err.h"

kb_sim *kb_sim_create(void)
{
    kb_sim *sim = kb_xcalloc(1, sizeof *sim);
    kb_pool_init(&sim->pool, sizeof(kb_event));
    kb_wheel_init(&sim->pending);
    return sim;
}

void kb_sim_destroy(kb_sim *sim)
{
    if (!sim) return;
    kb_pool_fini(&sim->pool);
    free(sim);
}

void kb_sim_at_growing(kb_sim *sim, kb_time when, kb_event_fn fn, void *object, uint64_t arg)
{
    kb_pool_grow(&sim->pool);
    kb_sim_at(sim, when, fn, object, arg);
}

/* The record goes back to the pool before the function runs: what the function schedules first
 * takes the same, still cached, record again. */
static inline void execute(kb_sim *sim, kb_event *event)
{
    kb_event_fn fn = event->fn;
    void *object = event->object;
    uint64_t arg = event->arg;
    sim->now = event->time;
    sim->events++;
    kb_pool_give(&sim->pool, event);
    fn(sim, object, arg);
}

static kb_run_end run(kb_sim *sim, kb_time max_time, uint64_t last_event)
{
    while (sim->events != last_event) {
        kb_event *event = kb_wheel_pop_until(&sim->pending, max_time);
        if (!event) return kb_sim_pending(sim) ? KB_RUN_TIME : KB_RUN_EMPTY;
        execute(sim, event);
        if (sim->stopping) return KB_RUN_STOPPED;
    }
    return kb_sim_pending(sim) ? KB_RUN_EVENTS : KB_RUN_EMPTY;
}

kb_run_end kb_sim_run(kb_sim *sim, kb_time max_time, uint64_t max_events)
{
    assert(!sim->running);
    bool limited = max_events < UINT64_MAX - sim->events;
    sim->running = true;
    sim->stopping = false;
    kb_run_end end = run(sim, max_time, limited ? sim->events + max_events : UINT64_MAX);
    sim->running = false;
    return end;
}

void kb_sim_rest(kb_sim *sim, kb_time until)
{
    assert(until < kb_wheel_peek(&sim->pending));
    if (until > sim->now) sim->now = until;
}

void kb_sim_stop(kb_sim *sim)
{
    sim->stopping = true;
}

size_t kb_sim_pending(const kb_sim *sim)
{
    return sim->pool.live;
}
