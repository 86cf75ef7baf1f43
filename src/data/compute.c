#include "data/compute.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- types and shapes ---- */

static void shape_of(kb_compute *c, const kb_value *v)
{
    c->rank = v->rank;
    memcpy(c->shape, v->shape, sizeof c->shape);
}

/* Align at the right; extents are equal or 1. */
static int broadcast_with(kb_compute *c, const kb_value *v, kb_err *err)
{
    size_t out[KB_MAX_RANK] = {0};
    int rank = c->rank > v->rank ? c->rank : v->rank;
    for (int d = 0; d < rank; d++) {
        int at = d - (rank - c->rank), bt = d - (rank - v->rank);
        size_t a = at < 0 ? 1 : c->shape[at], b = bt < 0 ? 1 : v->shape[bt];
        if (a != b && a != 1 && b != 1) {
            char at_text[KB_SHAPE_TEXT], bt_text[KB_SHAPE_TEXT];
            return kb_fail(err, KB_EINVAL, "shapes %s and %s do not broadcast",
                           kb_shape_text(c->rank, c->shape, at_text),
                           kb_shape_text(v->rank, v->shape, bt_text));
        }
        out[d] = a == 1 ? b : a;
    }
    c->rank = rank;
    memcpy(c->shape, out, (size_t)rank * sizeof *out);
    return KB_OK;
}

static int broadcast_all(kb_compute *c, kb_err *err)
{
    shape_of(c, c->in[0]);
    int status = KB_OK;
    for (int i = 1; !status && i < c->in_count; i++) status = broadcast_with(c, c->in[i], err);
    return status;
}

kb_dtype kb_compute_promote(kb_dtype a, kb_dtype b)
{
    if (kb_dtype_is_float(a) == kb_dtype_is_float(b)) return kb_dtype_promote(a, b);
    return kb_dtype_is_float(a) ? a : b;
}

/* Sums of narrow integers have room to grow. */
static kb_dtype sum_type(kb_dtype dtype)
{
    if (dtype == KB_I8 || dtype == KB_I16 || dtype == KB_BOOL) return KB_I32;
    return dtype == KB_U8 || dtype == KB_U16 ? KB_U32 : dtype;
}

static int refuse_masks(const char *name, kb_err *err)
{
    return kb_fail(err, KB_EINVAL, "%s of bool: expected numbers; masks combine with & | ~", name);
}

static int infer_binary(kb_compute *c, kb_err *err)
{
    c->dtype = kb_compute_promote(c->in[0]->dtype, c->in[1]->dtype);
    if (c->op == KB_SUB && c->dtype == KB_BOOL) return refuse_masks("sub", err);
    bool bits = c->op >= KB_AND && c->op <= KB_SHR;
    if (bits && kb_dtype_is_float(c->dtype))
        return kb_fail(err, KB_EINVAL, "%s of %s: expected integers or masks",
                       kb_binary_name((kb_binary_op)c->op), kb_dtype_name(c->dtype));
    if (c->op == KB_DIV && !kb_dtype_is_float(c->dtype)) c->dtype = KB_F32;
    if (c->op >= KB_LT) c->dtype = KB_BOOL;
    return broadcast_all(c, err);
}

static int infer_unary(kb_compute *c, kb_err *err)
{
    shape_of(c, c->in[0]);
    c->dtype = c->in[0]->dtype;
    if (c->op == KB_NEG && c->dtype == KB_BOOL) return refuse_masks("neg", err);
    if (c->op == KB_NOT && kb_dtype_is_float(c->dtype))
        return kb_fail(err, KB_EINVAL, "%s of %s: expected integers or masks",
                       kb_unary_name(KB_NOT), kb_dtype_name(c->dtype));
    bool elementary = c->op >= KB_SQRT && c->op <= KB_SIGMOID;
    if (elementary && !kb_dtype_is_float(c->dtype)) c->dtype = KB_F32;
    if (c->op >= KB_ISNAN) c->dtype = KB_BOOL;
    return KB_OK;
}

static int check_axis(int *axis, int rank, kb_err *err)
{
    if (*axis < -rank || *axis >= rank)
        return kb_fail(err, KB_EINVAL, "axis %d of a tile with %d dimensions", *axis, rank);
    if (*axis < 0) *axis += rank;
    return KB_OK;
}

static void infer_reduce(kb_compute *c)
{
    const kb_value *v = c->in[0];
    c->dtype = v->dtype;
    if (c->op == KB_ARGMIN || c->op == KB_ARGMAX) c->dtype = KB_I32;
    if (c->op == KB_ANY || c->op == KB_ALL) c->dtype = KB_BOOL;
    if (c->op == KB_SUM) c->dtype = sum_type(v->dtype);
    c->rank = 0;
    for (int d = 0; d < v->rank; d++) {
        bool reduced = d == c->axis || c->axis == KB_ALL_AXES;
        if (reduced && !c->keep) continue;
        c->shape[c->rank++] = reduced ? 1 : v->shape[d];
    }
}

static int infer_reshape(const kb_compute *c, kb_err *err)
{
    size_t count = 1;
    for (int d = 0; d < c->rank; d++) count *= c->shape[d];
    if (count == kb_value_count(c->in[0])) return KB_OK;
    char from[KB_SHAPE_TEXT], to[KB_SHAPE_TEXT];
    return kb_fail(err, KB_EINVAL, "a tile of shape %s has not as many elements as %s",
                   kb_shape_text(c->in[0]->rank, c->in[0]->shape, from),
                   kb_shape_text(c->rank, c->shape, to));
}

static int infer_permute(kb_compute *c, kb_err *err)
{
    const kb_value *v = c->in[0];
    unsigned seen = 0;
    c->rank = v->rank;
    c->dtype = v->dtype;
    for (int d = 0; d < v->rank; d++) {
        if (c->axes[d] < 0 || c->axes[d] >= v->rank || seen & 1u << c->axes[d])
            return kb_fail(err, KB_EINVAL, "the axes are not a permutation of 0 to %d",
                           v->rank - 1);
        seen |= 1u << c->axes[d];
        c->shape[d] = v->shape[c->axes[d]];
    }
    return KB_OK;
}

static int infer_cat(kb_compute *c, kb_err *err)
{
    const kb_value *a = c->in[0], *b = c->in[1];
    int status = check_axis(&c->axis, a->rank, err);
    if (status) return status;
    shape_of(c, a);
    c->dtype = a->dtype;
    bool fit = a->rank == b->rank && a->dtype == b->dtype;
    for (int d = 0; fit && d < a->rank; d++) fit = d == c->axis || a->shape[d] == b->shape[d];
    char at[KB_SHAPE_TEXT], bt[KB_SHAPE_TEXT];
    if (!fit)
        return kb_fail(err, KB_EINVAL, "%s %s and %s %s cannot be put together along axis %d",
                       kb_shape_text(a->rank, a->shape, at), kb_dtype_name(a->dtype),
                       kb_shape_text(b->rank, b->shape, bt), kb_dtype_name(b->dtype), c->axis);
    c->shape[c->axis] += b->shape[c->axis];
    return KB_OK;
}

static int infer_broadcast(kb_compute *c, kb_err *err)
{
    const kb_value *v = c->in[0];
    c->dtype = v->dtype;
    bool fit = v->rank <= c->rank;
    for (int d = 0; fit && d < v->rank; d++)
        fit = v->shape[d] == 1 || v->shape[d] == c->shape[d + c->rank - v->rank];
    if (fit) return KB_OK;
    char from[KB_SHAPE_TEXT], to[KB_SHAPE_TEXT];
    return kb_fail(err, KB_EINVAL, "a tile of shape %s cannot be broadcast to %s",
                   kb_shape_text(v->rank, v->shape, from), kb_shape_text(c->rank, c->shape, to));
}

/* 8-bit floats are a format of storage and of matrix products. */
static int refuse_f8(const kb_compute *c, kb_err *err)
{
    bool arithmetic = c->kind <= KB_COMPUTE_FMA;
    for (int i = 0; arithmetic && i < c->in_count; i++)
        if (kb_dtype_is_f8(c->in[i]->dtype))
            return kb_fail(err, KB_EINVAL,
                           "there is no arithmetic on %s; convert with tl.cast to f16 or f32 first",
                           kb_dtype_name(c->in[i]->dtype));
    return KB_OK;
}

int kb_compute_infer(kb_compute *c, kb_err *err)
{
    int status = refuse_f8(c, err);
    if (status) return status;
    switch (c->kind) {
    case KB_COMPUTE_BINARY:
        return infer_binary(c, err);
    case KB_COMPUTE_UNARY:
        return infer_unary(c, err);
    case KB_COMPUTE_REDUCE:
        if (c->axis != KB_ALL_AXES) status = check_axis(&c->axis, c->in[0]->rank, err);
        if (!status) infer_reduce(c);
        return status;
    case KB_COMPUTE_CUMSUM:
        shape_of(c, c->in[0]);
        c->dtype = sum_type(c->in[0]->dtype);
        return check_axis(&c->axis, c->rank, err);
    case KB_COMPUTE_WHERE:
        c->dtype = kb_compute_promote(c->in[1]->dtype, c->in[2]->dtype);
        return broadcast_all(c, err);
    case KB_COMPUTE_FMA:
        c->dtype = kb_compute_promote(kb_compute_promote(c->in[0]->dtype, c->in[1]->dtype),
                                      c->in[2]->dtype);
        return broadcast_all(c, err);
    case KB_COMPUTE_CAST:
        shape_of(c, c->in[0]);
        return KB_OK;
    case KB_COMPUTE_BROADCAST:
        return infer_broadcast(c, err);
    case KB_COMPUTE_RESHAPE:
        c->dtype = c->in[0]->dtype;
        return infer_reshape(c, err);
    case KB_COMPUTE_PERMUTE:
        return infer_permute(c, err);
    case KB_COMPUTE_CAT:
        return infer_cat(c, err);
    default:
        return KB_OK; /* ARANGE: given */
    }
}

bool kb_compute_is_known(const kb_compute *c)
{
    if (kb_dtype_is_float(c->dtype)) return false;
    size_t count = 1;
    for (int d = 0; d < c->rank; d++)
        if (__builtin_mul_overflow(count, c->shape[d], &count)) return false;
    for (int i = 0; i < c->in_count; i++)
        if (!c->in[i]->known) return false;
    return count <= KB_KNOWN_ELEMENTS;
}

/* ---- cost ---- */

static uint32_t binary_passes(int op)
{
    switch (op) {
    case KB_DIV:
    case KB_FLOORDIV:
    case KB_MOD:
        return 4;
    case KB_POW:
        return 9; /* log2, mul, exp2 */
    default:
        return 1;
    }
}

uint32_t kb_compute_passes(const kb_compute *c)
{
    switch (c->kind) {
    case KB_COMPUTE_BINARY:
        return binary_passes(c->op);
    case KB_COMPUTE_UNARY:
        return c->op >= KB_SQRT && c->op <= KB_SIGMOID ? 4 : 1;
    case KB_COMPUTE_RESHAPE:
        return 0;
    default:
        return 1;
    }
}

/* ---- numbers ---- */

/* x + y rounded to odd: whoever rounds the result to a type of at most 50 bits gets what rounding
 * the exact sum once gives (Boldo and Melquiond 2008). */
static double add_to_odd(double x, double y)
{
    double sum = x + y, part = sum - x;
    double error = (x - (sum - part)) + (y - part); /* exact (Knuth's TwoSum) */
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (!isfinite(sum) || error == 0 || bits & 1) return sum;
    return nextafter(sum, error > 0 ? INFINITY : -INFINITY);
}

/* a * b + c with one rounding. Products of types up to f32 are exact in double. */
static int fma_floats(kb_dtype dtype, kb_array *const in[3], kb_array **out, kb_err *err)
{
    int status = kb_array_create(dtype, in[0]->rank, in[0]->shape, out, err);
    if (status) return status;
    const double *a = in[0]->data, *b = in[1]->data;
    double *c = in[2]->data;
    for (size_t i = 0; i < in[0]->count; i++)
        c[i] = dtype == KB_F64 ? fma(a[i], b[i], c[i]) : add_to_odd(a[i] * b[i], c[i]);
    for (size_t i = 0; i < in[0]->count; i++)
        if (isnan(c[i])) c[i] = (double)NAN; /* the same one on every CPU */
    kb_convert(dtype, (*out)->data, KB_F64, c, in[0]->count);
    return KB_OK;
}

static int fma_integers(kb_array *const in[3], kb_array **out, kb_err *err)
{
    kb_array *product;
    int status = kb_binary(KB_MUL, in[0], in[1], &product, err);
    if (status) return status;
    status = kb_binary(KB_ADD, product, in[2], out, err);
    kb_array_release(product);
    return status;
}

/* The array in the type, as a new reference. */
static int convert(kb_array *array, kb_dtype dtype, kb_array **out, kb_err *err)
{
    if (array->dtype != dtype) return kb_array_cast(array, dtype, out, err);
    *out = kb_array_retain(array);
    return KB_OK;
}

/* Operand i of a product and sum: of the result's type and shape, floats widened to double. */
static int fma_operand(const kb_compute *c, int i, kb_array **out, kb_err *err)
{
    kb_array *narrow = NULL, *full = NULL;
    int status = convert(c->in[i]->array, c->dtype, &narrow, err);
    if (!status) status = kb_array_broadcast_to(narrow, c->rank, c->shape, &full, err);
    if (!status)
        status = kb_array_cast(full, kb_dtype_is_float(c->dtype) ? KB_F64 : c->dtype, out, err);
    kb_array_release(full);
    kb_array_release(narrow);
    return status;
}

static int run_fma(const kb_compute *c, kb_array **out, kb_err *err)
{
    kb_array *in[3] = {0};
    int status = KB_OK;
    for (int i = 0; !status && i < 3; i++) status = fma_operand(c, i, &in[i], err);
    if (!status)
        status = kb_dtype_is_float(c->dtype) ? fma_floats(c->dtype, in, out, err)
                                             : fma_integers(in, out, err);
    for (int i = 0; i < 3; i++) kb_array_release(in[i]);
    return status;
}

static int run_binary(const kb_compute *c, kb_array **out, kb_err *err)
{
    kb_array *a = c->in[0]->array, *b = c->in[1]->array, *in[2] = {0};
    kb_dtype dtype = kb_compute_promote(a->dtype, b->dtype);
    if (kb_dtype_is_float(a->dtype) == kb_dtype_is_float(b->dtype))
        return kb_binary((kb_binary_op)c->op, a, b, out, err);
    int status = convert(a, dtype, &in[0], err);
    if (!status) status = convert(b, dtype, &in[1], err);
    if (!status) status = kb_binary((kb_binary_op)c->op, in[0], in[1], out, err);
    for (int i = 0; i < 2; i++) kb_array_release(in[i]);
    return status;
}

static int run_arange(const kb_compute *c, kb_array **out, kb_err *err)
{
    kb_array *numbers;
    int status = kb_array_create(KB_I64, c->rank, c->shape, &numbers, err);
    if (status) return status;
    for (size_t i = 0; i < numbers->count; i++)
        ((int64_t *)numbers->data)[i] = c->start + (int64_t)i;
    status = kb_array_cast(numbers, c->dtype, out, err);
    kb_array_release(numbers);
    return status;
}

static int run_kind(const kb_compute *c, kb_array **out, kb_err *err)
{
    kb_array *a = c->in[0] ? c->in[0]->array : NULL, *b = c->in[1] ? c->in[1]->array : NULL;
    switch (c->kind) {
    case KB_COMPUTE_BINARY:
        return run_binary(c, out, err);
    case KB_COMPUTE_UNARY:
        return kb_unary((kb_unary_op)c->op, a, out, err);
    case KB_COMPUTE_REDUCE:
        return kb_reduce((kb_reduce_op)c->op, a, c->axis, c->keep, out, err);
    case KB_COMPUTE_CUMSUM:
        return kb_cumsum(a, c->axis, out, err);
    case KB_COMPUTE_WHERE:
        return kb_where(a, b, c->in[2]->array, out, err);
    case KB_COMPUTE_FMA:
        return run_fma(c, out, err);
    case KB_COMPUTE_CAST:
        return kb_array_cast(a, c->dtype, out, err);
    case KB_COMPUTE_BROADCAST:
        return kb_array_broadcast_to(a, c->rank, c->shape, out, err);
    case KB_COMPUTE_RESHAPE:
        return kb_array_reshape(a, c->rank, c->shape, out, err);
    case KB_COMPUTE_PERMUTE:
        return kb_array_permute(a, c->axes, out, err);
    case KB_COMPUTE_CAT: {
        kb_array *both[2] = {a, b};
        return kb_array_concatenate(2, both, c->axis, out, err);
    }
    default:
        return run_arange(c, out, err);
    }
}

int kb_compute_run(const kb_compute *c, kb_value *out, kb_err *err)
{
    assert(!out->array);
    kb_array *result = NULL;
    int status = run_kind(c, &result, err);
    if (status) return status;
    if (result->dtype != out->dtype) {
        kb_array *converted;
        status = kb_array_cast(result, out->dtype, &converted, err);
        kb_array_release(result);
        if (status) return status;
        result = converted;
    }
    out->array = result;
    return KB_OK;
}
