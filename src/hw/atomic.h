/* Atomic operations at a memory.
 *
 * Law. The operands travel to the memory as a write does, flit by flit, and occupy it as a write
 * does; nothing acknowledges them. When the last of them is committed the operation takes place, at
 * once and as a whole; operations on one memory thus follow each other in the order in which their
 * operands are committed. From then on the old values travel back as a read's data does, and occupy
 * the memory as a read does. Its time on an idle machine is that of a write without its
 * acknowledgement plus that of a read without its request. */
#ifndef KB_HW_ATOMIC_H
#define KB_HW_ATOMIC_H

#include "hw/txn.h"

typedef struct kb_atomic_request {
    kb_node requester, memory;
    uint64_t offset;
    uint32_t rows;
    uint64_t row_bytes, stride;
    uint32_t operands;   /* values per element that travel to the memory: 2 for compare and swap */
    kb_event_fn perform; /* perform(sim, object, arg) when it takes place */
    kb_event_fn done;    /* done(sim, object, arg) when the old values are back */
    void *object;
    uint64_t arg;
} kb_atomic_request;

/* One under way; the caller keeps it until `done`. Fields are private. */
typedef struct kb_atomic {
    kb_machine *m;
    kb_atomic_request request;
} kb_atomic;

/* As kb_txn_start. */
int kb_atomic_start(kb_atomic *atomic, kb_machine *m, const kb_atomic_request *request,
                    kb_err *err);

#endif
