#include "sim/heap.h"

#include <stdbool.h>

void kb_heap_init(kb_heap *heap)
{
    *heap = (kb_heap){0};
}

void kb_heap_fini(kb_heap *heap)
{
    kb_vec_free(&heap->items);
}

static bool before(const kb_heap_item *a, const kb_heap_item *b)
{
    return a->time < b->time || (a->time == b->time && a->sequence < b->sequence);
}

void kb_heap_push(kb_heap *heap, kb_event *event)
{
    kb_heap_item item = {event->time, heap->pushed++, event};
    size_t hole = heap->items.count;
    kb_vec_push(&heap->items, item);
    kb_heap_item *items = heap->items.data;
    while (hole > 0 && before(&item, &items[(hole - 1) / 2])) {
        items[hole] = items[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    items[hole] = item;
}

/* Put `item` where it belongs at or below the root, whose place is free. */
static void sift_down(kb_heap_item *items, size_t count, kb_heap_item item)
{
    size_t hole = 0;
    for (size_t child; (child = 2 * hole + 1) < count; hole = child) {
        if (child + 1 < count && before(&items[child + 1], &items[child])) child++;
        if (!before(&items[child], &item)) break;
        items[hole] = items[child];
    }
    items[hole] = item;
}

kb_event *kb_heap_pop(kb_heap *heap)
{
    if (heap->items.count == 0) return NULL;
    kb_heap_item *items = heap->items.data;
    kb_event *earliest = items[0].event;
    size_t count = --heap->items.count;
    if (count > 0) sift_down(items, count, items[count]);
    return earliest;
}

kb_time kb_heap_peek(const kb_heap *heap)
{
    return heap->items.count ? heap->items.data[0].time : KB_TIME_NEVER;
}
