/* One tile on its way. Private to tile*.c. */
#ifndef KB_HW_PE_TILE_TOKEN_H
#define KB_HW_PE_TILE_TOKEN_H

#include "hw/pe/tile.h"

/* Of a result with all its columns once a block of rows is complete: then n0 is 0, size.n N. */
typedef struct kb_tile_token {
    kb_composite *c;
    struct kb_tile_token *next; /* fed after this one, while neither has been fetched; of a
                                 * composite fed ahead, the result before */
    uint32_t number;            /* in the order of feeding */
    uint32_t m0, n0, k0;
    kb_gemm_tile size;
    uint32_t dma_left;     /* operand reads under way */
    bool taken_back;       /* it comes later: see tile_ahead.c */
    uint64_t staged_bytes; /* room that it takes in the scheduler's part of TCM */
} kb_tile_token;

static inline bool kb_tile_is_last_k(const kb_tile_token *t)
{
    return t->k0 + t->size.k == t->c->K;
}

static inline bool kb_tile_is_block(const kb_tile_token *t)
{
    return t->c->tile_steps < t->c->step_count && t->size.n == t->c->N;
}

/* Rows row ... row + rows - 1, columns col ... of a matrix in memory. */
static inline kb_va_region kb_tile_region(const kb_operand *o, uint32_t row, uint32_t col,
                                          uint32_t rows, uint32_t cols)
{
    uint64_t at = row * o->stride + (uint64_t)col * o->element_bytes;
    return (kb_va_region){kb_vaddr_plus(o->va, at), rows, (uint64_t)cols * o->element_bytes,
                          o->stride};
}

/* Move a region that kb_composite_check has seen; then done(sim, token, 0). */
void kb_tile_move(kb_tile_token *t, int direction, const kb_va_region *region, kb_event_fn done);

/* Let tiles in while there is room. */
void kb_tile_feed(kb_pe *pe);

/* Fill in the tile at the cursor; the cursor is at the next one then. */
void kb_tile_next(const kb_composite *c, kb_tile_cursor *at, kb_tile_token *t);

/* What it moves from TCM into registers, and how long it is multiplied. */
uint64_t kb_tile_fetch_bytes(const kb_tile_token *t);
kb_time kb_tile_gemm_time(const kb_tile_token *t);

/* Count its multiply-accumulates, which are `macs`. */
static inline void kb_tile_count_macs(const kb_composite *c, uint64_t macs)
{
    c->pe->macs += macs;
    c->pe->macs_by_size[__builtin_ctz(c->a.element_bytes) & 3] += macs;
}

static inline uint64_t kb_tile_macs(const kb_tile_token *t)
{
    return (uint64_t)t->size.m * t->size.n * t->size.k;
}

/* Add a row to the record of stages, if there is one. */
void kb_tile_record(const kb_tile_token *t, kb_stage stage, kb_time start, kb_time end);

/* ---- tile_ahead.c: tiles that need no events ---- */

/* Feed all of the composite, of which nothing was fed, if it is of that kind and the queue has
 * room for it, or it has the queue for itself. */
bool kb_tile_feed_ahead(kb_composite *c);

/* Bring room and books up to now; other than kb_pe_settle without taking anything back. */
void kb_tile_settle(kb_pe *pe);

/* Have kb_tile_feed called when the next of them is fetched, if one is under way. */
void kb_tile_await_ahead(kb_pe *pe);

/* ---- tile_out.c: from the accumulator to its place ---- */

/* Event: the last product of the accumulation is done. */
void kb_tile_out(kb_sim *sim, void *token, uint64_t arg);

/* Operands of the steps that take place with this token: how many stream, their bytes; reading
 * those that stream, each followed by done(sim, token, 0). */
uint32_t kb_tile_streams(const kb_tile_token *t);
uint64_t kb_tile_operand_bytes(const kb_tile_token *t);
void kb_tile_read_operands(kb_tile_token *t, kb_event_fn done);

#endif
