#include "engine/kernel.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kernel_ipcq.h"
#include "engine/kernel_op.h"
#include "engine/launch.h"

/* ---- tiles ---- */

/* Append "; live: 4096 KiB (512, 4096) f16 from tl.load, ..." to the message. */
static void list_live(const kb_proc *proc, kb_err *err)
{
    size_t used = strlen(err->text);
    int shown = 0;
    for (const kb_tile *t = proc->tiles; t && shown < 6; t = t->next, shown++) {
        char shape[KB_SHAPE_TEXT];
        used += (size_t)snprintf(
            err->text + used, sizeof err->text - used, "%s %s %s from %s",
            shown ? "," : "; live tiles:", kb_shape_text(t->value->rank, t->value->shape, shape),
            kb_dtype_name(t->value->dtype), t->made_by);
        if (used >= sizeof err->text - 1) return;
    }
    if (!shown) snprintf(err->text + used, sizeof err->text - used, "; no tile is live");
}

_Static_assert(sizeof(kb_tile) <= 64, "a cache line");

static kb_tile *own_tile(kb_proc *proc, kb_tile init)
{
    kb_tile *tile = kb_depot_take(proc->engine->tiles);
    *tile = init;
    tile->next = proc->tiles;
    if (tile->next) tile->next->prev = tile;
    proc->tiles = tile;
    return tile;
}

int kb_tile_create(kb_proc *proc, kb_dtype dtype, int rank, const size_t *shape,
                   const char *made_by, kb_tile **out, kb_err *err)
{
    kb_value *value = kb_value_create(proc->engine->values, dtype, rank, shape);
    uint64_t addr;
    int status = kb_room_take(proc, kb_value_bytes(value), &addr, err);
    if (status) {
        kb_value_release(value);
        kb_fail_at(err, "out of TCM");
        list_live(proc, err);
        return status;
    }
    *out = own_tile(proc, (kb_tile){.refs = 1,
                                    .value = value,
                                    .owner = proc,
                                    .has_room = true,
                                    .addr = addr,
                                    .made_by = made_by});
    return KB_OK;
}

kb_tile *kb_tile_view(kb_tile *tile, kb_value *value, const char *made_by)
{
    return own_tile(tile->owner, (kb_tile){.refs = 1,
                                           .value = value,
                                           .owner = tile->owner,
                                           .parent = kb_tile_retain(tile),
                                           .made_by = made_by});
}

kb_tile *kb_tile_without_room(kb_proc *proc, kb_value *value, const char *made_by)
{
    return own_tile(proc, (kb_tile){.refs = 1, .value = value, .owner = proc, .made_by = made_by});
}

static void give_back_room(kb_tile *tile)
{
    kb_proc *owner = tile->owner;
    if (!owner) return;
    if (tile->has_room)
        kb_room_give(owner, tile->addr, kb_value_bytes(tile->value));
    else
        kb_tile_release(tile->parent);
    tile->has_room = false;
    tile->parent = NULL;
    if (tile->prev)
        tile->prev->next = tile->next;
    else
        owner->tiles = tile->next;
    if (tile->next) tile->next->prev = tile->prev;
    tile->owner = NULL;
    tile->home = owner->engine->tiles;
}

kb_tile *kb_tile_retain(kb_tile *tile)
{
    if (tile) tile->refs++;
    return tile;
}

void kb_tile_release(kb_tile *tile)
{
    if (!tile || --tile->refs) return;
    give_back_room(tile);
    kb_value_release(tile->value);
    kb_depot_give_own(tile->home, tile);
}

/* ---- operations ---- */

kb_op *kb_op_create(kb_proc *proc, const char *what)
{
    kb_engine *engine = proc->engine;
    kb_op *op = kb_pool_take(&engine->op_pool);
    memset(op, 0, offsetof(kb_op, composite));
    op->refs = 2; /* the issuer's, and the operation's own until it completes */
    op->engine = engine;
    op->proc = proc;
    op->pe = proc->pe;
    op->what = what;
    op->stage = KB_STAGE_COUNT;
    kb_completion_init(&op->done, 1);
    return op;
}

kb_log_entry *kb_op_begin_log(kb_op *op, kb_log_op what)
{
    memset(&op->log, 0, offsetof(kb_log_entry, move) + sizeof op->log.move);
    op->log.op = what;
    op->logs = true;
    return &op->log;
}

kb_op *kb_op_retain(kb_op *op)
{
    op->refs++;
    return op;
}

static void release_held(kb_op *op)
{
    for (size_t i = 0; i < op->held.count; i++) kb_tile_release(op->held.data[i]);
    kb_vec_free(&op->held);
}

void kb_op_release(kb_op *op)
{
    if (!op || --op->refs) return;
    kb_engine *engine = op->engine;
    kb_tile_release(op->result);
    for (int i = 0; i < KB_COMPUTE_INPUTS; i++) kb_tile_release(op->inputs[i]);
    release_held(op);
    free(op->steps);
    kb_vec_free(&op->pieces);
    if (op->logs) kb_log_entry_fini(&op->log);
    if (op->comm) kb_pool_give(&engine->comm_pool, op->comm);
    free(op->failure);
    kb_pool_give(&engine->op_pool, op);
}

void kb_op_hold(kb_op_holder *holder, kb_op *op)
{
    holder->op = op;
    op->holder = holder;
}

void kb_op_let_go(kb_op_holder *holder)
{
    kb_op *op = holder->op;
    if (!op) return;
    holder->complete = kb_completion_done(&op->done);
    holder->op = NULL;
    op->holder = NULL;
    kb_op_release(op);
}

/* An operation that was never issued. */
int kb_op_abandon(kb_op *op, int status)
{
    op->refs = 1;
    kb_op_release(op);
    return status;
}

void kb_op_issue(kb_op *op, kb_event_fn dispatch, uint64_t arg)
{
    kb_proc *proc = op->proc;
    op->proc_next = proc->ops;
    if (op->proc_next) op->proc_next->proc_prev = op;
    proc->ops = op;
    op->label = (kb_command_label){proc->launch->number, proc->pe->commands, op->what};
    op->issued = kb_pe_issue(proc->pe, dispatch, op, arg);
}

/* It is no longer under way for its process, if that still lives. */
static void leave_process(kb_op *op)
{
    if (!op->proc) return;
    if (op->proc_prev)
        op->proc_prev->proc_next = op->proc_next;
    else
        op->proc->ops = op->proc_next;
    if (op->proc_next) op->proc_next->proc_prev = op->proc_prev;
}

/* A row in the record of stages for a command that moves or computes by itself. */
static void record(const kb_op *op)
{
    const kb_pe *pe = op->pe;
    if (!pe->m->stages || op->stage == KB_STAGE_COUNT) return;
    kb_stage_row row = {.command = op->label,
                        .sip = (uint16_t)pe->sip,
                        .cube = (uint16_t)pe->cube,
                        .pe = (uint16_t)pe->number,
                        .stage = (uint8_t)op->stage,
                        .start = op->stage == KB_STAGE_MATH ? op->began : pe->dma_began,
                        .end = op->ended};
    kb_vec_push(&pe->m->stages->rows, row);
}

void kb_op_log(kb_engine *engine, const kb_pe *pe, kb_log_entry *entry)
{
    const kb_graph *g = engine->m->graph;
    int cube = pe->sip * kb_graph_cubes(g) + pe->cube;
    entry->stream = (uint32_t)(cube * g->cube_plan.pes + pe->number);
    kb_oplog_append(engine->log, entry);
}

void kb_op_complete(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_op *op = object;
    op->ended = sim->now;
    kb_proc *proc = op->proc;
    leave_process(op);
    record(op);
    if (op->logs && op->engine->data && proc && !op->in_effect) {
        op->log.started = op->dispatched;
        op->log.ended = op->ended;
        kb_op_log(op->engine, op->pe, &op->log);
    }
    for (int i = 0; i < KB_COMPUTE_INPUTS; i++) {
        if (op->inputs[i]) kb_tile_used(op, op->inputs[i]);
        kb_tile_release(op->inputs[i]);
        op->inputs[i] = NULL;
    }
    for (size_t i = 0; i < op->held.count; i++) kb_tile_used(op, op->held.data[i]);
    release_held(op);
    kb_completion_part(&op->done, sim);
    if (op->holder && !op->result && !op->failure) kb_op_let_go(op->holder);
    kb_op_release(op);
    if (proc && !proc->ops && proc->ending) kb_launch_instance_idle(proc);
}

static void forget_tiles(kb_proc *proc)
{
    while (proc->tiles) {
        kb_tile *tile = proc->tiles;
        if (tile->slot)
            kb_tile_leave_slot(tile);
        else
            give_back_room(tile);
    }
    kb_room_return_kept(proc);
}

void kb_kernel_forget(kb_proc *proc)
{
    forget_tiles(proc);
    kb_op_release(proc->awaited);
    proc->awaited = NULL;
    for (kb_op *op = proc->ops; op; op = op->proc_next) op->proc = NULL;
    proc->ops = NULL;
    if (proc->launch->failed) kb_kernel_ipcq_reset(proc->pe);
}

static void drop(void *block)
{
    kb_op *op = block;
    if (op->holder) op->holder->op = NULL;
    op->refs = 1;
    kb_op_release(op);
}

void kb_kernel_free_all(kb_engine *engine)
{
    for (kb_proc *proc = engine->procs; proc; proc = proc->next) {
        forget_tiles(proc);
        proc->awaited = NULL;
    }
    kb_pool_each_taken(&engine->op_pool, drop);
    kb_room_free_all(engine);
}
