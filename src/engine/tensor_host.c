/* Elements of tensors between host and device: the bytes that move, and the contents. */
#include <stdlib.h>
#include <string.h>

#include "engine/host_work.h"

/* ---- where a region meets a piece ---- */

/* Elements of a region that lie in a piece: per dimension how many, the first within the piece and
 * within the region, and their distance in the piece. */
typedef struct part {
    size_t extent[KB_MAX_RANK], in_piece[KB_MAX_RANK], in_region[KB_MAX_RANK], step[KB_MAX_RANK];
} part;

static kb_region whole(const kb_tensor *t)
{
    kb_region all = {0};
    for (int d = 0; d < t->rank; d++) {
        all.extent[d] = t->shape[d];
        all.step[d] = 1;
    }
    return all;
}

/* False if they have no element in common. */
static bool meet(const kb_tensor *t, const kb_region *region, const kb_tensor_piece *piece,
                 part *out)
{
    for (int d = 0; d < t->rank; d++) {
        size_t step = region->step[d], start = region->start[d];
        size_t low = piece->start[d], end = low + piece->extent[d];
        size_t first = start >= low ? 0 : (low - start + step - 1) / step;
        size_t last = start >= end ? 0 : (end - start + step - 1) / step; /* one past */
        if (last > region->extent[d]) last = region->extent[d];
        if (first >= last) return false;
        out->extent[d] = last - first;
        out->in_region[d] = first;
        out->in_piece[d] = start + first * step - low;
        out->step[d] = step;
    }
    return true;
}

/* ---- transfers ---- */

/* Bytes of a copy that move: blocks of equally long rows, equally far apart. */
typedef struct run {
    uint32_t shard;
    uint64_t offset, row_bytes, stride;
    uint64_t rows;
} run;
typedef kb_vec(run) runs;

/* Loops over the elements of a part, innermost last: adjacent dimensions are one where they can. */
typedef struct loops {
    int count;
    size_t extent[KB_MAX_RANK + 1];
    uint64_t stride[KB_MAX_RANK + 1]; /* bytes */
} loops;

static uint64_t loops_of(const kb_tensor *t, const kb_tensor_piece *piece, const part *p, loops *l)
{
    size_t strides[KB_MAX_RANK], element = kb_dtype_size(t->dtype);
    uint64_t offset = 0;
    kb_strides(t->rank, piece->extent, strides);
    *l = (loops){0};
    for (int d = 0; d < t->rank; d++) {
        uint64_t stride = strides[d] * p->step[d] * element;
        offset += p->in_piece[d] * strides[d] * element;
        if (p->extent[d] == 1) continue;
        int outer = l->count - 1;
        if (outer >= 0 && l->stride[outer] == stride * p->extent[d]) {
            l->extent[outer] *= p->extent[d];
            l->stride[outer] = stride;
            continue;
        }
        l->extent[l->count] = p->extent[d];
        l->stride[l->count++] = stride;
    }
    return offset;
}

/* A transaction carries fewer than 2^32 flits: cut what has more. */
static void push_runs(runs *list, run r, uint64_t flit)
{
    const uint64_t most = UINT64_C(1) << 31;
    for (uint64_t at = 0; at < r.row_bytes; at += most * flit) {
        run part_of = r;
        part_of.offset += at;
        if (r.row_bytes - at < most * flit)
            part_of.row_bytes = r.row_bytes - at;
        else
            part_of.row_bytes = most * flit;
        uint64_t rows = most / ((part_of.row_bytes + flit - 1) / flit);
        for (uint64_t row = 0; row < r.rows; row += rows) {
            part_of.rows = r.rows - row < rows ? r.rows - row : rows;
            kb_vec_push(list, part_of);
            part_of.offset += rows * r.stride;
        }
    }
}

/* What a shard's copy of the part consists of. */
static void add_runs(runs *list, const kb_tensor *t, uint32_t shard, const part *p)
{
    loops l;
    const kb_tensor_piece *piece = &t->pieces[t->shards[shard].piece];
    uint64_t element = kb_dtype_size(t->dtype), flit = t->engine->m->graph->flit_bytes;
    run r = {.shard = shard, .row_bytes = element, .rows = 1};
    r.offset = loops_of(t, piece, p, &l);
    if (l.count && l.stride[l.count - 1] == element) r.row_bytes = l.extent[--l.count] * element;
    if (l.count) {
        r.stride = l.stride[--l.count];
        r.rows = l.extent[l.count];
    }
    size_t index[KB_MAX_RANK] = {0};
    for (;;) { /* over the loops that are left, like an odometer */
        push_runs(list, r, flit);
        int d = l.count - 1;
        while (d >= 0 && ++index[d] == l.extent[d]) {
            r.offset -= (l.extent[d] - 1) * l.stride[d];
            index[d--] = 0;
        }
        if (d < 0) return;
        r.offset += l.stride[d];
    }
}

static int start_run(kb_host_work *work, const run *r, kb_txn_op op, kb_err *err)
{
    kb_machine *m = work->engine->m;
    kb_txn_request request = {.op = op,
                              .requester = kb_graph_host(m->graph),
                              .rows = (uint32_t)r->rows,
                              .row_bytes = r->row_bytes,
                              .stride = r->stride,
                              .done = kb_host_work_part,
                              .object = work};
    int status = kb_machine_memory(m, work->tensor->shards[r->shard].pa, &request.memory,
                                   &request.offset, err);
    request.offset += r->offset;
    if (!status) status = kb_txn_start(m, &request, err);
    work->bytes += r->rows * r->row_bytes;
    return status;
}

static int start(kb_tensor *t, runs *list, kb_txn_op op, kb_host_work **out, kb_err *err)
{
    int status = KB_OK;
    kb_host_work *work = kb_host_work_create(t, (uint32_t)list->count);
    for (size_t i = 0; !status && i < list->count; i++)
        status = start_run(work, &list->data[i], op, err);
    kb_vec_free(list);
    t->engine->submissions++;
    *out = work;
    return status;
}

int kb_tensor_start_write(kb_tensor *t, const kb_region *region, kb_host_work **out, kb_err *err)
{
    part p;
    runs list = {0};
    kb_region all = whole(t);
    for (uint32_t s = 0; s < t->shard_count; s++) {
        const kb_tensor_piece *piece = &t->pieces[t->shards[s].piece];
        if (!t->shards[s].shared && meet(t, region ? region : &all, piece, &p))
            add_runs(&list, t, s, &p);
    }
    int status = start(t, &list, KB_TXN_WRITE, out, err);
    t->engine->host_bytes_written += (*out)->bytes;
    return status;
}

int kb_tensor_start_read(kb_tensor *t, const kb_region *region, kb_host_work **out, kb_err *err)
{
    part p;
    runs list = {0};
    kb_region all = whole(t);
    for (uint32_t i = 0; i < t->piece_count; i++)
        if (meet(t, region ? region : &all, &t->pieces[i], &p))
            add_runs(&list, t, t->pieces[i].first_shard, &p);
    int status = start(t, &list, KB_TXN_READ, out, err);
    t->engine->host_bytes_read += (*out)->bytes;
    return status;
}

/* ---- contents ---- */

/* Copy a part between a dense array of the region's extents and a copy of the piece. */
static void copy_part(const kb_tensor *t, const kb_tensor_piece *piece, const kb_region *region,
                      const part *p, void *array, void *device, bool to_device)
{
    size_t element = kb_dtype_size(t->dtype), here = 0, there = 0;
    size_t array_strides[KB_MAX_RANK], strides[KB_MAX_RANK];
    kb_strides(t->rank, region->extent, array_strides);
    kb_strides(t->rank, piece->extent, strides);
    for (int d = 0; d < t->rank; d++) {
        here += p->in_region[d] * array_strides[d];
        there += p->in_piece[d] * strides[d];
        strides[d] *= p->step[d];
    }
    char *host = (char *)array + here * element, *at = (char *)device + there * element;
    if (to_device)
        kb_copy_strided(element, t->rank, p->extent, at, strides, host, array_strides);
    else
        kb_copy_strided(element, t->rank, p->extent, host, array_strides, at, strides);
}

static bool is_whole_piece(const kb_tensor *t, const kb_tensor_piece *piece, const part *p)
{
    for (int d = 0; d < t->rank; d++)
        if (p->extent[d] != piece->extent[d]) return false;
    return true;
}

typedef struct scatter {
    const kb_tensor *t;
    const kb_region *region;
    const kb_array *array;
    const kb_contents **before; /* by piece: what its first copy had; others may have shared it */
} scatter;

static kb_memory_block *block_of(const kb_tensor *t, uint32_t s)
{
    return kb_memory_block_at(&t->engine->memory, t->shards[s].pa,
                              t->pieces[t->shards[s].piece].bytes);
}

/* Copies of a piece that are the same share their contents, before and after. */
static int scatter_to(scatter *to, uint32_t s, const part *p, kb_err *err)
{
    const kb_tensor *t = to->t;
    const kb_shard *shard = &t->shards[s];
    const kb_tensor_piece *piece = &t->pieces[shard->piece];
    bool all = is_whole_piece(t, piece, p);
    kb_oplog_run_block(t->engine->log, shard->pa);
    kb_memory_block *block = block_of(t, s);
    if (s == piece->first_shard) {
        to->before[shard->piece] = block->contents;
    } else if (all || block->contents == to->before[shard->piece]) {
        kb_memory_block_share(block, block_of(t, piece->first_shard));
        return KB_OK;
    }
    unsigned char *device = kb_memory_block_own(block, !all, err);
    if (!device) return KB_ELIMIT;
    copy_part(t, piece, to->region, p, to->array->data, device, true);
    return KB_OK;
}

int kb_tensor_scatter(kb_tensor *t, const kb_region *region, const kb_array *array, kb_err *err)
{
    if (!t->engine->data) return KB_OK;
    kb_region all = whole(t);
    scatter to = {.t = t, .region = region ? region : &all, .array = array};
    to.before = kb_xcalloc(t->piece_count, sizeof *to.before);
    part p;
    int status = KB_OK;
    for (uint32_t s = 0; !status && s < t->shard_count; s++) {
        const kb_shard *shard = &t->shards[s];
        if (!shard->shared && meet(t, to.region, &t->pieces[shard->piece], &p))
            status = scatter_to(&to, s, &p, err);
    }
    free(to.before);
    return status;
}

int kb_tensor_gather(kb_tensor *t, const kb_region *region, kb_array **out, kb_err *err)
{
    kb_region all = whole(t);
    if (!region) region = &all;
    int status = kb_oplog_run(t->engine->log, err);
    if (!status) status = kb_array_create(t->dtype, t->rank, region->extent, out, err);
    part p;
    for (uint32_t i = 0; !status && i < t->piece_count; i++)
        if (meet(t, region, &t->pieces[i], &p))
            copy_part(t, &t->pieces[i], region, &p, (*out)->data,
                      block_of(t, t->pieces[i].first_shard)->contents->data, false);
    return status;
}
