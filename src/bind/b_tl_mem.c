/* Memory in the kernel language: blocks, loads and stores. */
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_ptr.h"
#include "bind/b_tile.h"
#include "bind/b_tl.h"

/* ---- blocks ---- */

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
    return kb_finish_issue(L, h, async, KB_WAIT_MEMORY);
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
    return kb_finish_issue(L, h, async, KB_WAIT_MEMORY);
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

static const luaL_Reg functions[] = {{"load", tl_load},   {"load_async", tl_load_async},
                                     {"store", tl_store}, {"store_async", tl_store_async},
                                     {"ref", tl_ref},     {NULL, NULL}};

void kb_tl_mem_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
