#include "data/log_entry.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "data/gemm.h"
#include "data/masked.h"

/* ---- what it uses ---- */

static void use_value(kb_log_uses *uses, int how, kb_value *value)
{
    assert(uses->count < KB_LOG_USES_MAX);
    if (value) uses->use[uses->count++] = (kb_log_use){.how = how, .value = value};
}

static void use_pieces(kb_log_uses *uses, int how, kb_pieces *pieces)
{
    assert(uses->count < KB_LOG_USES_MAX);
    if (pieces->data) uses->use[uses->count++] = (kb_log_use){.how = how, .pieces = pieces};
}

static void use_matrix(kb_log_uses *uses, int how, kb_matrix *matrix)
{
    use_value(uses, how, matrix->value);
    use_pieces(uses, how, &matrix->pieces);
}

/* An operand in memory has a value of its own, which the entry fills. */
static void use_epilogue(kb_log_uses *uses, kb_epilogue *e)
{
    for (size_t i = 0; i < e->ops.count; i++) {
        kb_epilogue_op *op = &e->ops.data[i];
        bool fill = op->pieces.data != NULL;
        use_value(uses, fill ? KB_LOG_WRITES : KB_LOG_READS, op->operand);
        use_pieces(uses, KB_LOG_READS, &op->pieces);
    }
}

void kb_log_entry_uses(kb_log_entry *entry, kb_log_uses *uses)
{
    uses->count = 0;
    switch (entry->op) {
    case KB_LOG_LOAD:
        use_pieces(uses, KB_LOG_READS, &entry->move.pieces);
        use_value(uses, KB_LOG_READS, entry->move.mask);
        use_value(uses, KB_LOG_READS, entry->move.other);
        use_value(uses, KB_LOG_WRITES, entry->move.value);
        break;
    case KB_LOG_STORE:
        use_value(uses, KB_LOG_READS, entry->move.value);
        use_value(uses, KB_LOG_READS, entry->move.mask);
        use_pieces(uses, KB_LOG_WRITES, &entry->move.pieces);
        break;
    case KB_LOG_COMPUTE:
        for (int i = 0; i < entry->compute.what.in_count; i++)
            use_value(uses, KB_LOG_READS, entry->compute.what.in[i]);
        use_value(uses, KB_LOG_WRITES, entry->compute.out);
        break;
    case KB_LOG_ATOMIC:
        use_value(uses, KB_LOG_READS, entry->atomic.value);
        use_value(uses, KB_LOG_READS, entry->atomic.compare);
        use_value(uses, KB_LOG_READS, entry->atomic.mask);
        use_pieces(uses, KB_LOG_READS | KB_LOG_WRITES, &entry->atomic.pieces);
        use_value(uses, KB_LOG_WRITES, entry->atomic.old);
        break;
    case KB_LOG_GEMM:
        use_matrix(uses, KB_LOG_READS, &entry->gemm.a);
        use_matrix(uses, KB_LOG_READS, &entry->gemm.b);
        use_value(uses, KB_LOG_READS, entry->gemm.acc);
        use_matrix(uses, KB_LOG_WRITES, &entry->gemm.out);
        use_epilogue(uses, &entry->gemm.epilogue);
        break;
    }
}

/* Up to the end of the member that its kind has. */
static size_t bytes_in_use(const kb_log_entry *entry)
{
    switch (entry->op) {
    case KB_LOG_LOAD:
    case KB_LOG_STORE:
        return offsetof(kb_log_entry, move) + sizeof entry->move;
    case KB_LOG_COMPUTE:
        return offsetof(kb_log_entry, compute) + sizeof entry->compute;
    case KB_LOG_ATOMIC:
        return offsetof(kb_log_entry, atomic) + sizeof entry->atomic;
    default:
        return sizeof *entry;
    }
}

void kb_log_entry_move(kb_log_entry *to, kb_log_entry *from)
{
    memcpy(to, from, bytes_in_use(from));
    from->op = KB_LOG_LOAD;
    memset(&from->move, 0, sizeof from->move);
}

void kb_log_entry_fini(kb_log_entry *entry)
{
    kb_log_uses uses;
    kb_log_entry_uses(entry, &uses);
    for (int i = 0; i < uses.count; i++) {
        kb_value_release(uses.use[i].value);
        if (uses.use[i].pieces) kb_vec_free(uses.use[i].pieces);
    }
    if (entry->op == KB_LOG_GEMM) kb_vec_free(&entry->gemm.epilogue.ops);
}

/* ---- what it costs ---- */

/* Orders of magnitude: an allocation and the walk to it; a byte copied; an element computed; one
 * read, modified and written in place; a multiply-accumulate. */
enum { FIXED_NS = 200, BYTES_PER_NS = 4, ELEMENTS_PER_NS = 1, ATOMIC_NS = 20, MACS_PER_NS = 32 };

uint64_t kb_log_entry_cost(const kb_log_entry *entry)
{
    switch (entry->op) {
    case KB_LOG_COMPUTE: {
        uint64_t elements = kb_value_count(entry->compute.out);
        for (int i = 0; i < entry->compute.what.in_count; i++) {
            uint64_t count = kb_value_count(entry->compute.what.in[i]);
            if (count > elements) elements = count;
        }
        return FIXED_NS + elements * kb_compute_passes(&entry->compute.what) / ELEMENTS_PER_NS;
    }
    case KB_LOG_ATOMIC:
        return FIXED_NS + kb_value_count(entry->atomic.old) * ATOMIC_NS;
    case KB_LOG_GEMM:
        return FIXED_NS + (uint64_t)entry->gemm.M * entry->gemm.K * entry->gemm.N / MACS_PER_NS +
               (uint64_t)entry->gemm.M * entry->gemm.N * kb_epilogue_passes(&entry->gemm.epilogue) /
                   ELEMENTS_PER_NS;
    default:
        return FIXED_NS + kb_value_bytes(entry->move.value) / BYTES_PER_NS;
    }
}

/* ---- numbers ---- */

static int ensure_array(kb_value *value, kb_err *err)
{
    if (value->array) return KB_OK;
    return kb_array_create(value->dtype, value->rank, value->shape, &value->array, err);
}

/* A matrix as pointer and stride in elements; `scratch` holds it when it is not contiguous. */
typedef struct view {
    void *data, *scratch;
    size_t stride;
} view;

static view view_of(const kb_matrix *matrix, size_t cols, size_t rows, size_t element, bool gather)
{
    if (matrix->value) return (view){.data = matrix->value->array->data, .stride = cols};
    const kb_piece *first = &matrix->pieces.data[0];
    if (matrix->pieces.count == 1 && (first->rows == rows || first->rows == 1)) {
        uint64_t stride = first->rows == 1 ? cols * element : first->stride;
        if (stride % element == 0) return (view){.data = first->host, .stride = stride / element};
    }
    view v = {.stride = cols};
    v.data = v.scratch = kb_xmalloc(rows * cols * element);
    if (gather) kb_pieces_gather(&matrix->pieces, v.scratch);
    return v;
}

/* Through an array of accumulators, on which the epilogue works, into the product's C. */
static int run_with_epilogue(const kb_epilogue *epilogue, const kb_gemm *product,
                             kb_executor *executor, kb_err *err)
{
    kb_gemm gemm = *product;
    kb_array *x = NULL;
    size_t shape[2] = {gemm.m, gemm.n}, size = kb_dtype_size(product->out);
    gemm.out = kb_gemm_acc(gemm.in_a);
    int status = kb_array_create(gemm.out, 2, shape, &x, err);
    if (status) return status;
    gemm.c = x->data;
    gemm.ldc = gemm.n;
    status = kb_gemm_split(&gemm, executor, err);
    if (!status) status = kb_epilogue_run(epilogue, &x, err);
    size_t row_bytes = gemm.n * kb_dtype_size(x->dtype);
    for (size_t i = 0; !status && i < gemm.m; i++)
        kb_convert(product->out, (char *)product->c + i * product->ldc * size, x->dtype,
                   (const char *)x->data + i * row_bytes, gemm.n);
    kb_array_release(x);
    return status;
}

static int run_gemm(kb_log_entry *entry, kb_executor *executor, kb_err *err)
{
    size_t M = entry->gemm.M, K = entry->gemm.K, N = entry->gemm.N;
    size_t in_a = kb_dtype_size(entry->gemm.in_a), in_b = kb_dtype_size(entry->gemm.in_b);
    size_t out = kb_dtype_size(entry->gemm.out_type);
    bool trans_b = entry->gemm.b_transposed;
    kb_matrix *result = &entry->gemm.out;
    int status = result->value ? ensure_array(result->value, err) : KB_OK;
    if (status) return status;
    view a = view_of(&entry->gemm.a, K, M, in_a, true);
    view b = view_of(&entry->gemm.b, trans_b ? K : N, trans_b ? N : K, in_b, true);
    view c = view_of(result, N, M, out, false);
    kb_gemm gemm = {.m = M,
                    .n = N,
                    .k = K,
                    .in_a = entry->gemm.in_a,
                    .in_b = entry->gemm.in_b,
                    .b_transposed = trans_b,
                    .out = entry->gemm.out_type,
                    .a = a.data,
                    .b = b.data,
                    .c = c.data,
                    .lda = a.stride,
                    .ldb = b.stride,
                    .ldc = c.stride,
                    .acc = entry->gemm.acc ? entry->gemm.acc->array->data : NULL,
                    .ldacc = N};
    bool more = entry->gemm.epilogue.ops.count > 0;
    status = more ? run_with_epilogue(&entry->gemm.epilogue, &gemm, executor, err)
                  : kb_gemm_split(&gemm, executor, err);
    if (!status && c.scratch) kb_pieces_scatter(&result->pieces, c.scratch);
    free(a.scratch);
    free(b.scratch);
    free(c.scratch);
    return status;
}

static const kb_array *array_of(const kb_value *value)
{
    return value ? value->array : NULL;
}

static int run_load(kb_log_entry *entry, kb_err *err)
{
    kb_value *value = entry->move.value;
    const kb_array *mask = array_of(entry->move.mask);
    int status = ensure_array(value, err);
    if (status) return status;
    if (mask)
        return kb_masked_load(&entry->move.pieces, mask, array_of(entry->move.other), value->array,
                              err);
    kb_pieces_gather(&entry->move.pieces, value->array->data);
    return KB_OK;
}

static void run_store(const kb_log_entry *entry)
{
    const kb_array *array = entry->move.value->array;
    if (entry->move.mask)
        kb_masked_store(&entry->move.pieces, entry->move.mask->array, array);
    else
        kb_pieces_scatter(&entry->move.pieces, array->data);
}

static int run_atomic(kb_log_entry *entry, kb_err *err)
{
    kb_value *old = entry->atomic.old;
    kb_atomic_args args = {.op = entry->atomic.op,
                           .value = array_of(entry->atomic.value),
                           .compare = array_of(entry->atomic.compare),
                           .mask = array_of(entry->atomic.mask)};
    int status = ensure_array(old, err);
    return status ? status : kb_atomic_run(&args, &entry->atomic.pieces, old->array, err);
}

static int run(kb_log_entry *entry, kb_executor *executor, kb_err *err)
{
    switch (entry->op) {
    case KB_LOG_LOAD:
        return run_load(entry, err);
    case KB_LOG_STORE:
        run_store(entry);
        return KB_OK;
    case KB_LOG_ATOMIC:
        return run_atomic(entry, err);
    case KB_LOG_COMPUTE:
        return kb_compute_run(&entry->compute.what, entry->compute.out, err);
    default:
        return run_gemm(entry, executor, err);
    }
}

/* Did the entries that make what it reads fail, or did their kernels end before they were logged?
 */
static bool lacks_input(const kb_log_uses *uses)
{
    for (int i = 0; i < uses->count; i++)
        if (uses->use[i].value && uses->use[i].how & KB_LOG_READS && !uses->use[i].value->array)
            return true;
    return false;
}

static void unmake_outputs(const kb_log_uses *uses)
{
    for (int i = 0; i < uses->count; i++) {
        kb_value *value = uses->use[i].value;
        if (!value || !(uses->use[i].how & KB_LOG_WRITES)) continue;
        kb_array_release(value->array);
        value->array = NULL;
    }
}

int kb_log_entry_run(kb_log_entry *entry, kb_executor *executor, kb_err *err)
{
    kb_log_uses uses;
    kb_log_entry_uses(entry, &uses);
    if (lacks_input(&uses)) /* the failure before it in the log is the one that is reported */
        return kb_fail(err, KB_EFAILED, "an operation uses a tile that nothing has computed");
    int status = run(entry, executor, err);
    if (status) unmake_outputs(&uses);
    return status;
}
