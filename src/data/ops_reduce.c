#include <math.h>
#include <stdlib.h>

#include "data/ops_span.h"

/* One running result. Floats of every type run in double. */
typedef struct acc {
    union {
        double f;
        int64_t i;
        uint64_t u;
    } best;        /* or the sum */
    int64_t index; /* of the best; -1: nothing yet */
} acc;

/* Fold n elements: with `step` 0 all into acc[0], their indices running from `index`; with `step` 1
 * element i into acc[i], all having that one index. Ascending order either way. */
typedef void (*fold_fn)(acc *into, size_t step, const void *x, size_t n, int64_t index);

#define FOLD(name, T, update)                                                                      \
    static void name(acc *into, size_t step, const void *xs, size_t n, int64_t index)              \
    {                                                                                              \
        const T *x = xs;                                                                           \
        (void)index;                                                                               \
        for (size_t i = 0; i < n; i++) {                                                           \
            acc *s = into + i * step;                                                              \
            T a = x[i];                                                                            \
            update;                                                                                \
        }                                                                                          \
    }

#define TAKE_IF(field, better)                                                                     \
    if (s->index < 0 || (better)) {                                                                \
        s->best.field = a;                                                                         \
        s->index = step ? index : index + (int64_t)i;                                              \
    }

FOLD(sum_f, double, s->best.f += a)
FOLD(prod_f, double, s->best.f *= a)
FOLD(sum_int, uint64_t, s->best.u += a)
FOLD(prod_int, uint64_t, s->best.u *= a)
/* A NaN is taken, and never given up. */
FOLD(min_f, double, TAKE_IF(f, !(s->best.f <= a) && s->best.f == s->best.f))
FOLD(max_f, double, TAKE_IF(f, !(s->best.f >= a) && s->best.f == s->best.f))
FOLD(min_i, int64_t, TAKE_IF(i, a < s->best.i))
FOLD(max_i, int64_t, TAKE_IF(i, a > s->best.i))
FOLD(min_u, uint64_t, TAKE_IF(u, a < s->best.u))
FOLD(max_u, uint64_t, TAKE_IF(u, a > s->best.u))

/* Columns: f64, i64, u64. */
static const struct {
    const char *name;
    fold_fn fn[3];
} OPS[KB_REDUCE_COUNT] = {
    [KB_SUM] = {"sum", {sum_f, sum_int, sum_int}},
    [KB_PROD] = {"prod", {prod_f, prod_int, prod_int}},
    [KB_MEAN] = {"mean", {sum_f, NULL, NULL}},
    [KB_AMIN] = {"min", {min_f, min_i, min_u}},
    [KB_AMAX] = {"max", {max_f, max_i, max_u}},
    [KB_ARGMIN] = {"argmin", {min_f, min_i, min_u}},
    [KB_ARGMAX] = {"argmax", {max_f, max_i, max_u}},
    [KB_ANY] = {"any", {NULL, NULL, max_u}},
    [KB_ALL] = {"all", {NULL, NULL, min_u}},
};

const char *kb_reduce_name(kb_reduce_op op)
{
    return OPS[op].name;
}

int kb_reduce_from_name(const char *name)
{
    for (int i = 0; i < KB_REDUCE_COUNT; i++)
        if (strcmp(name, OPS[i].name) == 0) return i;
    return -1;
}

static kb_dtype fold_type(kb_reduce_op op, kb_dtype dtype)
{
    if (kb_dtype_is_float(dtype) || op == KB_MEAN) return KB_F64;
    if (dtype == KB_BOOL && (op == KB_SUM || op == KB_PROD)) return KB_I64;
    return kb_dtype_class_of(dtype) == KB_CLASS_SIGNED ? KB_I64 : KB_U64;
}

static kb_dtype result_type(kb_reduce_op op, kb_dtype dtype)
{
    if (op == KB_ANY || op == KB_ALL) return KB_BOOL;
    if (op == KB_ARGMIN || op == KB_ARGMAX) return KB_I64;
    if (op == KB_AMIN || op == KB_AMAX || kb_dtype_is_float(dtype)) return dtype;
    return fold_type(op, dtype);
}

/* An array seen as outer x n x inner around the axis that is folded. */
typedef struct view {
    size_t outer, n, inner;
} view;

static view view_of(const kb_array *a, int axis)
{
    if (axis == KB_ALL_AXES) return (view){1, a->count, 1};
    view v = {1, a->shape[axis], 1};
    for (int i = 0; i < axis; i++) v.outer *= a->shape[i];
    for (int i = axis + 1; i < a->rank; i++) v.inner *= a->shape[i];
    return v;
}

static acc initial(kb_reduce_op op, kb_dtype type)
{
    acc s = {.best.u = 0, .index = -1};
    if (op == KB_PROD && type == KB_F64)
        s.best.f = 1;
    else if (op == KB_PROD || op == KB_ALL)
        s.best.u = 1;
    return s;
}

/* The n x inner elements from the source into `inner` running results. */
static void fold(fold_fn fn, kb_source *x, view v, acc *into)
{
    if (v.inner == 1) {
        for (size_t i = 0; i < v.n; i += KB_CHUNK) {
            size_t n = v.n - i < KB_CHUNK ? v.n - i : KB_CHUNK;
            fn(into, 0, kb_source_next(x, n), n, (int64_t)i);
        }
        return;
    }
    for (size_t k = 0; k < v.n; k++)
        for (size_t i = 0; i < v.inner; i += KB_CHUNK) {
            size_t n = v.inner - i < KB_CHUNK ? v.inner - i : KB_CHUNK;
            fn(into + i, 1, kb_source_next(x, n), n, (int64_t)k);
        }
}

static void finish(kb_reduce_op op, kb_dtype type, acc *s, size_t n, kb_array *out, size_t at)
{
    if (op == KB_MEAN) s->best.f /= (double)n;
    if (type == KB_F64 && s->best.f != s->best.f) s->best.f = (double)NAN;
    if (op == KB_ARGMIN || op == KB_ARGMAX) {
        type = KB_I64;
        s->best.i = s->index;
    }
    size_t size = kb_dtype_size(out->dtype);
    kb_convert(out->dtype, (char *)out->data + at * size, type, &s->best, 1);
}

static void reduce(kb_reduce_op op, const kb_array *a, view v, kb_array *out)
{
    kb_dtype type = fold_type(op, a->dtype);
    fold_fn fn = OPS[op].fn[type == KB_F64 ? 0 : type == KB_I64 ? 1 : 2];
    acc *into = kb_xmalloc(v.inner * sizeof *into);
    kb_source x;
    kb_source_open(&x, a, type);
    for (size_t o = 0; o < v.outer; o++) {
        for (size_t i = 0; i < v.inner; i++) into[i] = initial(op, type);
        fold(fn, &x, v, into);
        for (size_t i = 0; i < v.inner; i++) finish(op, type, into + i, v.n, out, o * v.inner + i);
    }
    free(into);
}

static int reduced_shape(const kb_array *a, int axis, bool keep, size_t *shape)
{
    int rank = 0;
    for (int i = 0; i < a->rank; i++) {
        bool folded = axis == KB_ALL_AXES || i == axis;
        if (folded && !keep) continue;
        shape[rank++] = folded ? 1 : a->shape[i];
    }
    return rank;
}

int kb_reduce(kb_reduce_op op, const kb_array *a, int axis, bool keep, kb_array **out, kb_err *err)
{
    if (axis != KB_ALL_AXES && (axis < 0 || axis >= a->rank))
        return kb_fail(err, KB_EINVAL, "%s: axis %d of an array of rank %d", OPS[op].name, axis,
                       a->rank);
    view v = view_of(a, axis);
    if (v.n == 0 && op >= KB_AMIN && op <= KB_ARGMAX && v.outer * v.inner > 0)
        return kb_fail(err, KB_EINVAL, "%s of no elements", OPS[op].name);
    kb_array *truth = NULL, *result = NULL;
    if (op == KB_ANY || op == KB_ALL) {
        int code = kb_array_cast(a, KB_BOOL, &truth, err);
        if (code) return code;
        a = truth;
    }
    size_t shape[KB_MAX_RANK];
    int rank = reduced_shape(a, axis, keep, shape);
    int code = kb_array_create(result_type(op, a->dtype), rank, shape, &result, err);
    if (code == 0) {
        reduce(op, a, v, result);
        *out = result;
    }
    kb_array_release(truth);
    return code;
}

/* One step of a running sum or product, of doubles or of 64-bit integers. */
static void combine(kb_reduce_op op, bool is_float, void *data, size_t here, size_t before)
{
    double *f = data;
    uint64_t *u = data;
    if (is_float)
        f[here] = op == KB_PROD ? f[before] * f[here] : f[before] + f[here];
    else
        u[here] = op == KB_PROD ? u[before] * u[here] : u[before] + u[here];
}

/* In place. */
static void scan(kb_reduce_op op, bool is_float, void *data, view v, bool reverse)
{
    for (size_t o = 0; o < v.outer; o++)
        for (size_t k = 1; k < v.n; k++)
            for (size_t i = 0; i < v.inner; i++) {
                size_t at = reverse ? v.n - 1 - k : k, last = reverse ? at + 1 : at - 1;
                combine(op, is_float, data, (o * v.n + at) * v.inner + i,
                        (o * v.n + last) * v.inner + i);
            }
}

/* The same NaN on every CPU. */
static void settle_nans(double *data, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (data[i] != data[i]) data[i] = (double)NAN;
}

int kb_scan(kb_reduce_op op, const kb_array *a, int axis, bool reverse, kb_array **out, kb_err *err)
{
    if (axis < 0 || axis >= a->rank)
        return kb_fail(err, KB_EINVAL, "cum%s: axis %d of an array of rank %d", OPS[op].name, axis,
                       a->rank);
    kb_dtype type = fold_type(op, a->dtype);
    kb_array *wide = NULL;
    int code = kb_array_cast(a, type, &wide, err);
    if (code) return code;
    scan(op, type == KB_F64, wide->data, view_of(a, axis), reverse);
    if (type == KB_F64) settle_nans(wide->data, wide->count);
    code = kb_array_cast(wide, result_type(op, a->dtype), out, err);
    kb_array_release(wide);
    return code;
}
