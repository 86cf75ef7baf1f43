/* Communication of kernels: messages through the rings of pe_ipcq.
 *
 * A send is issued like any command, goes to pe_ipcq, and waits there for slots. Its `posted`
 * completion is done when the last byte has left the PE's TCM: the kernel may go on; the operation
 * itself is complete when the peer's memory has acknowledged everything. A receive is complete when
 * its tile has the whole message. One whose message has another type or shape fails: `failure`. */
#ifndef KB_ENGINE_KERNEL_IPCQ_H
#define KB_ENGINE_KERNEL_IPCQ_H

#include "engine/kernel.h"
#include "hw/pe/pe_ipcq.h"

/* What a communication operation has besides; part of the kb_op. */
typedef struct kb_comm {
    kb_ipcq_ring *ring; /* of sends and receives */
    bool out;
    bool in_place;
    bool started; /* pe_ipcq has the command */
    kb_completion posted;
} kb_comm;

/* KB_EINVAL if the direction is not installed: names the PE and what is. */
int kb_kernel_send(kb_proc *proc, const char *direction, kb_tile *tile, kb_op **out, kb_err *err);

/* `in_place`: leave the data in its slot of a ring in TCM; KB_EINVAL if it cannot be. */
int kb_kernel_receive(kb_proc *proc, const char *direction, kb_dtype dtype, int rank,
                      const size_t *shape, bool in_place, kb_op **out, kb_err *err);

/* A kernel has ended. If its launch failed, its rings are reset. */
void kb_kernel_ipcq_forget(kb_proc *proc);

#endif
