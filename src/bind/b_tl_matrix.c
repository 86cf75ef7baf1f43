/* Products of matrices in kernels: tl.dot and tl.composite. */
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_ptr.h"
#include "bind/b_tile.h"
#include "bind/b_tl.h"
#include "data/gemm.h"

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
        kb_error(L, "%s: the elements of a row are %I apart; a product takes them adjacent", what,
                 (lua_Integer)ptr->stride[1]);
}

/* `what` is "tl.dot: a". */
static matrix check_matrix(lua_State *L, int index, const char *what)
{
    char text[KB_SHAPE_TEXT + 16];
    kb_ptr ptr;
    matrix result = {0};
    int rank;
    if (kb_test_ptr(L, index, &ptr)) {
        check_rows(L, &ptr, what);
        kb_va_region region = kb_ptr_region(L, &ptr, what);
        rank = ptr.rank;
        result.arg.va = region.va;
        result.arg.stride = region.stride;
        result.dtype = ptr.dtype;
        result.rows = ptr.shape[0];
        result.cols = rank > 1 ? ptr.shape[1] : 0;
    } else {
        kb_tile *tile = kb_check_tile(L, index, what);
        rank = tile->value->rank;
        result.arg.tile = tile;
        result.dtype = tile->value->dtype;
        result.rows = tile->value->shape[0];
        result.cols = rank > 1 ? tile->value->shape[1] : 0;
        if (rank != 2)
            kb_error(L, "%s is %s: expected two dimensions", what,
                     kb_value_text(tile->value, text, sizeof text));
    }
    if (rank != 2) kb_error(L, "%s has %d dimensions: expected two", what, rank);
    if (result.rows > UINT32_MAX || result.cols > UINT32_MAX)
        kb_error(L, "%s: an extent is larger than 2^32 - 1", what);
    return result;
}

/* Push "(32, 64) f16". */
static const char *push_text(lua_State *L, const matrix *m)
{
    return lua_pushfstring(L, "(%I, %I) %s", (lua_Integer)m->rows, (lua_Integer)m->cols,
                           kb_dtype_name(m->dtype));
}

/* Shapes and types of a and b go together. */
static void check_product(lua_State *L, const char *call, const matrix *a, const matrix *b,
                          bool b_transposed)
{
    size_t inner = b_transposed ? b->cols : b->rows;
    if (!kb_gemm_takes(a->dtype, b->dtype))
        kb_error(L, "%s: a is %s, b is %s: the types differ", call, push_text(L, a),
                 push_text(L, b));
    if (a->cols != inner)
        kb_error(L, "%s: a is %s, b is %s%s: inner extents %d and %d differ", call, push_text(L, a),
                 push_text(L, b), b_transposed ? ", transposed" : "", (int)a->cols, (int)inner);
}

static kb_product product_of(const char *call, const matrix *a, const matrix *b, bool b_transposed)
{
    return (kb_product){.M = (uint32_t)a->rows,
                        .K = (uint32_t)a->cols,
                        .N = (uint32_t)(b_transposed ? b->rows : b->cols),
                        .in_a = a->dtype,
                        .in_b = b->dtype,
                        .out_type = kb_gemm_acc(a->dtype),
                        .b_transposed = b_transposed,
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
        v->dtype != kb_gemm_acc(p->in_a))
        kb_error(L, "tl.dot: acc is %s: expected (%d, %d) %s", kb_value_text(v, text, sizeof text),
                 (int)p->M, (int)p->N, kb_dtype_name(kb_gemm_acc(p->in_a)));
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
    matrix a = check_matrix(L, 1, "tl.dot: a"), b = check_matrix(L, 2, "tl.dot: b");
    check_product(L, "tl.dot", &a, &b, false);
    kb_product p = product_of("tl.dot", &a, &b, false);
    if (!lua_isnil(L, 4)) p.out_type = kb_check_dtype(L, 4, p.out_type);
    if (kb_dtype_is_float(p.out_type) != kb_dtype_is_float(p.in_a))
        return kb_error(L, "tl.dot: out_dtype %s for operands of %s", kb_dtype_name(p.out_type),
                        kb_dtype_name(p.in_a));
    p.acc = check_accumulator(L, 3, &p);
    kb_op *op;
    kb_err err;
    int status = kb_kernel_product(proc, &p, &op, &err);
    if (status == KB_ENOSPC && kb_is_ahead(proc)) return kb_call_late(L, proc, "tl.dot", tl_dot);
    if (status == KB_ENOSPC) {
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_kernel_product(proc, &p, &op, &err);
    }
    if (status) return kb_raise(L, &err);
    return kb_finish_op(L, op, false, KB_WAIT_COMPUTE);
}

/* Where the result of a composite goes: a block of M x N in memory. */
static kb_matrix_arg check_out(lua_State *L, int index, kb_product *p)
{
    kb_ptr ptr = kb_check_ptr(L, index, "tl.composite: out");
    if (ptr.rank != 2 || ptr.shape[0] != p->M || ptr.shape[1] != p->N) {
        size_t shape[2] = {p->M, p->N};
        char have[KB_SHAPE_TEXT];
        size_t count = 1;
        for (int d = 0; d < ptr.rank; d++) count *= ptr.shape[d];
        if (count != shape[0] * shape[1])
            kb_error(L, "tl.composite: the product is (%d, %d), out is %s", (int)p->M, (int)p->N,
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

/* ---- epilogues ---- */

static const struct {
    const char *name, *what;
    kb_binary_op op;
    bool row, matrix; /* what the operand may be */
} OPERAND_STEPS[] = {{"bias", "tl.composite: bias", KB_ADD, true, false},
                     {"residual", "tl.composite: residual", KB_ADD, false, true},
                     {"scale", "tl.composite: scale", KB_MUL, true, false}};

enum { OPERAND_STEP_COUNT = sizeof OPERAND_STEPS / sizeof OPERAND_STEPS[0], STEPS_MAX = 64 };

static int unknown_step(lua_State *L, const char *name)
{
    luaL_Buffer all;
    luaL_buffinit(L, &all);
    luaL_addstring(&all, "bias, residual, scale, cast");
    for (int i = 0; kb_epilogue_name(i); i++) {
        luaL_addstring(&all, ", ");
        luaL_addstring(&all, kb_epilogue_name(i));
    }
    luaL_pushresult(&all);
    return kb_error(L, "tl.composite: there is no step '%s' of an epilogue; there are: %s", name,
                    lua_tostring(L, -1));
}

/* The operand at the index, which has to be a row of N elements or an M x N matrix. */
static void check_step_operand(lua_State *L, int index, const kb_product *p, int kind,
                               kb_product_step *s)
{
    char have[KB_SHAPE_TEXT + 16];
    const char *what = OPERAND_STEPS[kind].what;
    kb_ptr room, *ptr = kb_test_ptr(L, index, &room) ? &room : NULL;
    kb_tile *tile = ptr ? NULL : kb_check_tile(L, index, what);
    int rank = ptr ? ptr->rank : tile->value->rank;
    const size_t *shape = ptr ? ptr->shape : tile->value->shape;
    s->kind = KB_PRODUCT_OPERAND;
    s->op = OPERAND_STEPS[kind].op;
    s->row = OPERAND_STEPS[kind].row;
    s->dtype = ptr ? ptr->dtype : tile->value->dtype;
    size_t rows = s->row ? 1 : p->M, have_rows = rank == 2 ? shape[0] : rank == 1 ? 1 : 0;
    if (have_rows != rows || shape[rank - 1] != p->N || (rank == 1 && !s->row))
        kb_error(L, "%s is %s %s, the product is (%d, %d): expected (%s%d)", what,
                 kb_shape_text(rank, shape, have), kb_dtype_name(s->dtype), (int)p->M, (int)p->N,
                 s->row ? "" : lua_pushfstring(L, "%d, ", (int)p->M), (int)p->N);
    s->operand.tile = tile;
    if (!ptr) return;
    check_rows(L, ptr, what);
    kb_va_region region = kb_ptr_region(L, ptr, what);
    s->operand.va = region.va;
    s->operand.stride = region.stride;
}

/* The step in the table on top: {"gelu"}, {"bias", b}, {"scale", 0.5}, {"cast", "f16"}. */
static void check_step(lua_State *L, const kb_product *p, kb_product_step *s)
{
    int at = lua_gettop(L);
    lua_rawgeti(L, at, 1);
    lua_rawgeti(L, at, 2);
    if (lua_type(L, at + 1) != LUA_TSTRING)
        kb_error(L, "tl.composite: a step of an epilogue begins with its name, not a %s",
                 kb_typename(L, at + 1));
    if (lua_rawlen(L, at) > 2)
        kb_error(L, "tl.composite: %s has %d operands; a step takes at most one",
                 lua_tostring(L, at + 1), (int)lua_rawlen(L, at) - 1);
    s->name = lua_tostring(L, at + 1); /* the table holds it */
    for (int i = 0; i < OPERAND_STEP_COUNT; i++) {
        if (strcmp(s->name, OPERAND_STEPS[i].name) != 0) continue;
        if (lua_type(L, at + 2) == LUA_TNUMBER && OPERAND_STEPS[i].op == KB_MUL) {
            s->kind = KB_PRODUCT_SCALE;
            s->factor = lua_tonumber(L, at + 2);
        } else {
            check_step_operand(L, at + 2, p, i, s);
        }
        return;
    }
    if (!strcmp(s->name, "cast")) {
        if (lua_isnil(L, at + 2)) kb_error(L, "tl.composite: cast: to which dtype?");
        s->kind = KB_PRODUCT_CAST;
        s->dtype = kb_check_dtype(L, at + 2, KB_F32);
        return;
    }
    s->kind = KB_PRODUCT_NAMED;
    bool known = false;
    for (int i = 0; kb_epilogue_name(i); i++) known |= !strcmp(s->name, kb_epilogue_name(i));
    if (!known) unknown_step(L, s->name);
    if (!lua_isnil(L, at + 2)) kb_error(L, "tl.composite: %s takes no operand", s->name);
}

/* The epilogue at the index; its steps live on the stack. */
static void check_epilogue(lua_State *L, int index, kb_product *p)
{
    if (lua_isnil(L, index)) return;
    if (!lua_istable(L, index))
        kb_error(L, "tl.composite: epilogue is a %s; expected a sequence of steps",
                 kb_typename(L, index));
    lua_Unsigned count = lua_rawlen(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        if (!lua_isinteger(L, -2) || (lua_Unsigned)lua_tointeger(L, -2) - 1 >= count)
            kb_error(L,
                     "tl.composite: the epilogue has the key '%s'; expected a sequence of steps, "
                     "such as {{\"bias\", b}, {\"gelu\"}}",
                     luaL_tolstring(L, -2, NULL));
    if (count > STEPS_MAX)
        kb_error(L, "tl.composite: the epilogue has %d steps; at most %d", (int)count, STEPS_MAX);
    luaL_checkstack(L, 4, "epilogue");
    kb_product_step *steps = lua_newuserdatauv(L, (count + 1) * sizeof *steps, 0);
    memset(steps, 0, (count + 1) * sizeof *steps);
    int top = lua_gettop(L);
    for (lua_Unsigned i = 0; i < count; i++) {
        if (lua_rawgeti(L, index, (lua_Integer)i + 1) != LUA_TTABLE)
            kb_error(L,
                     "tl.composite: step %d of the epilogue is a %s; expected a table such as "
                     "{\"gelu\"}",
                     (int)i + 1, kb_typename(L, -1));
        check_step(L, p, &steps[i]);
        lua_settop(L, top);
    }
    p->steps = steps;
    p->step_count = (int)count;
}

/* Whether b is given as (N, K). */
static bool check_trans_b(lua_State *L, int index)
{
    if (!lua_isnil(L, index) && !lua_isboolean(L, index))
        kb_error(L, "tl.composite: trans_b is %s; expected true or false",
                 luaL_tolstring(L, index, NULL));
    return lua_toboolean(L, index);
}

/* tl.composite{op = "gemm", a =, b =, out =, epilogue = {...}, trans_b =}: issues; returns a handle
 * for tl.wait. */
static int tl_composite(lua_State *L)
{
    static const char *const names[] = {"op", "a", "b", "out", "epilogue", "trans_b", NULL};
    kb_proc *proc = kb_check_kernel(L, "tl.composite");
    kb_co_check_wait(L, "tl.composite");
    kb_unpack_options(L, "tl.composite", names);
    const char *kind = lua_tostring(L, 1);
    if (!kind || strcmp(kind, "gemm") != 0)
        return kb_error(L, "tl.composite: op is %s; the only composite is \"gemm\"",
                        luaL_tolstring(L, 1, NULL));
    matrix a = check_matrix(L, 2, "tl.composite: a"), b = check_matrix(L, 3, "tl.composite: b");
    bool trans_b = check_trans_b(L, 6);
    check_product(L, "tl.composite", &a, &b, trans_b);
    kb_product p = product_of("tl.composite", &a, &b, trans_b);
    p.out = check_out(L, 4, &p);
    check_epilogue(L, 5, &p);
    if (!p.step_count && kb_dtype_is_float(p.out_type) != kb_dtype_is_float(p.in_a))
        return kb_error(L, "tl.composite: out holds %s, the operands %s", kb_dtype_name(p.out_type),
                        kb_dtype_name(p.in_a));
    kb_op *op;
    kb_err err;
    if (kb_kernel_product(proc, &p, &op, &err)) {
        kb_fail_at(&err, "tl.composite");
        return kb_raise(L, &err);
    }
    return kb_finish_op(L, op, true, KB_WAIT_ISSUE);
}

static const luaL_Reg functions[] = {{"dot", tl_dot}, {"composite", tl_composite}, {NULL, NULL}};

void kb_tl_matrix_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
