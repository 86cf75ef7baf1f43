#include "bind/b_tile.h"

#include "engine/kernel_ipcq.h"

#include <stdio.h>
#include <string.h>

/* ---- tiles ---- */

static void tile_release(void *box)
{
    kb_tile_release(*(kb_tile **)box);
}

static const kb_object_kind TILE = {"kernbench.tile", KB_SLOT_TILE, tile_release};

void kb_push_tile(lua_State *L, kb_tile *tile)
{
    kb_tile **box = kb_new_object(L, &TILE, sizeof *box, 0);
    *box = kb_tile_retain(tile);
    if (tile->has_room) kb_co_count_tile(L, kb_value_bytes(tile->value));
}

kb_tile *kb_test_tile(lua_State *L, int index)
{
    kb_tile **box = kb_test_kind(L, index, &TILE);
    return box ? *box : NULL;
}

kb_tile *kb_check_tile(lua_State *L, int index, const char *what)
{
    kb_tile *tile = kb_test_tile(L, index);
    if (!tile) kb_error(L, "%s: expected a tile, got %s", what, kb_typename(L, index));
    kb_check_usable(L, tile, what);
    return tile;
}

void kb_check_usable(lua_State *L, const kb_tile *tile, const char *what)
{
    if (!tile->owner) kb_error(L, "%s: the tile belongs to a kernel that has ended", what);
    if (kb_tile_given_back(tile))
        kb_error(L,
                 "%s: the tile was received in place, and its slot was given back when the first "
                 "operation had used it; copy it with tl.copy_to_dst to use it again",
                 what);
    if (tile->owner != kb_co_current(L)->proc)
        kb_error(L, "%s: the tile lies in the TCM of %s", what, tile->owner->pe->name);
}

kb_array *kb_tile_array(lua_State *L, const kb_tile *tile)
{
    if (tile->value->known) return tile->value->array;
    kb_engine *engine = tile->owner->engine;
    kb_err err = {0};
    if (engine->data && kb_engine_settle_value(engine, tile->value, &err)) kb_raise(L, &err);
    return tile->value->array;
}

static void push_shape(lua_State *L, const kb_value *value)
{
    lua_createtable(L, value->rank, 0);
    for (int d = 0; d < value->rank; d++) {
        lua_pushinteger(L, (lua_Integer)value->shape[d]);
        lua_rawseti(L, -2, d + 1);
    }
}

static int tile_index(lua_State *L)
{
    kb_tile **box = kb_check_kind(L, 1, &TILE);
    const char *key = kb_check_key(L, "a tile");
    if (!strcmp(key, "shape"))
        push_shape(L, (*box)->value);
    else if (!strcmp(key, "dtype"))
        lua_pushstring(L, kb_dtype_name((*box)->value->dtype));
    else {
        luaL_getmetafield(L, 1, "methods");
        if (lua_getfield(L, -1, key) == LUA_TNIL)
            return kb_error(L, "a tile has no field or method '%s'", key);
    }
    return 1;
}

const char *kb_value_text(const kb_value *value, char *text, size_t size)
{
    char shape[KB_SHAPE_TEXT];
    snprintf(text, size, "%s %s", kb_shape_text(value->rank, value->shape, shape),
             kb_dtype_name(value->dtype));
    return text;
}

static int tile_tostring(lua_State *L)
{
    kb_tile **box = kb_check_kind(L, 1, &TILE);
    char text[KB_SHAPE_TEXT + 16];
    lua_pushfstring(L, "<tile %s>", kb_value_text((*box)->value, text, sizeof text));
    return 1;
}

/* ---- handles ---- */

static void handle_release(void *handle)
{
    kb_handle *h = handle;
    kb_op_let_go(&h->of);
    kb_tile_release(h->tile);
}

static const kb_object_kind HANDLE = {"kernbench.handle", KB_SLOT_HANDLE, handle_release};

void kb_push_handle(lua_State *L, kb_op *op)
{
    kb_handle *h = kb_new_object(L, &HANDLE, sizeof *h, 0);
    h->what = op->what;
    kb_op_hold(&h->of, op);
}

static int handle_tostring(lua_State *L)
{
    const kb_handle *h = kb_check_kind(L, 1, &HANDLE);
    if (!h->of.op && !h->of.complete)
        lua_pushliteral(L, "<an operation that is no longer known>");
    else
        lua_pushfstring(L, "<%s, %s>", h->what,
                        h->of.complete || kb_completion_done(&h->of.op->done) ? "complete"
                                                                              : "under way");
    return 1;
}

kb_handle *kb_test_handle(lua_State *L, int index)
{
    return kb_test_kind(L, index, &HANDLE);
}

int kb_push_result(lua_State *L, const kb_op *op)
{
    if (op->failure) return kb_raise(L, op->failure);
    if (!op->result) return 0;
    kb_push_tile(L, op->result);
    return 1;
}

int kb_push_handle_result(lua_State *L, kb_handle *h)
{
    const kb_op *op = h->of.op;
    if (op && op->failure) return kb_raise(L, op->failure);
    if (op) h->tile = kb_tile_retain(op->result);
    kb_op_let_go(&h->of);
    if (!h->tile) return 0;
    kb_push_tile(L, h->tile);
    return 1;
}

static const luaL_Reg tile_meta[] = {
    {"__index", tile_index}, {"__tostring", tile_tostring}, {NULL, NULL}};

static const luaL_Reg handle_meta[] = {{"__tostring", handle_tostring}, {NULL, NULL}};

void kb_push_tile_metatable(lua_State *L)
{
    kb_push_kind(L, &TILE);
}

void kb_tile_open(lua_State *L)
{
    kb_new_kind(L, &TILE);
    luaL_setfuncs(L, tile_meta, 0);
    kb_new_kind(L, &HANDLE);
    luaL_setfuncs(L, handle_meta, 0);
    lua_pop(L, 2);
}
