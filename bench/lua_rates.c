/* Lua coroutines on the engine: the chain model with sources in Lua, and bare blocking operations.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "bench.h"
#include "bind/bind.h"
#include "chain.h"

enum { OPS_COROUTINES = 128, OPS_PER_COROUTINE = 20000 };

/* What the coroutines of one run share; found by C functions as their upvalue. */
typedef struct shared {
    chain chain;
    chain_message messages[CHAIN_SOURCES];
    uint32_t running;
} shared;

static void ended(kb_co *co, const char *error)
{
    if (error) bench_abort("%s", error);
    ((shared *)co->user)->running--;
    kb_proc *proc = co->proc;
    kb_co_free(co);
    kb_proc_end(proc);
}

static void begin(kb_sim *sim, void *proc, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_co_resume(proc);
}

static int continued(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    (void)context;
    return 0;
}

static void send_now(kb_sim *sim, void *message, uint64_t arg)
{
    (void)arg;
    chain_send(sim, message);
}

/* send(source, d): after d units send a message; returns when it has left the last link. */
static int send(lua_State *L)
{
    shared *s = lua_touserdata(L, lua_upvalueindex(1));
    chain_message *message = &s->messages[luaL_checkinteger(L, 1)];
    kb_time d = (kb_time)luaL_checkinteger(L, 2);
    kb_co *co = kb_co_current(L);
    message->source = co->proc;
    kb_co_check_wait(L, "send");
    kb_proc_wait_wake(co->proc, KB_WAIT_MESSAGE, "send");
    kb_sim_after(co->proc->engine->sim, d, send_now, message, 0);
    return lua_yieldk(L, 0, 0, continued);
}

/* wait(d): let d units pass. */
static int wait(lua_State *L)
{
    kb_time d = (kb_time)luaL_checkinteger(L, 1);
    kb_co_check_wait(L, "wait");
    return kb_co_wait_until(L, kb_co_current(L)->proc->engine->sim->now + d, KB_WAIT_TIMER, "wait",
                            continued, 0);
}

static const char program[] = "local send, wait = ...\n"
                              "local function source(s, n)\n"
                              "  local x = (2654435761 * s + 12345) & 0x7fffffff\n"
                              "  for _ = 1, n do\n"
                              "    x = (1103515245 * x + 12345) & 0x7fffffff\n"
                              "    send(s, 1 + (x >> 8) % 4800)\n"
                              "  end\n"
                              "end\n"
                              "local function ops(s, n)\n"
                              "  for _ = 1, n do wait(1000) end\n"
                              "end\n"
                              "return source, ops\n";

/* An engine on an empty machine; its userdata stays on the stack. */
static kb_lua_engine *open_engine(lua_State *L)
{
    luaL_openlibs(L);
    kb_bind_open(L);
    const char *code = "local core = require 'kernbench.core'\n"
                       "return assert(core.open{topology = core.home() .. '/topology.yaml'})";
    if (luaL_dostring(L, code)) bench_abort("%s", lua_tostring(L, -1));
    return lua_touserdata(L, -1);
}

/* Start `count` coroutines of the program's function `which` and run them to the end. */
static kb_run run(uint64_t which, uint32_t count, lua_Integer repeats)
{
    kb_sized memory;
    lua_State *L = kb_new_state(&memory);
    kb_lua_engine *engine = open_engine(L);
    shared s = {.chain = {.resume = kb_proc_wake}, .running = count};
    if (luaL_loadstring(L, program)) bench_abort("%s", lua_tostring(L, -1));
    lua_pushlightuserdata(L, &s);
    lua_pushcclosure(L, send, 1);
    lua_pushcfunction(L, wait);
    lua_call(L, 2, 2);
    int function = lua_gettop(L) - 1 + (int)which;
    double from = bench_clock();
    for (uint32_t i = 0; i < count; i++) {
        s.messages[i % CHAIN_SOURCES].chain = &s.chain;
        kb_proc *proc = kb_proc_create(engine->e, KB_PROC_BENCH, kb_co_resume, NULL);
        lua_pushvalue(L, function);
        lua_pushinteger(L, i);
        lua_pushinteger(L, repeats);
        kb_co *co = kb_co_create(L, engine, proc, 2);
        co->end = ended;
        co->user = &s;
        kb_sim_after(engine->e->sim, 0, begin, proc, 0);
    }
    kb_engine_run(engine->e, KB_TIME_NEVER, UINT64_MAX, NULL, NULL);
    double seconds = bench_clock() - from;
    if (s.running) bench_abort("%u coroutines did not end", s.running);
    if (which == 0) chain_check(&s.chain, engine->e->sim);
    lua_close(L);
    kb_sized_fini(&memory);
    return (kb_run){.seconds = seconds};
}

static kb_run chain_lua(uint64_t parameter)
{
    (void)parameter;
    kb_run r = run(0, CHAIN_SOURCES, CHAIN_REPEATS);
    r.operations = CHAIN_HOPS;
    return r;
}

static kb_run lua_ops(uint64_t parameter)
{
    (void)parameter;
    kb_run r = run(1, OPS_COROUTINES, OPS_PER_COROUTINE);
    r.operations = (uint64_t)OPS_COROUTINES * OPS_PER_COROUTINE;
    return r;
}

const kb_rate bench_lua_rates[] = {
    {"chain_lua", "link hops", "chain model, sources are Lua coroutines, one wait per message",
     chain_lua, 0},
    {"lua_ops", "operations", "blocking Lua operations of 128 coroutines: issue, yield, wake",
     lua_ops, 0},
    {0},
};
