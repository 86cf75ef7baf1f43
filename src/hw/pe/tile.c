#include "hw/pe/tile_token.h"

#include <assert.h>

typedef kb_tile_token token;

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint64_t a_bytes(const token *t)
{
    return (uint64_t)t->size.m * t->size.k * t->c->a.element_bytes;
}

static uint64_t b_bytes(const token *t)
{
    return (uint64_t)t->size.k * t->size.n * t->c->b.element_bytes;
}

void kb_tile_record(const token *t, kb_stage stage, kb_time start, kb_time end)
{
    const kb_pe *pe = t->c->pe;
    if (!pe->m->stages) return;
    kb_stage_row row = {.command = t->c->label,
                        .sip = (uint16_t)pe->sip,
                        .cube = (uint16_t)pe->cube,
                        .pe = (uint16_t)pe->number,
                        .stage = (uint8_t)stage,
                        .of_tile = true,
                        .whole_rows = kb_tile_is_block(t),
                        .tile = t->number,
                        .m0 = t->m0,
                        .n0 = t->n0,
                        .k0 = t->k0,
                        .start = start,
                        .end = end};
    kb_vec_push(&pe->m->stages->rows, row);
}

void kb_tile_move(token *t, int direction, const kb_va_region *region, kb_event_fn done)
{
    kb_pieces pieces = {0};
    int status = kb_pe_translate(t->c->pe, region, &pieces, NULL);
    assert(!status); /* kb_composite_check has been here */
    (void)status;
    kb_pe_dma(t->c->pe, direction, &pieces, done, t, 0);
}

kb_time kb_tile_gemm_time(const token *t)
{
    return kb_pe_gemm_time(t->c->pe->m, t->size, t->c->a.element_bytes, kb_tile_is_last_k(t));
}

static void multiply(kb_sim *sim, token *t)
{
    kb_pe *pe = t->c->pe;
    kb_time time = kb_tile_gemm_time(t);
    kb_time end = kb_link_claim(&pe->gemm, sim->now, time, 0);
    kb_tile_count_macs(t->c, kb_tile_macs(t));
    kb_tile_record(t, KB_STAGE_GEMM, end - time, end);
    if (kb_tile_is_last_k(t))
        kb_sim_at(sim, end, kb_tile_out, t, 0);
    else
        kb_pool_give(&pe->m->tiles, t);
}

static void fetched(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    kb_pe *pe = t->c->pe;
    kb_tile_settle(pe); /* those ahead of it were multiplied first */
    pe->staged_tiles--;
    pe->staged_bytes -= t->staged_bytes;
    multiply(sim, t);
    kb_tile_feed(pe);
}

uint64_t kb_tile_fetch_bytes(const token *t)
{
    uint64_t bytes = a_bytes(t) + b_bytes(t);
    if (t->k0 == 0) bytes += (uint64_t)t->size.m * t->size.n * t->c->acc_bytes;
    if (kb_tile_is_last_k(t)) bytes += kb_tile_operand_bytes(t);
    return bytes;
}

static void fetch(token *t)
{
    kb_pe *pe = t->c->pe;
    kb_sim *sim = pe->m->sim;
    uint64_t bytes = kb_tile_fetch_bytes(t);
    kb_time time = kb_pe_fetch_time(pe->m, bytes);
    kb_time end = kb_link_claim(&pe->fetch, sim->now, time, bytes);
    kb_tile_record(t, KB_STAGE_FETCH, end - time, end);
    kb_sim_at(sim, end, fetched, t, 0);
}

/* Rows k0 ... k0 + k - 1 and columns n0 ... of B, where they lie. */
static kb_va_region b_region(const kb_composite *c, uint32_t k0, uint32_t n0, uint32_t k,
                             uint32_t n)
{
    if (c->b_transposed) return kb_tile_region(&c->b, n0, k0, n, k);
    return kb_tile_region(&c->b, k0, n0, k, n);
}

/* Tiles are fetched in the order in which they were fed, whatever order their operands come in: the
 * accumulator is one, so the last k must be the last, and composites must not mix. */
static void fetch_in_order(kb_pe *pe)
{
    while (pe->fed && pe->fed->dma_left == 0) {
        token *t = pe->fed;
        pe->fed = t->next;
        fetch(t);
    }
}

static void operand_in(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    kb_tile_record(t, KB_STAGE_DMA_IN, t->c->pe->dma_began, sim->now);
    t->dma_left--;
    fetch_in_order(t->c->pe);
}

static void start_tile(token *t)
{
    const kb_composite *c = t->c;
    kb_pe *pe = c->pe;
    if (pe->fed)
        pe->last_fed->next = t;
    else
        pe->fed = t;
    pe->last_fed = t;
    bool last = kb_tile_is_last_k(t);
    t->dma_left = (uint32_t)!c->a.pinned + (uint32_t)!c->b.pinned + (last ? kb_tile_streams(t) : 0);
    pe->staged_tiles++;
    pe->staged_bytes += t->staged_bytes;
    kb_va_region a = kb_tile_region(&c->a, t->m0, t->k0, t->size.m, t->size.k);
    kb_va_region b = b_region(c, t->k0, t->n0, t->size.k, t->size.n);
    if (!c->a.pinned) kb_tile_move(t, KB_DMA_READ, &a, operand_in);
    if (!c->b.pinned) kb_tile_move(t, KB_DMA_READ, &b, operand_in);
    if (last) kb_tile_read_operands(t, operand_in);
    fetch_in_order(pe);
}

/* What the next tile takes in the scheduler's part of TCM until it is fetched. */
static uint64_t next_bytes(const kb_composite *c)
{
    return c->tile_bytes + (c->K - c->fed.k <= c->tile.k ? c->step_bytes : 0);
}

static bool begins_block(const kb_composite *c)
{
    return c->fed.n == 0 && c->fed.k == 0;
}

/* Whether there is room for one more; a tile that is larger than all of it goes alone. */
static bool has_room(kb_pe *pe, const kb_composite *c)
{
    kb_tile_settle(pe);
    if (pe->staged_tiles + pe->tiles_ahead >= kb_pe_tile_queue(pe->m)) {
        kb_tile_await_ahead(pe);
        return false;
    }
    uint64_t bytes = next_bytes(c) + (begins_block(c) ? c->block_bytes : 0);
    return pe->staged_bytes == 0 || pe->staged_bytes + bytes <= kb_pe_tcm_reserved_bytes(pe->m);
}

void kb_tile_next(const kb_composite *c, kb_tile_cursor *at, token *t)
{
    t->number = at->number++;
    t->m0 = at->m;
    t->n0 = at->n;
    t->k0 = at->k;
    t->size.m = least(c->tile.m, c->M - t->m0);
    t->size.n = least(c->tile.n, c->N - t->n0);
    t->size.k = least(c->tile.k, c->K - t->k0);
    at->k += t->size.k;
    if (at->k < c->K) return;
    at->k = 0;
    at->n += t->size.n;
    if (at->n < c->N) return;
    at->n = 0;
    at->m += t->size.m;
}

static token *next_tile(kb_composite *c)
{
    token *t = kb_pool_take(&c->pe->m->tiles);
    *t = (token){.c = c, .staged_bytes = next_bytes(c)};
    if (begins_block(c)) c->pe->staged_bytes += c->block_bytes;
    kb_tile_next(c, &c->fed, t);
    return t;
}

size_t kb_tile_token_bytes(void)
{
    return sizeof(token);
}

/* Feed tiles of the oldest composite while there is room; then go on to the next one. */
void kb_tile_feed(kb_pe *pe)
{
    while (pe->feeding) {
        kb_composite *c = pe->feeding;
        if (c->fed.number > 0 || !kb_tile_feed_ahead(c))
            while (c->fed.m < c->M) {
                if (!has_room(pe, c)) return;
                start_tile(next_tile(c));
            }
        pe->feeding = c->next;
    }
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* ---- composites ---- */

/* What a tile of streamed operands takes in the scheduler's part of TCM. */
static uint64_t tile_bytes(const kb_composite *c)
{
    uint64_t bytes = 0;
    if (!c->a.pinned) bytes += (uint64_t)c->tile.m * c->tile.k * c->a.element_bytes;
    if (!c->b.pinned) bytes += (uint64_t)c->tile.k * c->tile.n * c->b.element_bytes;
    return bytes;
}

/* The same of the streamed operands of steps [first, last), for m x n results. */
static uint64_t step_bytes(const kb_composite *c, uint32_t first, uint32_t last, uint64_t m,
                           uint64_t n)
{
    uint64_t bytes = 0;
    for (const kb_tile_step *s = c->steps + first; s < c->steps + last; s++)
        if (s->with != KB_STEP_ALONE && !s->operand.pinned)
            bytes += (s->with == KB_STEP_ROW ? n : m * n) * s->operand.element_bytes;
    return bytes;
}

/* Cut into tiles: what takes place tile by tile, and what on blocks of rows. */
static void plan(kb_composite *c)
{
    assert(c->M > 0 && c->K > 0 && c->N > 0);
    c->tile = kb_pe_gemm_tile(c->pe->m);
    c->tile_steps = 0;
    while (c->tile_steps < c->step_count &&
           (c->N <= c->tile.n || !c->steps[c->tile_steps].whole_rows))
        c->tile_steps++;
    c->tile_bytes = tile_bytes(c);
    c->step_bytes = step_bytes(c, 0, c->tile_steps, c->tile.m, c->tile.n);
    c->results = ceil_div(c->M, c->tile.m) * ceil_div(c->N, c->tile.n);
    c->block_bytes = 0;
    if (c->tile_steps == c->step_count) return;
    uint64_t rows = least(c->tile.m, c->M);
    c->results = ceil_div(c->M, c->tile.m);
    c->block_bytes = rows * c->N * c->steps[c->tile_steps].x_bytes +
                     step_bytes(c, c->tile_steps, c->step_count, rows, c->N);
}

static int check_region(const kb_composite *c, const kb_operand *o, kb_va_region all, kb_err *err)
{
    if (o->pinned) return KB_OK;
    kb_pieces pieces = {0};
    int status = kb_pe_translate(c->pe, &all, &pieces, err);
    kb_vec_free(&pieces);
    return status;
}

static int check_mapped(const kb_composite *c, const kb_operand *o, uint32_t rows, uint32_t cols,
                        kb_err *err)
{
    return check_region(c, o, kb_tile_region(o, 0, 0, rows, cols), err);
}

static int check_block(const kb_composite *c, kb_err *err)
{
    uint64_t room = kb_pe_tcm_reserved_bytes(c->pe->m);
    if (!c->block_bytes || c->block_bytes + c->tile_bytes + c->step_bytes <= room) return KB_OK;
    return kb_fail(err, KB_EINVAL,
                   "a step of the epilogue needs whole rows: %u rows of %u columns and a tile's "
                   "operands take %llu bytes, the scheduler's part of TCM has %llu",
                   least(c->tile.m, c->M), c->N,
                   (unsigned long long)(c->block_bytes + c->tile_bytes + c->step_bytes),
                   (unsigned long long)room);
}

int kb_composite_check(kb_composite *c, kb_err *err)
{
    plan(c);
    int status = check_mapped(c, &c->a, c->M, c->K, err);
    if (!status) status = check_region(c, &c->b, b_region(c, 0, 0, c->K, c->N), err);
    if (!status) status = check_mapped(c, &c->out, c->M, c->N, err);
    for (const kb_tile_step *s = c->steps; !status && s < c->steps + c->step_count; s++)
        if (s->with != KB_STEP_ALONE)
            status = check_mapped(c, &s->operand, s->with == KB_STEP_ROW ? 1 : c->M, c->N, err);
    return status ? status : check_block(c, err);
}

void kb_composite_dispatch(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_composite *c = object;
    kb_pe *pe = c->pe;
    c->fed = (kb_tile_cursor){0};
    c->next = NULL;
    kb_pe_settle(pe); /* it comes behind what has not been fed yet */
    if (pe->feeding) {
        pe->last->next = c;
        pe->last = c;
        return;
    }
    pe->feeding = pe->last = c;
    kb_tile_feed(pe);
}
