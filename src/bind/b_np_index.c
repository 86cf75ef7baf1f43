/* a[key] and a[key] = value. What a key is: b_select.h. */
#include "bind/b_np_impl.h"
#include "bind/b_select.h"
#include "data/array.h"

static size_t flat_index(const kb_array *array, const kb_selection *s)
{
    size_t index = 0;
    for (int i = 0; i < array->rank; i++) index = index * array->shape[i] + s->region.start[i];
    return index;
}

int kb_np_get(lua_State *L)
{
    kb_array *array = kb_check_array(L, 1);
    kb_selection s;
    size_t shape[KB_MAX_RANK];
    kb_check_selection(L, 2, NULL, array->rank, array->shape, &s);
    int rank = kb_selection_shape(&s, array->rank, shape);
    if (rank == 0) {
        kb_np_push_element(L, array, flat_index(array, &s));
        return 1;
    }
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    int code = kb_array_get(array, &s.region, slot, &err);
    if (code == 0) code = kb_array_reshape_in_place(*slot, rank, shape, &err);
    return kb_np_finish(L, code, slot, &err);
}

/* A value of the selection's shape, dropped dimensions aside, needs those back as extents of 1. */
static void assign(lua_State *L, kb_array *array, const kb_selection *s, const kb_array *value)
{
    size_t shape[KB_MAX_RANK];
    kb_err err;
    kb_array **spread = kb_push_array_slot(L);
    int rank = kb_selection_shape(s, array->rank, shape);
    int code = kb_array_broadcast_to(value, rank, shape, spread, &err);
    if (code == 0) code = kb_array_reshape_in_place(*spread, array->rank, s->region.extent, &err);
    if (code == 0) code = kb_array_set(array, &s->region, *spread, &err);
    kb_np_try(L, code, &err);
}

int kb_np_set(lua_State *L)
{
    kb_array *array = kb_check_array(L, 1);
    kb_selection s;
    kb_check_selection(L, 2, NULL, array->rank, array->shape, &s);
    kb_array *value = kb_test_array(L, 3);
    if (value) {
        assign(L, array, &s, value);
        return 0;
    }
    uint64_t element;
    kb_err err;
    kb_np_element(L, 3, array->dtype, &element);
    kb_array **scalar = kb_push_array_slot(L);
    kb_np_try(L, kb_array_create(array->dtype, 0, NULL, scalar, &err), &err);
    kb_array_fill(*scalar, array->dtype, &element);
    kb_np_try(L, kb_array_set(array, &s.region, *scalar, &err), &err);
    return 0;
}
