#include "hw/txn_route.h"

#include <assert.h>
#include <stdlib.h>

#include "base/rng.h"
#include "hw/flow.h"
#include "hw/machine.h"
#include "hw/pe/pe.h"
#include "hw/txn.h"

/* ---- working out ---- */

static kb_wire *use_wire(kb_machine *m, kb_edge edge, kb_node to)
{
    kb_wire *wire = kb_machine_wire(m, edge);
    if (wire->to == KB_NO_NODE) wire->to = to;
    if (wire->to != to) wire->several = true;
    return wire;
}

/* Along m->path, the way of data. */
static void fill_stops(kb_machine *m, kb_txn_op op, kb_txn_route *route)
{
    const kb_path *path = &m->path;
    for (uint32_t i = 0; i < route->count; i++) {
        kb_node node = path->nodes.data[i];
        const kb_node_info *info = kb_graph_info(m->graph, node);
        kb_stop *stop = &route->stops[i];
        *stop = (kb_stop){.receive = kb_machine_class(m, node, info->kind)->transit,
                          .overhead = info->overhead,
                          .node = node};
        if (i + 1 == route->count) break;
        const kb_edge_info *edge = kb_graph_edge_info(m->graph, path->edges.data[i]);
        stop->wire = use_wire(m, path->edges.data[i], path->nodes.data[i + 1]);
        stop->flit_occupancy = edge->flit_occupancy;
        stop->propagation = edge->propagation;
        stop->gbs = edge->gbs;
    }
    if (m->flow) kb_flow_fill(m, (int)op, route->buffers);
}

/* The requester's side of the books: what it asked for, whatever arrives. */
static uint64_t *books_of(kb_machine *m, kb_node requester, kb_txn_op op)
{
    const kb_node_info *info = kb_graph_info(m->graph, requester);
    if (info->kind == KB_HOST) return &m->host_bytes[op];
    if (info->kind != KB_PE_DMA) return NULL;
    kb_place place = kb_graph_place(m->graph, requester);
    return &kb_machine_pe(m, place.sip, place.die, info->a)->dma_bytes[op];
}

enum { ROUND = 4 }; /* routes that are spare have room for a multiple of so many stops */

static kb_txn_route *allocate(kb_machine *m, uint32_t size)
{
    kb_txn_routes *routes = &m->routes;
    while (routes->spare.count <= size) kb_vec_push(&routes->spare, (kb_txn_route *)NULL);
    kb_txn_route *route = routes->spare.data[size];
    if (route) {
        routes->spare.data[size] = route->next_spare;
        return route;
    }
    size_t stop = sizeof(kb_stop) + (m->flow ? sizeof(kb_buffer *) : 0);
    return kb_arena_take(&m->state, sizeof *route + (size_t)size * ROUND * stop);
}

static kb_txn_route *make(kb_machine *m, uint32_t count)
{
    kb_txn_route *route = allocate(m, (count + ROUND - 1) / ROUND);
    *route = (kb_txn_route){.count = count};
    if (m->flow) route->buffers = (kb_buffer **)(route->stops + count);
    return route;
}

static void release(kb_txn_route *route)
{
    kb_txn_route **spare = &route->device->m->routes.spare.data[(route->count + ROUND - 1) / ROUND];
    route->next_spare = *spare;
    *spare = route;
}

/* Requests go the way there, data of a read and acknowledgements the way back. */
static int resolve(kb_machine *m, kb_txn_op op, kb_node requester, kb_node memory,
                   kb_txn_route **out, kb_err *err)
{
    int status = kb_route(m->graph, requester, memory, &m->path, err);
    if (status) return status;
    assert(m->path.nodes.count > 1); /* nobody asks himself */
    kb_txn_route *route = make(m, (uint32_t)m->path.nodes.count);
    route->device = kb_machine_device(m, memory);
    route->requested = books_of(m, requester, op);
    if (m->flow) kb_flow_choose(m);
    kb_stop *last = &route->stops[route->count - 1];
    if (op == KB_TXN_WRITE) {
        fill_stops(m, op, route);
        last->receive = route->device->class->receive;
        kb_path_reverse(m->graph, &m->path);
        route->command = kb_path_command_time(m->graph, &m->path);
    } else {
        route->command = kb_path_command_time(m->graph, &m->path);
        kb_path_reverse(m->graph, &m->path);
        fill_stops(m, op, route);
        last->receive = kb_txn_data_arrives;
    }
    for (uint32_t i = 0; i + 1 < route->count; i++)
        route->stops[i].next = route->stops[i + 1].receive;
    m->routes.resolved++;
    *out = route;
    return KB_OK;
}

/* ---- keeping ---- */

/* A route is in one of WAYS slots, where newer ones come before older ones. */
enum { FEWEST_SLOTS = 64, WAYS = 4 };

/* 0 stands for none: node 0 is not a memory. */
static uint64_t key_of(kb_txn_op op, kb_node requester, kb_node memory)
{
    return (((uint64_t)requester << 32 | memory) << 1) + (uint64_t)op;
}

static kb_txn_route_slot *slots_of(const kb_txn_routes *routes, uint64_t key)
{
    return &routes->slots[kb_rng_mix(key) * WAYS & (routes->slot_count - 1)];
}

static void drop(kb_txn_routes *routes, kb_txn_route *route)
{
    routes->kept--;
    route->kept = false;
    if (!route->users) release(route);
}

static void keep(kb_txn_routes *routes, uint64_t key, kb_txn_route *route)
{
    kb_txn_route_slot *slots = slots_of(routes, key);
    if (slots[WAYS - 1].route) drop(routes, slots[WAYS - 1].route);
    for (int i = WAYS - 1; i > 0; i--) slots[i] = slots[i - 1];
    slots[0] = (kb_txn_route_slot){key, route};
    route->kept = true;
    routes->kept++;
}

static void grow(kb_txn_routes *routes)
{
    kb_txn_routes old = *routes;
    routes->slot_count = old.slot_count ? 2 * old.slot_count : FEWEST_SLOTS;
    routes->slots = kb_xcalloc(routes->slot_count, sizeof *routes->slots);
    routes->kept = 0;
    for (uint32_t i = old.slot_count; i-- > 0;)
        if (old.slots[i].route) keep(routes, old.slots[i].key, old.slots[i].route);
    free(old.slots);
}

/* Whether more slots are due, as a route has to go though many are empty. */
static bool is_tight(const kb_txn_routes *routes, uint64_t key)
{
    if (!routes->slot_count) return true;
    return slots_of(routes, key)[WAYS - 1].route && routes->slot_count < KB_TXN_ROUTES_MOST &&
           routes->kept >= routes->slot_count / 8;
}

static kb_txn_route *find(const kb_txn_routes *routes, uint64_t key)
{
    if (!routes->slot_count) return NULL;
    const kb_txn_route_slot *slots = slots_of(routes, key);
    for (int i = 0; i < WAYS; i++)
        if (slots[i].key == key) return slots[i].route;
    return NULL;
}

int kb_txn_route_take(kb_machine *m, kb_txn_op op, kb_node requester, kb_node memory,
                      kb_txn_route **out, kb_err *err)
{
    kb_txn_routes *routes = &m->routes;
    uint64_t key = key_of(op, requester, memory);
    kb_txn_route *route = find(routes, key);
    if (!route) {
        int status = resolve(m, op, requester, memory, &route, err);
        if (status) return status;
        if (is_tight(routes, key)) grow(routes);
        route->key = key;
        keep(routes, key, route);
    }
    route->users++;
    *out = route;
    return KB_OK;
}

void kb_txn_route_give(kb_txn_route *route)
{
    if (--route->users == 0 && !route->kept) release(route);
}

int kb_txn_route_take_recent(kb_machine *m, kb_txn_op op, kb_node requester, kb_node memory,
                             kb_txn_route **recent, kb_txn_route **out, kb_err *err)
{
    kb_txn_route *last = *recent;
    if (!last || last->key != key_of(op, requester, memory)) {
        int status = kb_txn_route_take(m, op, requester, memory, recent, err);
        if (status) return status;
        if (last) kb_txn_route_give(last);
    }
    *out = *recent;
    (*out)->users++;
    return KB_OK;
}

void kb_txn_routes_fini(kb_txn_routes *routes)
{
    for (uint32_t i = 0; i < routes->slot_count; i++)
        if (routes->slots[i].route) drop(routes, routes->slots[i].route);
    free(routes->slots);
    routes->slots = NULL;
    routes->slot_count = routes->kept = 0;
}
