/* Tile arithmetic in Lua: operators and the functions of the vector engine. */
#include <math.h>
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_tile.h"
#include "bind/b_tl.h"

/* ---- operands and issue ---- */

/* Element type that constants adopt: that of the first tile among the operands. */
static kb_dtype constant_type(lua_State *L, int first, int count)
{
    for (int i = first; i < first + count; i++)
        if (kb_test_tile(L, i)) return kb_test_tile(L, i)->value->dtype;
    return KB_F32;
}

static void check_constant(lua_State *L, int index, kb_dtype dtype, const char *call)
{
    if (lua_type(L, index) != LUA_TNUMBER)
        kb_error(L, "%s: expected a tile or a number, got %s", call, luaL_typename(L, index));
    lua_Number number = lua_tonumber(L, index);
    if (!kb_dtype_is_float(dtype) && number != floor(number))
        kb_error(L, "%s: %f has no value in %s; convert the tile with tl.cast first", call, number,
                 kb_dtype_name(dtype));
}

static int computed(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    kb_handle *h = kb_check_handle(L, (int)context);
    kb_op *op = h->op;
    h->op = NULL;
    kb_push_tile(L, op->result);
    kb_op_release(op);
    return 1;
}

/* Issue with the tiles; constants stand where a tile is null. Returns what kb_kernel_compute does.
 */
static int issue(kb_proc *proc, kb_compute *c, kb_tile *const tiles[3], const double numbers[3],
                 kb_dtype dtype, const char *call, kb_op **op, kb_tile **view, kb_err *err)
{
    for (int i = 0; i < c->in_count; i++)
        c->in[i] = tiles[i] ? kb_value_retain(tiles[i]->value) : kb_value_scalar(dtype, numbers[i]);
    int status = kb_kernel_compute(proc, c, tiles, call, op, view, err);
    for (int i = 0; i < c->in_count; i++) kb_value_release(c->in[i]);
    return status;
}

/* Run the operation on the operands at first, first + 1, ...; waits; returns a tile. `call` is
 * static text. */
static int compute(lua_State *L, const char *call, kb_compute *c, int first)
{
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_tile *tiles[3] = {0};
    double numbers[3] = {0};
    int skip = c->kind == KB_COMPUTE_WHERE; /* the condition's type says nothing */
    kb_dtype dtype = constant_type(L, first + skip, c->in_count - skip);
    for (int i = 0; i < c->in_count; i++) {
        if (kb_test_tile(L, first + i)) {
            tiles[i] = kb_check_tile(L, first + i, call);
            continue;
        }
        check_constant(L, first + i, dtype, call);
        numbers[i] = lua_tonumber(L, first + i);
    }
    kb_handle *h = kb_push_handle(L);
    kb_tile *view;
    kb_err err = {0};
    int status = issue(proc, c, tiles, numbers, dtype, call, &h->op, &view, &err);
    if (status == KB_ENOSPC) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = issue(proc, c, tiles, numbers, dtype, call, &h->op, &view, &err);
    }
    if (status) {
        kb_fail_at(&err, "%s", call);
        return kb_raise(L, &err);
    }
    if (view) {
        kb_push_tile(L, view);
        kb_tile_release(view);
        return 1;
    }
    return kb_co_wait(L, &h->op->done, KB_WAIT_COMPUTE, call, computed, lua_gettop(L));
}

/* ---- one operation per name ---- */

typedef struct entry {
    const char *name, *call;
    int op;
} entry;

static const entry binaries[] = {{"minimum", "tl.minimum", KB_MIN},
                                 {"maximum", "tl.maximum", KB_MAX},
                                 {"fdiv", "tl.fdiv", KB_DIV},
                                 {"lt", "tl.lt", KB_LT},
                                 {"le", "tl.le", KB_LE},
                                 {"gt", "tl.gt", KB_GT},
                                 {"ge", "tl.ge", KB_GE},
                                 {"eq", "tl.eq", KB_EQ},
                                 {"ne", "tl.ne", KB_NE},
                                 {NULL, NULL, 0}};

static const entry operators[] = {
    {"__add", "+", KB_ADD},  {"__sub", "-", KB_SUB},        {"__mul", "*", KB_MUL},
    {"__div", "/", KB_DIV},  {"__idiv", "//", KB_FLOORDIV}, {"__mod", "%", KB_MOD},
    {"__pow", "^", KB_POW},  {"__band", "&", KB_AND},       {"__bor", "|", KB_OR},
    {"__bxor", "~", KB_XOR}, {"__shl", "<<", KB_SHL},       {"__shr", ">>", KB_SHR},
    {NULL, NULL, 0}};

static const entry unary_operators[] = {
    {"__unm", "unary -", KB_NEG}, {"__bnot", "unary ~", KB_NOT}, {NULL, NULL, 0}};

static const entry unaries[] = {{"abs", "tl.abs", KB_ABS},
                                {"exp", "tl.exp", KB_EXP},
                                {"exp2", "tl.exp2", KB_EXP2},
                                {"log", "tl.log", KB_LOG},
                                {"log2", "tl.log2", KB_LOG2},
                                {"sin", "tl.sin", KB_SIN},
                                {"cos", "tl.cos", KB_COS},
                                {"sqrt", "tl.sqrt", KB_SQRT},
                                {"rsqrt", "tl.rsqrt", KB_RSQRT},
                                {"erf", "tl.erf", KB_ERF},
                                {"floor", "tl.floor", KB_FLOOR},
                                {"ceil", "tl.ceil", KB_CEIL},
                                {"tanh", "tl.tanh", KB_TANH},
                                {"sigmoid", "tl.sigmoid", KB_SIGMOID},
                                {NULL, NULL, 0}};

static const entry reductions[] = {
    {"sum", "tl.sum", KB_SUM},          {"max", "tl.max", KB_AMAX},
    {"min", "tl.min", KB_AMIN},         {"argmax", "tl.argmax", KB_ARGMAX},
    {"argmin", "tl.argmin", KB_ARGMIN}, {NULL, NULL, 0}};

static const entry *entry_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int binary(lua_State *L)
{
    const entry *e = entry_of(L);
    lua_settop(L, 2);
    kb_compute c = {.kind = KB_COMPUTE_BINARY, .op = e->op, .in_count = 2};
    return compute(L, e->call, &c, 1);
}

static int unary(lua_State *L)
{
    const entry *e = entry_of(L);
    lua_settop(L, 1); /* a unary operator comes with its operand twice */
    kb_compute c = {.kind = KB_COMPUTE_UNARY, .op = e->op, .in_count = 1};
    return compute(L, e->call, &c, 1);
}

static int check_int(lua_State *L, int index, const char *call, const char *what)
{
    int is_integer;
    lua_Integer value = lua_tointegerx(L, index, &is_integer);
    if (!is_integer || value < -1000000000 || value > 1000000000)
        kb_error(L, "%s: %s is %s; expected an integer", call, what,
                 luaL_tolstring(L, index, NULL));
    return (int)value;
}

/* The axis of a tile of that rank; negative ones count from the end. */
static int axis_of(lua_State *L, int index, int tile, const char *call)
{
    int axis = check_int(L, index, call, "axis"), rank = kb_check_tile(L, tile, call)->value->rank;
    if (axis < -rank || axis >= rank)
        kb_error(L, "%s: axis %d of a tile with %d dimensions", call, axis, rank);
    return axis < 0 ? axis + rank : axis;
}

/* tl.sum(x, axis, keep_dims): over all elements without an axis. */
static int reduction(lua_State *L)
{
    static const char *const names[] = {"x", "axis", "keep_dims", NULL};
    const entry *e = entry_of(L);
    kb_unpack_options(L, e->call, names);
    kb_compute c = {.kind = KB_COMPUTE_REDUCE, .op = e->op, .axis = KB_ALL_AXES, .in_count = 1};
    if (!lua_isnil(L, 2)) c.axis = axis_of(L, 2, 1, e->call);
    c.keep = lua_toboolean(L, 3);
    return compute(L, e->call, &c, 1);
}

static int tl_cumsum(lua_State *L)
{
    static const char *const names[] = {"x", "axis", NULL};
    kb_unpack_options(L, "tl.cumsum", names);
    kb_compute c = {.kind = KB_COMPUTE_CUMSUM, .in_count = 1};
    c.axis = lua_isnil(L, 2) ? 0 : axis_of(L, 2, 1, "tl.cumsum");
    return compute(L, "tl.cumsum", &c, 1);
}

static int tl_where(lua_State *L)
{
    lua_settop(L, 3);
    kb_check_kernel(L, "tl.where");
    kb_check_tile(L, 1, "tl.where: condition");
    if (!kb_test_tile(L, 2) && !kb_test_tile(L, 3))
        return kb_error(L, "tl.where: at least one of the alternatives has to be a tile");
    kb_compute c = {.kind = KB_COMPUTE_WHERE, .in_count = 3};
    return compute(L, "tl.where", &c, 1);
}

static int tl_fma(lua_State *L)
{
    lua_settop(L, 3);
    kb_compute c = {.kind = KB_COMPUTE_FMA, .in_count = 3};
    return compute(L, "tl.fma", &c, 1);
}

/* ---- creation and shape ---- */

static int tl_cast(lua_State *L)
{
    static const char *const names[] = {"x", "dtype", NULL};
    kb_unpack_options(L, "tl.cast", names);
    kb_compute c = {.kind = KB_COMPUTE_CAST, .in_count = 1};
    c.dtype = kb_check_dtype(L, 2, KB_F32);
    return compute(L, "tl.cast", &c, 1);
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
    return compute(L, "tl.broadcast_to", &c, 1);
}

static int tl_reshape(lua_State *L)
{
    lua_settop(L, 2);
    kb_compute c = {.kind = KB_COMPUTE_RESHAPE, .in_count = 1};
    check_shape(L, 2, "tl.reshape", &c);
    return compute(L, "tl.reshape", &c, 1);
}

static int tl_expand_dims(lua_State *L)
{
    lua_settop(L, 2);
    const kb_value *v = kb_check_tile(L, 1, "tl.expand_dims")->value;
    int axis = check_int(L, 2, "tl.expand_dims", "axis");
    if (axis < 0) axis += v->rank + 1;
    if (axis < 0 || axis > v->rank || v->rank == KB_MAX_RANK)
        return kb_error(L, "tl.expand_dims: axis %d of a tile with %d dimensions", axis, v->rank);
    kb_compute c = {.kind = KB_COMPUTE_RESHAPE, .in_count = 1, .rank = v->rank + 1};
    for (int d = 0; d < c.rank; d++) c.shape[d] = d == axis ? 1 : v->shape[d < axis ? d : d - 1];
    return compute(L, "tl.expand_dims", &c, 1);
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
        c.axes[d] = check_int(L, -1, "tl.permute", "an axis");
        lua_pop(L, 1);
    }
    return compute(L, "tl.permute", &c, 1);
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
    return compute(L, "tl.trans", &c, 1);
}

static int tl_cat(lua_State *L)
{
    static const char *const names[] = {"a", "b", "axis", NULL};
    kb_unpack_options(L, "tl.cat", names);
    kb_check_tile(L, 1, "tl.cat: a");
    kb_check_tile(L, 2, "tl.cat: b");
    kb_compute c = {.kind = KB_COMPUTE_CAT, .in_count = 2};
    c.axis = lua_isnil(L, 3) ? 0 : axis_of(L, 3, 1, "tl.cat");
    return compute(L, "tl.cat", &c, 1);
}

/* tl.full(shape, value, dtype), tl.zeros(shape, dtype) */
static int tl_full(lua_State *L)
{
    lua_settop(L, 3);
    kb_compute c = {.kind = KB_COMPUTE_FULL, .number = luaL_checknumber(L, 2)};
    check_shape(L, 1, "tl.full", &c);
    c.dtype = kb_check_dtype(L, 3, KB_F32);
    return compute(L, "tl.full", &c, 4);
}

static int tl_zeros(lua_State *L)
{
    lua_settop(L, 2);
    kb_compute c = {.kind = KB_COMPUTE_FULL};
    check_shape(L, 1, "tl.zeros", &c);
    c.dtype = kb_check_dtype(L, 2, KB_F32);
    return compute(L, "tl.zeros", &c, 3);
}

static int tl_zeros_like(lua_State *L)
{
    lua_settop(L, 1);
    const kb_value *v = kb_check_tile(L, 1, "tl.zeros_like")->value;
    kb_compute c = {.kind = KB_COMPUTE_FULL, .dtype = v->dtype, .rank = v->rank};
    memcpy(c.shape, v->shape, sizeof c.shape);
    return compute(L, "tl.zeros_like", &c, 2);
}

/* tl.arange(start, end, dtype): i32 unless told otherwise. */
static int tl_arange(lua_State *L)
{
    lua_settop(L, 3);
    int start = check_int(L, 1, "tl.arange", "start"), end = check_int(L, 2, "tl.arange", "end");
    if (end <= start)
        return kb_error(L, "tl.arange: the end %d is not above the start %d", end, start);
    kb_compute c = {.kind = KB_COMPUTE_ARANGE, .number = start, .rank = 1};
    c.shape[0] = (size_t)(end - start);
    c.dtype = kb_check_dtype(L, 3, KB_I32);
    return compute(L, "tl.arange", &c, 4);
}

/* ---- looking at values ---- */

/* The array of a tile, computed now. */
static kb_array *value_now(lua_State *L, int index, const char *call)
{
    kb_proc *proc = kb_check_kernel(L, call);
    kb_tile *tile = kb_check_tile(L, index, call);
    if (!proc->engine->data)
        kb_error(L, "%s: numbers are switched off (--no-data or data = false)", call);
    kb_err err = {0};
    if (kb_engine_settle(proc->engine, &err)) kb_raise(L, &err);
    return tile->value->array;
}

/* x:item(): the only element, as a Lua value. */
static int tl_item(lua_State *L)
{
    lua_settop(L, 1);
    kb_array *array = value_now(L, 1, "item");
    if (array->count != 1)
        return kb_error(L, "item: a tile of %d elements; expected one", (int)array->count);
    double number;
    kb_convert(KB_F64, &number, array->dtype, array->data, 1);
    if (array->dtype == KB_BOOL) {
        lua_pushboolean(L, number != 0);
    } else if (kb_dtype_is_float(array->dtype)) {
        lua_pushnumber(L, number);
    } else {
        int64_t integer;
        kb_convert(KB_I64, &integer, array->dtype, array->data, 1);
        lua_pushinteger(L, integer);
    }
    return 1;
}

/* tl.values(x): the contents as an np array, for device_print and tests. */
static int tl_values(lua_State *L)
{
    lua_settop(L, 1);
    kb_array *array = value_now(L, 1, "tl.values");
    kb_push_array(L, kb_array_retain(array));
    return 1;
}

static int tl_is_tile(lua_State *L)
{
    lua_pushboolean(L, kb_test_tile(L, 1) != NULL);
    return 1;
}

static int tl_has_values(lua_State *L)
{
    lua_pushboolean(L, kb_check_kernel(L, "tl.has_values")->engine->data);
    return 1;
}

/* "sip0.cube2.pe5" */
static int tl_whereabouts(lua_State *L)
{
    lua_pushstring(L, kb_check_kernel(L, "tl.device_print")->pe->name);
    return 1;
}

static const luaL_Reg functions[] = {{"is_tile", tl_is_tile},
                                     {"has_values", tl_has_values},
                                     {"whereabouts", tl_whereabouts},
                                     {"cumsum", tl_cumsum},
                                     {"where", tl_where},
                                     {"fma", tl_fma},
                                     {"cast", tl_cast},
                                     {"broadcast_to", tl_broadcast_to},
                                     {"reshape", tl_reshape},
                                     {"view", tl_reshape},
                                     {"expand_dims", tl_expand_dims},
                                     {"permute", tl_permute},
                                     {"trans", tl_trans},
                                     {"cat", tl_cat},
                                     {"full", tl_full},
                                     {"zeros", tl_zeros},
                                     {"zeros_like", tl_zeros_like},
                                     {"arange", tl_arange},
                                     {"item", tl_item},
                                     {"values", tl_values},
                                     {NULL, NULL}};

/* Set one closure per entry in the table on top. */
static void set_entries(lua_State *L, const entry *entries, lua_CFunction function)
{
    for (const entry *e = entries; e->name; e++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)e);
        lua_pushcclosure(L, function, 1);
        lua_setfield(L, -2, e->name);
    }
}

void kb_tl_math_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
    set_entries(L, binaries, binary);
    set_entries(L, unaries, unary);
    set_entries(L, reductions, reduction);
    kb_push_tile_metatable(L);
    set_entries(L, operators, binary);
    set_entries(L, unary_operators, unary);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "methods"); /* x:exp() is tl.exp(x) */
    lua_pop(L, 1);
}
