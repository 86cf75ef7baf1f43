/* Tiles that need no events.
 *
 * Tiles whose operands are all in TCM are fetched one after another, in the order in which they are
 * fed, and multiplied in that order by an engine that nobody else uses: a product ends at the later
 * of the end of its fetch and the end of the product before, plus its own time. If the queue has
 * room for all tiles of such a composite, all their fetches are claimed in the same moment anyway,
 * so everything is known then. What is left for events are the results, at the end of their
 * accumulation (tile_out.c).
 *
 * What others may look at meanwhile, the room in the queue and the books of pe_gemm, is brought up
 * to the present when they do: kb_pe_settle. A composite with more tiles than the queue has room
 * for is fed with events, as others may claim the port between its fetches. */
#include <assert.h>

#include "hw/pe/tile_token.h"

typedef kb_tile_token token;

typedef struct tile_cost {
    kb_time fetch, gemm;
    uint64_t fetch_bytes;
} tile_cost;

enum { FIRST_K = 1, LAST_K = 2, KINDS = 4 };

/* Tiles of a composite in order. Those of the same m and n that are alike in k cost the same. */
typedef struct walk {
    token t;
    uint32_t m, n;
    bool known[KINDS];
    tile_cost costs[KINDS];
} walk;

static tile_cost compute(const token *t)
{
    uint64_t bytes = kb_tile_fetch_bytes(t);
    return (tile_cost){kb_pe_fetch_time(t->c->pe->m, bytes), kb_tile_gemm_time(t), bytes};
}

/* Go to the tile at the cursor. */
static const tile_cost *walk_to(walk *w, kb_tile_cursor *at)
{
    kb_tile_next(w->t.c, at, &w->t);
    if (w->t.size.m != w->m || w->t.size.n != w->n) {
        for (int kind = 0; kind < KINDS; kind++) w->known[kind] = false;
        w->m = w->t.size.m;
        w->n = w->t.size.n;
    }
    int kind = (w->t.k0 == 0 ? FIRST_K : 0) | (kb_tile_is_last_k(&w->t) ? LAST_K : 0);
    if (!w->known[kind]) w->costs[kind] = compute(&w->t);
    w->known[kind] = true;
    return &w->costs[kind];
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
static void settle_one(kb_pe *pe, walk *w, const tile_cost *cost)
{
    kb_tile_ahead *a = &w->t.c->ahead;
    kb_time waited = pe->gemm.waited;
    uint64_t macs = kb_tile_macs(&w->t);
    a->begins += cost->fetch;
    kb_link_claim(&pe->gemm, a->begins, cost->gemm, 0);
    kb_tile_count_macs(w->t.c, macs);
    pe->tiles_ahead--;
    a->tiles--;
    a->gemm.busy -= cost->gemm;
    a->gemm.waited -= pe->gemm.waited - waited;
    a->macs -= macs;
}

static void settle_some(kb_pe *pe, kb_composite *c, kb_time now)
{
    walk w = {.t = {.c = c}};
    while (c->ahead.begins <= now) {
        kb_tile_cursor next = c->ahead.first;
        const tile_cost *cost = walk_to(&w, &next);
        if (c->ahead.begins + cost->fetch > now) return;
        settle_one(pe, &w, cost);
        c->ahead.first = next;
    }
}

void kb_pe_settle(kb_pe *pe)
{
    kb_time now = pe->m->sim->now;
    for (; pe->ahead && pe->ahead->ahead.ends <= now; drop_first(pe)) settle_all(pe, pe->ahead);
    if (pe->ahead) settle_some(pe, pe->ahead, now);
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
    kb_tile_cursor at = pe->ahead->ahead.first;
    walk w = {.t = {.c = pe->ahead}};
    kb_time fetched = pe->ahead->ahead.begins + walk_to(&w, &at)->fetch;
    pe->awaits_ahead = true;
    kb_sim_at(pe->m->sim, fetched, feed, pe, 0);
}

/* Everything that it reads is in TCM. */
static bool reads_tcm(const kb_composite *c)
{
    return c->tile_bytes == 0 && c->step_bytes == 0 && c->tile_steps == c->step_count;
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* The record of stages has a row for every tile at its time; tiles with events go first. */
static bool may_go_ahead(kb_pe *pe, const kb_composite *c)
{
    if (pe->m->stages || pe->staged_tiles || !reads_tcm(c)) return false;
    kb_pe_settle(pe);
    return pe->tiles_ahead + c->results * ceil_div(c->K, c->tile.k) <= kb_pe_tile_queue(pe->m);
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
    kb_link gemm = {.free = pe->ahead ? pe->last_ahead->ahead.gemm.free : pe->gemm.free};
    kb_time begins = pe->fetch.free > sim->now ? pe->fetch.free : sim->now;
    walk w = {.t = {.c = c}};
    while (c->fed.m < c->M) {
        const tile_cost *cost = walk_to(&w, &c->fed);
        kb_time fetched = kb_link_claim(&pe->fetch, sim->now, cost->fetch, cost->fetch_bytes);
        kb_time multiplied = kb_link_claim(&gemm, fetched, cost->gemm, 0);
        if (!kb_tile_is_last_k(&w.t)) continue;
        token *result = kb_pool_take(&pe->m->tiles);
        *result = w.t;
        kb_sim_at(sim, multiplied, kb_tile_out, result, 0);
    }
    c->ahead = (kb_tile_ahead){.tiles = c->fed.number,
                               .begins = begins,
                               .ends = pe->fetch.free,
                               .gemm = gemm,
                               .macs = (uint64_t)c->M * c->N * c->K};
    append(pe, c);
    return true;
}
