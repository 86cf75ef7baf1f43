/* Putting elements along one axis (0 … rank - 1) into another order; counting them. */
#ifndef KB_DATA_ORDER_H
#define KB_DATA_ORDER_H

#include "data/array.h"

typedef struct kb_sort_order {
    int axis;
    bool descending;
    bool indices; /* give where the elements were (i64), instead of them */
} kb_sort_order;

/* Stable either way: equal elements keep their order. A NaN counts as greater than all others. */
int kb_sort(const kb_array *a, const kb_sort_order *order, kb_array **out, kb_err *err);

int kb_flip(const kb_array *a, int axis, kb_array **out, kb_err *err);

/* out[i][j] = a[index[i][j]][j] for axis 0, and so on. The shapes are equal but for the axis; the
 * indices, of any integer type, are from 0 up: KB_EFAULT names one that is not. */
int kb_gather(const kb_array *a, const kb_array *index, int axis, kb_array **out, kb_err *err);

/* How many elements, of an integer type, are 0, 1, …, bins - 1 (i32); others are not counted, nor
 * are those where the mask, of the same shape or null, is 0. */
int kb_histogram(const kb_array *a, const kb_array *mask, size_t bins, kb_array **out, kb_err *err);

#endif
