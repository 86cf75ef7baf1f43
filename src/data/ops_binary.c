#include <math.h>

#include "data/fmath.h"
#include "data/ops_span.h"

/* n elements: z = x op y. Nonzero if an element has no result (division by zero). */
typedef int (*binary_fn)(size_t n, const void *x, const void *y, void *z);

#define LOOP(name, T, R, expression)                                                               \
    static int name(size_t n, const void *xs, const void *ys, void *zs)                            \
    {                                                                                              \
        const T *x = xs, *y = ys;                                                                  \
        R *z = zs;                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                           \
            T a = x[i], b = y[i];                                                                  \
            z[i] = (expression);                                                                   \
        }                                                                                          \
        return 0;                                                                                  \
    }

/* The same, stopping where `bad` holds. */
#define CHECKED_LOOP(name, T, bad, expression)                                                     \
    static int name(size_t n, const void *xs, const void *ys, void *zs)                            \
    {                                                                                              \
        const T *x = xs, *y = ys;                                                                  \
        T *z = zs;                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                           \
            T a = x[i], b = y[i];                                                                  \
            if (bad) return 1;                                                                     \
            z[i] = (expression);                                                                   \
        }                                                                                          \
        return 0;                                                                                  \
    }

/* The float loops make every NaN the same one: which operand's payload an instruction passes on
 * depends on the order the compiler gave them. */
static inline float one_nan_f32(float x)
{
    return x != x ? (float)NAN : x;
}

static inline double one_nan_f64(double x)
{
    return x != x ? (double)NAN : x;
}

/* Floor division and remainder as Python and NumPy define them: the remainder (exact in fmod) has
 * the divisor's sign, the quotient is what is left, rounded to a whole number. */
#define FLOAT_DIVISION(T, suffix)                                                                  \
    static T mod_of_##suffix(T a, T b)                                                             \
    {                                                                                              \
        T m = fmod##suffix(a, b);                                                                  \
        if (m != 0) return (b < 0) != (m < 0) ? m + b : m;                                         \
        return copysign##suffix(0, b);                                                             \
    }                                                                                              \
    static T floordiv_of_##suffix(T a, T b)                                                        \
    {                                                                                              \
        if (b == 0) return a / b;                                                                  \
        T m = fmod##suffix(a, b), q = (a - m) / b;                                                 \
        if (m != 0 && (b < 0) != (m < 0)) q -= 1;                                                  \
        if (q == 0) return copysign##suffix(0, a / b);                                             \
        T whole = floor##suffix(q);                                                                \
        return q - whole > (T)0.5 ? whole + 1 : whole;                                             \
    }

#define fmodd     fmod
#define copysignd copysign
#define floord    floor
FLOAT_DIVISION(float, f)
FLOAT_DIVISION(double, d)

static int64_t floordiv_i64(int64_t a, int64_t b)
{
    if (b == -1) return (int64_t)(0 - (uint64_t)a); /* the least integer has no negative: wraps */
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static int64_t mod_i64(int64_t a, int64_t b)
{
    if (b == -1) return 0;
    int64_t m = a % b;
    return m != 0 && (m < 0) != (b < 0) ? m + b : m;
}

static uint64_t power(uint64_t base, uint64_t exponent)
{
    uint64_t result = 1;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

LOOP(add_f32, float, float, one_nan_f32(a + b))
LOOP(sub_f32, float, float, one_nan_f32(a - b))
LOOP(mul_f32, float, float, one_nan_f32(a *b))
LOOP(div_f32, float, float, one_nan_f32(a / b))
LOOP(floordiv_f32, float, float, one_nan_f32(floordiv_of_f(a, b)))
LOOP(mod_f32, float, float, one_nan_f32(mod_of_f(a, b)))
LOOP(pow_f32, float, double, one_nan_f64(kb_pow((double)a, (double)b)))
LOOP(min_f32, float, float, one_nan_f32(a != a || a < b ? a : b))
LOOP(max_f32, float, float, one_nan_f32(a != a || a > b ? a : b))

LOOP(add_f64, double, double, one_nan_f64(a + b))
LOOP(sub_f64, double, double, one_nan_f64(a - b))
LOOP(mul_f64, double, double, one_nan_f64(a *b))
LOOP(div_f64, double, double, one_nan_f64(a / b))
LOOP(floordiv_f64, double, double, one_nan_f64(floordiv_of_d(a, b)))
LOOP(mod_f64, double, double, one_nan_f64(mod_of_d(a, b)))
LOOP(pow_f64, double, double, one_nan_f64(kb_pow(a, b)))
LOOP(min_f64, double, double, one_nan_f64(a != a || a < b ? a : b))
LOOP(max_f64, double, double, one_nan_f64(a != a || a > b ? a : b))

/* Their low bits are those of the operands' low bits: 32-bit integers need not be widened. */
LOOP(add_w32, uint32_t, uint32_t, a + b)
LOOP(sub_w32, uint32_t, uint32_t, a - b)
LOOP(mul_w32, uint32_t, uint32_t, a *b)
LOOP(and_w32, uint32_t, uint32_t, a &b)
LOOP(or_w32, uint32_t, uint32_t, a | b)
LOOP(xor_w32, uint32_t, uint32_t, a ^ b)
LOOP(add_int, uint64_t, uint64_t, a + b)
LOOP(sub_int, uint64_t, uint64_t, a - b)
LOOP(mul_int, uint64_t, uint64_t, a *b)
LOOP(and_int, uint64_t, uint64_t, a &b)
LOOP(or_int, uint64_t, uint64_t, a | b)
LOOP(xor_int, uint64_t, uint64_t, a ^ b)
CHECKED_LOOP(floordiv_i, int64_t, b == 0, floordiv_i64(a, b))
CHECKED_LOOP(mod_i, int64_t, b == 0, mod_i64(a, b))
CHECKED_LOOP(pow_i, int64_t, b < 0, (int64_t)power((uint64_t)a, (uint64_t)b))
CHECKED_LOOP(shl_i, int64_t, b<0, b> 63 ? 0 : (int64_t)((uint64_t)a << b))
CHECKED_LOOP(shr_i, int64_t, b < 0, a >> (b > 63 ? 63 : b))
LOOP(min_i, int64_t, int64_t, a < b ? a : b)
LOOP(max_i, int64_t, int64_t, a > b ? a : b)
CHECKED_LOOP(floordiv_u, uint64_t, b == 0, a / b)
CHECKED_LOOP(mod_u, uint64_t, b == 0, a % b)
LOOP(pow_u, uint64_t, uint64_t, power(a, b))
LOOP(shl_u, uint64_t, uint64_t, b > 63 ? 0 : a << b)
LOOP(shr_u, uint64_t, uint64_t, b > 63 ? 0 : a >> b)
LOOP(min_u, uint64_t, uint64_t, a < b ? a : b)
LOOP(max_u, uint64_t, uint64_t, a > b ? a : b)

#define COMPARISONS(T, suffix)                                                                     \
    LOOP(lt_##suffix, T, uint8_t, a < b)                                                           \
    LOOP(le_##suffix, T, uint8_t, a <= b)                                                          \
    LOOP(gt_##suffix, T, uint8_t, a > b)                                                           \
    LOOP(ge_##suffix, T, uint8_t, a >= b)                                                          \
    LOOP(eq_##suffix, T, uint8_t, a == b)                                                          \
    LOOP(ne_##suffix, T, uint8_t, a != b)
COMPARISONS(float, f32)
COMPARISONS(double, f64)
COMPARISONS(int64_t, i)
COMPARISONS(uint64_t, u)

/* Columns: f32, f64, i64, u64; then, of some, 32-bit integers. Without an entry among the first
 * four the operation has no meaning for that kind. */
static const struct {
    const char *name;
    binary_fn fn[5];
} OPS[KB_BINARY_COUNT] = {
    [KB_ADD] = {"add", {add_f32, add_f64, add_int, add_int, add_w32}},
    [KB_SUB] = {"sub", {sub_f32, sub_f64, sub_int, sub_int, sub_w32}},
    [KB_MUL] = {"mul", {mul_f32, mul_f64, mul_int, mul_int, mul_w32}},
    [KB_DIV] = {"div", {div_f32, div_f64, NULL, NULL}},
    [KB_FLOORDIV] = {"floordiv", {floordiv_f32, floordiv_f64, floordiv_i, floordiv_u}},
    [KB_MOD] = {"mod", {mod_f32, mod_f64, mod_i, mod_u}},
    [KB_POW] = {"pow", {pow_f32, pow_f64, pow_i, pow_u}},
    [KB_MIN] = {"minimum", {min_f32, min_f64, min_i, min_u}},
    [KB_MAX] = {"maximum", {max_f32, max_f64, max_i, max_u}},
    [KB_AND] = {"bitwise_and", {NULL, NULL, and_int, and_int, and_w32}},
    [KB_OR] = {"bitwise_or", {NULL, NULL, or_int, or_int, or_w32}},
    [KB_XOR] = {"bitwise_xor", {NULL, NULL, xor_int, xor_int, xor_w32}},
    [KB_SHL] = {"left_shift", {NULL, NULL, shl_i, shl_u}},
    [KB_SHR] = {"right_shift", {NULL, NULL, shr_i, shr_u}},
    [KB_LT] = {"lt", {lt_f32, lt_f64, lt_i, lt_u}},
    [KB_LE] = {"le", {le_f32, le_f64, le_i, le_u}},
    [KB_GT] = {"gt", {gt_f32, gt_f64, gt_i, gt_u}},
    [KB_GE] = {"ge", {ge_f32, ge_f64, ge_i, ge_u}},
    [KB_EQ] = {"eq", {eq_f32, eq_f64, eq_i, eq_u}},
    [KB_NE] = {"ne", {ne_f32, ne_f64, ne_i, ne_u}},
};

const char *kb_binary_name(kb_binary_op op)
{
    return OPS[op].name;
}

int kb_binary_from_name(const char *name)
{
    for (int i = 0; i < KB_BINARY_COUNT; i++)
        if (strcmp(name, OPS[i].name) == 0) return i;
    return -1;
}

/* Everything one call needs on its way through the elements. */
typedef struct job {
    binary_fn fn;
    kb_dtype computed; /* the type fn writes */
    kb_array *out;
    char *next; /* where the next result goes */
    kb_source x, y;
} job;

static kb_dtype result_type(kb_binary_op op, kb_dtype operands)
{
    if (op >= KB_LT) return KB_BOOL;
    return op == KB_DIV && !kb_dtype_is_float(operands) ? KB_F64 : operands;
}

/* What the loop function writes: comparisons flags, pow doubles, others the compute type. */
static kb_dtype written_type(kb_binary_op op, kb_dtype compute)
{
    if (op >= KB_LT) return KB_BOOL;
    return op == KB_POW && compute == KB_F32 ? KB_F64 : compute;
}

static int run_chunk(job *j, size_t n)
{
    const void *x = kb_source_next(&j->x, n), *y = kb_source_next(&j->y, n);
    kb_dtype stored = j->out->dtype;
    size_t bytes = n * kb_dtype_size(stored);
    int bad;
    if (stored == j->computed) {
        bad = j->fn(n, x, y, j->next);
    } else {
        kb_chunk z;
        bad = j->fn(n, x, y, &z);
        if (!bad) kb_convert(stored, j->next, j->computed, &z, n);
    }
    j->next += bytes;
    return bad;
}

static int run(job *j, kb_walk *walk, const kb_array *a, const kb_array *b)
{
    for (size_t row = 0; row < walk->rows; row++, kb_walk_next(walk)) {
        kb_source_seek(&j->x, a, walk->offset[0], walk->repeat[0]);
        kb_source_seek(&j->y, b, walk->offset[1], walk->repeat[1]);
        for (size_t i = 0; i < walk->length; i += KB_CHUNK) {
            size_t n = walk->length - i < KB_CHUNK ? walk->length - i : KB_CHUNK;
            if (run_chunk(j, n)) return KB_EINVAL;
        }
    }
    return 0;
}

enum { COLUMN_W32 = 4 };

static int column(kb_dtype compute)
{
    if (compute == KB_I32 || compute == KB_U32) return COLUMN_W32;
    return compute == KB_F32 ? 0 : compute == KB_F64 ? 1 : compute == KB_I64 ? 2 : 3;
}

int kb_binary(kb_binary_op op, const kb_array *a, const kb_array *b, kb_array **out, kb_err *err)
{
    kb_dtype operands = kb_dtype_promote(a->dtype, b->dtype);
    if (op == KB_DIV && !kb_dtype_is_float(operands)) operands = KB_F64;
    bool narrow = column(operands) == COLUMN_W32 && OPS[op].fn[COLUMN_W32];
    kb_dtype compute = narrow ? operands : kb_compute_type(operands);
    binary_fn fn = OPS[op].fn[column(compute)];
    if (!fn)
        return kb_fail(err, KB_EINVAL, "%s is not defined for %s and %s", OPS[op].name,
                       kb_dtype_name(a->dtype), kb_dtype_name(b->dtype));
    kb_walk walk;
    int rank;
    size_t shape[KB_MAX_RANK];
    kb_array *result = NULL;
    int code = kb_walk_open(&walk, a, b, &rank, shape, err);
    if (code == 0) code = kb_array_create(result_type(op, operands), rank, shape, &result, err);
    if (code) return code;
    job j; /* not cleared: the sources hold buffers of many KiB */
    j.fn = fn;
    j.computed = written_type(op, compute);
    j.out = result;
    j.next = result->data;
    kb_source_open(&j.x, a, compute);
    kb_source_open(&j.y, b, compute);
    if (run(&j, &walk, a, b) == 0) {
        *out = result;
        return 0;
    }
    kb_array_release(result);
    return kb_fail(err, KB_EINVAL, "%s of integers: %s", OPS[op].name,
                   op == KB_FLOORDIV || op == KB_MOD ? "division by zero"
                                                     : "negative exponent or count");
}
