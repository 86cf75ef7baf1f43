/* kernbench: open Lua, make the bindings available, and hand over to kernbench.cli. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "bind/bind.h"

static int traceback(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

/* Everything that may raise runs in here. Returns the exit code. */
static int run(lua_State *L)
{
    char **argv = lua_touserdata(L, 1);
    luaL_openlibs(L);
    kb_bind_open(L);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "kernbench.cli");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_newtable(L);
    for (int i = 1; argv[i]; i++) {
        lua_pushstring(L, argv[i]);
        lua_rawseti(L, -2, i);
    }
    lua_call(L, 1, 1);
    return 1;
}

int main(int argc, char **argv)
{
    (void)argc;
    kb_sized memory;
    lua_State *L = kb_new_state(&memory);
    if (!L) {
        fputs("kernbench: out of memory\n", stderr);
        return 4;
    }
    lua_pushcfunction(L, traceback);
    lua_pushcfunction(L, run);
    lua_pushlightuserdata(L, argv);
    int code;
    if (lua_pcall(L, 1, 1, 1) == LUA_OK) {
        code = (int)lua_tointeger(L, -1);
    } else {
        fprintf(stderr, "kernbench: %s\n", lua_tostring(L, -1));
        code = 1;
    }
    lua_close(L);
    kb_sized_fini(&memory);
    if (fflush(stdout) != 0) {
        perror("kernbench: standard output");
        code = code ? code : 1;
    }
    return code;
}
