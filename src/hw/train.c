#include "hw/train.h"

#include <assert.h>
#include <string.h>

#include "hw/passage.h"
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
static void injections(kb_txn *t, uint32_t first, kb_series *s)
{
    const kb_stop *stop = &t->route->stops[0];
    kb_time full = stop->flit_occupancy, tail = kb_txn_occupancy(t, stop, t->row_tail);
    uint64_t bytes;
    kb_time arrival = t->inject_start + kb_txn_link_time(t, 0, first, &bytes) + stop->propagation;
    uint32_t in_row = first % t->flits_per_row, end = kb_txn_full_flits(t);
    s->head = s->tail = t->flits;
    for (uint32_t i = first; i < t->flits; i++) {
        bool last = ++in_row == t->flits_per_row;
        arrival += last ? tail : full;
        if (last) in_row = 0;
        s->at[i] = kb_txn_ready_at(t, 1, arrival);
        if (s->at[i] > arrival || i + 1 >= end) continue;
        /* Up to `end` they come as they leave. */
        *s = (kb_series){.at = s->at, .head = i + 1, .tail = end, .period = 1, .step = full};
        arrival += (end - 1 - i) * full;
        in_row += end - 1 - i;
        i = end - 1;
    }
}

/* The link has been crossed by the flits of the train before `end`. */
static void count_passage(kb_txn *t, uint32_t h, const kb_reservation *r, uint32_t end)
{
    uint32_t first = t->train_first;
    if (end == first) return;
    kb_hop *hop = &t->hops[h];
    kb_link *link = &t->route->stops[h].wire->link;
    uint64_t before = 0, bytes;
    kb_time time = kb_txn_link_time(t, h, end, &bytes);
    if (first) time -= kb_txn_link_time(t, h, first, &before);
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
static void expect(kb_txn *t, kb_series *times)
{
    kb_sim *sim = t->m->sim;
    uint32_t first = t->train_first;
    if (t->request.op == KB_TXN_WRITE) {
        kb_series_expand(times);
        memcpy(&t->times.data[first], &times->at[first], (t->flits - first) * sizeof *times->at);
    }
    uint64_t arg = kb_txn_arg(++t->train_number, first);
    if (t->request.op == KB_TXN_READ || end_track(t))
        kb_sim_at(sim, kb_series_at(times, t->flits - 1), arrive, t, arg);
    else
        kb_sim_at(sim, times->at[first], arrive_one_by_one, t, arg);
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

static bool is_sorted(const kb_series *s, uint32_t flits)
{
    const kb_time *at = s->at;
    bool regular = s->head < s->tail;
    if (regular && at[s->head - s->period] + s->step < at[s->head - 1]) return false;
    if (s->tail < flits && at[s->tail] < kb_series_at(s, s->tail - 1)) return false;
    for (uint32_t i = 1; i < s->head; i++)
        if (at[i - 1] > at[i]) return false;
    for (uint32_t i = s->tail + 1; i < flits; i++)
        if (at[i - 1] > at[i]) return false;
    return true;
}

/* Bring releases into the order of time, which is that in which flits set out: those of equal size
 * are alike. False, and nothing is changed, if a shorter one comes between them, or may. */
static bool sort_releases(kb_txn *t)
{
    uint32_t n = t->flits;
    kb_time *at = t->times.data;
    if (is_sorted(&t->releases, n)) return true;
    kb_series_expand(&t->releases);
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
static kb_series departures(kb_txn *t, uint32_t first)
{
    kb_machine *m = t->m;
    kb_vec_reserve(&m->times, t->flits);
    kb_vec_reserve(&t->times, t->flits);
    const kb_time *from = t->times.data;
    kb_series s = t->releases;
    s.at = m->times.data;
    if (t->request.op == KB_TXN_READ) {
        memcpy(s.at, from, s.head * sizeof *from);
        memcpy(s.at + s.tail, from + s.tail, (t->flits - s.tail) * sizeof *from);
    } else {
        memcpy(s.at, from, first * sizeof *from);
        injections(t, first, &s);
    }
    return s;
}

/* The same, one by one. */
static kb_time *single_departures(kb_txn *t, uint32_t first)
{
    if (t->request.op == KB_TXN_READ) kb_series_expand(&t->releases);
    kb_series s = departures(t, first);
    kb_series_expand(&s);
    return s.at;
}

/* The end of the way, when the last flit is ready at the last node. */
static void reserve_end(kb_txn *t, const kb_series *times)
{
    kb_reservation *r = &t->reservations[t->hop_count - 1];
    r->last = kb_series_at(times, t->flits - 1);
    r->last_left = r->last + 1; /* who comes at the same time has to ask */
}

/* Compute the passage of all flits; false if somebody is in the way. */
static bool travel(kb_txn *t, kb_series *times)
{
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++) {
        const kb_wire *wire = t->route->stops[h].wire;
        const kb_track *track = &wire->track;
        if (!is_clear(track, times->at[0])) return false;
        kb_reservation *r = &t->reservations[h];
        r->free = wire->link.free;
        if (track->last && track->last->last_left > r->free) r->free = track->last->last_left;
        r->last = kb_series_at(times, t->flits - 1);
        kb_pass_all(t, h, r, times);
    }
    reserve_end(t, times);
    return !end_track(t) || is_clear(end_track(t), times->at[0]);
}

/* Forget when flits will have come to nodes that none is on its way to. */
static void forget_arrivals(kb_txn *t)
{
    for (uint32_t h = first_hop(t) + 1; h < t->hop_count; h++)
        if (t->hops[h - 1].left == 0) t->hops[h].first = KB_TIME_NEVER;
}

static void set_out(kb_txn *t, uint32_t first, kb_series *times)
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
        kb_series times = departures(t, 0);
        if (travel(t, &times)) {
            set_out(t, 0, &times);
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
    kb_time *times = single_departures(t, first);
    for (uint32_t h = first_hop(t); h + 1 < t->hop_count; h++) {
        kb_reservation *r = &t->reservations[h];
        r->free = t->route->stops[h].wire->link.free;
        kb_pass(t, h, r, t->hops[h].left, first, KB_TIME_NEVER, times); /* who walks ahead */
        r->free = r->last_left;
        r->last = times[t->flits - 1];
        kb_pass(t, h, r, first, t->flits, KB_TIME_NEVER, times);
    }
    kb_series ends = {.at = times, .head = t->flits, .tail = t->flits};
    reserve_end(t, &ends);
    forget_arrivals(t);
    set_out(t, first, &ends);
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
    kb_time *times = single_departures(t, t->train_first);
    release_all(t);
    walk(t, t->train_first);
    forget_arrivals(t);
    for (uint32_t h = first; h + 1 < t->hop_count; h++) {
        kb_reservation *r = &t->reservations[h];
        uint32_t passed = kb_pass(t, h, r, t->train_first, gone, now, times);
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
