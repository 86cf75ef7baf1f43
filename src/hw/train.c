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

/* When flits of a write, from `first` on, are ready at the second node. */
static void injections(kb_txn *t, uint32_t first, kb_time *times)
{
    const kb_stop *stop = &t->route->stops[0];
    kb_time full = stop->flit_occupancy, tail = kb_txn_occupancy(t, stop, t->row_tail);
    uint64_t bytes;
    kb_time left = t->inject_start + kb_txn_link_time(t, 0, first, &bytes);
    uint32_t in_row = first % t->flits_per_row;
    for (uint32_t i = first; i < t->flits; i++) {
        bool last = ++in_row == t->flits_per_row;
        left += last ? tail : full;
        if (last) in_row = 0;
        times[i] = kb_txn_ready_at(t, 1, left + stop->propagation);
    }
}

/* Flits that pass one link after another. */
typedef struct column {
    kb_txn *txn;
    uint32_t hop;
    kb_time propagation;
    kb_time free, waited; /* the link; of all of them */
    kb_time not_before;   /* none is ready at the next node before the first was */
    kb_time until;        /* who is not ready by then stays */
    kb_time *times;       /* when each is ready here, then there */
} column;

/* Flits i..end, which occupy the link for as long each. Returns the first that stays, or `end`. */
static uint32_t pass_alike(column *c, uint32_t i, uint32_t end, kb_time occupancy)
{
    kb_time *times = c->times, propagation = c->propagation;
    kb_time free = c->free, waited = c->waited, not_before = c->not_before;
    for (; i < end && times[i] <= c->until; i++) {
        kb_time start = times[i] > free ? times[i] : free;
        waited += start - times[i];
        free = start + occupancy;
        kb_time arrival = free + propagation;
        if (!not_before) not_before = kb_txn_ready_at(c->txn, c->hop + 1, arrival);
        times[i] = arrival > not_before ? arrival : not_before;
    }
    c->free = free;
    c->waited = waited;
    c->not_before = not_before;
    return i;
}

/* Move flits first..end, or those of them that are ready at hop h by `until`, over its link, which
 * is free from r->free on: times[i] becomes when flit i is ready behind it. Returns the first that
 * is not. */
static uint32_t pass(kb_txn *t, uint32_t h, kb_reservation *r, uint32_t first, uint32_t end,
                     kb_time until, kb_time *times)
{
    const kb_stop *stop = &t->route->stops[h];
    kb_time full = stop->flit_occupancy, tail = kb_txn_occupancy(t, stop, t->row_tail);
    column c = {.txn = t,
                .hop = h,
                .propagation = stop->propagation,
                .free = r->free,
                .until = until,
                .times = times};
    uint32_t i = first, per_row = full == tail ? t->flits : t->flits_per_row;
    for (bool go = true; go && i < end;) {
        uint32_t last = i - i % per_row + per_row - 1, full_end = last < end ? last : end;
        i = pass_alike(&c, i, full_end, full);
        go = i == full_end;
        if (!go || i == end) break;
        i = pass_alike(&c, i, i + 1, tail);
        go = i == last + 1;
    }
    r->waited = c.waited;
    r->last_left = c.free;
    return i;
}

/* The link has been crossed by the flits of the train before `end`. */
static void count_passage(kb_txn *t, uint32_t h, const kb_reservation *r, uint32_t end)
{
    uint32_t first = t->train_first;
    if (end == first) return;
    kb_hop *hop = &t->hops[h];
    kb_link *link = &t->route->stops[h].wire->link;
    uint64_t before, bytes;
    kb_time time = kb_txn_link_time(t, h, end, &bytes) - kb_txn_link_time(t, h, first, &before);
    link->busy += time;
    link->bytes += bytes - before;
    link->waited += r->waited;
    hop->waited += r->waited;
    hop->left = end;
    if (r->last_left > link->free) link->free = r->last_left;
    t->m->flit_hops += end - first;
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
        reserve(t, &t->route->stops[h].wire->track, &t->reservations[h]);
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

enum { LEAST = 64 }; /* flits of a train in place of walkers, and between two tries */

/* From this flit on. Tries are so far apart that together they cost no more than walking. */
static void walk(kb_txn *t, uint32_t from)
{
    uint32_t pause = (t->flits - from) / 16;
    t->moves = KB_TXN_BY_FLIT;
    t->retry = from + (pause > LEAST ? pause : LEAST);
    if (t->followed) kb_vec_reserve(&t->times, t->flits);
    if (t->walks) return;
    t->walks = true;
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++)
        t->route->stops[h].wire->track.walkers++;
    if (end_track(t)) end_track(t)->walkers++;
}

void kb_train_end(kb_txn *t)
{
    if (!t->walks) return;
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++)
        t->route->stops[h].wire->track.walkers--;
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

/* Arrivals of a train that has been dissolved mean nothing. */
static bool is_current(const kb_txn *t, uint64_t arg)
{
    return t->moves == KB_TXN_BY_TRAIN && arg >> 32 == t->train_number;
}

/* At a memory whose ports others use, too: each flit in its time. */
static void arrive_one_by_one(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    if (!is_current(t, arg)) return;
    uint32_t flit = kb_txn_flit(arg), end = t->hop_count - 1;
    if (flit + 1 == t->flits)
        pull_in(t);
    else
        kb_sim_at(sim, t->times.data[flit + 1], arrive_one_by_one, t, arg + 1);
    t->route->stops[end].receive(sim, t, kb_txn_arg(end, flit));
}

static void arrive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    kb_txn *t = object;
    if (!is_current(t, arg)) return;
    pull_in(t);
    if (t->request.op == KB_TXN_READ) {
        kb_txn_returned(t, t->flits - t->train_first);
        return;
    }
    for (uint32_t i = t->train_first; i < t->flits; i++) kb_txn_commit_at(t, i, t->times.data[i]);
}

/* `times`: when flits are at the end. */
static void expect(kb_txn *t, const kb_time *times)
{
    kb_sim *sim = t->m->sim;
    uint32_t first = t->train_first;
    if (t->request.op == KB_TXN_WRITE)
        memcpy(&t->times.data[first], &times[first], (t->flits - first) * sizeof *times);
    uint64_t arg = kb_txn_arg(++t->train_number, first);
    if (t->request.op == KB_TXN_READ || end_track(t))
        kb_sim_at(sim, times[t->flits - 1], arrive, t, arg);
    else
        kb_sim_at(sim, times[first], arrive_one_by_one, t, arg);
}

/* ---- departure ---- */

/* Sort times that hardly ever are far from it. False if they are. */
static bool sort(kb_time *at, uint32_t n)
{
    enum { MOVES = 32 }; /* for each, at most */
    uint64_t moves = (uint64_t)MOVES * n;
    for (uint32_t i = 1; i < n; i++) {
        kb_time time = at[i];
        uint32_t k = i;
        for (; k > 0 && at[k - 1] > time; k--) {
            if (moves-- == 0) return false;
            at[k] = at[k - 1];
        }
        at[k] = time;
    }
    return true;
}

static bool is_sorted(const kb_time *at, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++)
        if (at[i - 1] > at[i]) return false;
    return true;
}

/* Bring releases into the order of time, which is that in which flits set out: those of equal size
 * are alike. False, and nothing is changed, if a shorter one comes between them, or may. */
static bool sort_releases(kb_txn *t)
{
    uint32_t n = t->flits;
    kb_time *at = t->times.data;
    if (is_sorted(at, n)) return true;
    bool equal = t->flits_per_row == 1 || t->row_tail == t->flit_bytes;
    if (!equal && t->request.rows > 1) return false;
    kb_machine *m = t->m;
    kb_vec_reserve(&m->times, n);
    kb_time *sorted = memcpy(m->times.data, at, n * sizeof *at);
    if (!sort(sorted, equal ? n : n - 1)) return false;
    if (!equal && sorted[n - 1] <= sorted[n - 2]) return false;
    memcpy(at, sorted, n * sizeof *at);
    return true;
}

/* In an array that may be overwritten: when flits are ready next, those from `first` on where they
 * set out. */
static kb_time *departures(kb_txn *t, uint32_t first)
{
    kb_machine *m = t->m;
    kb_vec_reserve(&m->times, t->flits);
    kb_vec_reserve(&t->times, t->flits);
    bool read = t->request.op == KB_TXN_READ;
    memcpy(m->times.data, t->times.data, (read ? t->flits : first) * sizeof *m->times.data);
    if (!read) injections(t, first, m->times.data);
    return m->times.data;
}

/* The end of the way, when the last flit is ready at the last node. */
static void reserve_end(kb_txn *t, const kb_time *times)
{
    kb_reservation *r = &t->reservations[t->hop_count - 1];
    r->last = times[t->flits - 1];
    r->last_left = r->last + 1; /* who comes at the same time has to ask */
}

/* Compute the passage of all flits; false if somebody is in the way. */
static bool travel(kb_txn *t, kb_time *times)
{
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++) {
        const kb_wire *wire = t->route->stops[h].wire;
        const kb_track *track = &wire->track;
        if (!is_clear(track, times[0])) return false;
        kb_reservation *r = &t->reservations[h];
        r->free = wire->link.free;
        if (track->last && track->last->last_left > r->free) r->free = track->last->last_left;
        r->last = times[t->flits - 1];
        pass(t, h, r, 0, t->flits, KB_TIME_NEVER, times);
    }
    reserve_end(t, times);
    return !end_track(t) || is_clear(end_track(t), times[0]);
}

/* Forget when flits will have come to nodes that none is on its way to. */
static void forget_arrivals(kb_txn *t)
{
    for (uint32_t h = first_hop(t) + 1; h < t->hop_count; h++)
        if (t->hops[h - 1].left == 0) t->hops[h].first = KB_TIME_NEVER;
}

static void set_out(kb_txn *t, uint32_t first, const kb_time *times)
{
    t->train_first = first;
    reserve_all(t);
    expect(t, times);
}

bool kb_train_start(kb_txn *t)
{
    if (!t->m->by_train) return false;
    bool clear = true; /* a look, before anything is computed */
    for (uint32_t h = first_hop(t); clear && h + 1 < t->hop_count; h++)
        clear = !t->route->stops[h].wire->track.walkers;
    bool later = t->flits >= 2 * LEAST;
    t->followed = (clear || later) && (t->request.op == KB_TXN_WRITE || sort_releases(t));
    if (clear && t->followed) {
        kb_time *times = departures(t, 0);
        if (travel(t, times)) {
            set_out(t, 0, times);
            return true;
        }
        forget_arrivals(t);
    }
    t->followed = t->followed && later;
    walk(t, 0);
    return false;
}

/* ---- from walking to a train ---- */

bool kb_train_is_due(const kb_txn *t, uint32_t flit)
{
    return t->moves == KB_TXN_BY_FLIT && t->followed && flit >= t->retry;
}

static bool is_alone(const kb_track *track, kb_time now)
{
    return track->walkers == 1 && (!track->last || track->last->last_left <= now);
}

/* Nobody else is on the way, or will be before somebody dissolves the train. */
static bool walks_alone(const kb_txn *t)
{
    kb_time now = t->m->sim->now;
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++)
        if (!is_alone(&t->route->stops[h].wire->track, now)) return false;
    return !end_track(t) || is_alone(end_track(t), now);
}

bool kb_train_resume(kb_txn *t, uint32_t first)
{
    walk(t, first); /* until the next try */
    if (t->flits - first < LEAST || !walks_alone(t)) return false;
    kb_time *times = departures(t, first);
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++) {
        kb_reservation *r = &t->reservations[h];
        r->free = t->route->stops[h].wire->link.free;
        pass(t, h, r, t->hops[h].left, first, KB_TIME_NEVER, times); /* who walks ahead */
        r->free = r->last_left;
        r->last = times[t->flits - 1];
        pass(t, h, r, first, t->flits, KB_TIME_NEVER, times);
    }
    reserve_end(t, times);
    forget_arrivals(t);
    set_out(t, first, times);
    return true;
}

/* ---- dissolving ---- */

/* Events for flits from..end that have left for hop h, where they are ready at times[i]. */
static void send_under_way(kb_txn *t, uint32_t h, uint32_t from, uint32_t end, const kb_time *times)
{
    for (uint32_t i = from; i < end; i++) {
        kb_sim_at(t->m->sim, times[i], t->route->stops[h].receive, t, kb_txn_arg(h, i));
        if (t->followed) t->times.data[i] = times[i];
    }
}

/* The flits of the train before `end` are at the end of the way, or will be at times[i]. */
static void end_under_way(kb_txn *t, uint32_t end, kb_time now, const kb_time *times)
{
    bool read = t->request.op == KB_TXN_READ;
    uint32_t first = t->train_first, there = first;
    if (read || end_track(t))
        while (there < end && times[there] < now) there++;
    else if (t->arrived > first)
        there = t->arrived; /* one by one */
    send_under_way(t, t->hop_count - 1, there, end, times);
    if (read && there > first) kb_txn_returned(t, there - first);
    for (uint32_t i = first; i < there && end_track(t); i++) kb_txn_commit_at(t, i, times[i]);
}

/* From now on flit by flit: what has passed is counted, what is under way gets events. */
static void dissolve(kb_txn *t, kb_time now)
{
    uint32_t first = first_hop(t), gone = t->flits; /* have left for hop h */
    kb_time *times = departures(t, t->train_first);
    release_all(t);
    walk(t, t->train_first);
    forget_arrivals(t);
    for (uint32_t h = first; h + 1 < t->hop_count; h++) {
        kb_reservation *r = &t->reservations[h];
        uint32_t passed = pass(t, h, r, t->train_first, gone, now, times);
        count_passage(t, h, r, passed);
        if (h > first) {
            send_under_way(t, h, passed, gone, times);
        } else if (passed < gone) {
            kb_txn_depart(t, passed, times[passed]);
            walk(t, passed); /* tries begin there */
        }
        gone = passed;
    }
    end_under_way(t, gone, now, times);
}

void kb_track_yield(kb_track *track, const kb_txn *claimant, kb_time now)
{
    for (kb_reservation *r = track->first, *next; r; r = next) {
        next = r->behind;
        if (r->last_left > now && r->txn != claimant) dissolve(r->txn, now);
    }
}

void kb_train_settle(kb_machine *m)
{
    while (m->trains) dissolve(m->trains, m->sim->now);
}
