/* Routes of transactions, with all that a transaction needs to know of its way.
 *
 * That depends on the requester, the memory and the direction of data alone. It is worked out for
 * the first transaction and kept for those that follow, in a table of bounded size, in which
 * a route may take the place of an older one. Nothing but time depends on what is kept.
 *
 * The machine owns the table. A route that somebody holds stays as it is, in the table or not. */
#ifndef KB_HW_TXN_ROUTE_H
#define KB_HW_TXN_ROUTE_H

#include "base/vec.h"
#include "hw/device.h"
#include "topo/graph.h"

struct kb_buffer;
struct kb_machine;
struct kb_wire;

typedef enum kb_txn_op { KB_TXN_READ, KB_TXN_WRITE } kb_txn_op;

/* A node that data come to, and the link that leaves it (none at the last). A cache line. */
typedef struct kb_stop {
    struct kb_wire *wire;
    kb_event_fn receive; /* what happens when a flit is ready at this node */
    kb_event_fn next;    /* and at the next one */
    kb_time flit_occupancy, propagation;
    kb_time overhead; /* of this node */
    double gbs;
    kb_node node;
} kb_stop;

typedef struct kb_txn_route {
    uint64_t key; /* requester, memory and direction */
    uint32_t users;
    bool kept; /* in the table */
    struct kb_txn_route *next_spare;
    uint32_t count;  /* of stops */
    kb_time command; /* time of the request or the acknowledgement */
    kb_device *device;
    uint64_t *requested;        /* where bytes that the requester asks for are counted, or null */
    struct kb_buffer **buffers; /* with finite buffers, at the end of each stop's link, else null */
    kb_stop stops[];            /* on the way of data */
} kb_txn_route;

typedef struct kb_txn_route_slot {
    uint64_t key;
    kb_txn_route *route; /* or null */
} kb_txn_route_slot;

/* Kept at most: tens of MB, of some tens of stops each. */
enum { KB_TXN_ROUTES_MOST = 1 << 16 };

typedef struct kb_txn_routes {
    kb_txn_route_slot *slots; /* a power of two of them, or none yet */
    uint32_t slot_count, kept;
    kb_vec(kb_txn_route *) spare; /* lists, by size */
    uint64_t resolved;            /* routes that were worked out */
} kb_txn_routes;

/* Find or work out a route, and hold it. Fails as kb_route does. */
int kb_txn_route_take(struct kb_machine *m, kb_txn_op op, kb_node requester, kb_node memory,
                      kb_txn_route **out, kb_err *err);
void kb_txn_route_give(kb_txn_route *route);

/* The same for a requester that holds on to the route that it took last, in `recent` (or null):
 * most go to the same memory again, and need not look into the table. It gives that back. */
int kb_txn_route_take_recent(struct kb_machine *m, kb_txn_op op, kb_node requester, kb_node memory,
                             kb_txn_route **recent, kb_txn_route **out, kb_err *err);

/* Forget what is kept. */
void kb_txn_routes_fini(kb_txn_routes *routes);

#endif
