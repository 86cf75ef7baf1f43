#include "bind/b_placement.h"

#include <string.h>

#include "bind/bind.h"

#define PLACEMENT "kernbench.placement"

const kb_lua_placement *kb_check_placement(lua_State *L, int index)
{
    return luaL_checkudata(L, index, PLACEMENT);
}

/* The list of that name, on top of the stack; returns its length. */
static lua_Unsigned push_list(lua_State *L, const char *name)
{
    lua_getfield(L, 2, name);
    luaL_checktype(L, -1, LUA_TTABLE);
    return lua_rawlen(L, -1);
}

static lua_Integer integer_at(lua_State *L, int table, lua_Integer i)
{
    lua_rawgeti(L, table, i);
    lua_Integer value = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return value;
}

static void read_extents(lua_State *L, const char *key, int rank, size_t *out)
{
    lua_getfield(L, -1, key);
    luaL_checktype(L, -1, LUA_TTABLE);
    for (int d = 0; d < rank; d++) out[d] = (size_t)integer_at(L, lua_gettop(L), d + 1);
    lua_pop(L, 1);
}

static void read_pieces(lua_State *L, int list, kb_lua_placement *p)
{
    for (uint32_t i = 0; i < p->piece_count; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        read_extents(L, "start", p->rank, p->pieces[i].start);
        read_extents(L, "extent", p->rank, p->pieces[i].extent);
        lua_pop(L, 1);
    }
}

static void read_shards(lua_State *L, int list, kb_lua_placement *p)
{
    for (uint32_t i = 0; i < p->shard_count; i++) {
        lua_Integer at = (lua_Integer)i * 3;
        p->shards[i] = (kb_shard){.cube = (int)integer_at(L, list, at + 1),
                                  .pe = (int)integer_at(L, list, at + 2),
                                  .piece = (uint32_t)integer_at(L, list, at + 3)};
    }
}

int kb_placement_create(lua_State *L)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_Unsigned rank = push_list(L, "shape"), pieces = push_list(L, "pieces");
    lua_Unsigned shards = push_list(L, "flat") / 3;
    size_t before = sizeof(kb_lua_placement) + pieces * sizeof(kb_tensor_piece);
    size_t bytes = before + shards * sizeof(kb_shard);
    kb_lua_placement *p = lua_newuserdatauv(L, bytes, 0);
    memset(p, 0, bytes);
    p->rank = rank < KB_MAX_RANK ? (int)rank : KB_MAX_RANK; /* no tensor has more */
    p->piece_count = (uint32_t)pieces;
    p->shard_count = (uint32_t)shards;
    p->shards = (kb_shard *)(void *)((char *)p + before);
    read_pieces(L, 4, p);
    read_shards(L, 5, p);
    luaL_setmetatable(L, PLACEMENT);
    return 1;
}

void kb_placement_open(lua_State *L)
{
    luaL_newmetatable(L, PLACEMENT);
    lua_pop(L, 1);
}
