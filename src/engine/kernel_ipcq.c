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
    int status = kb_ipcq_open(port, out, &op->comm->ring, err);
    return status ? kb_fail_at(err, "%s", op->what) : KB_OK;
}

static kb_op *create(kb_proc *proc, const char *what, kb_comm_kind kind)
{
    kb_op *op = kb_op_create(proc, what);
    op->in_effect = true;
    op->comm = kb_pool_take(&op->engine->comm_pool);
    *op->comm = (kb_comm){.kind = kind};
    kb_completion_init(&op->comm->posted, 1);
    return op;
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
    kb_ipcq_send(op->comm->ring, op->inputs[0]->value, posted, kb_op_complete, op);
}

static void dispatch_send(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dispatch(sim, object, start_send);
}

int kb_kernel_send(kb_proc *proc, const char *direction, kb_tile *tile, kb_op **out, kb_err *err)
{
    kb_op *op = create(proc, "tl.send", KB_COMM_SEND);
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

/* The tile of a message that stays in its slot: it holds itself until that is given back. */
static void lie_in_slot(kb_op *op, uint32_t slot)
{
    kb_tile *tile = kb_tile_retain(op->result);
    tile->slot = kb_xmalloc(sizeof *tile->slot);
    *tile->slot = (kb_tile_slot){op->comm->ring, op->comm->ring->epoch, slot};
}

static void received(void *object, kb_value *value, bool matches, uint32_t slot)
{
    kb_op *op = object;
    if (matches && op->proc) {
        kb_value_release(op->result->value);
        op->result->value = kb_value_retain(value);
        if (op->comm->in_place) lie_in_slot(op, slot);
    } else if (matches && op->comm->in_place) {
        kb_ipcq_release(op->comm->ring, op->comm->ring->epoch, slot);
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
    kb_ipcq_receive_value(op->comm->ring, op->result->value, op->comm->in_place, received, op);
}

static void dispatch_receive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dispatch(sim, object, start_receive);
}

/* Takes over the value. */
static int take_slot(kb_op *op, kb_value *value, kb_err *err)
{
    const kb_ipcq_port *port = op->comm->ring->to;
    const kb_ipcq_shape *shape = port->block->shape;
    size_t bytes = kb_value_bytes(value);
    op->result = kb_tile_without_room(op->proc, value, op->what);
    if (shape->buffer != KB_IPCQ_TCM)
        return kb_fail(err, KB_EINVAL,
                       "%s: in_place: the ring of direction %s lies in %s; only a ring in tcm can "
                       "be used in place",
                       op->what, port->name, kb_ipcq_buffer_name(shape->buffer));
    if (bytes > shape->slot_bytes)
        return kb_fail(err, KB_EINVAL,
                       "%s: in_place: %zu B do not fit a slot of %u B of direction %s", op->what,
                       bytes, shape->slot_bytes, port->name);
    return KB_OK;
}

int kb_kernel_receive(kb_proc *proc, const char *direction, kb_dtype dtype, int rank,
                      const size_t *shape, bool in_place, kb_op **out, kb_err *err)
{
    kb_op *op = create(proc, "tl.recv", KB_COMM_RECV);
    op->comm->in_place = in_place;
    int status = open_ring(op, direction, false, err);
    if (!status && in_place)
        status = take_slot(op, kb_value_create(proc->engine->values, dtype, rank, shape), err);
    else if (!status)
        status = kb_tile_create(proc, dtype, rank, shape, op->what, &op->result, err);
    if (status) return kb_op_abandon(op, status);
    kb_op_issue(op, dispatch_receive, 0);
    *out = op;
    return KB_OK;
}

/* ---- tiles in slots ---- */

static const kb_tile *whole(const kb_tile *tile)
{
    while (kb_tile_is_view(tile)) tile = tile->parent;
    return tile;
}

bool kb_tile_given_back(const kb_tile *tile)
{
    return whole(tile)->given_back;
}

void kb_tile_leave_slot(kb_tile *tile)
{
    kb_tile_slot slot = *tile->slot;
    free(tile->slot);
    tile->slot = NULL;
    tile->given_back = true;
    kb_ipcq_release(slot.ring, slot.epoch, slot.slot);
    kb_tile_release(tile);
}

static bool takes(const kb_op *op, const kb_tile *tile)
{
    for (int i = 0; i < KB_COMPUTE_INPUTS; i++)
        if (op->inputs[i] && whole(op->inputs[i]) == tile) return true;
    for (size_t i = 0; i < op->held.count; i++)
        if (whole(op->held.data[i]) == tile) return true;
    return false;
}

void kb_tile_used(const kb_op *op, kb_tile *tile)
{
    while (kb_tile_is_view(tile)) tile = tile->parent;
    if (!tile->slot || !op->proc) return;
    for (const kb_op *other = op->proc->ops; other; other = other->proc_next)
        if (takes(other, tile)) return;
    kb_tile_leave_slot(tile);
}

/* ---- copies ---- */

static void copied(kb_sim *sim, void *object, uint64_t arg)
{
    kb_op *op = object;
    if (op->proc) {
        kb_value_release(op->result->value);
        op->result->value = kb_value_retain(op->inputs[0]->value);
    }
    kb_op_complete(sim, op, arg);
}

/* Through TCM's read port, and then through its write port. */
static void copy_out(kb_sim *sim, void *object, uint64_t bytes)
{
    kb_op *op = object;
    kb_time time = kb_pe_store_time(op->pe->m, bytes);
    kb_sim_at(sim, kb_link_claim(&op->pe->store, sim->now, time, bytes), copied, op, 0);
}

static void dispatch_copy(kb_sim *sim, void *object, uint64_t bytes)
{
    kb_op *op = object;
    op->dispatched = sim->now;
    kb_time time = kb_pe_fetch_time(op->pe->m, bytes);
    kb_sim_at(sim, kb_pe_claim_fetch(op->pe, time, bytes), copy_out, op, bytes);
}

int kb_kernel_copy(kb_proc *proc, kb_tile *tile, kb_op **out, kb_err *err)
{
    kb_op *op = kb_op_create(proc, "tl.copy_to_dst");
    const kb_value *value = tile->value;
    op->in_effect = true;
    int status =
        kb_tile_create(proc, value->dtype, value->rank, value->shape, op->what, &op->result, err);
    if (status) return kb_op_abandon(op, status);
    op->inputs[0] = kb_tile_retain(tile);
    kb_op_issue(op, dispatch_copy, kb_value_bytes(value));
    *out = op;
    return KB_OK;
}

/* ---- puts ---- */

static void put_committed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    if (op->in_effect || !op->proc) return;
    op->log.started = op->dispatched;
    op->log.ended = sim->now;
    kb_op_log(op->engine, op->pe, &op->log);
    op->in_effect = true;
}

static void leave(kb_sim *sim, kb_op *op);

/* Signals that waited for this put alone may leave. */
static void put_done(kb_sim *sim, void *object, uint64_t arg)
{
    kb_op *op = object;
    kb_proc *proc = op->proc;
    kb_pe *target = op->comm->target;
    op->comm->target = NULL;
    for (kb_op *o = proc ? proc->ops : NULL, *next; o; o = next) {
        next = o->proc_next;
        if (o->comm && o->comm->fenced && o->comm->target == target) leave(sim, o);
    }
    kb_op_complete(sim, op, arg);
}

static void dispatch_put(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    op->dispatched = sim->now;
    kb_dma_post post = {.left = posted, .committed = put_committed, .done = put_done, .object = op};
    kb_pe_dma_physical(op->pe, KB_DMA_WRITE, &op->pieces.data[0], &post);
}

int kb_kernel_put(kb_proc *proc, kb_pe *target, const kb_piece *to, kb_tile *tile, kb_op **out,
                  kb_err *err)
{
    (void)err;
    kb_op *op = create(proc, "tl.put", KB_COMM_PUT);
    op->comm->target = target;
    op->inputs[0] = kb_tile_retain(tile);
    kb_vec_push(&op->pieces, *to);
    if (op->engine->data) {
        kb_op_begin_log(op, KB_LOG_STORE);
        op->in_effect = false;
        op->log.move.value = kb_value_retain(tile->value);
        kb_vec_push(&op->log.move.pieces, *to);
    }
    op->engine->m->ipcq->books.put_bytes += to->rows * to->row_bytes;
    kb_op_issue(op, dispatch_put, 0);
    *out = op;
    return KB_OK;
}

/* ---- signals ---- */

/* Send it unless a put before it (behind it in the list) to the same PE is under way. */
static void leave(kb_sim *sim, kb_op *op)
{
    for (const kb_op *before = op->proc ? op->proc_next : NULL; before; before = before->proc_next)
        if (before->comm && before->comm->kind == KB_COMM_PUT &&
            before->comm->target == op->comm->target) {
            op->comm->fenced = true;
            return;
        }
    op->comm->fenced = false;
    if (op->proc) kb_signal_send(op->comm->target, op->comm->wait.id, op->comm->signal_time);
    kb_op_complete(sim, op, 0);
}

static void start_signal(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    leave(sim, object);
}

static void dispatch_signal(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dispatch(sim, object, start_signal);
}

int kb_kernel_signal(kb_proc *proc, kb_pe *target, uint32_t id, kb_op **out, kb_err *err)
{
    kb_op *op = create(proc, "tl.signal", KB_COMM_SIGNAL);
    op->comm->target = target;
    op->comm->wait.id = id;
    int status = kb_signal_check(op->pe->m, op->pe, target, &op->comm->signal_time, err);
    if (status) return kb_op_abandon(op, status);
    kb_op_issue(op, dispatch_signal, 0);
    *out = op;
    return KB_OK;
}

static void start_wait(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    if (op->proc)
        kb_signal_wait_for(op->pe, &op->comm->wait);
    else
        kb_op_complete(sim, op, 0);
}

static void dispatch_wait(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dispatch(sim, object, start_wait);
}

int kb_kernel_signal_wait(kb_proc *proc, uint32_t id, uint32_t count, kb_op **out, kb_err *err)
{
    (void)err;
    kb_op *op = create(proc, "tl.signal_wait", KB_COMM_SIGNAL_WAIT);
    op->comm->wait =
        (kb_signal_wait){.id = id, .count = count, .done = kb_op_complete, .object = op};
    kb_op_issue(op, dispatch_wait, 0);
    *out = op;
    return KB_OK;
}

/* ---- the end ---- */

void kb_kernel_ipcq_reset(kb_pe *pe)
{
    for (const kb_ipcq_block *block = pe->ipcq; block; block = block->next)
        for (uint32_t i = 0; i < block->count; i++) {
            if (block->ports[i].out) kb_ipcq_reset(block->ports[i].out, pe);
            if (block->ports[i].in) kb_ipcq_reset(block->ports[i].in, pe);
        }
    kb_signal_reset(pe);
}

const kb_op *kb_kernel_waits_for(const kb_proc *proc)
{
    const kb_op *found = NULL;
    for (const kb_op *op = proc->ops; op; op = op->proc_next) {
        if (!op->comm) continue;
        if (proc->ending)
            found = op;
        else if (proc->waiter.of == &op->done || proc->waiter.of == &op->comm->posted)
            return op;
    }
    return found;
}
