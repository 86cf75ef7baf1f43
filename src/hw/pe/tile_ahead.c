/* Tiles that need no events.
 *
 * Tiles whose operands are all in TCM are fetched one after another, in the order in which they are
 * fed, and multiplied in that order by an engine that nobody else uses: a product ends at the later
 * of the end of its fetch and the end of the product before, plus its own time. So everything is
 * known when a composite of such tiles comes, and what is left for events are the results, at the
 * end of their accumulation (tile_out.c).
 *
 * What others may look at meanwhile, the room in the queue and the books of pe_gemm, is brought up
 * to the present when they do: kb_pe_settle. If the queue has no room for all tiles of a composite,
 * each of the others is fed when an earlier one has been fetched. That takes no longer if nobody
 * else wants the port or the queue in between. If somebody does, the composite is dissolved: the
 * tiles that were fed by then stay, the others are taken back and fed with events. */
#include <assert.h>

#include "hw/pe/tile_token.h"

typedef kb_tile_token token;

typedef struct tile_cost {
    kb_time fetch, gemm;
    uint64_t fetch_bytes;
} tile_cost;

static tile_cost cost_of(const token *t)
{
    uint64_t bytes = kb_tile_fetch_bytes(t);
    return (tile_cost){kb_pe_fetch_time(t->c->pe->m, bytes), kb_tile_gemm_time(t), bytes};
}

static uint32_t queue_of(const kb_pe *pe)
{
    return kb_pe_tile_queue(pe->m);
}

static kb_time later(kb_time a, kb_time b)
{
    return a > b ? a : b;
}

/* Tiles one after another, as if each were claimed where the one before has left the port. */
typedef struct run {
    kb_time fetched;
    uint64_t bytes;
    kb_link gemm;
    uint32_t tiles;
    uint32_t mark; /* of the tile with this number, the end of its fetch is wanted */
    kb_time marked;
} run;

static void add_tiles(run *r, const tile_cost *cost, uint32_t count)
{
    if (r->mark - r->tiles < count) r->marked = r->fetched + (r->mark - r->tiles + 1) * cost->fetch;
    for (uint32_t i = 0; i < count; i++) {
        r->fetched += cost->fetch;
        kb_link_claim(&r->gemm, r->fetched, cost->gemm, 0);
    }
    r->bytes += count * cost->fetch_bytes;
    r->tiles += count;
}

/* ---- books ---- */

static void drop_first(kb_pe *pe)
{
    pe->ahead = pe->ahead->ahead.next;
}

/* All tiles that are left of a composite have been fetched. */
static void settle_all(kb_pe *pe, kb_composite *c)
{
    const kb_tile_ahead *a = &c->ahead;
    pe->tiles_ahead -= a->tiles;
    pe->gemm.free = a->gemm.free;
    pe->gemm.busy += a->gemm.busy;
    pe->gemm.waited += a->gemm.waited;
    kb_tile_count_macs(c, a->macs);
}

/* The next tile of a composite has been fetched. */
static void settle_one(kb_pe *pe, const token *t, const tile_cost *cost)
{
    kb_tile_ahead *a = &t->c->ahead;
    kb_time waited = pe->gemm.waited;
    uint64_t macs = kb_tile_macs(t);
    a->begins += cost->fetch;
    kb_link_claim(&pe->gemm, a->begins, cost->gemm, 0);
    kb_tile_count_macs(t->c, macs);
    pe->tiles_ahead--;
    a->tiles--;
    a->gemm.busy -= cost->gemm;
    a->gemm.waited -= pe->gemm.waited - waited;
    a->macs -= macs;
}

static void settle_some(kb_pe *pe, kb_composite *c, kb_time now)
{
    while (c->ahead.begins <= now) {
        token t = {.c = c};
        kb_tile_cursor next = c->ahead.first;
        kb_tile_next(c, &next, &t);
        tile_cost cost = cost_of(&t);
        if (c->ahead.begins + cost.fetch > now) return;
        settle_one(pe, &t, &cost);
        c->ahead.first = next;
    }
}

void kb_tile_settle(kb_pe *pe)
{
    kb_time now = pe->m->sim->now;
    for (; pe->ahead && pe->ahead->ahead.ends <= now; drop_first(pe)) settle_all(pe, pe->ahead);
    if (pe->ahead) settle_some(pe, pe->ahead, now);
}

/* ---- dissolving ---- */

static uint32_t k_tiles(const kb_composite *c)
{
    return (c->K - 1) / c->tile.k + 1;
}

/* Results of tiles that are taken back will come later: pass over their events. */
static void take_back_results(kb_composite *c)
{
    token *t = c->ahead.newest;
    uint32_t all = (t->number + 1) / k_tiles(c), fed = c->fed.number / k_tiles(c);
    for (uint32_t i = fed; i < all; i++, t = t->next) t->taken_back = true;
}

/* Take back the tiles behind those that have been fed. */
static void take_back(kb_pe *pe, kb_composite *c)
{
    kb_tile_ahead *a = &c->ahead;
    run r = {.fetched = a->begins, .gemm = {.free = pe->gemm.free}, .mark = UINT32_MAX};
    uint64_t macs = 0, bytes = 0;
    token t = {.c = c};
    kb_tile_cursor at = a->first;
    for (uint32_t i = 0; i < a->tiles; i++) {
        if (i == queue_of(pe)) c->fed = at;
        kb_tile_next(c, &at, &t);
        tile_cost cost = cost_of(&t);
        if (i < queue_of(pe)) {
            add_tiles(&r, &cost, 1);
            macs += kb_tile_macs(&t);
        } else {
            bytes += cost.fetch_bytes;
        }
    }
    assert(pe->fetch.free == a->ends); /* who claims the port settles first */
    pe->tiles_ahead -= a->tiles - r.tiles;
    pe->fetch.free = r.fetched;
    pe->fetch.busy -= a->ends - r.fetched;
    pe->fetch.bytes -= bytes;
    a->tiles = r.tiles;
    a->ends = r.fetched;
    a->gemm = r.gemm;
    a->macs = macs;
}

void kb_pe_settle(kb_pe *pe)
{
    kb_tile_settle(pe);
    if (pe->m->sim->now >= pe->all_fed) return;
    kb_composite *c = pe->ahead;
    assert(c == pe->last_ahead && c->ahead.tiles > queue_of(pe) && !pe->feeding);
    take_back(pe, c);
    take_back_results(c);
    pe->all_fed = 0;
    c->next = NULL;
    pe->feeding = pe->last = c;
    kb_tile_await_ahead(pe);
}

/* ---- feeding ---- */

static void feed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_pe *pe = object;
    pe->awaits_ahead = false;
    kb_tile_feed(pe);
}

void kb_tile_await_ahead(kb_pe *pe)
{
    if (!pe->ahead || pe->awaits_ahead) return;
    kb_composite *c = pe->ahead;
    token t = {.c = c};
    kb_tile_cursor at = c->ahead.first;
    kb_tile_next(c, &at, &t);
    pe->awaits_ahead = true;
    kb_sim_at(pe->m->sim, c->ahead.begins + cost_of(&t).fetch, feed, pe, 0);
}

/* Everything that it reads is in TCM. */
static bool reads_tcm(const kb_composite *c)
{
    return c->tile_bytes == 0 && c->step_bytes == 0 && c->tile_steps == c->step_count;
}

static uint64_t tiles_of(const kb_composite *c)
{
    return c->results * k_tiles(c);
}

/* The record of stages has a row for every tile at its time; tiles with events go first. */
static bool may_go_ahead(kb_pe *pe, const kb_composite *c)
{
    if (pe->m->stages || pe->staged_tiles || !reads_tcm(c)) return false;
    kb_tile_settle(pe);
    uint64_t tiles = tiles_of(c);
    if (pe->tiles_ahead == 0 && !c->next) return tiles < UINT32_MAX;
    return pe->tiles_ahead + tiles <= queue_of(pe);
}

static void result_comes(kb_sim *sim, void *object, uint64_t arg)
{
    token *t = object;
    if (t->taken_back)
        kb_pool_give(&t->c->pe->m->tiles, t);
    else
        kb_tile_out(sim, t, arg);
}

/* What tiles of the same m and n cost. */
typedef struct costs {
    uint32_t m, n;
    tile_cost first, middle, last;
} costs;

static const costs *costs_of(costs *known, const token *t)
{
    if (t->size.m == known->m && t->size.n == known->n) return known;
    const kb_composite *c = t->c;
    token at = *t;
    known->m = t->size.m;
    known->n = t->size.n;
    known->first = cost_of(&at);
    if (c->K <= c->tile.k) return known;
    at.k0 = c->tile.k;
    known->middle = cost_of(&at);
    at.k0 = (k_tiles(c) - 1) * c->tile.k;
    at.size.k = c->K - at.k0;
    known->last = cost_of(&at);
    return known;
}

/* The tiles of one result, all k. */
static void add_result(run *r, kb_composite *c, costs *known)
{
    token t = {.c = c, .next = c->ahead.newest};
    kb_tile_next(c, &c->fed, &t);
    const costs *cost = costs_of(known, &t);
    uint32_t others = k_tiles(c) - 1; /* behind the first k */
    add_tiles(r, &cost->first, 1);
    if (others) {
        add_tiles(r, &cost->middle, others - 1);
        add_tiles(r, &cost->last, 1);
        c->fed = (kb_tile_cursor){c->fed.m, c->fed.n, others * c->tile.k, r->tiles - 1};
        kb_tile_next(c, &c->fed, &t);
    }
    token *result = kb_pool_take(&c->pe->m->tiles);
    *result = t;
    c->ahead.newest = result;
    kb_sim_at(c->pe->m->sim, r->gemm.free, result_comes, result, 0);
}

static void append(kb_pe *pe, kb_composite *c)
{
    if (pe->ahead)
        pe->last_ahead->ahead.next = c;
    else
        pe->ahead = c;
    pe->last_ahead = c;
    pe->tiles_ahead += c->ahead.tiles;
}

bool kb_tile_feed_ahead(kb_composite *c)
{
    kb_pe *pe = c->pe;
    kb_sim *sim = pe->m->sim;
    if (!may_go_ahead(pe, c)) return false;
    kb_time begins = later(pe->fetch.free, sim->now);
    uint32_t tiles = (uint32_t)tiles_of(c);
    /* The last tile is fed when one that is a queue's length before it has been fetched. */
    run r = {.fetched = begins,
             .gemm = {.free = pe->ahead ? pe->last_ahead->ahead.gemm.free : pe->gemm.free},
             .mark = tiles - queue_of(pe) - 1};
    costs known = {.m = 0};
    c->ahead = (kb_tile_ahead){.begins = begins};
    while (c->fed.m < c->M) add_result(&r, c, &known);
    pe->all_fed = r.marked;
    kb_link_claim(&pe->fetch, sim->now, r.fetched - begins, r.bytes);
    c->ahead.tiles = tiles;
    c->ahead.ends = r.fetched;
    c->ahead.gemm = r.gemm;
    c->ahead.macs = (uint64_t)c->M * c->N * c->K;
    append(pe, c);
    return true;
}
