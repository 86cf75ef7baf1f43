#include "bind/b_ptr.h"

#include <string.h>

#include "bind/b_ptr_block.h"
#include "bind/b_tl_compute.h"
#include "bind/bind.h"

static const kb_object_kind PTR = {"kernbench.pointer", KB_SLOT_POINTER, NULL};

/* A pointer in Lua. What arithmetic makes of it, mostly to be dropped at once, shares its sizes.
 * User value: of one with sizes of its own the tensor, of others the one with the sizes. */
typedef struct stored {
    const kb_lua_tensor *owner;
    kb_tensor *tensor;
    int64_t at;
    const size_t *sizes; /* `own`, or those of another: shape, then strides */
    uint32_t piece;
    uint8_t dtype, rank;
    size_t own[];
} stored;

static bool is_alive(const kb_lua_tensor *owner, const kb_tensor *tensor)
{
    return owner->engine->e && owner->t == tensor;
}

static void check_alive(lua_State *L, const kb_lua_tensor *owner, const kb_tensor *tensor)
{
    if (!is_alive(owner, tensor))
        kb_error(L, "the tensor to which this pointer leads has been freed");
}

void kb_check_ptr_alive(lua_State *L, const kb_ptr *ptr)
{
    check_alive(L, ptr->owner, ptr->tensor);
}

bool kb_is_ptr(lua_State *L, int index)
{
    return kb_test_kind(L, index, &PTR) != NULL;
}

static void read_sizes(const stored *s, kb_ptr *ptr)
{
    for (int d = 0; d < s->rank; d++) {
        ptr->shape[d] = s->sizes[d];
        ptr->stride[d] = s->sizes[s->rank + d];
    }
}

bool kb_test_ptr(lua_State *L, int index, kb_ptr *ptr)
{
    const stored *s = kb_test_kind(L, index, &PTR);
    if (!s) return false;
    check_alive(L, s->owner, s->tensor);
    ptr->owner = s->owner;
    ptr->tensor = s->tensor;
    ptr->piece = s->piece;
    ptr->at = s->at;
    ptr->dtype = (kb_dtype)s->dtype;
    ptr->rank = s->rank;
    read_sizes(s, ptr);
    return true;
}

kb_ptr kb_check_ptr(lua_State *L, int index, const char *what)
{
    kb_ptr ptr;
    if (!kb_test_ptr(L, index, &ptr))
        kb_error(L, "%s: expected a pointer (a tensor argument of the kernel), got %s", what,
                 kb_typename(L, index));
    return ptr;
}

/* Push the object whose sizes the pointer at the index has. */
static void push_holder(lua_State *L, int index, const stored *s)
{
    if (s->sizes == s->own)
        lua_pushvalue(L, index);
    else
        lua_getiuservalue(L, index, 1);
}

void kb_push_owner(lua_State *L, int owner)
{
    owner = lua_absindex(L, owner);
    const stored *s = kb_test_kind(L, owner, &PTR);
    if (s) {
        push_holder(L, owner, s);
        lua_getiuservalue(L, -1, 1);
        lua_remove(L, -2);
    } else if (kb_test_ptr_block(L, owner)) {
        lua_getiuservalue(L, owner, 1);
    } else {
        lua_pushvalue(L, owner);
    }
}

void kb_push_ptr(lua_State *L, const kb_ptr *ptr, int owner)
{
    owner = lua_absindex(L, owner);
    size_t sizes = 2 * (size_t)ptr->rank;
    stored *s = kb_new_object(L, &PTR, sizeof *s + sizes * sizeof *s->own, 1);
    *s = (stored){.owner = ptr->owner,
                  .tensor = ptr->tensor,
                  .at = ptr->at,
                  .sizes = s->own,
                  .piece = ptr->piece,
                  .dtype = (uint8_t)ptr->dtype,
                  .rank = (uint8_t)ptr->rank};
    for (int d = 0; d < ptr->rank; d++) {
        s->own[d] = ptr->shape[d];
        s->own[ptr->rank + d] = ptr->stride[d];
    }
    kb_push_owner(L, owner);
    lua_setiuservalue(L, -2, 1);
}

bool kb_push_moved_ptr(lua_State *L, int index, int64_t elements)
{
    const stored *s = kb_test_kind(L, index, &PTR);
    int64_t at;
    check_alive(L, s->owner, s->tensor);
    if (__builtin_add_overflow(s->at, elements, &at)) return false;
    stored *moved = kb_new_object(L, &PTR, sizeof *moved, 1);
    *moved = *s;
    moved->at = at;
    push_holder(L, index, s);
    lua_setiuservalue(L, -2, 1);
    return true;
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
    kb_ptr ptr = kb_check_ptr(L, 1, "pointer:part");
    int cube = kb_check_int(L, 2, "pointer:part", "cube");
    int pe = kb_check_int(L, 3, "pointer:part", "pe");
    const kb_tensor *t = ptr.tensor;
    const kb_shard *shard = kb_tensor_shard_of(t, cube, pe);
    if (!shard)
        kb_error(L, "pointer:part: tensor '%s' has no part on cube %d, pe %d", t->name, cube, pe);
    push_piece(L, ptr, shard->piece, 1);
    return 1;
}

/* ptr:whole(): a pointer to all of the tensor. */
static int ptr_whole(lua_State *L)
{
    lua_settop(L, 1);
    kb_ptr ptr = kb_check_ptr(L, 1, "pointer:whole");
    const kb_tensor *t = ptr.tensor;
    if (!t->row_major)
        kb_error(L,
                 "pointer:whole: the parts of tensor '%s', one after another, are not the tensor; "
                 "cut it by rows alone: a placement of \"row_wise\" or \"replicate\" for cubes and "
                 "for PEs",
                 t->name);
    push_piece(L, ptr, t->piece_count == 1 ? 0 : KB_PTR_WHOLE, 1);
    return 1;
}

/* Push where in the tensor begins what the pointer leads to. */
static void push_offset(lua_State *L, const kb_tensor *t, uint32_t piece)
{
    size_t start[KB_MAX_RANK] = {0};
    if (piece == KB_NO_PIECE) start[0] = t->shape[0];
    kb_push_sizes(L, t->rank, piece < t->piece_count ? t->pieces[piece].start : start);
}

static int ptr_index(lua_State *L)
{
    const stored *s = kb_check_kind(L, 1, &PTR);
    const char *key = kb_check_key(L, "a pointer");
    check_alive(L, s->owner, s->tensor);
    if (!strcmp(key, "dtype"))
        lua_pushstring(L, kb_dtype_name((kb_dtype)s->dtype));
    else if (!strcmp(key, "shape"))
        kb_push_sizes(L, s->rank, s->sizes);
    else if (!strcmp(key, "strides"))
        kb_push_sizes(L, s->rank, s->sizes + s->rank);
    else if (!strcmp(key, "global_shape"))
        kb_push_sizes(L, s->tensor->rank, s->tensor->shape);
    else if (!strcmp(key, "offset"))
        push_offset(L, s->tensor, s->piece);
    else if (!strcmp(key, "name"))
        lua_pushstring(L, s->tensor->name);
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
    const stored *s = kb_check_kind(L, 1, &PTR);
    if (!is_alive(s->owner, s->tensor)) {
        lua_pushliteral(L, "<pointer to a freed tensor>");
        return 1;
    }
    char shape[KB_SHAPE_TEXT];
    lua_pushfstring(L, "<pointer to element %I of %s %s %s>", (lua_Integer)s->at, s->tensor->name,
                    kb_shape_text(s->rank, s->sizes, shape), kb_dtype_name((kb_dtype)s->dtype));
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
