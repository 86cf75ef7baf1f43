/* The hold model: a constant number of pending events; each step takes the earliest and puts it
 * back after a random delay, exponential with a mean of ten thousand ticks (10 ns). */
#include "bench.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/rng.h"
#include "sim/heap.h"

enum { STEPS = 1 << 21, DELAYS = 1 << 16, MEAN_DELAY = 10000 };

typedef struct hold {
    kb_event *events;
    kb_time *delays; /* drawn beforehand: the logarithm would cost more than the step */
    size_t next_delay;
    kb_time now;
} hold;

static kb_time draw(hold *h)
{
    return h->delays[h->next_delay++ % DELAYS];
}

static void hold_init(hold *h, uint64_t count)
{
    kb_rng rng = {1};
    h->events = kb_xcalloc(count, sizeof *h->events);
    h->delays = kb_xmalloc(DELAYS * sizeof *h->delays);
    h->next_delay = 0;
    h->now = 0;
    for (size_t i = 0; i < DELAYS; i++)
        h->delays[i] = (kb_time)(-log(1 - kb_rng_unit(&rng)) * MEAN_DELAY) + 1;
    for (size_t i = 0; i < count; i++) h->events[i].time = draw(h);
}

static void hold_fini(hold *h)
{
    free(h->events);
    free(h->delays);
}

/* What a step does between taking an event and putting it back. */
static void renew(hold *h, kb_event *event)
{
    if (event->time < h->now) bench_abort("hold: events out of order");
    h->now = event->time;
    event->time += draw(h);
}

static void wheel_steps(hold *h, kb_wheel *wheel, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        kb_event *event = kb_wheel_pop(wheel);
        renew(h, event);
        kb_wheel_push(wheel, event);
    }
}

static kb_run run_wheel(uint64_t count)
{
    hold h;
    kb_wheel *wheel = kb_xmalloc(sizeof *wheel);
    hold_init(&h, count);
    kb_wheel_init(wheel);
    for (size_t i = 0; i < count; i++) kb_wheel_push(wheel, &h.events[i]);
    wheel_steps(&h, wheel, count); /* away from the common beginning */
    double begin = bench_clock();
    wheel_steps(&h, wheel, STEPS);
    double seconds = bench_clock() - begin;
    free(wheel);
    hold_fini(&h);
    return (kb_run){STEPS, seconds};
}

static void heap_steps(hold *h, kb_heap *heap, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++) {
        kb_event *event = kb_heap_pop(heap);
        renew(h, event);
        kb_heap_push(heap, event);
    }
}

static kb_run run_heap(uint64_t count)
{
    hold h;
    kb_heap heap;
    hold_init(&h, count);
    kb_heap_init(&heap);
    for (size_t i = 0; i < count; i++) kb_heap_push(&heap, &h.events[i]);
    heap_steps(&h, &heap, count);
    double begin = bench_clock();
    heap_steps(&h, &heap, STEPS);
    double seconds = bench_clock() - begin;
    kb_heap_fini(&heap);
    hold_fini(&h);
    return (kb_run){STEPS, seconds};
}

#define WHEEL "hold model on the wheel"
#define HEAP  "hold model on the binary heap"

const kb_rate bench_hold_rates[] = {
    {"hold_128", "events", WHEEL ", 128 pending", run_wheel, 128},
    {"hold_1024", "events", WHEEL ", 1,024 pending", run_wheel, 1024},
    {"hold_65536", "events", WHEEL ", 65,536 pending", run_wheel, 65536},
    {"hold_1048576", "events", WHEEL ", 1,048,576 pending", run_wheel, 1048576},
    {"hold_heap_128", "events", HEAP ", 128 pending", run_heap, 128},
    {"hold_heap_1024", "events", HEAP ", 1,024 pending", run_heap, 1024},
    {"hold_heap_65536", "events", HEAP ", 65,536 pending", run_heap, 65536},
    {"hold_heap_1048576", "events", HEAP ", 1,048,576 pending", run_heap, 1048576},
    {0},
};
