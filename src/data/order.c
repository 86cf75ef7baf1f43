#include "data/order.h"

#include <stdlib.h>
#include <string.h>

/* An array seen as outer x n x inner around an axis. */
typedef struct lines {
    size_t outer, n, inner;
} lines;

static lines lines_of(const kb_array *a, int axis)
{
    lines v = {1, a->shape[axis], 1};
    for (int d = 0; d < axis; d++) v.outer *= a->shape[d];
    for (int d = axis + 1; d < a->rank; d++) v.inner *= a->shape[d];
    return v;
}

static void copy_element(kb_array *to, size_t at, const kb_array *from, size_t source)
{
    size_t size = kb_dtype_size(to->dtype);
    memcpy((char *)to->data + at * size, (const char *)from->data + source * size, size);
}

/* ---- sorting ---- */

typedef struct item {
    union {
        double f;
        int64_t i;
        uint64_t u;
    } key;
    size_t index;
} item;

static int by_index(const item *p, const item *q)
{
    return p->index < q->index ? -1 : p->index > q->index;
}

#define NEVER(x)  false
#define IS_NAN(x) ((x) != (x))

/* by_f, by_f_down, ...: for qsort; equal keys stay in the order of their indices. */
#define BY(field, is_nan)                                                                          \
    static int by_##field(const void *a, const void *b)                                            \
    {                                                                                              \
        const item *p = a, *q = b;                                                                 \
        if (is_nan(p->key.field) != is_nan(q->key.field)) return is_nan(p->key.field) ? 1 : -1;    \
        if (p->key.field < q->key.field) return -1;                                                \
        return p->key.field > q->key.field ? 1 : by_index(p, q);                                   \
    }                                                                                              \
    static int by_##field##_down(const void *a, const void *b)                                     \
    {                                                                                              \
        const item *p = a, *q = b;                                                                 \
        if (is_nan(p->key.field) != is_nan(q->key.field)) return is_nan(p->key.field) ? -1 : 1;    \
        if (p->key.field > q->key.field) return -1;                                                \
        return p->key.field < q->key.field ? 1 : by_index(p, q);                                   \
    }

BY(f, IS_NAN)
BY(i, NEVER)
BY(u, NEVER)

typedef int (*compare_fn)(const void *, const void *);

static compare_fn comparison(kb_dtype wide, bool descending)
{
    if (wide == KB_F64) return descending ? by_f_down : by_f;
    if (wide == KB_I64) return descending ? by_i_down : by_i;
    return descending ? by_u_down : by_u;
}

static kb_dtype wide_type(kb_dtype dtype)
{
    if (kb_dtype_is_float(dtype)) return KB_F64;
    return kb_dtype_class_of(dtype) == KB_CLASS_SIGNED ? KB_I64 : KB_U64;
}

typedef struct sorter {
    const kb_array *source; /* of the elements, or null: their indices are wanted */
    const kb_array *wide;   /* the source in a type that is compared */
    kb_array *out;
    compare_fn compare;
    item *items;
    size_t n, step; /* of a line */
} sorter;

static void sort_line(const sorter *s, size_t first)
{
    const uint64_t *keys = s->wide->data;
    for (size_t k = 0; k < s->n; k++) {
        s->items[k].key.u = keys[first + k * s->step];
        s->items[k].index = k;
    }
    qsort(s->items, s->n, sizeof *s->items, s->compare);
    for (size_t k = 0; k < s->n; k++) {
        size_t at = first + k * s->step;
        if (s->source)
            copy_element(s->out, at, s->source, first + s->items[k].index * s->step);
        else
            ((int64_t *)s->out->data)[at] = (int64_t)s->items[k].index;
    }
}

static void sort_lines(sorter *s, lines v)
{
    s->items = kb_xmalloc((v.n ? v.n : 1) * sizeof *s->items);
    s->n = v.n;
    s->step = v.inner;
    for (size_t o = 0; o < v.outer; o++)
        for (size_t i = 0; i < v.inner; i++) sort_line(s, o * v.n * v.inner + i);
    free(s->items);
}

int kb_sort(const kb_array *a, const kb_sort_order *order, kb_array **out, kb_err *err)
{
    kb_array *wide = NULL, *result = NULL;
    kb_dtype type = wide_type(a->dtype), given = order->indices ? KB_I64 : a->dtype;
    int status = kb_array_cast(a, type, &wide, err);
    if (!status) status = kb_array_create(given, a->rank, a->shape, &result, err);
    if (!status) {
        sorter s = {.source = order->indices ? NULL : a,
                    .wide = wide,
                    .out = result,
                    .compare = comparison(type, order->descending)};
        sort_lines(&s, lines_of(a, order->axis));
        *out = result;
    }
    kb_array_release(wide);
    return status;
}

/* ---- moving ---- */

int kb_flip(const kb_array *a, int axis, kb_array **out, kb_err *err)
{
    int status = kb_array_create(a->dtype, a->rank, a->shape, out, err);
    if (status) return status;
    lines v = lines_of(a, axis);
    size_t bytes = v.inner * kb_dtype_size(a->dtype);
    for (size_t o = 0; o < v.outer; o++)
        for (size_t k = 0; k < v.n; k++)
            memcpy((char *)(*out)->data + (o * v.n + v.n - 1 - k) * bytes,
                   (const char *)a->data + (o * v.n + k) * bytes, bytes);
    return KB_OK;
}

static int check_indices(const kb_array *wide, size_t extent, kb_err *err)
{
    const int64_t *index = wide->data;
    for (size_t i = 0; i < wide->count; i++)
        if (index[i] < 0 || (uint64_t)index[i] >= extent)
            return kb_fail(err, KB_EFAULT, "index %lld outside an extent of %zu",
                           (long long)index[i], extent);
    return KB_OK;
}

int kb_gather(const kb_array *a, const kb_array *index, int axis, kb_array **out, kb_err *err)
{
    kb_array *wide = NULL, *result = NULL;
    int status = kb_array_cast(index, KB_I64, &wide, err);
    if (!status) status = check_indices(wide, a->shape[axis], err);
    if (!status) status = kb_array_create(a->dtype, index->rank, index->shape, &result, err);
    if (!status) {
        lines from = lines_of(a, axis), to = lines_of(index, axis);
        const int64_t *at = wide->data;
        for (size_t o = 0; o < to.outer; o++)
            for (size_t k = 0; k < to.n; k++)
                for (size_t i = 0; i < to.inner; i++) {
                    size_t here = (o * to.n + k) * to.inner + i;
                    copy_element(result, here, a, (o * from.n + (size_t)at[here]) * from.inner + i);
                }
        *out = result;
    }
    kb_array_release(wide);
    return status;
}

int kb_histogram(const kb_array *a, const kb_array *mask, size_t bins, kb_array **out, kb_err *err)
{
    kb_array *wide = NULL;
    int status = kb_array_cast(a, KB_I64, &wide, err);
    if (!status) status = kb_array_zeros(KB_I32, 1, &bins, out, err);
    for (size_t i = 0; !status && i < a->count; i++) {
        uint64_t bin = ((const uint64_t *)wide->data)[i]; /* negative ones are beyond all bins */
        if (bin < bins && (!mask || ((const uint8_t *)mask->data)[i]))
            ((int32_t *)(*out)->data)[bin]++;
    }
    kb_array_release(wide);
    return status;
}
