/* The op log: what kernels computed, in the order in which it took effect in simulated time, and
 * its replay on real contents.
 *
 * The timing side appends an entry when an operation completes. kb_oplog_run executes entries in
 * order: a load takes what the memory holds at that point of the order, a store replaces it.
 * Results of operations are kb_values, which exist from the issue on (shape and type are known) and
 * have an array once their entry has been executed. Whoever reads contents from outside runs the
 * log first. */
#ifndef KB_DATA_OPLOG_H
#define KB_DATA_OPLOG_H

#include "data/log_entry.h"

typedef struct kb_oplog {
    kb_memory *memory;
    kb_vec(kb_log_entry) entries;
    uint64_t executed;
    kb_err failure; /* of the first entry that failed; code 0: none */
} kb_oplog;

void kb_oplog_init(kb_oplog *log, kb_memory *memory);
void kb_oplog_fini(kb_oplog *log);

/* Takes over the entry's references and pieces, which lie in blocks of the memory. */
void kb_oplog_append(kb_oplog *log, kb_log_entry *entry);

/* Execute what has been appended. After a failure nothing is executed any more and every call
 * returns that failure. */
int kb_oplog_run(kb_oplog *log, kb_err *err);

#endif
