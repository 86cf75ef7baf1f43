#include "bind/bind.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bind/b_np.h"

kb_lua_engine *kb_check_engine(lua_State *L, int index)
{
    kb_lua_engine *engine = luaL_checkudata(L, index, "kernbench.engine");
    if (!engine->e) luaL_argerror(L, index, "the engine is closed");
    return engine;
}

/* In the registry: weak, so that a dropped engine is collected. */
#define ENGINES "kernbench.engines"

void kb_register_engine(lua_State *L, int index)
{
    if (!luaL_getsubtable(L, LUA_REGISTRYINDEX, ENGINES)) {
        lua_createtable(L, 0, 1);
        lua_pushliteral(L, "v");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
    }
    lua_pushvalue(L, index);
    lua_rawsetp(L, -2, lua_touserdata(L, index));
    lua_pop(L, 1);
    lua_newtable(L);
    lua_setiuservalue(L, index, 1);
}

void kb_push_engine(lua_State *L, const kb_lua_engine *engine)
{
    lua_getfield(L, LUA_REGISTRYINDEX, ENGINES);
    lua_rawgetp(L, -1, engine);
    lua_remove(L, -2);
}

void kb_push_anchor(lua_State *L, const kb_lua_engine *engine)
{
    kb_push_engine(L, engine);
    lua_getiuservalue(L, -1, 1);
    lua_remove(L, -2);
}

/* ---- errors ---- */

/* In the registry: how the sources of our own files begin. */
#define OWN_CHUNKS "kernbench.own_chunks"

bool kb_is_own_chunk(lua_State *L, const lua_Debug *at)
{
    lua_getfield(L, LUA_REGISTRYINDEX, OWN_CHUNKS);
    const char *own = lua_tostring(L, -1);
    bool is = own && !strncmp(at->source, own, strlen(own));
    lua_pop(L, 1);
    return is;
}

void kb_push_where(lua_State *L)
{
    lua_Debug at;
    for (int level = 1; lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline <= 0 || kb_is_own_chunk(L, &at)) continue;
        lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
        return;
    }
    lua_pushliteral(L, "");
}

void kb_push_place(lua_State *L, const kb_co *co)
{
    if (!co) {
        lua_pushliteral(L, "");
        return;
    }
    char where[80], place[128];
    kb_proc_where(co->proc, where, sizeof where);
    snprintf(place, sizeof place, " [%s, t=%.3f ns]", where, kb_time_ns(kb_proc_now(co->proc)));
    lua_pushstring(L, place);
}

int kb_error(lua_State *L, const char *format, ...)
{
    const kb_co *co = kb_co_current(L);
    kb_push_where(L);
    va_list args;
    va_start(args, format);
    lua_pushvfstring(L, format, args);
    va_end(args);
    kb_push_place(L, co && co->proc->kind == KB_PROC_KERNEL ? co : NULL);
    lua_concat(L, 3);
    lua_error(L);
    __builtin_unreachable(); /* lua_error is not declared so */
}

int kb_raise(lua_State *L, const kb_err *err)
{
    kb_push_where(L);
    lua_pushstring(L, err->text);
    kb_push_place(L, kb_co_current(L));
    lua_concat(L, 3);
    lua_error(L);
    __builtin_unreachable();
}

const char *kb_typename(lua_State *L, int index)
{
    static const char prefix[] = "kernbench.";
    const char *kind = luaL_typename(L, index);
    if (luaL_getmetafield(L, index, "__name") == LUA_TNIL) return kind;
    const char *name = lua_tostring(L, -1); /* the metatable keeps it */
    if (name && !strncmp(name, prefix, sizeof prefix - 1)) kind = name + sizeof prefix - 1;
    lua_pop(L, 1);
    return kind;
}

const char *kb_check_key(lua_State *L, const char *owner)
{
    if (lua_type(L, 2) != LUA_TSTRING)
        kb_error(L, "%s has no elements to index; a %s is not the name of a field", owner,
                 kb_typename(L, 2));
    return lua_tostring(L, 2);
}

void kb_set_number(lua_State *L, const char *key, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

void kb_set_integer(lua_State *L, const char *key, lua_Integer value)
{
    lua_pushinteger(L, value);
    lua_setfield(L, -2, key);
}

void kb_set_count(lua_State *L, const char *key, uint64_t value)
{
    kb_set_integer(L, key, (lua_Integer)value);
}

void kb_set_string(lua_State *L, const char *key, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

int kb_check_extents(lua_State *L, int index, const char *what, size_t shape[KB_MAX_RANK])
{
    if (lua_type(L, index) != LUA_TTABLE)
        kb_error(L, "%s: expected a shape such as {32, 64}, got %s", what, luaL_typename(L, index));
    lua_Unsigned rank = lua_rawlen(L, index);
    if (rank < 1 || rank > KB_MAX_RANK)
        kb_error(L, "%s: expected 1 to %d extents, got %d", what, KB_MAX_RANK, (int)rank);
    for (lua_Unsigned d = 0; d < rank; d++) {
        int is_integer;
        lua_rawgeti(L, index, (lua_Integer)d + 1);
        lua_Integer extent = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || extent < 1)
            kb_error(L, "%s: extent %d is %s; expected an integer of at least 1", what, (int)d,
                     luaL_tolstring(L, -1, NULL));
        lua_pop(L, 1);
        shape[d] = (size_t)extent;
    }
    return (int)rank;
}

/* ---- where the program's files are ---- */

static bool is_home(const char *folder)
{
    char probe[4200];
    snprintf(probe, sizeof probe, "%s/lua/kernbench/torch.lua", folder);
    return access(probe, R_OK) == 0;
}

/* $KERNBENCH_HOME, else ../share/kernbench beside the executable, else the source tree. */
void kb_push_home(lua_State *L)
{
    const char *given = getenv("KERNBENCH_HOME");
    if (given && *given) {
        lua_pushstring(L, given);
        return;
    }
    char folder[4096];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 32);
    if (length > 0) {
        folder[length] = 0;
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(folder, '/');
            if (slash) *slash = 0;
        }
        strcat(folder, "/share/kernbench");
        if (is_home(folder)) {
            lua_pushstring(L, folder);
            return;
        }
    }
    lua_pushliteral(L, KB_SOURCE_DIR);
}

static void set_path(lua_State *L)
{
    kb_push_home(L);
    const char *home = lua_tostring(L, -1);
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;./?.lua;%s", home, home, home,
                    lua_tostring(L, -1));
    lua_setfield(L, -3, "path");
    lua_pushfstring(L, "@%s/lua/kernbench/", home);
    lua_setfield(L, LUA_REGISTRYINDEX, OWN_CHUNKS);
    lua_pop(L, 3);
}

enum { GC_STEP = 200 }; /* percent: the pace of a collection */

void kb_bind_open(lua_State *L)
{
    static const luaL_Reg modules[] = {{"kernbench.core", luaopen_kernbench_core},
                                       {"kernbench.core.np", luaopen_kernbench_core_np},
                                       {"kernbench.core.tl", luaopen_kernbench_core_tl},
                                       {"kernbench.core.topo", luaopen_kernbench_core_topo},
                                       {"kernbench.core.yaml", luaopen_kernbench_core_yaml},
                                       {NULL, NULL}};
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    luaL_setfuncs(L, modules, 0);
    lua_pop(L, 1);
    kb_co_open(L);
    kb_base_open(L);
    set_path(L);
    lua_gc(L, LUA_GCINC, KB_GC_PAUSE, GC_STEP, 0);
}
