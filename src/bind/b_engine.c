/* The engine in Lua: opening a simulation, running a bench in it, closing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bind/b_np.h"
#include "bind/bind.h"
#include "topo/names.h"

#define ENGINE "kernbench.engine"

/* ---- opening and closing ---- */

static const char *option(lua_State *L, const char *key)
{
    lua_getfield(L, 1, key);
    return lua_tostring(L, -1); /* stays on the stack */
}

/* How many threads compute numbers. */
static int data_threads(lua_State *L)
{
    int threads = kb_executor_default_threads();
    if (lua_getfield(L, 1, "data_threads") != LUA_TNIL) {
        lua_Integer wanted = luaL_checkinteger(L, -1);
        luaL_argcheck(L, wanted >= 0 && wanted <= KB_THREADS_MAX, 1,
                      "data_threads is out of range");
        threads = (int)wanted;
    }
    lua_pop(L, 1);
    return threads;
}

/* core.open{topology = path, sets = {"a.b=c", ...}, data = true, data_threads = n} */
static int engine_open(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    kb_lua_engine *engine = lua_newuserdatauv(L, sizeof *engine, 1);
    *engine = (kb_lua_engine){0};
    luaL_setmetatable(L, ENGINE);
    kb_register_engine(L, lua_gettop(L));
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    engine->L = lua_tothread(L, -1);

    kb_engine_options options = {.topology = option(L, "topology"), .data = true};
    if (!options.topology) return luaL_error(L, "core.open: no topology given");
    lua_getfield(L, 1, "data");
    if (!lua_isnil(L, -1)) options.data = lua_toboolean(L, -1);
    options.data_threads = data_threads(L);
    kb_np_set_threads(L, options.data_threads);
    const char **sets = NULL;
    if (lua_getfield(L, 1, "sets") == LUA_TTABLE) {
        options.set_count = lua_rawlen(L, -1);
        sets = lua_newuserdatauv(L, (options.set_count + 1) * sizeof *sets, 0);
        luaL_checkstack(L, (int)options.set_count + 4, "too many --set options");
        int list = lua_gettop(L) - 1;
        for (size_t i = 0; i < options.set_count; i++) {
            lua_rawgeti(L, list, (lua_Integer)i + 1);
            sets[i] = luaL_checkstring(L, -1);
        }
    }
    options.sets = sets;
    kb_err err = {0};
    if (kb_engine_create(&engine->e, &options, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_pushvalue(L, 2);
    return 1;
}

/* Coroutines that still wait when the engine is closed. */
static void free_coroutines(kb_lua_engine *engine)
{
    for (kb_proc *proc = engine->e->procs; proc; proc = proc->next)
        if (proc->user && !proc->stopped) {
            kb_co *co = proc->user;
            *(kb_co **)lua_getextraspace(co->L) = NULL;
            free(co);
        }
}

/* Also while it runs: os.exit closes the Lua state from inside, and never comes back. */
static int engine_gc(lua_State *L)
{
    kb_lua_engine *engine = luaL_checkudata(L, 1, ENGINE);
    if (engine->e) {
        free_coroutines(engine);
        kb_engine_destroy(engine->e);
        engine->e = NULL;
        lua_newtable(L); /* lets go of coroutines and launches */
        lua_setiuservalue(L, 1, 1);
    }
    return 0;
}

static int engine_close(lua_State *L)
{
    const kb_lua_engine *engine = luaL_checkudata(L, 1, ENGINE);
    if (engine->running) return kb_error(L, "the engine cannot be closed while it runs");
    return engine_gc(L);
}

/* ---- running ---- */

/* Outcome of the bench function, filled by its end. */
typedef struct outcome {
    bool ended, failed;
} outcome;

static void bench_end(kb_co *co, const char *error)
{
    outcome *out = co->user; /* null when engine:run has returned before, at a limit */
    lua_State *L = co->from;
    if (out) *out = (outcome){.ended = true, .failed = error != NULL};
    if (error) {
        kb_push_anchor(L, co->engine);
        lua_pushstring(L, error);
        lua_setfield(L, -2, "bench_error");
        lua_pop(L, 1);
    }
    kb_proc *proc = co->proc;
    kb_co_free(co);
    kb_proc_end(proc);
}

static void first_resume(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_co_resume(object);
}

/* What a host process says that it waits for, if it does: its context's waits_for(), as a field of
 * the table on top. */
static void set_detail(lua_State *L, kb_co *co)
{
    int top = lua_gettop(L);
    kb_co_push_context(L, co);
    if (lua_istable(L, -1) && lua_getfield(L, -1, "waits_for") == LUA_TFUNCTION &&
        lua_pcall(L, 0, 1, 0) == LUA_OK && lua_isstring(L, -1)) {
        lua_pushvalue(L, -1);
        lua_setfield(L, top, "detail");
    }
    lua_settop(L, top);
}

/* The line of the user's code at which it waits, as a field of the table on top; of a kernel that
 * is the program's own, the line there. */
static void set_source(lua_State *L, const kb_co *co)
{
    lua_Debug at;
    bool found = false, users = false;
    for (int level = 0; !users && lua_getstack(co->L, level, &at); level++) {
        lua_getinfo(co->L, "Sl", &at);
        if (at.currentline <= 0) continue;
        users = !kb_is_own_chunk(L, &at);
        if (found && !users) continue;
        lua_pushfstring(L, "%s:%d", at.short_src, at.currentline);
        lua_setfield(L, -2, "source");
        found = true;
    }
}

static void push_wait(lua_State *L, const kb_proc *proc)
{
    char where[80];
    lua_createtable(L, 0, 4);
    lua_pushstring(L, kb_proc_where(proc, where, sizeof where));
    lua_setfield(L, -2, "who");
    lua_pushstring(L, proc->what);
    lua_setfield(L, -2, "call");
    lua_pushstring(L, kb_wait_reason_name(proc->reason));
    lua_setfield(L, -2, "reason");
    lua_pushnumber(L, kb_time_ns(proc->since));
    lua_setfield(L, -2, "since_ns");
    if (proc->user) {
        set_source(L, proc->user);
        set_detail(L, proc->user);
    }
    kb_set_comm_wait(L, proc);
}

/* What everybody who waits waits for, those first who began first. */
static void push_waiting(lua_State *L, const kb_engine *e)
{
    lua_newtable(L);
    lua_Integer n = 0;
    const kb_proc *proc = e->procs;
    while (proc && proc->next) proc = proc->next;
    for (; proc; proc = proc->prev) {
        if (proc->stopped || (!proc->waiting && !proc->ending)) continue;
        push_wait(L, proc);
        lua_rawseti(L, -2, ++n);
    }
}

static kb_time limit_time(lua_State *L, int index)
{
    double ns = luaL_optnumber(L, index, 0);
    return ns > 0 ? kb_time_from_ns(ns) : KB_TIME_NEVER;
}

/* ---- progress on a terminal ---- */

typedef struct progress {
    double began, shown; /* wall time in seconds */
} progress;

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* One line on standard error, rewritten twice a second. */
static void show_progress(void *user, const kb_engine *e)
{
    progress *p = user;
    double now = seconds();
    if (now - p->shown < 0.5) return;
    p->shown = now;
    fprintf(stderr, "\r\033[Kt = %.3f ns, %.1f M events, %.1f M events/s", kb_time_ns(e->sim->now),
            (double)e->sim->events * 1e-6, (double)e->sim->events * 1e-6 / (now - p->began));
}

/* engine:run(fn, max_ns, max_events, progress): runs fn as the bench until it and all it started
 * have ended. Returns a table: end = "ok" | "error" | "deadlock" | "limit", error = message,
 * waiting = {...}.
 */
static int engine_run(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    if (engine->running) return luaL_error(L, "the engine runs already");
    if (L != engine->L) return luaL_error(L, "run is called from the main program only");
    kb_time max_time = limit_time(L, 3);
    lua_Integer max_events = luaL_optinteger(L, 4, 0);

    outcome out = {0};
    kb_proc *proc = kb_proc_create(engine->e, KB_PROC_BENCH, kb_co_resume, NULL);
    lua_pushvalue(L, 2);
    kb_co *co = kb_co_create(L, engine, proc, 0);
    co->end = bench_end;
    co->user = &out;
    kb_sim_after(engine->e->sim, 0, first_resume, proc, 0);
    engine->running = true;
    progress shown = {.began = seconds()};
    kb_run_end end =
        kb_engine_run(engine->e, max_time, max_events > 0 ? (uint64_t)max_events : UINT64_MAX,
                      lua_toboolean(L, 5) ? show_progress : NULL, &shown);
    engine->running = false;
    if (shown.shown > 0) fputs("\r\033[K", stderr);
    if (!out.ended) co->user = NULL;

    lua_createtable(L, 0, 3);
    const char *result = "ok";
    if (out.failed)
        result = "error";
    else if (end == KB_RUN_TIME || end == KB_RUN_EVENTS)
        result = "limit";
    else if (engine->e->proc_count)
        result = "deadlock";
    lua_pushstring(L, result);
    lua_setfield(L, -2, "status");
    kb_push_anchor(L, engine);
    lua_getfield(L, -1, "bench_error");
    lua_setfield(L, -3, "error");
    lua_pushnil(L);
    lua_setfield(L, -2, "bench_error");
    lua_pop(L, 1);
    if (engine->e->proc_count) {
        push_waiting(L, engine->e);
        lua_setfield(L, -2, "waiting");
    }
    return 1;
}

static int sleep_done(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    (void)context;
    return 0;
}

/* engine:sleep(ns): let simulated time pass. */
static int engine_sleep(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    double ns = luaL_checknumber(L, 2);
    luaL_argcheck(L, ns >= 0 && ns < 1e15, 2, "expected a duration in ns");
    kb_co_check_wait(L, "sleep");
    return kb_co_wait_until(L, engine->e->sim->now + kb_time_from_ns(ns), KB_WAIT_TIMER, "sleep",
                            sleep_done, 0);
}

/* engine:settle(): make all numbers of what has happened so far available. */
static int engine_settle(lua_State *L)
{
    kb_err err = {0};
    if (kb_engine_settle(kb_check_engine(L, 1)->e, &err)) return kb_raise(L, &err);
    return 0;
}

static int engine_now(lua_State *L)
{
    lua_pushnumber(L, kb_time_ns(kb_check_engine(L, 1)->e->sim->now));
    return 1;
}

static int engine_has_data(lua_State *L)
{
    lua_pushboolean(L, kb_check_engine(L, 1)->e->data);
    return 1;
}

/* engine:without_data(): no numbers in this simulation; before there is any tensor. */
static int engine_without_data(lua_State *L)
{
    kb_engine *e = kb_check_engine(L, 1)->e;
    if (e->data && e->tensors)
        return kb_error(L, "numbers cannot be switched off while there are tensors");
    e->data = false;
    return 0;
}

static int home(lua_State *L)
{
    kb_push_home(L);
    return 1;
}

/* core.check_host(call): raises unless a host program runs. */
static int check_host(lua_State *L)
{
    kb_check_host(L, luaL_checkstring(L, 1));
    return 0;
}

/* core.raise(message): at the line of the user's code, however deep in the program's own files. */
static int raise_text(lua_State *L)
{
    return kb_error(L, "%s", luaL_checkstring(L, 1));
}

/* core.where(): that line, as "file:line", or "?". */
static int where(lua_State *L)
{
    kb_push_where(L);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    if (length > 2)
        lua_pushlstring(L, text, length - 2);
    else
        lua_pushliteral(L, "?");
    return 1;
}

/* core.context(): the table of facts that belong to the bench or worker that runs, or nil. */
static int context(lua_State *L)
{
    kb_co_push_context(L, kb_co_current(L));
    return 1;
}

/* core.clock(): wall time in seconds, monotonic. */
static int wall_clock(lua_State *L)
{
    lua_pushnumber(L, seconds());
    return 1;
}

static const luaL_Reg methods[] = {
    {"run", engine_run},           {"sleep", engine_sleep},
    {"settle", engine_settle},     {"now_ns", engine_now},
    {"has_data", engine_has_data}, {"without_data", engine_without_data},
    {"close", engine_close},       {NULL, NULL}};

/* core.is_terminal(): whether diagnostics go to a terminal. */
static int is_terminal(lua_State *L)
{
    lua_pushboolean(L, isatty(STDERR_FILENO));
    return 1;
}

static const luaL_Reg functions[] = {{"is_terminal", is_terminal},
                                     {"open", engine_open},
                                     {"home", home},
                                     {"clock", wall_clock},
                                     {"check_host", check_host},
                                     {"context", context},
                                     {"raise", raise_text},
                                     {"where", where},
                                     {"probe", kb_lua_probe},
                                     {"probe_cases", kb_lua_probe_cases},
                                     {NULL, NULL}};

int luaopen_kernbench_core(lua_State *L)
{
    luaL_newmetatable(L, ENGINE);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    luaL_setfuncs(L, kb_tensor_engine_methods, 0);
    luaL_setfuncs(L, kb_launch_engine_methods, 0);
    luaL_setfuncs(L, kb_stats_engine_methods, 0);
    luaL_setfuncs(L, kb_stages_engine_methods, 0);
    luaL_setfuncs(L, kb_worker_engine_methods, 0);
    luaL_setfuncs(L, kb_event_engine_methods, 0);
    luaL_setfuncs(L, kb_ipcq_engine_methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, engine_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, engine_close);
    lua_setfield(L, -2, "__close");
    lua_pop(L, 1);
    kb_tensor_open(L);
    kb_launch_open(L);
    kb_stages_open(L);
    kb_worker_open(L);
    kb_event_open(L);
    kb_probe_open(L);
    luaL_newlib(L, functions);
    lua_pushliteral(L, KB_VERSION);
    lua_setfield(L, -2, "version");
    return 1;
}
