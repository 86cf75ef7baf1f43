#include "hw/txn.h"

#include "hw/flow.h"
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
    size_t more = m->flow ? 0 : room * sizeof t->reservations[0];
    t = kb_arena_take(&m->state, sizeof *t + room * sizeof t->hops[0] + more);
    *t = (kb_txn){.size_class = class, .next_made = m->txns_made};
    m->txns_made = t;
    return t;
}

enum { TIMES_KEPT = 4096 }; /* with a transaction that is not in use */

static void give(kb_txn *t)
{
    if (!t->completed) kb_txn_route_give(t->route); /* twice if flits have been duplicated */
    t->completed = true;
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
        const kb_stop *stop = &t->route->stops[0];
        t->inject_left += kb_txn_occupancy(t, stop, kb_txn_flit_bytes(t, next));
        kb_time arrival = t->inject_left + stop->propagation;
        kb_sim_at(sim, kb_txn_ready_at(t, 1, arrival), inject, t, arg + 1);
    }
    t->route->stops[1].receive(sim, t, arg);
}

kb_time kb_txn_link_time(const kb_txn *t, uint32_t h, uint32_t flits, uint64_t *bytes)
{
    const kb_stop *stop = &t->route->stops[h];
    uint32_t rows = flits / t->flits_per_row, rest = flits % t->flits_per_row;
    kb_time tail = kb_txn_occupancy(t, stop, t->row_tail);
    *bytes = rows * t->request.row_bytes + (uint64_t)rest * t->flit_bytes;
    return rows * ((t->flits_per_row - 1) * stop->flit_occupancy + tail) +
           rest * stop->flit_occupancy;
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
    const kb_stop *stop = &t->route->stops[0];
    hop->first = sim->now;
    t->inject_end = t->buffers ? kb_flow_begin_write(t) : t->flits;
    if (t->inject_end == 0) return;
    uint64_t bytes;
    kb_time total = kb_txn_link_time(t, 0, t->inject_end, &bytes);
    kb_track_claim(&stop->wire->track, t, sim->now);
    kb_time left = kb_link_claim(&stop->wire->link, sim->now, total, bytes);
    hop->waited = left - total - sim->now;
    t->m->flit_hops += t->inject_end;
    t->inject_start = left - total;
    if (t->inject_end == t->flits) kb_txn_has_left(t, left);
    if (kb_train_start(t)) return;
    t->inject_left = t->inject_start + kb_txn_occupancy(t, stop, kb_txn_flit_bytes(t, 0));
    kb_time arrival = t->inject_left + stop->propagation;
    kb_sim_at(sim, kb_txn_ready_at(t, 1, arrival), inject, t, KB_TXN_NEXT_HOP);
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

static void request_arrives(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_txn *t = object;
    kb_vec_reserve(&t->times, t->flits);
    t->releases = (kb_series){.at = t->times.data, .head = t->flits, .tail = t->flits};
    kb_track_claim(&t->memory->track, t, sim->now);
    t->memory->class->request(t->memory, t);
    if (kb_train_start(t)) return;
    kb_series_expand(&t->releases);
    schedule_releases(t, 0);
}

void kb_txn_returned(kb_txn *t, uint32_t flits)
{
    t->m->flits_delivered += flits;
    t->arrived += flits;
    if (t->arrived == t->flits) complete(t->m->sim, t, 0);
}

void kb_txn_data_arrives(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_txn *t = object;
    if (t->buffers) kb_flow_end(t);
    kb_txn_returned(t, 1);
}

/* ---- starting ---- */

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

static void init_hops(kb_txn *t)
{
    const kb_txn_route *route = t->route;
    t->hop_count = route->count;
    t->memory = route->device;
    t->buffers = route->buffers;
    for (uint32_t i = 0; i < route->count; i++)
        t->hops[i] = (kb_hop){.wire = route->stops[i].wire, .first = KB_TIME_NEVER};
    if (t->buffers) return;
    t->reservations = (void *)(t->hops + ((size_t)1 << (t->size_class + SMALLEST_CLASS)));
}

static void start(kb_txn *t)
{
    kb_machine *m = t->m;
    const kb_txn_route *route = t->route;
    const kb_txn_request *r = &t->request;
    init_hops(t);
    t->id = m->txns_started++;
    t->command = r->one_way ? 0 : route->command;
    m->flits_injected += t->flits;
    if (route->requested) *route->requested += r->rows * r->row_bytes;
    m->short_flit_hops += t->row_tail == t->flit_bytes ? 0 : r->rows * (route->count - 1);
    if (r->op == KB_TXN_WRITE)
        start_write(t);
    else
        kb_sim_after(m->sim, t->command, request_arrives, t, 0);
}

int kb_txn_start(kb_machine *m, const kb_txn_request *request, kb_err *err)
{
    assert(request->rows > 0 && request->row_bytes > 0);
    const kb_txn_request *r = request;
    kb_txn_route *route;
    int status = r->recent ? kb_txn_route_take_recent(m, r->op, r->requester, r->memory, r->recent,
                                                      &route, err)
                           : kb_txn_route_take(m, r->op, r->requester, r->memory, &route, err);
    if (status) return status;
    kb_txn *t = take(m, route->count);
    kb_txn kept = *t;
    *t = (kb_txn){.m = m,
                  .route = route,
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
