#include "hw/pe/tile.h"

#include <assert.h>

/* One tile on its way. */
typedef struct kb_tile_token {
    kb_composite *c;
    struct kb_tile_token *next; /* fed after this one, while neither has been fetched */
    uint32_t m0, n0, k0;
    kb_gemm_tile size;
    uint32_t dma_left;     /* operand reads under way */
    uint64_t staged_bytes; /* room that it takes in the scheduler's part of TCM */
} token;

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

static uint64_t out_bytes(const token *t)
{
    return (uint64_t)t->size.m * t->size.n * t->c->out.element_bytes;
}

static bool is_last_k(const token *t)
{
    return t->k0 + t->size.k == t->c->K;
}

static kb_va_region tile_region(const kb_operand *o, uint32_t row, uint32_t col, uint32_t rows,
                                uint32_t cols)
{
    uint64_t at = row * o->stride + (uint64_t)col * o->element_bytes;
    return (kb_va_region){kb_vaddr_plus(o->va, at), rows, (uint64_t)cols * o->element_bytes,
                          o->stride};
}

static void feed(kb_pe *pe);

static void move(token *t, int direction, const kb_va_region *region, kb_event_fn done)
{
    kb_pieces pieces = {0};
    int status = kb_pe_translate(t->c->pe, region, &pieces, NULL);
    assert(!status); /* kb_composite_check has been here */
    (void)status;
    kb_pe_dma(t->c->pe, direction, &pieces, done, t, 0);
}

static void result_in_place(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    kb_composite *c = t->c;
    kb_pool_give(&c->pe->m->tiles, t);
    if (--c->results == 0) c->done(sim, c->object, c->arg);
}

static void stored(kb_sim *sim, void *object, uint64_t arg)
{
    token *t = object;
    if (t->c->out.pinned) {
        result_in_place(sim, t, arg);
        return;
    }
    kb_va_region region = tile_region(&t->c->out, t->m0, t->n0, t->size.m, t->size.n);
    move(t, KB_DMA_WRITE, &region, result_in_place);
}

static void multiplied(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    kb_pe *pe = t->c->pe;
    if (!is_last_k(t)) {
        kb_pool_give(&pe->m->tiles, t);
        return;
    }
    kb_time time = kb_pe_store_time(pe->m, out_bytes(t));
    kb_sim_at(sim, kb_link_claim(&pe->store, sim->now, time, out_bytes(t)), stored, t, 0);
}

static void fetched(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    token *t = object;
    kb_pe *pe = t->c->pe;
    kb_time time = kb_pe_gemm_time(pe->m, t->size, t->c->a.element_bytes, is_last_k(t));
    uint64_t macs = (uint64_t)t->size.m * t->size.n * t->size.k;
    pe->macs += macs;
    pe->macs_by_size[__builtin_ctz(t->c->a.element_bytes) & 3] += macs;
    kb_sim_at(sim, kb_link_claim(&pe->gemm, sim->now, time, 0), multiplied, t, 0);
    pe->staged_tiles--;
    pe->staged_bytes -= t->staged_bytes;
    feed(pe);
}

static void fetch(token *t)
{
    kb_pe *pe = t->c->pe;
    kb_sim *sim = pe->m->sim;
    uint64_t bytes = a_bytes(t) + b_bytes(t);
    if (t->k0 == 0) bytes += (uint64_t)t->size.m * t->size.n * t->c->acc_bytes;
    kb_time time = kb_pe_fetch_time(pe->m, bytes);
    kb_sim_at(sim, kb_link_claim(&pe->fetch, sim->now, time, bytes), fetched, t, 0);
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
    (void)sim;
    (void)arg;
    token *t = object;
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
    t->dma_left = (uint32_t)!c->a.pinned + (uint32_t)!c->b.pinned;
    pe->staged_tiles++;
    pe->staged_bytes += t->staged_bytes;
    kb_va_region a = tile_region(&c->a, t->m0, t->k0, t->size.m, t->size.k);
    kb_va_region b = tile_region(&c->b, t->k0, t->n0, t->size.k, t->size.n);
    if (!c->a.pinned) move(t, KB_DMA_READ, &a, operand_in);
    if (!c->b.pinned) move(t, KB_DMA_READ, &b, operand_in);
    fetch_in_order(pe);
}

/* Whether there is room for one more; a tile that is larger than all of it goes alone. */
static bool has_room(const kb_pe *pe, const kb_composite *c)
{
    if (pe->staged_tiles == kb_pe_tile_queue(pe->m)) return false;
    return pe->staged_bytes == 0 ||
           pe->staged_bytes + c->tile_bytes <= kb_pe_tcm_reserved_bytes(pe->m);
}

static token *next_tile(kb_composite *c)
{
    token *t = kb_pool_take(&c->pe->m->tiles);
    *t = (token){
        .c = c, .m0 = c->fed_m, .n0 = c->fed_n, .k0 = c->fed_k, .staged_bytes = c->tile_bytes};
    t->size.m = least(c->tile.m, c->M - t->m0);
    t->size.n = least(c->tile.n, c->N - t->n0);
    t->size.k = least(c->tile.k, c->K - t->k0);
    c->fed_k += t->size.k;
    if (c->fed_k < c->K) return t;
    c->fed_k = 0;
    c->fed_n += t->size.n;
    if (c->fed_n < c->N) return t;
    c->fed_n = 0;
    c->fed_m += t->size.m;
    return t;
}

size_t kb_tile_token_bytes(void)
{
    return sizeof(token);
}

/* Feed tiles of the oldest composite while there is room; then go on to the next one. */
static void feed(kb_pe *pe)
{
    while (pe->feeding) {
        kb_composite *c = pe->feeding;
        while (c->fed_m < c->M) {
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

/* What a tile of streamed operands takes in the scheduler's part of TCM. */
static uint64_t tile_bytes(const kb_composite *c)
{
    uint64_t bytes = 0;
    if (!c->a.pinned) bytes += (uint64_t)c->tile.m * c->tile.k * c->a.element_bytes;
    if (!c->b.pinned) bytes += (uint64_t)c->tile.k * c->tile.n * c->b.element_bytes;
    return bytes;
}

static int check_mapped(const kb_composite *c, const kb_operand *o, uint32_t rows, uint32_t cols,
                        kb_err *err)
{
    if (o->pinned) return KB_OK;
    kb_va_region all = tile_region(o, 0, 0, rows, cols);
    kb_pieces pieces = {0};
    int status = kb_pe_translate(c->pe, &all, &pieces, err);
    kb_vec_free(&pieces);
    return status;
}

int kb_composite_check(const kb_composite *c, kb_err *err)
{
    int status = check_mapped(c, &c->a, c->M, c->K, err);
    if (!status) status = check_mapped(c, &c->b, c->K, c->N, err);
    if (!status) status = check_mapped(c, &c->out, c->M, c->N, err);
    return status;
}

void kb_composite_dispatch(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_composite *c = object;
    kb_pe *pe = c->pe;
    assert(c->M > 0 && c->K > 0 && c->N > 0);
    c->tile = kb_pe_gemm_tile(pe->m);
    c->fed_m = c->fed_n = c->fed_k = 0;
    c->tile_bytes = tile_bytes(c);
    c->results = ceil_div(c->M, c->tile.m) * ceil_div(c->N, c->tile.n);
    c->next = NULL;
    if (pe->feeding) {
        pe->last->next = c;
        pe->last = c;
        return;
    }
    pe->feeding = pe->last = c;
    feed(pe);
}
