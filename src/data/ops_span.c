#include "data/ops_span.h"

kb_dtype kb_compute_type(kb_dtype dtype)
{
    switch (kb_dtype_class_of(dtype)) {
    case KB_CLASS_FLOAT:
        return dtype == KB_F64 ? KB_F64 : KB_F32;
    case KB_CLASS_SIGNED:
        return KB_I64;
    default:
        return KB_U64;
    }
}

void kb_source_open(kb_source *source, const kb_array *array, kb_dtype to)
{
    source->from = array->dtype;
    source->to = to;
    kb_source_seek(source, array, 0, false);
}

void kb_source_seek(kb_source *source, const kb_array *array, size_t offset, bool repeat)
{
    source->data = (const char *)array->data + offset * kb_dtype_size(array->dtype);
    source->repeat = repeat;
    source->filled = 0;
}

/* Double what is there. */
static void fill(kb_source *source, size_t n)
{
    size_t size = kb_dtype_size(source->to), done = source->filled;
    char *buffer = (char *)&source->buffer;
    if (done == 0) {
        kb_convert(source->to, buffer, source->from, source->data, 1);
        done = 1;
    }
    while (done < n) {
        size_t part = done < n - done ? done : n - done;
        memcpy(buffer + done * size, buffer, part * size);
        done += part;
    }
    source->filled = n;
}

const void *kb_source_next(kb_source *source, size_t n)
{
    if (source->repeat) {
        if (source->filled < n) fill(source, n);
        return &source->buffer;
    }
    const char *here = source->data;
    source->data += n * kb_dtype_size(source->from);
    if (source->from == source->to) return here;
    kb_convert(source->to, &source->buffer, source->from, here, n);
    return &source->buffer;
}

/* Extent and stride of array dimension i when shapes are aligned at the right; 0: it repeats. */
static size_t stride_at(const kb_array *array, const size_t *strides, int rank, int i)
{
    int own = i - (rank - array->rank);
    return own < 0 || array->shape[own] == 1 ? 0 : strides[own];
}

/* Dimension (n, sa, sb) continues the one inside it if stepping past that one's end lands where
 * this one's next index is; then both are one longer dimension. */
static bool merges(size_t inner_n, const size_t *inner, const size_t *outer)
{
    return outer[0] == inner[0] * inner_n && outer[1] == inner[1] * inner_n;
}

/* Merge dimensions from the inside out; the innermost ends up first. Returns how many remain. */
static int collapse(int rank, const size_t *shape, size_t (*strides)[2], size_t *out_shape,
                    size_t (*out)[2])
{
    int used = 0;
    for (int i = rank; i-- > 0;) {
        if (shape[i] == 1) continue;
        if (used && merges(out_shape[used - 1], out[used - 1], strides[i])) {
            out_shape[used - 1] *= shape[i];
            continue;
        }
        out_shape[used] = shape[i];
        memcpy(out[used++], strides[i], sizeof strides[i]);
    }
    return used;
}

static void set_up(kb_walk *walk, int rank, const size_t *shape, size_t (*strides)[2])
{
    size_t flat_shape[KB_MAX_RANK], flat[KB_MAX_RANK][2];
    int used = collapse(rank, shape, strides, flat_shape, flat);
    *walk = (kb_walk){.rows = 1, .length = 1};
    if (used) {
        walk->length = flat_shape[0];
        for (int k = 0; k < 2; k++) walk->repeat[k] = flat[0][k] == 0;
    }
    for (int i = 1; i < used; i++) { /* back to outermost first */
        int to = used - 1 - i;
        walk->shape[to] = flat_shape[i];
        walk->rows *= flat_shape[i];
        for (int k = 0; k < 2; k++) walk->strides[k][to] = flat[i][k];
    }
    walk->rank = used ? used - 1 : 0;
    if (walk->length == 0) walk->rows = 0;
}

/* What most operations have: equal shapes, or a scalar beside anything. That is one row. */
static bool is_one_row(const kb_array *a, const kb_array *b)
{
    if (a->rank == 0 || b->rank == 0) return true;
    return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
}

static void set_up_row(kb_walk *walk, const kb_array *a, const kb_array *b, int *rank,
                       size_t *shape)
{
    const kb_array *full = a->rank ? a : b;
    *rank = full->rank;
    memcpy(shape, full->shape, (size_t)full->rank * sizeof *shape);
    walk->rank = 0;
    walk->length = full->count;
    walk->rows = full->count > 0;
    walk->repeat[0] = a->rank == 0;
    walk->repeat[1] = b->rank == 0;
    walk->offset[0] = walk->offset[1] = 0;
}

int kb_walk_open(kb_walk *walk, const kb_array *a, const kb_array *b, int *rank, size_t *shape,
                 kb_err *err)
{
    if (is_one_row(a, b)) {
        set_up_row(walk, a, b, rank, shape);
        return KB_OK;
    }
    int code = kb_broadcast_shape(a, b, rank, shape, err);
    if (code) return code;
    size_t own_a[KB_MAX_RANK], own_b[KB_MAX_RANK], strides[KB_MAX_RANK][2];
    kb_strides(a->rank, a->shape, own_a);
    kb_strides(b->rank, b->shape, own_b);
    for (int i = 0; i < *rank; i++) {
        strides[i][0] = stride_at(a, own_a, *rank, i);
        strides[i][1] = stride_at(b, own_b, *rank, i);
    }
    set_up(walk, *rank, shape, strides);
    return 0;
}

void kb_walk_next(kb_walk *walk)
{
    for (int i = walk->rank; i-- > 0;) {
        walk->index[i]++;
        for (int k = 0; k < 2; k++) walk->offset[k] += walk->strides[k][i];
        if (walk->index[i] < walk->shape[i]) return;
        for (int k = 0; k < 2; k++) walk->offset[k] -= walk->strides[k][i] * walk->shape[i];
        walk->index[i] = 0;
    }
}
