/* Arrays from nothing, from Lua tables and from files, and back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind/b_np_impl.h"
#include "data/array.h"
#include "data/npy.h"

static int filled(lua_State *L, kb_dtype dtype, const void *element)
{
    size_t shape[KB_MAX_RANK];
    kb_err err;
    int rank = kb_check_shape(L, 1, shape);
    kb_array **slot = kb_push_array_slot(L);
    int code = kb_array_create(dtype, rank, shape, slot, &err);
    if (code == 0) kb_array_fill(*slot, dtype, element);
    return kb_np_finish(L, code, slot, &err);
}

/* zeros(shape, dtype), ones(shape, dtype). Upvalue 1: the value. */
static int np_constant(lua_State *L)
{
    uint64_t element;
    kb_dtype dtype = kb_check_dtype(L, 2, KB_F64);
    kb_np_element(L, lua_upvalueindex(1), dtype, &element);
    return filled(L, dtype, &element);
}

/* full(shape, value, dtype); without a dtype, by the value: f64, i64 or bool. */
static int np_full(lua_State *L)
{
    uint64_t element;
    kb_dtype natural = lua_isboolean(L, 2) ? KB_BOOL : lua_isinteger(L, 2) ? KB_I64 : KB_F64;
    kb_dtype dtype = kb_check_dtype(L, 3, natural);
    kb_np_element(L, 2, dtype, &element);
    return filled(L, dtype, &element);
}

typedef struct range {
    bool integers;
    int64_t first, stride;
    double start, stop, step;
} range;

/* arange(stop, dtype), arange(start, stop, dtype) or arange(start, stop, step, dtype): numbers
 * lead. */
static range check_range(lua_State *L, int *dtype_index)
{
    int numbers = 1;
    luaL_checknumber(L, 1);
    while (numbers < 3 && lua_type(L, numbers + 1) == LUA_TNUMBER) numbers++;
    *dtype_index = numbers + 1;
    if (lua_isnil(L, numbers + 1) && !lua_isnoneornil(L, 4)) *dtype_index = 4;
    lua_settop(L, *dtype_index);
    lua_pushinteger(L, 0);
    lua_pushinteger(L, 1);
    int start = numbers == 1 ? -2 : 1, stop = numbers == 1 ? 1 : 2, step = numbers == 3 ? 3 : -1;
    return (range){.integers =
                       lua_isinteger(L, start) && lua_isinteger(L, stop) && lua_isinteger(L, step),
                   .first = lua_tointeger(L, start),
                   .stride = lua_tointeger(L, step),
                   .start = lua_tonumber(L, start),
                   .stop = lua_tonumber(L, stop),
                   .step = lua_tonumber(L, step)};
}

static size_t range_count(lua_State *L, const range *r)
{
    luaL_argcheck(L, r->step != 0 && r->step == r->step, 3, "the step is 0");
    double count = ceil((r->stop - r->start) / r->step);
    luaL_argcheck(L, count == count && count < 0x1p53, 2, "the range has no end");
    return count > 0 ? (size_t)count : 0;
}

static void fill_range(kb_array *array, const range *r)
{
    size_t size = kb_dtype_size(array->dtype);
    for (size_t i = 0; i < array->count; i++) {
        char *at = (char *)array->data + i * size;
        int64_t whole = (int64_t)((uint64_t)r->first + i * (uint64_t)r->stride);
        double number = r->start + (double)i * r->step;
        if (r->integers)
            kb_convert(array->dtype, at, KB_I64, &whole, 1);
        else
            kb_convert(array->dtype, at, KB_F64, &number, 1);
    }
}

static int np_arange(lua_State *L)
{
    int dtype_index;
    range r = check_range(L, &dtype_index);
    kb_dtype dtype = kb_check_dtype(L, dtype_index, r.integers ? KB_I64 : KB_F64);
    size_t count = range_count(L, &r);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    int code = kb_array_create(dtype, 1, &count, slot, &err);
    if (code == 0) fill_range(*slot, &r);
    return kb_np_finish(L, code, slot, &err);
}

/* The shape that the first element of every level suggests; fill_from checks the others. */
static int table_shape(lua_State *L, int index, size_t *shape)
{
    int rank = 0, top = lua_gettop(L);
    lua_pushvalue(L, index);
    while (lua_istable(L, -1)) {
        if (rank == KB_MAX_RANK) luaL_argerror(L, index, "nested more than 8 deep");
        shape[rank] = (size_t)luaL_len(L, -1);
        if (shape[rank++] == 0) break;
        lua_geti(L, -1, 1);
    }
    lua_settop(L, top);
    return rank;
}

/* What kinds of leaves are there? */
enum { SAW_BOOLEAN = 1, SAW_INTEGER = 2, SAW_NUMBER = 4 };

static int leaf_kinds(lua_State *L, int depth)
{
    if (lua_isboolean(L, -1)) return SAW_BOOLEAN;
    if (lua_isinteger(L, -1)) return SAW_INTEGER;
    if (!lua_istable(L, -1) || depth == KB_MAX_RANK) return SAW_NUMBER;
    luaL_checkstack(L, 4, "array");
    int kinds = 0;
    lua_Integer n = luaL_len(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_geti(L, -1, i);
        kinds |= leaf_kinds(L, depth + 1);
        lua_pop(L, 1);
    }
    return kinds;
}

static void fill_leaf(lua_State *L, kb_array *array, size_t at)
{
    uint64_t element;
    if (lua_type(L, -1) != LUA_TNUMBER && !lua_isboolean(L, -1))
        luaL_argerror(
            L, 1,
            lua_pushfstring(L, "a %s where a number is expected (ragged?)", luaL_typename(L, -1)));
    lua_replace(L, 1); /* so that an error names argument 1 */
    kb_np_element(L, 1, array->dtype, &element);
    size_t size = kb_dtype_size(array->dtype);
    memcpy((char *)array->data + at * size, &element, size);
}

/* The table on top of the stack into the elements from *at on. Pops it. */
static void fill_from(lua_State *L, kb_array *array, int depth, size_t *at)
{
    if (depth == array->rank) {
        fill_leaf(L, array, (*at)++);
        return;
    }
    if (!lua_istable(L, -1) || (size_t)luaL_len(L, -1) != array->shape[depth])
        luaL_argerror(L, 1,
                      lua_pushfstring(L, "ragged: at depth %d not every entry is a table of %I",
                                      depth, (LUAI_UACINT)array->shape[depth]));
    luaL_checkstack(L, 4, "array");
    for (size_t i = 0; i < array->shape[depth]; i++) {
        lua_geti(L, -1, (lua_Integer)i + 1);
        fill_from(L, array, depth + 1, at);
    }
    lua_pop(L, 1);
}

/* array(nested table, number or array; dtype) */
static int np_array(lua_State *L)
{
    size_t shape[KB_MAX_RANK], at = 0;
    kb_err err;
    kb_array *from = kb_test_array(L, 1);
    if (from) {
        kb_dtype dtype = kb_check_dtype(L, 2, from->dtype);
        kb_array **copy = kb_push_array_slot(L);
        return kb_np_finish(L, kb_array_cast(from, dtype, copy, &err), copy, &err);
    }
    lua_settop(L, 2);
    int rank = table_shape(L, 1, shape);
    lua_pushvalue(L, 1);
    int kinds = leaf_kinds(L, 0);
    kb_dtype natural = kinds == SAW_BOOLEAN ? KB_BOOL : kinds == SAW_INTEGER ? KB_I64 : KB_F64;
    kb_dtype dtype = kb_check_dtype(L, 2, natural);
    kb_array **slot = kb_push_array_slot(L);
    kb_np_try(L, kb_array_create(dtype, rank, shape, slot, &err), &err);
    lua_insert(L, -2); /* the slot below the table */
    fill_from(L, *slot, 0, &at);
    return kb_np_finish(L, 0, slot, &err);
}

static void push_list(lua_State *L, const kb_array *array, int depth, size_t *at)
{
    if (depth == array->rank) {
        kb_np_push_element(L, array, (*at)++);
        return;
    }
    luaL_checkstack(L, 4, "tolist");
    lua_createtable(L, (int)(array->shape[depth] < 1 << 20 ? array->shape[depth] : 0), 0);
    for (size_t i = 0; i < array->shape[depth]; i++) {
        push_list(L, array, depth + 1, at);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static int np_tolist(lua_State *L)
{
    size_t at = 0;
    push_list(L, kb_check_array(L, 1), 0, &at);
    return 1;
}

static int np_item(lua_State *L)
{
    kb_array *array = kb_check_array(L, 1);
    if (array->count != 1)
        return luaL_error(L, "item: the array has %I elements, not one", (LUAI_UACINT)array->count);
    kb_np_push_element(L, array, 0);
    return 1;
}

/* Does the text read back as that element? */
static bool reads_back(kb_dtype dtype, const char *element, const char *text)
{
    double value = strtod(text, NULL);
    uint64_t back;
    kb_convert(dtype, &back, KB_F64, &value, 1);
    return memcmp(&back, element, kb_dtype_size(dtype)) == 0;
}

/* The shortest decimal that reads back as the same element, of at most 8 digits; with an exponent
 * only where NumPy has one. */
static void format_float(const kb_array *array, size_t index, char *text, size_t size)
{
    const char *at = (const char *)array->data + index * kb_dtype_size(array->dtype);
    double value;
    kb_convert(KB_F64, &value, array->dtype, at, 1);
    if (!isfinite(value)) {
        strcpy(text, value != value ? "nan" : value < 0 ? "-inf" : "inf");
        return;
    }
    int after = 0; /* digits after the first */
    while (snprintf(text, size, "%.*e", after, value),
           after < 7 && !reads_back(array->dtype, at, text))
        after++;
    double magnitude = fabs(value);
    if (magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16)) return;
    int decimals = after - atoi(strchr(text, 'e') + 1);
    snprintf(text, size, "%.*f%s", decimals > 0 ? decimals : 0, value, decimals > 0 ? "" : ".");
}

/* format(array, flat index) -> text of that element */
static int np_format(lua_State *L)
{
    char text[64];
    kb_array *array = kb_check_array(L, 1);
    lua_Integer index = luaL_checkinteger(L, 2);
    luaL_argcheck(L, index >= 0 && (size_t)index < array->count, 2, "outside the array");
    if (kb_dtype_is_float(array->dtype)) {
        format_float(array, (size_t)index, text, sizeof text);
        lua_pushstring(L, text);
    } else if (array->dtype == KB_U64) {
        uint64_t value = ((const uint64_t *)array->data)[index];
        snprintf(text, sizeof text, "%llu", (unsigned long long)value);
        lua_pushstring(L, text);
    } else {
        kb_np_push_element(L, array, (size_t)index);
        luaL_tolstring(L, -1, NULL);
    }
    return 1;
}

static int np_save(lua_State *L)
{
    kb_err err;
    const char *path = luaL_checkstring(L, 1);
    kb_np_try(L, kb_npy_write(path, kb_check_array(L, 2), &err), &err);
    return 0;
}

static int np_load(lua_State *L)
{
    kb_err err;
    const char *path = luaL_checkstring(L, 1);
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_npy_read(path, slot, &err), slot, &err);
}

static const luaL_Reg FUNCTIONS[] = {
    {"full", np_full},     {"arange", np_arange}, {"array", np_array},
    {"tolist", np_tolist}, {"item", np_item},     {"format", np_format},
    {"save", np_save},     {"load", np_load},     {NULL, NULL},
};

void kb_np_open_make(lua_State *L)
{
    luaL_setfuncs(L, FUNCTIONS, 0);
    for (int value = 0; value <= 1; value++) {
        lua_pushinteger(L, value);
        lua_pushcclosure(L, np_constant, 1);
        lua_setfield(L, -2, value ? "ones" : "zeros");
    }
}
