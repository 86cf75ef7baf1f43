#include "data/access.h"

#include <stdlib.h>

enum { MOST_BUCKETS = 64, LEAST_WIDTH = 256, FEW = 4 };

typedef kb_vec(kb_block_access) access_list;

struct kb_access_index {
    uint64_t width;   /* bytes of a bucket */
    access_list wide; /* of spans in more than a few */
    size_t buckets;   /* few for a small block: there may be one on every PE */
    access_list bucket[];
};

kb_access_index *kb_access_index_create(uint64_t block_bytes)
{
    uint64_t width = block_bytes / MOST_BUCKETS + 1;
    if (width < LEAST_WIDTH) width = LEAST_WIDTH;
    size_t buckets = (size_t)(block_bytes / width) + 1;
    kb_access_index *index = kb_xcalloc(1, sizeof *index + buckets * sizeof index->bucket[0]);
    index->width = width;
    index->buckets = buckets;
    return index;
}

void kb_access_index_destroy(kb_access_index *index)
{
    if (!index) return;
    for (size_t b = 0; b < index->buckets; b++) kb_vec_free(&index->bucket[b]);
    kb_vec_free(&index->wide);
    free(index);
}

static uint64_t end_of(const kb_span *span)
{
    return span->start + (span->rows - 1) * span->stride + span->row_bytes;
}

static bool is_dense(const kb_span *span)
{
    return span->rows == 1 || span->stride == span->row_bytes;
}

/* Do runs of `a_bytes` at offset 0 and of `b_bytes` at `apart`, both repeated every `stride`, share
 * a byte? No run is longer than the stride. */
static bool runs_meet(uint64_t a_bytes, uint64_t b_bytes, uint64_t apart, uint64_t stride)
{
    apart %= stride;
    return apart < a_bytes || apart + b_bytes > stride;
}

bool kb_span_overlaps(const kb_span *a, const kb_span *b)
{
    if (end_of(a) <= b->start || end_of(b) <= a->start) return false;
    if (is_dense(a) && is_dense(b)) return true;
    /* A single run takes the other's stride, if it fits. */
    uint64_t stride = a->rows > 1 ? a->stride : b->stride;
    if ((b->rows > 1 && b->stride != stride) || a->row_bytes > stride || b->row_bytes > stride)
        return true;
    if (a->start <= b->start)
        return runs_meet(a->row_bytes, b->row_bytes, b->start - a->start, stride);
    return runs_meet(b->row_bytes, a->row_bytes, a->start - b->start, stride);
}

static bool covers(const kb_block_access *later, const kb_block_access *earlier)
{
    return later->writes && is_dense(&later->span) && later->span.start <= earlier->span.start &&
           end_of(&earlier->span) <= end_of(&later->span);
}

static bool same_span(const kb_span *a, const kb_span *b)
{
    return a->start == b->start && a->rows == b->rows && a->row_bytes == b->row_bytes &&
           a->stride == b->stride;
}

/* Meet the accesses of a list. True if one of them says all that the new one would. */
static bool meet(access_list *list, const kb_block_access *access, kb_access_pending pending,
                 kb_task_list *after)
{
    bool known = false;
    for (size_t i = 0; i < list->count;) {
        kb_block_access *old = &list->data[i];
        if (!pending(old)) {
            *old = list->data[--list->count];
            continue;
        }
        bool own = old->task == access->task;
        if ((old->writes || access->writes) && !own && kb_span_overlaps(&old->span, &access->span))
            kb_vec_push(after, old->task);
        if (own && old->writes >= access->writes && same_span(&old->span, &access->span)) {
            known = true;
        } else if (covers(access, old)) {
            *old = list->data[--list->count];
            continue;
        }
        i++;
    }
    return known;
}

static void enter(access_list *list, const kb_block_access *access)
{
    if (!list->capacity) kb_vec_reserve(list, 2); /* most blocks see no more at a time */
    kb_vec_push(list, *access);
}

void kb_access_add(kb_access_index *index, const kb_block_access *access, kb_access_pending pending,
                   kb_task_list *after)
{
    size_t first = access->span.start / index->width;
    size_t last = (end_of(&access->span) - 1) / index->width;
    bool known = meet(&index->wide, access, pending, after);
    bool wide = last - first >= FEW;
    for (size_t b = first; b <= last; b++) {
        bool here = meet(&index->bucket[b], access, pending, after);
        if (!wide && !here) enter(&index->bucket[b], access);
    }
    if (wide && !known) enter(&index->wide, access);
}

static void list_pending(access_list *list, kb_access_pending pending, kb_task_list *tasks)
{
    for (size_t i = 0; i < list->count; i++)
        if (pending(&list->data[i])) kb_vec_push(tasks, list->data[i].task);
}

void kb_access_tasks(kb_access_index *index, kb_access_pending pending, kb_task_list *tasks)
{
    for (size_t b = 0; b < index->buckets; b++) list_pending(&index->bucket[b], pending, tasks);
    list_pending(&index->wide, pending, tasks);
}
