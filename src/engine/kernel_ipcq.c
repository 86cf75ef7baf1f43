#include "engine/kernel_ipcq.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel_op.h"
#include "engine/launch.h"

/* ---- directions ---- */

static int unknown_direction(const kb_pe *pe, const char *what, const char *direction, kb_err *err)
{
    char known[200] = "";
    size_t used = 0;
    for (const kb_ipcq_block *block = pe->ipcq; block; block = block->next)
        for (uint32_t i = 0; i < block->count && used < sizeof known; i++)
            if (!block->ports[i].closed)
                used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                         used ? ", " : "", block->ports[i].name);
    if (!used)
        return kb_fail(err, KB_EINVAL,
                       "%s: %s has no direction %s: no plan with this PE is installed "
                       "(torch.install_ipcq)",
                       what, pe->name, direction);
    return kb_fail(err, KB_EINVAL, "%s: %s has no direction %s; it has: %s", what, pe->name,
                   direction, known);
}

static int open_ring(kb_op *op, const char *direction, bool out, kb_err *err)
{
    kb_ipcq_port *port = kb_ipcq_find(op->pe, direction);
    if (!port) return unknown_direction(op->pe, op->what, direction, err);
    op->comm = kb_xcalloc(1, sizeof *op->comm);
    op->comm->out = out;
    kb_completion_init(&op->comm->posted, 1);
    int status = kb_ipcq_open(port, out, &op->comm->ring, err);
    return status ? kb_fail_at(err, "%s", op->what) : KB_OK;
}

/* The command goes from pe_scheduler to pe_ipcq. */
static void dispatch(kb_sim *sim, kb_op *op, kb_event_fn start)
{
    op->dispatched = sim->now;
    kb_sim_after(sim, kb_ipcq_overhead(op->pe->m), start, op, 0);
}

/* ---- send ---- */

static void posted(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    kb_completion_part(&op->comm->posted, sim);
}

static void start_send(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    if (!op->proc) { /* stopped meanwhile */
        kb_op_complete(sim, op, 0);
        return;
    }
    op->comm->started = true;
    kb_ipcq_send(op->comm->ring, op->inputs[0]->value, posted, kb_op_complete, op);
}

static void dispatch_send(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dispatch(sim, object, start_send);
}

int kb_kernel_send(kb_proc *proc, const char *direction, kb_tile *tile, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, "tl.send");
    op->in_effect = true;
    op->inputs[0] = kb_tile_retain(tile);
    int status = open_ring(op, direction, true, err);
    if (status) return kb_op_abandon(op, status);
    kb_op_issue(op, dispatch_send, 0);
    *out = op;
    return KB_OK;
}

/* ---- receive ---- */

static void text_of(const kb_value *value, char *text, size_t size)
{
    char shape[KB_SHAPE_TEXT];
    snprintf(text, size, "%s %s", kb_shape_text(value->rank, value->shape, shape),
             kb_dtype_name(value->dtype));
}

static void mismatch(kb_op *op, const kb_value *value)
{
    char wanted[KB_SHAPE_TEXT + 16], sent[KB_SHAPE_TEXT + 16];
    const kb_ipcq_port *to = op->comm->ring->to, *from = to->peer;
    text_of(op->result->value, wanted, sizeof wanted);
    text_of(value, sent, sizeof sent);
    op->failure = kb_xcalloc(1, sizeof *op->failure);
    kb_fail(op->failure, KB_EINVAL,
            "%s: %s expects %s from direction %s, but %s sent %s in direction %s", op->what,
            to->block->pe->name, wanted, to->name, from->block->pe->name, sent, from->name);
}

static void received(void *object, kb_value *value, bool matches, uint32_t slot)
{
    kb_op *op = object;
    if (matches && op->proc) {
        kb_value_release(op->result->value);
        op->result->value = kb_value_retain(value);
        (void)slot;
    } else if (value && !matches) {
        mismatch(op, value);
    }
    kb_op_complete(op->engine->sim, op, 0);
}

static void start_receive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    if (!op->proc) {
        kb_op_complete(sim, op, 0);
        return;
    }
    op->comm->started = true;
    kb_ipcq_receive_value(op->comm->ring, op->result->value, op->comm->in_place, received, op);
}

static void dispatch_receive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dispatch(sim, object, start_receive);
}

int kb_kernel_receive(kb_proc *proc, const char *direction, kb_dtype dtype, int rank,
                      const size_t *shape, bool in_place, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, "tl.recv");
    op->in_effect = true;
    int status = open_ring(op, direction, false, err);
    if (!status) {
        op->comm->in_place = in_place;
        status = kb_tile_create(proc, dtype, rank, shape, op->what, &op->result, err);
    }
    if (status) return kb_op_abandon(op, status);
    kb_op_issue(op, dispatch_receive, 0);
    *out = op;
    return KB_OK;
}

/* ---- the end ---- */

void kb_kernel_ipcq_forget(kb_proc *proc)
{
    if (!proc->launch->failed) return;
    for (const kb_ipcq_block *block = proc->pe->ipcq; block; block = block->next)
        for (uint32_t i = 0; i < block->count; i++) {
            if (block->ports[i].out) kb_ipcq_reset(block->ports[i].out, proc->pe);
            if (block->ports[i].in) kb_ipcq_reset(block->ports[i].in, proc->pe);
        }
}
