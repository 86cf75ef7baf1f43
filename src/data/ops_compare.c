/* How far two arrays are apart. */
#include <math.h>
#include <stdlib.h>

#include "data/ops_span.h"

/* Elements of a part of two large arrays, which one thread compares. */
enum { PART = 1 << 16 };

/* What has been seen in a part, in the order of its elements. */
typedef struct seen {
    const kb_tolerance *tolerance;
    size_t at; /* elements known to be close */
    bool differs;
    double largest;
} seen;

/* Looks at a chunk of pairs as doubles; false: what comes after does not matter. */
typedef bool (*look_fn)(seen *s, const double *a, const double *b, size_t n);

static int for_pairs(const kb_array *a, const kb_array *b, look_fn look, seen *s, kb_err *err)
{
    kb_walk walk;
    int rank;
    size_t shape[KB_MAX_RANK];
    int code = kb_walk_open(&walk, a, b, &rank, shape, err);
    if (code) return code;
    kb_source x, y;
    kb_source_open(&x, a, KB_F64);
    kb_source_open(&y, b, KB_F64);
    for (size_t row = 0; row < walk.rows; row++, kb_walk_next(&walk)) {
        kb_source_seek(&x, a, walk.offset[0], walk.repeat[0]);
        kb_source_seek(&y, b, walk.offset[1], walk.repeat[1]);
        for (size_t i = 0; i < walk.length; i += KB_CHUNK) {
            size_t n = walk.length - i < KB_CHUNK ? walk.length - i : KB_CHUNK;
            if (!look(s, kb_source_next(&x, n), kb_source_next(&y, n), n)) return 0;
        }
    }
    return 0;
}

/* ---- large arrays ---- */

typedef struct comparison {
    const kb_array *a, *b;
    look_fn look;
    seen *parts;
} comparison;

/* Elements [first, first + count) of an array, in one dimension. */
static kb_array range(const kb_array *array, size_t first, size_t count)
{
    size_t size = kb_dtype_size(array->dtype);
    return (kb_array){.dtype = array->dtype,
                      .rank = 1,
                      .shape = {count},
                      .count = count,
                      .nbytes = count * size,
                      .data = (char *)array->data + first * size};
}

static void compare_part(void *object, uint32_t i)
{
    const comparison *c = object;
    size_t first = (size_t)i * PART, left = c->a->count - first, n = left < PART ? left : PART;
    kb_array a = range(c->a, first, n), b = range(c->b, first, n);
    for_pairs(&a, &b, c->look, &c->parts[i], NULL);
}

static bool same_shape(const kb_array *a, const kb_array *b)
{
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

/* The parts' findings are put together in their order. */
static int compare(const kb_array *a, const kb_array *b, look_fn look, kb_executor *executor,
                   seen *s, kb_err *err)
{
    if (!executor || a->count <= PART || a->count / PART >= UINT32_MAX || !same_shape(a, b))
        return for_pairs(a, b, look, s, err);
    uint32_t count = (uint32_t)((a->count + PART - 1) / PART);
    comparison c = {a, b, look, kb_xcalloc(count, sizeof *c.parts)};
    for (uint32_t i = 0; i < count; i++) c.parts[i].tolerance = s->tolerance;
    kb_executor_split(executor, count, compare_part, &c);
    for (uint32_t i = 0; i < count && !s->differs; i++) {
        s->at = (size_t)i * PART + c.parts[i].at;
        s->differs = c.parts[i].differs;
        if (!(c.parts[i].largest <= s->largest)) s->largest = c.parts[i].largest;
    }
    free(c.parts);
    return 0;
}

/* ---- what is asked ---- */

static bool close_enough(double a, double b, const kb_tolerance *t)
{
    if (a == b) return true;
    if (a != a || b != b) return t->equal_nan && a != a && b != b;
    if (isinf(a) || isinf(b)) return false;
    return fabs(a - b) <= t->atol + t->rtol * fabs(b);
}

static bool look_close(seen *s, const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++, s->at++) {
        if (close_enough(a[i], b[i], s->tolerance)) continue;
        s->differs = true;
        return false;
    }
    return true;
}

int kb_allclose(const kb_array *a, const kb_array *b, const kb_tolerance *tolerance,
                kb_executor *executor, size_t *where, kb_err *err)
{
    seen s = {.tolerance = tolerance};
    int code = compare(a, b, look_close, executor, &s, err);
    if (code) return code;
    if (s.differs && where) *where = s.at;
    return !s.differs;
}

/* A difference that is no number ends the search. */
static bool look_far(seen *s, const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n && !s->differs; i++) {
        double diff = a[i] == b[i] ? 0 : fabs(a[i] - b[i]); /* equal infinities: no difference */
        if (!(diff <= s->largest)) s->largest = diff;
        s->differs = diff != diff;
    }
    return !s->differs;
}

int kb_max_abs_diff(const kb_array *a, const kb_array *b, kb_executor *executor, double *out,
                    kb_err *err)
{
    seen s = {0};
    int code = compare(a, b, look_far, executor, &s, err);
    *out = s.largest;
    return code;
}
