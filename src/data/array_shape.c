/* What rearranges elements: regions, permutation, broadcasting, concatenation. All are one strided
 * copy with different strides. */
#include "data/array.h"

/* Where a region begins (in elements) and the strides between its elements. */
static int locate(const kb_array *array, const kb_region *region, size_t *offset, size_t *strides,
                  kb_err *err)
{
    kb_strides(array->rank, array->shape, strides);
    *offset = 0;
    for (int i = 0; i < array->rank; i++) {
        size_t start = region->start[i], n = region->extent[i], step = region->step[i];
        size_t extent = array->shape[i];
        bool inside = step > 0 && start <= extent &&
                      (n == 0 || (start < extent && n - 1 <= (extent - 1 - start) / step));
        if (!inside)
            return kb_fail(err, KB_EFAULT,
                           "dimension %d: %zu elements from %zu, step %zu, leave the extent of %zu",
                           i, n, start, step, extent);
        *offset += start * strides[i];
        strides[i] *= step;
    }
    return 0;
}

static char *at(const kb_array *array, size_t offset)
{
    return (char *)array->data + offset * kb_dtype_size(array->dtype);
}

/* An array without elements may have an extent whose copy loop would still be entered. */
static void copy(const kb_array *like, int rank, const size_t *shape, void *dst,
                 const size_t *dst_strides, const void *src, const size_t *src_strides)
{
    for (int i = 0; i < rank; i++)
        if (shape[i] == 0) return;
    kb_copy_strided(kb_dtype_size(like->dtype), rank, shape, dst, dst_strides, src, src_strides);
}

int kb_array_get(const kb_array *array, const kb_region *region, kb_array **out, kb_err *err)
{
    size_t offset, strides[KB_MAX_RANK], own[KB_MAX_RANK];
    int code = locate(array, region, &offset, strides, err);
    kb_array *result = NULL;
    if (code == 0) code = kb_array_create(array->dtype, array->rank, region->extent, &result, err);
    if (code) return code;
    kb_strides(result->rank, result->shape, own);
    copy(array, array->rank, region->extent, result->data, own, at(array, offset), strides);
    *out = result;
    return 0;
}

/* Strides that make `array` look as if it had that larger shape: 0 along what is repeated. */
static int broadcast_strides(const kb_array *array, int rank, const size_t *shape, size_t *strides,
                             kb_err *err)
{
    size_t own[KB_MAX_RANK];
    kb_strides(array->rank, array->shape, own);
    bool fits = array->rank <= rank;
    for (int i = 0; i < rank && fits; i++) {
        int j = i - (rank - array->rank);
        fits = j < 0 || array->shape[j] == shape[i] || array->shape[j] == 1;
        if (fits) strides[i] = j < 0 || array->shape[j] == 1 ? 0 : own[j];
    }
    if (fits) return 0;
    char have[KB_SHAPE_TEXT], want[KB_SHAPE_TEXT];
    return kb_fail(err, KB_EINVAL, "shape %s does not broadcast to %s",
                   kb_shape_text(array->rank, array->shape, have),
                   kb_shape_text(rank, shape, want));
}

int kb_array_set(kb_array *array, const kb_region *region, const kb_array *source, kb_err *err)
{
    size_t offset, strides[KB_MAX_RANK], repeat[KB_MAX_RANK];
    int code = locate(array, region, &offset, strides, err);
    if (code == 0) code = broadcast_strides(source, array->rank, region->extent, repeat, err);
    if (code) return code;
    kb_array *converted = NULL;
    /* A copy also when an array is assigned to a part of itself: the blocks may not overlap. */
    if (source->dtype != array->dtype || source == array) {
        code = kb_array_cast(source, array->dtype, &converted, err);
        if (code) return code;
        source = converted;
    }
    copy(array, array->rank, region->extent, at(array, offset), strides, source->data, repeat);
    kb_array_release(converted);
    return 0;
}

int kb_array_permute(const kb_array *array, const int *axes, kb_array **out, kb_err *err)
{
    size_t own[KB_MAX_RANK], shape[KB_MAX_RANK], strides[KB_MAX_RANK], result_strides[KB_MAX_RANK];
    unsigned seen = 0;
    kb_strides(array->rank, array->shape, own);
    for (int i = 0; i < array->rank; i++) {
        int axis = axes[i];
        if (axis < 0 || axis >= array->rank || (seen & 1u << axis))
            return kb_fail(err, KB_EINVAL, "axes must name each of the %d dimensions once",
                           array->rank);
        seen |= 1u << axis;
        shape[i] = array->shape[axis];
        strides[i] = own[axis];
    }
    kb_array *result = NULL;
    int code = kb_array_create(array->dtype, array->rank, shape, &result, err);
    if (code) return code;
    kb_strides(result->rank, shape, result_strides);
    copy(array, array->rank, shape, result->data, result_strides, array->data, strides);
    *out = result;
    return 0;
}

int kb_array_broadcast_to(const kb_array *array, int rank, const size_t *shape, kb_array **out,
                          kb_err *err)
{
    size_t strides[KB_MAX_RANK], own[KB_MAX_RANK];
    kb_array *result = NULL;
    int code = kb_array_create(array->dtype, rank, shape, &result, err);
    if (code) return code;
    code = broadcast_strides(array, rank, shape, strides, err);
    if (code) {
        kb_array_release(result);
        return code;
    }
    kb_strides(rank, shape, own);
    copy(array, rank, shape, result->data, own, array->data, strides);
    *out = result;
    return 0;
}

int kb_broadcast_shape(const kb_array *a, const kb_array *b, int *rank, size_t *shape, kb_err *err)
{
    *rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < *rank; i++) {
        int ia = i - (*rank - a->rank), ib = i - (*rank - b->rank);
        size_t na = ia < 0 ? 1 : a->shape[ia], nb = ib < 0 ? 1 : b->shape[ib];
        if (na != nb && na != 1 && nb != 1) {
            char ta[KB_SHAPE_TEXT], tb[KB_SHAPE_TEXT];
            return kb_fail(err, KB_EINVAL, "shapes %s and %s do not broadcast: extents %zu and %zu",
                           kb_shape_text(a->rank, a->shape, ta),
                           kb_shape_text(b->rank, b->shape, tb), na, nb);
        }
        shape[i] = na == 1 ? nb : na;
    }
    return 0;
}

static int check_concatenate(size_t n, kb_array *const *arrays, int axis, kb_dtype *dtype,
                             size_t *shape, kb_err *err)
{
    if (n == 0) return kb_fail(err, KB_EINVAL, "concatenate: no arrays");
    const kb_array *first = arrays[0];
    if (axis < 0 || axis >= first->rank)
        return kb_fail(err, KB_EINVAL, "concatenate: axis %d of arrays of rank %d", axis,
                       first->rank);
    memcpy(shape, first->shape, sizeof first->shape);
    *dtype = first->dtype;
    for (size_t i = 1; i < n; i++) {
        const kb_array *next = arrays[i];
        bool same = next->rank == first->rank;
        for (int d = 0; d < first->rank && same; d++)
            same = d == axis || next->shape[d] == first->shape[d];
        char ta[KB_SHAPE_TEXT], tb[KB_SHAPE_TEXT];
        if (!same)
            return kb_fail(err, KB_EINVAL, "concatenate along %d: shapes %s and %s do not fit",
                           axis, kb_shape_text(first->rank, first->shape, ta),
                           kb_shape_text(next->rank, next->shape, tb));
        *dtype = kb_dtype_promote(*dtype, next->dtype);
        shape[axis] += next->shape[axis];
    }
    return 0;
}

int kb_array_concatenate(size_t n, kb_array *const *arrays, int axis, kb_array **out, kb_err *err)
{
    size_t shape[KB_MAX_RANK];
    kb_dtype dtype = KB_F32;
    kb_array *result = NULL;
    int code = check_concatenate(n, arrays, axis, &dtype, shape, err);
    if (code == 0) code = kb_array_create(dtype, arrays[0]->rank, shape, &result, err);
    if (code) return code;
    kb_region region = {.start = {0}};
    for (int i = 0; i < result->rank; i++) region.step[i] = 1;
    for (size_t i = 0; i < n && code == 0; i++) {
        memcpy(region.extent, arrays[i]->shape, sizeof region.extent);
        code = kb_array_set(result, &region, arrays[i], err);
        region.start[axis] += arrays[i]->shape[axis];
    }
    if (code)
        kb_array_release(result);
    else
        *out = result;
    return code;
}
