/* Arithmetic on arrays: elementwise with NumPy's broadcasting, reductions, selection.
 *
 * One rounding per operation. f16, bf16 and 8-bit float operands are widened to f32, computed
 * there, and rounded back once: for + - * / and sqrt that equals rounding the exact result once,
 * because f32's 24 bits are at least 2 * 11 + 2 (Figueroa 1995; f16 has 11, bf16 8, f8e4m3 4).
 * Elementary functions and pow are computed in double (data/fmath.h) for every float type and
 * rounded once from there. Sums and means of every float type accumulate in double, in ascending
 * index order, and are rounded once at the end. A NaN result is always the quiet NaN without sign
 * or payload, so that results are the same bits on every CPU.
 *
 * Integers wrap in two's complement; dividing by zero is an error (KB_EINVAL), as is an integer
 * power with a negative exponent. Floats follow IEEE 754.
 *
 * The operands' types are promoted (kb_dtype_promote). The result has the promoted type, except
 * that comparisons give bool and true division of integers gives f64. */
#ifndef KB_DATA_OPS_H
#define KB_DATA_OPS_H

#include "data/array.h"
#include "data/executor.h"

typedef enum kb_binary_op {
    KB_ADD,
    KB_SUB,
    KB_MUL,
    KB_DIV,
    KB_FLOORDIV, /* rounds toward minus infinity, as in Lua and Python */
    KB_MOD,      /* sign of the divisor, likewise */
    KB_POW,
    KB_MIN, /* NaN if either is */
    KB_MAX,
    KB_AND, /* integers and bool only, to KB_SHR */
    KB_OR,
    KB_XOR,
    KB_SHL, /* by the width or more: 0; a negative count is an error */
    KB_SHR, /* arithmetic for signed types */
    KB_LT,
    KB_LE,
    KB_GT,
    KB_GE,
    KB_EQ,
    KB_NE,
    KB_BINARY_COUNT
} kb_binary_op;

typedef enum kb_unary_op {
    KB_NEG,
    KB_ABS,
    KB_NOT, /* integers: complement; bool: negation */
    KB_SQUARE,
    KB_SIGN,
    KB_FLOOR,
    KB_CEIL,
    KB_TRUNC,
    KB_ROUND, /* nearest, ties to even */
    KB_SQRT,  /* from here on integers become f64 */
    KB_RSQRT, /* 1 / sqrt(x) */
    KB_RECIPROCAL,
    KB_EXP,
    KB_EXP2,
    KB_LOG,
    KB_LOG2,
    KB_SIN,
    KB_COS,
    KB_TANH,
    KB_ERF,
    KB_SIGMOID,
    KB_ISNAN, /* the last two give bool */
    KB_ISFINITE,
    KB_UNARY_COUNT
} kb_unary_op;

typedef enum kb_reduce_op {
    KB_SUM,  /* integers: i64 or u64; bool: i64 */
    KB_PROD, /* likewise; floats in double */
    KB_MEAN, /* integers: f64 */
    KB_AMIN, /* NaN wins; an empty one is an error, to KB_ARGMAX */
    KB_AMAX,
    KB_ARGMIN, /* i64: index of the first; a NaN counts as least and as greatest */
    KB_ARGMAX,
    KB_ANY, /* bool */
    KB_ALL,
    KB_REDUCE_COUNT
} kb_reduce_op;

enum { KB_ALL_AXES = -1 };

/* "add", "exp", "sum", …: the names used in Lua and in messages. */
const char *kb_binary_name(kb_binary_op op);
const char *kb_unary_name(kb_unary_op op);
const char *kb_reduce_name(kb_reduce_op op);
int kb_binary_from_name(const char *name); /* or -1 */
int kb_unary_from_name(const char *name);
int kb_reduce_from_name(const char *name);

int kb_binary(kb_binary_op op, const kb_array *a, const kb_array *b, kb_array **out, kb_err *err);
int kb_unary(kb_unary_op op, const kb_array *a, kb_array **out, kb_err *err);

/* Over one axis (0 … rank - 1), which disappears or, with `keep`, becomes 1; or over all elements.
 */
int kb_reduce(kb_reduce_op op, const kb_array *a, int axis, bool keep, kb_array **out, kb_err *err);

/* cond (bool, or anything compared with 0) chooses a's or b's element; all three broadcast. */
int kb_where(const kb_array *cond, const kb_array *a, const kb_array *b, kb_array **out,
             kb_err *err);

/* Running sum or product along an axis, from its end with `reverse`; types as KB_SUM and KB_PROD.
 * Each prefix is rounded once, from the unrounded one before it. */
int kb_scan(kb_reduce_op op, const kb_array *a, int axis, bool reverse, kb_array **out,
            kb_err *err);

/* Is |a - b| <= atol + rtol * |b| everywhere, in double? Infinities must be equal; NaN equals NaN
 * only with equal_nan. On "no", *where (may be null) is the flat index of the first difference in
 * the broadcast shape. Returns 1, 0, or a negative code if the shapes do not broadcast. Parts of
 * large arrays are compared on threads of the executor, unless it is null. */
typedef struct kb_tolerance {
    double rtol, atol;
    bool equal_nan;
} kb_tolerance;
int kb_allclose(const kb_array *a, const kb_array *b, const kb_tolerance *tolerance,
                kb_executor *executor, size_t *where, kb_err *err);

/* Largest |a - b| in double over the broadcast shape; NaN if any difference is; 0 if empty. Threads
 * as above. */
int kb_max_abs_diff(const kb_array *a, const kb_array *b, kb_executor *executor, double *out,
                    kb_err *err);

#endif
