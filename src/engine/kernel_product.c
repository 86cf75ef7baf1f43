/* Products of matrices: tl.dot and composites. */
#include <assert.h>

#include "data/gemm.h"
#include "engine/kernel_op.h"

static void dispatch_composite(kb_sim *sim, void *object, uint64_t arg)
{
    kb_op *op = object;
    op->dispatched = sim->now;
    op->composite.label = op->label;
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
    if (!op->engine->data) return;
    op->log.gemm.M = p->M;
    op->log.gemm.K = p->K;
    op->log.gemm.N = p->N;
    op->log.gemm.in_a = p->in_a;
    op->log.gemm.in_b = p->in_b;
    op->log.gemm.b_transposed = p->b_transposed;
    op->log.gemm.out_type = p->out_type;
    op->log.gemm.a = log_matrix(op->pe, &p->a, p->M, p->K, p->in_a);
    op->log.gemm.b = log_matrix(op->pe, &p->b, p->b_transposed ? p->N : p->K,
                                p->b_transposed ? p->K : p->N, p->in_b);
    op->log.gemm.out = log_matrix(op->pe, out, p->M, p->N, p->out_type);
    op->log.gemm.acc = p->acc ? kb_value_retain(p->acc->value) : NULL;
}

static bool reads_memory(kb_log_entry *entry)
{
    kb_log_uses uses;
    kb_log_entry_uses(entry, &uses);
    for (int i = 0; i < uses.count; i++)
        if (uses.use[i].pieces && uses.use[i].how & KB_LOG_READS) return true;
    return false;
}

/* Tiles do not change, so the numbers of a product of tiles alone can be computed while its
 * pipeline is simulated. If they go to memory, the store is left for the end. */
static void log_ahead(kb_op *op)
{
    if (!op->engine->data || reads_memory(&op->log)) return;
    kb_log_entry product = op->log;
    kb_matrix *out = &product.gemm.out;
    op->log = (kb_log_entry){.op = KB_LOG_STORE};
    if (out->value) {
        op->in_effect = true;
    } else {
        size_t shape[2] = {product.gemm.M, product.gemm.N};
        op->log.move.pieces = out->pieces;
        *out = (kb_matrix){
            .value = kb_value_create(op->engine->values, product.gemm.out_type, 2, shape)};
        op->log.move.value = kb_value_retain(out->value);
    }
    kb_op_log(op->engine, op->pe, &product);
}

/* ---- epilogues ---- */

static int add_operand(kb_op *op, const kb_product *p, const kb_product_step *s, kb_err *err)
{
    kb_tile *tile = s->operand.tile;
    size_t shape[2] = {s->row ? 1 : p->M, p->N};
    kb_value *value = tile ? kb_value_retain(tile->value)
                           : kb_value_create(op->engine->values, s->dtype, 2, shape);
    kb_epilogue_op *added = kb_epilogue_operand(&op->log.gemm.epilogue, s->op, value, err);
    kb_value_release(value);
    if (!added) return err->code;
    if (tile) {
        kb_vec_push(&op->held, kb_tile_retain(tile));
    } else if (op->engine->data) {
        kb_va_region region = {s->operand.va, s->row ? 1 : p->M, p->N * kb_dtype_size(s->dtype),
                               s->operand.stride};
        return kb_pe_translate(op->pe, &region, &added->pieces, err);
    }
    return KB_OK;
}

static int add_step(kb_op *op, const kb_product *p, const kb_product_step *s, kb_err *err)
{
    kb_epilogue *e = &op->log.gemm.epilogue;
    switch (s->kind) {
    case KB_PRODUCT_OPERAND:
        return add_operand(op, p, s, err);
    case KB_PRODUCT_SCALE:
        return kb_epilogue_scale(e, s->factor, err);
    case KB_PRODUCT_CAST:
        return kb_epilogue_cast(e, s->dtype, err);
    default:
        return kb_epilogue_step(e, s->name, err);
    }
}

/* Operation i as the hardware sees it. `s`: the step that it belongs to. */
static kb_tile_step tile_step(const kb_epilogue_op *op, const kb_product_step *s, kb_dtype x)
{
    bool with = s->kind == KB_PRODUCT_OPERAND;
    kb_tile_step step = {.passes = op->passes,
                         .width = op->width,
                         .x_bytes = (uint32_t)kb_dtype_size(x),
                         .tree = op->what.kind == KB_COMPUTE_REDUCE,
                         .whole_rows = op->whole_rows};
    if (!with) return step;
    step.with = s->row ? KB_STEP_ROW : KB_STEP_MATRIX;
    step.operand = operand(&s->operand, s->dtype);
    return step;
}

static int add_epilogue(kb_op *op, const kb_product *p, kb_err *err)
{
    kb_epilogue *e = &op->log.gemm.epilogue;
    kb_vec(kb_tile_step) steps = {0};
    kb_epilogue_init(e, p->M, p->N, kb_gemm_acc(p->in_a));
    int status = KB_OK;
    for (int i = 0; !status && i < p->step_count; i++) {
        size_t first = e->ops.count;
        kb_dtype x = e->x.dtype;
        status = add_step(op, p, &p->steps[i], err);
        for (size_t n = first; n < e->ops.count; n++) {
            kb_vec_push(&steps, tile_step(&e->ops.data[n], &p->steps[i], x));
            if (!e->ops.data[n].to_t) x = e->ops.data[n].what.dtype;
        }
        if (status) kb_fail_at(err, "step %d of the epilogue, %s", i + 1, p->steps[i].name);
    }
    op->steps = steps.data;
    op->composite.steps = steps.data;
    op->composite.step_count = (uint32_t)steps.count;
    if (!status && kb_dtype_is_float(e->x.dtype) != kb_dtype_is_float(p->out_type))
        status = kb_fail(err, KB_EINVAL,
                         "out holds %s, the result is %s: end the epilogue with {\"cast\", ...}",
                         kb_dtype_name(p->out_type), kb_dtype_name(e->x.dtype));
    return status;
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
                       .a = operand(&p->a, p->in_a),
                       .b = operand(&p->b, p->in_b),
                       .b_transposed = p->b_transposed,
                       .out = operand(&result, p->out_type),
                       .acc_bytes = p->acc ? (uint32_t)kb_dtype_size(p->acc->value->dtype) : 0,
                       .done = kb_op_complete,
                       .object = op};
    if (op->engine->data || p->step_count)
        *kb_op_begin_log(op, KB_LOG_GEMM) = (kb_log_entry){.op = KB_LOG_GEMM};
    int status = p->step_count ? add_epilogue(op, p, err) : KB_OK;
    if (!status) status = kb_composite_check(&op->composite, err);
    if (status) return kb_op_abandon(op, status);
    op->inputs[0] = kb_tile_retain(p->a.tile);
    op->inputs[1] = kb_tile_retain(p->b.tile);
    op->inputs[2] = kb_tile_retain(p->acc);
    fill_log(op, p, &result);
    log_ahead(op);
    kb_op_issue(op, dispatch_composite, 0);
    *out = op;
    return KB_OK;
}
