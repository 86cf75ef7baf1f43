/* Waiting: completions, and the reasons for which anything waits.
 *
 * A completion counts down as parts of some work finish; when it reaches zero everyone who waits
 * for it is woken, in the order in which they began to wait, by an event at the present time.
 * Waiters are records of whoever waits (embedded, not allocated) and must live until woken, or
 * until they have left. */
#ifndef KB_SIM_WAIT_H
#define KB_SIM_WAIT_H

#include <stdbool.h>

#include "sim/sim.h"

/* What somebody waits for; deadlock tables, stall breakdowns and traces are read off this. */
typedef enum kb_wait_reason {
    KB_WAIT_NONE,
    KB_WAIT_LINK,    /* another transaction holds the link */
    KB_WAIT_CHANNEL, /* another burst holds the HBM pseudo-channel */
    KB_WAIT_DMA,     /* all of the DMA channel's outstanding transactions are taken */
    KB_WAIT_ENGINE,  /* GEMM, MATH, fetch or store engine is busy */
    KB_WAIT_ISSUE,   /* scheduler is busy dispatching */
    KB_WAIT_MEMORY,  /* a memory transaction is on its way */
    KB_WAIT_COMPUTE, /* a compute command runs */
    KB_WAIT_LAUNCH,  /* a kernel launch has not completed */
    KB_WAIT_MESSAGE, /* a control message has not completed */
    KB_WAIT_DATA,    /* a message from another PE has not arrived */
    KB_WAIT_CREDIT,  /* the peer has no free slot, or the bytes have not left */
    KB_WAIT_SIGNAL,  /* another PE has not signalled */
    KB_WAIT_TIMER,   /* simulated time is to pass */
    KB_WAIT_WORKERS, /* workers have not ended */
    KB_WAIT_RANKS,   /* other ranks have not come to the same point */
    KB_WAIT_REASON_COUNT
} kb_wait_reason;

const char *kb_wait_reason_name(kb_wait_reason reason);

typedef struct kb_waiter {
    struct kb_waiter *next;
    struct kb_completion *of; /* in whose list it is; null once woken */
    kb_event_fn fn;
    void *object;
    uint64_t arg;
} kb_waiter;

typedef struct kb_completion {
    uint32_t remaining;
    kb_waiter *head, *tail;
} kb_completion;

void kb_completion_init(kb_completion *c, uint32_t parts);

static inline bool kb_completion_done(const kb_completion *c)
{
    return c->remaining == 0;
}

/* One part is done; the last one wakes the waiters. Completing more parts than there are asserts.
 */
void kb_completion_part(kb_completion *c, kb_sim *sim);

/* Wake `w` when the completion is done: at once (by an event now) if it is already. */
void kb_completion_wait(kb_completion *c, kb_sim *sim, kb_waiter *w);

/* Wait no longer. False if it is too late: the waiter is being woken, or does not wait. */
bool kb_waiter_leave(kb_waiter *w);

#endif
