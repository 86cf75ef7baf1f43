/* Communication of kernels: messages through the rings of pe_ipcq, puts and signals.
 *
 * A send is issued like any command, goes to pe_ipcq, and waits there for slots. Its `posted`
 * completion is done when the last byte has left the PE's TCM: the kernel may go on; the operation
 * itself is complete when the peer's memory has acknowledged everything. A receive is complete when
 * its tile has the whole message. One whose message has another type or shape fails: `failure`.
 *
 * A message that is received in place stays in its slot of a ring in TCM. The slot is given back
 * when the first operation that takes the tile has completed (if several overlap, the last of
 * them), or when the kernel ends; the tile cannot be used after that. Nothing depends on when a
 * tile is collected.
 *
 * A put writes a tile into another PE's part of a tensor, on vc_comm, posted like a send; the
 * contents change when the last byte is committed. A signal leaves when all puts that this kernel
 * issued before it to the same PE have been acknowledged, so who has seen it sees their data. */
#ifndef KB_ENGINE_KERNEL_IPCQ_H
#define KB_ENGINE_KERNEL_IPCQ_H

#include "engine/kernel.h"
#include "hw/pe/pe_ipcq.h"
#include "hw/pe/pe_signal.h"

typedef enum kb_comm_kind {
    KB_COMM_SEND,
    KB_COMM_RECV,
    KB_COMM_PUT,
    KB_COMM_SIGNAL,
    KB_COMM_SIGNAL_WAIT
} kb_comm_kind;

/* What a communication operation has besides; part of the kb_op. */
typedef struct kb_comm {
    kb_comm_kind kind;
    kb_ipcq_ring *ring; /* of sends and receives */
    bool in_place;
    kb_completion posted; /* of sends and puts */
    kb_pe *target;        /* of puts and signals */
    kb_time signal_time;
    bool fenced; /* a signal that waits for puts */
    kb_signal_wait wait;
} kb_comm;

/* KB_EINVAL if the direction is not installed: names the PE and what is. */
int kb_kernel_send(kb_proc *proc, const char *direction, kb_tile *tile, kb_op **out, kb_err *err);

/* `in_place`: leave the data in its slot; KB_EINVAL if the ring is not in TCM or a slot too small.
 */
int kb_kernel_receive(kb_proc *proc, const char *direction, kb_dtype dtype, int rank,
                      const size_t *shape, bool in_place, kb_op **out, kb_err *err);

/* The same elements in room of their own. */
int kb_kernel_copy(kb_proc *proc, kb_tile *tile, kb_op **out, kb_err *err);

/* Write the tile to a place in a memory of, or near, the target. */
int kb_kernel_put(kb_proc *proc, kb_pe *target, const kb_piece *to, kb_tile *tile, kb_op **out,
                  kb_err *err);

int kb_kernel_signal(kb_proc *proc, kb_pe *target, uint32_t id, kb_op **out, kb_err *err);
int kb_kernel_signal_wait(kb_proc *proc, uint32_t id, uint32_t count, kb_op **out, kb_err *err);

/* A tile, or what it is a view of, lay in a slot that has been given back. */
bool kb_tile_given_back(const kb_tile *tile);

/* An operation that took the tile has completed. */
void kb_tile_used(const kb_op *op, kb_tile *tile);
void kb_tile_leave_slot(kb_tile *tile);

/* A kernel on the PE has failed: its rings and signals are reset. */
void kb_kernel_ipcq_reset(kb_pe *pe);

/* What a process waits for among these, or null: for the deadlock report. Of one whose code has
 * ended: the first operation that keeps it from ending. */
const kb_op *kb_kernel_waits_for(const kb_proc *proc);

#endif
