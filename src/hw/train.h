/* Trains: all flits of a transaction at once, while nobody is in their way.
 *
 * A flit of a transaction whose route nobody else uses meets only those before it, so when it
 * passes each link follows from when it sets out. Such a transaction becomes a train: the passage
 * of every flit over every link is computed in one loop, by the same recurrence that events follow
 * (T1 to T4), and one event, at the last arrival, stands for all. The train reserves what it
 * passes, in the order of passing: another train may follow behind it.
 *
 * Whoever claims something that is reserved, and has not been passed by all flits yet, dissolves
 * the train first: links get what has passed up to now, the flits under way get events, and from
 * then on the transaction walks, flit by flit. So results are those of walking, to the picosecond;
 * only where two flits are ready for a link at the same time may the other go first.
 *
 * A transaction that starts while somebody walks over a part of its route walks as well. From time
 * to time a long one looks whether it is alone by then, and lets its last flits follow those under
 * way as a train. With finite buffers (flow.h), or `system.fidelity: flit`, all walk.
 *
 * Links and memories learn late what a train has moved: kb_train_settle before looking at all of
 * them. */
#ifndef KB_HW_TRAIN_H
#define KB_HW_TRAIN_H

#include <stdbool.h>

#include "sim/sim.h"

struct kb_machine;
struct kb_txn;

/* One train's passage over one link, or its arrival at a memory. */
typedef struct kb_reservation {
    struct kb_reservation *before, *behind; /* of other trains, on the same track */
    struct kb_txn *txn;
    struct kb_track *track;
    kb_time free;      /* when the link is free for it */
    kb_time last;      /* when its last flit is ready here */
    kb_time last_left; /* when that has left */
    kb_time waited;    /* of all flits, for the link */
} kb_reservation;

/* What trains reserve: a link or a memory. Zeroed: nothing yet. */
typedef struct kb_track {
    kb_reservation *first, *last; /* in the order of passing */
    kb_time until;                /* before then, claims have to ask (kb_track_claim) */
    uint32_t walkers;             /* transactions that cross it flit by flit */
} kb_track;

/* Dissolve the trains that have not passed, but for that of the claimant itself. */
void kb_track_yield(kb_track *track, const struct kb_txn *claimant, kb_time now);

/* Before anything but a train claims what the track stands for. */
static inline void kb_track_claim(kb_track *track, const struct kb_txn *claimant, kb_time now)
{
    if (track->until > now) kb_track_yield(track, claimant, now);
}

/* Flits of the transaction begin to move: make it a train, or let it walk. Returns whether it is a
 * train. Of a read, its releases are known; of a write, when it has left its first link. */
bool kb_train_start(struct kb_txn *txn);

/* A transaction that walks has this flit at the node where it sets out: whether it is time to look
 * if it can be a train again. */
bool kb_train_is_due(const struct kb_txn *txn, uint32_t flit);

/* Look. True: all flits from `first` on are a train now; those before it go on walking. */
bool kb_train_resume(struct kb_txn *txn, uint32_t first);

/* The transaction has completed. */
void kb_train_end(struct kb_txn *txn);

/* Dissolve all trains, so that links and memories have counted what has happened up to now. */
void kb_train_settle(struct kb_machine *m);

#endif
