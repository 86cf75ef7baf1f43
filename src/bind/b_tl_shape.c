/* Making tiles, and changing their shapes and types. */
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"

/* tl.cast(x, dtype, bitcast) */
static int tl_cast(lua_State *L)
{
    static const char *const names[] = {"x", "dtype", "bitcast", NULL};
    kb_unpack_options(L, "tl.cast", names);
    kb_compute c = {.kind = KB_COMPUTE_CAST, .in_count = 1};
    if (lua_toboolean(L, 3)) c.kind = KB_COMPUTE_BITCAST;
    c.dtype = kb_check_dtype(L, 2, KB_F32);
    return kb_tl_compute(L, "tl.cast", &c, 1);
}

/* Whether the only argument is a table of options of a function whose first argument is a shape: a
 * table with a table in it. */
static bool is_options(lua_State *L)
{
    if (lua_gettop(L) != 1 || !lua_istable(L, 1)) return false;
    bool yes = lua_rawgeti(L, 1, 1) == LUA_TTABLE;
    yes = lua_getfield(L, 1, "shape") == LUA_TTABLE || yes;
    lua_settop(L, 1);
    return yes;
}

/* As kb_unpack_options, where the first argument is a shape. */
static void unpack_after_shape(lua_State *L, const char *call, const char *const *names)
{
    int count = 0;
    while (names[count]) count++;
    if (is_options(L))
        kb_unpack_options(L, call, names);
    else
        lua_settop(L, count);
}

static void check_shape(lua_State *L, int index, const char *call, kb_compute *c)
{
    c->rank = kb_check_extents(L, index, call, c->shape);
}

static int tl_broadcast_to(lua_State *L)
{
    lua_settop(L, 2);
    kb_compute c = {.kind = KB_COMPUTE_BROADCAST, .in_count = 1};
    check_shape(L, 2, "tl.broadcast_to", &c);
    return kb_tl_compute(L, "tl.broadcast_to", &c, 1);
}

static int tl_reshape(lua_State *L)
{
    lua_settop(L, 2);
    kb_compute c = {.kind = KB_COMPUTE_RESHAPE, .in_count = 1};
    check_shape(L, 2, "tl.reshape", &c);
    return kb_tl_compute(L, "tl.reshape", &c, 1);
}

static int tl_expand_dims(lua_State *L)
{
    lua_settop(L, 2);
    const kb_value *v = kb_check_tile(L, 1, "tl.expand_dims")->value;
    int axis = kb_check_int(L, 2, "tl.expand_dims", "axis");
    if (axis < 0) axis += v->rank + 1;
    if (axis < 0 || axis > v->rank || v->rank == KB_MAX_RANK)
        return kb_error(L, "tl.expand_dims: axis %d of a tile with %d dimensions", axis, v->rank);
    kb_compute c = {.kind = KB_COMPUTE_RESHAPE, .in_count = 1, .rank = v->rank + 1};
    for (int d = 0; d < c.rank; d++) c.shape[d] = d == axis ? 1 : v->shape[d < axis ? d : d - 1];
    return kb_tl_compute(L, "tl.expand_dims", &c, 1);
}

/* tl.permute(x, {axes}); tl.trans(x) swaps the last two. */
static int tl_permute(lua_State *L)
{
    lua_settop(L, 2);
    const kb_value *v = kb_check_tile(L, 1, "tl.permute")->value;
    if (!lua_istable(L, 2) || (int)lua_rawlen(L, 2) != v->rank)
        return kb_error(L, "tl.permute: expected %d axes in a table", v->rank);
    kb_compute c = {.kind = KB_COMPUTE_PERMUTE, .in_count = 1};
    for (int d = 0; d < v->rank; d++) {
        lua_rawgeti(L, 2, d + 1);
        c.axes[d] = kb_check_int(L, -1, "tl.permute", "an axis");
        lua_pop(L, 1);
    }
    return kb_tl_compute(L, "tl.permute", &c, 1);
}

static int tl_trans(lua_State *L)
{
    lua_settop(L, 1);
    const kb_value *v = kb_check_tile(L, 1, "tl.trans")->value;
    if (v->rank < 2) return kb_error(L, "tl.trans: a tile of one dimension has nothing to swap");
    kb_compute c = {.kind = KB_COMPUTE_PERMUTE, .in_count = 1};
    for (int d = 0; d < v->rank; d++) c.axes[d] = d;
    c.axes[v->rank - 1] = v->rank - 2;
    c.axes[v->rank - 2] = v->rank - 1;
    return kb_tl_compute(L, "tl.trans", &c, 1);
}

/* tl.squeeze(x, axis): without a dimension of extent 1, or without all of them. */
static int tl_squeeze(lua_State *L)
{
    static const char *const names[] = {"x", "axis", NULL};
    kb_unpack_options(L, "tl.squeeze", names);
    const kb_value *v = kb_check_tile(L, 1, "tl.squeeze")->value;
    int axis = lua_isnil(L, 2) ? -1 : kb_check_axis(L, 2, 1, "tl.squeeze");
    if (axis >= 0 && v->shape[axis] != 1)
        return kb_error(L, "tl.squeeze: axis %d has an extent of %I, not 1", axis,
                        (lua_Integer)v->shape[axis]);
    kb_compute c = {.kind = KB_COMPUTE_RESHAPE, .in_count = 1};
    for (int d = 0; d < v->rank; d++)
        if (axis >= 0 ? d != axis : v->shape[d] != 1) c.shape[c.rank++] = v->shape[d];
    return kb_tl_compute(L, "tl.squeeze", &c, 1);
}

/* Leave the tiles of a call of tl.cat on the stack, from 1 on, and an axis or nil above them;
 * returns how many there are. They come one by one, the axis or a table with it behind them, or all
 * in a table. */
static int spread_parts(lua_State *L)
{
    luaL_checkstack(L, KB_COMPUTE_INPUTS + 4, "tl.cat");
    if (lua_type(L, 1) == LUA_TTABLE) {
        lua_settop(L, 2);
        if (lua_isnil(L, 2)) {
            lua_getfield(L, 1, "axis");
            lua_replace(L, 2);
        }
        int count = (int)lua_rawlen(L, 1);
        for (int i = 1; i <= count && i <= KB_COMPUTE_INPUTS; i++) lua_rawgeti(L, 1, i);
        lua_remove(L, 1);
        lua_rotate(L, 1, -1); /* the axis last */
        return count;
    }
    int top = lua_gettop(L);
    if (lua_istable(L, top)) {
        lua_getfield(L, top, "axis");
        lua_replace(L, top);
    } else if (lua_type(L, top) != LUA_TNUMBER && !lua_isnil(L, top)) {
        lua_pushnil(L);
        top++;
    }
    return top - 1;
}

/* tl.cat(a, b, ..., axis), tl.cat({a, b, ...}, axis): up to KB_COMPUTE_INPUTS tiles. */
static int tl_cat(lua_State *L)
{
    int count = lua_gettop(L) ? spread_parts(L) : 0;
    if (count < 1 || count > KB_COMPUTE_INPUTS)
        return kb_error(L, "tl.cat: %d tiles; expected 1 to %d", count, (int)KB_COMPUTE_INPUTS);
    for (int i = 1; i <= count; i++) kb_check_tile(L, i, "tl.cat");
    kb_compute c = {.kind = KB_COMPUTE_CAT, .in_count = count};
    c.axis = lua_isnil(L, count + 1) ? 0 : kb_check_axis(L, count + 1, 1, "tl.cat");
    return kb_tl_compute(L, "tl.cat", &c, 1);
}

/* A tile of the type and shape in c, every element the number at `value`. */
static int filled(lua_State *L, const char *call, kb_compute *c, int value)
{
    c->kind = KB_COMPUTE_BROADCAST;
    c->in_count = 1;
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_check_constant(L, value, c->dtype, call);
    kb_operands o = {.call = call, .constants = {kb_constant_at(L, value)}, .dtype = c->dtype};
    return kb_tl_run(L, proc, c, &o);
}

/* tl.full(shape, value, dtype) */
static int tl_full(lua_State *L)
{
    static const char *const names[] = {"shape", "value", "dtype", NULL};
    unpack_after_shape(L, "tl.full", names);
    kb_compute c = {.dtype = kb_check_dtype(L, 3, KB_F32)};
    check_shape(L, 1, "tl.full", &c);
    return filled(L, "tl.full", &c, 2);
}

/* tl.zeros(shape, dtype) */
static int tl_zeros(lua_State *L)
{
    static const char *const names[] = {"shape", "dtype", NULL};
    unpack_after_shape(L, "tl.zeros", names);
    kb_compute c = {.dtype = kb_check_dtype(L, 2, KB_F32)};
    check_shape(L, 1, "tl.zeros", &c);
    lua_pushinteger(L, 0);
    return filled(L, "tl.zeros", &c, 3);
}

static int tl_zeros_like(lua_State *L)
{
    lua_settop(L, 1);
    const kb_value *v = kb_check_tile(L, 1, "tl.zeros_like")->value;
    kb_compute c = {.dtype = v->dtype, .rank = v->rank};
    memcpy(c.shape, v->shape, sizeof c.shape);
    lua_pushinteger(L, 0);
    return filled(L, "tl.zeros_like", &c, 2);
}

/* tl.arange(start, end, dtype): i32 unless told otherwise. */
static int tl_arange(lua_State *L)
{
    static const char *const names[] = {"start", "end", "dtype", NULL};
    kb_unpack_options(L, "tl.arange", names);
    int start = kb_check_int(L, 1, "tl.arange", "start"),
        end = kb_check_int(L, 2, "tl.arange", "end");
    if (end <= start)
        return kb_error(L, "tl.arange: the end %d is not above the start %d", end, start);
    kb_compute c = {.kind = KB_COMPUTE_ARANGE, .start = start, .rank = 1};
    c.shape[0] = (size_t)(end - start);
    c.dtype = kb_check_dtype(L, 3, KB_I32);
    if (!kb_dtype_is_float(c.dtype) &&
        !(kb_dtype_holds(c.dtype, start) && kb_dtype_holds(c.dtype, end - 1)))
        return kb_error(L, "tl.arange: %d to %d have no value in %s", start, end - 1,
                        kb_dtype_name(c.dtype));
    return kb_tl_compute(L, "tl.arange", &c, 4);
}

static const luaL_Reg functions[] = {{"cast", tl_cast},
                                     {"broadcast_to", tl_broadcast_to},
                                     {"reshape", tl_reshape},
                                     {"view", tl_reshape},
                                     {"expand_dims", tl_expand_dims},
                                     {"permute", tl_permute},
                                     {"trans", tl_trans},
                                     {"cat", tl_cat},
                                     {"squeeze", tl_squeeze},
                                     {"full", tl_full},
                                     {"zeros", tl_zeros},
                                     {"zeros_like", tl_zeros_like},
                                     {"arange", tl_arange},
                                     {NULL, NULL}};

void kb_tl_shape_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
