/* The chain model: sources in a closed loop, each waits, sends a message through a row of links and
 * begins to wait again when the message has left the last one. Links are FIFO servers of one
 * message at a time, store-and-forward; time has no unit.
 *
 * Here is the part that all kinds of sources share: the links, the walk of a message along them and
 * the pattern of waits. A source calls chain_send; when its message has left the last link,
 * `resume(sim, source, 0)` is called, by an event at that time. Statistics are kept per link: busy
 * time and the sum of waits, which is also the integral of the queue's length over time (each
 * waiting message adds one to the length for as long as it waits). */
#ifndef KB_BENCH_CHAIN_H
#define KB_BENCH_CHAIN_H

#include "sim/link.h"
#include "sim/sim.h"

enum {
    CHAIN_SOURCES = 128,
    CHAIN_LINKS = 8,
    CHAIN_SERVICE = 16,
    CHAIN_REPEATS = 4000,
    CHAIN_MESSAGES = CHAIN_SOURCES * CHAIN_REPEATS,
    CHAIN_HOPS = CHAIN_MESSAGES * CHAIN_LINKS
};

/* What every correct simulator finds: the end time and the mean latency to three decimals. */
#define CHAIN_END          UINT64_C(10368557)
#define CHAIN_MEAN_LATENCY 155.772

typedef struct chain {
    kb_link link[CHAIN_LINKS];
    uint64_t delivered;
    kb_time latency; /* sum over delivered messages, from chain_send to leaving the last link */
    kb_event_fn resume;
} chain;

/* A message; each source has one, since it sends one at a time. */
typedef struct chain_message {
    chain *chain;
    void *source;
    kb_time sent;
} chain_message;

/* The message enters the first link now. */
void chain_send(kb_sim *sim, chain_message *message);

/* The wait before a source's next message. A source's state begins as chain_seed(its number). */
uint32_t chain_seed(uint32_t source);
kb_time chain_wait(uint32_t *state);

/* End the program unless a finished run has the known end time, latency and link statistics. */
void chain_check(const chain *c, const kb_sim *sim);

#endif
