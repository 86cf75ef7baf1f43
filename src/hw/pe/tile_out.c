/* Results of a composite: epilogue, store, write-back. */
#include "hw/pe/tile_token.h"

typedef kb_tile_token token;

static uint64_t elements(const token *t)
{
    return (uint64_t)t->size.m * t->size.n;
}

/* ---- operands ---- */

/* The steps that take place with this token: those of a tile, or of a block of rows. */
static const kb_tile_step *first_step(const token *t)
{
    return t->c->steps + (kb_tile_is_block(t) ? t->c->tile_steps : 0);
}

static const kb_tile_step *last_step(const token *t)
{
    return t->c->steps + (kb_tile_is_block(t) ? t->c->step_count : t->c->tile_steps);
}

uint32_t kb_tile_streams(const token *t)
{
    uint32_t count = 0;
    for (const kb_tile_step *s = first_step(t); s < last_step(t); s++)
        count += s->with != KB_STEP_ALONE && !s->operand.pinned;
    return count;
}

uint64_t kb_tile_operand_bytes(const token *t)
{
    uint64_t bytes = 0;
    for (const kb_tile_step *s = first_step(t); s < last_step(t); s++) {
        if (s->with == KB_STEP_ALONE) continue;
        uint64_t count = s->with == KB_STEP_ROW ? t->size.n : elements(t);
        bytes += count * s->operand.element_bytes;
    }
    return bytes;
}

void kb_tile_read_operands(token *t, kb_event_fn done)
{
    for (const kb_tile_step *s = first_step(t); s < last_step(t); s++) {
        if (s->with == KB_STEP_ALONE || s->operand.pinned) continue;
        bool row = s->with == KB_STEP_ROW;
        kb_va_region region =
            kb_tile_region(&s->operand, row ? 0 : t->m0, t->n0, row ? 1 : t->size.m, t->size.n);
        kb_tile_move(t, KB_DMA_READ, &region, done);
    }
}

/* ---- the last stages ---- */

static void result_in_place(token *t)
{
    kb_composite *c = t->c;
    kb_pool_give(&c->pe->m->tiles, t);
    if (--c->results) return;
    kb_tile_settle(
        c->pe); /* which looks at composites whose tiles went ahead: no more at this one */
    c->done(c->pe->m->sim, c->object, c->arg);
}

static void written_back(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    kb_tile_record(t, KB_STAGE_DMA_WB, t->c->pe->dma_began, sim->now);
    result_in_place(t);
}

static void stored(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    token *t = object;
    if (t->c->out.pinned) {
        result_in_place(t);
        return;
    }
    kb_va_region region = kb_tile_region(&t->c->out, t->m0, t->n0, t->size.m, t->size.n);
    kb_tile_move(t, KB_DMA_WRITE, &region, written_back);
}

static void block_operand_in(kb_sim *sim, void *object, uint64_t arg);
static void fetch_block(token *t);

/* A result waits for the others of its rows. The store port keeps their order: the last column is
 * the last to come. */
static void held(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    token *t = object;
    if (t->n0 + t->size.n < t->c->N) {
        kb_pool_give(&t->c->pe->m->tiles, t);
        return;
    }
    t->n0 = 0;
    t->size.n = t->c->N;
    t->dma_left = kb_tile_streams(t);
    if (t->dma_left)
        kb_tile_read_operands(t, block_operand_in);
    else
        fetch_block(t);
}

/* Whether the result is in its place once it is stored, and another one is stored after it. */
static bool another_follows(const token *t)
{
    const kb_composite *c = t->c;
    return c->out.pinned && !kb_tile_is_block(t) &&
           (t->m0 + t->size.m < c->M || t->n0 + t->size.n < c->N);
}

static void store(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    const kb_composite *c = t->c;
    bool hold = c->tile_steps < c->step_count && !kb_tile_is_block(t);
    uint64_t bytes = elements(t) * (hold ? c->steps[c->tile_steps].x_bytes : c->out.element_bytes);
    kb_time time = kb_pe_store_time(c->pe->m, bytes);
    kb_time end = kb_link_claim(&c->pe->store, sim->now, time, bytes);
    kb_tile_record(t, KB_STAGE_STORE, end - time, end);
    if (!hold && another_follows(t))
        result_in_place(t); /* by the time of the last one, which is what anybody waits for */
    else
        kb_sim_at(sim, end, hold ? held : stored, t, 0);
}

/* The epilogue's steps, one after another, then the store. */
static void compute(token *t)
{
    kb_pe *pe = t->c->pe;
    kb_time time = 0;
    for (const kb_tile_step *s = first_step(t); s < last_step(t); s++)
        time += kb_pe_math_time(pe->m, elements(t), s->passes, s->width, s->tree);
    kb_time end = kb_link_claim(&pe->math, pe->m->sim->now, time, 0);
    kb_tile_record(t, KB_STAGE_MATH, end - time, end);
    kb_sim_at(pe->m->sim, end, store, t, 0);
}

void kb_tile_out(kb_sim *sim, void *object, uint64_t arg)
{
    token *t = object;
    if (t->c->tile_steps)
        compute(t);
    else
        store(sim, t, arg);
}

/* ---- blocks of rows ---- */

static void block_fetched(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    token *t = object;
    kb_pe *pe = t->c->pe;
    pe->staged_bytes -= t->c->block_bytes;
    compute(t);
    kb_tile_feed(pe);
}

static void fetch_block(token *t)
{
    kb_pe *pe = t->c->pe;
    uint64_t bytes = elements(t) * t->c->steps[t->c->tile_steps].x_bytes + kb_tile_operand_bytes(t);
    kb_time time = kb_pe_fetch_time(pe->m, bytes);
    kb_time end = kb_pe_claim_fetch(pe, time, bytes);
    kb_tile_record(t, KB_STAGE_FETCH, end - time, end);
    kb_sim_at(pe->m->sim, end, block_fetched, t, 0);
}

static void block_operand_in(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    kb_tile_record(t, KB_STAGE_DMA_IN, t->c->pe->dma_began, sim->now);
    if (--t->dma_left == 0) fetch_block(t);
}
