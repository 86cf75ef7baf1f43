/* Loads and stores. */
#include <string.h>

#include "engine/kernel_op.h"

static void dispatch_move(kb_sim *sim, void *object, uint64_t direction)
{
    kb_op *op = object;
    op->dispatched = sim->now;
    if (op->pieces.count) {
        kb_pe_dma(op->pe, (int)direction, &op->pieces, kb_op_complete, op, 0);
        return;
    }
    op->pe->dma_began = sim->now;
    kb_op_complete(sim, op, 0); /* everything is masked off */
}

int kb_op_translate(kb_op *op, const kb_access *access, kb_err *err)
{
    int status = KB_OK;
    for (size_t i = 0; !status && i < access->count; i++)
        status = kb_pe_translate(op->pe, &access->regions[i], &op->pieces, err);
    return status;
}

int kb_op_hold_mask(const uint8_t *mask, const kb_value *like, kb_value **out, kb_err *err)
{
    *out = kb_value_create(NULL, KB_BOOL, like->rank, like->shape);
    int status = kb_array_create(KB_BOOL, like->rank, like->shape, &(*out)->array, err);
    if (!status) memcpy((*out)->array->data, mask, (*out)->array->count);
    return status;
}

void kb_op_copy_pieces(kb_pieces *to, const kb_pieces *from)
{
    kb_vec_reserve(to, from->count);
    to->count = from->count;
    if (from->count) memcpy(to->data, from->data, from->count * sizeof *from->data);
}

static int fill_log(kb_op *op, const kb_access *access, int direction, kb_value *value, kb_err *err)
{
    kb_op_begin_log(op, direction == KB_DMA_READ ? KB_LOG_LOAD : KB_LOG_STORE);
    op->log.move.value = kb_value_retain(value);
    op->log.move.other = kb_value_retain(access->other);
    kb_op_copy_pieces(&op->log.move.pieces, &op->pieces);
    return access->mask ? kb_op_hold_mask(access->mask, value, &op->log.move.mask, err) : KB_OK;
}

static int issue_move(kb_op *op, const kb_access *access, int direction, kb_value *value,
                      kb_err *err)
{
    int status = kb_op_translate(op, access, err);
    if (status) return kb_op_abandon(op, status);
    op->stage = direction == KB_DMA_READ ? KB_STAGE_DMA_IN : KB_STAGE_DMA_WB;
    if (op->engine->data) status = fill_log(op, access, direction, value, err);
    if (status) return kb_op_abandon(op, status);
    kb_op_issue(op, dispatch_move, (uint64_t)direction);
    return KB_OK;
}

int kb_kernel_load(kb_proc *proc, const kb_access *from, kb_dtype dtype, int rank,
                   const size_t *shape, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, "tl.load");
    int status = kb_tile_create(proc, dtype, rank, shape, op->what, &op->result, err);
    if (status) return kb_op_abandon(op, status);
    status = issue_move(op, from, KB_DMA_READ, op->result->value, err);
    if (!status) *out = op;
    return status;
}

int kb_kernel_store(kb_proc *proc, const kb_access *to, kb_tile *tile, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, "tl.store");
    op->inputs[0] = kb_tile_retain(tile);
    int status = issue_move(op, to, KB_DMA_WRITE, tile->value, err);
    if (!status) *out = op;
    return status;
}
