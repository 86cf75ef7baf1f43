/* The event kernel: a clock and its pending events.
 *
 * One kb_sim owns everything of one simulation; two can live in a process. Events run in the order
 * of (time, order of scheduling), so equal inputs give equal runs. Only kb_sim_run executes events,
 * and an event never runs another one: handlers schedule, they do not re-enter.
 *
 * Event records come from a pool; scheduling allocates nothing in the steady state. */
#ifndef KB_SIM_SIM_H
#define KB_SIM_SIM_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "sim/wheel.h"

/* Visible for speed; outside src/sim fields are read through the functions below. */
typedef struct kb_sim {
    kb_time now;
    uint64_t events; /* executed so far */
    bool running, stopping;
    kb_pool pool;
    kb_wheel pending;
} kb_sim;

kb_sim *kb_sim_create(void);
void kb_sim_destroy(kb_sim *sim); /* pending events are dropped */

static inline kb_time kb_sim_now(const kb_sim *sim)
{
    return sim->now;
}

/* For kb_sim_at, when the pool has no free record. */
void kb_sim_at_growing(kb_sim *sim, kb_time when, kb_event_fn fn, void *object, uint64_t arg);

/* Call fn(sim, object, arg) at `when`, which must not lie in the past. */
static inline void kb_sim_at(kb_sim *sim, kb_time when, kb_event_fn fn, void *object, uint64_t arg)
{
    assert(when >= sim->now);
    if (!sim->pool.free) { /* as a call in tail position it costs the handlers no saved registers */
        kb_sim_at_growing(sim, when, fn, object, arg);
        return;
    }
    kb_event *event = kb_pool_take(&sim->pool);
    event->time = when;
    event->fn = fn;
    event->object = object;
    event->arg = arg;
    kb_wheel_push(&sim->pending, event);
}

static inline void kb_sim_after(kb_sim *sim, kb_time delay, kb_event_fn fn, void *object,
                                uint64_t arg)
{
    kb_sim_at(sim, sim->now + delay, fn, object, arg);
}

typedef enum kb_run_end {
    KB_RUN_EMPTY,   /* nothing is pending any more */
    KB_RUN_STOPPED, /* kb_sim_stop was called */
    KB_RUN_TIME,    /* the next event lies after max_time */
    KB_RUN_EVENTS   /* max_events were executed by this call */
} kb_run_end;

/* Execute events until one of the above. Limits: KB_TIME_NEVER and UINT64_MAX for none. Not
 * re-entrant: calling it from a handler is a programming error and asserts. */
kb_run_end kb_sim_run(kb_sim *sim, kb_time max_time, uint64_t max_events);

/* Let time pass until then, before the next event: for who has run until that limit and looks at
 * books, which must not depend on what happens to be an event. */
void kb_sim_rest(kb_sim *sim, kb_time until);

/* Make kb_sim_run return after the present event. */
void kb_sim_stop(kb_sim *sim);

size_t kb_sim_pending(const kb_sim *sim);

#endif
