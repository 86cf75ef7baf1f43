/* Tensor descriptors: userdata "kernbench.descriptor", a tensor in memory that is loaded and stored
 * in blocks of one shape. What of a block lies outside of it reads as 0 and is not written. */
#include <string.h>

#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"
#include "bind/b_tl_mem.h"

#define DESCRIPTOR "kernbench.descriptor"

typedef struct descriptor {
    kb_ptr base; /* shape and strides are those of the tensor described */
    size_t block[KB_MAX_RANK];
} descriptor;

static const descriptor *check_descriptor(lua_State *L, const char *call)
{
    const descriptor *desc = luaL_testudata(L, 1, DESCRIPTOR);
    if (!desc)
        kb_error(L, "%s: expected a tensor descriptor, got %s (call it as desc:load{...})", call,
                 kb_typename(L, 1));
    kb_check_ptr_alive(L, &desc->base);
    return desc;
}

/* ---- making ---- */

static void check_extents(lua_State *L, int index, const char *what, int rank, size_t *sizes)
{
    size_t found[KB_MAX_RANK];
    int count = kb_check_extents(L, index, what, found);
    if (count != rank) kb_error(L, "%s: %d extents for %d dimensions", what, count, rank);
    memcpy(sizes, found, (size_t)rank * sizeof *found);
}

/* Its last element lies in what the PE holds. */
static void check_span(lua_State *L, const kb_ptr *ptr)
{
    uint64_t last = 0;
    bool countable = ptr->at >= 0;
    for (int d = 0; countable && d < ptr->rank; d++) {
        uint64_t step;
        countable = !__builtin_mul_overflow(ptr->shape[d] - 1, ptr->stride[d], &step) &&
                    !__builtin_add_overflow(last, step, &last);
    }
    size_t elements = kb_ptr_elements(ptr);
    char shape[KB_SHAPE_TEXT];
    if (!countable || (uint64_t)ptr->at >= elements || last >= elements - (uint64_t)ptr->at)
        kb_error(L,
                 "tl.make_tensor_descriptor: shape %s at element %I leads outside of tensor '%s', "
                 "which has %I elements here",
                 kb_shape_text(ptr->rank, ptr->shape, shape), (lua_Integer)ptr->at,
                 ptr->tensor->name, (lua_Integer)elements);
}

/* tl.make_tensor_descriptor(ptr, shape, strides, block_shape) */
static int make(lua_State *L)
{
    static const char *const names[] = {"base", "shape", "strides", "block_shape", NULL};
    static const char call[] = "tl.make_tensor_descriptor";
    kb_check_kernel(L, call);
    kb_unpack_options(L, call, names);
    descriptor desc = {.base = kb_check_ptr(L, 1, call)};
    kb_ptr *base = &desc.base;
    base->rank = kb_check_extents(L, 2, "tl.make_tensor_descriptor: shape", base->shape);
    kb_strides(base->rank, base->shape, base->stride);
    if (!lua_isnil(L, 3))
        check_extents(L, 3, "tl.make_tensor_descriptor: strides", base->rank, base->stride);
    check_extents(L, 4, "tl.make_tensor_descriptor: block_shape", base->rank, desc.block);
    check_span(L, base);
    descriptor *made = lua_newuserdatauv(L, sizeof *made, 1);
    *made = desc;
    luaL_setmetatable(L, DESCRIPTOR);
    kb_push_owner(L, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

/* ---- blocks ---- */

/* Where a block begins, in elements per dimension: the table at 2. */
static void check_offsets(lua_State *L, const descriptor *desc, const char *call,
                          int64_t offset[KB_MAX_RANK])
{
    int rank = desc->base.rank;
    if (!lua_istable(L, 2) || lua_rawlen(L, 2) != (lua_Unsigned)rank)
        kb_error(L, "%s: expected %d offsets in a table", call, rank);
    for (int d = 0; d < rank; d++) {
        int is_integer;
        lua_rawgeti(L, 2, d + 1);
        offset[d] = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || offset[d] < INT32_MIN || offset[d] > UINT32_MAX)
            kb_error(L, "%s: offset %d is %s; expected an integer of 32 bits", call, d,
                     luaL_tolstring(L, -1, NULL));
        lua_pop(L, 1);
    }
}

/* Whether all of the block lies inside. */
static bool is_inside(const descriptor *desc, const int64_t *offset)
{
    for (int d = 0; d < desc->base.rank; d++)
        if (offset[d] < 0 || (uint64_t)offset[d] + desc->block[d] > desc->base.shape[d])
            return false;
    return true;
}

static void mark_inside(const descriptor *desc, const int64_t *offset, uint8_t *mask, size_t count)
{
    size_t index[KB_MAX_RANK] = {0};
    int rank = desc->base.rank;
    for (size_t i = 0; i < count; i++) {
        mask[i] = 1;
        for (int d = 0; d < rank; d++) {
            int64_t at = offset[d] + (int64_t)index[d];
            if (at < 0 || (uint64_t)at >= desc->base.shape[d]) mask[i] = 0;
        }
        for (int d = rank - 1; d >= 0 && ++index[d] == desc->block[d]; d--) index[d] = 0;
    }
}

/* The block at the offsets, as a strided block, and its lanes: none if it can be moved whole. */
static kb_lanes lanes_of(lua_State *L, const descriptor *desc, const char *call, kb_ptr *ptr)
{
    int64_t offset[KB_MAX_RANK] = {0};
    check_offsets(L, desc, call, offset);
    *ptr = desc->base;
    memcpy(ptr->shape, desc->block, sizeof desc->block);
    for (int d = 0; d < ptr->rank; d++) {
        int64_t step;
        if (__builtin_mul_overflow(offset[d], ptr->stride[d], &step) ||
            __builtin_add_overflow(ptr->at, step, &ptr->at))
            kb_error(L, "%s: offset %d is too large", call, d);
    }
    bool inside = is_inside(desc, offset);
    if (inside && kb_ptr_is_region(ptr)) return (kb_lanes){0};
    size_t count = kb_lane_count(L, ptr, call);
    uint8_t *mask = NULL;
    if (!inside) {
        mask = lua_newuserdatauv(L, count, 0);
        mark_inside(desc, offset, mask, count);
    }
    return kb_check_lanes(L, ptr, NULL, mask, call);
}

static int load(lua_State *L, const char *call, bool async)
{
    kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    lua_settop(L, 2);
    kb_ptr ptr;
    kb_lanes lanes = lanes_of(L, check_descriptor(L, call), call, &ptr);
    return kb_load_lanes(L, &ptr, &lanes, NULL, call, async);
}

static int desc_load(lua_State *L)
{
    return load(L, "desc:load", false);
}

static int desc_load_async(lua_State *L)
{
    return load(L, "desc:load_async", true);
}

static int store(lua_State *L, const char *call, bool async)
{
    kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    lua_settop(L, 3);
    const descriptor *desc = check_descriptor(L, call);
    kb_tile *tile = kb_check_tile(L, 3, call);
    const kb_value *v = tile->value;
    kb_ptr ptr;
    kb_lanes lanes = lanes_of(L, desc, call, &ptr);
    char text[KB_SHAPE_TEXT + 16], shape[KB_SHAPE_TEXT];
    bool same = v->dtype == ptr.dtype && v->rank == ptr.rank;
    for (int d = 0; same && d < v->rank; d++) same = v->shape[d] == ptr.shape[d];
    if (!same)
        kb_error(L, "%s: the tile is %s, a block of the descriptor %s %s", call,
                 kb_value_text(v, text, sizeof text), kb_shape_text(ptr.rank, ptr.shape, shape),
                 kb_dtype_name(ptr.dtype));
    return kb_store_lanes(L, &ptr, &lanes, tile, call, async);
}

static int desc_store(lua_State *L)
{
    return store(L, "desc:store", false);
}

static int desc_store_async(lua_State *L)
{
    return store(L, "desc:store_async", true);
}

/* ---- fields ---- */

static const luaL_Reg methods[] = {{"load", desc_load},
                                   {"load_async", desc_load_async},
                                   {"store", desc_store},
                                   {"store_async", desc_store_async},
                                   {NULL, NULL}};

static int desc_index(lua_State *L)
{
    const descriptor *desc = check_descriptor(L, "tensor descriptor");
    const kb_ptr *base = &desc->base;
    const char *key = kb_check_key(L, "a tensor descriptor");
    for (const luaL_Reg *method = methods; method->name; method++)
        if (!strcmp(key, method->name)) {
            lua_pushcfunction(L, method->func);
            return 1;
        }
    if (!strcmp(key, "shape"))
        kb_push_sizes(L, base->rank, base->shape);
    else if (!strcmp(key, "strides"))
        kb_push_sizes(L, base->rank, base->stride);
    else if (!strcmp(key, "block_shape"))
        kb_push_sizes(L, base->rank, desc->block);
    else if (!strcmp(key, "dtype"))
        lua_pushstring(L, kb_dtype_name(base->dtype));
    else
        return kb_error(L,
                        "a tensor descriptor has no field '%s'; it has shape, strides, "
                        "block_shape, dtype, load, load_async, store, store_async",
                        key);
    return 1;
}

static int desc_tostring(lua_State *L)
{
    const descriptor *desc = check_descriptor(L, "tensor descriptor");
    char shape[KB_SHAPE_TEXT], block[KB_SHAPE_TEXT];
    lua_pushfstring(L, "<descriptor of %s of %s %s in blocks of %s>",
                    kb_shape_text(desc->base.rank, desc->base.shape, shape),
                    desc->base.tensor->name, kb_dtype_name(desc->base.dtype),
                    kb_shape_text(desc->base.rank, desc->block, block));
    return 1;
}

void kb_tl_desc_open(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__index", desc_index}, {"__tostring", desc_tostring}, {NULL, NULL}};
    luaL_newmetatable(L, DESCRIPTOR);
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
    lua_pushcfunction(L, make);
    lua_setfield(L, -2, "make_tensor_descriptor");
}
