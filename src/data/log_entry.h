/* One entry of the op log: an operation of a kernel, what it reads and writes, and how its numbers
 * are computed.
 *
 * Every kind of entry says in one place, kb_log_entry_uses, which values and which memory it reads
 * and writes. Ordering, ownership and back-pressure all follow from that list, so a new kind needs
 * a member in the union, a case there, and a case in kb_log_entry_run.
 *
 * kb_log_entry_run may be called on any thread, while others run: it sees the entry alone, never
 * the log, the table of memory blocks, or the simulation. Hence kb_oplog_append resolves each piece
 * of memory to its host address, and inputs are there if they could be computed: whoever writes
 * them has run before. */
#ifndef KB_DATA_LOG_ENTRY_H
#define KB_DATA_LOG_ENTRY_H

#include "data/atomic.h"
#include "data/compute.h"
#include "data/epilogue.h"
#include "data/executor.h"
#include "data/memory.h"
#include "sim/time.h"

typedef enum kb_log_op {
    KB_LOG_LOAD,
    KB_LOG_STORE,
    KB_LOG_GEMM,
    KB_LOG_COMPUTE,
    KB_LOG_ATOMIC
} kb_log_op;

/* A matrix: a value, or rows in memory (then `value` is null). */
typedef struct kb_matrix {
    kb_value *value;
    kb_pieces pieces;
} kb_matrix;

typedef struct kb_log_entry {
    kb_log_op op;
    uint32_t stream; /* who issued it: entries of one stream are likely to depend on each other */
    kb_time started, ended; /* on the timing side */
    uint64_t index;         /* place in the log; set by kb_oplog_append */
    union {
        struct {
            kb_value *value;
            kb_pieces pieces;
            kb_value *mask;  /* which elements move (data/masked.h); or null: all do */
            kb_value *other; /* of a masked load: what the rest is; or null: 0 */
        } move;              /* LOAD and STORE */
        struct {
            kb_atomic_op op;
            kb_value *value, *compare, *mask, *old; /* as kb_atomic_args; the result */
            kb_pieces pieces;
        } atomic;
        struct {
            kb_compute what;
            kb_value *out;
        } compute;
        struct {
            uint32_t M, K, N;
            kb_dtype in_a, in_b, out_type;
            bool b_transposed; /* b has N rows of K elements */
            kb_matrix a, b, out;
            kb_value *acc; /* or null */
            kb_epilogue epilogue;
        } gemm;
    };
} kb_log_entry;

enum { KB_LOG_READS = 1, KB_LOG_WRITES = 2 };

/* A value or pieces of memory, the other being null. A value is written by one entry at most, and
 * read by later ones only. Memory may be read and written at once (atomics). */
typedef struct kb_log_use {
    int how;
    kb_value *value;
    kb_pieces *pieces;
} kb_log_use;

enum { KB_LOG_USES_MAX = 32 };

typedef struct kb_log_uses {
    int count;
    kb_log_use use[KB_LOG_USES_MAX];
} kb_log_uses;

/* Everything that the entry reads, writes, and owns: a reference to each value, and the pieces. A
 * null value and empty pieces may be listed and are left out. */
void kb_log_entry_uses(kb_log_entry *entry, kb_log_uses *uses);

/* About how long kb_log_entry_run takes, in ns of one thread: decides what is worth a thread, never
 * what comes out. */
uint64_t kb_log_entry_cost(const kb_log_entry *entry);

/* Fills in the arrays of the values it writes, or the memory; on failure, the values have none.
 * KB_EFAILED if one that it reads has none. The executor, whose task this is part of, may help with
 * a large product; null: none. */
int kb_log_entry_run(kb_log_entry *entry, kb_executor *executor, kb_err *err);

/* Move it to where nothing is yet; it is empty then. */
void kb_log_entry_move(kb_log_entry *to, kb_log_entry *from);

/* Drop what it owns. */
void kb_log_entry_fini(kb_log_entry *entry);

#endif
