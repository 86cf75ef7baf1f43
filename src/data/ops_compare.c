/* Selection by a mask, and how far two arrays are apart. */
#include <math.h>

#include "data/ops_span.h"

#define SELECT(T)                                                                                  \
    do {                                                                                           \
        const T *x = a, *y = b;                                                                    \
        T *z = out;                                                                                \
        for (size_t i = 0; i < n; i++) z[i] = cond[i] ? x[i] : y[i];                               \
    } while (0)

static void choose(size_t size, size_t n, const uint8_t *cond, const void *a, const void *b,
                   void *out)
{
    switch (size) {
    case 1:
        SELECT(uint8_t);
        break;
    case 2:
        SELECT(kb_word16);
        break;
    case 4:
        SELECT(kb_word32);
        break;
    default:
        SELECT(kb_word64);
    }
}

/* A copy as `dtype` and of that shape. */
static int spread(const kb_array *a, kb_dtype dtype, int rank, const size_t *shape, kb_array **out,
                  kb_err *err)
{
    kb_array *converted = NULL;
    int code = kb_array_cast(a, dtype, &converted, err);
    if (code) return code;
    code = kb_array_broadcast_to(converted, rank, shape, out, err);
    kb_array_release(converted);
    return code;
}

/* The shape all three broadcast to: the first two's, then that with the third's. */
static int common_shape(const kb_array *a, const kb_array *b, const kb_array *c, int *rank,
                        size_t *shape, kb_err *err)
{
    kb_array both = {.rank = 0};
    int code = kb_broadcast_shape(a, b, &both.rank, both.shape, err);
    return code ? code : kb_broadcast_shape(&both, c, rank, shape, err);
}

int kb_where(const kb_array *cond, const kb_array *a, const kb_array *b, kb_array **out,
             kb_err *err)
{
    size_t shape[KB_MAX_RANK];
    int rank;
    kb_dtype dtype = kb_dtype_promote(a->dtype, b->dtype);
    kb_array *mask = NULL, *x = NULL, *y = NULL, *result = NULL;
    int code = common_shape(a, b, cond, &rank, shape, err);
    if (code == 0) code = spread(cond, KB_BOOL, rank, shape, &mask, err);
    if (code == 0) code = spread(a, dtype, rank, shape, &x, err);
    if (code == 0) code = spread(b, dtype, rank, shape, &y, err);
    if (code == 0) code = kb_array_create(dtype, rank, shape, &result, err);
    if (code == 0) {
        choose(kb_dtype_size(dtype), result->count, mask->data, x->data, y->data, result->data);
        *out = result;
    }
    kb_array_release(mask);
    kb_array_release(x);
    kb_array_release(y);
    return code;
}

static bool close_enough(double a, double b, const kb_tolerance *t)
{
    if (a == b) return true;
    if (a != a || b != b) return t->equal_nan && a != a && b != b;
    if (isinf(a) || isinf(b)) return false;
    return fabs(a - b) <= t->atol + t->rtol * fabs(b);
}

/* Visits chunks of pairs as doubles; stops when `visit` says so. */
typedef bool (*pair_fn)(const double *a, const double *b, size_t n, void *state);

static int for_pairs(const kb_array *a, const kb_array *b, pair_fn visit, void *state, kb_err *err)
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
            if (!visit(kb_source_next(&x, n), kb_source_next(&y, n), n, state)) return 0;
        }
    }
    return 0;
}

typedef struct search {
    const kb_tolerance *tolerance;
    size_t at; /* elements known to be close */
    bool differs;
} search;

static bool visit_close(const double *a, const double *b, size_t n, void *state)
{
    search *s = state;
    for (size_t i = 0; i < n; i++, s->at++) {
        if (close_enough(a[i], b[i], s->tolerance)) continue;
        s->differs = true;
        return false;
    }
    return true;
}

int kb_allclose(const kb_array *a, const kb_array *b, const kb_tolerance *tolerance, size_t *where,
                kb_err *err)
{
    search s = {.tolerance = tolerance};
    int code = for_pairs(a, b, visit_close, &s, err);
    if (code) return code;
    if (s.differs && where) *where = s.at;
    return !s.differs;
}

static bool visit_diff(const double *a, const double *b, size_t n, void *state)
{
    double *largest = state;
    for (size_t i = 0; i < n; i++) {
        double diff = a[i] == b[i] ? 0 : fabs(a[i] - b[i]); /* equal infinities: no difference */
        if (!(diff <= *largest)) *largest = diff;
        if (diff != diff) return false;
    }
    return true;
}

int kb_max_abs_diff(const kb_array *a, const kb_array *b, double *out, kb_err *err)
{
    *out = 0;
    return for_pairs(a, b, visit_diff, out, err);
}
