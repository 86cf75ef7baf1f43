#include "engine/tensor.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- making and freeing ---- */

static int check_piece(const kb_tensor_desc *desc, uint32_t p, kb_err *err)
{
    const kb_tensor_piece *piece = &desc->pieces[p];
    for (int d = 0; d < desc->rank; d++)
        if (piece->extent[d] == 0 || piece->start[d] > desc->shape[d] ||
            piece->extent[d] > desc->shape[d] - piece->start[d])
            return kb_fail(err, KB_EINVAL,
                           "piece %u covers [%zu, %zu) of dimension %d, which has %zu elements", p,
                           piece->start[d], piece->start[d] + piece->extent[d], d, desc->shape[d]);
    return KB_OK;
}

static int check_desc(const kb_engine *engine, const kb_tensor_desc *desc, kb_err *err)
{
    const kb_graph *g = engine->m->graph;
    size_t count;
    int status = kb_array_check_size(desc->dtype, desc->rank, desc->shape, &count, err);
    if (status == KB_ELIMIT && !engine->data) status = KB_OK; /* no contents, no limit */
    if (status) return status;
    if (desc->sip < 0 || desc->sip >= g->sips)
        return kb_fail(err, KB_EINVAL, "sip %d does not exist; there are %d", desc->sip, g->sips);
    if (desc->piece_count == 0 || desc->shard_count == 0)
        return kb_fail(err, KB_EINVAL, "a tensor needs at least one element on at least one PE");
    for (uint32_t p = 0; p < desc->piece_count; p++) {
        status = check_piece(desc, p, err);
        if (status) return status;
    }
    for (uint32_t s = 0; s < desc->shard_count; s++) {
        const kb_shard *shard = &desc->shards[s];
        if (shard->cube < 0 || shard->cube >= kb_graph_cubes(g) || shard->pe < 0 ||
            shard->pe >= g->cube_plan.pes || shard->piece >= desc->piece_count)
            return kb_fail(err, KB_EINVAL, "shard %u on cube %d, pe %d does not exist", s,
                           shard->cube, shard->pe);
    }
    return KB_OK;
}

static uint64_t piece_bytes(const kb_tensor *t, const kb_tensor_piece *piece)
{
    uint64_t bytes = kb_dtype_size(t->dtype);
    for (int d = 0; d < t->rank; d++) bytes *= piece->extent[d];
    return bytes;
}

static int by_place(const void *a, const void *b)
{
    const kb_shard *p = a, *q = b;
    return p->cube != q->cube ? p->cube - q->cube : p->pe - q->pe;
}

static bool is_sorted(const kb_tensor *t)
{
    for (uint32_t s = 1; s < t->shard_count; s++)
        if (by_place(&t->shards[s - 1], &t->shards[s]) > 0) return false;
    return true;
}

static int check_distinct(const kb_tensor *t, kb_err *err)
{
    for (uint32_t s = 1; s < t->shard_count; s++)
        if (by_place(&t->shards[s - 1], &t->shards[s]) == 0)
            return kb_fail(err, KB_EINVAL, "two shards on cube %d, pe %d", t->shards[s].cube,
                           t->shards[s].pe);
    return KB_OK;
}

/* Whether the pieces, one after another, are the tensor in row-major order: each has no gaps, and
 * begins where the one before ends. */
static bool is_row_major(const kb_tensor *t)
{
    size_t strides[KB_MAX_RANK], next = 0;
    kb_strides(t->rank, t->shape, strides);
    for (uint32_t p = 0; p < t->piece_count; p++) {
        const kb_tensor_piece *piece = &t->pieces[p];
        size_t first = 0, last = 0, count = 1;
        for (int d = 0; d < t->rank; d++) {
            first += piece->start[d] * strides[d];
            last += (piece->start[d] + piece->extent[d] - 1) * strides[d];
            count *= piece->extent[d];
        }
        if (first != next || last + 1 - first != count) return false;
        next += count;
    }
    return next * kb_dtype_size(t->dtype) == t->bytes;
}

/* One virtual range. Pieces adjoin where that makes a block of the whole, else each has pages of
 * its own. */
static int take_va(kb_tensor *t, kb_err *err)
{
    uint64_t page = t->engine->va.page_bytes, total = 0;
    t->row_major = is_row_major(t);
    for (uint32_t p = 0; p < t->piece_count; p++) {
        t->pieces[p].bytes = piece_bytes(t, &t->pieces[p]);
        t->pieces[p].va = (kb_vaddr){total};
        if (t->row_major)
            total += t->pieces[p].bytes;
        else
            total += (t->pieces[p].bytes + page - 1) / page * page;
    }
    int status = kb_vaspace_take(&t->engine->va, t->name, total, &t->va, err);
    if (status) return status;
    for (uint32_t p = 0; p < t->piece_count; p++) t->pieces[p].va.bits += t->va.bits;
    return KB_OK;
}

static kb_memory_place place_of(const kb_tensor *t, const kb_shard *shard)
{
    return (kb_memory_place){t->memory, t->sip, shard->cube, shard->pe};
}

/* The copy in SRAM that a shard before this one has put into the cube, or NULL. */
static const kb_shard *shared_copy(const kb_tensor *t, uint32_t s)
{
    const kb_shard *shard = &t->shards[s];
    if (t->memory != KB_IN_SRAM) return NULL;
    while (s-- > 0 && t->shards[s].cube == shard->cube)
        if (t->shards[s].piece == shard->piece) return &t->shards[s];
    return NULL;
}

static int take_memory(kb_tensor *t, kb_err *err)
{
    kb_engine *engine = t->engine;
    for (uint32_t s = 0; s < t->shard_count; s++) {
        kb_shard *shard = &t->shards[s];
        const kb_shard *copy = shared_copy(t, s);
        if (copy) {
            shard->pa = copy->pa;
            shard->shared = true;
            continue;
        }
        uint64_t bytes = t->pieces[shard->piece].bytes;
        kb_memory_place place = place_of(t, shard);
        int status = kb_device_memory_take(engine, &place, bytes, &shard->pa, err);
        if (!status && engine->data) status = kb_memory_add(&engine->memory, shard->pa, bytes, err);
        if (status) return status;
    }
    return KB_OK;
}

static kb_tensor *blank(kb_engine *engine, const kb_tensor_desc *desc)
{
    kb_tensor *t = kb_xcalloc(1, sizeof *t);
    char made_up[32];
    snprintf(made_up, sizeof made_up, "tensor%llu", (unsigned long long)engine->tensor_count++);
    *t = (kb_tensor){.engine = engine,
                     .next = engine->tensors,
                     .name = kb_xstrdup(desc->name ? desc->name : made_up),
                     .sip = desc->sip,
                     .memory = desc->memory,
                     .dtype = desc->dtype,
                     .rank = desc->rank,
                     .padded = desc->padded,
                     .piece_count = desc->piece_count,
                     .shard_count = desc->shard_count};
    if (t->next) t->next->prev = t;
    engine->tensors = t;
    memcpy(t->shape, desc->shape, (size_t)desc->rank * sizeof *t->shape);
    t->bytes = kb_dtype_size(t->dtype);
    for (int d = 0; d < t->rank; d++) t->bytes *= t->shape[d];
    t->pieces = kb_xmalloc(desc->piece_count * sizeof *t->pieces);
    memcpy(t->pieces, desc->pieces, desc->piece_count * sizeof *t->pieces);
    t->shards = kb_xmalloc(desc->shard_count * sizeof *t->shards);
    memcpy(t->shards, desc->shards, desc->shard_count * sizeof *t->shards);
    if (!is_sorted(t)) qsort(t->shards, t->shard_count, sizeof *t->shards, by_place);
    for (uint32_t s = 0; s < t->shard_count; s++) {
        t->shards[s].pa = (kb_paddr){UINT64_MAX};
        t->shards[s].shared = false;
    }
    t->maps = kb_xcalloc((size_t)engine->m->graph->sips, sizeof *t->maps);
    for (uint32_t s = t->shard_count; s-- > 0;) t->pieces[t->shards[s].piece].first_shard = s;
    return t;
}

int kb_tensor_create(kb_engine *engine, const kb_tensor_desc *desc, kb_tensor **out, kb_err *err)
{
    int status = check_desc(engine, desc, err);
    if (status) return status;
    kb_tensor *t = blank(engine, desc);
    status = check_distinct(t, err);
    if (!status) status = take_va(t, err);
    if (!status) status = take_memory(t, err);
    if (status) {
        kb_fail_at(err, "tensor '%s'", t->name);
        kb_tensor_destroy(t);
        return status;
    }
    *out = t;
    return KB_OK;
}

/* The machine goes on: what the tensor has of it is free again. */
static void give_back(kb_tensor *t)
{
    kb_engine *engine = t->engine;
    kb_tensor_forget_maps(t);
    for (uint32_t s = 0; s < t->shard_count; s++) {
        const kb_shard *shard = &t->shards[s];
        if (shard->shared || shard->pa.bits == UINT64_MAX) continue;
        kb_memory_place place = place_of(t, shard);
        kb_oplog_remove_block(engine->log, shard->pa);
        kb_device_memory_give(engine, &place, shard->pa);
    }
    if (t->va.bits) kb_vaspace_give(&engine->va, t->va, NULL);
}

static void destroy(kb_tensor *t)
{
    kb_engine *engine = t->engine;
    if (t->prev)
        t->prev->next = t->next;
    else
        engine->tensors = t->next;
    if (t->next) t->next->prev = t->prev;
    free(t->pieces);
    free(t->shards);
    free(t->maps);
    free(t->block);
    free(t->name);
    free(t);
}

void kb_tensor_destroy(kb_tensor *t)
{
    if (!t) return;
    t->doomed = true;
    if (t->users) return;
    give_back(t);
    destroy(t);
}

void kb_tensor_free_all(kb_engine *engine)
{
    while (engine->tensors) destroy(engine->tensors);
}

void kb_tensor_use(kb_tensor *t)
{
    t->users++;
}

void kb_tensor_unuse(kb_tensor *t)
{
    assert(t->users > 0);
    if (--t->users == 0 && t->doomed) kb_tensor_destroy(t);
}

/* ---- who holds what ---- */

const kb_shard *kb_tensor_shard_of(const kb_tensor *t, int cube, int pe)
{
    kb_shard key = {.cube = cube, .pe = pe};
    return bsearch(&key, t->shards, t->shard_count, sizeof key, by_place);
}

bool kb_tensor_piece_of(const kb_tensor *t, int cube, int pe, uint32_t *piece)
{
    const kb_shard *own = kb_tensor_shard_of(t, cube, pe);
    bool found = false;
    bool empty = !own && t->padded && t->row_major;
    *piece = own ? own->piece : empty ? KB_NO_PIECE : 0;
    if (own || empty || t->piece_count == 1) return true;
    for (uint32_t s = 0; s < t->shard_count; s++) {
        if (t->shards[s].cube != cube) continue;
        if (found && t->shards[s].piece != *piece) return false;
        found = true;
        *piece = t->shards[s].piece;
    }
    return found;
}

uint64_t kb_tensor_host_bytes(const kb_tensor *t)
{
    uint64_t bytes = 0;
    for (uint32_t s = 0; t->engine->data && s < t->shard_count; s++)
        if (!t->shards[s].shared) bytes += t->pieces[t->shards[s].piece].bytes;
    return bytes;
}
