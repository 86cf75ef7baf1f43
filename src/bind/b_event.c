/* Events in Lua: userdata "kernbench.event". Host programs wait for one until somebody sets it;
 * that takes no simulated time. What ranks agree on (distributed.lua) is built from these. */
#include "bind/bind.h"

#define EVENT "kernbench.event"

typedef struct lua_event {
    kb_completion set;
    kb_lua_engine *engine;
} lua_event;

static lua_event *check_event(lua_State *L)
{
    lua_event *event = luaL_checkudata(L, 1, EVENT);
    if (!event->engine->e) luaL_argerror(L, 1, "the engine is closed");
    return event;
}

/* engine:event() */
static int event_create(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    lua_event *event = lua_newuserdatauv(L, sizeof *event, 1);
    event->engine = engine;
    kb_completion_init(&event->set, 1);
    luaL_setmetatable(L, EVENT);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return 1;
}

/* event:set(): wakes whoever waits, in the order in which they began to. Once set, it stays so. */
static int event_set(lua_State *L)
{
    lua_event *event = check_event(L);
    if (!kb_completion_done(&event->set)) kb_completion_part(&event->set, event->engine->e->sim);
    return 0;
}

static int event_is_set(lua_State *L)
{
    lua_pushboolean(L, kb_completion_done(&check_event(L)->set));
    return 1;
}

/* event:wait(call): until it is set; `call` is what the user called. */
static int event_wait(lua_State *L)
{
    lua_event *event = check_event(L);
    const char *call = luaL_checkstring(L, 2); /* stays on the stack while the call waits */
    lua_settop(L, 2);
    return kb_co_host_wait(L, &event->set, KB_WAIT_RANKS, call);
}

static const luaL_Reg methods[] = {
    {"set", event_set}, {"is_set", event_is_set}, {"wait", event_wait}, {NULL, NULL}};

const luaL_Reg kb_event_engine_methods[] = {{"event", event_create}, {NULL, NULL}};

void kb_event_open(lua_State *L)
{
    luaL_newmetatable(L, EVENT);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
