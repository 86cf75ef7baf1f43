/* kb_lua: runs a Lua test file with the program's modules available.
 *
 * KB_HARSH_GC=1 collects as often as possible: generational mode, and a full collection every few
 * hundred instructions. A strict guard makes the use of undeclared globals an error. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"

enum { INSTRUCTIONS_BETWEEN_COLLECTIONS = 997 };

static void collect(lua_State *L, lua_Debug *at)
{
    (void)at;
    lua_gc(L, LUA_GCCOLLECT);
}

/* LuaUnit 3.4 itself forgets a few locals, and LuaFileSystem declares its module; nobody else may.
 */
static const char strict[] =
    "local function of_luaunit(level)\n"
    "  return debug.getinfo(level + 1, 'S').short_src:find('luaunit.lua', 1, true)\n"
    "end\n"
    "setmetatable(_G, {\n"
    "  __newindex = function(t, name, value)\n"
    "    if not of_luaunit(2) and name ~= 'lfs' then error('assignment to undeclared global ' .. "
    "name, 2) end\n"
    "    rawset(t, name, value)\n"
    "  end,\n"
    "  __index = function(_, name)\n"
    "    if of_luaunit(2) then return nil end\n"
    "    error('use of undeclared global ' .. tostring(name), 2)\n"
    "  end})\n";

static int run(lua_State *L)
{
    const char *file = lua_touserdata(L, 1);
    luaL_openlibs(L);
    kb_bind_open(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "luaunit"); /* defines globals of its own; before the guard */
    lua_call(L, 1, 0);
    if (luaL_dostring(L, strict)) return lua_error(L);
    const char *harsh = getenv("KB_HARSH_GC");
    if (harsh && !strcmp(harsh, "1")) {
        lua_gc(L, LUA_GCGEN, 0, 0);
        lua_sethook(L, collect, LUA_MASKCOUNT, INSTRUCTIONS_BETWEEN_COLLECTIONS);
    }
    if (luaL_dofile(L, file)) return lua_error(L);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: kb_lua FILE.lua\n", stderr);
        return 2;
    }
    kb_sized memory;
    lua_State *L = kb_new_state(&memory);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, argv[1]);
    int status = lua_pcall(L, 1, 0, 0);
    if (status != LUA_OK) fprintf(stderr, "kb_lua: %s\n", lua_tostring(L, -1));
    lua_close(L);
    kb_sized_fini(&memory);
    return status == LUA_OK ? 0 : 1;
}
