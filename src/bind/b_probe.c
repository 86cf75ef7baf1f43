/* Probes in Lua: core.probe, core.probe_cases. */
#include <stdlib.h>

#include "bind/bind.h"
#include "engine/probe.h"

#define PROBES "kernbench.probes"

/* Probes under way, owned by Lua so that an error frees them. */
typedef struct probes {
    size_t count;
    kb_probe *list;
} probes;

static int probes_gc(lua_State *L)
{
    probes *p = luaL_checkudata(L, 1, PROBES);
    for (size_t i = 0; i < p->count; i++) kb_probe_free(&p->list[i]);
    free(p->list);
    *p = (probes){0};
    return 0;
}

static void set_ns(lua_State *L, const char *key, kb_time time)
{
    lua_pushnumber(L, kb_time_ns(time));
    lua_setfield(L, -2, key);
}

static void push_route(lua_State *L, const kb_probe *probe)
{
    lua_createtable(L, (int)probe->route.count, 0);
    for (size_t i = 0; i < probe->route.count; i++) {
        const kb_probe_hop *hop = &probe->route.data[i];
        lua_createtable(L, 0, 5);
        lua_pushstring(L, hop->node);
        lua_setfield(L, -2, "node");
        set_ns(L, "t_ns", hop->at);
        set_ns(L, "waited_ns", hop->waited);
        set_ns(L, "overhead_ns", hop->overhead);
        set_ns(L, "occupancy_ns", hop->occupancy);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static void push_probe(lua_State *L, const kb_probe *probe)
{
    lua_createtable(L, 0, 16);
    lua_pushstring(L, kb_probe_name(probe->which));
    lua_setfield(L, -2, "name");
    lua_pushinteger(L, (lua_Integer)probe->bytes);
    lua_setfield(L, -2, "bytes");
    if (probe->absent) {
        lua_pushstring(L, probe->absent);
        lua_setfield(L, -2, "absent");
        return;
    }
    const kb_formula *f = &probe->formula;
    set_ns(L, "actual_ns", probe->actual);
    set_ns(L, "formula_ns", f->total);
    /* The three parts add up to the formula; command and hidden are within the overhead. */
    set_ns(L, "overhead_ns", f->command + f->overhead - f->hidden);
    set_ns(L, "wire_ns", f->propagation + f->wire);
    set_ns(L, "drain_ns", f->drain);
    set_ns(L, "command_ns", f->command);
    set_ns(L, "hidden_ns", f->hidden);
    kb_set_number(L, "bw_gbs", probe->bw_gbs);
    kb_set_number(L, "bottleneck_gbs", f->bottleneck_gbs);
    kb_set_number(L, "utilization", probe->utilization);
    push_route(L, probe);
    lua_setfield(L, -2, "route");
}

static void push_invariants(lua_State *L, const probes *p)
{
    kb_invariant list[KB_PROBE_INVARIANTS];
    kb_probe_invariants(p->list, p->count, list);
    lua_createtable(L, KB_PROBE_INVARIANTS, 0);
    for (int i = 0; i < KB_PROBE_INVARIANTS; i++) {
        lua_createtable(L, 0, 4);
        lua_pushstring(L, list[i].name);
        lua_setfield(L, -2, "name");
        lua_pushboolean(L, list[i].ok);
        lua_setfield(L, -2, "ok");
        lua_pushinteger(L, list[i].judged);
        lua_setfield(L, -2, "judged");
        lua_pushstring(L, list[i].detail);
        lua_setfield(L, -2, "detail");
        lua_rawseti(L, -2, i + 1);
    }
}

/* The i-th of runs = {name, bytes, name, bytes, ...}. */
static kb_probe_case run_at(lua_State *L, int runs, size_t i, uint64_t *bytes)
{
    kb_probe_case which;
    lua_rawgeti(L, runs, (lua_Integer)i * 2 + 1);
    lua_rawgeti(L, runs, (lua_Integer)i * 2 + 2);
    const char *name = luaL_checkstring(L, -2);
    lua_Integer size = luaL_checkinteger(L, -1);
    if (!kb_probe_find(name, &which)) luaL_error(L, "there is no probe '%s'", name);
    if (size < 1) luaL_error(L, "a probe of %I bytes", size);
    *bytes = (uint64_t)size;
    lua_pop(L, 2);
    return which;
}

/* core.probe(topology, sets, runs): each run on a fresh machine. Returns {cases, invariants}, or
 * nil and a message if the topology is wrong. */
int kb_lua_probe(lua_State *L)
{
    const char *topology = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    size_t set_count = lua_rawlen(L, 2), count = lua_rawlen(L, 3) / 2;
    const char **sets = lua_newuserdatauv(L, (set_count + 1) * sizeof *sets, 0);
    luaL_checkstack(L, (int)set_count + 16, "too many --set options");
    for (size_t i = 0; i < set_count; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        sets[i] = luaL_checkstring(L, -1);
    }
    probes *p = lua_newuserdatauv(L, sizeof *p, 0);
    *p = (probes){0};
    luaL_setmetatable(L, PROBES);
    p->list = kb_xcalloc(count + 1, sizeof *p->list);
    kb_engine_options options = {.topology = topology, .sets = sets, .set_count = set_count};
    for (size_t i = 0; i < count; i++) {
        uint64_t bytes;
        kb_probe_case which = run_at(L, 3, i, &bytes);
        kb_err err = {0};
        if (kb_probe_run(&options, which, bytes, &p->list[i], &err)) {
            lua_pushnil(L);
            lua_pushstring(L, err.text);
            return 2;
        }
        p->count = i + 1;
    }
    lua_createtable(L, 0, 2);
    lua_createtable(L, (int)count, 0);
    for (size_t i = 0; i < count; i++) {
        push_probe(L, &p->list[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "cases");
    push_invariants(L, p);
    lua_setfield(L, -2, "invariants");
    return 1;
}

/* core.probe_cases(): their names, in order. */
int kb_lua_probe_cases(lua_State *L)
{
    lua_createtable(L, KB_PROBE_CASES, 0);
    for (int i = 0; i < KB_PROBE_CASES; i++) {
        lua_pushstring(L, kb_probe_name((kb_probe_case)i));
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

void kb_probe_open(lua_State *L)
{
    luaL_newmetatable(L, PROBES);
    lua_pushcfunction(L, probes_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
