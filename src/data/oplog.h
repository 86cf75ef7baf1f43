/* The op log: what kernels computed, in the order in which it took effect in simulated time, and
 * its execution on real contents.
 *
 * The timing side appends an entry when an operation completes. Entries are executed by an executor
 * (data/executor.h), on its threads while the timing side runs on, and on the timing side's own
 * thread while that waits. An entry comes after those that wrote what it reads, and after those
 * that touch memory that it writes, or wrote memory that it reads; nothing else is ordered. So
 * results are what execution one after the other gives, for every number of threads.
 *
 * Results of operations are kb_values, which exist from the issue on (shape and type are known) and
 * have an array once their entry has been executed. Whoever reads contents from outside settles the
 * log first: kb_oplog_run for everything, or what waits for less.
 *
 * Entries are gathered into batches, one batch a task: of small entries as many of one stream as
 * are worth a thread's while, a large entry alone. What the log holds is bounded: beyond a number
 * of entries or of bytes in their values, appending executes some first.
 *
 * Memory and values may share contents (data/share.h): a load from memory at rest is executed at
 * once, by sharing, and a write to memory that shares its contents makes a copy first.
 *
 * A failure leaves the entry's values without arrays and memory as it was; entries that need such a
 * value are left out. Every kb_oplog_run from then on returns the failure that comes first in the
 * order of the log. */
#ifndef KB_DATA_OPLOG_H
#define KB_DATA_OPLOG_H

#include "data/log_entry.h"

typedef struct kb_oplog kb_oplog;

/* `threads` beside the caller's: 0 to KB_THREADS_MAX. */
kb_oplog *kb_oplog_create(kb_memory *memory, int threads);

/* What has not been executed is dropped. */
void kb_oplog_destroy(kb_oplog *log); /* NULL is fine */

/* Takes over the entry's references and pieces, which lie in blocks of the memory. */
void kb_oplog_append(kb_oplog *log, kb_log_entry *entry);

/* Execute everything that has been appended; returns the first failure. */
int kb_oplog_run(kb_oplog *log, kb_err *err);

/* Execute what a value needs. If it has no array then, everything is executed, and the first
 * failure returned. */
int kb_oplog_run_for(kb_oplog *log, const kb_value *value, kb_err *err);

/* Execute what touches the block at `base`, so that its contents may be changed from outside.
 * Failures are left to whoever reads. */
void kb_oplog_run_block(kb_oplog *log, kb_paddr base);

/* Remove the block at `base`, as soon as what touches it has been executed. It is gone from the
 * table at once. */
void kb_oplog_remove_block(kb_oplog *log, kb_paddr base);

/* Entries that have been executed or left out. */
uint64_t kb_oplog_executed(const kb_oplog *log);

#endif
