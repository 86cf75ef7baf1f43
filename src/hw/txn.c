#include "hw/txn.h"

#include "hw/flow.h"
#include "hw/pe/pe.h"
#include "hw/train.h"

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
    size_t more = m->flow ? room * sizeof t->buffers[0] : room * sizeof t->reservations[0];
    t = kb_xmalloc(sizeof *t + room * sizeof t->hops[0] + more);
    *t = (kb_txn){.size_class = class};
    t->next_made = m->txns_made;
    m->txns_made = t;
    return t;
}

enum { TIMES_KEPT = 4096 }; /* with a transaction that is not in use */

static void give(kb_txn *t)
{
    if (t->times.capacity > TIMES_KEPT) kb_vec_free(&t->times);
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
 * whole payload; this event goes along the flits as they become ready at the second node. */
static void inject(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    uint32_t next = kb_txn_flit(arg) + 1;
    if (kb_train_is_due(t, next - 1) && kb_train_resume(t, next - 1)) return;
    if (next < t->inject_end) {
        t->inject_left += kb_txn_occupancy(t, &t->hops[0], kb_txn_flit_bytes(t, next));
        kb_time arrival = t->inject_left + t->hops[0].propagation;
        kb_sim_at(sim, kb_hop_ready_at(&t->hops[1], arrival), inject, t, arg + 1);
    }
    t->hops[1].receive(sim, t, arg);
}

kb_time kb_txn_link_time(const kb_txn *t, uint32_t h, uint32_t flits, uint64_t *bytes)
{
    const kb_hop *hop = &t->hops[h];
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
    assert(hop->wire);
    hop->first = sim->now;
    t->inject_end = t->buffers ? kb_flow_begin_write(t) : t->flits;
    if (t->inject_end == 0) return;
    uint64_t bytes;
    kb_time total = kb_txn_link_time(t, 0, t->inject_end, &bytes);
    kb_track_claim(&hop->wire->track, t, sim->now);
    kb_time left = kb_link_claim(&hop->wire->link, sim->now, total, bytes);
    hop->waited = left - total - sim->now;
    t->m->flit_hops += t->inject_end;
    t->inject_start = left - total;
    if (t->inject_end == t->flits) kb_txn_has_left(t, left);
    if (kb_train_start(t)) return;
    t->inject_left = t->inject_start + kb_txn_occupancy(t, hop, kb_txn_flit_bytes(t, 0));
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
    kb_train_end(t);
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

void kb_txn_commit_at(kb_txn *t, uint32_t flit, kb_time when)
{
    kb_txn_written(t, t->memory->class->commit(t->memory, t, flit, when));
}

void kb_txn_commit(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    kb_track_claim(&t->memory->track, t, sim->now);
    kb_txn_commit_at(t, kb_txn_flit(arg), sim->now);
}

/* ---- reads ---- */

static void request_arrives(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_txn *t = object;
    kb_vec_reserve(&t->times, t->flits);
    kb_track_claim(&t->memory->track, t, sim->now);
    t->memory->class->request(t->memory, t);
}

/* Flits of a long read that are pending as events at one time: each schedules the one that is so
 * far behind it. */
enum { RELEASE_WINDOW = 64 };

static void release_and_schedule(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    uint32_t flit = kb_txn_flit(arg), next = flit + RELEASE_WINDOW;
    bool more = t->moves != KB_TXN_BY_TRAIN && flit >= t->release_first && next < t->flits;
    if (more && !(kb_train_is_due(t, flit) && kb_train_resume(t, next)))
        kb_sim_at(sim, t->times.data[next], release_and_schedule, t, next);
    kb_txn_forward(sim, t, arg);
}

/* Releases from a flit on are known: schedule them, a window at a time if each comes after the one
 * that schedules it. At equal times it would be overtaken by what others have scheduled meanwhile.
 */
static void schedule_releases(kb_txn *t, uint32_t first)
{
    kb_sim *sim = t->m->sim;
    const kb_time *at = t->times.data;
    uint32_t i = first + RELEASE_WINDOW;
    while (i < t->flits && at[i] > at[i - RELEASE_WINDOW]) i++;
    bool spread = i == t->flits;
    uint32_t end = spread ? first + RELEASE_WINDOW : t->flits;
    t->release_first = first;
    for (i = first; i < end; i++)
        kb_sim_at(sim, at[i], spread ? release_and_schedule : kb_txn_forward, t, i);
}

void kb_txn_depart(kb_txn *t, uint32_t flit, kb_time when)
{
    if (t->request.op == KB_TXN_READ) {
        schedule_releases(t, flit);
        return;
    }
    uint64_t bytes;
    t->inject_left = t->inject_start + kb_txn_link_time(t, 0, flit + 1, &bytes);
    kb_sim_at(t->m->sim, when, inject, t, kb_txn_arg(1, flit));
}

void kb_txn_released(kb_txn *t)
{
    if (!kb_train_start(t)) schedule_releases(t, 0);
}

void kb_txn_returned(kb_txn *t, uint32_t flits)
{
    t->m->flits_delivered += flits;
    t->arrived += flits;
    if (t->arrived == t->flits) complete(t->m->sim, t, 0);
}

/* A flit of a read is back at the requester. */
static void data_arrives(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_txn *t = object;
    if (t->buffers) kb_flow_end(t);
    kb_txn_returned(t, 1);
}

/* ---- starting ---- */

static kb_wire *use_wire(kb_machine *m, kb_edge edge, kb_node to)
{
    kb_wire *wire = kb_machine_wire(m, edge);
    if (wire->to == KB_NO_NODE) wire->to = to;
    if (wire->to != to) wire->several = true;
    return wire;
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
        hop->wire = use_wire(m, path->edges.data[i], path->nodes.data[i + 1]);
        hop->flit_occupancy = edge->flit_occupancy;
        hop->propagation = edge->propagation;
        hop->gbs = edge->gbs;
    }
    void *behind = t->hops + ((size_t)1 << (t->size_class + SMALLEST_CLASS));
    if (!m->flow) {
        t->reservations = behind;
        return;
    }
    t->buffers = behind;
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
    kb_txn kept = *t;
    *t = (kb_txn){.m = m,
                  .request = *request,
                  .size_class = kept.size_class,
                  .next_made = kept.next_made,
                  .times = kept.times,
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
