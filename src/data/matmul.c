/* Matrix products of whole arrays: shapes, batches and promotion around data/gemm.h. */
#include "data/gemm.h"

/* An operand as a stack of matrices. */
typedef struct operand {
    const kb_array *array;
    bool vector;
    size_t rows, columns;
    int batch_rank;
} operand;

static operand operand_of(const kb_array *array, bool left)
{
    bool vector = array->rank == 1;
    size_t last = array->shape[array->rank - 1];
    operand x = {.array = array, .vector = vector};
    x.rows = vector ? (left ? 1 : last) : array->shape[array->rank - 2];
    x.columns = vector && !left ? 1 : last;
    x.batch_rank = vector ? 0 : array->rank - 2;
    return x;
}

/* Which of an operand's matrices belongs to batch entry `index` of the broadcast batch shape. */
static size_t matrix_at(const operand *x, int rank, const size_t *shape, size_t index)
{
    size_t at = 0, stride = 1;
    for (int i = rank; i-- > 0;) {
        size_t coordinate = index % shape[i];
        index /= shape[i];
        int own = i - (rank - x->batch_rank);
        if (own < 0) continue;
        if (x->array->shape[own] != 1) at += coordinate * stride;
        stride *= x->array->shape[own];
    }
    return at;
}

static int multiply(const operand *a, const operand *b, int rank, const size_t *shape,
                    kb_array *out, kb_err *err)
{
    kb_dtype in = a->array->dtype;
    size_t batch = 1, size = kb_dtype_size(in), out_size = kb_dtype_size(out->dtype);
    for (int i = 0; i < rank; i++) batch *= shape[i];
    for (size_t i = 0; i < batch; i++) {
        size_t ia = matrix_at(a, rank, shape, i), ib = matrix_at(b, rank, shape, i);
        kb_gemm g = {.m = a->rows,
                     .n = b->columns,
                     .k = a->columns,
                     .in_a = in,
                     .in_b = in,
                     .out = out->dtype};
        g.lda = g.k;
        g.ldb = g.ldc = g.n;
        g.a = (const char *)a->array->data + ia * g.m * g.k * size;
        g.b = (const char *)b->array->data + ib * g.k * g.n * size;
        g.c = (char *)out->data + i * g.m * g.n * out_size;
        int code = kb_gemm_run(&g, err);
        if (code) return code;
    }
    return 0;
}

static int product(const kb_array *a, const kb_array *b, kb_dtype out_type, kb_array **out,
                   kb_err *err)
{
    operand x = operand_of(a, true), y = operand_of(b, false);
    kb_array batch_a = {.rank = x.batch_rank}, batch_b = {.rank = y.batch_rank};
    memcpy(batch_a.shape, a->shape, sizeof a->shape);
    memcpy(batch_b.shape, b->shape, sizeof b->shape);
    int rank, all;
    size_t shape[KB_MAX_RANK + 2];
    int code = kb_broadcast_shape(&batch_a, &batch_b, &rank, shape, err);
    if (code) return code;
    all = rank;
    if (!x.vector) shape[all++] = x.rows;
    if (!y.vector) shape[all++] = y.columns;
    kb_array *result = NULL;
    code = kb_array_create(out_type, all, shape, &result, err);
    if (code) return code;
    code = multiply(&x, &y, rank, shape, result, err);
    if (code)
        kb_array_release(result);
    else
        *out = result;
    return code;
}

int kb_matmul(const kb_array *a, const kb_array *b, int out_type, kb_array **out, kb_err *err)
{
    char ta[KB_SHAPE_TEXT], tb[KB_SHAPE_TEXT];
    kb_shape_text(a->rank, a->shape, ta);
    kb_shape_text(b->rank, b->shape, tb);
    if (a->rank == 0 || b->rank == 0)
        return kb_fail(err, KB_EINVAL, "matmul of %s and %s: an operand is a scalar", ta, tb);
    size_t inner_a = operand_of(a, true).columns, inner_b = operand_of(b, false).rows;
    if (inner_a != inner_b)
        return kb_fail(err, KB_EINVAL,
                       "matmul: a is %s %s, b is %s %s: inner extents %zu and %zu differ", ta,
                       kb_dtype_name(a->dtype), tb, kb_dtype_name(b->dtype), inner_a, inner_b);
    kb_dtype in = kb_dtype_promote(a->dtype, b->dtype);
    kb_dtype to = out_type >= 0 ? (kb_dtype)out_type : in == KB_BOOL ? KB_I32 : in;
    kb_array *x = NULL, *y = NULL;
    int code = 0;
    if (a->dtype != in && (code = kb_array_cast(a, in, &x, err)) == 0) a = x;
    if (code == 0 && b->dtype != in && (code = kb_array_cast(b, in, &y, err)) == 0) b = y;
    if (code == 0) code = product(a, b, to, out, err);
    kb_array_release(x);
    kb_array_release(y);
    return code;
}
