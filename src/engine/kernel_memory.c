/* Loads and stores. */
#include <string.h>

#include "engine/kernel_op.h"

static void dispatch_move(kb_sim *sim, void *object, uint64_t direction)
{
    kb_op *op = object;
    op->dispatched = sim->now;
    kb_pe_dma(op->pe, (int)direction, &op->pieces, kb_op_complete, op, 0);
}

static void copy_pieces(kb_pieces *to, const kb_pieces *from)
{
    kb_vec_reserve(to, from->count);
    memcpy(to->data, from->data, from->count * sizeof *from->data);
    to->count = from->count;
}

static int issue_move(kb_proc *proc, kb_op *op, const kb_va_region *region, int direction,
                      kb_tile *tile, kb_err *err)
{
    int status = kb_pe_translate(proc->pe, region, &op->pieces, err);
    if (status) return kb_op_abandon(op, status);
    op->log.op = direction == KB_DMA_READ ? KB_LOG_LOAD : KB_LOG_STORE;
    if (op->engine->data) {
        op->log.move.value = kb_value_retain(tile->value);
        copy_pieces(&op->log.move.pieces, &op->pieces);
    }
    kb_op_issue(op, dispatch_move, (uint64_t)direction);
    return KB_OK;
}

int kb_kernel_load(kb_proc *proc, const kb_va_region *from, kb_dtype dtype, int rank,
                   const size_t *shape, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, "tl.load");
    int status = kb_tile_create(proc, dtype, rank, shape, op->what, &op->result, err);
    if (status) return kb_op_abandon(op, status);
    status = issue_move(proc, op, from, KB_DMA_READ, op->result, err);
    if (!status) *out = op;
    return status;
}

int kb_kernel_store(kb_proc *proc, const kb_va_region *to, kb_tile *tile, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, "tl.store");
    op->inputs[0] = kb_tile_retain(tile);
    int status = issue_move(proc, op, to, KB_DMA_WRITE, tile, err);
    if (!status) *out = op;
    return status;
}
