#include "hw/machine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "hw/address.h"
#include "hw/impl.h"
#include "hw/energy.h"
#include "hw/flow.h"
#include "hw/pe/pe_dma.h"
#include "hw/pe/pe_ipcq.h"
#include "hw/pe/tile.h"

size_t kb_machine_sections(kb_section out[KB_SECTION_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < kb_topo_section_count; i++) out[n++] = kb_topo_sections[i];
    for (int k = 0; k < KB_KIND_COUNT; k++)
        out[n++] = (kb_section){kb_kind_section((kb_kind)k), kb_impl_default((kb_kind)k)->help,
                                kb_impl_default((kb_kind)k)->params, false};
    out[n++] = (kb_section){"address", "physical and virtual addresses", kb_address_params, false};
    out[n++] = (kb_section){"overrides", "nodes that are not what others of their kind are",
                            kb_override_params, true};
    out[n++] = (kb_section){"system.flow_control",
                            "finite buffers with credits at the ends of links, off by default",
                            kb_flow_params, false};
    out[n++] = (kb_section){"energy", "energy of what is moved and computed, off by default",
                            kb_energy_params, false};
    assert(n <= KB_SECTION_MAX);
    return n;
}

static int configure(kb_machine *m, kb_err *err)
{
    for (int k = 0; k < KB_KIND_COUNT; k++) {
        const kb_device_class *class = m->classes[k] = kb_impl_default((kb_kind)k);
        if (!class->config_size) continue;
        m->config[k] = kb_xcalloc(1, class->config_size);
        int status = class->configure(m, m->spec, m->config[k], err);
        if (status) return status;
    }
    return kb_impl_choose(m, err);
}

int kb_machine_create(kb_machine **out, kb_sim *sim, const kb_spec *spec, kb_err *err)
{
    kb_machine *m = kb_xcalloc(1, sizeof *m);
    m->sim = sim;
    m->spec = spec;
    m->ipcq = kb_ipcq_state_create();
    kb_pool_init(&m->tiles, kb_tile_token_bytes());
    kb_pe_dma_pools_init(m);
    int status = kb_graph_create(&m->graph, spec, err);
    if (!status) {
        m->launches = kb_xcalloc((size_t)m->graph->sips, sizeof *m->launches);
        m->dies = kb_xcalloc((size_t)m->graph->sips * (size_t)m->graph->dies, sizeof *m->dies);
        status = kb_address_configure(m, err);
    }
    if (!status) status = configure(m, err);
    m->energy = kb_energy_configure(spec);
    m->flow = kb_flow_create(spec);
    m->by_train = !m->flow && !strcmp(kb_spec_string(spec, "system.fidelity"), "train");
    if (status) {
        kb_machine_destroy(m);
        m = NULL;
    }
    *out = m;
    return status;
}

static size_t die_count(const kb_machine *m)
{
    return (size_t)m->graph->sips * (size_t)m->graph->dies;
}

static void die_fini(kb_machine *m, kb_die_state *state, const kb_die_type *type, int pes)
{
    for (size_t n = 0; state->devices && n < type->nodes.count; n++) {
        kb_device *device = state->devices[n];
        if (device && device->class->fini) device->class->fini(device);
    }
    for (int p = 0; state->pes && p < pes; p++) kb_pe_destroy(state->pes[p]);
    if (state->pagetable) kb_pagetable_fini(state->pagetable);
    free(state->pagetable);
    (void)m;
}

void kb_machine_destroy(kb_machine *m)
{
    if (!m) return;
    if (m->dies) {
        die_fini(m, &m->system, &m->graph->system, 0);
        for (size_t d = 0; d < die_count(m); d++) {
            kb_place place = {0, (int)(d % (size_t)m->graph->dies), 0};
            die_fini(m, &m->dies[d], kb_graph_die_type(m->graph, place), m->graph->cube_plan.pes);
        }
    }
    free(m->dies);
    free(m->launches);
    free(m->energy);
    kb_flow_destroy(m->flow);
    free(m->overrides);
    for (int k = 0; k < KB_KIND_COUNT; k++) free(m->config[k]);
    for (kb_txn *t = m->txns_made; t;) {
        kb_txn *next = t->next_made;
        if (!t->completed) kb_txn_route_give(t->route);
        kb_vec_free(&t->times);
        t = next;
    }
    kb_txn_routes_fini(&m->routes);
    kb_vec_free(&m->routes.spare);
    free(m->commands);
    kb_ipcq_state_destroy(m->ipcq);
    kb_pool_fini(&m->tiles);
    kb_pe_dma_pools_fini(m);
    kb_path_free(&m->path);
    kb_vec_free(&m->times);
    kb_graph_destroy(m->graph);
    kb_arena_fini(&m->state);
    free(m);
}

const void *kb_machine_config(const kb_machine *m, kb_kind kind)
{
    return m->config[kind];
}

static kb_die_state *state_of(kb_machine *m, kb_place place)
{
    return place.sip < 0 ? &m->system : &m->dies[place.sip * m->graph->dies + place.die];
}

static kb_wire *make_wires(kb_machine *m, size_t count)
{
    kb_wire *wires = kb_arena_take(&m->state, count * sizeof *wires);
    for (size_t i = 0; i < count; i++) wires[i].to = KB_NO_NODE;
    return wires;
}

kb_wire *kb_machine_wire(kb_machine *m, kb_edge edge)
{
    const kb_graph *g = m->graph;
    const kb_die_type *type = &g->system;
    kb_die_state *state = &m->system;
    uint32_t local = edge;
    if (edge >= g->system.edges.count) {
        uint32_t rest = edge - (uint32_t)g->system.edges.count;
        int sip = (int)(rest / g->sip_edges), cubes = kb_graph_cubes(g);
        rest %= g->sip_edges;
        int die = (int)(rest / (uint32_t)g->cube.edges.count);
        if (die >= cubes)
            for (die = cubes; die + 1 < g->dies && g->die_edge[die + 1] <= rest;) die++;
        kb_place place = {sip, die, 0};
        type = kb_graph_die_type(g, place);
        state = state_of(m, place);
        local = rest - g->die_edge[die];
    }
    if (!state->wires) state->wires = make_wires(m, type->edges.count);
    return &state->wires[local];
}

kb_device *kb_machine_device(kb_machine *m, kb_node node)
{
    kb_place place = kb_graph_place(m->graph, node);
    kb_die_state *state = state_of(m, place);
    const kb_die_type *type = kb_graph_die_type(m->graph, place);
    if (!state->devices)
        state->devices = kb_arena_take(&m->state, type->nodes.count * sizeof(kb_device *));
    kb_device *device = state->devices[place.local];
    if (device) return device;
    kb_kind kind = type->nodes.data[place.local].kind;
    const kb_device_class *class = kb_machine_class(m, node, kind);
    assert(class->state_size);
    device = kb_arena_take(&m->state, class->state_size(m->config[kind]));
    *device = (kb_device){.class = class, .m = m, .node = node};
    if (class->init) class->init(device, m->config[kind]);
    return state->devices[place.local] = device;
}

kb_pe *kb_machine_pe(kb_machine *m, int sip, int cube, int pe)
{
    kb_die_state *state = state_of(m, (kb_place){sip, cube, 0});
    size_t pes = (size_t)m->graph->cube_plan.pes;
    if (!state->pes) state->pes = kb_arena_take(&m->state, pes * sizeof(kb_pe *));
    if (!state->pes[pe]) state->pes[pe] = kb_pe_create(m, sip, cube, pe);
    return state->pes[pe];
}

kb_pagetable *kb_machine_pagetable(kb_machine *m, int sip, int cube)
{
    kb_die_state *state = state_of(m, (kb_place){sip, cube, 0});
    if (!state->pagetable) {
        state->pagetable = kb_xmalloc(sizeof *state->pagetable);
        kb_pagetable_init(state->pagetable, (uint32_t)m->graph->cube_plan.pes);
    }
    return state->pagetable;
}

static kb_edge first_edge(const kb_graph *g, size_t die)
{
    size_t dies = (size_t)g->dies;
    return (kb_edge)(g->system.edges.count + die / dies * g->sip_edges + g->die_edge[die % dies]);
}

void kb_machine_each_link(kb_machine *m, kb_link_visitor visit, void *user)
{
    const kb_graph *g = m->graph;
    kb_train_settle(m);
    for (size_t e = 0; m->system.wires && e < g->system.edges.count; e++)
        visit(user, (kb_edge)e, &g->system.edges.data[e], &m->system.wires[e].link);
    for (size_t d = 0; d < die_count(m); d++) {
        if (!m->dies[d].wires) continue;
        const kb_die_type *type =
            kb_graph_die_type(g, (kb_place){0, (int)(d % (size_t)g->dies), 0});
        for (size_t e = 0; e < type->edges.count; e++)
            visit(user, first_edge(g, d) + (kb_edge)e, &type->edges.data[e],
                  &m->dies[d].wires[e].link);
    }
}

void kb_machine_each_wire(kb_machine *m, kb_wire_visitor visit, void *user)
{
    const kb_graph *g = m->graph;
    kb_train_settle(m);
    for (size_t e = 0; m->system.wires && e < g->system.edges.count; e++)
        visit(user, g->system.edges.data[e].from, &g->system.edges.data[e], &m->system.wires[e]);
    for (size_t d = 0; d < die_count(m); d++) {
        if (!m->dies[d].wires) continue;
        kb_place place = {(int)(d / (size_t)g->dies), (int)(d % (size_t)g->dies), 0};
        const kb_die_type *type = kb_graph_die_type(g, place);
        for (size_t e = 0; e < type->edges.count; e++) {
            place.local = type->edges.data[e].from;
            visit(user, kb_graph_node(g, place), &type->edges.data[e], &m->dies[d].wires[e]);
        }
    }
}

void kb_machine_each_device(kb_machine *m, kb_device_visitor visit, void *user)
{
    kb_train_settle(m);
    for (size_t d = 0; d < die_count(m); d++) {
        kb_place place = {0, (int)(d % (size_t)m->graph->dies), 0};
        const kb_die_type *type = kb_graph_die_type(m->graph, place);
        for (size_t n = 0; m->dies[d].devices && n < type->nodes.count; n++)
            if (m->dies[d].devices[n]) visit(user, m->dies[d].devices[n]);
    }
}

void kb_machine_each_pe(kb_machine *m, kb_pe_visitor visit, void *user)
{
    for (size_t d = 0; d < die_count(m); d++)
        for (int p = 0; m->dies[d].pes && p < m->graph->cube_plan.pes; p++)
            if (m->dies[d].pes[p]) {
                kb_pe_settle(m->dies[d].pes[p]);
                visit(user, m->dies[d].pes[p]);
            }
}

int kb_machine_memory(const kb_machine *m, kb_paddr address, kb_node *node, uint64_t *offset,
                      kb_err *err)
{
    kb_location at;
    int status = kb_paddr_decode(&m->layout, address, &at, err);
    if (status) return status;
    *offset = at.offset;
    if ((int)at.sip >= m->graph->sips ||
        (at.die_kind == KB_DIE_CUBE && (int)at.die >= kb_graph_cubes(m->graph)))
        return kb_fail(err, KB_EINVAL, "sip%u.cube%u is not in this machine", at.sip, at.die);
    if (at.unit == KB_UNIT_HBM)
        *node = kb_graph_slice(m->graph, (int)at.sip, (int)at.die, (int)at.index);
    else if (at.unit == KB_UNIT_CUBE_SRAM)
        *node =
            kb_graph_node(m->graph, (kb_place){(int)at.sip, (int)at.die, m->graph->cube_plan.sram});
    else if (at.unit == KB_UNIT_PE_TCM)
        *node = kb_graph_pe(m->graph, (int)at.sip, (int)at.die, (int)at.index, KB_PE_TCM);
    else
        return kb_fail(err, KB_EINVAL, "%s is not a memory that transactions reach",
                       kb_unit_name(at.unit));
    return KB_OK;
}

enum { COMMANDS = 4096 };

kb_time kb_machine_command_time(kb_machine *m, kb_node from, kb_node to)
{
    if (from == to) return 0;
    if (!m->commands) m->commands = kb_xcalloc(COMMANDS, sizeof *m->commands);
    kb_command *known = &m->commands[kb_rng_mix((uint64_t)from << 32 | to) % COMMANDS];
    if (known->from == from && known->to == to) return known->time;
    kb_err err = {0};
    int status = kb_route(m->graph, from, to, &m->path, &err);
    assert(!status);
    (void)status;
    *known = (kb_command){from, to, kb_path_command_time(m->graph, &m->path)};
    return known->time;
}
