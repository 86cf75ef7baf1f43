/* Tile arithmetic in Lua: operators and the functions of the vector engine. */
#include <math.h>
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_tile.h"
#include "bind/b_tl.h"

/* ---- operands and issue ---- */

/* A Lua number or boolean among the operands. */
typedef struct constant {
    kb_dtype from; /* KB_F64: `real`; KB_I64: `integer` */
    double real;
    int64_t integer; /* of a whole `real`, too */
} constant;

static constant constant_at(lua_State *L, int index)
{
    if (lua_isboolean(L, index))
        return (constant){.from = KB_I64, .integer = lua_toboolean(L, index)};
    if (lua_isinteger(L, index))
        return (constant){.from = KB_I64, .integer = lua_tointeger(L, index)};
    return (constant){
        .from = KB_F64, .real = lua_tonumber(L, index), .integer = lua_tointegerx(L, index, NULL)};
}

/* Element type that constants adopt: that of the first tile with numbers among the operands, else
 * i32 or f32 as in Triton; bool only if all of them are masks and booleans. */
static kb_dtype constant_type(lua_State *L, int first, int count)
{
    kb_dtype dtype = KB_BOOL;
    for (int i = first; i < first + count; i++) {
        const kb_tile *tile = kb_test_tile(L, i);
        if (tile && tile->value->dtype != KB_BOOL) return tile->value->dtype;
        if (lua_type(L, i) != LUA_TNUMBER || dtype == KB_F32) continue;
        dtype = lua_isinteger(L, i) ? KB_I32 : KB_F32;
    }
    return dtype;
}

/* Whether the integer type holds that value. */
static bool holds(kb_dtype dtype, int64_t value)
{
    uint64_t stored = 0;
    int64_t back;
    kb_convert(dtype, &stored, KB_I64, &value, 1);
    kb_convert(KB_I64, &back, dtype, &stored, 1);
    return back == value && (dtype != KB_U64 || value >= 0);
}

static void check_constant(lua_State *L, int index, kb_dtype dtype, const char *call)
{
    int type = lua_type(L, index), is_integer;
    if (type != LUA_TNUMBER && type != LUA_TBOOLEAN)
        kb_error(L, "%s: expected a tile or a number, got %s", call, luaL_typename(L, index));
    if (kb_dtype_is_float(dtype) || type == LUA_TBOOLEAN) return;
    lua_Integer value = lua_tointegerx(L, index, &is_integer);
    if (!is_integer)
        kb_error(L, "%s: %f has no value in %s; convert the tile with tl.cast first", call,
                 lua_tonumber(L, index), kb_dtype_name(dtype));
    if (!holds(dtype, value))
        kb_error(L, "%s: %I has no value in %s", call, value, kb_dtype_name(dtype));
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

/* What one call needs: tiles, and constants where a tile is null. `call` is static text. */
typedef struct operands {
    const char *call;
    kb_tile *tiles[3];
    constant constants[3];
    kb_dtype dtype; /* of the constants */
} operands;

/* Returns what kb_kernel_compute does. */
static int issue(kb_proc *proc, kb_compute *c, const operands *o, kb_op **op, kb_tile **view,
                 kb_err *err)
{
    for (int i = 0; i < c->in_count; i++) {
        const constant *k = &o->constants[i];
        const void *number = k->from == KB_F64 ? (const void *)&k->real : &k->integer;
        c->in[i] = o->tiles[i] ? kb_value_retain(o->tiles[i]->value)
                               : kb_value_scalar(o->dtype, k->from, number);
    }
    int status = kb_kernel_compute(proc, c, o->tiles, o->call, op, view, err);
    for (int i = 0; i < c->in_count; i++) kb_value_release(c->in[i]);
    return status;
}

static operands check_operands(lua_State *L, const char *call, const kb_compute *c, int first)
{
    operands o = {.call = call};
    int skip = c->kind == KB_COMPUTE_WHERE; /* the condition's type says nothing */
    bool any = c->in_count == 0 || c->kind == KB_COMPUTE_BROADCAST;
    o.dtype = constant_type(L, first + skip, c->in_count - skip);
    for (int i = 0; i < c->in_count; i++) {
        if (kb_test_tile(L, first + i)) {
            o.tiles[i] = kb_check_tile(L, first + i, call);
            any = true;
            continue;
        }
        check_constant(L, first + i, o.dtype, call);
        o.constants[i] = constant_at(L, first + i);
    }
    if (!any) kb_error(L, "%s: expected a tile, got only numbers", call);
    return o;
}

/* The elements of operand i, computed now. */
static kb_array *elements_now(lua_State *L, kb_proc *proc, const operands *o, int i)
{
    kb_err err = {0};
    if (kb_engine_settle(proc->engine, &err)) kb_raise(L, &err);
    return kb_array_retain(o->tiles[i]->value->array);
}

/* Whether an element of operand i is zero, or negative. */
static bool has_element(lua_State *L, kb_proc *proc, const operands *o, int i, bool negative)
{
    int64_t zero = 0;
    kb_array *limit = NULL, *found = NULL, *any = NULL;
    bool result = false;
    if (!o->tiles[i]) return negative ? o->constants[i].integer < 0 : o->constants[i].integer == 0;
    kb_array *array = elements_now(L, proc, o, i);
    if (kb_array_create(array->dtype, 0, NULL, &limit, NULL) == 0) {
        kb_array_fill(limit, KB_I64, &zero);
        if (kb_binary(negative ? KB_LT : KB_EQ, array, limit, &found, NULL) == 0 &&
            kb_reduce(KB_ANY, found, KB_ALL_AXES, false, &any, NULL) == 0)
            result = *(const uint8_t *)any->data;
    }
    kb_array_release(any);
    kb_array_release(found);
    kb_array_release(limit);
    kb_array_release(array);
    return result;
}

/* Operations of integers that some operands have no result for raise here, at the kernel's line. */
static void check_domain(lua_State *L, kb_proc *proc, const kb_compute *c, const operands *o)
{
    bool division = c->op == KB_FLOORDIV || c->op == KB_MOD;
    bool count = c->op == KB_POW || c->op == KB_SHL || c->op == KB_SHR;
    if (c->kind != KB_COMPUTE_BINARY || !proc->engine->data || !(division || count)) return;
    for (int i = 0; i < 2; i++)
        if (kb_dtype_is_float(o->tiles[i] ? o->tiles[i]->value->dtype : o->dtype)) return;
    if (!has_element(L, proc, o, 1, count)) return;
    kb_error(L,
             division ? "%s of integers: division by zero"
                      : "%s of integers: the right operand is negative",
             o->call);
}

/* Issue and wait; returns a tile. */
static int run(lua_State *L, kb_proc *proc, kb_compute *c, const operands *o)
{
    kb_handle *h = kb_push_handle(L);
    kb_tile *view;
    kb_err err = {0};
    int status = issue(proc, c, o, &h->op, &view, &err);
    if (status == KB_ENOSPC) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = issue(proc, c, o, &h->op, &view, &err);
    }
    if (status) {
        kb_fail_at(&err, "%s", o->call);
        return kb_raise(L, &err);
    }
    if (view) {
        kb_push_tile(L, view);
        kb_tile_release(view);
        return 1;
    }
    return kb_co_wait(L, &h->op->done, KB_WAIT_COMPUTE, o->call, computed, lua_gettop(L));
}

/* Run the operation on the operands at first, first + 1, ...; waits; returns a tile. `call` is
 * static text. */
static int compute(lua_State *L, const char *call, kb_compute *c, int first)
{
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    operands o = check_operands(L, call, c, first);
    check_domain(L, proc, c, &o);
    return run(L, proc, c, &o);
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

/* A tile of the type and shape in c, every element the number at `value`. */
static int filled(lua_State *L, const char *call, kb_compute *c, int value)
{
    c->kind = KB_COMPUTE_BROADCAST;
    c->in_count = 1;
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    check_constant(L, value, c->dtype, call);
    operands o = {.call = call, .constants = {constant_at(L, value)}, .dtype = c->dtype};
    return run(L, proc, c, &o);
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
    int start = check_int(L, 1, "tl.arange", "start"), end = check_int(L, 2, "tl.arange", "end");
    if (end <= start)
        return kb_error(L, "tl.arange: the end %d is not above the start %d", end, start);
    kb_compute c = {.kind = KB_COMPUTE_ARANGE, .start = start, .rank = 1};
    c.shape[0] = (size_t)(end - start);
    c.dtype = kb_check_dtype(L, 3, KB_I32);
    if (!kb_dtype_is_float(c.dtype) && !(holds(c.dtype, start) && holds(c.dtype, end - 1)))
        return kb_error(L, "tl.arange: %d to %d have no value in %s", start, end - 1,
                        kb_dtype_name(c.dtype));
    return compute(L, "tl.arange", &c, 4);
}

/* < <= == of tiles: Lua would turn the result into one boolean. */
static int no_comparison(lua_State *L)
{
    return kb_error(L, "tiles are compared element by element with tl.lt, le, gt, ge, eq, ne");
}

static const luaL_Reg comparisons[] = {
    {"__lt", no_comparison}, {"__le", no_comparison}, {"__eq", no_comparison}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"cumsum", tl_cumsum},
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
    kb_tl_look_open(L);
    set_entries(L, binaries, binary);
    set_entries(L, unaries, unary);
    set_entries(L, reductions, reduction);
    kb_push_tile_metatable(L);
    luaL_setfuncs(L, comparisons, 0);
    set_entries(L, operators, binary);
    set_entries(L, unary_operators, unary);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "methods"); /* x:exp() is tl.exp(x) */
    lua_pop(L, 1);
}
