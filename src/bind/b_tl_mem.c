/* Memory in the kernel language: blocks, loads and stores. */
#include "bind/b_tl_mem.h"

#include <string.h>

#include "bind/b_np.h"
#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"

/* ---- blocks ---- */

/* Strides of the block, in elements, one for each dimension. */
static void check_stride(lua_State *L, int index, kb_ptr *ptr, const char *call)
{
    if (!lua_istable(L, index) || lua_rawlen(L, index) != (lua_Unsigned)ptr->rank)
        kb_error(L, "%s: stride: expected %d strides in a table, one for each dimension", call,
                 ptr->rank);
    for (int d = 0; d < ptr->rank; d++) {
        int is_integer;
        lua_rawgeti(L, index, d + 1);
        lua_Integer stride = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || stride < 1 || stride > UINT32_MAX)
            kb_error(L, "%s: stride %d is %s; expected an integer from 1 to 2^32 - 1", call, d,
                     luaL_tolstring(L, -1, NULL));
        lua_pop(L, 1);
        ptr->stride[d] = (size_t)stride;
    }
}

static void check_dtype(lua_State *L, int index, const kb_ptr *ptr, const char *call)
{
    if (lua_isnoneornil(L, index)) return;
    kb_dtype dtype = kb_check_dtype(L, index, ptr->dtype);
    if (dtype != ptr->dtype)
        kb_error(L, "%s: tensor '%s' holds %s, not %s", call, ptr->tensor->name,
                 kb_dtype_name(ptr->dtype), kb_dtype_name(dtype));
}

/* The block that arguments `at` (pointer), at+1 (shape), at+2 (dtype), at+3 (stride) describe. */
static kb_ptr block(lua_State *L, int at, const char *call)
{
    kb_ptr ptr = kb_check_ptr(L, at, call);
    if (!lua_isnoneornil(L, at + 1)) {
        size_t shape[KB_MAX_RANK];
        int rank = kb_check_extents(L, at + 1, call, shape);
        if (rank != ptr.rank || rank < 2) kb_strides(rank, shape, ptr.stride);
        ptr.rank = rank;
        memcpy(ptr.shape, shape, (size_t)rank * sizeof *shape);
    }
    check_dtype(L, at + 2, &ptr, call);
    if (!lua_isnoneornil(L, at + 3)) check_stride(L, at + 3, &ptr, call);
    return ptr;
}

/* ---- single elements ---- */

size_t kb_lane_count(lua_State *L, const kb_ptr *ptr, const char *call)
{
    size_t count = 1;
    kb_check_ptr_extent(L, ptr, call);
    for (int d = 0; d < ptr->rank; d++)
        if (__builtin_mul_overflow(count, ptr->shape[d], &count)) count = SIZE_MAX;
    char shape[KB_SHAPE_TEXT];
    if (count > KB_MOST_LANES)
        kb_error(L, "%s: a block of shape %s has more elements than can be masked or scattered, %d",
                 call, kb_shape_text(ptr->rank, ptr->shape, shape), (int)KB_MOST_LANES);
    return count;
}

/* Where the lanes of a block of pointers lead. */
static void follow_pointers(lua_State *L, const kb_ptr_block *from, int64_t *element, size_t count,
                            const char *call)
{
    const kb_array *offsets = kb_tile_array(L, from->offsets);
    if (!offsets)
        kb_error(L,
                 "%s: where these pointers lead depends on what memory holds, and numbers are "
                 "switched off (--no-data or data = false)",
                 call);
    kb_convert(KB_I64, element, offsets->dtype, offsets->data, count);
    for (size_t i = 0; i < count; i++)
        if (__builtin_add_overflow(element[i], from->base.at, &element[i])) element[i] = INT64_MIN;
}

/* The same for a block with strides: rows of the last dimension, counting up the others. */
static void follow_strides(const kb_ptr *ptr, int64_t *element, size_t count)
{
    size_t index[KB_MAX_RANK] = {0};
    int last = ptr->rank - 1;
    for (size_t i = 0; i < count; i++) {
        int64_t at = ptr->at;
        for (int d = 0; d <= last; d++) {
            int64_t step;
            if (__builtin_mul_overflow(index[d], ptr->stride[d], &step) ||
                __builtin_add_overflow(at, step, &at))
                at = INT64_MIN;
        }
        element[i] = at;
        for (int d = last; d >= 0 && ++index[d] == ptr->shape[d]; d--) index[d] = 0;
    }
}

/* "(1, 3)" of lane i. */
static const char *lane_text(const kb_ptr *ptr, size_t lane, char text[KB_SHAPE_TEXT])
{
    size_t index[KB_MAX_RANK] = {0};
    for (int d = ptr->rank; d-- > 0; lane /= ptr->shape[d]) index[d] = lane % ptr->shape[d];
    return kb_shape_text(ptr->rank, index, text);
}

static void check_bounds(lua_State *L, const kb_ptr *ptr, const kb_lanes *lanes, const char *call)
{
    uint64_t elements = kb_ptr_elements(ptr);
    for (size_t i = 0; i < lanes->count; i++) {
        if (lanes->mask && !lanes->mask[i]) continue;
        if (lanes->element[i] >= 0 && (uint64_t)lanes->element[i] < elements) continue;
        char lane[KB_SHAPE_TEXT];
        kb_error(L,
                 "%s: lane %s leads to element %I, outside of tensor '%s', which has %I elements "
                 "here",
                 call, lane_text(ptr, i, lane), (lua_Integer)lanes->element[i], ptr->tensor->name,
                 (lua_Integer)elements);
    }
}

const uint8_t *kb_check_mask(lua_State *L, int index, const kb_ptr *ptr, const char *call)
{
    if (lua_isnoneornil(L, index)) return NULL;
    size_t count = kb_lane_count(L, ptr, call);
    if (lua_isboolean(L, index)) {
        if (lua_toboolean(L, index)) return NULL;
        return memset(lua_newuserdatauv(L, count, 0), 0, count);
    }
    char what[64], text[KB_SHAPE_TEXT + 16], shape[KB_SHAPE_TEXT];
    snprintf(what, sizeof what, "%s: mask", call);
    const kb_tile *tile = kb_check_tile(L, index, what);
    if (tile->value->dtype != KB_BOOL)
        kb_error(L, "%s is %s; expected bool, as tl.lt and the like give", what,
                 kb_value_text(tile->value, text, sizeof text));
    const kb_array *array = kb_tile_array(L, tile);
    if (!array)
        kb_error(L,
                 "%s depends on what memory holds, and numbers are switched off (--no-data or "
                 "data = false)",
                 what);
    uint8_t *mask = lua_newuserdatauv(L, count, 0);
    kb_array *full;
    if (kb_array_broadcast_to(array, ptr->rank, ptr->shape, &full, NULL))
        kb_error(L, "%s is %s; the block is %s", what,
                 kb_value_text(tile->value, text, sizeof text),
                 kb_shape_text(ptr->rank, ptr->shape, shape));
    memcpy(mask, full->data, count);
    kb_array_release(full);
    return mask;
}

kb_lanes kb_check_lanes(lua_State *L, const kb_ptr *ptr, const kb_ptr_block *from,
                        const uint8_t *mask, const char *call)
{
    size_t count = kb_lane_count(L, ptr, call);
    int64_t *element = lua_newuserdatauv(L, count * sizeof *element, 0);
    if (from)
        follow_pointers(L, from, element, count, call);
    else
        follow_strides(ptr, element, count);
    kb_lanes lanes = {.count = count, .element = element, .mask = mask};
    check_bounds(L, ptr, &lanes, call);
    return lanes;
}

/* ---- what a call touches ---- */

kb_lanes kb_lanes_of(lua_State *L, const kb_ptr *ptr, int mask, const char *call)
{
    const kb_ptr_block *from = kb_test_ptr_block(L, 1);
    const uint8_t *bytes = kb_check_mask(L, mask, ptr, call);
    if (!from && !bytes && kb_ptr_is_region(ptr)) return (kb_lanes){0};
    return kb_check_lanes(L, ptr, from, bytes, call);
}

kb_access kb_access_of(lua_State *L, const kb_ptr *ptr, const kb_lanes *lanes, kb_access_room *room,
                       const char *call)
{
    *room = (kb_access_room){0};
    if (!lanes->element) {
        room->whole = kb_ptr_region(L, ptr, call);
        return (kb_access){.regions = &room->whole, .count = 1};
    }
    kb_lanes_coalesce(lanes, kb_ptr_base(ptr), kb_dtype_size(ptr->dtype), &room->parts);
    return (kb_access){
        .regions = room->parts.data, .count = room->parts.count, .mask = lanes->mask};
}

/* ---- load and store ---- */

/* What is loaded where the mask is off: a number, or a tile that broadcasts to the block. The
 * caller releases it. */
static kb_value *check_other(lua_State *L, int index, const kb_ptr *ptr, const char *call)
{
    if (lua_isnil(L, index)) return NULL;
    char what[64], text[KB_SHAPE_TEXT + 16], shape[KB_SHAPE_TEXT];
    snprintf(what, sizeof what, "%s: other", call);
    if (!kb_test_tile(L, index)) {
        kb_check_constant(L, index, ptr->dtype, what);
        kb_constant c = kb_constant_at(L, index);
        const void *number = c.from == KB_F64 ? (const void *)&c.real : &c.integer;
        return kb_value_scalar(NULL, ptr->dtype, c.from, number);
    }
    kb_value *v = kb_check_tile(L, index, what)->value;
    bool fits = v->dtype == ptr->dtype && v->rank <= ptr->rank;
    for (int d = 0; fits && d < v->rank; d++)
        fits = v->shape[d] == 1 || v->shape[d] == ptr->shape[d + ptr->rank - v->rank];
    if (!fits)
        kb_error(L, "%s is %s; the block is %s %s", what, kb_value_text(v, text, sizeof text),
                 kb_shape_text(ptr->rank, ptr->shape, shape), kb_dtype_name(ptr->dtype));
    return kb_value_retain(v);
}

/* The block that a load reads: arguments ptr, shape, dtype, stride. */
static kb_ptr block_to_load(lua_State *L, const char *call)
{
    const kb_ptr_block *from = kb_test_ptr_block(L, 1);
    if (!from) return block(L, 1, call);
    kb_ptr ptr = from->base;
    const kb_value *v = from->offsets->value;
    if (!lua_isnil(L, 2) || !lua_isnil(L, 4))
        kb_error(L, "%s: a block of pointers has a shape, and no strides", call);
    check_dtype(L, 3, &ptr, call);
    ptr.rank = v->rank;
    memcpy(ptr.shape, v->shape, sizeof v->shape);
    return ptr;
}

/* A load that has to wait for room; what its lanes point to stays on the stack. */
typedef struct late_load {
    kb_ptr ptr;
    kb_lanes lanes;
    kb_value *other;
    const char *call;
    bool async;
} late_load;

static int load_late(lua_State *L, int status, lua_KContext at)
{
    (void)status;
    late_load *late = lua_touserdata(L, (int)at);
    return kb_load_lanes(L, &late->ptr, &late->lanes, late->other, late->call, late->async);
}

int kb_load_lanes(lua_State *L, const kb_ptr *ptr, const kb_lanes *lanes, kb_value *other,
                  const char *call, bool async)
{
    kb_proc *proc = kb_check_kernel(L, call);
    kb_op *op;
    kb_access_room room;
    kb_access access = kb_access_of(L, ptr, lanes, &room, call);
    access.other = other;
    kb_err err;
    int status = kb_kernel_load(proc, &access, ptr->dtype, ptr->rank, ptr->shape, &op, &err);
    if (status == KB_ENOSPC && kb_is_ahead(proc)) {
        kb_vec_free(&room.parts);
        late_load *late = lua_newuserdatauv(L, sizeof *late, 0);
        *late = (late_load){*ptr, *lanes, other, call, async};
        return kb_catch_up(L, proc, call, load_late);
    }
    if (status == KB_ENOSPC) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_kernel_load(proc, &access, ptr->dtype, ptr->rank, ptr->shape, &op, &err);
    }
    kb_vec_free(&room.parts);
    kb_value_release(other);
    if (status) return kb_raise(L, &err);
    return kb_finish_op(L, op, async, KB_WAIT_MEMORY);
}

static int do_load(lua_State *L, const char *call, bool async)
{
    static const char *const names[] = {"ptr", "shape", "dtype", "stride", "mask", "other", NULL};
    kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_unpack_options(L, call, names);
    kb_ptr ptr = block_to_load(L, call);
    if (lua_isnil(L, 5) && !lua_isnil(L, 6)) return kb_error(L, "%s: other without a mask", call);
    kb_lanes lanes = kb_lanes_of(L, &ptr, 5, call);
    kb_value *other = lanes.mask ? check_other(L, 6, &ptr, call) : NULL;
    return kb_load_lanes(L, &ptr, &lanes, other, call, async);
}

static int tl_load(lua_State *L)
{
    return do_load(L, "tl.load", false);
}

static int tl_load_async(lua_State *L)
{
    return do_load(L, "tl.load_async", true);
}

void kb_fit_block(lua_State *L, kb_ptr *ptr, const kb_value *value, const char *call)
{
    if (value->dtype != ptr->dtype)
        kb_error(L, "%s: the tile is %s, tensor '%s' holds %s", call, kb_dtype_name(value->dtype),
                 ptr->tensor->name, kb_dtype_name(ptr->dtype));
    if (value->rank != ptr->rank || value->rank < 2)
        kb_strides(value->rank, value->shape, ptr->stride);
    ptr->rank = value->rank;
    memcpy(ptr->shape, value->shape, sizeof value->shape);
}

/* The block at 1 that takes the tile: a pointer's has the tile's shape. */
static kb_ptr block_to_store(lua_State *L, const kb_value *value, const char *call)
{
    char text[KB_SHAPE_TEXT + 16], shape[KB_SHAPE_TEXT];
    const kb_ptr_block *to = kb_test_ptr_block(L, 1);
    kb_ptr ptr = to ? to->base : kb_check_ptr(L, 1, call);
    size_t strides[KB_MAX_RANK];
    memcpy(strides, ptr.stride, sizeof strides);
    kb_fit_block(L, &ptr, value, call);
    if (!to) return ptr;
    const kb_value *v = to->offsets->value;
    if (v->rank != value->rank ||
        memcmp(v->shape, value->shape, (size_t)v->rank * sizeof v->shape[0]) != 0)
        kb_error(L, "%s: the tile is %s, the block of pointers %s", call,
                 kb_value_text(value, text, sizeof text), kb_shape_text(v->rank, v->shape, shape));
    memcpy(ptr.stride, strides, sizeof strides);
    return ptr;
}

int kb_store_lanes(lua_State *L, const kb_ptr *ptr, const kb_lanes *lanes, kb_tile *tile,
                   const char *call, bool async)
{
    kb_proc *proc = kb_check_kernel(L, call);
    kb_op *op;
    kb_access_room room;
    kb_access access = kb_access_of(L, ptr, lanes, &room, call);
    kb_err err;
    int status = kb_kernel_store(proc, &access, tile, &op, &err);
    kb_vec_free(&room.parts);
    if (status) return kb_raise(L, &err);
    return kb_finish_op(L, op, async, KB_WAIT_MEMORY);
}

static int do_store(lua_State *L, const char *call, bool async)
{
    static const char *const names[] = {"ptr", "value", "stride", "mask", NULL};
    kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_unpack_options(L, call, names);
    bool scattered = kb_test_ptr_block(L, 1) != NULL;
    if (!scattered) kb_check_ptr(L, 1, call);
    kb_tile *tile = kb_check_tile(L, 2, call);
    kb_ptr ptr = block_to_store(L, tile->value, call);
    if (scattered && !lua_isnil(L, 3))
        return kb_error(L, "%s: a block of pointers has no strides", call);
    if (!lua_isnil(L, 3)) check_stride(L, 3, &ptr, call);
    kb_lanes lanes = kb_lanes_of(L, &ptr, 4, call);
    return kb_store_lanes(L, &ptr, &lanes, tile, call, async);
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
    kb_tl_atomic_open(L);
    kb_tl_desc_open(L);
}
