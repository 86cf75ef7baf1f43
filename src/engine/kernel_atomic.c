/* Atomic operations on memory. */
#include "engine/kernel_op.h"

/* They take effect where they are performed, at the memory, not when the old values are back. */
static void performed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    op->in_effect = true;
    if (!op->engine->data || !op->proc) return;
    op->log.started = op->dispatched;
    op->log.ended = sim->now;
    kb_op_log(op->engine, op->pe, &op->log);
}

static void dispatch(kb_sim *sim, void *object, uint64_t operands)
{
    kb_op *op = object;
    op->dispatched = sim->now;
    if (op->pieces.count) {
        kb_pe_dma_atomic(op->pe, (uint32_t)operands, &op->pieces, performed, kb_op_complete, op);
        return;
    }
    op->pe->dma_began = sim->now;
    performed(sim, op, 0); /* everything is masked off */
    kb_op_complete(sim, op, 0);
}

static int fill_log(kb_op *op, const kb_access *access, const kb_atomic_operands *operands,
                    kb_err *err)
{
    if (!op->engine->data) return KB_OK;
    *kb_op_begin_log(op, KB_LOG_ATOMIC) = (kb_log_entry){.op = KB_LOG_ATOMIC};
    op->log.atomic.op = operands->op;
    op->log.atomic.value = kb_value_retain(operands->value);
    op->log.atomic.compare = kb_value_retain(operands->compare);
    op->log.atomic.old = kb_value_retain(op->result->value);
    kb_op_copy_pieces(&op->log.atomic.pieces, &op->pieces);
    if (!access->mask) return KB_OK;
    return kb_op_hold_mask(access->mask, op->result->value, &op->log.atomic.mask, err);
}

int kb_kernel_atomic(kb_proc *proc, const kb_access *at, const kb_atomic_operands *operands,
                     kb_dtype dtype, int rank, const size_t *shape, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, operands->what);
    int status = kb_tile_create(proc, dtype, rank, shape, op->what, &op->result, err);
    if (!status) status = kb_op_translate(op, at, err);
    if (!status) status = fill_log(op, at, operands, err);
    if (status) return kb_op_abandon(op, status);
    op->inputs[0] = kb_tile_retain(operands->value_tile);
    op->inputs[1] = kb_tile_retain(operands->compare_tile);
    kb_op_issue(op, dispatch, operands->op == KB_ATOMIC_CAS ? 2 : 1);
    *out = op;
    return KB_OK;
}
