/* A machine as described, not as simulated: topo.open(path, sets) and its methods. Node and edge
 * lists are of one die, "system", "cube" or "io0"..., since all cubes are alike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "topo/longest.h"
#include "topo/names.h"

#define MACHINE "kernbench.topology"

/* The engine is opened for its checks, and never runs. */
typedef struct machine {
    kb_engine *e; /* null once closed */
    kb_path path;
} machine;

static machine *check_machine(lua_State *L)
{
    machine *m = luaL_checkudata(L, 1, MACHINE);
    if (!m->e) luaL_argerror(L, 1, "the topology is closed");
    return m;
}

static const kb_graph *check_graph(lua_State *L)
{
    return check_machine(L)->e->m->graph;
}

static int machine_gc(lua_State *L)
{
    machine *m = luaL_checkudata(L, 1, MACHINE);
    kb_engine_destroy(m->e);
    kb_path_free(&m->path);
    m->e = NULL;
    return 0;
}

/* topo.open(path, sets): the machine, or nil and what is wrong with the file. */
int kb_topo_open(lua_State *L)
{
    kb_engine_options options = {.topology = luaL_checkstring(L, 1)};
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    options.set_count = lua_rawlen(L, 2);
    const char **sets = lua_newuserdatauv(L, (options.set_count + 1) * sizeof *sets, 0);
    luaL_checkstack(L, (int)options.set_count + 8, "too many --set options");
    for (size_t i = 0; i < options.set_count; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        sets[i] = luaL_checkstring(L, -1);
    }
    options.sets = sets;
    machine *m = lua_newuserdatauv(L, sizeof *m, 0);
    *m = (machine){0};
    luaL_setmetatable(L, MACHINE);
    kb_err err = {0};
    if (!kb_engine_create(&m->e, &options, &err)) return 1;
    lua_pushnil(L);
    lua_pushstring(L, err.text);
    return 2;
}

/* The IO chiplets: side, first cube of that side (from the west or north) and number of cubes. */
static void push_chiplets(lua_State *L, const kb_graph *g)
{
    lua_createtable(L, g->ios, 0);
    for (int io = 0; io < g->ios; io++) {
        lua_createtable(L, 0, 3);
        lua_pushlstring(L, &"NESW"[g->io_plan[io].side], 1);
        lua_setfield(L, -2, "side");
        kb_set_integer(L, "first", g->io_plan[io].first);
        kb_set_integer(L, "cubes", g->io_plan[io].phys);
        lua_rawseti(L, -2, io + 1);
    }
}

/* m:info(): counts, and the IO chiplets of a SIP. */
static int machine_info(lua_State *L)
{
    const kb_graph *g = check_graph(L);
    const struct {
        const char *name;
        lua_Integer value;
    } counts[] = {{"sips", g->sips},
                  {"mesh_w", g->mesh_w},
                  {"mesh_h", g->mesh_h},
                  {"cubes", kb_graph_cubes(g)},
                  {"pes", g->cube_plan.pes},
                  {"slices", g->cube_plan.slices},
                  {"ios", g->ios},
                  {"nodes", kb_graph_node_count(g)},
                  {"edges", kb_graph_edge_count(g)},
                  {"sip_nodes", g->sip_nodes},
                  {"sip_edges", g->sip_edges}};
    lua_createtable(L, 0, 12);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        kb_set_integer(L, counts[i].name, counts[i].value);
    push_chiplets(L, g);
    lua_setfield(L, -2, "chiplets");
    return 1;
}

/* ---- parameters ---- */

/* Whether `path` is "a.b[1].name" for a section "a.b" and this parameter of it. */
static bool is_param(const char *path, const kb_section *section, const kb_param *param)
{
    size_t length = strlen(section->path);
    if (strncmp(path, section->path, length)) return false;
    path += length;
    if (section->repeated) {
        size_t digits = path[0] == '[' ? strspn(path + 1, "0123456789") : 0;
        if (!digits || path[digits + 1] != ']') return false;
        path += digits + 2;
    }
    return path[0] == '.' && !strcmp(path + 1, param->name);
}

static const kb_param *find_param(const kb_spec *spec, const char *path)
{
    size_t count;
    const kb_section *sections = kb_spec_sections(spec, &count);
    for (size_t s = 0; s < count; s++)
        for (const kb_param *p = sections[s].params; p && p->name; p++)
            if (is_param(path, &sections[s], p)) return p;
    return NULL;
}

/* m:param(path): the value of a number, a truth value or a text; nil if there is no such one. */
static int machine_param(lua_State *L)
{
    const kb_spec *spec = check_machine(L)->e->spec;
    const char *path = luaL_checkstring(L, 2);
    const kb_param *param = find_param(spec, path);
    if (!param) return 0;
    switch (param->type) {
    case KB_PARAM_INT:
        lua_pushinteger(L, kb_spec_int(spec, path));
        return 1;
    case KB_PARAM_REAL:
        lua_pushnumber(L, kb_spec_real(spec, path));
        return 1;
    case KB_PARAM_BOOL:
        lua_pushboolean(L, kb_spec_bool(spec, path));
        return 1;
    case KB_PARAM_STRING:
    case KB_PARAM_CHOICE:
        lua_pushstring(L, kb_spec_string(spec, path));
        return 1;
    default:
        return 0;
    }
}

/* ---- nodes and edges ---- */

/* The die type that an argument names; `place` becomes the first such die. */
static const kb_die_type *check_die(lua_State *L, int index, const kb_graph *g, kb_place *place)
{
    const char *name = luaL_checkstring(L, index);
    int io;
    *place = (kb_place){.sip = -1};
    if (!strcmp(name, "system")) return &g->system;
    place->sip = 0;
    if (!strcmp(name, "cube")) return &g->cube;
    if (sscanf(name, "io%2d", &io) != 1 || io < 0 || io >= g->ios)
        luaL_argerror(L, index, "expected system, cube, or the number of an IO chiplet as in io0");
    place->die = kb_graph_cubes(g) + io;
    return &g->io[io];
}

/* The part of a node's name after its die's. */
static void push_local_name(lua_State *L, const kb_graph *g, kb_place place)
{
    char name[KB_NAME_MAX];
    const char *local = kb_node_name(g, kb_graph_node(g, place), name);
    for (int dots = 0; place.sip >= 0 && dots < 2; dots++) {
        const char *dot = strchr(local, '.');
        if (dot) local = dot + 1;
    }
    lua_pushstring(L, local);
}

/* m:nodes(die): {name, kind, a, b, home, x_mm, y_mm, overhead_ns}; numbered from 1, `home` too. */
static int machine_nodes(lua_State *L)
{
    const kb_graph *g = check_graph(L);
    kb_place place;
    const kb_die_type *die = check_die(L, 2, g, &place);
    lua_createtable(L, (int)die->nodes.count, 0);
    for (size_t n = 0; n < die->nodes.count; n++) {
        const kb_node_info *info = &die->nodes.data[n];
        place.local = (uint16_t)n;
        lua_createtable(L, 0, 8);
        push_local_name(L, g, place);
        lua_setfield(L, -2, "name");
        kb_set_string(L, "kind", kb_kind_name(info->kind));
        kb_set_integer(L, "a", info->a);
        kb_set_integer(L, "b", info->b);
        if (place.sip >= 0 && info->home < die->nodes.count)
            kb_set_integer(L, "home", info->home + 1);
        kb_set_number(L, "x_mm", info->x_mm);
        kb_set_number(L, "y_mm", info->y_mm);
        kb_set_number(L, "overhead_ns", kb_time_ns(info->overhead));
        lua_rawseti(L, -2, (lua_Integer)n + 1);
    }
    return 1;
}

/* Where an edge leads that leaves the die. */
static void push_exit(lua_State *L, uint16_t to)
{
    static const char *const names[] = {"peer", "host", "switch"};
    size_t which = (size_t)(to - KB_TO_PEER);
    if (which < sizeof names / sizeof names[0])
        lua_pushstring(L, names[which]);
    else
        lua_pushfstring(L, "exit%d", (int)which);
}

/* m:edges(die): {from, to, exit, length_mm, gbs, propagation_ns}, one direction each. `to` is a
 * node of the die, or nil, and then `exit` says where the edge leads. */
static int machine_edges(lua_State *L)
{
    const kb_graph *g = check_graph(L);
    kb_place place;
    const kb_die_type *die = check_die(L, 2, g, &place);
    lua_createtable(L, (int)die->edges.count, 0);
    for (size_t e = 0; e < die->edges.count; e++) {
        const kb_edge_info *edge = &die->edges.data[e];
        lua_createtable(L, 0, 6);
        kb_set_integer(L, "from", edge->from + 1);
        if (edge->to < KB_TO_PEER) {
            kb_set_integer(L, "to", edge->to + 1);
        } else {
            push_exit(L, edge->to);
            lua_setfield(L, -2, "exit");
        }
        kb_set_number(L, "length_mm", edge->length_mm);
        kb_set_number(L, "gbs", edge->gbs);
        kb_set_number(L, "propagation_ns", kb_time_ns(edge->propagation));
        lua_rawseti(L, -2, (lua_Integer)e + 1);
    }
    return 1;
}

/* ---- routes ---- */

static void push_node(lua_State *L, const kb_graph *g, kb_node node)
{
    char name[KB_NAME_MAX];
    lua_pushstring(L, kb_node_name(g, node, name));
}

static void push_links(lua_State *L, const kb_graph *g, const kb_path *path)
{
    lua_createtable(L, (int)path->edges.count, 0);
    for (size_t i = 0; i < path->edges.count; i++) {
        const kb_edge_info *edge = kb_graph_edge_info(g, path->edges.data[i]);
        lua_createtable(L, 0, 4);
        push_node(L, g, path->nodes.data[i]);
        lua_setfield(L, -2, "from");
        push_node(L, g, path->nodes.data[i + 1]);
        lua_setfield(L, -2, "to");
        kb_set_number(L, "length_mm", edge->length_mm);
        kb_set_number(L, "gbs", edge->gbs);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

static int push_route(lua_State *L, machine *m, kb_node from, kb_node to)
{
    const kb_graph *g = m->e->m->graph;
    kb_err err = {0};
    if (kb_route(g, from, to, &m->path, &err)) {
        lua_pushnil(L);
        lua_pushstring(L, err.text);
        return 2;
    }
    lua_createtable(L, 0, 5);
    push_node(L, g, from);
    lua_setfield(L, -2, "from");
    push_node(L, g, to);
    lua_setfield(L, -2, "to");
    kb_set_string(L, "to_kind", kb_kind_name(kb_graph_info(g, to)->kind));
    kb_set_number(L, "command_ns", kb_time_ns(kb_path_command_time(g, &m->path)));
    push_links(L, g, &m->path);
    lua_setfield(L, -2, "links");
    return 1;
}

static kb_node check_node(lua_State *L, int index, const kb_graph *g)
{
    kb_node node = kb_node_parse(g, luaL_checkstring(L, index));
    if (node == KB_NO_NODE) luaL_argerror(L, index, "there is no node of that name");
    return node;
}

/* m:route(from, to), by names: {from, to, to_kind, command_ns, links = {{from, to, length_mm,
 * gbs}}}, or nil and a message if there is no way. */
static int machine_route(lua_State *L)
{
    machine *m = check_machine(L);
    const kb_graph *g = m->e->m->graph;
    kb_node from = check_node(L, 2, g);
    return push_route(L, m, from, check_node(L, 3, g));
}

/* m:longest("cube" | "sip" | "sips" | "host"): a route as above, or nil if the machine has none. */
static int machine_longest(lua_State *L)
{
    static const char *const scopes[] = {"cube", "sip", "sips", "host", NULL};
    machine *m = check_machine(L);
    kb_longest longest;
    kb_err err = {0};
    kb_scope scope = (kb_scope)luaL_checkoption(L, 2, NULL, scopes);
    if (kb_longest_route(m->e->m->graph, scope, &longest, &err)) return kb_raise(L, &err);
    if (longest.from == KB_NO_NODE) return 0;
    return push_route(L, m, longest.from, longest.to);
}

void kb_graph_open(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__gc", machine_gc}, {"__close", machine_gc}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"close", machine_gc},        {"info", machine_info},
                                       {"param", machine_param},     {"nodes", machine_nodes},
                                       {"edges", machine_edges},     {"route", machine_route},
                                       {"longest", machine_longest}, {NULL, NULL}};
    luaL_newmetatable(L, MACHINE);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
