/* Growable arrays: any struct with the members `T *data; size_t count, capacity;`.
 *
 *     struct { int *data; size_t count, capacity; } v = {0};
 *     kb_vec_push(&v, 42);
 *     kb_vec_free(&v);
 *
 * Elements move when the array grows: keep indices, not pointers. */
#ifndef KB_BASE_VEC_H
#define KB_BASE_VEC_H

#include <stdlib.h>

#include "base/err.h"

#define kb_vec(T)                                                                                  \
    struct {                                                                                       \
        T *data;                                                                                   \
        size_t count, capacity;                                                                    \
    }

#define kb_vec_reserve(v, n)                                                                       \
    do {                                                                                           \
        size_t kb_want_ = (n);                                                                     \
        if ((v)->capacity < kb_want_) {                                                            \
            (v)->data = kb_xrealloc((v)->data, kb_want_ * sizeof *(v)->data);                      \
            (v)->capacity = kb_want_;                                                              \
        }                                                                                          \
    } while (0)

#define kb_vec_push(v, item)                                                                       \
    do {                                                                                           \
        if ((v)->count == (v)->capacity) kb_vec_reserve(v, (v)->capacity ? 2 * (v)->capacity : 8); \
        (v)->data[(v)->count++] = (item);                                                          \
    } while (0)

#define kb_vec_free(v)                                                                             \
    do {                                                                                           \
        free((v)->data);                                                                           \
        (v)->data = NULL;                                                                          \
        (v)->count = (v)->capacity = 0;                                                            \
    } while (0)

#endif
