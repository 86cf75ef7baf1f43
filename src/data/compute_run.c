/* The numbers of what compute.c infers types, shapes and cost of. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "data/compute.h"
#include "data/order.h"

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

static int run_cat(const kb_compute *c, kb_array **out, kb_err *err)
{
    kb_array *parts[KB_COMPUTE_INPUTS];
    for (int i = 0; i < c->in_count; i++) parts[i] = c->in[i]->array;
    return kb_array_concatenate((size_t)c->in_count, parts, c->axis, out, err);
}

static int run_bitcast(const kb_compute *c, kb_array **out, kb_err *err)
{
    const kb_array *from = c->in[0]->array;
    int status = kb_array_create(c->dtype, c->rank, c->shape, out, err);
    if (!status) memcpy((*out)->data, from->data, from->nbytes);
    return status;
}

static int run_narrow(const kb_compute *c, kb_array **out, kb_err *err)
{
    kb_region region = {.start = {0}};
    for (int d = 0; d < c->rank; d++) {
        region.extent[d] = c->shape[d];
        region.step[d] = 1;
    }
    region.start[c->axis] = (size_t)c->start;
    return kb_array_get(c->in[0]->array, &region, out, err);
}

static int run_histogram(const kb_compute *c, kb_array **out, kb_err *err)
{
    const kb_array *x = c->in[0]->array;
    kb_array *mask = NULL;
    int status = KB_OK;
    if (c->in_count > 1)
        status = kb_array_broadcast_to(c->in[1]->array, x->rank, x->shape, &mask, err);
    if (!status) status = kb_histogram(x, mask, (size_t)c->count, out, err);
    kb_array_release(mask);
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
    case KB_COMPUTE_SCAN:
        return kb_scan((kb_reduce_op)c->op, a, c->axis, c->reverse, out, err);
    case KB_COMPUTE_SORT:
        return kb_sort(a, &(kb_sort_order){c->axis, c->reverse, c->keep}, out, err);
    case KB_COMPUTE_FLIP:
        return kb_flip(a, c->axis, out, err);
    case KB_COMPUTE_NARROW:
        return run_narrow(c, out, err);
    case KB_COMPUTE_GATHER:
        return kb_gather(a, b, c->axis, out, err);
    case KB_COMPUTE_WHERE:
        return kb_where(a, b, c->in[2]->array, out, err);
    case KB_COMPUTE_FMA:
        return run_fma(c, out, err);
    case KB_COMPUTE_CAST:
        return kb_array_cast(a, c->dtype, out, err);
    case KB_COMPUTE_BITCAST:
        return run_bitcast(c, out, err);
    case KB_COMPUTE_BROADCAST:
        return kb_array_broadcast_to(a, c->rank, c->shape, out, err);
    case KB_COMPUTE_RESHAPE:
        return kb_array_reshape(a, c->rank, c->shape, out, err);
    case KB_COMPUTE_PERMUTE:
        return kb_array_permute(a, c->axes, out, err);
    case KB_COMPUTE_CAT:
        return run_cat(c, out, err);
    case KB_COMPUTE_RANDOM:
        return kb_philox_draw((kb_philox_kind)c->op, (uint64_t)c->start, (int)c->count, a, out,
                              err);
    case KB_COMPUTE_HISTOGRAM:
        return run_histogram(c, out, err);
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
