#include "bind/b_ptr.h"

#include <string.h>

#include "bind/b_ptr_block.h"
#include "bind/b_tl_compute.h"
#include "bind/bind.h"

static const kb_object_kind PTR = {"kernbench.pointer", KB_SLOT_POINTER, NULL};

static bool is_alive(const kb_ptr *ptr)
{
    return ptr->owner->engine->e && ptr->owner->t == ptr->tensor;
}

void kb_check_ptr_alive(lua_State *L, const kb_ptr *ptr)
{
    if (!is_alive(ptr)) kb_error(L, "the tensor to which this pointer leads has been freed");
}

kb_ptr *kb_test_ptr(lua_State *L, int index)
{
    kb_ptr *ptr = kb_test_kind(L, index, &PTR);
    if (ptr) kb_check_ptr_alive(L, ptr);
    return ptr;
}

kb_ptr *kb_check_ptr(lua_State *L, int index, const char *what)
{
    kb_ptr *ptr = kb_test_ptr(L, index);
    if (!ptr)
        kb_error(L, "%s: expected a pointer (a tensor argument of the kernel), got %s", what,
                 kb_typename(L, index));
    return ptr;
}

kb_ptr *kb_push_ptr(lua_State *L, const kb_ptr *ptr, int owner)
{
    kb_ptr *copy = kb_new_object(L, &PTR, sizeof *copy, 1);
    *copy = *ptr;
    if (kb_test_kind(L, owner, &PTR))
        lua_getiuservalue(L, owner, 1);
    else
        lua_pushvalue(L, owner);
    lua_setiuservalue(L, -2, 1);
    return copy;
}

/* Push a pointer to a piece, the whole or nothing; `owner` as for kb_push_ptr. */
static void push_piece(lua_State *L, kb_ptr ptr, uint32_t piece, int owner)
{
    const kb_tensor *t = ptr.tensor;
    bool is_piece = piece < t->piece_count;
    ptr.piece = piece;
    ptr.at = 0;
    ptr.dtype = t->dtype;
    ptr.rank = t->rank;
    memcpy(ptr.shape, is_piece ? t->pieces[piece].extent : t->shape,
           (size_t)t->rank * sizeof *ptr.shape);
    if (piece == KB_NO_PIECE) ptr.shape[0] = 0;
    kb_strides(t->rank, ptr.shape, ptr.stride);
    kb_push_ptr(L, &ptr, owner);
}

void kb_push_pointer(lua_State *L, int index, int cube, int pe)
{
    kb_tensor *t = kb_check_tensor(L, index);
    kb_ptr ptr = {.owner = kb_tensor_box(L, index), .tensor = t};
    uint32_t piece;
    if (!kb_tensor_piece_of(t, cube, pe, &piece))
        kb_error(L, "tensor '%s' has no part on cube %d, pe %d, where the kernel runs", t->name,
                 cube, pe);
    push_piece(L, ptr, piece, index);
}

/* The piece, or NULL if it leads to the whole or to nothing. */
static const kb_tensor_piece *piece_of(const kb_ptr *ptr)
{
    return ptr->piece < ptr->tensor->piece_count ? &ptr->tensor->pieces[ptr->piece] : NULL;
}

size_t kb_ptr_elements(const kb_ptr *ptr)
{
    const kb_tensor_piece *piece = piece_of(ptr);
    if (ptr->piece == KB_NO_PIECE) return 0;
    return (piece ? piece->bytes : ptr->tensor->bytes) / kb_dtype_size(ptr->dtype);
}

kb_vaddr kb_ptr_base(const kb_ptr *ptr)
{
    const kb_tensor_piece *piece = piece_of(ptr);
    return piece ? piece->va : ptr->tensor->va;
}

void kb_check_ptr_extent(lua_State *L, const kb_ptr *ptr, const char *call)
{
    for (int d = 0; d < ptr->rank; d++)
        if (ptr->shape[d] == 0)
            kb_error(L, "%s: this PE has no part of tensor '%s'", call, ptr->tensor->name);
}

/* A block as rows of adjacent elements; distances in elements. */
typedef struct rows {
    size_t count, stride, length;
} rows;

/* False if the rows are not equally far apart. Dimensions of extent 1 have no say; neighbours in
 * the last dimension that are not adjacent are rows of one element. */
static bool rows_of(const kb_ptr *ptr, rows *r)
{
    int d = ptr->rank - 1;
    *r = (rows){.count = 1, .length = 1};
    if (d >= 0 && (ptr->stride[d] == 1 || ptr->shape[d] == 1)) r->length = ptr->shape[d--];
    r->stride = r->length;
    for (bool first = true; d >= 0; d--) {
        if (ptr->shape[d] == 1) continue;
        if (first) r->stride = ptr->stride[d];
        if (ptr->stride[d] != r->stride * r->count) return false;
        if (__builtin_mul_overflow(r->count, ptr->shape[d], &r->count)) {
            r->count = SIZE_MAX; /* whatever the rest: it is too much */
            return true;
        }
        first = false;
    }
    return true;
}

bool kb_ptr_is_region(const kb_ptr *ptr)
{
    rows r;
    return rows_of(ptr, &r);
}

/* Elements from the first to one past the last; false if they cannot be counted. */
static bool span_of(const rows *r, uint64_t *span)
{
    uint64_t before;
    return r->count <= UINT32_MAX && !__builtin_mul_overflow(r->count - 1, r->stride, &before) &&
           !__builtin_add_overflow(before, r->length, span);
}

kb_va_region kb_ptr_region(lua_State *L, const kb_ptr *ptr, const char *call)
{
    size_t element = kb_dtype_size(ptr->dtype);
    rows r;
    char shape[KB_SHAPE_TEXT];
    kb_check_ptr_extent(L, ptr, call);
    if (!rows_of(ptr, &r))
        kb_error(L, "%s: the rows of a %s block with these strides are not equally far apart", call,
                 kb_shape_text(ptr->rank, ptr->shape, shape));
    size_t count = kb_ptr_elements(ptr);
    uint64_t span = 0;
    int64_t end = 0;
    if (!span_of(&r, &span) || __builtin_add_overflow(span, ptr->at, &end))
        kb_error(L, "%s: a block of shape %s at element %I is larger than any tensor", call,
                 kb_shape_text(ptr->rank, ptr->shape, shape), (lua_Integer)ptr->at);
    if (ptr->at < 0 || (uint64_t)ptr->at > count || span > count - (uint64_t)ptr->at)
        kb_error(L,
                 "%s: a block of shape %s at element %I reaches to element %I, outside of tensor "
                 "'%s', which has %I elements here",
                 call, kb_shape_text(ptr->rank, ptr->shape, shape), (lua_Integer)ptr->at,
                 (lua_Integer)end, ptr->tensor->name, (lua_Integer)count);
    return (kb_va_region){.va = kb_vaddr_plus(kb_ptr_base(ptr), (uint64_t)ptr->at * element),
                          .rows = (uint32_t)r.count,
                          .row_bytes = r.length * element,
                          .stride = r.stride * element};
}

/* ---- fields and arithmetic ---- */

void kb_push_sizes(lua_State *L, int rank, const size_t *sizes)
{
    lua_createtable(L, rank, 0);
    for (int d = 0; d < rank; d++) {
        lua_pushinteger(L, (lua_Integer)sizes[d]);
        lua_rawseti(L, -2, d + 1);
    }
}

/* ptr:part(cube, pe): a pointer to the part that another PE holds. */
static int ptr_part(lua_State *L)
{
    lua_settop(L, 3);
    const kb_ptr *ptr = kb_check_ptr(L, 1, "pointer:part");
    int cube = kb_check_int(L, 2, "pointer:part", "cube");
    int pe = kb_check_int(L, 3, "pointer:part", "pe");
    const kb_tensor *t = ptr->tensor;
    const kb_shard *shard = kb_tensor_shard_of(t, cube, pe);
    if (!shard)
        kb_error(L, "pointer:part: tensor '%s' has no part on cube %d, pe %d", t->name, cube, pe);
    push_piece(L, *ptr, shard->piece, 1);
    return 1;
}

/* ptr:whole(): a pointer to all of the tensor. */
static int ptr_whole(lua_State *L)
{
    lua_settop(L, 1);
    const kb_ptr *ptr = kb_check_ptr(L, 1, "pointer:whole");
    const kb_tensor *t = ptr->tensor;
    if (!t->row_major)
        kb_error(L,
                 "pointer:whole: the parts of tensor '%s', one after another, are not the tensor; "
                 "cut it by rows alone: a placement of \"row_wise\" or \"replicate\" for cubes and "
                 "for PEs",
                 t->name);
    push_piece(L, *ptr, t->piece_count == 1 ? 0 : KB_PTR_WHOLE, 1);
    return 1;
}

/* Push where in the tensor begins what the pointer leads to. */
static void push_offset(lua_State *L, const kb_ptr *ptr)
{
    const kb_tensor_piece *piece = piece_of(ptr);
    size_t start[KB_MAX_RANK] = {0};
    if (ptr->piece == KB_NO_PIECE) start[0] = ptr->tensor->shape[0];
    kb_push_sizes(L, ptr->tensor->rank, piece ? piece->start : start);
}

static int ptr_index(lua_State *L)
{
    const kb_ptr *ptr = kb_check_ptr(L, 1, "pointer");
    const char *key = kb_check_key(L, "a pointer");
    if (!strcmp(key, "dtype"))
        lua_pushstring(L, kb_dtype_name(ptr->dtype));
    else if (!strcmp(key, "shape"))
        kb_push_sizes(L, ptr->rank, ptr->shape);
    else if (!strcmp(key, "strides"))
        kb_push_sizes(L, ptr->rank, ptr->stride);
    else if (!strcmp(key, "global_shape"))
        kb_push_sizes(L, ptr->tensor->rank, ptr->tensor->shape);
    else if (!strcmp(key, "offset"))
        push_offset(L, ptr);
    else if (!strcmp(key, "name"))
        lua_pushstring(L, ptr->tensor->name);
    else if (!strcmp(key, "part"))
        lua_pushcfunction(L, ptr_part);
    else if (!strcmp(key, "whole"))
        lua_pushcfunction(L, ptr_whole);
    else
        return kb_error(L,
                        "a pointer has no field '%s'; it has dtype, shape, strides, global_shape, "
                        "offset, name, part, whole",
                        key);
    return 1;
}

static int ptr_tostring(lua_State *L)
{
    const kb_ptr *ptr = kb_check_kind(L, 1, &PTR);
    if (!is_alive(ptr)) {
        lua_pushliteral(L, "<pointer to a freed tensor>");
        return 1;
    }
    char shape[KB_SHAPE_TEXT];
    lua_pushfstring(L, "<pointer to element %I of %s %s %s>", (lua_Integer)ptr->at,
                    ptr->tensor->name, kb_shape_text(ptr->rank, ptr->shape, shape),
                    kb_dtype_name(ptr->dtype));
    return 1;
}

static const luaL_Reg meta[] = {{"__index", ptr_index},
                                {"__add", kb_pointer_add},
                                {"__sub", kb_pointer_sub},
                                {"__tostring", ptr_tostring},
                                {NULL, NULL}};

void kb_ptr_open(lua_State *L)
{
    kb_new_kind(L, &PTR);
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
    kb_ptr_block_open(L);
}
