#include "bind/b_np.h"

#include <math.h>

#include "bind/b_np_impl.h"
#include "bind/bind.h"
#include "data/ops.h"

#define TYPE_NAME "kernbench.array"

/* Lua's collector sees a small userdata where there may be megabytes. After that many bytes of new
 * arrays it is told to collect. */
enum { COLLECT_AFTER = 256 << 20 };

static const char DEBT_KEY =
    0; /* its address: registry key of the bytes since the last collection */

static void push_metatable(lua_State *L);

void kb_np_try(lua_State *L, int code, const kb_err *err)
{
    if (code) luaL_error(L, "%s", err->text);
}

int kb_np_finish(lua_State *L, int code, kb_array **slot, const kb_err *err)
{
    kb_np_try(L, code, err);
    kb_array_pushed(L, *slot);
    return 1;
}

kb_array **kb_push_array_slot(lua_State *L)
{
    kb_array **slot = lua_newuserdatauv(L, sizeof *slot, 0);
    *slot = NULL;
    push_metatable(L);
    lua_setmetatable(L, -2);
    return slot;
}

void kb_host_bytes_pushed(lua_State *L, uint64_t bytes)
{
    if (bytes < 4096) return;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &DEBT_KEY);
    lua_Integer debt = lua_tointeger(L, -1) + (lua_Integer)bytes;
    bool collect = debt > COLLECT_AFTER;
    lua_pop(L, 1);
    lua_pushinteger(L, collect ? 0 : debt);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &DEBT_KEY);
    if (collect) lua_gc(L, LUA_GCCOLLECT);
}

void kb_array_pushed(lua_State *L, const kb_array *array)
{
    kb_host_bytes_pushed(L, array->nbytes);
}

void kb_push_array(lua_State *L, kb_array *array)
{
    *kb_push_array_slot(L) = array;
    kb_array_pushed(L, array);
}

kb_array *kb_test_array(lua_State *L, int index)
{
    kb_array **slot = luaL_testudata(L, index, TYPE_NAME);
    return slot ? *slot : NULL;
}

kb_array *kb_check_array(lua_State *L, int index)
{
    kb_array *array = kb_test_array(L, index);
    if (!array) luaL_typeerror(L, index, "array");
    return array;
}

kb_dtype kb_check_dtype(lua_State *L, int index, kb_dtype fallback)
{
    if (lua_isnoneornil(L, index)) return fallback;
    index = lua_absindex(L, index);
    int top = lua_gettop(L);
    if (lua_istable(L, index))
        lua_getfield(L, index, "dtype");
    else
        lua_pushvalue(L, index);
    if (lua_isnil(L, -1)) {
        lua_settop(L, top);
        return fallback;
    }
    if (lua_type(L, -1) != LUA_TSTRING)
        kb_error(L, "dtype is a %s; expected a name such as \"f16\"", kb_typename(L, -1));
    const char *name = lua_tostring(L, -1);
    int dtype = kb_dtype_from_name(name);
    if (dtype < 0)
        kb_error(L,
                 "unknown dtype '%s' (f8e4m3 f8e5m2 f16 bf16 f32 f64 i8 i16 i32 i64 u8 u16 u32 "
                 "u64 bool)",
                 name);
    lua_settop(L, top);
    return (kb_dtype)dtype;
}

static size_t check_extent(lua_State *L, int index)
{
    int is_integer;
    lua_Integer extent = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer || extent < 0)
        luaL_argerror(L, index, "a shape is a sequence of integers, none negative");
    lua_pop(L, 1);
    return (size_t)extent;
}

int kb_check_shape(lua_State *L, int index, size_t shape[KB_MAX_RANK])
{
    index = lua_absindex(L, index);
    if (lua_isnumber(L, index)) {
        lua_pushvalue(L, index);
        shape[0] = check_extent(L, index);
        return 1;
    }
    luaL_checktype(L, index, LUA_TTABLE);
    lua_Integer rank = luaL_len(L, index);
    if (rank > KB_MAX_RANK) luaL_argerror(L, index, "a shape has at most 8 extents");
    for (lua_Integer i = 0; i < rank; i++) {
        lua_geti(L, index, i + 1);
        shape[i] = check_extent(L, index);
    }
    return (int)rank;
}

int kb_np_axis(lua_State *L, int index, int rank)
{
    if (lua_isnoneornil(L, index)) return KB_ALL_AXES;
    lua_Integer axis = luaL_checkinteger(L, index);
    if (axis < -rank || axis >= rank)
        luaL_argerror(
            L, index,
            lua_pushfstring(L, "axis %I of an array of rank %d", (LUAI_UACINT)axis, rank));
    return (int)(axis < 0 ? axis + rank : axis);
}

void kb_np_push_element(lua_State *L, const kb_array *array, size_t index)
{
    const char *at = (const char *)array->data + index * kb_dtype_size(array->dtype);
    double number;
    int64_t integer;
    switch (kb_dtype_class_of(array->dtype)) {
    case KB_CLASS_FLOAT:
        kb_convert(KB_F64, &number, array->dtype, at, 1);
        lua_pushnumber(L, number);
        break;
    case KB_CLASS_BOOL:
        lua_pushboolean(L, *at != 0);
        break;
    default:
        kb_convert(KB_I64, &integer, array->dtype, at, 1);
        lua_pushinteger(L, integer);
    }
}

/* Integers go straight, so that 64-bit ones keep every bit. */
static bool integer_element(lua_Integer value, kb_dtype dtype, void *out)
{
    int64_t back;
    kb_convert(dtype, out, KB_I64, &value, 1);
    if (dtype == KB_U64) return value >= 0;
    kb_convert(KB_I64, &back, dtype, out, 1);
    return kb_dtype_is_float(dtype) || back == value;
}

void kb_np_element(lua_State *L, int index, kb_dtype dtype, void *out)
{
    lua_Integer integer;
    if (lua_isboolean(L, index)) {
        uint8_t flag = (uint8_t)lua_toboolean(L, index);
        kb_convert(dtype, out, KB_BOOL, &flag, 1);
        return;
    }
    if (lua_type(L, index) != LUA_TNUMBER) luaL_typeerror(L, index, "number or boolean");
    bool fits = true;
    if (lua_isinteger(L, index)) {
        fits = integer_element(lua_tointeger(L, index), dtype, out);
    } else {
        double number = lua_tonumber(L, index);
        if (kb_dtype_is_float(dtype))
            kb_convert(dtype, out, KB_F64, &number, 1);
        else
            fits = lua_numbertointeger(floor(number), &integer) && (double)integer == number &&
                   integer_element(integer, dtype, out);
    }
    if (!fits)
        luaL_argerror(L, index,
                      lua_pushfstring(L, "%s has no exact value in %s",
                                      luaL_tolstring(L, index, NULL), kb_dtype_name(dtype)));
}

static kb_dtype adopted(lua_State *L, int index, const kb_array *like)
{
    if (lua_isboolean(L, index)) return KB_BOOL;
    if (lua_isinteger(L, index)) return like && like->dtype != KB_BOOL ? like->dtype : KB_I64;
    return like && kb_dtype_is_float(like->dtype) ? like->dtype : KB_F64;
}

kb_array *kb_np_operand(lua_State *L, int index, const kb_array *like)
{
    kb_array *array = kb_test_array(L, index);
    if (array) return array;
    if (lua_type(L, index) != LUA_TNUMBER && !lua_isboolean(L, index))
        luaL_typeerror(L, index, "array or number");
    kb_dtype dtype = adopted(L, index, like);
    uint64_t element;
    kb_np_element(L, index, dtype, &element);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    kb_np_try(L, kb_array_create(dtype, 0, NULL, slot, &err), &err);
    kb_array_fill(*slot, dtype, &element);
    return *slot;
}

static void push_shape(lua_State *L, const kb_array *array)
{
    lua_createtable(L, array->rank, 0);
    for (int i = 0; i < array->rank; i++) {
        lua_pushinteger(L, (lua_Integer)array->shape[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

static bool push_field(lua_State *L, const kb_array *array, const char *name)
{
    if (strcmp(name, "shape") == 0)
        push_shape(L, array);
    else if (strcmp(name, "dtype") == 0)
        lua_pushstring(L, kb_dtype_name(array->dtype));
    else if (strcmp(name, "ndim") == 0)
        lua_pushinteger(L, array->rank);
    else if (strcmp(name, "size") == 0)
        lua_pushinteger(L, (lua_Integer)array->count);
    else if (strcmp(name, "nbytes") == 0)
        lua_pushinteger(L, (lua_Integer)array->nbytes);
    else
        return false;
    return true;
}

/* Upvalue 1: the methods. */
static int array_index(lua_State *L)
{
    kb_array *array = kb_check_array(L, 1);
    if (lua_type(L, 2) != LUA_TSTRING) return kb_np_get(L);
    if (push_field(L, array, lua_tostring(L, 2))) return 1;
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
    return 1;
}

static int array_newindex(lua_State *L)
{
    kb_check_array(L, 1);
    if (lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "an array's field '%s' cannot be set", lua_tostring(L, 2));
    return kb_np_set(L);
}

static int array_len(lua_State *L)
{
    kb_array *array = kb_check_array(L, 1);
    if (array->rank == 0) return luaL_error(L, "an array of rank 0 has no length");
    lua_pushinteger(L, (lua_Integer)array->shape[0]);
    return 1;
}

static int array_gc(lua_State *L)
{
    kb_array **slot = luaL_checkudata(L, 1, TYPE_NAME);
    kb_array_release(*slot);
    *slot = NULL;
    return 0;
}

static int array_order(lua_State *L)
{
    return luaL_error(L, "< and <= give one boolean in Lua: compare arrays with np.lt, le, gt, ge");
}

static const luaL_Reg METAMETHODS[] = {
    {"__newindex", array_newindex}, {"__len", array_len},  {"__gc", array_gc},
    {"__lt", array_order},          {"__le", array_order}, {NULL, NULL},
};

static void push_metatable(lua_State *L)
{
    if (!luaL_newmetatable(L, TYPE_NAME)) return;
    luaL_setfuncs(L, METAMETHODS, 0);
    kb_np_open_operators(L);
    lua_newtable(L); /* the methods: filled by np.lua */
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "methods");
    lua_pushcclosure(L, array_index, 1);
    lua_setfield(L, -2, "__index");
}

static int np_isarray(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, kb_test_array(L, 1) != NULL);
    return 1;
}

/* The module: functions by name, plus `metatable`, where np.lua puts __tostring and methods. */
int luaopen_kernbench_core_np(lua_State *L)
{
    lua_newtable(L);
    kb_np_open_make(L);
    kb_np_open_math(L);
    kb_np_open_random(L);
    lua_pushcfunction(L, np_isarray);
    lua_setfield(L, -2, "isarray");
    push_metatable(L);
    lua_setfield(L, -2, "metatable");
    return 1;
}
