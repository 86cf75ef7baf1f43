/* A resource of some capacity with a FIFO of waiters: DMA channels, schedulers, engines.
 *
 * kb_server_acquire calls the waiter's function by an event at the time when a unit is granted
 * (now, if one is free and nobody queues). The holder calls kb_server_release. Waiter records are
 * embedded in whoever waits, as for completions. Statistics are integrals over time, exact in
 * picoseconds: mean queue length = queued_integral / elapsed; utilisation = busy_integral /
 * (capacity x elapsed).
 */
#ifndef KB_SIM_SERVER_H
#define KB_SIM_SERVER_H

#include "sim/wait.h"

typedef struct kb_server {
    uint32_t capacity, in_use;
    uint32_t queued, queued_max;
    kb_waiter *head, *tail;
    kb_waiter alike; /* who waits without a record */
    uint64_t grants;
    kb_time changed;         /* when in_use or queued last changed */
    kb_time busy_integral;   /* sum of in_use x time, up to `changed` */
    kb_time queued_integral; /* sum of queued x time, up to `changed` */
} kb_server;

void kb_server_init(kb_server *server, uint32_t capacity);
void kb_server_acquire(kb_server *server, kb_sim *sim, kb_waiter *w);

/* The same for a server whose customers are all alike: none needs a record, as fn(sim, object, arg)
 * is called for every unit that is granted. */
void kb_server_acquire_alike(kb_server *server, kb_sim *sim, kb_event_fn fn, void *object,
                             uint64_t arg);

void kb_server_release(kb_server *server, kb_sim *sim);

/* Bring the integrals up to now, before reading them. */
void kb_server_settle(kb_server *server, const kb_sim *sim);

#endif
