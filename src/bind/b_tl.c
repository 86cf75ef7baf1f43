/* Kernel operations in Lua: module "kernbench.core.tl". tl.lua adds to it. */
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_ptr.h"
#include "bind/b_tile.h"
#include "bind/b_tl.h"
#include "bind/bind.h"
#include "data/gemm.h"

/* ---- arguments ---- */

void kb_unpack_options(lua_State *L, const char *call, const char *const *names)
{
    int count = 0;
    while (names[count]) count++;
    if (lua_type(L, 1) != LUA_TTABLE || lua_getmetatable(L, 1)) {
        lua_settop(L, count);
        return;
    }
    lua_settop(L, 1);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        bool known = lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1;
        if (known && lua_tointeger(L, -2) > count)
            luaL_error(L, "%s: more than %d arguments", call, count);
        for (int i = 0; !known && i < count && lua_type(L, -2) == LUA_TSTRING; i++)
            known = !strcmp(lua_tostring(L, -2), names[i]);
        if (!known) luaL_error(L, "%s: unknown option '%s'", call, luaL_tolstring(L, -2, NULL));
    }
    for (int i = 0; i < count; i++) {
        if (lua_getfield(L, 1, names[i]) != LUA_TNIL) continue;
        lua_pop(L, 1);
        lua_rawgeti(L, 1, i + 1);
    }
    lua_remove(L, 1);
}

/* Strides of the block, in elements, one for each dimension. */
static void check_stride(lua_State *L, int index, kb_ptr *ptr, const char *call)
{
    if (!lua_istable(L, index) || lua_rawlen(L, index) != (lua_Unsigned)ptr->rank)
        luaL_error(L, "%s: stride: expected %d strides in a table, one for each dimension", call,
                   ptr->rank);
    for (int d = 0; d < ptr->rank; d++) {
        int is_integer;
        lua_rawgeti(L, index, d + 1);
        lua_Integer stride = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || stride < 1 || stride > UINT32_MAX)
            luaL_error(L, "%s: stride %d is %s; expected an integer from 1 to 2^32 - 1", call, d,
                       luaL_tolstring(L, -1, NULL));
        lua_pop(L, 1);
        ptr->stride[d] = (size_t)stride;
    }
}

/* The block that arguments `at` (pointer), at+1 (shape), at+2 (dtype), at+3 (stride) describe. */
static kb_ptr block(lua_State *L, int at, const char *call)
{
    kb_ptr ptr = *kb_check_ptr(L, at, call);
    if (!lua_isnoneornil(L, at + 1)) {
        size_t shape[KB_MAX_RANK];
        int rank = kb_check_extents(L, at + 1, call, shape);
        if (rank != ptr.rank || rank < 2) kb_strides(rank, shape, ptr.stride);
        ptr.rank = rank;
        memcpy(ptr.shape, shape, (size_t)rank * sizeof *shape);
    }
    if (!lua_isnoneornil(L, at + 2)) {
        kb_dtype dtype = kb_check_dtype(L, at + 2, ptr.dtype);
        if (dtype != ptr.dtype)
            luaL_error(L, "%s: tensor '%s' holds %s, not %s", call, ptr.tensor->name,
                       kb_dtype_name(ptr.dtype), kb_dtype_name(dtype));
    }
    if (!lua_isnoneornil(L, at + 3)) check_stride(L, at + 3, &ptr, call);
    return ptr;
}

/* ---- load and store ---- */

static int op_done(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    kb_handle *h = kb_check_handle(L, (int)context);
    kb_op *op = h->op;
    h->op = NULL;
    int results = kb_push_result(L, op);
    kb_op_release(op);
    return results;
}

static int issued(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    lua_pushvalue(L, (int)context);
    return 1;
}

/* Wait for the operation in the handle on top, or, asynchronous, until pe_cpu has issued it. */
static int finish_issue(lua_State *L, const kb_handle *h, bool async, kb_wait_reason reason)
{
    int at = lua_gettop(L);
    if (async) return kb_co_wait_until(L, h->op->issued, KB_WAIT_ISSUE, h->op->what, issued, at);
    return kb_co_wait(L, &h->op->done, reason, h->op->what, op_done, at);
}

static int do_load(lua_State *L, const char *call, bool async)
{
    static const char *const names[] = {"ptr", "shape", "dtype", "stride", NULL};
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_unpack_options(L, call, names);
    kb_ptr ptr = block(L, 1, call);
    kb_va_region region = kb_ptr_region(L, &ptr, call);
    kb_handle *h = kb_push_handle(L);
    kb_err err = {0};
    int status = kb_kernel_load(proc, &region, ptr.dtype, ptr.rank, ptr.shape, &h->op, &err);
    if (status == KB_ENOSPC) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_kernel_load(proc, &region, ptr.dtype, ptr.rank, ptr.shape, &h->op, &err);
    }
    if (status) return kb_raise(L, &err);
    return finish_issue(L, h, async, KB_WAIT_MEMORY);
}

static int tl_load(lua_State *L)
{
    return do_load(L, "tl.load", false);
}

static int tl_load_async(lua_State *L)
{
    return do_load(L, "tl.load_async", true);
}

static int do_store(lua_State *L, const char *call, bool async)
{
    static const char *const names[] = {"ptr", "value", "stride", NULL};
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_unpack_options(L, call, names);
    kb_ptr ptr = *kb_check_ptr(L, 1, call);
    kb_tile *tile = kb_check_tile(L, 2, call);
    const kb_value *value = tile->value;
    if (value->dtype != ptr.dtype)
        return luaL_error(L, "%s: the tile is %s, tensor '%s' holds %s", call,
                          kb_dtype_name(value->dtype), ptr.tensor->name, kb_dtype_name(ptr.dtype));
    if (value->rank != ptr.rank || value->rank < 2)
        kb_strides(value->rank, value->shape, ptr.stride);
    ptr.rank = value->rank;
    memcpy(ptr.shape, value->shape, (size_t)value->rank * sizeof *ptr.shape);
    if (!lua_isnil(L, 3)) check_stride(L, 3, &ptr, call);
    kb_va_region region = kb_ptr_region(L, &ptr, call);
    kb_handle *h = kb_push_handle(L);
    kb_err err = {0};
    if (kb_kernel_store(proc, &region, tile, &h->op, &err)) return kb_raise(L, &err);
    return finish_issue(L, h, async, KB_WAIT_MEMORY);
}

static int tl_store(lua_State *L)
{
    return do_store(L, "tl.store", false);
}

static int tl_store_async(lua_State *L)
{
    return do_store(L, "tl.store_async", true);
}

/* tl.ref(ptr, shape, dtype): a block that stays in memory, to be streamed. */
static int tl_ref(lua_State *L)
{
    static const char *const names[] = {"ptr", "shape", "dtype", "stride", NULL};
    kb_check_kernel(L, "tl.ref");
    kb_unpack_options(L, "tl.ref", names);
    kb_ptr ptr = block(L, 1, "tl.ref");
    kb_ptr_region(L, &ptr, "tl.ref"); /* checks the bounds */
    kb_push_ptr(L, &ptr, 1);
    return 1;
}

/* ---- products ---- */

/* A matrix operand: rank 2, a tile or a block in memory. */
typedef struct matrix {
    kb_matrix_arg arg;
    kb_dtype dtype;
    size_t rows, cols;
} matrix;

/* Products stream whole rows. */
static void check_rows(lua_State *L, const kb_ptr *ptr, const char *what)
{
    if (ptr->rank == 2 && ptr->shape[1] > 1 && ptr->stride[1] != 1)
        luaL_error(L, "%s: the elements of a row are %I apart; a product takes them adjacent", what,
                   (lua_Integer)ptr->stride[1]);
}

static matrix check_matrix(lua_State *L, int index, const char *call, const char *name)
{
    char what[64], text[KB_SHAPE_TEXT + 16];
    snprintf(what, sizeof what, "%s: %s", call, name);
    const kb_ptr *ptr = kb_test_ptr(L, index);
    matrix result = {0};
    int rank;
    if (ptr) {
        check_rows(L, ptr, what);
        kb_va_region region = kb_ptr_region(L, ptr, what);
        rank = ptr->rank;
        result.arg.va = region.va;
        result.arg.stride = region.stride;
        result.dtype = ptr->dtype;
        result.rows = ptr->shape[0];
        result.cols = rank > 1 ? ptr->shape[1] : 0;
    } else {
        kb_tile *tile = kb_check_tile(L, index, what);
        rank = tile->value->rank;
        result.arg.tile = tile;
        result.dtype = tile->value->dtype;
        result.rows = tile->value->shape[0];
        result.cols = rank > 1 ? tile->value->shape[1] : 0;
        if (rank != 2)
            luaL_error(L, "%s is %s: expected two dimensions", what,
                       kb_value_text(tile->value, text, sizeof text));
    }
    if (rank != 2) luaL_error(L, "%s has %d dimensions: expected two", what, rank);
    if (result.rows > UINT32_MAX || result.cols > UINT32_MAX)
        luaL_error(L, "%s: an extent is larger than 2^32 - 1", what);
    return result;
}

static void matrix_text(const matrix *m, char *text, size_t size)
{
    snprintf(text, size, "(%zu, %zu) %s", m->rows, m->cols, kb_dtype_name(m->dtype));
}

/* Shapes and types of a and b go together. */
static void check_product(lua_State *L, const char *call, const matrix *a, const matrix *b)
{
    char at[64], bt[64];
    matrix_text(a, at, sizeof at);
    matrix_text(b, bt, sizeof bt);
    if (a->dtype != b->dtype) luaL_error(L, "%s: a is %s, b is %s: the types differ", call, at, bt);
    if (a->cols != b->rows)
        luaL_error(L, "%s: a is %s, b is %s: inner extents %d and %d differ", call, at, bt,
                   (int)a->cols, (int)b->rows);
}

static kb_product product_of(const char *call, const matrix *a, const matrix *b, kb_dtype out)
{
    return (kb_product){.M = (uint32_t)a->rows,
                        .K = (uint32_t)a->cols,
                        .N = (uint32_t)b->cols,
                        .in = a->dtype,
                        .out_type = out,
                        .a = a->arg,
                        .b = b->arg,
                        .what = call};
}

static kb_tile *check_accumulator(lua_State *L, int index, const kb_product *p)
{
    if (lua_isnoneornil(L, index)) return NULL;
    kb_tile *acc = kb_check_tile(L, index, "tl.dot: acc");
    const kb_value *v = acc->value;
    char text[KB_SHAPE_TEXT + 16];
    if (v->rank != 2 || v->shape[0] != p->M || v->shape[1] != p->N ||
        v->dtype != kb_gemm_acc(p->in))
        luaL_error(L, "tl.dot: acc is %s: expected (%d, %d) %s",
                   kb_value_text(v, text, sizeof text), (int)p->M, (int)p->N,
                   kb_dtype_name(kb_gemm_acc(p->in)));
    return acc;
}

/* tl.dot(a, b, acc, out_dtype): tiles in, a tile out; waits. */
static int tl_dot(lua_State *L)
{
    static const char *const names[] = {"a", "b", "acc", "out_dtype", NULL};
    kb_proc *proc = kb_check_kernel(L, "tl.dot");
    kb_co_check_wait(L, "tl.dot");
    kb_unpack_options(L, "tl.dot", names);
    kb_check_tile(L, 1, "tl.dot: a");
    kb_check_tile(L, 2, "tl.dot: b");
    matrix a = check_matrix(L, 1, "tl.dot", "a"), b = check_matrix(L, 2, "tl.dot", "b");
    check_product(L, "tl.dot", &a, &b);
    kb_product p = product_of("tl.dot", &a, &b, kb_gemm_acc(a.dtype));
    if (!lua_isnil(L, 4)) p.out_type = kb_check_dtype(L, 4, p.out_type);
    if (kb_dtype_is_float(p.out_type) != kb_dtype_is_float(p.in))
        return luaL_error(L, "tl.dot: out_dtype %s for operands of %s", kb_dtype_name(p.out_type),
                          kb_dtype_name(p.in));
    p.acc = check_accumulator(L, 3, &p);
    kb_handle *h = kb_push_handle(L);
    kb_err err = {0};
    int status = kb_kernel_product(proc, &p, &h->op, &err);
    if (status == KB_ENOSPC) {
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_kernel_product(proc, &p, &h->op, &err);
    }
    if (status) return kb_raise(L, &err);
    return finish_issue(L, h, false, KB_WAIT_COMPUTE);
}

/* Where the result of a composite goes: a block of M x N in memory. */
static kb_matrix_arg check_out(lua_State *L, int index, kb_product *p)
{
    kb_ptr ptr = *kb_check_ptr(L, index, "tl.composite: out");
    if (ptr.rank != 2 || ptr.shape[0] != p->M || ptr.shape[1] != p->N) {
        size_t shape[2] = {p->M, p->N};
        char have[KB_SHAPE_TEXT];
        size_t count = 1;
        for (int d = 0; d < ptr.rank; d++) count *= ptr.shape[d];
        if (count != shape[0] * shape[1])
            luaL_error(L, "tl.composite: the product is (%d, %d), out is %s", (int)p->M, (int)p->N,
                       kb_shape_text(ptr.rank, ptr.shape, have));
        ptr.rank = 2;
        memcpy(ptr.shape, shape, sizeof shape);
        kb_strides(2, shape, ptr.stride);
    }
    p->out_type = ptr.dtype;
    check_rows(L, &ptr, "tl.composite: out");
    kb_va_region region = kb_ptr_region(L, &ptr, "tl.composite: out");
    return (kb_matrix_arg){.va = region.va, .stride = region.stride};
}

/* tl.composite{op = "gemm", a =, b =, out =}: issues; returns a handle for tl.wait. */
static int tl_composite(lua_State *L)
{
    static const char *const names[] = {"op", "a", "b", "out", NULL};
    kb_proc *proc = kb_check_kernel(L, "tl.composite");
    kb_co_check_wait(L, "tl.composite");
    kb_unpack_options(L, "tl.composite", names);
    const char *kind = lua_tostring(L, 1);
    if (!kind || strcmp(kind, "gemm") != 0)
        return luaL_error(L, "tl.composite: op is %s; the only composite is \"gemm\"",
                          luaL_tolstring(L, 1, NULL));
    matrix a = check_matrix(L, 2, "tl.composite", "a"), b = check_matrix(L, 3, "tl.composite", "b");
    check_product(L, "tl.composite", &a, &b);
    kb_product p = product_of("tl.composite", &a, &b, a.dtype);
    p.out = check_out(L, 4, &p);
    if (kb_dtype_is_float(p.out_type) != kb_dtype_is_float(p.in))
        return luaL_error(L, "tl.composite: out holds %s, the operands %s",
                          kb_dtype_name(p.out_type), kb_dtype_name(p.in));
    kb_handle *h = kb_push_handle(L);
    kb_err err = {0};
    if (kb_kernel_product(proc, &p, &h->op, &err)) return kb_raise(L, &err);
    return finish_issue(L, h, true, KB_WAIT_ISSUE);
}

/* ---- waiting ---- */

/* Wait for the handles at 1..n one after another; `next` is the first that may not be complete. */
static int wait_from(lua_State *L, int status, lua_KContext next)
{
    (void)status;
    int count = lua_gettop(L);
    for (int i = (int)next; i <= count; i++) {
        kb_handle *h = kb_check_handle(L, i);
        if (!kb_completion_done(&h->op->done))
            return kb_co_wait(L, &h->op->done, KB_WAIT_COMPUTE, "tl.wait", wait_from, i + 1);
    }
    for (int i = 1; i <= count; i++) {
        kb_handle *h = kb_check_handle(L, i);
        if (!kb_push_result(L, h->op)) lua_pushnil(L);
    }
    return count;
}

/* tl.wait(handle, ...): returns the tiles of loads, nil for others. */
static int tl_wait(lua_State *L)
{
    kb_check_kernel(L, "tl.wait");
    kb_co_check_wait(L, "tl.wait");
    int count = lua_gettop(L);
    if (count == 0) return luaL_error(L, "tl.wait: expected the handle of an operation");
    for (int i = 1; i <= count; i++)
        if (!kb_test_handle(L, i))
            return luaL_error(L,
                              "tl.wait: argument %d is a %s; expected the handle of an operation",
                              i, luaL_typename(L, i));
    return wait_from(L, LUA_OK, 1);
}

/* ---- who and when ---- */

static int check_axis(lua_State *L, const char *call)
{
    lua_Integer axis = luaL_optinteger(L, 1, 0);
    if (axis < 0 || axis > 2)
        luaL_error(L, "%s: axis %I; expected 0 (PE in its cube), 1 (cube) or 2 (SIP)", call, axis);
    return (int)axis;
}

static int tl_program_id(lua_State *L)
{
    const kb_pe *pe = kb_check_kernel(L, "tl.program_id")->pe;
    int id[] = {pe->number, pe->cube, pe->sip};
    lua_pushinteger(L, id[check_axis(L, "tl.program_id")]);
    return 1;
}

/* How many there are in the launch: PEs in this cube, cubes; and SIPs of the machine. */
static int tl_num_programs(lua_State *L)
{
    const kb_proc *proc = kb_check_kernel(L, "tl.num_programs");
    const kb_msg *msg = &proc->launch->msg;
    int count[] = {__builtin_popcount(msg->targets[proc->target].pe_mask), (int)msg->target_count,
                   proc->engine->m->graph->sips};
    lua_pushinteger(L, count[check_axis(L, "tl.num_programs")]);
    return 1;
}

static int tl_now(lua_State *L)
{
    lua_pushnumber(L, kb_time_ns(kb_check_kernel(L, "tl.now")->engine->sim->now));
    return 1;
}

static const luaL_Reg functions[] = {{"load", tl_load},
                                     {"load_async", tl_load_async},
                                     {"store", tl_store},
                                     {"store_async", tl_store_async},
                                     {"ref", tl_ref},
                                     {"dot", tl_dot},
                                     {"composite", tl_composite},
                                     {"wait", tl_wait},
                                     {"program_id", tl_program_id},
                                     {"num_programs", tl_num_programs},
                                     {"now", tl_now},
                                     {NULL, NULL}};

int luaopen_kernbench_core_tl(lua_State *L)
{
    kb_ptr_open(L);
    kb_tile_open(L);
    luaL_newlib(L, functions);
    kb_tl_math_open(L);
    return 1;
}
