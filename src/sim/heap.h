/* Pending events in a plain binary heap on (time, sequence number): the contract of kb_wheel with
 * the order spelt out. Nothing simulates with it; it is the oracle of the wheel's tests and the
 * yardstick of its benchmark. */
#ifndef KB_SIM_HEAP_H
#define KB_SIM_HEAP_H

#include "base/vec.h"
#include "sim/wheel.h"

typedef struct kb_heap_item {
    kb_time time;
    uint64_t sequence;
    kb_event *event;
} kb_heap_item;

typedef struct kb_heap {
    uint64_t pushed; /* the next sequence number */
    kb_vec(kb_heap_item) items;
} kb_heap;

void kb_heap_init(kb_heap *heap);
void kb_heap_fini(kb_heap *heap); /* events belong to the caller */

void kb_heap_push(kb_heap *heap, kb_event *event);
kb_event *kb_heap_pop(kb_heap *heap);      /* the earliest, or NULL */
kb_time kb_heap_peek(const kb_heap *heap); /* its time, or KB_TIME_NEVER */

#endif
