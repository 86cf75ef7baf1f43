/* tostring and print as Lua has them, except that a __tostring metamethod may wait: Lua's own call
 * it in a way that cannot be interrupted, and showing a device tensor takes simulated time. */
#include <stdio.h>

#include "bind/bind.h"

static int check_text(lua_State *L)
{
    if (!lua_isstring(L, -1)) return luaL_error(L, "'__tostring' must return a string");
    return 1;
}

static int tostring_done(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return check_text(L);
}

static int base_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL) {
        luaL_tolstring(L, 1, NULL);
        return 1;
    }
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 1, 0, tostring_done);
    return tostring_done(L, LUA_OK, 0);
}

static int write_line(lua_State *L, int count)
{
    for (int i = 1; i <= count; i++) {
        size_t length;
        const char *text = lua_tolstring(L, i, &length);
        if (i > 1) fputc('\t', stdout);
        fwrite(text, 1, length, stdout);
    }
    fputc('\n', stdout);
    fflush(stdout);
    return 0;
}

/* Arguments become texts one by one, so that a line is written at once when all are there. */
static int texts_from(lua_State *L, int i);

static int text_done(lua_State *L, int status, lua_KContext i)
{
    (void)status;
    check_text(L);
    lua_replace(L, (int)i);
    return texts_from(L, (int)i + 1);
}

static int texts_from(lua_State *L, int i)
{
    int count = lua_gettop(L);
    for (; i <= count; i++) {
        if (luaL_getmetafield(L, i, "__tostring") != LUA_TNIL) {
            lua_pushvalue(L, i);
            lua_callk(L, 1, 1, i, text_done);
            check_text(L);
        } else {
            luaL_tolstring(L, i, NULL);
        }
        lua_replace(L, i);
    }
    return write_line(L, count);
}

static int base_print(lua_State *L)
{
    return texts_from(L, 1);
}

void kb_base_open(lua_State *L)
{
    lua_register(L, "tostring", base_tostring);
    lua_register(L, "print", base_print);
}
