#include "hw/atomic.h"

#include <assert.h>

/* The operands' way, or that of the old values. */
static kb_txn_request half(kb_atomic *a, kb_txn_op op, uint32_t values, kb_event_fn done)
{
    const kb_atomic_request *r = &a->request;
    return (kb_txn_request){.op = op,
                            .requester = r->requester,
                            .memory = r->memory,
                            .offset = r->offset,
                            .rows = r->rows,
                            .row_bytes = r->row_bytes * values,
                            .stride = r->stride,
                            .one_way = true,
                            .done = done,
                            .object = a};
}

static void finish(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    const kb_atomic_request *r = &((kb_atomic *)object)->request;
    r->done(sim, r->object, r->arg);
}

/* The operands are committed. */
static void perform(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_atomic *a = object;
    a->request.perform(sim, a->request.object, a->request.arg);
    kb_txn_request back = half(a, KB_TXN_READ, 1, finish);
    int status = kb_txn_start(a->m, &back, NULL);
    assert(!status); /* the way is that of the operands, and these are no more */
    (void)status;
}

int kb_atomic_start(kb_atomic *a, kb_machine *m, const kb_atomic_request *request, kb_err *err)
{
    *a = (kb_atomic){.m = m, .request = *request};
    kb_txn_request out = half(a, KB_TXN_WRITE, request->operands, perform);
    return kb_txn_start(m, &out, err);
}
