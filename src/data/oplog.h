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

#include "data/compute.h"
#include "data/memory.h"
#include "sim/time.h"

typedef enum kb_log_op { KB_LOG_LOAD, KB_LOG_STORE, KB_LOG_GEMM, KB_LOG_COMPUTE } kb_log_op;

/* A matrix: a value, or rows in memory (then `value` is null). */
typedef struct kb_matrix {
    kb_value *value;
    kb_pieces pieces;
} kb_matrix;

typedef struct kb_log_entry {
    kb_log_op op;
    kb_time started, ended; /* on the timing side */
    union {
        struct {
            kb_value *value;
            kb_pieces pieces;
        } move; /* LOAD and STORE */
        struct {
            kb_compute what;
            kb_value *out;
        } compute;
        struct {
            uint32_t M, K, N;
            kb_dtype in, out_type;
            kb_matrix a, b, out;
            kb_value *acc; /* or null */
        } gemm;
    };
} kb_log_entry;

typedef struct kb_oplog {
    kb_memory *memory;
    kb_vec(kb_log_entry) entries;
    uint64_t executed;
    kb_err failure; /* of the first entry that failed; code 0: none */
} kb_oplog;

void kb_oplog_init(kb_oplog *log, kb_memory *memory);
void kb_oplog_fini(kb_oplog *log);

/* Takes over the entry's references and pieces. */
void kb_oplog_append(kb_oplog *log, kb_log_entry *entry);

/* Execute what has been appended. After a failure nothing is executed any more and every call
 * returns that failure. */
int kb_oplog_run(kb_oplog *log, kb_err *err);

/* Drop the references of an entry that is not to be appended. */
void kb_log_entry_fini(kb_log_entry *entry);

#endif
