#include "bind/b_tl_compute.h"

#include <math.h>

#include "bind/b_tl.h"

kb_constant kb_constant_at(lua_State *L, int index)
{
    if (lua_isboolean(L, index))
        return (kb_constant){.from = KB_I64, .integer = lua_toboolean(L, index)};
    if (lua_isinteger(L, index))
        return (kb_constant){.from = KB_I64, .integer = lua_tointeger(L, index)};
    return (kb_constant){
        .from = KB_F64, .real = lua_tonumber(L, index), .integer = lua_tointegerx(L, index, NULL)};
}

/* Element type that constants adopt: that of the first tile with numbers among the operands, else
 * i32 or f32 as in Triton; bool only if all of them are masks and booleans. */
static kb_dtype constant_type(lua_State *L, kb_tile *const *tiles, int first, int count)
{
    kb_dtype dtype = KB_BOOL;
    for (int i = first; i < first + count; i++) {
        const kb_tile *tile = tiles[i - first];
        if (tile && tile->value->dtype != KB_BOOL) return tile->value->dtype;
        if (lua_type(L, i) != LUA_TNUMBER || dtype == KB_F32) continue;
        dtype = lua_isinteger(L, i) ? KB_I32 : KB_F32;
    }
    return dtype;
}

bool kb_dtype_holds(kb_dtype dtype, int64_t value)
{
    uint64_t stored = 0;
    int64_t back;
    kb_convert(dtype, &stored, KB_I64, &value, 1);
    kb_convert(KB_I64, &back, dtype, &stored, 1);
    return back == value && (dtype != KB_U64 || value >= 0);
}

void kb_check_constant(lua_State *L, int index, kb_dtype dtype, const char *call)
{
    int type = lua_type(L, index), is_integer;
    if (type != LUA_TNUMBER && type != LUA_TBOOLEAN)
        kb_error(L, "%s: expected a tile or a number, got %s", call, kb_typename(L, index));
    if (kb_dtype_is_float(dtype) || type == LUA_TBOOLEAN) return;
    lua_Integer value = lua_tointegerx(L, index, &is_integer);
    if (!is_integer)
        kb_error(L, "%s: %f has no value in %s; convert the tile with tl.cast first", call,
                 lua_tonumber(L, index), kb_dtype_name(dtype));
    if (!kb_dtype_holds(dtype, value))
        kb_error(L, "%s: %I has no value in %s", call, value, kb_dtype_name(dtype));
}

/* Returns what kb_kernel_compute does. */
static int issue(kb_proc *proc, kb_compute *c, const kb_operands *o, kb_op **op, kb_tile **view,
                 kb_err *err)
{
    for (int i = 0; i < c->in_count; i++) {
        const kb_constant *k = &o->constants[i];
        const void *number = k->from == KB_F64 ? (const void *)&k->real : &k->integer;
        c->in[i] = o->tiles[i] ? o->tiles[i]->value
                               : kb_value_scalar(proc->engine->values, o->dtype, k->from, number);
    }
    int status = kb_kernel_compute(proc, c, o->tiles, o->call, op, view, err);
    for (int i = 0; i < c->in_count; i++)
        if (!o->tiles[i]) kb_value_release(c->in[i]);
    return status;
}

/* Fills in what `c` has operands for. */
static void check_operands(lua_State *L, const char *call, const kb_compute *c, int first,
                           kb_operands *o)
{
    o->call = call;
    int skip = c->kind == KB_COMPUTE_WHERE; /* the condition's type says nothing */
    bool any = c->in_count == 0 || c->kind == KB_COMPUTE_BROADCAST;
    for (int i = 0; i < c->in_count; i++) o->tiles[i] = kb_test_tile(L, first + i);
    o->dtype = constant_type(L, o->tiles + skip, first + skip, c->in_count - skip);
    for (int i = 0; i < c->in_count; i++) {
        if (o->tiles[i]) {
            kb_check_usable(L, o->tiles[i], call);
            any = true;
            continue;
        }
        kb_check_constant(L, first + i, o->dtype, call);
        o->constants[i] = kb_constant_at(L, first + i);
    }
    if (!any) kb_error(L, "%s: expected a tile, got only numbers", call);
}

/* Whether an element of operand i is zero, or negative; "no" if nobody knows. */
static bool has_element(lua_State *L, const kb_operands *o, int i, bool negative)
{
    int64_t zero = 0;
    kb_array *limit = NULL, *found = NULL, *any = NULL;
    bool result = false;
    if (!o->tiles[i]) return negative ? o->constants[i].integer < 0 : o->constants[i].integer == 0;
    const kb_array *array = kb_tile_array(L, o->tiles[i]);
    if (!array) return false;
    if (kb_array_create(array->dtype, 0, NULL, &limit, NULL) == 0) {
        kb_array_fill(limit, KB_I64, &zero);
        if (kb_binary(negative ? KB_LT : KB_EQ, array, limit, &found, NULL) == 0 &&
            kb_reduce(KB_ANY, found, KB_ALL_AXES, false, &any, NULL) == 0)
            result = *(const uint8_t *)any->data;
    }
    kb_array_release(any);
    kb_array_release(found);
    kb_array_release(limit);
    return result;
}

/* Indices of tl.gather lead inside, as far as is known. */
static void check_indices(lua_State *L, const kb_compute *c, const kb_operands *o)
{
    if (c->kind != KB_COMPUTE_GATHER) return;
    const kb_value *v = o->tiles[0]->value;
    const kb_array *index = kb_tile_array(L, o->tiles[1]);
    if (!index || kb_dtype_is_float(index->dtype)) return;
    for (size_t i = 0; i < index->count; i++) {
        int64_t at;
        kb_convert(KB_I64, &at, index->dtype,
                   (const char *)index->data + i * kb_dtype_size(index->dtype), 1);
        if (at < 0 || (uint64_t)at >= v->shape[c->axis])
            kb_error(L, "%s: index %I outside an extent of %I in dimension %d", o->call,
                     (lua_Integer)at, (lua_Integer)v->shape[c->axis], c->axis);
    }
}

/* Operations of integers that some operands have no result for raise here, at the kernel's line. */
static void check_domain(lua_State *L, const kb_compute *c, const kb_operands *o)
{
    bool division = c->op == KB_FLOORDIV || c->op == KB_MOD;
    bool count = c->op == KB_POW || c->op == KB_SHL || c->op == KB_SHR;
    if (c->kind != KB_COMPUTE_BINARY || !(division || count)) return;
    for (int i = 0; i < 2; i++)
        if (kb_dtype_is_float(o->tiles[i] ? o->tiles[i]->value->dtype : o->dtype)) return;
    if (!has_element(L, o, 1, count)) return;
    kb_error(L,
             division ? "%s of integers: division by zero"
                      : "%s of integers: the right operand is negative",
             o->call);
}

/* A call that has to wait for room; its tiles stay on the stack. */
typedef struct late_call {
    kb_proc *proc;
    kb_compute compute;
    kb_operands operands;
} late_call;

static int run_late(lua_State *L, int status, lua_KContext at)
{
    (void)status;
    late_call *late = lua_touserdata(L, (int)at);
    return kb_tl_run(L, late->proc, &late->compute, &late->operands);
}

int kb_tl_run(lua_State *L, kb_proc *proc, kb_compute *c, const kb_operands *o)
{
    kb_op *op;
    kb_tile *view;
    kb_err err;
    int status = issue(proc, c, o, &op, &view, &err);
    if (status == KB_ENOSPC && kb_is_ahead(proc)) {
        late_call *late = lua_newuserdatauv(L, sizeof *late, 0);
        *late = (late_call){proc, *c, *o};
        return kb_catch_up(L, proc, o->call, run_late);
    }
    if (status == KB_ENOSPC) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = issue(proc, c, o, &op, &view, &err);
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
    return kb_finish_op(L, op, false, KB_WAIT_COMPUTE);
}

int kb_tl_compute(lua_State *L, const char *call, kb_compute *c, int first)
{
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_operands o = {0};
    check_operands(L, call, c, first, &o);
    check_domain(L, c, &o);
    check_indices(L, c, &o);
    return kb_tl_run(L, proc, c, &o);
}

int kb_check_int(lua_State *L, int index, const char *call, const char *what)
{
    int is_integer;
    lua_Integer value = lua_tointegerx(L, index, &is_integer);
    if (!is_integer || value < -1000000000 || value > 1000000000)
        kb_error(L, "%s: %s is %s; expected an integer", call, what,
                 luaL_tolstring(L, index, NULL));
    return (int)value;
}

int kb_check_axis(lua_State *L, int index, int tile, const char *call)
{
    int axis = kb_check_int(L, index, call, "axis"),
        rank = kb_check_tile(L, tile, call)->value->rank;
    if (axis < -rank || axis >= rank)
        kb_error(L, "%s: axis %d of a tile with %d dimensions", call, axis, rank);
    return axis < 0 ? axis + rank : axis;
}
