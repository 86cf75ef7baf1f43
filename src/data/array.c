#include "data/array.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Of the elements, and of what malloc gives. */
enum { ALIGN = 64, MALLOC_ALIGN = 16 };

/* Bytes from which on elements have contents of their own. malloc uses smaller blocks again. */
enum { LARGE = 4 << 20 };

char *kb_shape_text(int rank, const size_t *shape, char text[KB_SHAPE_TEXT])
{
    size_t used = 1;
    text[0] = '(';
    for (int i = 0; i < rank; i++)
        used +=
            (size_t)snprintf(text + used, KB_SHAPE_TEXT - used, "%s%zu", i ? ", " : "", shape[i]);
    snprintf(text + used, KB_SHAPE_TEXT - used, rank == 1 ? ",)" : ")");
    return text;
}

/* Nobody asks the system for less than this. */
#define ALWAYS_FITS ((size_t)64 << 20)

static size_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : SIZE_MAX / 2;
}

int kb_array_check_size(kb_dtype dtype, int rank, const size_t *shape, size_t *count, kb_err *err)
{
    if (rank < 0 || rank > KB_MAX_RANK)
        return kb_fail(err, KB_EINVAL, "an array has at most %d dimensions, not %d", KB_MAX_RANK,
                       rank);
    char text[KB_SHAPE_TEXT];
    size_t total = 1, bytes;
    bool overflow = false, empty = false;
    for (int i = 0; i < rank; i++) {
        empty = empty || shape[i] == 0;
        overflow = __builtin_mul_overflow(total, shape[i], &total) || overflow;
    }
    if (empty) total = 0;
    overflow = overflow && !empty;
    if (overflow || __builtin_mul_overflow(total, kb_dtype_size(dtype), &bytes))
        return kb_fail(err, KB_EINVAL, "shape %s of %s: the size overflows",
                       kb_shape_text(rank, shape, text), kb_dtype_name(dtype));
    if (bytes > ALWAYS_FITS && bytes > machine_memory())
        return kb_fail(err, KB_ELIMIT, "shape %s of %s needs %zu bytes, more than this machine has",
                       kb_shape_text(rank, shape, text), kb_dtype_name(dtype), bytes);
    *count = total;
    return 0;
}

/* Aligned here: malloc reuses small blocks much faster than aligned_alloc does, smaller ones yet
 * faster. */
static kb_array *allocate_small(size_t nbytes)
{
    uintptr_t align = nbytes < ALIGN ? MALLOC_ALIGN : ALIGN;
    size_t slack = align - MALLOC_ALIGN + (0 - sizeof(kb_array)) % MALLOC_ALIGN;
    kb_array *array = malloc(sizeof *array + slack + nbytes);
    if (!array) return NULL;
    array->data = (char *)(array + 1) + ((0 - (uintptr_t)(array + 1)) & (align - 1));
    array->contents = NULL;
    return array;
}

/* Takes over the contents. */
static kb_array *allocate_over(kb_contents *contents, void *data)
{
    kb_array *array = malloc(sizeof *array);
    if (!array) {
        kb_contents_release(contents);
        return NULL;
    }
    array->data = data;
    array->contents = contents;
    return array;
}

static kb_array *allocate(size_t nbytes, bool zero)
{
    if (nbytes >= LARGE) {
        kb_contents *contents = zero ? kb_contents_zeros(nbytes) : kb_contents_create(nbytes);
        return contents ? allocate_over(contents, contents->data) : NULL;
    }
    kb_array *array = allocate_small(nbytes);
    if (array && zero) memset(array->data, 0, nbytes);
    return array;
}

static void describe(kb_array *array, kb_dtype dtype, int rank, const size_t *shape, size_t count)
{
    array->dtype = dtype;
    array->rank = rank;
    array->count = count;
    array->nbytes = count * kb_dtype_size(dtype);
    atomic_init(&array->refs, 1);
    for (int i = 0; i < rank; i++) array->shape[i] = shape[i];
}

static int create(kb_dtype dtype, int rank, const size_t *shape, bool zero, kb_array **out,
                  kb_err *err)
{
    size_t count;
    int code = kb_array_check_size(dtype, rank, shape, &count, err);
    if (code) return code;
    size_t nbytes = count * kb_dtype_size(dtype);
    kb_array *array = allocate(nbytes, zero);
    if (!array) return kb_fail(err, KB_ELIMIT, "out of memory: an array of %zu bytes", nbytes);
    describe(array, dtype, rank, shape, count);
    *out = array;
    return 0;
}

int kb_array_create(kb_dtype dtype, int rank, const size_t *shape, kb_array **out, kb_err *err)
{
    return create(dtype, rank, shape, false, out, err);
}

int kb_array_zeros(kb_dtype dtype, int rank, const size_t *shape, kb_array **out, kb_err *err)
{
    return create(dtype, rank, shape, true, out, err);
}

int kb_array_over(kb_contents *contents, void *data, kb_dtype dtype, int rank, const size_t *shape,
                  kb_array **out, kb_err *err)
{
    size_t count;
    int code = kb_array_check_size(dtype, rank, shape, &count, err);
    if (code) return code;
    kb_array *array = allocate_over(kb_contents_retain(contents), data);
    if (!array) return kb_fail(err, KB_ELIMIT, "out of memory");
    describe(array, dtype, rank, shape, count);
    *out = array;
    return 0;
}

kb_array *kb_array_retain(kb_array *array)
{
    atomic_fetch_add_explicit(&array->refs, 1, memory_order_relaxed);
    return array;
}

void kb_array_release(kb_array *array)
{
    /* acq_rel: the thread that frees has seen what every other holder wrote before letting go. The
     * only holder need not count down. */
    if (!array) return;
    if (atomic_load_explicit(&array->refs, memory_order_acquire) > 1 &&
        atomic_fetch_sub_explicit(&array->refs, 1, memory_order_acq_rel) > 1)
        return;
    kb_contents_release(array->contents);
    free(array);
}

void kb_array_fill(kb_array *array, kb_dtype from, const void *value)
{
    if (array->count == 0) return;
    size_t size = kb_dtype_size(array->dtype), done = size;
    kb_convert(array->dtype, array->data, from, value, 1);
    while (done < array->nbytes) { /* double what is there */
        size_t part = done < array->nbytes - done ? done : array->nbytes - done;
        memcpy((char *)array->data + done, array->data, part);
        done += part;
    }
}

int kb_array_cast(const kb_array *array, kb_dtype dtype, kb_array **out, kb_err *err)
{
    kb_array *result = NULL;
    int code = kb_array_create(dtype, array->rank, array->shape, &result, err);
    if (code) return code;
    kb_convert(dtype, result->data, array->dtype, array->data, array->count);
    *out = result;
    return 0;
}

int kb_array_copy(const kb_array *array, kb_array **out, kb_err *err)
{
    return kb_array_cast(array, array->dtype, out, err);
}

int kb_array_reshape_in_place(kb_array *array, int rank, const size_t *shape, kb_err *err)
{
    size_t count;
    int code = kb_array_check_size(array->dtype, rank, shape, &count, err);
    if (code) return code;
    if (count != array->count) {
        char have[KB_SHAPE_TEXT], want[KB_SHAPE_TEXT];
        return kb_fail(err, KB_EINVAL, "cannot reshape %s (%zu elements) to %s (%zu elements)",
                       kb_shape_text(array->rank, array->shape, have), array->count,
                       kb_shape_text(rank, shape, want), count);
    }
    array->rank = rank;
    for (int i = 0; i < rank; i++) array->shape[i] = shape[i];
    return 0;
}

int kb_array_reshape(const kb_array *array, int rank, const size_t *shape, kb_array **out,
                     kb_err *err)
{
    kb_array *result = NULL;
    int code = kb_array_copy(array, &result, err);
    if (code) return code;
    code = kb_array_reshape_in_place(result, rank, shape, err);
    if (code)
        kb_array_release(result);
    else
        *out = result;
    return code;
}

void kb_strides(int rank, const size_t *shape, size_t *strides)
{
    size_t stride = 1;
    for (int i = rank; i-- > 0;) {
        strides[i] = stride;
        stride *= shape[i];
    }
}

#define COPY_LINE(type)                                                                            \
    do {                                                                                           \
        type *d = dst;                                                                             \
        const type *s = src;                                                                       \
        for (size_t i = 0; i < n; i++) d[i * dst_step] = s[i * src_step];                          \
    } while (0)

static void copy_line(size_t size, size_t n, void *dst, size_t dst_step, const void *src,
                      size_t src_step)
{
    if (dst_step == 1 && src_step == 1) {
        memcpy(dst, src, n * size);
        return;
    }
    switch (size) {
    case 1:
        COPY_LINE(uint8_t);
        break;
    case 2:
        COPY_LINE(kb_word16);
        break;
    case 4:
        COPY_LINE(kb_word32);
        break;
    default:
        assert(size == 8);
        COPY_LINE(kb_word64);
    }
}

#define COPY_TILE(type)                                                                            \
    do {                                                                                           \
        type *d = (type *)dst + i0 * rows_apart + j0;                                              \
        const type *s = (const type *)src + j0 * columns_apart + i0;                               \
        for (size_t i = 0; i < rows; i++)                                                          \
            for (size_t j = 0; j < columns; j++) d[i * rows_apart + j] = s[j * columns_apart + i]; \
    } while (0)

/* Rows from columns, a tile at a time, so that what is read of a cache line is used while it is
 * there. */
static void transpose(size_t size, const size_t *shape, void *dst, size_t rows_apart,
                      const void *src, size_t columns_apart)
{
    enum { TILE = 32 };
    for (size_t i0 = 0; i0 < shape[0]; i0 += TILE)
        for (size_t j0 = 0; j0 < shape[1]; j0 += TILE) {
            size_t rows = shape[0] - i0 < TILE ? shape[0] - i0 : TILE;
            size_t columns = shape[1] - j0 < TILE ? shape[1] - j0 : TILE;
            if (size == 1)
                COPY_TILE(uint8_t);
            else if (size == 2)
                COPY_TILE(kb_word16);
            else if (size == 4)
                COPY_TILE(kb_word32);
            else
                COPY_TILE(kb_word64);
        }
}

static void copy_nested(size_t size, int rank, const size_t *shape, char *dst,
                        const size_t *dst_strides, const char *src, const size_t *src_strides)
{
    if (rank == 1) {
        if (shape[0]) copy_line(size, shape[0], dst, dst_strides[0], src, src_strides[0]);
        return;
    }
    if (rank == 2 && dst_strides[1] == 1 && src_strides[0] == 1) {
        transpose(size, shape, dst, dst_strides[0], src, src_strides[1]);
        return;
    }
    for (size_t i = 0; i < shape[0]; i++)
        copy_nested(size, rank - 1, shape + 1, dst + i * dst_strides[0] * size, dst_strides + 1,
                    src + i * src_strides[0] * size, src_strides + 1);
}

typedef struct nest {
    size_t extent[KB_MAX_RANK], to[KB_MAX_RANK], from[KB_MAX_RANK];
} nest;

static void swap_loops(nest *n, int a, int b)
{
    size_t extent = n->extent[a], to = n->to[a], from = n->from[a];
    n->extent[a] = n->extent[b], n->to[a] = n->to[b], n->from[a] = n->from[b];
    n->extent[b] = extent, n->to[b] = to, n->from[b] = from;
}

void kb_copy_strided(size_t size, int rank, const size_t *shape, void *dst,
                     const size_t *dst_strides, const void *src, const size_t *src_strides)
{
    if (rank == 0) {
        memcpy(dst, src, size);
        return;
    }
    nest n;
    memcpy(n.extent, shape, (size_t)rank * sizeof *shape);
    memcpy(n.to, dst_strides, (size_t)rank * sizeof *n.to);
    memcpy(n.from, src_strides, (size_t)rank * sizeof *n.from);
    /* The loop along which the source's elements are adjacent becomes the last but one, unless it
     * is the last: the order of the others does not matter. */
    for (int i = 0; n.from[rank - 1] != 1 && i < rank - 2; i++)
        if (n.from[i] == 1 && n.extent[i] > 1) swap_loops(&n, i, rank - 2);
    copy_nested(size, rank, n.extent, dst, n.to, src, n.from);
}
