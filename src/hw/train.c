#include "hw/train.h"

#include <assert.h>
#include <string.h>

#include "hw/txn.h"

/* The first link that a train crosses: the one behind the memory, or behind the second node, as a
 * write claims its first link whole. */
static uint32_t first_hop(const kb_txn *t)
{
    return t->request.op == KB_TXN_READ ? 0 : 1;
}

/* The memory, where it learns of all flits of a write when the last is there; else null. */
static kb_track *end_track(const kb_txn *t)
{
    bool late = t->request.op == KB_TXN_WRITE && t->memory->class->commit;
    return late ? &t->memory->track : NULL;
}

/* ---- passing ---- */

/* When flits of a write are ready at the second node. */
static void injections(kb_txn *t, kb_time *times)
{
    const kb_hop *hop = &t->hops[0];
    kb_time full = hop->flit_occupancy, tail = kb_txn_occupancy(t, hop, t->row_tail);
    kb_time left = t->inject_start;
    uint32_t in_row = 0;
    for (uint32_t i = 0; i < t->flits; i++) {
        bool last = ++in_row == t->flits_per_row;
        left += last ? tail : full;
        if (last) in_row = 0;
        times[i] = kb_hop_ready_at(&t->hops[1], left + hop->propagation);
    }
}

/* Move the first flits, at most n, that are ready at hop h by `until` over its link, which is free
 * from r->free on: times[i] becomes when flit i is ready behind it. Returns how many. */
static uint32_t pass(kb_txn *t, uint32_t h, kb_reservation *r, uint32_t n, kb_time until,
                     kb_time *times)
{
    const kb_hop *hop = &t->hops[h];
    kb_hop *next = &t->hops[h + 1];
    kb_time full = hop->flit_occupancy, tail = kb_txn_occupancy(t, hop, t->row_tail);
    kb_time free = r->free, waited = 0, not_before = 0;
    uint32_t in_row = 0, i;
    for (i = 0; i < n && times[i] <= until; i++) {
        bool last = ++in_row == t->flits_per_row;
        if (last) in_row = 0;
        kb_time start = times[i] > free ? times[i] : free;
        waited += start - times[i];
        free = start + (last ? tail : full);
        kb_time arrival = free + hop->propagation;
        if (i == 0) not_before = kb_hop_ready_at(next, arrival);
        times[i] = arrival > not_before ? arrival : not_before;
    }
    r->waited = waited;
    r->last_left = free;
    return i;
}

/* The link has been crossed by the first n flits. */
static void count_passage(kb_txn *t, uint32_t h, const kb_reservation *r, uint32_t n)
{
    if (n == 0) return;
    kb_hop *hop = &t->hops[h];
    kb_link *link = &hop->wire->link;
    uint64_t bytes;
    link->busy += kb_txn_link_time(t, h, n, &bytes);
    link->bytes += bytes;
    link->waited += r->waited;
    hop->waited += r->waited;
    if (r->last_left > link->free) link->free = r->last_left;
    t->m->flit_hops += n;
}

/* ---- tracks ---- */

/* Whether a train whose first flit is ready at `first` meets nobody. */
static bool is_clear(const kb_track *track, kb_time first)
{
    return !track->walkers && (!track->last || track->last->last <= first);
}

static void reserve(kb_txn *t, kb_track *track, kb_reservation *r)
{
    r->txn = t;
    r->track = track;
    r->behind = NULL;
    r->before = track->last;
    if (track->last)
        track->last->behind = r;
    else
        track->first = r;
    track->last = r;
    track->until = r->last_left;
}

static void release(kb_reservation *r)
{
    kb_track *track = r->track;
    if (r->before)
        r->before->behind = r->behind;
    else
        track->first = r->behind;
    if (r->behind)
        r->behind->before = r->before;
    else
        track->last = r->before;
    track->until = track->last ? track->last->last_left : 0;
}

static void reserve_all(kb_txn *t)
{
    kb_machine *m = t->m;
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++)
        reserve(t, &t->hops[h].wire->track, &t->reservations[h]);
    if (end_track(t)) reserve(t, end_track(t), &t->reservations[t->hop_count - 1]);
    t->moves = KB_TXN_BY_TRAIN;
    t->train_before = NULL;
    t->train_behind = m->trains;
    if (m->trains) m->trains->train_before = t;
    m->trains = t;
}

static void release_all(kb_txn *t)
{
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++) release(&t->reservations[h]);
    if (end_track(t)) release(&t->reservations[t->hop_count - 1]);
    if (t->train_before)
        t->train_before->train_behind = t->train_behind;
    else
        t->m->trains = t->train_behind;
    if (t->train_behind) t->train_behind->train_before = t->train_before;
}

static void walk(kb_txn *t)
{
    t->moves = KB_TXN_BY_FLIT;
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++) t->hops[h].wire->track.walkers++;
    if (end_track(t)) end_track(t)->walkers++;
}

void kb_train_end(kb_txn *t)
{
    if (t->moves != KB_TXN_BY_FLIT) return;
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++) t->hops[h].wire->track.walkers--;
    if (end_track(t)) end_track(t)->walkers--;
}

/* ---- arrival ---- */

static void pull_in(kb_txn *t)
{
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++)
        count_passage(t, h, &t->reservations[h], t->flits);
    release_all(t);
    t->moves = KB_TXN_ARRIVED;
}

/* At a memory whose ports others use, too: each flit in its time. */
static void arrive_one_by_one(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    if (t->moves != KB_TXN_BY_TRAIN) return; /* dissolved */
    uint32_t flit = kb_txn_flit(arg);
    if (flit + 1 == t->flits)
        pull_in(t);
    else
        kb_sim_at(sim, t->times.data[flit + 1], arrive_one_by_one, t, arg + 1);
    t->hops[t->hop_count - 1].receive(sim, t, arg);
}

static void arrive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_txn *t = object;
    if (t->moves != KB_TXN_BY_TRAIN) return; /* dissolved */
    pull_in(t);
    if (t->request.op == KB_TXN_READ) {
        kb_txn_returned(t, t->flits);
        return;
    }
    for (uint32_t i = 0; i < t->flits; i++) kb_txn_commit_at(t, i, t->times.data[i]);
}

/* `times`: when flits are at the end. */
static void expect(kb_txn *t, const kb_time *times)
{
    if (t->request.op == KB_TXN_READ || end_track(t))
        kb_sim_at(t->m->sim, times[t->flits - 1], arrive, t, 0);
    else
        kb_sim_at(t->m->sim, times[0], arrive_one_by_one, t, kb_txn_arg(t->hop_count - 1, 0));
}

/* ---- departure ---- */

/* Flits of equal size may go in the order in which a memory releases them. */
static bool sort_releases(const kb_txn *t, kb_time *at)
{
    enum { MOST = 64 };
    bool equal = t->flits_per_row == 1 || t->row_tail == t->flit_bytes;
    for (uint32_t i = 1; i < t->flits; i++) {
        if (at[i - 1] <= at[i]) continue;
        if (!equal || t->flits > MOST) return false;
        kb_time time = at[i];
        uint32_t k = i;
        for (; k > 0 && at[k - 1] > time; k--) at[k] = at[k - 1];
        at[k] = time;
    }
    return true;
}

/* When flits are ready at the first hop, in an array that may be overwritten. */
static kb_time *departures(kb_txn *t)
{
    if (t->request.op == KB_TXN_WRITE) {
        kb_vec_reserve(&t->times, t->flits);
        injections(t, t->times.data);
        return t->times.data;
    }
    kb_machine *m = t->m;
    kb_vec_reserve(&m->times, t->flits);
    memcpy(m->times.data, t->times.data, t->flits * sizeof *m->times.data);
    return m->times.data;
}

/* Compute the passage; false, with no trace left, if somebody is in the way. */
static bool travel(kb_txn *t, kb_time *times)
{
    uint32_t h = first_hop(t);
    for (; h + 1 < t->hop_count; h++) {
        const kb_wire *wire = t->hops[h].wire;
        const kb_track *track = &wire->track;
        if (!is_clear(track, times[0])) return false;
        kb_reservation *r = &t->reservations[h];
        r->free = wire->link.free;
        if (track->last && track->last->last_left > r->free) r->free = track->last->last_left;
        r->last = times[t->flits - 1];
        pass(t, h, r, t->flits, KB_TIME_NEVER, times);
    }
    const kb_track *end = end_track(t);
    kb_reservation *r = &t->reservations[h];
    r->last = times[t->flits - 1];
    r->last_left = r->last + 1; /* who comes at the same time has to ask */
    return !end || is_clear(end, times[0]);
}

static void forget_arrivals(kb_txn *t)
{
    for (uint32_t h = first_hop(t) + 1; h < t->hop_count; h++) t->hops[h].first = KB_TIME_NEVER;
}

bool kb_train_start(kb_txn *t)
{
    if (!t->m->by_train) return false;
    bool write = t->request.op == KB_TXN_WRITE;
    bool clear = true; /* a look, before anything is computed */
    for (uint32_t h = first_hop(t); clear && h + 1 < t->hop_count; h++)
        clear = !t->hops[h].wire->track.walkers;
    if (clear && (write || sort_releases(t, t->times.data))) {
        kb_time *times = departures(t);
        if (travel(t, times)) {
            reserve_all(t);
            expect(t, times);
            return true;
        }
        forget_arrivals(t);
    }
    walk(t);
    return false;
}

/* ---- dissolving ---- */

/* Events for flits from..end that have left for hop h, where they are ready at times[i]. */
static void send_under_way(kb_txn *t, uint32_t h, uint32_t from, uint32_t end, const kb_time *times)
{
    for (uint32_t i = from; i < end; i++)
        kb_sim_at(t->m->sim, times[i], t->hops[h].receive, t, kb_txn_arg(h, i));
}

/* The first n flits are at the end, or will be at times[i]. */
static void end_under_way(kb_txn *t, uint32_t n, kb_time now, const kb_time *times)
{
    bool read = t->request.op == KB_TXN_READ;
    uint32_t there = 0;
    if (read || end_track(t))
        while (there < n && times[there] < now) there++;
    else
        there = t->arrived; /* one by one */
    send_under_way(t, t->hop_count - 1, there, n, times);
    if (read) {
        if (there) kb_txn_returned(t, there);
        return;
    }
    for (uint32_t i = t->arrived; i < there; i++) kb_txn_commit_at(t, i, times[i]);
}

/* From now on flit by flit: what has passed is counted, what is under way gets events. */
static void dissolve(kb_txn *t, kb_time now)
{
    kb_machine *m = t->m;
    uint32_t first = first_hop(t), n = t->flits;
    release_all(t);
    walk(t);
    forget_arrivals(t);
    kb_vec_reserve(&m->times, t->flits);
    kb_time *times = m->times.data;
    if (first)
        injections(t, times);
    else
        memcpy(times, t->times.data, t->flits * sizeof *times);
    for (uint32_t h = first; h + 1 < t->hop_count; h++) {
        uint32_t passed = pass(t, h, &t->reservations[h], n, now, times);
        count_passage(t, h, &t->reservations[h], passed);
        if (h > first)
            send_under_way(t, h, passed, n, times);
        else if (passed < n)
            kb_txn_depart(t, passed, times[passed]);
        n = passed;
    }
    end_under_way(t, n, now, times);
}

void kb_track_yield(kb_track *track, kb_time now)
{
    for (kb_reservation *r = track->first, *next; r; r = next) {
        next = r->behind;
        if (r->last_left > now) dissolve(r->txn, now);
    }
}

void kb_train_settle(kb_machine *m)
{
    while (m->trains) dissolve(m->trains, m->sim->now);
}
