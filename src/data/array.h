/* Host arrays: a type, a shape, and elements in C order without gaps.
 *
 * Every array is contiguous, its storage aligned to 64 bytes, or to 16 if it is smaller than that;
 * slices and transposes are copies. Elements are behind the struct, or, of a large array, in
 * contents of their own. An array over contents that others hold, too, is only read. Rank 0 is a
 * scalar: one element. Extents may be 0.
 *
 * Ownership: reference counted. A function that returns an array through `kb_array **out` hands the
 * caller one reference; `out` is untouched on failure. Arguments are borrowed. The count is atomic;
 * the contents are not protected: whoever shares an array between threads orders its accesses.
 *
 * The fields are for reading. Only kb_array_reshape_in_place changes them after creation. */
#ifndef KB_DATA_ARRAY_H
#define KB_DATA_ARRAY_H

#include <stdatomic.h>

#include "base/err.h"
#include "data/contents.h"
#include "data/dtype.h"

enum { KB_MAX_RANK = 8 };

typedef struct kb_array {
    atomic_int refs;
    kb_dtype dtype;
    int rank;
    size_t shape[KB_MAX_RANK];
    size_t count;  /* elements */
    size_t nbytes; /* count * element size */
    void *data;
    kb_contents *contents; /* in which the data lie; null: behind this struct */
} kb_array;

/* A rectangle of elements: per dimension start, how many, and how far apart (>= 1). */
typedef struct kb_region {
    size_t start[KB_MAX_RANK], extent[KB_MAX_RANK], step[KB_MAX_RANK];
} kb_region;

/* Elements undefined / all zero. KB_EINVAL: rank too large or the size overflows; KB_ELIMIT: more
 * bytes than the machine has memory. */
int kb_array_create(kb_dtype dtype, int rank, const size_t *shape, kb_array **out, kb_err *err);
int kb_array_zeros(kb_dtype dtype, int rank, const size_t *shape, kb_array **out, kb_err *err);

/* The elements at `data` in the contents, aligned, of which it takes a reference of its own. */
int kb_array_over(kb_contents *contents, void *data, kb_dtype dtype, int rank, const size_t *shape,
                  kb_array **out, kb_err *err);

/* What kb_array_create checks, without creating: the element count of a shape. */
int kb_array_check_size(kb_dtype dtype, int rank, const size_t *shape, size_t *count, kb_err *err);

kb_array *kb_array_retain(kb_array *array);
void kb_array_release(kb_array *array); /* NULL is fine */

/* Set every element to the single element `value` of type `from`, converted. */
void kb_array_fill(kb_array *array, kb_dtype from, const void *value);

int kb_array_copy(const kb_array *array, kb_array **out, kb_err *err);

/* A copy with elements converted (rules in dtype.h). */
int kb_array_cast(const kb_array *array, kb_dtype dtype, kb_array **out, kb_err *err);

/* A copy of the same elements under another shape of the same count. */
int kb_array_reshape(const kb_array *array, int rank, const size_t *shape, kb_array **out,
                     kb_err *err);

/* Change the shape itself; for an array that nobody else holds. */
int kb_array_reshape_in_place(kb_array *array, int rank, const size_t *shape, kb_err *err);

/* Copy a rectangle out (same rank), or put `source` into one: source is broadcast to the
 * rectangle's shape and converted to the array's type. KB_EFAULT if the rectangle leaves the array.
 */
int kb_array_get(const kb_array *array, const kb_region *region, kb_array **out, kb_err *err);
int kb_array_set(kb_array *array, const kb_region *region, const kb_array *source, kb_err *err);

/* Dimension i of the result is dimension axes[i] of the array. */
int kb_array_permute(const kb_array *array, const int *axes, kb_array **out, kb_err *err);

int kb_array_broadcast_to(const kb_array *array, int rank, const size_t *shape, kb_array **out,
                          kb_err *err);

/* One after another along `axis`: equal ranks, equal other extents, types promoted. */
int kb_array_concatenate(size_t n, kb_array *const *arrays, int axis, kb_array **out, kb_err *err);

/* NumPy's rule: align shapes at the right; extents must be equal or 1. */
int kb_broadcast_shape(const kb_array *a, const kb_array *b, int *rank, size_t *shape, kb_err *err);

/* "(3, 4)", "(3,)", "()": for messages. Returns `text`. */
enum { KB_SHAPE_TEXT = 192 };
char *kb_shape_text(int rank, const size_t *shape, char text[KB_SHAPE_TEXT]);

/* Strides in elements of a gap-free C-order block of that shape. */
void kb_strides(int rank, const size_t *shape, size_t *strides);

/* Copy shape[0] x … x shape[rank-1] elements of `size` bytes between strided blocks (strides in
 * elements, 0 repeats an element of the source). The blocks do not overlap. */
void kb_copy_strided(size_t size, int rank, const size_t *shape, void *dst,
                     const size_t *dst_strides, const void *src, const size_t *src_strides);

#endif
