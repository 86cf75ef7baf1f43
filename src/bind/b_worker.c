/* Rank workers in Lua: userdata "kernbench.workers", the group of one spawn.
 *
 * Workers begin in the order of their ranks. When one fails, the others are ended once everything
 * due at that picosecond has happened, so that all that fail together have their say. A worker that
 * waits for a transfer between host and device ends when that is complete; one that waits for
 * anything else ends at once. Launches of the group that are still under way are stopped.
 *
 * Helpers run beside the workers, each on behalf of a rank, and end with them. */
#include "bind/bind.h"
#include "engine/launch.h"

#define WORKERS "kernbench.workers"

typedef struct worker {
    struct workers *group;
    kb_co *co; /* null once ended */
    int rank;
    bool helper;
    struct worker *next; /* of the group's helpers */
} worker;

/* User value 1: {[0] = engine, [rank + 1] = error, ..., [helper] = its memory}. Anchored by the
 * engine until all have ended. */
typedef struct workers {
    kb_lua_engine *engine;
    uint32_t number; /* of the spawn */
    int count, running;
    bool stopping; /* somebody failed, and the others' end is scheduled */
    bool stopped;
    kb_completion done;
    worker *helpers; /* that run */
    worker list[];
} workers;

static workers *check_workers(lua_State *L)
{
    workers *group = luaL_checkudata(L, 1, WORKERS);
    if (!group->engine->e) luaL_argerror(L, 1, "the engine is closed");
    return group;
}

/* ---- ends ---- */

static void complete_if_all_ended(workers *group)
{
    if (group->running || group->stopping != group->stopped) return;
    lua_State *L = group->engine->L;
    kb_completion_part(&group->done, group->engine->e->sim);
    kb_push_anchor(L, group->engine);
    lua_pushnil(L);
    lua_rawsetp(L, -2, group); /* it may be collected from here on */
    lua_pop(L, 1);
}

/* A worker that waits for a transfer is the owner of what the transfer needs. */
static bool can_end_now(const kb_proc *proc)
{
    return proc->waiting && proc->reason != KB_WAIT_MEMORY && proc->reason != KB_WAIT_MESSAGE;
}

/* The user value of the group, pushed. */
static void push_notes(lua_State *L, const workers *group)
{
    kb_push_anchor(L, group->engine);
    lua_rawgetp(L, -1, group);
    lua_getiuservalue(L, -1, 1);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

static void forget_helper(worker *helper)
{
    lua_State *L = helper->group->engine->L;
    worker **at = &helper->group->helpers;
    while (*at != helper) at = &(*at)->next;
    *at = helper->next;
    push_notes(L, helper->group);
    lua_pushnil(L);
    lua_rawsetp(L, -2, helper); /* it may be collected from here on */
    lua_pop(L, 1);
}

static void end_worker(worker *w)
{
    kb_co *co = w->co;
    kb_proc *proc = co->proc;
    w->co = NULL;
    kb_co_free(co);
    kb_proc_end(proc);
    w->group->running--;
    if (w->helper) forget_helper(w);
}

static void stop_worker(worker *w)
{
    if (!w->co) return;
    if (can_end_now(w->co->proc)) {
        kb_co_stop(w->co);
        end_worker(w);
    } else {
        w->co->unwanted = true;
    }
}

static void stop_group(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    workers *group = object;
    group->stopped = true;
    for (int rank = 0; rank < group->count; rank++) stop_worker(&group->list[rank]);
    for (worker *w = group->helpers, *next; w; w = next) {
        next = w->next;
        stop_worker(w);
    }
    kb_launch_stop_spawn(group->engine->e, group->number);
    complete_if_all_ended(group);
}

static void keep_error(lua_State *L, const workers *group, int rank, const char *error)
{
    push_notes(L, group);
    lua_pushstring(L, error);
    lua_rawseti(L, -2, rank + 1);
    lua_pop(L, 1);
}

static void worker_end(kb_co *co, const char *error)
{
    worker *w = co->user;
    workers *group = w->group;
    if (error) keep_error(co->from, group, w->rank, error);
    end_worker(w); /* a helper is gone then */
    if (error && !group->stopping) {
        group->stopping = true;
        kb_sim_after(group->engine->e->sim, 0, stop_group, group, 0);
    }
    complete_if_all_ended(group);
}

/* ---- spawning ---- */

/* The function at `index` is what it runs. */
static void begin_worker(lua_State *L, worker *w, int index)
{
    workers *group = w->group;
    kb_engine *e = group->engine->e;
    kb_proc *proc = kb_proc_create(e, KB_PROC_WORKER, kb_co_resume, NULL);
    proc->spawn = group->number;
    proc->rank = w->rank;
    lua_pushvalue(L, index);
    lua_pushinteger(L, w->rank);
    kb_co *co = kb_co_create(L, group->engine, proc, 1);
    w->co = co;
    co->end = worker_end;
    co->user = w;
    group->running++;
    kb_proc_wait_until(proc, e->sim->now, KB_WAIT_TIMER, "torch.multiprocessing.spawn");
}

/* engine:spawn(fn, n): runs fn(rank) as n workers; does not wait. */
static int workers_spawn(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    kb_check_host(L, "torch.multiprocessing.spawn");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_Integer count = luaL_checkinteger(L, 3);
    luaL_argcheck(L, count >= 1 && count <= 1 << 20, 3, "expected 1 to 1048576 workers");
    lua_settop(L, 3);
    workers *group = lua_newuserdatauv(L, sizeof *group + (size_t)count * sizeof *group->list, 1);
    *group = (workers){.engine = engine, .number = ++engine->e->spawn_count, .count = (int)count};
    for (int rank = 0; rank < group->count; rank++)
        group->list[rank] = (worker){.group = group, .rank = rank};
    kb_completion_init(&group->done, 1);
    luaL_setmetatable(L, WORKERS);
    lua_createtable(L, 0, 1);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 0);
    lua_setiuservalue(L, 4, 1);
    kb_push_anchor(L, engine);
    lua_pushvalue(L, 4);
    lua_rawsetp(L, -2, group);
    lua_settop(L, 4);
    for (int rank = 0; rank < group->count; rank++) begin_worker(L, &group->list[rank], 2);
    return 1;
}

/* workers:help(rank, fn): runs fn(rank) as a helper of that worker, which must not have ended; does
 * not wait. */
static int workers_help(lua_State *L)
{
    workers *group = check_workers(L);
    kb_check_host(L, "workers:help");
    lua_Integer rank = luaL_checkinteger(L, 2);
    luaL_argcheck(L, rank >= 0 && rank < group->count && group->list[rank].co, 2,
                  "no worker of that rank is running");
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 3);
    lua_getiuservalue(L, 1, 1);
    worker *w = lua_newuserdatauv(L, sizeof *w, 0);
    *w = (worker){.group = group, .rank = (int)rank, .helper = true, .next = group->helpers};
    lua_rawsetp(L, 4, w);
    group->helpers = w;
    begin_worker(L, w, 3);
    return 0;
}

/* workers:wait(): until all have ended. */
static int workers_wait(lua_State *L)
{
    workers *group = check_workers(L);
    lua_settop(L, 1);
    return kb_co_host_wait(L, &group->done, KB_WAIT_WORKERS, "torch.multiprocessing.spawn");
}

static int workers_done(lua_State *L)
{
    lua_pushboolean(L, kb_completion_done(&check_workers(L)->done));
    return 1;
}

/* workers:error(rank): the message with its traceback, or nil. */
static int workers_error(lua_State *L)
{
    check_workers(L);
    lua_getiuservalue(L, 1, 1);
    lua_rawgeti(L, -1, luaL_checkinteger(L, 2) + 1);
    return 1;
}

static const luaL_Reg methods[] = {{"wait", workers_wait},
                                   {"done", workers_done},
                                   {"error", workers_error},
                                   {"help", workers_help},
                                   {NULL, NULL}};

const luaL_Reg kb_worker_engine_methods[] = {{"spawn", workers_spawn}, {NULL, NULL}};

void kb_worker_open(lua_State *L)
{
    luaL_newmetatable(L, WORKERS);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
