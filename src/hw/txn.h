/* A memory transaction on its way through the machine (laws T1 to T5, T9).
 *
 * Payload moves along the route that was computed when the transaction started: as a train while
 * nobody is in its way (train.h), else flit by flit, one event per flit and hop. A write injects
 * its flits at the requester and ends when the memory's acknowledgement, a command, is back. A read
 * sends its request as a command; the memory releases flits onto the reverse route, and the read
 * ends with the last of them.
 *
 * Payload is `rows` runs of `row_bytes`, `stride` bytes apart, at `offset` of one memory. A run is
 * cut into flits on its own, so no flit carries bytes of two runs. */
#ifndef KB_HW_TXN_H
#define KB_HW_TXN_H

#include "hw/machine.h"
#include "hw/series.h"
#include "hw/txn_route.h"

/* What a transaction has seen of one of its route's stops. */
typedef struct kb_hop {
    kb_wire *wire;  /* the stop's: what every flit claims is one step nearer here */
    kb_time first;  /* when the first flit was ready here, or NEVER; later ones queue behind */
    kb_time waited; /* of all flits, for this node's link */
    uint32_t left;  /* flits that have claimed this node's link, but for those of a train */
} kb_hop;

typedef struct kb_txn_request {
    kb_txn_op op;
    kb_node requester, memory;
    uint64_t offset;
    uint32_t rows;
    uint64_t row_bytes, stride; /* stride matters only for rows > 1 */
    kb_txn_route **recent; /* where the requester keeps its last route in this direction, or null */
    bool one_way;     /* no request before a read, no acknowledgement after a write (atomic.h) */
    kb_event_fn done; /* done(sim, object, arg) when it completes */
    void *object;
    uint64_t arg;
    /* Of a write, events with the same arguments, or null: the last flit has left the requester;
     * the last burst is committed. Both come before `done`, in this order. */
    kb_event_fn left, committed;
    /* Called with the finished transaction just before `done`, for traces and probes; may be null.
     */
    void (*watch)(void *object, const struct kb_txn *txn);
} kb_txn_request;

/* How its payload moves, once it does. */
typedef enum kb_txn_moves {
    KB_TXN_RESTS,
    KB_TXN_BY_TRAIN,
    KB_TXN_BY_FLIT,
    KB_TXN_ARRIVED /* by train */
} kb_txn_moves;

typedef struct kb_txn {
    kb_machine *m;
    kb_txn_route *route; /* held until it completes */
    kb_txn_request request;
    uint64_t id;
    uint32_t flits, flits_per_row, row_tail; /* row_tail: bytes of the last flit of a row */
    uint32_t flit_bytes;
    uint32_t arrived; /* flits at the end of the route */
    kb_time started, ended;
    uint32_t inject_end;  /* write: flits before this one have claimed the first link together */
    kb_time inject_start; /* of a write: when its flits begin to leave the first node */
    kb_time inject_left;  /* when the flit last injected has left it */
    kb_time committed;    /* write: end of the last burst so far */
    kb_time command;      /* time of the request or the acknowledgement */
    /* Of a read: when the memory releases each flit; of a write by train: when each is there. Of
     * those that have set out while it walks, if it is followed: when each is ready next. */
    kb_vec(kb_time) times;
    kb_series releases; /* of a read that has not walked: in `times` */
    bool completed;
    bool followed;
    bool walks; /* counted as a walker, even if a part of it is a train */
    kb_txn_moves moves;
    uint32_t train_number;  /* counts its trains */
    uint32_t train_first;   /* flit with which the train begins */
    uint32_t release_first; /* flit of a read from which on each schedules another */
    uint32_t retry;         /* flit at which it may try to become a train again */
    struct kb_txn *train_before, *train_behind; /* of all trains */
    kb_reservation *reservations;               /* of a train, by hop */
    kb_device *memory;
    uint32_t hop_count; /* the route's */
    uint32_t size_class;
    struct kb_txn *next_free, *next_made;
    struct kb_buffer **buffers; /* the route's: not null if they are finite (flow.h) */
    kb_time slots_taken; /* sum over flits and buffers of the time in which a slot was taken */
    kb_time blocked;     /* sum of waiting for credits, at the head of a buffer or of the source */
    kb_hop hops[];
} kb_txn;

/* Start a transaction now. The route must exist (KB_EINVAL otherwise) and rows and row_bytes be >
 * 0; payload is limited to 2^32 - 1 flits. */
int kb_txn_start(kb_machine *m, const kb_txn_request *request, kb_err *err);

/* ---- for devices ---- */

static inline uint32_t kb_txn_flit(uint64_t arg)
{
    return (uint32_t)arg;
}

/* So many flits from the first on are full. */
static inline uint32_t kb_txn_full_flits(const kb_txn *t)
{
    bool all = t->row_tail == t->flit_bytes;
    return all ? t->flits : t->flits_per_row - 1;
}

/* Payload bytes of a flit. */
static inline uint32_t kb_txn_flit_bytes(const kb_txn *t, uint32_t flit)
{
    bool last = t->request.rows == 1 ? flit + 1 == t->flits : (flit + 1) % t->flits_per_row == 0;
    return last ? t->row_tail : t->flit_bytes;
}

/* Offset in the memory at which a flit's payload begins. */
static inline uint64_t kb_txn_flit_offset(const kb_txn *t, uint32_t flit)
{
    const kb_txn_request *r = &t->request;
    if (r->rows == 1) return r->offset + (uint64_t)flit * t->flit_bytes;
    return r->offset + flit / t->flits_per_row * r->stride +
           (uint64_t)(flit % t->flits_per_row) * t->flit_bytes;
}

/* Hop and flit in the argument of an event. */
static inline uint64_t kb_txn_arg(uint32_t hop, uint32_t flit)
{
    return (uint64_t)hop << 32 | flit;
}

/* A flit is ready at the hop in `arg`: pass it on to the next. */
void kb_txn_forward(kb_sim *sim, void *txn, uint64_t arg);

#define KB_TXN_NEXT_HOP (UINT64_C(1) << 32)

static inline kb_time kb_txn_occupancy(const kb_txn *t, const kb_stop *stop, uint32_t bytes)
{
    return bytes == t->flit_bytes ? stop->flit_occupancy : kb_time_transfer(bytes, stop->gbs);
}

/* The last flit of the payload leaves its first node at `left`: tells the requester of a write. */
void kb_txn_has_left(kb_txn *txn, kb_time left);

/* When a flit that comes to hop h at `arrival` is ready there: the first pays the node's overhead
 * (T3), the others may not be ready before it was. */
static inline kb_time kb_txn_ready_at(kb_txn *t, uint32_t h, kb_time arrival)
{
    kb_hop *hop = &t->hops[h];
    if (hop->first == KB_TIME_NEVER) hop->first = arrival + t->route->stops[h].overhead;
    return arrival > hop->first ? arrival : hop->first;
}

/* Claim the link to the next hop for a flit that is ready now at the one in `arg`. Returns when its
 * last byte leaves. */
static inline kb_time kb_txn_send(kb_sim *sim, kb_txn *t, uint64_t arg)
{
    uint32_t h = (uint32_t)(arg >> 32), bytes = kb_txn_flit_bytes(t, kb_txn_flit(arg));
    kb_hop *hop = &t->hops[h];
    const kb_stop *stop = &t->route->stops[h];
    kb_time time = kb_txn_occupancy(t, stop, bytes);
    kb_track_claim(&hop->wire->track, t, sim->now);
    kb_time left = kb_link_claim(&hop->wire->link, sim->now, time, bytes);
    hop->waited += left - time - sim->now;
    hop->left++;
    t->m->flit_hops++;
    kb_time ready = kb_txn_ready_at(t, h + 1, left + stop->propagation);
    if (t->followed) t->times.data[kb_txn_flit(arg)] = ready;
    kb_sim_at(sim, ready, stop->next, t, arg + KB_TXN_NEXT_HOP);
    return left;
}

/* A memory has taken over a written flit and will have committed it at `committed`. */
void kb_txn_written(kb_txn *txn, kb_time committed);

/* `receive` of a memory that commits flits (device.h). */
void kb_txn_commit(kb_sim *sim, void *txn, uint64_t arg);

/* A memory releases flit `flit` of a read at `when`. It says so when the request arrives, of every
 * flit. */
static inline void kb_txn_release(kb_txn *t, uint32_t flit, kb_time when)
{
    if (when < t->hops[0].first) t->hops[0].first = when;
    t->times.data[flit] = when;
}

/* But for flits that are each released `step` after the one `period` before them: those from `head`
 * on, up to `tail`. */
static inline void kb_txn_release_regularly(kb_txn *t, uint32_t head, uint32_t tail,
                                            uint32_t period, kb_time step)
{
    t->releases.head = head;
    t->releases.tail = tail;
    t->releases.period = period;
    t->releases.step = step;
}

/* A flit of a read is back at the requester: what happens at the end of its route. */
void kb_txn_data_arrives(kb_sim *sim, void *txn, uint64_t arg);

/* ---- for trains ---- */

/* Time on hop h's link of the first `flits` flits. */
kb_time kb_txn_link_time(const kb_txn *txn, uint32_t h, uint32_t flits, uint64_t *bytes);

/* The flits from this one on set out one by one, it itself at `when`. */
void kb_txn_depart(kb_txn *txn, uint32_t flit, kb_time when);

/* As many flits of a read are back at the requester. */
void kb_txn_returned(kb_txn *txn, uint32_t flits);

/* A flit of a write has been ready at its memory, which commits, since `when`. */
void kb_txn_commit_at(kb_txn *txn, uint32_t flit, kb_time when);

#endif
