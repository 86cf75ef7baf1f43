/* Products of matrices in kernels: tl.dot and tl.composite. */
#include <stdio.h>
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
    return kb_finish_issue(L, h, false, KB_WAIT_COMPUTE);
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
    return kb_finish_issue(L, h, true, KB_WAIT_ISSUE);
}

static const luaL_Reg functions[] = {{"dot", tl_dot}, {"composite", tl_composite}, {NULL, NULL}};

void kb_tl_matrix_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
