/* Kernel launches in Lua: userdata "kernbench.launch". */
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"

#define LAUNCH "kernbench.launch"

enum { MOST_ARGUMENTS = 10000 }; /* far below what a Lua stack holds */

/* User value 1: {engine, function, arguments table}. */
typedef struct lua_launch {
    kb_launch *launch;
    kb_lua_engine *engine;
    int nargs;
} lua_launch;

static lua_launch *check_launch(lua_State *L, int index)
{
    lua_launch *box = luaL_checkudata(L, index, LAUNCH);
    if (!box->engine->e) luaL_argerror(L, index, "the engine is closed");
    return box;
}

/* ---- instances ---- */

static void instance_end(kb_co *co, const char *error)
{
    kb_proc *proc = co->proc;
    kb_co_free(co);
    proc->user = NULL;
    kb_launch_instance_end(proc, error);
}

static void instance_stop(kb_proc *proc)
{
    kb_co *co = proc->user;
    proc->user = NULL;
    if (!co) return;
    kb_co_stop(co);
    kb_co_free(co);
}

/* Begin an instance: its function with the arguments as this PE sees them. */
static void instance_begin(kb_launch *launch, kb_proc *proc)
{
    lua_launch *box = launch->user;
    lua_State *L = box->engine->L;
    int top = lua_gettop(L);
    luaL_checkstack(L, box->nargs + 8, "too many kernel arguments");
    kb_push_anchor(L, box->engine);
    lua_rawgetp(L, -1, launch);
    lua_getiuservalue(L, -1, 1);
    int bound = lua_gettop(L);
    lua_rawgeti(L, bound, 2);
    lua_rawgeti(L, bound, 3);
    int args = lua_gettop(L);
    lua_pushvalue(L, args - 1);
    for (int i = 1; i <= box->nargs; i++) {
        lua_rawgeti(L, args, i);
        if (!kb_test_tensor(L, -1)) continue;
        kb_push_pointer(L, lua_gettop(L), proc->pe->cube, proc->pe->number);
        lua_remove(L, -2);
    }
    kb_co *co = kb_co_create(L, box->engine, proc, box->nargs);
    co->end = instance_end;
    proc->resume = kb_co_resume;
    lua_settop(L, top);
    kb_co_resume(proc);
}

/* ---- submitting ---- */

/* targets = {cube, mask, cube, mask, ...}, cubes ascending; into memory that Lua owns */
static kb_msg_target *read_targets(lua_State *L, const kb_graph *g, uint32_t *count)
{
    lua_getfield(L, 2, "targets");
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_Unsigned n = lua_rawlen(L, -1) / 2;
    if (n == 0) kb_error(L, "torch.launch: there is no PE to launch on");
    kb_msg_target *targets = lua_newuserdatauv(L, n * sizeof *targets, 0);
    lua_insert(L, -2);
    for (lua_Unsigned i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i * 2 + 1);
        lua_rawgeti(L, -2, (lua_Integer)i * 2 + 2);
        lua_Integer cube = luaL_checkinteger(L, -2), mask = luaL_checkinteger(L, -1);
        if (cube < 0 || cube >= kb_graph_cubes(g) || mask <= 0 || mask >> g->cube_plan.pes)
            kb_error(L, "torch.launch: target PEs of cube %d do not exist", (int)cube);
        targets[i] = (kb_msg_target){.cube = (int)cube, .pe_mask = (uint32_t)mask};
        lua_pop(L, 2);
    }
    lua_pop(L, 1); /* the targets stay on the stack */
    *count = (uint32_t)n;
    return targets;
}

/* Every tensor among the arguments has a part for every target: begin must not fail. */
static void check_args(lua_State *L, int args, int nargs, const kb_msg *msg)
{
    for (int i = 1; i <= nargs; i++) {
        lua_rawgeti(L, args, i);
        const kb_tensor *t = kb_test_tensor(L, -1);
        for (uint32_t c = 0; t && t->piece_count > 1 && c < msg->target_count; c++)
            for (uint32_t left = msg->targets[c].pe_mask; left; left &= left - 1)
                if (!kb_tensor_shard_of(t, msg->targets[c].cube, __builtin_ctz(left)))
                    kb_error(L,
                             "torch.launch: argument %d, tensor '%s', is cut into parts and has "
                             "none on cube %d, pe %d, which another argument has; give both the "
                             "same placement",
                             i, t->name, msg->targets[c].cube, __builtin_ctz(left));
        lua_pop(L, 1);
    }
}

/* engine:launch{name, sip, fn, args = {...}, nargs, targets}: submits; does not wait. */
static int launch_submit(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    uint32_t spawn = kb_check_host(L, "torch.launch")->proc->spawn;
    lua_settop(L, 2);
    lua_launch *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (lua_launch){.engine = engine};
    luaL_setmetatable(L, LAUNCH);
    lua_createtable(L, 3, 0);
    lua_pushvalue(L, 1);
    lua_rawseti(L, -2, 1);
    lua_getfield(L, 2, "fn");
    luaL_checktype(L, -1, LUA_TFUNCTION);
    lua_rawseti(L, -2, 2);
    lua_getfield(L, 2, "args");
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_rawseti(L, -2, 3);
    lua_setiuservalue(L, 3, 1);
    lua_getfield(L, 2, "nargs");
    lua_Integer nargs = luaL_checkinteger(L, -1);
    if (nargs > MOST_ARGUMENTS)
        kb_error(L, "torch.launch: %d arguments; a kernel takes at most %d", (int)nargs,
                 MOST_ARGUMENTS);
    box->nargs = (int)nargs;
    lua_getfield(L, 2, "sip");
    int sip = (int)luaL_checkinteger(L, -1);
    lua_getfield(L, 2, "name");
    const char *name = luaL_checkstring(L, -1);
    kb_msg wanted = {0};
    wanted.targets = read_targets(L, engine->e->m->graph, &wanted.target_count);
    lua_getfield(L, 2, "args");
    check_args(L, lua_gettop(L), box->nargs, &wanted);
    uint32_t count = wanted.target_count;
    kb_msg_target *targets = kb_xcalloc(count, sizeof *targets);
    memcpy(targets, wanted.targets, count * sizeof *targets);
    box->launch =
        kb_launch_submit(engine->e, name, sip, targets, count, instance_begin, instance_stop, box);
    box->launch->spawn = spawn;
    kb_push_anchor(L, engine); /* it stays until the engine is closed */
    lua_pushvalue(L, 3);
    lua_rawsetp(L, -2, box->launch);
    lua_settop(L, 3);
    return 1;
}

static int waited(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    const lua_launch *box = check_launch(L, 1);
    /* Arguments are no longer needed: let tensors be collected. */
    lua_getiuservalue(L, 1, 1);
    for (int i = 2; i <= 3; i++) {
        lua_pushnil(L);
        lua_rawseti(L, -2, i);
    }
    lua_pop(L, 1);
    if (!box->launch->failed) return 0;
    box->launch->reported = true;
    char *text = kb_launch_error_text(box->launch);
    lua_pushstring(L, text);
    free(text);
    return kb_error(L, "kernel '%s' failed\n%s", box->launch->name, lua_tostring(L, -1));
}

/* launch:wait(): until the host knows of its completion; raises if an instance failed. */
static int launch_wait(lua_State *L)
{
    lua_launch *box = check_launch(L, 1);
    lua_settop(L, 1);
    if (kb_completion_done(&box->launch->done)) return waited(L, LUA_OK, 0);
    kb_check_host(L, "launch:wait");
    kb_co_check_wait(L, "launch:wait");
    return kb_co_wait(L, &box->launch->done, KB_WAIT_LAUNCH, "launch:wait", waited, 0);
}

static int launch_done(lua_State *L)
{
    lua_pushboolean(L, kb_completion_done(&check_launch(L, 1)->launch->done));
    return 1;
}

static void set_number(lua_State *L, const char *key, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

static void set_integer(lua_State *L, const char *key, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, key);
}

/* {pe_gemm = {busy_ns, utilization}, ...} */
static void set_engines(lua_State *L, const kb_launch *l, double time)
{
    lua_createtable(L, 0, KB_USE_COUNT);
    for (int i = 0; i < KB_USE_COUNT; i++) {
        double busy = kb_time_ns(l->use.busy[i]);
        lua_createtable(L, 0, 2);
        set_number(L, "busy_ns", busy);
        set_number(L, "utilization", time > 0 ? busy / (time * l->pe_count) : 0);
        lua_setfield(L, -2, kb_use_name(i));
    }
    lua_setfield(L, -2, "engines");
}

/* {time_ns = the longest, of = its name, fraction = of the time, pe_gemm = ns, ...} */
static void set_roofline(lua_State *L, const kb_launch *l, double time)
{
    double longest = 0;
    int of = 0;
    lua_createtable(L, 0, KB_BOUND_COUNT + 3);
    for (int i = 0; i < KB_BOUND_COUNT; i++) {
        double bound = kb_launch_use_bound(l, (kb_bound)i) * 1e9;
        set_number(L, kb_bound_name((kb_bound)i), bound);
        if (bound > longest) {
            longest = bound;
            of = i;
        }
    }
    set_number(L, "time_ns", longest);
    set_number(L, "fraction", time > 0 ? longest / time : 0);
    lua_pushstring(L, kb_bound_name((kb_bound)of));
    lua_setfield(L, -2, "of");
    lua_setfield(L, -2, "roofline");
}

/* launch:stats(): what it did, once it has ended; nil before. */
static int launch_stats(lua_State *L)
{
    const kb_launch *l = check_launch(L, 1)->launch;
    if (!kb_completion_done(&l->done)) return 0;
    double time = kb_time_ns(l->end - l->start);
    lua_createtable(L, 0, 12);
    set_integer(L, "pes", l->pe_count);
    set_number(L, "start_ns", kb_time_ns(l->start));
    set_number(L, "end_ns", kb_time_ns(l->end));
    set_number(L, "time_ns", time);
    set_integer(L, "commands", l->use.commands);
    set_integer(L, "flops", 2 * l->use.macs);
    set_number(L, "tflops", time > 0 ? 2e-3 * (double)l->use.macs / time : 0);
    set_integer(L, "bytes_read", l->use.dma_bytes[0]);
    set_integer(L, "bytes_written", l->use.dma_bytes[1]);
    set_engines(L, l, time);
    set_roofline(L, l, time);
    return 1;
}

static const luaL_Reg methods[] = {
    {"wait", launch_wait}, {"done", launch_done}, {"stats", launch_stats}, {NULL, NULL}};

const luaL_Reg kb_launch_engine_methods[] = {{"launch", launch_submit}, {NULL, NULL}};

void kb_launch_open(lua_State *L)
{
    luaL_newmetatable(L, LAUNCH);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
