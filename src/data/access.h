/* Who is about to touch which bytes of a block of memory: an index of accesses that are not done,
 * by which later ones find those they must come after.
 *
 * Read after write, write after read and write after write conflict where they share a byte. The
 * rows of two strided spans are compared exactly if their strides are equal, so that PEs that work
 * on columns of one matrix do not wait for each other; otherwise their extents are compared, which
 * may order what need not be.
 *
 * A block is divided into equal buckets; a span in few of them is listed in each, longer ones in a
 * list of their own. An access whose task is done is dropped when it is next met, and so is one
 * that a later write covers, because whoever conflicts with it conflicts with that write. */
#ifndef KB_DATA_ACCESS_H
#define KB_DATA_ACCESS_H

#include "base/vec.h"
#include "data/executor.h"

/* `rows` runs of `row_bytes`, `stride` apart, the first at `start`; bytes from the block's base. */
typedef struct kb_span {
    uint64_t start, rows, row_bytes, stride;
} kb_span;

typedef struct kb_block_access {
    kb_span span;
    uint64_t serial; /* the task's use at that time: tasks are used again */
    kb_task *task;
    bool writes;
} kb_block_access;

typedef struct kb_access_index kb_access_index;

kb_access_index *kb_access_index_create(uint64_t block_bytes);
void kb_access_index_destroy(kb_access_index *index); /* NULL is fine */

bool kb_span_overlaps(const kb_span *a, const kb_span *b);

/* Whether the access is by a task that is not done, in the use of the task that it was made for. */
typedef bool (*kb_access_pending)(const kb_block_access *access);

typedef kb_vec(kb_task *) kb_task_list;

/* Add an access. Tasks other than its own that it must come after are appended to `after`, perhaps
 * more than once. */
void kb_access_add(kb_access_index *index, const kb_block_access *access, kb_access_pending pending,
                   kb_task_list *after);

/* All tasks with an access that is not done, perhaps more than once. */
void kb_access_tasks(kb_access_index *index, kb_access_pending pending, kb_task_list *tasks);

#endif
