#include "data/atomic.h"

#include <math.h>
#include <string.h>

/* ---- one element ---- */

static double combine_floats(kb_atomic_op op, double a, double b)
{
    if (op != KB_ATOMIC_ADD && (isnan(a) || isnan(b))) return (double)NAN;
    switch (op) {
    case KB_ATOMIC_MIN:
        return b < a ? b : a;
    case KB_ATOMIC_MAX:
        return b > a ? b : a;
    default:
        return isnan(a + b) ? (double)NAN : a + b;
    }
}

static uint64_t combine_integers(kb_atomic_op op, bool is_signed, uint64_t a, uint64_t b)
{
    bool less = is_signed ? (int64_t)b < (int64_t)a : b < a;
    switch (op) {
    case KB_ATOMIC_MIN:
        return less ? b : a;
    case KB_ATOMIC_MAX:
        return less ? a : b;
    case KB_ATOMIC_AND:
        return a & b;
    case KB_ATOMIC_OR:
        return a | b;
    case KB_ATOMIC_XOR:
        return a ^ b;
    default:
        return a + b;
    }
}

/* Sums of types up to f32 go through f32, so that they round as kb_binary's do. */
static void combine(kb_atomic_op op, kb_dtype dtype, const void *a, const void *b, void *out)
{
    kb_dtype_class class = kb_dtype_class_of(dtype);
    if (class == KB_CLASS_FLOAT) {
        double x, y;
        kb_convert(KB_F64, &x, dtype, a, 1);
        kb_convert(KB_F64, &y, dtype, b, 1);
        double result = combine_floats(op, x, y);
        float narrow = (float)result;
        if (dtype == KB_F64)
            memcpy(out, &result, sizeof result);
        else
            kb_convert(dtype, out, KB_F32, &narrow, 1);
        return;
    }
    kb_dtype wide = class == KB_CLASS_SIGNED ? KB_I64 : KB_U64;
    uint64_t x, y;
    kb_convert(wide, &x, dtype, a, 1);
    kb_convert(wide, &y, dtype, b, 1);
    x = combine_integers(op, wide == KB_I64, x, y);
    kb_convert(dtype, out, wide, &x, 1);
}

static void apply(kb_atomic_op op, kb_dtype dtype, unsigned char *memory, const char *value,
                  const char *compare)
{
    size_t size = kb_dtype_size(dtype);
    if (op == KB_ATOMIC_CAS && memcmp(memory, compare, size) != 0) return;
    if (op == KB_ATOMIC_CAS || op == KB_ATOMIC_XCHG) {
        memcpy(memory, value, size);
        return;
    }
    uint64_t held = 0, operand = 0, result;
    memcpy(&held, memory, size);
    memcpy(&operand, value, size);
    combine(op, dtype, &held, &operand, &result);
    memcpy(memory, &result, size);
}

/* ---- all elements ---- */

/* The elements of pieces, one after another. */
typedef struct walk {
    const kb_pieces *pieces;
    size_t piece;
    uint64_t row, at; /* bytes into the row */
} walk;

static unsigned char *next(walk *w, size_t size)
{
    const kb_piece *piece = &w->pieces->data[w->piece];
    unsigned char *element = piece->host + w->row * piece->stride + w->at;
    w->at += size;
    if (w->at < piece->row_bytes) return element;
    w->at = 0;
    if (++w->row < piece->rows) return element;
    w->row = 0;
    w->piece++;
    return element;
}

static void run(const kb_atomic_args *args, const char *value, const char *compare,
                const kb_pieces *pieces, kb_array *old)
{
    size_t size = kb_dtype_size(old->dtype);
    const uint8_t *mask = args->mask ? args->mask->data : NULL;
    walk w = {.pieces = pieces};
    memset(old->data, 0, old->nbytes);
    for (size_t i = 0; i < old->count; i++) {
        if (mask && !mask[i]) continue;
        unsigned char *memory = next(&w, size);
        memcpy((char *)old->data + i * size, memory, size);
        apply(args->op, old->dtype, memory, value + i * size, compare + i * size);
    }
}

int kb_atomic_run(const kb_atomic_args *args, const kb_pieces *pieces, kb_array *old, kb_err *err)
{
    kb_array *value = NULL, *compare = NULL;
    int status = kb_array_broadcast_to(args->value, old->rank, old->shape, &value, err);
    if (!status && args->compare)
        status = kb_array_broadcast_to(args->compare, old->rank, old->shape, &compare, err);
    if (!status) run(args, value->data, compare ? compare->data : value->data, pieces, old);
    kb_array_release(compare);
    kb_array_release(value);
    return status;
}
