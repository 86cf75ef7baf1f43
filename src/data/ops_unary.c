#include <math.h>

#include "data/fmath.h"
#include "data/fmath_many.h"
#include "data/ops_span.h"

typedef void (*unary_fn)(size_t n, const void *x, void *z);

#define LOOP(name, T, R, expression)                                                               \
    static void name(size_t n, const void *xs, void *zs)                                           \
    {                                                                                              \
        const T *x = xs;                                                                           \
        R *z = zs;                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                           \
            T a = x[i];                                                                            \
            z[i] = (expression);                                                                   \
        }                                                                                          \
    }

/* Every NaN becomes the same one; see ops_binary.c. */
static inline double one_nan(double x)
{
    return x != x ? (double)NAN : x;
}

#define FLOAT_LOOPS(name, expression32, expression64)                                              \
    LOOP(name##_f32, float, float, expression32)                                                   \
    LOOP(name##_f64, double, double, expression64)

/* Neg and abs only touch the sign, also of a NaN, as IEEE 754 says. Rounding functions are exact.
 */
FLOAT_LOOPS(neg, -a, -a)
FLOAT_LOOPS(abs, fabsf(a), fabs(a))
FLOAT_LOOPS(square, a *a, a *a)
FLOAT_LOOPS(sign, (float)(a > 0) - (float)(a < 0) + (a == a ? 0 : a),
            (double)(a > 0) - (double)(a < 0) + (a == a ? 0 : a))
FLOAT_LOOPS(floor, floorf(a), floor(a))
FLOAT_LOOPS(ceil, ceilf(a), ceil(a))
FLOAT_LOOPS(trunc, truncf(a), trunc(a))
FLOAT_LOOPS(round, rintf(a), rint(a))
FLOAT_LOOPS(sqrt, a < 0 ? (float)NAN : sqrtf(a), a < 0 ? (double)NAN : sqrt(a))

/* Widened to double by the caller. sqrt and division are both rounded there, yet for f32 and
 * shorter the double result is far more precise than the type, and is rounded once. */
LOOP(rsqrt, double, double, one_nan(1 / sqrt(a)))
LOOP(reciprocal, double, double, 1 / a)
LOOP(exp2_all, double, double, one_nan(kb_exp2(a)))
LOOP(log2_all, double, double, one_nan(kb_log2(a)))

#define MANY(name, call)                                                                           \
    static void name(size_t n, const void *xs, void *zs)                                           \
    {                                                                                              \
        double *z = zs;                                                                            \
        call;                                                                                      \
        for (size_t i = 0; i < n; i++) z[i] = one_nan(z[i]);                                       \
    }

/* Up to a chunk. */
MANY(exp_all, kb_exp_many(n, xs, z))
MANY(log_all, kb_log_many(n, xs, z))
MANY(tanh_all, kb_tanh_many(n, xs, z))
MANY(erf_all, kb_erf_many(n, xs, z))
MANY(sigmoid_all, kb_sigmoid_many(n, xs, z))
MANY(sin_all, double other[KB_CHUNK]; kb_sin_cos_many(n, xs, z, other))
MANY(cos_all, double other[KB_CHUNK]; kb_sin_cos_many(n, xs, other, z))

LOOP(neg_int, uint64_t, uint64_t, 0 - a)
LOOP(not_int, uint64_t, uint64_t, ~a)
LOOP(not_bool, uint64_t, uint64_t, a == 0)
LOOP(square_int, uint64_t, uint64_t, a *a)
LOOP(same_int, uint64_t, uint64_t, a)
LOOP(abs_i, int64_t, uint64_t, a < 0 ? 0 - (uint64_t)a : (uint64_t)a)
LOOP(sign_i, int64_t, int64_t, (a > 0) - (a < 0))
LOOP(sign_u, uint64_t, uint64_t, a > 0)

LOOP(isnan_f32, float, uint8_t, a != a)
LOOP(isnan_f64, double, uint8_t, a != a)
LOOP(isfinite_f32, float, uint8_t, fabsf(a) < INFINITY)
LOOP(isfinite_f64, double, uint8_t, fabs(a) < INFINITY)
LOOP(no, uint64_t, uint8_t, a != a)
LOOP(yes, uint64_t, uint8_t, a == a)

#define IN_DOUBLE(fn)                                                                              \
    {                                                                                              \
        fn, fn, NULL, NULL                                                                         \
    }

/* Columns: f32, f64, i64, u64. Operations from KB_SQRT to KB_SIGMOID turn integers into f64. */
static const struct {
    const char *name;
    unary_fn fn[4];
} OPS[KB_UNARY_COUNT] = {
    [KB_NEG] = {"neg", {neg_f32, neg_f64, neg_int, neg_int}},
    [KB_ABS] = {"abs", {abs_f32, abs_f64, abs_i, same_int}},
    [KB_NOT] = {"bitwise_not", {NULL, NULL, not_int, not_int}},
    [KB_SQUARE] = {"square", {square_f32, square_f64, square_int, square_int}},
    [KB_SIGN] = {"sign", {sign_f32, sign_f64, sign_i, sign_u}},
    [KB_FLOOR] = {"floor", {floor_f32, floor_f64, same_int, same_int}},
    [KB_CEIL] = {"ceil", {ceil_f32, ceil_f64, same_int, same_int}},
    [KB_TRUNC] = {"trunc", {trunc_f32, trunc_f64, same_int, same_int}},
    [KB_ROUND] = {"round", {round_f32, round_f64, same_int, same_int}},
    [KB_SQRT] = {"sqrt", {sqrt_f32, sqrt_f64, NULL, NULL}},
    [KB_RSQRT] = {"rsqrt", IN_DOUBLE(rsqrt)},
    [KB_RECIPROCAL] = {"reciprocal", IN_DOUBLE(reciprocal)},
    [KB_EXP] = {"exp", IN_DOUBLE(exp_all)},
    [KB_EXP2] = {"exp2", IN_DOUBLE(exp2_all)},
    [KB_LOG] = {"log", IN_DOUBLE(log_all)},
    [KB_LOG2] = {"log2", IN_DOUBLE(log2_all)},
    [KB_SIN] = {"sin", IN_DOUBLE(sin_all)},
    [KB_COS] = {"cos", IN_DOUBLE(cos_all)},
    [KB_TANH] = {"tanh", IN_DOUBLE(tanh_all)},
    [KB_ERF] = {"erf", IN_DOUBLE(erf_all)},
    [KB_SIGMOID] = {"sigmoid", IN_DOUBLE(sigmoid_all)},
    [KB_ISNAN] = {"isnan", {isnan_f32, isnan_f64, no, no}},
    [KB_ISFINITE] = {"isfinite", {isfinite_f32, isfinite_f64, yes, yes}},
};

const char *kb_unary_name(kb_unary_op op)
{
    return OPS[op].name;
}

int kb_unary_from_name(const char *name)
{
    for (int i = 0; i < KB_UNARY_COUNT; i++)
        if (strcmp(name, OPS[i].name) == 0) return i;
    return -1;
}

typedef struct plan {
    unary_fn fn;
    kb_dtype compute, written, result;
} plan;

static plan plan_for(kb_unary_op op, kb_dtype dtype)
{
    bool elementary = op >= KB_SQRT && op <= KB_SIGMOID;
    kb_dtype result = elementary && !kb_dtype_is_float(dtype) ? KB_F64 : dtype;
    kb_dtype compute = kb_compute_type(result);
    if (elementary && op != KB_SQRT) compute = KB_F64;
    if (op == KB_ISNAN || op == KB_ISFINITE)
        return (plan){OPS[op].fn[compute == KB_F64   ? 1
                                 : compute == KB_F32 ? 0
                                                     : 3],
                      compute, KB_BOOL, KB_BOOL};
    int column = compute == KB_F32 ? 0 : compute == KB_F64 ? 1 : compute == KB_I64 ? 2 : 3;
    unary_fn fn = op == KB_NOT && dtype == KB_BOOL ? not_bool : OPS[op].fn[column];
    return (plan){fn, compute, compute, result};
}

int kb_unary(kb_unary_op op, const kb_array *a, kb_array **out, kb_err *err)
{
    plan p = plan_for(op, a->dtype);
    if (!p.fn)
        return kb_fail(err, KB_EINVAL, "%s is not defined for %s", OPS[op].name,
                       kb_dtype_name(a->dtype));
    kb_array *result = NULL;
    int code = kb_array_create(p.result, a->rank, a->shape, &result, err);
    if (code) return code;
    kb_source x;
    kb_chunk z;
    kb_source_open(&x, a, p.compute);
    size_t size = kb_dtype_size(p.result);
    for (size_t i = 0; i < a->count; i += KB_CHUNK) {
        size_t n = a->count - i < KB_CHUNK ? a->count - i : KB_CHUNK;
        p.fn(n, kb_source_next(&x, n), &z);
        kb_convert(p.result, (char *)result->data + i * size, p.written, &z, n);
    }
    *out = result;
    return 0;
}
