/* Matrix products of whole arrays: shapes, batches and promotion around data/gemm.h. */
#include "data/gemm.h"

/* Products in a stack, and multiplications altogether, from which on threads divide the stack. */
enum { MANY = 4, LARGE = 1 << 22 };

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

/* A stack of products; `shape` is that of the stack. */
typedef struct stack {
    const operand *a, *b;
    int rank;
    const size_t *shape;
    kb_array *out;
    kb_err *err;
    atomic_int status; /* of one that failed: the same for all */
} stack;

static kb_gemm product_at(const stack *s, size_t i)
{
    const kb_array *a = s->a->array, *b = s->b->array;
    size_t ia = matrix_at(s->a, s->rank, s->shape, i), ib = matrix_at(s->b, s->rank, s->shape, i);
    kb_gemm g = {.m = s->a->rows, .n = s->b->columns, .k = s->a->columns};
    g.in_a = a->dtype;
    g.in_b = b->dtype;
    g.out = s->out->dtype;
    g.lda = g.k;
    g.ldb = g.ldc = g.n;
    g.a = (const char *)a->data + ia * g.m * g.k * kb_dtype_size(g.in_a);
    g.b = (const char *)b->data + ib * g.k * g.n * kb_dtype_size(g.in_b);
    g.c = (char *)s->out->data + i * g.m * g.n * kb_dtype_size(g.out);
    return g;
}

static void multiply_one(void *object, uint32_t i)
{
    stack *s = object;
    kb_gemm g = product_at(s, i);
    kb_err err = {0};
    int expected = 0, status = kb_gemm_run(&g, &err);
    if (status && atomic_compare_exchange_strong(&s->status, &expected, status) && s->err)
        *s->err = err;
}

/* Large stacks of small products product by product, large products in parts. */
static int multiply(stack *s, kb_executor *executor)
{
    size_t count = 1, macs = s->a->rows * s->a->columns * s->b->columns;
    for (int i = 0; i < s->rank; i++) count *= s->shape[i];
    if (executor && count >= MANY && count < UINT32_MAX && macs >= LARGE / count) {
        kb_executor_split(executor, (uint32_t)count, multiply_one, s);
        return atomic_load(&s->status);
    }
    int status = KB_OK;
    for (size_t i = 0; !status && i < count; i++) {
        kb_gemm g = product_at(s, i);
        status = kb_gemm_split(&g, executor, s->err);
    }
    return status;
}

static int product(const kb_array *a, const kb_array *b, kb_dtype out_type, kb_executor *executor,
                   kb_array **out, kb_err *err)
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
    stack products = {.a = &x, .b = &y, .rank = rank, .shape = shape, .out = result, .err = err};
    code = multiply(&products, executor);
    if (code)
        kb_array_release(result);
    else
        *out = result;
    return code;
}

/* What the promoted type's accumulator holds need not be promoted first. */
static bool needs_cast(const kb_array *array, kb_dtype promoted)
{
    return kb_gemm_acc(array->dtype) != kb_gemm_acc(promoted);
}

int kb_matmul(const kb_array *a, const kb_array *b, int out_type, kb_executor *executor,
              kb_array **out, kb_err *err)
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
    if (needs_cast(a, in)) code = kb_array_cast(a, in, &x, err);
    if (code == 0 && needs_cast(b, in)) code = kb_array_cast(b, in, &y, err);
    if (code == 0) code = product(x ? x : a, y ? y : b, to, executor, out, err);
    kb_array_release(x);
    kb_array_release(y);
    return code;
}
