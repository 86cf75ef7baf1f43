#include "data/compute.h"

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

/* Add b to what is being put together. */
static int add_part(kb_compute *c, const kb_value *b, kb_err *err)
{
    bool fit = c->rank == b->rank && c->dtype == b->dtype;
    for (int d = 0; fit && d < c->rank; d++) fit = d == c->axis || c->shape[d] == b->shape[d];
    char at[KB_SHAPE_TEXT], bt[KB_SHAPE_TEXT];
    if (!fit)
        return kb_fail(err, KB_EINVAL, "%s %s and %s %s cannot be put together along axis %d",
                       kb_shape_text(c->rank, c->shape, at), kb_dtype_name(c->dtype),
                       kb_shape_text(b->rank, b->shape, bt), kb_dtype_name(b->dtype), c->axis);
    c->shape[c->axis] += b->shape[c->axis];
    return KB_OK;
}

static int infer_cat(kb_compute *c, kb_err *err)
{
    int status = check_axis(&c->axis, c->in[0]->rank, err);
    if (status) return status;
    shape_of(c, c->in[0]);
    c->dtype = c->in[0]->dtype;
    for (int i = 1; !status && i < c->in_count; i++) status = add_part(c, c->in[i], err);
    return status;
}

static int infer_bitcast(kb_compute *c, kb_err *err)
{
    kb_dtype from = c->in[0]->dtype;
    shape_of(c, c->in[0]);
    bool fit = kb_dtype_size(from) == kb_dtype_size(c->dtype) && c->dtype != KB_BOOL;
    if (fit) return KB_OK;
    return kb_fail(err, KB_EINVAL, "the bits of %s are not those of a %s", kb_dtype_name(from),
                   kb_dtype_name(c->dtype));
}

static int infer_narrow(kb_compute *c, kb_err *err)
{
    shape_of(c, c->in[0]);
    c->dtype = c->in[0]->dtype;
    int status = check_axis(&c->axis, c->rank, err);
    if (status) return status;
    int64_t extent = (int64_t)c->shape[c->axis];
    if (c->start < 0 || c->count < 1 || c->start > extent || c->count > extent - c->start)
        return kb_fail(err, KB_EINVAL, "%lld elements from %lld in an extent of %lld",
                       (long long)c->count, (long long)c->start, (long long)extent);
    c->shape[c->axis] = (size_t)c->count;
    return KB_OK;
}

/* Numbers of what: integers, and no masks. */
static int expect_integers(const char *what, kb_dtype dtype, kb_err *err)
{
    if (!kb_dtype_is_float(dtype) && dtype != KB_BOOL) return KB_OK;
    return kb_fail(err, KB_EINVAL, "%s of %s: expected integers", what, kb_dtype_name(dtype));
}

static int infer_random(kb_compute *c, kb_err *err)
{
    shape_of(c, c->in[0]);
    c->dtype = c->op == KB_RANDINT ? KB_U32 : KB_F32;
    return expect_integers("offsets", c->in[0]->dtype, err);
}

static int infer_histogram(kb_compute *c, kb_err *err)
{
    const kb_value *v = c->in[0], *mask = c->in_count > 1 ? c->in[1] : NULL;
    int status = expect_integers("elements", v->dtype, err);
    shape_of(c, v);
    if (!status && mask && mask->dtype != KB_BOOL)
        status = kb_fail(err, KB_EINVAL, "a mask of %s: expected bool", kb_dtype_name(mask->dtype));
    if (!status && mask) status = broadcast_with(c, mask, err);
    char mask_text[KB_SHAPE_TEXT], text[KB_SHAPE_TEXT];
    if (!status && mask &&
        (c->rank != v->rank || memcmp(c->shape, v->shape, (size_t)v->rank * sizeof *v->shape) != 0))
        status = kb_fail(err, KB_EINVAL, "a mask of shape %s is larger than the elements, %s",
                         kb_shape_text(mask->rank, mask->shape, mask_text),
                         kb_shape_text(v->rank, v->shape, text));
    c->dtype = KB_I32;
    c->rank = 1;
    c->shape[0] = (size_t)c->count;
    return status;
}

static int infer_gather(kb_compute *c, kb_err *err)
{
    const kb_value *v = c->in[0], *index = c->in[1];
    int status = check_axis(&c->axis, v->rank, err);
    if (status) return status;
    status = expect_integers("indices", index->dtype, err);
    if (status) return status;
    bool fit = v->rank == index->rank;
    for (int d = 0; fit && d < v->rank; d++) fit = d == c->axis || v->shape[d] == index->shape[d];
    char at[KB_SHAPE_TEXT], bt[KB_SHAPE_TEXT];
    if (!fit)
        return kb_fail(err, KB_EINVAL,
                       "elements %s and indices %s differ in more than the extent of axis %d",
                       kb_shape_text(v->rank, v->shape, at),
                       kb_shape_text(index->rank, index->shape, bt), c->axis);
    shape_of(c, index);
    c->dtype = v->dtype;
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
    bool arithmetic = c->kind <= KB_COMPUTE_FMA || c->kind == KB_COMPUTE_SORT;
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
    case KB_COMPUTE_SCAN:
        shape_of(c, c->in[0]);
        c->dtype = sum_type(c->in[0]->dtype);
        return check_axis(&c->axis, c->rank, err);
    case KB_COMPUTE_SORT:
        shape_of(c, c->in[0]);
        c->dtype = c->keep ? KB_I32 : c->in[0]->dtype;
        return check_axis(&c->axis, c->rank, err);
    case KB_COMPUTE_FLIP:
        shape_of(c, c->in[0]);
        c->dtype = c->in[0]->dtype;
        return check_axis(&c->axis, c->rank, err);
    case KB_COMPUTE_NARROW:
        return infer_narrow(c, err);
    case KB_COMPUTE_GATHER:
        return infer_gather(c, err);
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
    case KB_COMPUTE_BITCAST:
        return infer_bitcast(c, err);
    case KB_COMPUTE_BROADCAST:
        return infer_broadcast(c, err);
    case KB_COMPUTE_RESHAPE:
        c->dtype = c->in[0]->dtype;
        return infer_reshape(c, err);
    case KB_COMPUTE_PERMUTE:
        return infer_permute(c, err);
    case KB_COMPUTE_CAT:
        return infer_cat(c, err);
    case KB_COMPUTE_RANDOM:
        return infer_random(c, err);
    case KB_COMPUTE_HISTOGRAM:
        return infer_histogram(c, err);
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

/* A bitonic network on the next power of two: log2(n) (log2(n) + 1) / 2 stages. */
static uint32_t sort_passes(size_t n)
{
    uint32_t levels = 0;
    while (((size_t)1 << levels) < n) levels++;
    return levels ? levels * (levels + 1) / 2 : 1;
}

uint32_t kb_compute_passes(const kb_compute *c)
{
    switch (c->kind) {
    case KB_COMPUTE_SORT:
        return sort_passes(c->shape[c->axis]);
    case KB_COMPUTE_BINARY:
        return binary_passes(c->op);
    case KB_COMPUTE_UNARY:
        return c->op >= KB_SQRT && c->op <= KB_SIGMOID ? 4 : 1;
    case KB_COMPUTE_RESHAPE:
    case KB_COMPUTE_BITCAST:
        return 0;
    case KB_COMPUTE_RANDOM:
        return kb_philox_passes((kb_philox_kind)c->op, (int)c->count);
    case KB_COMPUTE_HISTOGRAM:
        return 2; /* a lane reads one of its own counts, and writes it */
    default:
        return 1;
    }
}

bool kb_compute_has_tree(const kb_compute *c)
{
    return c->kind == KB_COMPUTE_REDUCE || c->kind == KB_COMPUTE_SCAN ||
           c->kind == KB_COMPUTE_HISTOGRAM;
}
