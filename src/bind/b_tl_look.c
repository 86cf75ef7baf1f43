/* Looking at the values of tiles from Lua. No simulated time passes. */
#include "bind/b_np.h"
#include "bind/b_tile.h"
#include "bind/b_tl.h"

/* The array of a tile, computed now. */
static const kb_array *value_now(lua_State *L, int index, const char *call)
{
    kb_check_kernel(L, call);
    const kb_array *array = kb_tile_array(L, kb_check_tile(L, index, call));
    if (!array) kb_error(L, "%s: numbers are switched off (--no-data or data = false)", call);
    return array;
}

/* Where the indices at 2, 3, ... lead in an array, or the only element without indices. */
static size_t element_at(lua_State *L, const kb_array *array)
{
    int count = lua_gettop(L) - 1;
    if (count == 0 && array->count != 1)
        kb_error(L, "item: a tile of %I elements; expected one, or the indices of one",
                 (lua_Integer)array->count);
    if (count != 0 && count != array->rank)
        kb_error(L, "item: %d indices for a tile with %d dimensions", count, array->rank);
    size_t at = 0;
    for (int d = 0; d < count; d++) {
        lua_Integer extent = (lua_Integer)array->shape[d];
        int is_integer;
        lua_Integer index = lua_tointegerx(L, d + 2, &is_integer);
        if (!is_integer)
            kb_error(L, "item: an index is %s; expected an integer",
                     luaL_tolstring(L, d + 2, NULL));
        if (index < -extent || index >= extent)
            kb_error(L, "item: index %I outside an extent of %I in dimension %d", index, extent, d);
        at = at * array->shape[d] + (size_t)(index < 0 ? index + extent : index);
    }
    return at;
}

/* x:item(i, j, ...): an element, as a Lua value; the only one without indices. */
static int tl_item(lua_State *L)
{
    const kb_array *array = value_now(L, 1, "item");
    size_t at = element_at(L, array);
    const char *element = (const char *)array->data + at * kb_dtype_size(array->dtype);
    if (kb_dtype_is_float(array->dtype)) {
        double number;
        kb_convert(KB_F64, &number, array->dtype, element, 1);
        lua_pushnumber(L, number);
        return 1;
    }
    int64_t integer;
    kb_convert(KB_I64, &integer, array->dtype, element, 1);
    if (array->dtype == KB_BOOL)
        lua_pushboolean(L, integer != 0);
    else
        lua_pushinteger(L, integer);
    return 1;
}

/* tl.values(x): the contents as an np array, for device_print and tests. */
static int tl_values(lua_State *L)
{
    lua_settop(L, 1);
    const kb_array *array = value_now(L, 1, "tl.values");
    kb_array **copy = kb_push_array_slot(L);
    kb_err err = {0};
    if (kb_array_copy(array, copy, &err)) return kb_raise(L, &err);
    kb_array_pushed(L, *copy);
    return 1;
}

static int tl_is_tile(lua_State *L)
{
    lua_pushboolean(L, kb_test_tile(L, 1) != NULL);
    return 1;
}

/* tl.has_values(): whether numbers are computed; of a tile, whether its elements can be looked at.
 */
static int tl_has_values(lua_State *L)
{
    const kb_proc *proc = kb_check_kernel(L, "tl.has_values");
    bool known = !lua_isnoneornil(L, 1) && kb_check_tile(L, 1, "tl.has_values")->value->known;
    lua_pushboolean(L, known || proc->engine->data);
    return 1;
}

/* "sip0.cube2.pe5" */
static int tl_whereabouts(lua_State *L)
{
    lua_pushstring(L, kb_check_kernel(L, "tl.device_print")->pe->name);
    return 1;
}

static const luaL_Reg functions[] = {{"is_tile", tl_is_tile},         {"has_values", tl_has_values},
                                     {"whereabouts", tl_whereabouts}, {"item", tl_item},
                                     {"values", tl_values},           {NULL, NULL}};

void kb_tl_look_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
