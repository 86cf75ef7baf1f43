/* Install plans in Lua: methods of the engine. */
#include <string.h>

#include "bind/bind.h"
#include "engine/ipcq.h"
#include "engine/kernel_ipcq.h"

#define WORK "kernbench.ipcq_work"

/* ---- reading a plan ---- */

/* The table on top, with where it stands in the plan for messages. */
static lua_Integer integer_field(lua_State *L, const char *where, const char *key,
                                 lua_Integer otherwise)
{
    int is_integer;
    if (lua_getfield(L, -1, key) == LUA_TNIL && otherwise >= 0) {
        lua_pop(L, 1);
        return otherwise;
    }
    lua_Integer value = lua_tointegerx(L, -1, &is_integer);
    if (!is_integer || value < 0 || value > INT32_MAX)
        kb_error(L, "engine:install_ipcq: %s.%s is %s; expected an integer of at least 0", where,
                 key, luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
    return value;
}

/* Stays alive with the plan's table, which is an argument. */
static const char *string_field(lua_State *L, const char *where, const char *key)
{
    if (lua_getfield(L, -1, key) != LUA_TSTRING)
        kb_error(L, "engine:install_ipcq: %s.%s is %s; expected a string", where, key,
                 luaL_tolstring(L, -1, NULL));
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1);
    return text;
}

static int choice_field(lua_State *L, const char *key, const char *const *choices)
{
    lua_getfield(L, 2, key);
    const char *text = lua_isnil(L, -1) ? choices[0] : lua_tostring(L, -1);
    for (int i = 0; text && choices[i]; i++)
        if (!strcmp(text, choices[i])) {
            lua_pop(L, 1);
            return i;
        }
    text = luaL_tolstring(L, -1, NULL);
    lua_pushliteral(L, "");
    for (int i = 0; choices[i]; i++) {
        lua_pushfstring(L, "%s\"%s\"", i ? " or " : "", choices[i]);
        lua_concat(L, 2);
    }
    return kb_error(L, "engine:install_ipcq: plan.%s is %s; expected %s", key, text,
                    lua_tostring(L, -1));
}

static void table_field(lua_State *L, const char *where, const char *key)
{
    if (lua_getfield(L, -1, key) != LUA_TTABLE)
        kb_error(L, "engine:install_ipcq: %s.%s is %s; expected a table", where, key,
                 luaL_tolstring(L, -1, NULL));
}

/* {sip, cube, pe} or {sip =, cube =, pe =}, on top; popped. */
static void read_peer(lua_State *L, const char *where, kb_ipcq_desc_direction *way)
{
    static const char *const keys[3] = {"sip", "cube", "pe"};
    int *const to[3] = {&way->sip, &way->cube, &way->pe};
    for (int i = 0; i < 3; i++) {
        int is_integer;
        if (lua_rawgeti(L, -1, i + 1) == LUA_TNIL) {
            lua_pop(L, 1);
            lua_getfield(L, -1, keys[i]);
        }
        lua_Integer value = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || value < 0 || value > INT32_MAX)
            kb_error(L, "engine:install_ipcq: %s.peer: %s is %s; expected {sip, cube, pe}", where,
                     keys[i], luaL_tolstring(L, -1, NULL));
        *to[i] = (int)value;
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* How many directions all PEs of the list on top have. */
static uint32_t count_directions(lua_State *L, lua_Integer pes)
{
    lua_Unsigned count = 0;
    for (lua_Integer i = 1; i <= pes; i++) {
        if (lua_rawgeti(L, -1, i) == LUA_TTABLE && lua_getfield(L, -1, "directions") == LUA_TTABLE)
            count += lua_rawlen(L, -1);
        lua_settop(L, 3);
    }
    if (count > INT32_MAX) kb_error(L, "engine:install_ipcq: too many directions");
    return (uint32_t)count;
}

/* The PE in the table on top, whose directions are the next ones. */
static void read_pe(lua_State *L, lua_Integer index, kb_ipcq_desc_pe *pe,
                    kb_ipcq_desc_direction *next)
{
    char where[64];
    snprintf(where, sizeof where, "pes[%lld]", (long long)index);
    pe->sip = (int)integer_field(L, where, "sip", -1);
    pe->cube = (int)integer_field(L, where, "cube", -1);
    pe->pe = (int)integer_field(L, where, "pe", -1);
    table_field(L, where, "directions");
    pe->count = (uint32_t)lua_rawlen(L, -1);
    for (uint32_t k = 0; k < pe->count; k++) {
        snprintf(where, sizeof where, "pes[%lld].directions[%u]", (long long)index, k + 1);
        if (lua_rawgeti(L, -1, (lua_Integer)k + 1) != LUA_TTABLE)
            kb_error(L, "engine:install_ipcq: %s is %s; expected a table", where,
                     luaL_tolstring(L, -1, NULL));
        next[k].name = string_field(L, where, "name");
        next[k].peer_direction = string_field(L, where, "peer_direction");
        table_field(L, where, "peer");
        read_peer(L, where, &next[k]);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static void read_shape(lua_State *L, kb_ipcq_shape *shape)
{
    static const char *const kinds[] = {"tcm", "hbm", "sram", NULL};
    static const char *const backpressures[] = {"sleep", "poll", NULL};
    shape->plan = string_field(L, "plan", "name");
    shape->n_slots = (uint32_t)integer_field(L, "plan", "n_slots", 4);
    shape->slot_bytes = (uint32_t)integer_field(L, "plan", "slot_size", 4096);
    shape->credit_bytes = (uint32_t)integer_field(L, "plan", "credit_bytes", 16);
    shape->chunk_bytes = (uint32_t)integer_field(L, "plan", "vc_chunk", 0);
    shape->buffer = (kb_ipcq_buffer)choice_field(L, "buffer_kind", kinds);
    shape->poll = choice_field(L, "backpressure", backpressures) == 1;
}

/* The plan at 2, into memory that lies on the stack. */
static void read_plan(lua_State *L, kb_ipcq_desc *desc)
{
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    read_shape(L, &desc->shape);
    table_field(L, "plan", "pes");
    desc->pe_count = (uint32_t)lua_rawlen(L, 3);
    desc->direction_count = count_directions(L, desc->pe_count);
    kb_ipcq_desc_pe *pes = lua_newuserdatauv(L, (desc->pe_count + 1) * sizeof *pes, 0);
    kb_ipcq_desc_direction *ways =
        lua_newuserdatauv(L, (desc->direction_count + 1) * sizeof *ways, 0);
    uint32_t first = 0;
    for (uint32_t i = 0; i < desc->pe_count; i++) {
        if (lua_rawgeti(L, 3, (lua_Integer)i + 1) != LUA_TTABLE)
            kb_error(L, "engine:install_ipcq: pes[%d] is %s; expected a table", (int)i + 1,
                     luaL_tolstring(L, -1, NULL));
        pes[i].first = first;
        read_pe(L, (lua_Integer)i + 1, &pes[i], &ways[first]);
        first += pes[i].count;
        lua_pop(L, 1);
    }
    desc->pes = pes;
    desc->directions = ways;
}

/* ---- who waits for whom ---- */

static void set_ring(lua_State *L, const kb_ipcq_ring *ring, bool out)
{
    const kb_ipcq_port *here = out ? ring->from : ring->to;
    kb_set_string(L, "direction", here->name);
    kb_set_string(L, "peer", here->peer->block->pe->name);
    kb_set_string(L, "peer_direction", here->peer->name);
    kb_set_count(L, "full", kb_ipcq_full(ring));
    kb_set_count(L, "slots", here->block->shape->n_slots);
}

void kb_set_comm_wait(lua_State *L, const kb_proc *proc)
{
    const kb_op *op = kb_kernel_waits_for(proc);
    if (!op) return;
    const kb_comm *comm = op->comm;
    if (proc->ending) { /* its code has ended, and this keeps it from ending */
        kb_set_string(L, "call", op->what);
        kb_set_string(L, "source", "its end");
        lua_pushnumber(L, kb_time_ns(op->issued));
        lua_setfield(L, -2, "since_ns");
    }
    if (comm->kind == KB_COMM_RECV) kb_set_string(L, "reason", kb_wait_reason_name(KB_WAIT_DATA));
    if (comm->ring) set_ring(L, comm->ring, comm->kind == KB_COMM_SEND);
    if (comm->kind != KB_COMM_SIGNAL_WAIT) return;
    kb_set_count(L, "signal", comm->wait.id);
    kb_set_count(L, "wanted", comm->wait.count);
    kb_set_count(L, "come", kb_signal_count(op->pe, comm->wait.id));
}

/* ---- the calls ---- */

static int work_gc(lua_State *L)
{
    kb_ipcq_work **work = luaL_checkudata(L, 1, WORK);
    kb_ipcq_work_release(*work);
    *work = NULL;
    return 0;
}

static kb_ipcq_work **push_work(lua_State *L)
{
    kb_ipcq_work **work = lua_newuserdatauv(L, sizeof *work, 0);
    *work = NULL;
    if (luaL_newmetatable(L, WORK)) {
        lua_pushcfunction(L, work_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return work;
}

static int finished(lua_State *L, int status, lua_KContext at)
{
    (void)L;
    (void)status;
    (void)at;
    return 0;
}

/* engine:install_ipcq(plan): waits until every PE of the plan has its rings. */
static int install(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    kb_check_host(L, "engine:install_ipcq");
    kb_co_check_wait(L, "engine:install_ipcq");
    kb_ipcq_desc desc = {0};
    read_plan(L, &desc);
    kb_ipcq_work **work = push_work(L);
    kb_err err = {0};
    if (kb_ipcq_install(engine->e, &desc, work, &err)) return kb_raise(L, &err);
    return kb_co_wait(L, &(*work)->done, KB_WAIT_MESSAGE, "engine:install_ipcq", finished, 0);
}

/* engine:remove_ipcq(name): waits until no PE has its rings any more. */
static int remove_plan(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    const char *name = luaL_checkstring(L, 2);
    kb_check_host(L, "engine:remove_ipcq");
    kb_co_check_wait(L, "engine:remove_ipcq");
    lua_settop(L, 2);
    kb_ipcq_work **work = push_work(L);
    kb_err err = {0};
    if (kb_ipcq_remove(engine->e, name, work, &err)) return kb_raise(L, &err);
    return kb_co_wait(L, &(*work)->done, KB_WAIT_MESSAGE, "engine:remove_ipcq", finished, 0);
}

const luaL_Reg kb_ipcq_engine_methods[] = {
    {"install_ipcq", install}, {"remove_ipcq", remove_plan}, {NULL, NULL}};
