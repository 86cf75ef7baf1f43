#include "sim/wheel.h"

#include <string.h>

enum { SHORT_SLOT = 32 };

void kb_wheel_init(kb_wheel *wheel)
{
    memset(wheel, 0, sizeof *wheel);
}

/* The slot that is due first among the levels above the lowest; they must not all be empty. */
static const kb_wheel_slot *first_high_slot(const kb_wheel *wheel, unsigned *level, unsigned *digit)
{
    *level = (unsigned)__builtin_ctz(wheel->levels_used & ~1u);
    *digit = (unsigned)__builtin_ctzll(wheel->slots_used[*level]);
    return &wheel->slot[*level][*digit];
}

/* The first event of the earliest time in a slot, which is the next of the whole wheel. Gives up,
 * with NULL, if the slot holds more than `most`. */
static kb_event *earliest_in(const kb_wheel_slot *slot, size_t most)
{
    kb_event *first = slot->head;
    for (kb_event *event = first; event; event = event->next) {
        if (most-- == 0) return NULL;
        if (event->time < first->time) first = event;
    }
    return first;
}

/* Usually the wheel's time jumps to that of the earliest event in the first slot: what shares the
 * slot then drops several levels at once, and a lone event is never moved. Finding it in a long
 * slot would read far more memory than that saves; then the time moves to the slot's beginning. */
kb_event *kb_wheel_pop_high(kb_wheel *wheel, kb_time limit)
{
    if (!(wheel->levels_used & ~1u)) return NULL;
    unsigned level, digit;
    const kb_wheel_slot *slot = first_high_slot(wheel, &level, &digit);
    kb_time width = UINT64_C(1) << (level * KB_WHEEL_DIGIT);
    kb_time end = slot->head->time | (width - 1); /* the last time that belongs to the slot */
    kb_event *first = earliest_in(slot, limit < end ? SIZE_MAX : SHORT_SLOT);
    if (first && first->time > limit) return NULL;
    wheel->now = first ? first->time : end - (width - 1);
    wheel->slots_used[level] &= ~(UINT64_C(1) << digit);
    if (!wheel->slots_used[level]) wheel->levels_used &= ~(UINT32_C(1) << level);
    for (kb_event *event = slot->head, *next; event; event = next) {
        next = event->next;
        __builtin_prefetch(event->object, 1); /* these events are due soon */
        if (event != first) kb_wheel_push(wheel, event);
    }
    return first ? first : kb_wheel_pop_until(wheel, limit);
}

kb_time kb_wheel_peek(const kb_wheel *wheel)
{
    if (wheel->slots_used[0])
        return wheel->slot[0][__builtin_ctzll(wheel->slots_used[0])].head->time;
    if (!(wheel->levels_used & ~1u)) return KB_TIME_NEVER;
    unsigned level, digit;
    return earliest_in(first_high_slot(wheel, &level, &digit), SIZE_MAX)->time;
}
