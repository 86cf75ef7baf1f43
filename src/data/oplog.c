#include "data/oplog.h"

#include <stdlib.h>
#include <string.h>

#include "data/gemm.h"

/* Entries that may wait before they are executed: bounds the memory that the log holds. */
enum { MOST_WAITING = 4096 };

static void matrix_fini(kb_matrix *matrix)
{
    kb_value_release(matrix->value);
    kb_vec_free(&matrix->pieces);
}

void kb_log_entry_fini(kb_log_entry *entry)
{
    if (entry->op == KB_LOG_GEMM) {
        matrix_fini(&entry->gemm.a);
        matrix_fini(&entry->gemm.b);
        matrix_fini(&entry->gemm.out);
        kb_value_release(entry->gemm.acc);
        return;
    }
    if (entry->op == KB_LOG_COMPUTE) {
        for (int i = 0; i < 3; i++) kb_value_release(entry->compute.what.in[i]);
        kb_value_release(entry->compute.out);
        return;
    }
    kb_value_release(entry->move.value);
    kb_vec_free(&entry->move.pieces);
}

void kb_oplog_init(kb_oplog *log, kb_memory *memory)
{
    *log = (kb_oplog){.memory = memory};
}

void kb_oplog_fini(kb_oplog *log)
{
    for (size_t i = 0; i < log->entries.count; i++) kb_log_entry_fini(&log->entries.data[i]);
    kb_vec_free(&log->entries);
}

static int ensure_array(kb_value *value, kb_err *err)
{
    if (value->array) return KB_OK;
    return kb_array_create(value->dtype, value->rank, value->shape, &value->array, err);
}

/* ---- matrix products ---- */

/* A matrix as pointer and stride in elements; `scratch` holds it when it is not contiguous. */
typedef struct view {
    void *data, *scratch;
    size_t stride;
} view;

static view view_of(const kb_oplog *log, const kb_matrix *matrix, size_t cols, size_t rows,
                    size_t element, bool gather)
{
    if (matrix->value) return (view){.data = matrix->value->array->data, .stride = cols};
    const kb_piece *first = &matrix->pieces.data[0];
    if (matrix->pieces.count == 1 && (first->rows == rows || first->rows == 1)) {
        uint64_t stride = first->rows == 1 ? cols * element : first->stride;
        uint64_t span = (rows - 1) * stride + cols * element;
        if (stride % element == 0)
            return (view){.data = kb_memory_at(log->memory, first->pa, span),
                          .stride = stride / element};
    }
    view v = {.stride = cols};
    v.data = v.scratch = kb_xmalloc(rows * cols * element);
    if (gather) kb_memory_gather(log->memory, &matrix->pieces, v.scratch);
    return v;
}

static int run_gemm(kb_oplog *log, kb_log_entry *entry, kb_err *err)
{
    size_t M = entry->gemm.M, K = entry->gemm.K, N = entry->gemm.N;
    size_t in = kb_dtype_size(entry->gemm.in), out = kb_dtype_size(entry->gemm.out_type);
    kb_matrix *result = &entry->gemm.out;
    int status = result->value ? ensure_array(result->value, err) : KB_OK;
    if (status) return status;
    view a = view_of(log, &entry->gemm.a, K, M, in, true);
    view b = view_of(log, &entry->gemm.b, N, K, in, true);
    view c = view_of(log, result, N, M, out, false);
    kb_gemm gemm = {.m = M,
                    .n = N,
                    .k = K,
                    .in = entry->gemm.in,
                    .out = entry->gemm.out_type,
                    .a = a.data,
                    .b = b.data,
                    .c = c.data,
                    .lda = a.stride,
                    .ldb = b.stride,
                    .ldc = c.stride,
                    .acc = entry->gemm.acc ? entry->gemm.acc->array->data : NULL,
                    .ldacc = N};
    status = kb_gemm_run(&gemm, err);
    if (!status && c.scratch) kb_memory_scatter(log->memory, &result->pieces, c.scratch);
    free(a.scratch);
    free(b.scratch);
    free(c.scratch);
    return status;
}

static int run_entry(kb_oplog *log, kb_log_entry *entry, kb_err *err)
{
    int status;
    switch (entry->op) {
    case KB_LOG_LOAD:
        status = ensure_array(entry->move.value, err);
        if (status) return status;
        kb_memory_gather(log->memory, &entry->move.pieces, entry->move.value->array->data);
        return KB_OK;
    case KB_LOG_STORE:
        kb_memory_scatter(log->memory, &entry->move.pieces, entry->move.value->array->data);
        return KB_OK;
    case KB_LOG_COMPUTE:
        return kb_compute_run(&entry->compute.what, entry->compute.out, err);
    default:
        return run_gemm(log, entry, err);
    }
}

int kb_oplog_run(kb_oplog *log, kb_err *err)
{
    for (size_t i = 0; i < log->entries.count; i++) {
        kb_log_entry *entry = &log->entries.data[i];
        if (!log->failure.code) log->failure.code = run_entry(log, entry, &log->failure);
        kb_log_entry_fini(entry);
        log->executed++;
    }
    log->entries.count = 0;
    if (log->failure.code && err) *err = log->failure;
    return log->failure.code;
}

void kb_oplog_append(kb_oplog *log, kb_log_entry *entry)
{
    kb_vec_push(&log->entries, *entry);
    *entry = (kb_log_entry){0};
    /* Any prefix of the log may run at any time; the next kb_oplog_run reports a failure. */
    if (log->entries.count >= MOST_WAITING) kb_oplog_run(log, NULL);
}
