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

static int check_distinct(const kb_tensor *t, kb_err *err)
{
    for (uint32_t s = 1; s < t->shard_count; s++)
        if (by_place(&t->shards[s - 1], &t->shards[s]) == 0)
            return kb_fail(err, KB_EINVAL, "two shards on cube %d, pe %d", t->shards[s].cube,
                           t->shards[s].pe);
    return KB_OK;
}

/* One virtual range, every piece on a page of its own. */
static int take_va(kb_tensor *t, kb_err *err)
{
    uint64_t page = t->engine->va.page_bytes, total = 0;
    for (uint32_t p = 0; p < t->piece_count; p++) {
        t->pieces[p].bytes = piece_bytes(t, &t->pieces[p]);
        t->pieces[p].va = (kb_vaddr){total};
        total += (t->pieces[p].bytes + page - 1) / page * page;
    }
    int status = kb_vaspace_take(&t->engine->va, t->name, total, &t->va, err);
    if (status) return status;
    for (uint32_t p = 0; p < t->piece_count; p++) t->pieces[p].va.bits += t->va.bits;
    return KB_OK;
}

static int take_memory(kb_tensor *t, kb_err *err)
{
    kb_engine *engine = t->engine;
    for (uint32_t s = 0; s < t->shard_count; s++) {
        kb_shard *shard = &t->shards[s];
        uint64_t bytes = t->pieces[shard->piece].bytes;
        int slice = kb_graph_own_slice(engine->m->graph, shard->pe);
        int status = kb_engine_hbm_take(engine, t->sip, shard->cube, slice, bytes, &shard->pa, err);
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
                     .dtype = desc->dtype,
                     .rank = desc->rank,
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
    qsort(t->shards, t->shard_count, sizeof *t->shards, by_place);
    for (uint32_t s = 0; s < t->shard_count; s++) t->shards[s].pa = (kb_paddr){UINT64_MAX};
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

static void map_cube(kb_tensor *t, int cube, bool map);

void kb_tensor_destroy(kb_tensor *t)
{
    if (!t) return;
    kb_engine *engine = t->engine;
    kb_oplog_run(&engine->log, NULL); /* entries may still refer to the contents */
    for (int cube = 0; t->mapped && cube < kb_graph_cubes(engine->m->graph); cube++)
        map_cube(t, cube, false);
    for (uint32_t s = 0; s < t->shard_count; s++) {
        kb_shard *shard = &t->shards[s];
        if (shard->pa.bits == UINT64_MAX) continue;
        int slice = kb_graph_own_slice(engine->m->graph, shard->pe);
        kb_memory_remove(&engine->memory, shard->pa);
        kb_engine_hbm_give(engine, t->sip, shard->cube, slice, shard->pa);
    }
    if (t->va.bits) kb_vaspace_give(&engine->va, t->va, NULL);
    if (t->prev)
        t->prev->next = t->next;
    else
        engine->tensors = t->next;
    if (t->next) t->next->prev = t->prev;
    free(t->pieces);
    free(t->shards);
    free(t->name);
    free(t);
}

void kb_tensor_free_all(kb_engine *engine)
{
    while (engine->tensors) kb_tensor_destroy(engine->tensors);
}

const kb_shard *kb_tensor_shard_of(const kb_tensor *t, int cube, int pe)
{
    kb_shard key = {.cube = cube, .pe = pe};
    return bsearch(&key, t->shards, t->shard_count, sizeof key, by_place);
}

/* ---- mapping ---- */

static void map_range(kb_tensor *t, int cube, const kb_shard *shard, uint32_t pe_mask, bool map)
{
    kb_pagetable *table = kb_machine_pagetable(t->engine->m, t->sip, cube);
    const kb_tensor_piece *piece = &t->pieces[shard->piece];
    int status = map ? kb_pagetable_map(table, piece->va, piece->bytes, shard->pa, pe_mask, NULL)
                     : kb_pagetable_unmap(table, piece->va, piece->bytes, pe_mask, NULL);
    assert(!status); /* virtual ranges of tensors are disjoint */
    (void)status;
}

/* A PE sees its own copy of a piece; the others of the cube see the cube's first, or the first. */
static void map_cube(kb_tensor *t, int cube, bool map)
{
    uint32_t pes = (uint32_t)t->engine->m->graph->cube_plan.pes;
    uint32_t everyone = pes == 32 ? UINT32_MAX : (UINT32_C(1) << pes) - 1;
    uint32_t *own = kb_xcalloc(t->piece_count, sizeof *own); /* PEs with a copy */
    uint32_t *common = kb_xmalloc(t->piece_count * sizeof *common);
    for (uint32_t p = 0; p < t->piece_count; p++) common[p] = t->pieces[p].first_shard;
    for (uint32_t s = 0; s < t->shard_count; s++) {
        const kb_shard *shard = &t->shards[s];
        if (shard->cube != cube) continue;
        if (!own[shard->piece]) common[shard->piece] = s;
        own[shard->piece] |= UINT32_C(1) << shard->pe;
    }
    for (uint32_t s = 0; s < t->shard_count; s++) {
        const kb_shard *shard = &t->shards[s];
        if (shard->cube != cube || common[shard->piece] == s) continue;
        map_range(t, cube, shard, UINT32_C(1) << shard->pe, map);
    }
    for (uint32_t p = 0; p < t->piece_count; p++) {
        const kb_shard *shard = &t->shards[common[p]];
        uint32_t mask = everyone & ~own[p];
        if (shard->cube == cube) mask |= UINT32_C(1) << shard->pe;
        if (mask) map_range(t, cube, shard, mask, map);
    }
    free(own);
    free(common);
}

/* ---- work between host and device ---- */

static kb_host_work *work_create(kb_tensor *t, uint32_t parts)
{
    kb_host_work *work = kb_xcalloc(1, sizeof *work);
    work->engine = t->engine;
    work->tensor = t;
    work->started = t->engine->sim->now;
    kb_completion_init(&work->done, parts);
    return work;
}

void kb_host_work_free(kb_host_work *work)
{
    if (!work) return;
    free(work->msg.targets);
    free(work->applied);
    free(work);
}

static void part_done(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_host_work *work = object;
    work->ended = sim->now;
    kb_completion_part(&work->done, sim);
}

static void deliver_map(kb_msg *msg, int target, int pe)
{
    kb_host_work *work = msg->object;
    uint64_t bit = UINT64_C(1) << (target % 64);
    if (!(work->applied[target / 64] & bit)) { /* the cube's PEs share one table */
        work->applied[target / 64] |= bit;
        map_cube(work->tensor, msg->targets[target].cube, !work->tensor->mapped);
    }
    kb_msg_report(msg, target, pe);
}

static void mapped(kb_sim *sim, void *object, uint64_t arg)
{
    kb_host_work *work = object;
    work->tensor->mapped = !work->tensor->mapped;
    part_done(sim, work, arg);
}

kb_host_work *kb_tensor_map(kb_tensor *t, bool map)
{
    assert(t->mapped != map);
    (void)map;
    const kb_graph *g = t->engine->m->graph;
    uint32_t cubes = (uint32_t)kb_graph_cubes(g);
    kb_host_work *work = work_create(t, 1);
    work->applied = kb_xcalloc((cubes + 63) / 64, sizeof *work->applied);
    kb_msg_target *targets = kb_xcalloc(cubes, sizeof *targets);
    for (uint32_t c = 0; c < cubes; c++)
        targets[c] = (kb_msg_target){.cube = (int)c,
                                     .pe_mask = (uint32_t)((UINT64_C(1) << g->cube_plan.pes) - 1)};
    work->msg = (kb_msg){.m = t->engine->m,
                         .sip = t->sip,
                         .component = KB_PE_MMU,
                         .targets = targets,
                         .target_count = cubes,
                         .deliver = deliver_map,
                         .done = mapped,
                         .object = work};
    kb_msg_send(&work->msg);
    return work;
}

static int start_transfer(kb_host_work *work, const kb_shard *shard, kb_txn_op op, kb_err *err)
{
    kb_tensor *t = work->tensor;
    kb_machine *m = t->engine->m;
    uint64_t bytes = t->pieces[shard->piece].bytes;
    kb_txn_request request = {.op = op,
                              .requester = kb_graph_host(m->graph),
                              .rows = 1,
                              .row_bytes = bytes,
                              .done = part_done,
                              .object = work};
    int status = kb_machine_memory(m, shard->pa, &request.memory, &request.offset, err);
    if (!status) status = kb_txn_start(m, &request, err);
    work->bytes += bytes;
    return status;
}

int kb_tensor_start_write(kb_tensor *t, kb_host_work **out, kb_err *err)
{
    kb_host_work *work = work_create(t, t->shard_count);
    int status = KB_OK;
    for (uint32_t s = 0; !status && s < t->shard_count; s++)
        status = start_transfer(work, &t->shards[s], KB_TXN_WRITE, err);
    t->engine->submissions++;
    t->engine->host_bytes_written += work->bytes;
    *out = work;
    return status;
}

int kb_tensor_start_read(kb_tensor *t, kb_host_work **out, kb_err *err)
{
    kb_host_work *work = work_create(t, t->piece_count);
    int status = KB_OK;
    for (uint32_t p = 0; !status && p < t->piece_count; p++)
        status = start_transfer(work, &t->shards[t->pieces[p].first_shard], KB_TXN_READ, err);
    t->engine->submissions++;
    t->engine->host_bytes_read += work->bytes;
    *out = work;
    return status;
}

/* ---- contents ---- */

/* The elements of a piece inside a dense array of the tensor's shape. */
static char *in_array(const kb_tensor *t, const kb_tensor_piece *piece, void *data,
                      size_t strides[KB_MAX_RANK])
{
    kb_strides(t->rank, t->shape, strides);
    size_t offset = 0;
    for (int d = 0; d < t->rank; d++) offset += piece->start[d] * strides[d];
    return (char *)data + offset * kb_dtype_size(t->dtype);
}

int kb_tensor_scatter(kb_tensor *t, const kb_array *array, kb_err *err)
{
    if (!t->engine->data) return KB_OK;
    int status = kb_oplog_run(&t->engine->log, err);
    if (status) return status;
    for (uint32_t s = 0; s < t->shard_count; s++) {
        const kb_tensor_piece *piece = &t->pieces[t->shards[s].piece];
        size_t from_strides[KB_MAX_RANK], to_strides[KB_MAX_RANK];
        const char *from = in_array(t, piece, array->data, from_strides);
        void *to = kb_memory_at(&t->engine->memory, t->shards[s].pa, piece->bytes);
        kb_strides(t->rank, piece->extent, to_strides);
        kb_copy_strided(kb_dtype_size(t->dtype), t->rank, piece->extent, to, to_strides, from,
                        from_strides);
    }
    return KB_OK;
}

int kb_tensor_gather(kb_tensor *t, kb_array **out, kb_err *err)
{
    int status = kb_oplog_run(&t->engine->log, err);
    if (!status) status = kb_array_create(t->dtype, t->rank, t->shape, out, err);
    if (status) return status;
    for (uint32_t p = 0; p < t->piece_count; p++) {
        const kb_tensor_piece *piece = &t->pieces[p];
        size_t from_strides[KB_MAX_RANK], to_strides[KB_MAX_RANK];
        char *to = in_array(t, piece, (*out)->data, to_strides);
        kb_paddr pa = t->shards[piece->first_shard].pa;
        const void *from = kb_memory_at(&t->engine->memory, pa, piece->bytes);
        kb_strides(t->rank, piece->extent, from_strides);
        kb_copy_strided(kb_dtype_size(t->dtype), t->rank, piece->extent, to, to_strides, from,
                        from_strides);
    }
    return KB_OK;
}
