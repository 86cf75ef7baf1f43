/* A value that a kernel has made: type and shape are known from the issue of the operation on, the
 * elements once the op log has been executed that far.
 *
 * Reference counted; the count is atomic, because the last holder may be an entry of the op log, on
 * whatever thread it runs. `array` is set once, by the thread that computes the value; others look
 * only behind it in the log's order, or after they have waited for the log. */
#ifndef KB_DATA_VALUE_H
#define KB_DATA_VALUE_H

#include <stdatomic.h>

#include "base/depot.h"
#include "data/array.h"

typedef struct kb_value {
    atomic_uint refs;
    kb_dtype dtype;
    int rank;
    bool known;      /* made of constants alone, and computed at the issue, even without numbers */
    bool logged;     /* an entry of the op log computes it: `made` says where */
    kb_array *array; /* null until computed */
    kb_depot *home;  /* of its block; or null: the heap */
    size_t count;    /* elements */
    size_t shape[KB_MAX_RANK]; /* most of it, and what follows, is seldom in use, and not touched */
    struct kb_log_batch *made; /* of the op log's timing side: where it is computed, */
    uint64_t made_serial;      /* in which use of that batch */
} kb_value;

/* `home`: a depot of blocks of that size, whose owner this thread is; or null. */
kb_value *kb_value_create(kb_depot *home, kb_dtype dtype, int rank, const size_t *shape);
kb_value *kb_value_retain(kb_value *value); /* NULL is fine */
void kb_value_release(kb_value *value);     /* likewise */

static inline size_t kb_value_count(const kb_value *value)
{
    return value->count;
}

static inline size_t kb_value_bytes(const kb_value *value)
{
    return value->count * kb_dtype_size(value->dtype);
}

/* For a value that its maker keeps elsewhere. */
void kb_value_set_shape(kb_value *value, int rank, const size_t *shape);

/* A constant of rank 0, converted to the type from *number of type `from`. */
kb_value *kb_value_scalar(kb_depot *home, kb_dtype dtype, kb_dtype from, const void *number);

#endif
