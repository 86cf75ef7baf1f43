/* Life of a kernel operation, for the files that define operations. Private to src/engine. */
#ifndef KB_ENGINE_KERNEL_OP_H
#define KB_ENGINE_KERNEL_OP_H

#include "engine/kernel.h"

/* `what` is static text. Two references: the issuer's and the operation's own. */
kb_op *kb_op_create(kb_proc *proc, const char *what);

/* It begins to fill in what is to be appended to the op log: an entry whose `move` is empty. */
kb_log_entry *kb_op_begin_log(kb_op *op, kb_log_op what);

/* Drop an operation that is not issued after all; returns `status`. */
int kb_op_abandon(kb_op *op, int status);

/* Issue it: dispatch(sim, op, arg) runs when pe_scheduler gets to it. */
void kb_op_issue(kb_op *op, kb_event_fn dispatch, uint64_t arg);

/* Room in TCM: as kb_alloc_take and kb_alloc_give. Whoever ends a kernel returns what was kept. */
int kb_room_take(kb_proc *proc, uint64_t bytes, uint64_t *addr, kb_err *err);
void kb_room_give(kb_proc *proc, uint64_t addr, uint64_t bytes);
void kb_room_return_kept(kb_proc *proc);
void kb_room_free_all(kb_engine *engine);

/* Append an entry of a PE to the op log. */
void kb_op_log(kb_engine *engine, const kb_pe *pe, kb_log_entry *entry);

/* Event: it has completed. */
void kb_op_complete(kb_sim *sim, void *op, uint64_t arg);

/* kernel_memory.c: the physical pieces of what an operation touches; a copy of them, and of its
 * mask (shaped like `like`), for the op log. */
int kb_op_translate(kb_op *op, const kb_access *access, kb_err *err);
void kb_op_copy_pieces(kb_pieces *to, const kb_pieces *from);
int kb_op_hold_mask(const uint8_t *mask, const kb_value *like, kb_value **out, kb_err *err);

#endif
