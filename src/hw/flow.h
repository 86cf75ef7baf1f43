/* Finite buffers with credits: an optional refinement of how payload moves, off by default.
 *
 * Law. At the far end of every link lies, for each virtual channel (topo/vchannel.h) and for data
 * of writes and of reads apart, a buffer of B flits: `buffer_flits` on links inside a die,
 * `die_buffer_flits` on links between dies. The near end holds one credit for each free slot.
 *
 *   - A flit joins the queue of a link (T2, T6) when it is ready, is not behind a blocked flit, and
 *     gets a credit of its virtual channel there; it takes the slot then.
 *   - Among the ready flits of a buffer, in the order in which they became ready, one for which
 *     there is no credit blocks those behind it. Flits in other buffers go past it. Who is blocked
 *     is served in the order in which he came to be first in his buffer.
 *   - The slot is free when the flit's last byte has left on its next link; the credit is back at
 *     the near end T1 of the link later. It occupies nothing (T5).
 *   - At the end of its way a flit gives up its slot as soon as it is ready there: memories and
 *     requesters take whatever comes, and the queues behind them (pseudo-channels, ports of TCM)
 *     have no bound. Nor has what waits to leave at the source: it lies in the memory that it comes
 *     from.
 *
 * A stream that nobody disturbs hence passes a link at min(bandwidth, B x flit / round trip), where
 * the round trip of a slot is the occupancy of this link + T1 + occupancy of the next link (none at
 * the end) + T1. With enough slots everything happens exactly when it does without the refinement.
 *
 * A credit that is back at t serves whoever is ready at t. It is an event only if somebody waits
 * for it: otherwise it is counted when somebody looks.
 *
 * Buffers come to be with the first route that uses them; the machine owns them through its
 * kb_flow, which is null while the refinement is off. */
#ifndef KB_HW_FLOW_H
#define KB_HW_FLOW_H

#include "base/pool.h"
#include "base/vec.h"
#include "hw/machine.h"
#include "topo/vchannel.h"

struct kb_txn;

/* A flit that cannot go on, or at the source of a write that flit and all behind it. */
typedef struct kb_blocked kb_blocked;
typedef struct kb_blocked_list {
    kb_blocked *head, *tail;
} kb_blocked_list;

/* The slots of one virtual channel at the end of a link. */
typedef struct kb_buffer {
    struct kb_buffer *next; /* of the same link */
    struct kb_buffer *next_made;
    kb_node from, to;
    kb_vchannel channel;
    int op; /* kb_txn_op */
    uint32_t slots, credits;
    kb_time propagation;
    kb_vec(
        kb_time) returns; /* when credits on their way will be back, ascending, from `first` on */
    size_t first;
    kb_time wake; /* when the next one is handed to who waits; KB_TIME_NEVER: nobody does */
    kb_blocked_list ready;                /* in these slots, behind and including a blocked head */
    kb_blocked_list waiting;              /* for a credit: heads of other buffers, and sources */
    uint32_t waiting_count, source_count; /* of these */
    kb_time changed;                      /* when credits or a count last changed */
    kb_time taken_integral;               /* sum of slots taken x time, up to `changed` */
    kb_time waiting_integral, source_integral; /* sums of the counts x time */
} kb_buffer;

typedef struct kb_flow {
    uint32_t buffer_flits, die_buffer_flits;
    kb_buffer *made; /* all of them */
    kb_pool blocked;
    kb_vec(kb_vchannel) channels; /* scratch */
    /* Books of transactions that have completed, beside those of the buffers. */
    kb_time taken; /* slots x time */
    kb_time blocked_time;
} kb_flow;

extern const kb_param kb_flow_params[];

kb_flow *kb_flow_create(const kb_spec *spec); /* NULL: off */
void kb_flow_destroy(kb_flow *flow);

/* ---- for transactions (txn.c) ---- */

/* Virtual channels of the route in m->path, before it is reversed for a read. */
void kb_flow_choose(kb_machine *m);

/* Find the buffer at the end of each link of m->path, as data of `op` will take it. */
void kb_flow_fill(kb_machine *m, int op, kb_buffer **out);

/* A flit is ready at the hop in `arg`. */
void kb_flow_ready(kb_sim *sim, struct kb_txn *txn, uint64_t arg);

/* A write begins: take slots for as many of its first flits as there are, and let the others wait.
 * Returns how many go now. */
uint32_t kb_flow_begin_write(struct kb_txn *txn);

/* A flit has been taken over at the end of its way. */
void kb_flow_end(struct kb_txn *txn);

/* All flits of a transaction have arrived. */
void kb_flow_complete(const struct kb_txn *txn);

/* ---- for the audit and statistics ---- */

/* Bring credits and integrals up to now, before reading them. */
void kb_buffer_settle(kb_buffer *buffer, kb_time now);

/* Slots x time, up to the return of the credits that are on their way; `returning`: how many. */
kb_time kb_buffer_taken(kb_buffer *buffer, kb_time now, uint32_t *returning);

/* Waiting for credits up to now, over all buffers. */
typedef struct kb_flow_waits {
    kb_time in_buffers, at_sources;
    const kb_buffer *most; /* waited for longest by flits in buffers; null: by none */
} kb_flow_waits;

kb_flow_waits kb_flow_waiting(kb_flow *flow, kb_time now);

#endif
