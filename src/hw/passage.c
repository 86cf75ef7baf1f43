#include "hw/passage.h"

#include "hw/txn.h"

/* Flits that pass one link after another. */
typedef struct column {
    kb_txn *txn;
    uint32_t hop;
    kb_time occupancy, tail, propagation; /* of full flits, and of the last in a row; the link's */
    kb_time free, waited;                 /* the link; of all of them */
    kb_time not_before;                   /* none is ready at the next node before the first was */
    kb_time until;                        /* who is not ready by then stays */
    kb_time *times;                       /* when each is ready here, then there */
} column;

static column begin(kb_txn *t, uint32_t h, const kb_reservation *r, kb_time until, kb_time *times)
{
    const kb_stop *stop = &t->route->stops[h];
    return (column){.txn = t,
                    .hop = h,
                    .occupancy = stop->flit_occupancy,
                    .tail = kb_txn_occupancy(t, stop, t->row_tail),
                    .propagation = stop->propagation,
                    .free = r->free,
                    .until = until,
                    .times = times};
}

static void end_at(const column *c, kb_reservation *r)
{
    r->waited = c->waited;
    r->last_left = c->free;
}

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

/* Flits i..end, the last of each row with its own time. */
static uint32_t pass_rows(column *c, uint32_t i, uint32_t end)
{
    const kb_txn *t = c->txn;
    uint32_t per_row = c->occupancy == c->tail ? t->flits : t->flits_per_row;
    for (bool go = true; go && i < end;) {
        uint32_t last = i - i % per_row + per_row - 1, full_end = last < end ? last : end;
        i = pass_alike(c, i, full_end, c->occupancy);
        go = i == full_end;
        if (!go || i == end) break;
        i = pass_alike(c, i, i + 1, c->tail);
        go = i == last + 1;
    }
    return i;
}

uint32_t kb_pass(kb_txn *t, uint32_t h, kb_reservation *r, uint32_t first, uint32_t end,
                 kb_time until, kb_time *times)
{
    column c = begin(t, h, r, until, times);
    uint32_t i = pass_rows(&c, first, end);
    end_at(&c, r);
    return i;
}

/* ---- in a rhythm ---- */

/* What a turn of regular flits has done to the link. */
typedef struct turn {
    kb_time later;        /* the next one starts so much later */
    kb_time waited, rest; /* of all its flits; of as many as do not fill a turn at the end */
    bool repeats;         /* so do all that follow */
} turn;

/* The turn that begins with flit i, of which `rest` flits come once more at the end. */
static turn pass_turn(column *c, const kb_series *s, uint32_t i, uint32_t rest)
{
    kb_time ready = s->at[i], start = ready > c->free ? ready : c->free, before = c->waited;
    turn d;
    pass_alike(c, i, i + rest, c->occupancy);
    d.rest = c->waited - before;
    pass_alike(c, i + rest, i + s->period, c->occupancy);
    d.waited = c->waited - before;
    kb_time next = ready + s->step > c->free ? ready + s->step : c->free, full = c->occupancy;
    d.later = next - start;
    bool held = start + full + c->propagation < c->not_before; /* by the first at the next node */
    bool saturated = d.later == s->period * full && d.later > s->step;
    d.repeats = !held && (d.later == s->step || saturated);
    return d;
}

/* All flits from `from` on do as those of the turn before it. */
static void repeat(column *c, kb_series *s, uint32_t from, const turn *d)
{
    uint32_t left = s->tail - from, turns = left / s->period, rest = left % s->period;
    kb_time longer = d->later - s->step; /* that a flit waits than that of the turn before */
    uint64_t sum = (uint64_t)turns * (turns + UINT64_C(1)) / 2;
    c->waited += turns * d->waited + s->period * longer * sum;
    c->waited += d->rest + rest * (turns + UINT64_C(1)) * longer;
    s->head = from;
    s->step = d->later;
    if (left) c->free = kb_series_at(s, s->tail - 1) - c->propagation;
}

/* Flits before s->tail, some of which are regular, and all full. */
static void pass_regular(column *c, kb_series *s)
{
    uint32_t end = s->tail, rest = (end - s->head) % s->period, i = s->head - s->period;
    uint32_t more = s->period; /* flits to follow, if it takes longer */
    pass_alike(c, 0, i, c->occupancy);
    for (;;) {
        /* What follows is derived from times that are about to be overwritten. */
        uint32_t known = s->head + s->period < end ? s->head + s->period : end;
        kb_series_write(s, known);
        s->head = known;
        turn d = pass_turn(c, s, i, rest);
        i += s->period;
        if (d.repeats) {
            repeat(c, s, i, &d);
            c->txn->m->regular_passages += i < end;
            return;
        }
        if (end - i <= more) break;
        kb_series_write(s, i + more);
        s->head = i + more;
        i = pass_alike(c, i, i + more - s->period, c->occupancy);
        if (more < UINT32_MAX / 4) more *= 2;
    }
    kb_series_expand(s);
    pass_alike(c, i, end, c->occupancy);
}

void kb_pass_all(kb_txn *t, uint32_t h, kb_reservation *r, kb_series *times)
{
    column c = begin(t, h, r, KB_TIME_NEVER, times->at);
    uint32_t i = 0;
    t->m->passages++;
    kb_series_cut(times, kb_txn_full_flits(t));
    if (times->head < times->tail) {
        pass_regular(&c, times);
        i = times->tail;
    }
    pass_rows(&c, i, t->flits);
    end_at(&c, r);
}
