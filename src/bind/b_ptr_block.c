#include "bind/b_ptr_block.h"

#include <string.h>

static const kb_object_kind BLOCK = {"kernbench.pointers", KB_SLOT_POINTERS, NULL};

kb_ptr_block *kb_test_ptr_block(lua_State *L, int index)
{
    kb_ptr_block *block = kb_test_kind(L, index, &BLOCK);
    if (block) kb_check_ptr_alive(L, &block->base);
    return block;
}

/* Push a block over the tile; `owner` is the index of the pointer or block that it stems from. */
static void push_block(lua_State *L, const kb_ptr *base, kb_tile *offsets, int owner)
{
    owner = lua_absindex(L, owner);
    kb_ptr_block *block = kb_new_object(L, &BLOCK, sizeof *block, 1);
    block->base = *base;
    block->offsets = kb_tile_retain(offsets);
    kb_push_owner(L, owner);
    lua_setiuservalue(L, -2, 1);
}

static kb_tile *check_offsets(lua_State *L, int index)
{
    kb_tile *tile = kb_check_tile(L, index, "pointer arithmetic");
    kb_dtype dtype = tile->value->dtype;
    if (kb_dtype_is_float(dtype) || dtype == KB_BOOL)
        kb_error(L, "pointer arithmetic: a tile of %s; expected integers, numbers of elements",
                 kb_dtype_name(dtype));
    return tile;
}

static int not_countable(lua_State *L)
{
    return kb_error(L, "pointer arithmetic: the number of the element overflows");
}

/* The number of elements at that index. */
static lua_Integer check_elements(lua_State *L, int index)
{
    int is_integer;
    lua_Integer by = lua_tointegerx(L, index, &is_integer);
    if (!is_integer)
        kb_error(L,
                 "pointer arithmetic: expected an integer number of elements, or a tile of "
                 "them, got %s",
                 kb_typename(L, index));
    return by;
}

/* The sum of two tiles of offsets is on top, the block that it belongs to at index `context`. */
static int summed(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    const kb_ptr_block *block = kb_test_ptr_block(L, (int)context);
    if (!block) return kb_error(L, "a block of pointers has gone");
    push_block(L, &block->base, kb_check_tile(L, -1, "pointer arithmetic"), (int)context);
    return 1;
}

/* block + tile: add up the offsets. */
static int add_offsets(lua_State *L, int at)
{
    check_offsets(L, 3 - at);
    const kb_ptr_block *block = kb_test_ptr_block(L, at);
    kb_push_tile(L, block->offsets);
    luaL_getmetafield(L, -1, "__add");
    lua_insert(L, -2);
    lua_pushvalue(L, 3 - at);
    lua_callk(L, 2, 1, at, summed);
    return summed(L, LUA_OK, at);
}

static bool is_pointer(lua_State *L, int index)
{
    return kb_is_ptr(L, index) || kb_test_ptr_block(L, index);
}

/* pointer + tile */
static int scatter(lua_State *L, int at)
{
    kb_ptr base = kb_check_ptr(L, at, "pointer arithmetic");
    push_block(L, &base, check_offsets(L, 3 - at), at);
    return 1;
}

/* block + number */
static int move_block(lua_State *L, int at, const kb_ptr_block *block, lua_Integer elements)
{
    kb_ptr base = block->base;
    if (__builtin_add_overflow(base.at, elements, &base.at)) return not_countable(L);
    push_block(L, &base, block->offsets, at);
    return 1;
}

static int arithmetic(lua_State *L, int sign)
{
    int at = is_pointer(L, 1) ? 1 : 2;
    if (is_pointer(L, 3 - at)) return kb_error(L, "pointer arithmetic: both are pointers");
    if (sign < 0 && at == 2)
        return kb_error(L, "pointer arithmetic: a pointer cannot be subtracted");
    const kb_ptr_block *block = kb_test_ptr_block(L, at);
    if (kb_test_tile(L, 3 - at)) {
        if (sign < 0)
            return kb_error(L, "pointer arithmetic: tiles are not subtracted from pointers; add "
                               "the negative");
        return block ? add_offsets(L, at) : scatter(L, at);
    }
    lua_Integer elements = check_elements(L, 3 - at);
    if (sign < 0 && elements == LUA_MININTEGER) return not_countable(L);
    elements *= sign;
    if (block) return move_block(L, at, block, elements);
    return kb_push_moved_ptr(L, at, elements) ? 1 : not_countable(L);
}

int kb_pointer_add(lua_State *L)
{
    if (!lua_isinteger(L, 2) || !kb_is_ptr(L, 1)) return arithmetic(L, 1);
    return kb_push_moved_ptr(L, 1, lua_tointeger(L, 2)) ? 1 : not_countable(L);
}

int kb_pointer_sub(lua_State *L)
{
    return arithmetic(L, -1);
}

static int block_index(lua_State *L)
{
    const kb_ptr_block *block = kb_check_kind(L, 1, &BLOCK);
    const kb_value *v = block->offsets->value;
    const char *key = kb_check_key(L, "a block of pointers");
    kb_check_ptr_alive(L, &block->base);
    if (!strcmp(key, "dtype"))
        lua_pushstring(L, kb_dtype_name(block->base.dtype));
    else if (!strcmp(key, "shape"))
        kb_push_sizes(L, v->rank, v->shape);
    else if (!strcmp(key, "name"))
        lua_pushstring(L, block->base.tensor->name);
    else
        return kb_error(L, "a block of pointers has no field '%s'; it has dtype, shape, name", key);
    return 1;
}

static int block_tostring(lua_State *L)
{
    const kb_ptr_block *block = kb_check_kind(L, 1, &BLOCK);
    const kb_value *v = block->offsets->value;
    char shape[KB_SHAPE_TEXT];
    kb_check_ptr_alive(L, &block->base);
    lua_pushfstring(L, "<%s pointers to elements of %s %s>",
                    kb_shape_text(v->rank, v->shape, shape), block->base.tensor->name,
                    kb_dtype_name(block->base.dtype));
    return 1;
}

static int block_gc(lua_State *L)
{
    kb_ptr_block *block = kb_check_kind(L, 1, &BLOCK);
    kb_tile_release(block->offsets);
    block->offsets = NULL;
    return 0;
}

static const luaL_Reg meta[] = {{"__add", kb_pointer_add}, {"__sub", kb_pointer_sub},
                                {"__index", block_index},  {"__tostring", block_tostring},
                                {"__gc", block_gc},        {NULL, NULL}};

void kb_ptr_block_open(lua_State *L)
{
    kb_new_kind(L, &BLOCK);
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
}
