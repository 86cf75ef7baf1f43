/* Kernel launches in Lua: userdata "kernbench.launch". */
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"

#define LAUNCH "kernbench.launch"
#define PLAN   "kernbench.launch_plan"

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

/* Who runs the kernel, while it is read: owned by Lua, so that an error frees it. */
typedef struct plan {
    kb_launch_sip *sips;
    uint32_t sip_count;
    kb_tensor **tensors;
    uint32_t tensor_count;
} plan;

static int plan_gc(lua_State *L)
{
    plan *p = luaL_checkudata(L, 1, PLAN);
    for (uint32_t i = 0; p->sips && i < p->sip_count; i++) free(p->sips[i].targets);
    free(p->sips);
    free(p->tensors);
    *p = (plan){0};
    return 0;
}

static lua_Integer integer_at(lua_State *L, lua_Integer i)
{
    lua_rawgeti(L, -1, i);
    lua_Integer value = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return value;
}

/* One entry {sip, cube, mask} of the targets, in ascending order. */
static void add_target(lua_State *L, const kb_graph *g, plan *p, lua_Integer sip, lua_Integer cube,
                       lua_Integer mask)
{
    if (sip < 0 || sip >= g->sips)
        kb_error(L, "torch.launch: sip%d does not exist; there are %d", (int)sip, g->sips);
    if (cube < 0 || cube >= kb_graph_cubes(g) || mask <= 0 || mask >> g->cube_plan.pes)
        kb_error(L, "torch.launch: target PEs of sip%d.cube%d do not exist", (int)sip, (int)cube);
    if (!p->sip_count || p->sips[p->sip_count - 1].sip != (int)sip)
        p->sips[p->sip_count++] = (kb_launch_sip){
            .sip = (int)sip,
            .targets = kb_xcalloc((size_t)kb_graph_cubes(g), sizeof(kb_msg_target))};
    kb_launch_sip *on = &p->sips[p->sip_count - 1];
    on->targets[on->target_count++] = (kb_msg_target){.cube = (int)cube, .pe_mask = (uint32_t)mask};
}

/* targets = {sip, cube, mask, sip, cube, mask, ...}, ascending, every cube once */
static void read_targets(lua_State *L, const kb_graph *g, plan *p)
{
    lua_getfield(L, 2, "targets");
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1) / 3;
    if (n == 0) kb_error(L, "torch.launch: there is no PE to launch on");
    p->sips = kb_xcalloc((size_t)g->sips, sizeof *p->sips);
    lua_Integer before = -1;
    for (lua_Integer i = 0; i < n; i++) {
        lua_Integer sip = integer_at(L, i * 3 + 1), cube = integer_at(L, i * 3 + 2);
        lua_Integer place = sip * kb_graph_cubes(g) + cube;
        if (place <= before) kb_error(L, "torch.launch: targets are not in ascending order");
        before = place;
        add_target(L, g, p, sip, cube, integer_at(L, i * 3 + 3));
    }
    lua_pop(L, 1);
}

/* The PEs of the plan all get a pointer to the tensor, and reach it: begin must not fail. */
static void check_tensor(lua_State *L, int argument, const kb_tensor *t, const plan *p)
{
    uint32_t piece;
    for (uint32_t s = 0; s < p->sip_count; s++) {
        const kb_launch_sip *on = &p->sips[s];
        if (t->maps[on->sip] != KB_MAPPED)
            kb_error(L, "torch.launch: tensor '%s' is not mapped on sip%d", t->name, on->sip);
        for (uint32_t c = 0; c < on->target_count; c++)
            for (uint32_t left = on->targets[c].pe_mask; left; left &= left - 1)
                if (!kb_tensor_piece_of(t, on->targets[c].cube, __builtin_ctz(left), &piece))
                    kb_error(L,
                             "torch.launch: argument %d, tensor '%s', is cut into parts and has "
                             "none on cube %d, pe %d, which another argument has; give both the "
                             "same placement",
                             argument, t->name, on->targets[c].cube, __builtin_ctz(left));
    }
}

static void read_args(lua_State *L, int nargs, plan *p)
{
    lua_getfield(L, 2, "args");
    p->tensors = kb_xcalloc((size_t)nargs + 1, sizeof(kb_tensor *));
    for (int i = 1; i <= nargs; i++) {
        lua_rawgeti(L, -1, i);
        kb_tensor *t = kb_test_tensor(L, -1);
        if (t) {
            check_tensor(L, i, t, p);
            p->tensors[p->tensor_count++] = t;
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* The box of the launch on top of the stack keeps {engine, function, arguments}. */
static void keep_program(lua_State *L)
{
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
}

static kb_launch *submit(lua_State *L, lua_launch *box, plan *p)
{
    lua_getfield(L, 2, "name");
    kb_launch_desc desc = {.name = luaL_checkstring(L, -1),
                           .sips = p->sips,
                           .sip_count = p->sip_count,
                           .tensors = p->tensors,
                           .tensor_count = p->tensor_count,
                           .begin = instance_begin,
                           .stop = instance_stop,
                           .user = box,
                           .spawn = kb_check_host(L, "torch.launch")->proc->spawn};
    kb_launch *launch = kb_launch_submit(box->engine->e, &desc);
    p->sip_count = 0; /* the targets have been taken over */
    lua_pop(L, 1);
    return launch;
}

/* engine:launch{name, fn, args = {...}, nargs, targets}: submits; does not wait. */
static int launch_submit(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    kb_check_host(L, "torch.launch");
    lua_settop(L, 2);
    lua_launch *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (lua_launch){.engine = engine};
    luaL_setmetatable(L, LAUNCH);
    keep_program(L);
    lua_getfield(L, 2, "nargs");
    lua_Integer nargs = luaL_checkinteger(L, -1);
    if (nargs > MOST_ARGUMENTS)
        kb_error(L, "torch.launch: %d arguments; a kernel takes at most %d", (int)nargs,
                 MOST_ARGUMENTS);
    box->nargs = (int)nargs;
    plan *p = lua_newuserdatauv(L, sizeof *p, 0);
    *p = (plan){0};
    luaL_setmetatable(L, PLAN);
    read_targets(L, engine->e->m->graph, p);
    read_args(L, box->nargs, p);
    box->launch = submit(L, box, p);
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

/* {pe_gemm = {busy_ns, utilization}, ...} */
static void set_engines(lua_State *L, const kb_launch *l, double time)
{
    lua_createtable(L, 0, KB_USE_COUNT);
    for (int i = 0; i < KB_USE_COUNT; i++) {
        double busy = kb_time_ns(l->use.busy[i]);
        lua_createtable(L, 0, 2);
        kb_set_number(L, "busy_ns", busy);
        kb_set_number(L, "utilization", time > 0 ? busy / (time * l->pe_count) : 0);
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
        kb_set_number(L, kb_bound_name((kb_bound)i), bound);
        if (bound > longest) {
            longest = bound;
            of = i;
        }
    }
    kb_set_number(L, "time_ns", longest);
    kb_set_number(L, "fraction", time > 0 ? longest / time : 0);
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
    kb_set_count(L, "pes", l->pe_count);
    kb_set_number(L, "start_ns", kb_time_ns(l->start));
    kb_set_number(L, "end_ns", kb_time_ns(l->end));
    kb_set_number(L, "time_ns", time);
    kb_set_count(L, "commands", l->use.commands);
    kb_set_count(L, "flops", 2 * l->use.macs);
    kb_set_number(L, "tflops", time > 0 ? 2e-3 * (double)l->use.macs / time : 0);
    kb_set_count(L, "bytes_read", l->use.dma_bytes[0]);
    kb_set_count(L, "bytes_written", l->use.dma_bytes[1]);
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
    luaL_newmetatable(L, PLAN);
    lua_pushcfunction(L, plan_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
