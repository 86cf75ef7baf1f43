/* Putting the elements of tiles into another order, choosing among them, and counting them. */
#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"

/* The axis at that index, or the last one of the tile at 1. */
static int axis_or_last(lua_State *L, int index, const char *call)
{
    int rank = kb_check_tile(L, 1, call)->value->rank;
    if (rank == 0) kb_error(L, "%s: a tile of one element has no axis", call);
    return lua_isnil(L, index) ? rank - 1 : kb_check_axis(L, index, 1, call);
}

static int sorted(lua_State *L, const char *call, bool indices)
{
    static const char *const names[] = {"x", "dim", "descending", NULL};
    kb_unpack_options(L, call, names);
    kb_compute c = {.kind = KB_COMPUTE_SORT, .in_count = 1, .keep = indices};
    c.axis = axis_or_last(L, 2, call);
    c.reverse = lua_toboolean(L, 3);
    return kb_tl_compute(L, call, &c, 1);
}

/* tl.sort(x, dim, descending) */
static int tl_sort(lua_State *L)
{
    return sorted(L, "tl.sort", false);
}

/* tl.argsort(x, dim, descending): i32 */
static int tl_argsort(lua_State *L)
{
    return sorted(L, "tl.argsort", true);
}

/* tl.flip(x, dim) */
static int tl_flip(lua_State *L)
{
    static const char *const names[] = {"x", "dim", NULL};
    kb_unpack_options(L, "tl.flip", names);
    kb_compute c = {.kind = KB_COMPUTE_FLIP, .in_count = 1};
    c.axis = axis_or_last(L, 2, "tl.flip");
    return kb_tl_compute(L, "tl.flip", &c, 1);
}

/* tl.narrow(x, dim, start, length): part of a tile. */
static int tl_narrow(lua_State *L)
{
    static const char *const names[] = {"x", "dim", "start", "length", NULL};
    kb_unpack_options(L, "tl.narrow", names);
    kb_compute c = {.kind = KB_COMPUTE_NARROW, .in_count = 1};
    c.axis = kb_check_axis(L, 2, 1, "tl.narrow");
    c.start = kb_check_int(L, 3, "tl.narrow", "start");
    c.count = kb_check_int(L, 4, "tl.narrow", "length");
    return kb_tl_compute(L, "tl.narrow", &c, 1);
}

/* tl.gather(src, index, axis): out[i][j] = src[index[i][j]][j] for axis 0. */
static int tl_gather(lua_State *L)
{
    static const char *const names[] = {"src", "index", "axis", NULL};
    kb_unpack_options(L, "tl.gather", names);
    kb_compute c = {.kind = KB_COMPUTE_GATHER, .in_count = 2};
    kb_check_tile(L, 2, "tl.gather: index");
    c.axis = axis_or_last(L, 3, "tl.gather");
    return kb_tl_compute(L, "tl.gather", &c, 1);
}

/* tl.histogram(x, num_bins, mask) */
static int tl_histogram(lua_State *L)
{
    static const char *const names[] = {"x", "num_bins", "mask", NULL};
    kb_unpack_options(L, "tl.histogram", names);
    kb_compute c = {.kind = KB_COMPUTE_HISTOGRAM, .in_count = lua_isnil(L, 3) ? 1 : 2};
    c.count = kb_check_int(L, 2, "tl.histogram", "num_bins");
    if (c.count < 1) return kb_error(L, "tl.histogram: %d bins; expected at least 1", (int)c.count);
    kb_check_tile(L, 1, "tl.histogram");
    if (c.in_count == 2) kb_check_tile(L, 3, "tl.histogram: mask");
    lua_remove(L, 2);
    return kb_tl_compute(L, "tl.histogram", &c, 1);
}

static const luaL_Reg functions[] = {
    {"sort", tl_sort},     {"argsort", tl_argsort},     {"flip", tl_flip}, {"narrow", tl_narrow},
    {"gather", tl_gather}, {"histogram", tl_histogram}, {NULL, NULL}};

void kb_tl_order_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
