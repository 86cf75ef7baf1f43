/* Operations on arrays: a thin skin over data/ops.h, data/gemm.h and data/array.h. */
#include "data/ops.h"

#include "bind/b_np_impl.h"
#include "data/gemm.h"

/* Upvalue 1: which kb_binary_op. */
static int np_binary(lua_State *L)
{
    kb_binary_op op = (kb_binary_op)lua_tointeger(L, lua_upvalueindex(1));
    lua_settop(L, 2);
    kb_array *a = kb_np_operand(L, 1, kb_test_array(L, 2));
    kb_array *b = kb_np_operand(L, 2, a);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_binary(op, a, b, slot, &err), slot, &err);
}

static int np_unary(lua_State *L)
{
    luaL_checkany(L, 1);
    kb_unary_op op = (kb_unary_op)lua_tointeger(L, lua_upvalueindex(1));
    kb_array *a = kb_np_operand(L, 1, NULL);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_unary(op, a, slot, &err), slot, &err);
}

/* (a, axis, keepdims): over everything and without keepdims the result is a Lua value. */
static int np_reduce(lua_State *L)
{
    kb_reduce_op op = (kb_reduce_op)lua_tointeger(L, lua_upvalueindex(1));
    kb_array *a = kb_check_array(L, 1);
    int axis = kb_np_axis(L, 2, a->rank);
    bool keep = lua_toboolean(L, 3);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    kb_np_finish(L, kb_reduce(op, a, axis, keep, slot, &err), slot, &err);
    if (axis == KB_ALL_AXES && !keep) kb_np_push_element(L, *slot, 0);
    return 1;
}

static int np_cumsum(lua_State *L)
{
    kb_array *a = kb_check_array(L, 1);
    luaL_checkinteger(L, 2);
    int axis = kb_np_axis(L, 2, a->rank);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_scan(KB_SUM, a, axis, false, slot, &err), slot, &err);
}

static int np_where(lua_State *L)
{
    lua_settop(L, 3);
    kb_array *cond = kb_np_operand(L, 1, NULL);
    kb_array *a = kb_np_operand(L, 2, kb_test_array(L, 3));
    kb_array *b = kb_np_operand(L, 3, a);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_where(cond, a, b, slot, &err), slot, &err);
}

/* matmul(a, b, dtype of the result) */
static int np_matmul(lua_State *L)
{
    kb_array *a = kb_check_array(L, 1), *b = kb_check_array(L, 2);
    int dtype = lua_isnoneornil(L, 3) ? -1 : (int)kb_check_dtype(L, 3, KB_F32);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_matmul(a, b, dtype, kb_np_executor(L), slot, &err), slot, &err);
}

static double tolerance_field(lua_State *L, const char *name, double fallback)
{
    if (!lua_istable(L, 3)) return fallback;
    if (lua_getfield(L, 3, name) != LUA_TNIL) {
        luaL_argcheck(L, lua_type(L, -1) == LUA_TNUMBER, 3, "a tolerance is a number");
        fallback = lua_tonumber(L, -1);
    }
    lua_pop(L, 1);
    return fallback;
}

/* allclose(a, b, {rtol, atol, equal_nan}) -> true, or false and the flat index of the first that is
 * not */
static int np_allclose(lua_State *L)
{
    lua_settop(L, 3);
    kb_tolerance t = {.rtol = tolerance_field(L, "rtol", 1e-5),
                      .atol = tolerance_field(L, "atol", 1e-8)};
    if (lua_istable(L, 3)) {
        lua_getfield(L, 3, "equal_nan");
        t.equal_nan = lua_toboolean(L, -1);
    }
    kb_array *a = kb_np_operand(L, 1, kb_test_array(L, 2)), *b = kb_np_operand(L, 2, a);
    size_t where = 0;
    kb_err err;
    int close = kb_allclose(a, b, &t, kb_np_executor(L), &where, &err);
    if (close < 0) kb_np_try(L, close, &err);
    lua_pushboolean(L, close);
    if (close) return 1;
    lua_pushinteger(L, (lua_Integer)where);
    return 2;
}

static int np_max_abs_diff(lua_State *L)
{
    lua_settop(L, 2);
    kb_array *a = kb_np_operand(L, 1, kb_test_array(L, 2)), *b = kb_np_operand(L, 2, a);
    double diff;
    kb_err err;
    kb_np_try(L, kb_max_abs_diff(a, b, kb_np_executor(L), &diff, &err), &err);
    lua_pushnumber(L, diff);
    return 1;
}

static int np_astype(lua_State *L)
{
    kb_array *a = kb_check_array(L, 1);
    luaL_checkany(L, 2);
    kb_dtype dtype = kb_check_dtype(L, 2, a->dtype);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_array_cast(a, dtype, slot, &err), slot, &err);
}

/* Replace an extent of -1 in the shape at argument 2 by what the others leave. */
static void infer_extent(lua_State *L, const kb_array *a)
{
    size_t known = 1;
    lua_Integer unknown = 0, rank = luaL_len(L, 2);
    lua_createtable(L, (int)rank, 0);
    for (lua_Integer i = 1; i <= rank; i++) {
        lua_geti(L, 2, i);
        lua_Integer extent = lua_tointeger(L, -1);
        luaL_argcheck(L, extent != -1 || !unknown, 2, "only one extent can be -1");
        if (extent == -1)
            unknown = i;
        else
            known *= (size_t)extent;
        lua_rawseti(L, -2, i);
    }
    if (unknown) {
        luaL_argcheck(L, known > 0 && a->count % known == 0, 2,
                      "the extent -1 cannot be a whole number");
        lua_pushinteger(L, (lua_Integer)(a->count / known));
        lua_rawseti(L, -2, unknown);
    }
    lua_replace(L, 2);
}

static int np_reshape(lua_State *L)
{
    kb_array *a = kb_check_array(L, 1);
    size_t shape[KB_MAX_RANK];
    if (lua_istable(L, 2)) infer_extent(L, a);
    int rank = kb_check_shape(L, 2, shape);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_array_reshape(a, rank, shape, slot, &err), slot, &err);
}

static int np_transpose(lua_State *L)
{
    kb_array *a = kb_check_array(L, 1);
    int axes[KB_MAX_RANK];
    bool given = !lua_isnoneornil(L, 2);
    if (given) luaL_checktype(L, 2, LUA_TTABLE);
    luaL_argcheck(L, !given || luaL_len(L, 2) == a->rank, 2, "needs one axis per dimension");
    for (int i = 0; i < a->rank; i++) {
        axes[i] = a->rank - 1 - i;
        if (!given) continue;
        int is_integer;
        lua_geti(L, 2, i + 1);
        lua_Integer axis = lua_tointegerx(L, -1, &is_integer);
        luaL_argcheck(L, is_integer && axis >= -a->rank && axis < a->rank, 2, "not an axis");
        axes[i] = (int)(axis < 0 ? axis + a->rank : axis);
        lua_pop(L, 1);
    }
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_array_permute(a, axes, slot, &err), slot, &err);
}

static int np_broadcast_to(lua_State *L)
{
    lua_settop(L, 2);
    kb_array *a = kb_np_operand(L, 1, NULL);
    size_t shape[KB_MAX_RANK];
    int rank = kb_check_shape(L, 2, shape);
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    return kb_np_finish(L, kb_array_broadcast_to(a, rank, shape, slot, &err), slot, &err);
}

/* concatenate({arrays}, axis) */
static int np_concatenate(lua_State *L)
{
    lua_settop(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer n = luaL_len(L, 1);
    luaL_argcheck(L, n > 0, 1, "no arrays");
    kb_array **list = lua_newuserdatauv(L, (size_t)n * sizeof *list, 0);
    for (lua_Integer i = 0; i < n; i++) {
        lua_geti(L, 1, i + 1);
        list[i] = kb_test_array(L, -1);
        luaL_argcheck(L, list[i], 1, "not a sequence of arrays");
        lua_pop(L, 1);
    }
    lua_Integer axis = luaL_optinteger(L, 2, 0);
    if (axis < 0) axis += list[0]->rank;
    kb_err err;
    kb_array **slot = kb_push_array_slot(L);
    int code = kb_array_concatenate((size_t)n, list,
                                    axis < 0 || axis > KB_MAX_RANK ? -1 : (int)axis, slot, &err);
    return kb_np_finish(L, code, slot, &err);
}

static const luaL_Reg FUNCTIONS[] = {
    {"cumsum", np_cumsum},
    {"where", np_where},
    {"matmul", np_matmul},
    {"allclose", np_allclose},
    {"max_abs_diff", np_max_abs_diff},
    {"astype", np_astype},
    {"reshape", np_reshape},
    {"transpose", np_transpose},
    {"broadcast_to", np_broadcast_to},
    {"concatenate", np_concatenate},
    {NULL, NULL},
};

static void set_operation(lua_State *L, lua_CFunction function, int op, const char *name)
{
    lua_pushinteger(L, op);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

void kb_np_open_math(lua_State *L)
{
    luaL_setfuncs(L, FUNCTIONS, 0);
    for (int i = 0; i < KB_BINARY_COUNT; i++)
        set_operation(L, np_binary, i, kb_binary_name((kb_binary_op)i));
    for (int i = 0; i < KB_UNARY_COUNT; i++)
        set_operation(L, np_unary, i, kb_unary_name((kb_unary_op)i));
    for (int i = 0; i < KB_REDUCE_COUNT; i++)
        set_operation(L, np_reduce, i, kb_reduce_name((kb_reduce_op)i));
}

void kb_np_open_operators(lua_State *L)
{
    static const struct {
        const char *event;
        kb_binary_op op;
    } BINARY[] = {
        {"__add", KB_ADD},       {"__sub", KB_SUB},  {"__mul", KB_MUL}, {"__div", KB_DIV},
        {"__idiv", KB_FLOORDIV}, {"__mod", KB_MOD},  {"__pow", KB_POW}, {"__band", KB_AND},
        {"__bor", KB_OR},        {"__bxor", KB_XOR}, {"__shl", KB_SHL}, {"__shr", KB_SHR},
    };
    for (size_t i = 0; i < sizeof BINARY / sizeof *BINARY; i++)
        set_operation(L, np_binary, (int)BINARY[i].op, BINARY[i].event);
    set_operation(L, np_unary, KB_NEG, "__unm");
    set_operation(L, np_unary, KB_NOT, "__bnot");
}
