/* Products of matrices: tl.dot and composites. */
#include <assert.h>

#include "engine/kernel_op.h"

static void dispatch_composite(kb_sim *sim, void *object, uint64_t arg)
{
    kb_op *op = object;
    op->dispatched = sim->now;
    kb_composite_dispatch(sim, &op->composite, arg);
}

static kb_operand operand(const kb_matrix_arg *arg, kb_dtype dtype)
{
    return (kb_operand){.pinned = arg->tile != NULL,
                        .va = arg->va,
                        .stride = arg->stride,
                        .element_bytes = (uint32_t)kb_dtype_size(dtype)};
}

/* The matrix as the log sees it. Mapped already checked. */
static kb_matrix log_matrix(kb_pe *pe, const kb_matrix_arg *arg, uint32_t rows, uint32_t cols,
                            kb_dtype dtype)
{
    kb_matrix matrix = {0};
    if (arg->tile) {
        matrix.value = kb_value_retain(arg->tile->value);
        return matrix;
    }
    kb_va_region region = {arg->va, rows, cols * kb_dtype_size(dtype), arg->stride};
    int status = kb_pe_translate(pe, &region, &matrix.pieces, NULL);
    assert(!status);
    (void)status;
    return matrix;
}

static void fill_log(kb_op *op, const kb_product *p, const kb_matrix_arg *out)
{
    op->log.op = KB_LOG_GEMM;
    if (!op->engine->data) return;
    op->log.gemm.M = p->M;
    op->log.gemm.K = p->K;
    op->log.gemm.N = p->N;
    op->log.gemm.in = p->in;
    op->log.gemm.out_type = p->out_type;
    op->log.gemm.a = log_matrix(op->pe, &p->a, p->M, p->K, p->in);
    op->log.gemm.b = log_matrix(op->pe, &p->b, p->K, p->N, p->in);
    op->log.gemm.out = log_matrix(op->pe, out, p->M, p->N, p->out_type);
    op->log.gemm.acc = p->acc ? kb_value_retain(p->acc->value) : NULL;
}

int kb_kernel_product(kb_proc *proc, const kb_product *p, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, p->what);
    kb_matrix_arg result = p->out;
    if (!result.tile && !result.va.bits) {
        size_t shape[2] = {p->M, p->N};
        int status = kb_tile_create(proc, p->out_type, 2, shape, p->what, &op->result, err);
        if (status) return kb_op_abandon(op, status);
        result.tile = op->result;
    }
    op->composite =
        (kb_composite){.pe = proc->pe,
                       .M = p->M,
                       .K = p->K,
                       .N = p->N,
                       .a = operand(&p->a, p->in),
                       .b = operand(&p->b, p->in),
                       .out = operand(&result, p->out_type),
                       .acc_bytes = p->acc ? (uint32_t)kb_dtype_size(p->acc->value->dtype) : 0,
                       .done = kb_op_complete,
                       .object = op};
    int status = kb_composite_check(&op->composite, err);
    if (status) return kb_op_abandon(op, status);
    op->inputs[0] = kb_tile_retain(p->a.tile);
    op->inputs[1] = kb_tile_retain(p->b.tile);
    op->inputs[2] = kb_tile_retain(p->acc);
    fill_log(op, p, &result);
    kb_op_issue(op, dispatch_composite, 0);
    *out = op;
    return KB_OK;
}
