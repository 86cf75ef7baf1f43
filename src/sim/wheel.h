/* Pending events, ordered by (time, order of scheduling): a base-64 radix wheel.
 *
 * An event that is due at t sits on the level of the highest base-64 digit in which t differs from
 * the wheel's present time, in the slot of that digit. Slots are FIFO lists threaded through the
 * events, so equal times keep the order in which they were pushed without any comparison: events of
 * one time share a slot at every moment, and moving a slot one level down preserves its order.
 * Times must not lie before the last popped one. `kb_heap` (heap.h) has the same contract and is
 * the oracle in the tests. */
#ifndef KB_SIM_WHEEL_H
#define KB_SIM_WHEEL_H

#include <stddef.h>

#include "sim/time.h"

struct kb_sim;

/* What happens: a function, the object it concerns, and one word of its own choosing. */
typedef void (*kb_event_fn)(struct kb_sim *sim, void *object, uint64_t arg);

typedef struct kb_event {
    struct kb_event *next;
    kb_time time;
    kb_event_fn fn;
    void *object;
    uint64_t arg;
} kb_event;

enum { KB_WHEEL_DIGIT = 6, KB_WHEEL_LEVELS = 11, KB_WHEEL_SLOTS = 64 };

typedef struct kb_wheel_slot {
    kb_event *head;
    kb_event **end; /* where the next one is to be linked; stale while the slot's bit is clear */
} kb_wheel_slot;

typedef struct kb_wheel {
    kb_time now;          /* exact but for the lowest digit, which no decision depends on */
    uint32_t levels_used; /* bit per level above the lowest that holds anything */
    uint64_t slots_used[KB_WHEEL_LEVELS]; /* bit per slot that holds anything */
    kb_wheel_slot slot[KB_WHEEL_LEVELS][KB_WHEEL_SLOTS];
} kb_wheel;

void kb_wheel_init(kb_wheel *wheel);

/* The wheel borrows the event until it is popped. event->time >= the last popped time.
 * The level is computed, not branched on: a predictor could only guess it. */
static inline void kb_wheel_push(kb_wheel *wheel, kb_event *event)
{
    uint64_t apart = event->time ^ wheel->now;
    unsigned level = (63u - (unsigned)__builtin_clzll(apart | 1)) / KB_WHEEL_DIGIT;
    unsigned digit = (unsigned)(event->time >> (level * KB_WHEEL_DIGIT)) % KB_WHEEL_SLOTS;
    kb_wheel_slot *slot = &wheel->slot[level][digit];
    uint64_t used = wheel->slots_used[level];
    kb_event **end = slot->end;
    if (!(used >> digit & 1)) end = &slot->head;
    *end = event;
    event->next = NULL;
    slot->end = &event->next;
    wheel->slots_used[level] = used | UINT64_C(1) << digit;
    wheel->levels_used |= UINT32_C(1) << level;
}

/* For kb_wheel_pop_until, when nothing is left on the lowest level. */
kb_event *kb_wheel_pop_high(kb_wheel *wheel, kb_time limit);

/* The earliest event, or NULL if nothing is due at `limit` or before; then nothing changes. */
static inline kb_event *kb_wheel_pop_until(kb_wheel *wheel, kb_time limit)
{
    uint64_t used = wheel->slots_used[0];
    if (!used) return kb_wheel_pop_high(wheel, limit);
    unsigned digit = (unsigned)__builtin_ctzll(used);
    kb_event *event = wheel->slot[0][digit].head;
    if (event->time > limit) return NULL;
    kb_event *next = event->next;
    wheel->slot[0][digit].head = next;
    wheel->slots_used[0] = used ^ (uint64_t)(next == NULL) << digit;
    return event;
}

/* The earliest event, or NULL. */
static inline kb_event *kb_wheel_pop(kb_wheel *wheel)
{
    return kb_wheel_pop_until(wheel, KB_TIME_NEVER);
}

/* Time of the earliest event, or KB_TIME_NEVER. */
kb_time kb_wheel_peek(const kb_wheel *wheel);

#endif
