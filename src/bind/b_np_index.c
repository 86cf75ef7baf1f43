/* a[key] and a[key] = value. A key is an integer, or a table with one entry per dimension from the
 * first on (missing ones mean all): an integer picks one and drops the dimension, {} takes all,
 * {start, stop} or {start, stop, step} a range. Indices count from 0; negative ones from the end.
 */
#include "bind/b_np_impl.h"
#include "data/array.h"

typedef struct selection {
    kb_region region;
    bool dropped[KB_MAX_RANK];
} selection;

static int bad_key(lua_State *L, int axis, const char *what)
{
    return luaL_argerror(L, 2, lua_pushfstring(L, "dimension %d: %s", axis, what));
}

/* An index (or the end of a range, which may equal the extent) counted from the start. */
static size_t position(lua_State *L, int axis, lua_Integer at, size_t extent, bool is_end)
{
    lua_Integer n = (lua_Integer)extent, i = at < 0 ? at + n : at;
    if (i < 0 || (is_end ? i > n : i >= n))
        luaL_argerror(L, 2,
                      lua_pushfstring(L, "dimension %d: index %I outside an extent of %I", axis,
                                      (LUAI_UACINT)at, (LUAI_UACINT)n));
    return (size_t)i;
}

/* Entry `field` of the range on top of the stack, or the fallback. */
static lua_Integer range_field(lua_State *L, int axis, int field, lua_Integer fallback)
{
    lua_Integer value = fallback;
    int is_integer = 1;
    if (lua_geti(L, -1, field) != LUA_TNIL) value = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer) bad_key(L, axis, "a range is {start, stop, step} of integers");
    lua_pop(L, 1);
    return value;
}

static void select_range(lua_State *L, int axis, size_t extent, selection *s)
{
    lua_Integer step = range_field(L, axis, 3, 1);
    if (luaL_len(L, -1) > 3) bad_key(L, axis, "a range is {start, stop, step}");
    if (step < 1) bad_key(L, axis, "a range's step is at least 1");
    size_t start = position(L, axis, range_field(L, axis, 1, 0), extent, true);
    size_t stop = position(L, axis, range_field(L, axis, 2, (lua_Integer)extent), extent, true);
    size_t length = stop > start ? stop - start : 0;
    s->region.start[axis] = start;
    s->region.step[axis] = (size_t)step;
    s->region.extent[axis] = length / (size_t)step + (length % (size_t)step != 0);
}

/* The entry on top of the stack, for dimension `axis`. Pops it. */
static void select_axis(lua_State *L, int axis, size_t extent, selection *s)
{
    int is_integer;
    lua_Integer at = lua_tointegerx(L, -1, &is_integer);
    s->dropped[axis] = is_integer;
    if (is_integer) {
        s->region.start[axis] = position(L, axis, at, extent, false);
        s->region.extent[axis] = s->region.step[axis] = 1;
    } else if (lua_istable(L, -1)) {
        select_range(L, axis, extent, s);
    } else {
        bad_key(L, axis, "expected an integer index or a range {start, stop, step}");
    }
    lua_pop(L, 1);
}

static void parse_key(lua_State *L, const kb_array *array, selection *s)
{
    lua_Integer given = 1;
    *s = (selection){.dropped = {false}};
    if (lua_istable(L, 2))
        given = luaL_len(L, 2);
    else if (!lua_isinteger(L, 2))
        luaL_typeerror(L, 2, "integer or a table of indices and ranges");
    if (given > array->rank)
        luaL_argerror(L, 2,
                      lua_pushfstring(L, "%I indices for an array of rank %d", (LUAI_UACINT)given,
                                      array->rank));
    for (int i = 0; i < array->rank; i++) {
        if (i >= given)
            lua_newtable(L);
        else if (lua_istable(L, 2))
            lua_geti(L, 2, i + 1);
        else
            lua_pushvalue(L, 2);
        select_axis(L, i, array->shape[i], s);
    }
}

static int kept_shape(const kb_array *array, const selection *s, size_t *shape)
{
    int rank = 0;
    for (int i = 0; i < array->rank; i++)
        if (!s->dropped[i]) shape[rank++] = s->region.extent[i];
    return rank;
}

static size_t flat_index(const kb_array *array, const selection *s)
{
    size_t index = 0;
    for (int i = 0; i < array->rank; i++) index = index * array->shape[i] + s->region.start[i];
    return index;
}

int kb_np_get(lua_State *L)
{
    kb_array *array = kb_check_array(L, 1);
    selection s;
    size_t shape[KB_MAX_RANK];
    parse_key(L, array, &s);
    int rank = kept_shape(array, &s, shape);
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
static void assign(lua_State *L, kb_array *array, const selection *s, const kb_array *value)
{
    size_t shape[KB_MAX_RANK];
    kb_err err;
    kb_array **spread = kb_push_array_slot(L);
    int rank = kept_shape(array, s, shape);
    int code = kb_array_broadcast_to(value, rank, shape, spread, &err);
    if (code == 0) code = kb_array_reshape_in_place(*spread, array->rank, s->region.extent, &err);
    if (code == 0) code = kb_array_set(array, &s->region, *spread, &err);
    kb_np_try(L, code, &err);
}

int kb_np_set(lua_State *L)
{
    kb_array *array = kb_check_array(L, 1);
    selection s;
    parse_key(L, array, &s);
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
