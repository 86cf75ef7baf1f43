/* YAML files as Lua tables that know where they were written: module "kernbench.core.yaml".
 *
 * A node is {kind =, line =, column =}; a scalar also has text and quoted, a sequence its nodes at
 * 1..n, a mapping at 1..n its entries, nodes with the fields key, key_line and key_column. */
#include "bind/bind.h"
#include "topo/nearest.h"
#include "topo/yaml.h"

#define DOCUMENT "kernbench.yaml"

static int document_gc(lua_State *L)
{
    kb_yaml **yaml = luaL_checkudata(L, 1, DOCUMENT);
    kb_yaml_destroy(*yaml);
    *yaml = NULL;
    return 0;
}

/* Recursion is bounded: files are nested at most 32 deep. */
static void push_node(lua_State *L, const kb_yaml_node *node)
{
    static const char *const kinds[] = {"scalar", "sequence", "mapping"};
    luaL_checkstack(L, 4, "YAML");
    lua_createtable(L, (int)node->count, 6);
    kb_set_string(L, "kind", kinds[node->kind]);
    kb_set_count(L, "line", node->line);
    kb_set_count(L, "column", node->column);
    if (node->kind == KB_YAML_SCALAR) {
        kb_set_string(L, "text", node->text);
        lua_pushboolean(L, node->quoted);
        lua_setfield(L, -2, "quoted");
    }
    if (node->key) {
        kb_set_string(L, "key", node->key->text);
        kb_set_count(L, "key_line", node->key->line);
        kb_set_count(L, "key_column", node->key->column);
    }
    lua_Integer i = 0;
    for (const kb_yaml_node *child = node->first; child; child = child->next) {
        push_node(L, child);
        lua_rawseti(L, -2, ++i);
    }
}

/* yaml.load(path): the root, or nil and "file:line:column: message". */
static int yaml_load(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    kb_yaml **yaml = lua_newuserdatauv(L, sizeof *yaml, 0);
    *yaml = NULL;
    luaL_setmetatable(L, DOCUMENT);
    kb_err err = {0};
    if (kb_yaml_load(path, yaml, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    push_node(L, kb_yaml_root(*yaml));
    kb_yaml_destroy(*yaml);
    *yaml = NULL;
    return 1;
}

/* yaml.nearest(word, {candidate, ...}): the candidate that was probably meant, or nil. */
static int yaml_nearest(lua_State *L)
{
    kb_nearest nearest = kb_nearest_start(luaL_checkstring(L, 1));
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_Integer count = (lua_Integer)lua_rawlen(L, 2);
    for (lua_Integer i = 1; i <= count; i++) {
        size_t length;
        lua_rawgeti(L, 2, i);
        const char *candidate = luaL_checklstring(L, -1, &length); /* the table keeps it */
        kb_nearest_offer(&nearest, candidate, length);
        lua_pop(L, 1);
    }
    if (!nearest.match) return 0;
    lua_pushlstring(L, nearest.match, nearest.length);
    return 1;
}

static const luaL_Reg functions[] = {{"load", yaml_load}, {"nearest", yaml_nearest}, {NULL, NULL}};

int luaopen_kernbench_core_yaml(lua_State *L)
{
    luaL_newmetatable(L, DOCUMENT);
    lua_pushcfunction(L, document_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
