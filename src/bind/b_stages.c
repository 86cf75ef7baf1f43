/* Records of stages in Lua: userdata "kernbench.stages". */
#include "bind/bind.h"
#include "out/stages_file.h"

#define STAGES "kernbench.stages"

typedef struct box {
    kb_stages stages;
    kb_stages_file *file; /* null once written or given up */
} box;

static box *check_box(lua_State *L)
{
    return luaL_checkudata(L, 1, STAGES);
}

/* engine:record_stages(path): record from now on, into a file that `finish` writes. Returns the
 * record, or nil and a message. The engine holds on to it. */
static int record_stages(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    const char *path = luaL_checkstring(L, 2);
    kb_push_anchor(L, engine);
    box *b = lua_newuserdatauv(L, sizeof *b, 0);
    *b = (box){0};
    luaL_setmetatable(L, STAGES);
    kb_err err = {0};
    if (kb_stages_file_open(&b->file, path, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "stages");
    engine->e->m->stages = &b->stages;
    return 1;
}

/* record:finish(): true, or nil and a message. */
static int finish(lua_State *L)
{
    box *b = check_box(L);
    if (!b->file) return luaL_error(L, "the record of stages has been written");
    kb_stages_file *file = b->file;
    b->file = NULL;
    kb_err err = {0};
    if (kb_stages_file_finish(file, &b->stages, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_pushboolean(L, true);
    return 1;
}

/* record:abandon(): write nothing. */
static int abandon(lua_State *L)
{
    box *b = check_box(L);
    kb_stages_file_abandon(b->file);
    b->file = NULL;
    return 0;
}

static int gc(lua_State *L)
{
    box *b = check_box(L);
    abandon(L);
    kb_vec_free(&b->stages.rows);
    return 0;
}

const luaL_Reg kb_stages_engine_methods[] = {{"record_stages", record_stages}, {NULL, NULL}};

static const luaL_Reg methods[] = {{"finish", finish}, {"abandon", abandon}, {NULL, NULL}};

void kb_stages_open(lua_State *L)
{
    luaL_newmetatable(L, STAGES);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
