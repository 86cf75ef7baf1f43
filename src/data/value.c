#include "data/value.h"

#include <stdlib.h>

static kb_value *blank(kb_depot *home, kb_dtype dtype)
{
    kb_value *value = home ? kb_depot_take(home) : kb_xmalloc(sizeof *value);
    value->dtype = dtype;
    value->rank = 0;
    value->count = 1;
    value->array = NULL;
    value->known = false;
    value->logged = false;
    value->home = home;
    atomic_init(&value->refs, 1);
    return value;
}

void kb_value_set_shape(kb_value *value, int rank, const size_t *shape)
{
    value->rank = rank;
    value->count = 1;
    for (int d = 0; d < rank; d++) {
        value->shape[d] = shape[d];
        value->count *= shape[d];
    }
}

kb_value *kb_value_create(kb_depot *home, kb_dtype dtype, int rank, const size_t *shape)
{
    kb_value *value = blank(home, dtype);
    kb_value_set_shape(value, rank, shape);
    return value;
}

kb_value *kb_value_scalar(kb_depot *home, kb_dtype dtype, kb_dtype from, const void *number)
{
    kb_value *value = blank(home, dtype);
    if (kb_array_create(dtype, 0, NULL, &value->array, NULL) == 0)
        kb_array_fill(value->array, from, number);
    value->known = value->array != NULL;
    return value;
}

kb_value *kb_value_retain(kb_value *value)
{
    if (value) atomic_fetch_add_explicit(&value->refs, 1, memory_order_relaxed);
    return value;
}

void kb_value_release(kb_value *value)
{
    /* acq_rel: who frees has seen what every other holder did before letting go. The only holder
     * need not count down. */
    if (!value) return;
    if (atomic_load_explicit(&value->refs, memory_order_acquire) > 1 &&
        atomic_fetch_sub_explicit(&value->refs, 1, memory_order_acq_rel) > 1)
        return;
    kb_array_release(value->array);
    if (value->home)
        kb_depot_give(value->home, value);
    else
        free(value);
}
