/* The threads that functions on large arrays use. They belong to the Lua state, start when they are
 * first needed, and end with it. */
#include "bind/b_np_impl.h"

#define TYPE_NAME "kernbench.np.threads"

/* Its address: registry key of the userdata. */
static const char KEY = 0;

typedef struct np_threads {
    kb_executor *executor; /* null: not needed yet */
    int count;
} np_threads;

static int threads_gc(lua_State *L)
{
    np_threads *threads = lua_touserdata(L, 1);
    kb_executor_destroy(threads->executor);
    threads->executor = NULL;
    return 0;
}

static np_threads *threads_of(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &KEY) == LUA_TNIL) {
        lua_pop(L, 1);
        np_threads *threads = lua_newuserdatauv(L, sizeof *threads, 0);
        *threads = (np_threads){.count = kb_executor_default_threads()};
        if (luaL_newmetatable(L, TYPE_NAME)) {
            lua_pushcfunction(L, threads_gc);
            lua_setfield(L, -2, "__gc");
        }
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &KEY);
    }
    np_threads *threads = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return threads;
}

void kb_np_set_threads(lua_State *L, int count)
{
    np_threads *threads = threads_of(L);
    if (threads->count == count) return;
    kb_executor_destroy(threads->executor);
    *threads = (np_threads){.count = count};
}

/* Its tasks are parts of one call only. */
static void no_task(kb_executor *executor, kb_task *task)
{
    (void)executor;
    (void)task;
}

kb_executor *kb_np_executor(lua_State *L)
{
    np_threads *threads = threads_of(L);
    if (!threads->executor && threads->count > 0)
        threads->executor = kb_executor_create(threads->count, no_task);
    return threads->executor;
}
