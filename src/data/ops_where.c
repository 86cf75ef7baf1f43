/* Selection by a mask. */
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
