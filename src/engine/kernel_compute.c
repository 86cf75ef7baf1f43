/* Operations of the vector engine. */
#include <string.h>

#include "engine/kernel_op.h"

static void dispatch(kb_sim *sim, void *object, uint64_t time)
{
    kb_op *op = object;
    op->dispatched = sim->now;
    kb_time end = kb_link_claim(&op->pe->math, sim->now, time, 0);
    op->began = end - time;
    op->stage = KB_STAGE_MATH;
    kb_sim_at(sim, end, kb_op_complete, op, 0);
}

/* The engine walks over the larger of operands and result, at the width of the widest element. */
static kb_time math_time(const kb_proc *proc, const kb_compute *c)
{
    size_t elements = 1, widest = kb_dtype_size(c->dtype);
    for (int d = 0; d < c->rank; d++) elements *= c->shape[d];
    for (int i = 0; i < c->in_count; i++) {
        size_t count = kb_value_count(c->in[i]), size = kb_dtype_size(c->in[i]->dtype);
        if (count > elements) elements = count;
        if (size > widest) widest = size;
    }
    return kb_pe_math_time(proc->pe->m, elements, kb_compute_passes(c), (uint32_t)widest,
                           kb_compute_has_tree(c));
}

static void fill_log(kb_log_entry *log, const kb_compute *c, kb_value *out)
{
    log->op = KB_LOG_COMPUTE;
    log->compute.what = *c;
    for (int i = 0; i < c->in_count; i++) kb_value_retain(c->in[i]);
    log->compute.out = kb_value_retain(out);
}

/* Have the numbers now if they are made of constants; else note in the log what gives them. */
static int know_or_log(const kb_engine *engine, kb_log_entry *log, const kb_compute *c,
                       kb_value *value, kb_err *err)
{
    if (kb_compute_is_known(c)) {
        value->known = true;
        return kb_compute_run(c, value, err);
    }
    if (engine->data) fill_log(log, c, value);
    return KB_OK;
}

/* The same elements under another shape: no data moves, no time passes. */
static int make_view(kb_proc *proc, const kb_compute *c, kb_tile *tile, const char *what,
                     kb_tile **view, kb_err *err)
{
    kb_engine *engine = proc->engine;
    kb_value *value = kb_value_create(engine->values, c->dtype, c->rank, c->shape);
    kb_log_entry entry = {.started = engine->sim->now, .ended = engine->sim->now};
    int status = know_or_log(engine, &entry, c, value, err);
    if (status) {
        kb_value_release(value);
        return status;
    }
    if (engine->data && !value->known) kb_op_log(engine, proc->pe, &entry);
    *view = kb_tile_view(tile, value, what);
    return KB_OK;
}

int kb_kernel_compute(kb_proc *proc, kb_compute *c, kb_tile *const inputs[KB_COMPUTE_INPUTS],
                      const char *what, kb_op **out, kb_tile **view, kb_err *err)
{
    *out = NULL;
    *view = NULL;
    int status = kb_compute_infer(c, err);
    if (status) return status;
    if (kb_compute_passes(c) == 0) return make_view(proc, c, inputs[0], what, view, err);
    kb_op *op = kb_op_create(proc, what);
    status = kb_tile_create(proc, c->dtype, c->rank, c->shape, what, &op->result, err);
    if (status) return kb_op_abandon(op, status);
    for (int i = 0; i < c->in_count; i++) op->inputs[i] = kb_tile_retain(inputs[i]);
    if (proc->engine->data) kb_op_begin_log(op, KB_LOG_LOAD); /* and no other, if it is known */
    status = know_or_log(proc->engine, &op->log, c, op->result->value, err);
    if (status) return kb_op_abandon(op, status);
    op->in_effect = op->result->value->known;
    kb_op_issue(op, dispatch, math_time(proc, c));
    *out = op;
    return KB_OK;
}
