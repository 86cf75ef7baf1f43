#include "hw/txn.h"

#include "hw/flow.h"
#include "hw/pe/pe.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { SMALLEST_CLASS = 3 }; /* room for 8 hops */

static kb_txn *take(kb_machine *m, uint32_t hops)
{
    uint32_t class = 0;
    while ((UINT32_C(1) << (class + SMALLEST_CLASS)) < hops) class ++;
    assert(class < KB_TXN_CLASSES);
    kb_txn *t = m->txn_free[class];
    if (t) {
        m->txn_free[class] = t->next_free;
        return t;
    }
    size_t room = (size_t)1 << (class + SMALLEST_CLASS);
    size_t buffers = m->flow ? room * sizeof t->buffers[0] : 0;
    t = kb_xmalloc(sizeof *t + room * sizeof t->hops[0] + buffers);
    t->size_class = class;
    t->next_made = m->txns_made;
    m->txns_made = t;
    return t;
}

static void give(kb_txn *t)
{
    free(t->releases);
    t->releases = NULL;
    t->next_free = t->m->txn_free[t->size_class];
    t->m->txn_free[t->size_class] = t;
}

/* ---- the way of a flit ---- */

void kb_txn_forward(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    if (t->buffers)
        kb_flow_ready(sim, t, arg);
    else
        kb_txn_send(sim, t, arg);
}

/* ---- writes ---- */

/* All flits of a write are ready at the requester at once, so the first link is claimed for the
 * whole payload; this event walks along the flits as they become ready at the second node. */
static void inject(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    uint32_t next = kb_txn_flit(arg) + 1;
    if (next < t->inject_end) {
        t->inject_left += kb_txn_occupancy(t, &t->hops[0], kb_txn_flit_bytes(t, next));
        kb_time arrival = t->inject_left + t->hops[0].propagation;
        kb_sim_at(sim, kb_hop_ready_at(&t->hops[1], arrival), inject, t, arg + 1);
    }
    t->hops[1].receive(sim, t, arg);
}

/* Time on the first link of the first `flits` flits. */
static kb_time first_link_time(const kb_txn *t, uint32_t flits, uint64_t *bytes)
{
    const kb_hop *hop = &t->hops[0];
    uint32_t rows = flits / t->flits_per_row, rest = flits % t->flits_per_row;
    kb_time tail = kb_txn_occupancy(t, hop, t->row_tail);
    *bytes = rows * t->request.row_bytes + (uint64_t)rest * t->flit_bytes;
    return rows * ((t->flits_per_row - 1) * hop->flit_occupancy + tail) +
           rest * hop->flit_occupancy;
}

void kb_txn_has_left(kb_txn *t, kb_time left)
{
    const kb_txn_request *r = &t->request;
    if (r->left) kb_sim_at(t->m->sim, left, r->left, r->object, r->arg);
}

static void start_write(kb_txn *t)
{
    kb_sim *sim = t->m->sim;
    kb_hop *hop = &t->hops[0];
    assert(hop->link);
    hop->first = sim->now;
    t->inject_end = t->buffers ? kb_flow_begin_write(t) : t->flits;
    if (t->inject_end == 0) return;
    uint64_t bytes;
    kb_time total = first_link_time(t, t->inject_end, &bytes);
    kb_time left = kb_link_claim(hop->link, sim->now, total, bytes);
    hop->waited = left - total - sim->now;
    t->m->flit_hops += t->inject_end;
    t->inject_left = left - total + kb_txn_occupancy(t, hop, kb_txn_flit_bytes(t, 0));
    if (t->inject_end == t->flits) kb_txn_has_left(t, left);
    kb_time arrival = t->inject_left + hop->propagation;
    kb_sim_at(sim, kb_hop_ready_at(&t->hops[1], arrival), inject, t, KB_TXN_NEXT_HOP);
}

/* ---- completion ---- */

static void complete(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_txn *t = object;
    t->ended = sim->now;
    t->m->txns_completed++;
    if (t->buffers) kb_flow_complete(t);
    for (uint32_t i = 0; i < t->hop_count; i++) t->m->waited += t->hops[i].waited;
    kb_txn_request r = t->request;
    if (r.watch) r.watch(r.object, t);
    give(t);
    if (r.done) r.done(sim, r.object, r.arg);
}

void kb_txn_written(kb_txn *t, kb_time committed)
{
    if (committed > t->committed) t->committed = committed;
    t->m->flits_delivered++;
    if (t->buffers) kb_flow_end(t);
    if (++t->arrived < t->flits) return;
    kb_sim *sim = t->m->sim;
    const kb_txn_request *r = &t->request;
    if (r->committed) kb_sim_at(sim, t->committed, r->committed, r->object, r->arg);
    kb_sim_at(sim, t->committed + t->command, complete, t, 0);
}

/* ---- reads ---- */

static void request_arrives(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_txn *t = object;
    t->memory->class->request(t->memory, t);
}

/* Flits of a long read that are pending as events at one time: each schedules the one that is so
 * far behind it. */
enum { RELEASE_WINDOW = 64 };

static void release_and_schedule(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    uint32_t next = kb_txn_flit(arg) + RELEASE_WINDOW;
    if (next < t->flits) kb_sim_at(sim, t->releases[next], release_and_schedule, t, next);
    kb_txn_forward(sim, t, arg);
}

/* All releases are known: schedule them, a window at a time if each comes after the one that
 * schedules it. At equal times it would be overtaken by what others have scheduled meanwhile. */
static void schedule_releases(kb_txn *t)
{
    kb_sim *sim = t->m->sim;
    const kb_time *at = t->releases;
    uint32_t i = RELEASE_WINDOW;
    while (i < t->flits && at[i] > at[i - RELEASE_WINDOW]) i++;
    bool spread = i == t->flits;
    uint32_t first = spread ? RELEASE_WINDOW : t->flits;
    for (i = 0; i < first; i++)
        kb_sim_at(sim, at[i], spread ? release_and_schedule : kb_txn_forward, t, i);
}

void kb_txn_release(kb_txn *t, uint32_t flit, kb_time when)
{
    if (when < t->hops[0].first) t->hops[0].first = when;
    if (t->flits <= RELEASE_WINDOW) {
        kb_sim_at(t->m->sim, when, kb_txn_forward, t, flit);
        return;
    }
    if (!t->releases) t->releases = kb_xmalloc(t->flits * sizeof *t->releases);
    t->releases[flit] = when;
    if (flit + 1 == t->flits) schedule_releases(t);
}

/* A flit of a read is back at the requester. */
static void data_arrives(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_txn *t = object;
    t->m->flits_delivered++;
    if (t->buffers) kb_flow_end(t);
    if (++t->arrived == t->flits) complete(sim, t, 0);
}

/* ---- starting ---- */

static kb_link *use_wire(kb_machine *m, kb_edge edge, kb_node to)
{
    kb_wire *wire = kb_machine_wire(m, edge);
    if (wire->to == KB_NO_NODE) wire->to = to;
    if (wire->to != to) wire->several = true;
    return &wire->link;
}

/* The requester's side of the books: what it asked for, whatever arrives. */
static void count_request(kb_machine *m, const kb_txn_request *r)
{
    uint64_t bytes = r->rows * r->row_bytes;
    const kb_node_info *info = kb_graph_info(m->graph, r->requester);
    if (info->kind == KB_HOST) m->host_bytes[r->op] += bytes;
    if (info->kind != KB_PE_DMA) return;
    kb_place place = kb_graph_place(m->graph, r->requester);
    kb_machine_pe(m, place.sip, place.die, info->a)->dma_bytes[r->op] += bytes;
}

static void fill_hops(kb_txn *t, const kb_path *path)
{
    kb_machine *m = t->m;
    t->hop_count = (uint32_t)path->nodes.count;
    for (uint32_t i = 0; i < t->hop_count; i++) {
        const kb_node_info *info = kb_graph_info(m->graph, path->nodes.data[i]);
        kb_hop *hop = &t->hops[i];
        *hop = (kb_hop){.receive = kb_machine_class(m, path->nodes.data[i], info->kind)->transit,
                        .first = KB_TIME_NEVER,
                        .overhead = info->overhead,
                        .node = path->nodes.data[i]};
        if (i + 1 == t->hop_count) break;
        const kb_edge_info *edge = kb_graph_edge_info(m->graph, path->edges.data[i]);
        hop->link = use_wire(m, path->edges.data[i], path->nodes.data[i + 1]);
        hop->flit_occupancy = edge->flit_occupancy;
        hop->propagation = edge->propagation;
        hop->gbs = edge->gbs;
    }
    if (!m->flow) return;
    t->buffers = (kb_buffer **)(t->hops + ((size_t)1 << (t->size_class + SMALLEST_CLASS)));
    kb_flow_fill(m, (int)t->request.op, t->buffers);
}

static int cut_into_flits(kb_txn *t, kb_err *err)
{
    kb_txn_request *r = &t->request;
    if (r->rows == 1 || r->stride == r->row_bytes) {
        r->row_bytes *= r->rows;
        r->rows = 1;
    }
    uint64_t per_row = (r->row_bytes + t->flit_bytes - 1) / t->flit_bytes;
    if (per_row * r->rows > UINT32_MAX)
        return kb_fail(err, KB_EINVAL,
                       "a transaction of %llu bytes has more than 2^32 flits of %u B; split it",
                       (unsigned long long)(r->row_bytes * r->rows), t->flit_bytes);
    t->flits_per_row = (uint32_t)per_row;
    t->flits = (uint32_t)(per_row * r->rows);
    t->row_tail = (uint32_t)(r->row_bytes - (per_row - 1) * t->flit_bytes);
    return KB_OK;
}

static void start(kb_txn *t)
{
    kb_machine *m = t->m;
    assert(m->path.nodes.count > 1); /* nobody asks himself */
    t->memory = kb_machine_device(m, t->request.memory);
    t->id = m->txns_started++;
    m->flits_injected += t->flits;
    count_request(m, &t->request);
    m->short_flit_hops += t->row_tail == t->flit_bytes ? 0 : t->request.rows * m->path.edges.count;
    t->command = kb_path_command_time(m->graph, &m->path);
    if (m->flow) kb_flow_choose(m);
    if (t->request.op == KB_TXN_WRITE) {
        fill_hops(t, &m->path);
        t->hops[t->hop_count - 1].receive = t->memory->class->receive;
        kb_path_reverse(m->graph, &m->path);
        t->command = t->request.one_way ? 0 : kb_path_command_time(m->graph, &m->path);
        start_write(t);
    } else {
        if (t->request.one_way) t->command = 0;
        kb_path_reverse(m->graph, &m->path);
        fill_hops(t, &m->path);
        t->hops[t->hop_count - 1].receive = data_arrives;
        kb_sim_after(m->sim, t->command, request_arrives, t, 0);
    }
}

int kb_txn_start(kb_machine *m, const kb_txn_request *request, kb_err *err)
{
    assert(request->rows > 0 && request->row_bytes > 0);
    int status = kb_route(m->graph, request->requester, request->memory, &m->path, err);
    if (status) return status;
    kb_txn *t = take(m, (uint32_t)m->path.nodes.count);
    uint32_t size_class = t->size_class;
    kb_txn *next_made = t->next_made;
    *t = (kb_txn){.m = m,
                  .request = *request,
                  .size_class = size_class,
                  .next_made = next_made,
                  .flit_bytes = m->graph->flit_bytes,
                  .started = m->sim->now};
    status = cut_into_flits(t, err);
    if (status) {
        give(t);
        return status;
    }
    start(t);
    return KB_OK;
}
