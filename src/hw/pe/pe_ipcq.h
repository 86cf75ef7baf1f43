/* pe_ipcq: queues between PEs. Control of the rings is here; their data goes through pe_dma.
 *
 * A direction ("E", "parent") is a pair of rings, one each way, between two PEs. Each end is a
 * port: the rx ring of n_slots slots in a memory of its own PE (TCM, its HBM slice, or the cube's
 * SRAM), the address of the peer's rx ring, and a credit register. The way from one port to the
 * other is a kb_ipcq_ring, which is made when it is first used.
 *
 * Sending. A message is cut into parts of at most one slot. A part takes the next slot of the
 * peer's ring when that is free, in order, and is one write transaction of pe_dma on vc_comm to the
 * slot's address, so that it pays the way and the memory that it really goes to. With chunk_bytes
 * it is several, one after the other: between them vc_compute has its turn. Its bytes and what
 * describes them become visible together, when the last byte is committed. The sender is told when
 * the last flit of the last part has left its TCM (`posted`), and when everything is acknowledged.
 *
 * Backpressure. Without a free slot the ring is blocked. `sleep`: the next credit unblocks it.
 * `poll`: it looks again every `poll_ns` from when it was blocked, sees credits that have come by
 * then, and counts how often it looked.
 *
 * Receiving. Receives are served in the order in which they were posted, messages in the order in
 * which they were sent. A part is copied out as soon as it is there: from a ring in TCM through the
 * read and then the write port (as pe_fetch_store moves tiles), from HBM and SRAM by a read
 * transaction of pe_dma on vc_comm. When it is out, its slot is free, and a credit goes back. A
 * message of one part in TCM may instead be used in place: its slot is held until it is released.
 *
 * Credits. A credit arrives a fixed time after the slot was freed: T1 and T3 of the route from
 * pe_ipcq to the sender's pe_ipcq, and credit_bytes at the route's slowest link. It occupies no
 * link. Arrivals and credits find their ring by the address that they are sent to, never by a name
 * or a peer: both ends of a PE's E and W may be the same neighbour.
 *
 * A message carries its value by reference; values are immutable, so reusing a slot cannot change
 * what was received from it. */
#ifndef KB_HW_PE_PE_IPCQ_H
#define KB_HW_PE_PE_IPCQ_H

#include "data/value.h"
#include "hw/pe/pe.h"

typedef enum kb_ipcq_buffer {
    KB_IPCQ_TCM,
    KB_IPCQ_HBM,
    KB_IPCQ_SRAM,
    KB_IPCQ_BUFFERS
} kb_ipcq_buffer;

const char *kb_ipcq_buffer_name(kb_ipcq_buffer buffer); /* "tcm" */

/* What the rings of one installation share. */
typedef struct kb_ipcq_shape {
    const char *plan; /* its name */
    kb_ipcq_buffer buffer;
    uint32_t n_slots, slot_bytes, credit_bytes;
    bool poll;
    uint32_t chunk_bytes; /* of a transaction on vc_comm at most; 0: a part as a whole */
} kb_ipcq_shape;

/* One end of a direction. */
typedef struct kb_ipcq_port {
    const char *name; /* of the direction, here */
    struct kb_ipcq_block *block;
    struct kb_ipcq_port *peer;
    kb_paddr rx, tx;               /* rings: this end's, and the peer's */
    struct kb_ipcq_ring *out, *in; /* null until used */
    bool closed;                   /* a later installation has replaced it */
} kb_ipcq_port;

/* The ports of one installation on one PE. */
typedef struct kb_ipcq_block {
    struct kb_ipcq_block *next; /* of the PE, the latest first */
    const kb_ipcq_shape *shape;
    kb_pe *pe;
    kb_ipcq_port *ports;
    uint32_t count;
    uint32_t registers; /* number of the first port's credit register */
} kb_ipcq_block;

enum { KB_IPCQ_REGISTER_BYTES = 64 }; /* apart, from the start of the PE's IPCQ unit */

typedef struct kb_ipcq_message {
    struct kb_ipcq_message *live_prev, *live_next; /* of the machine */
    struct kb_ipcq_message *next;                  /* in the queue of its ring */
    struct kb_ipcq_ring *ring;
    kb_value *value;
    uint64_t bytes;
    uint32_t parts, started, left, acknowledged, consumed;
    bool sending, receiving; /* who still needs it */
    bool dropped;            /* its ring was reset */
    kb_event_fn on_posted, on_acknowledged;
    void *object;
} kb_ipcq_message;

/* A message has come for a receive. `matches`: it has the wanted type and shape; otherwise it stays
 * where it is. `slot`: of a message that is used in place. */
typedef void (*kb_ipcq_received)(void *object, kb_value *value, bool matches, uint32_t slot);

typedef struct kb_ipcq_receive {
    struct kb_ipcq_receive *next; /* in the queue of its ring */
    struct kb_ipcq_ring *ring;
    const kb_value *wanted; /* the caller's, until `done` */
    kb_value *value;        /* once the first part is taken */
    uint32_t parts, taken, out;
    bool in_place;
    bool dropped;
    kb_ipcq_received done;
    void *object;
} kb_ipcq_receive;

typedef enum kb_ipcq_slot_state {
    KB_SLOT_FREE,
    KB_SLOT_UNDER_WAY, /* its transaction */
    KB_SLOT_ARRIVED,
    KB_SLOT_TAKEN /* being copied out, or held */
} kb_ipcq_slot_state;

typedef struct kb_ipcq_slot {
    kb_ipcq_message *message;
    uint32_t bytes;
    kb_ipcq_slot_state state;
} kb_ipcq_slot;

/* One way of a direction. */
typedef struct kb_ipcq_ring {
    kb_ipcq_port *from, *to;
    kb_time credit_time;
    uint32_t epoch;                           /* how often it was reset */
    uint64_t sent, taken, released, credited; /* parts since then */
    uint64_t stale_credits;                   /* under way when it was reset */
    uint32_t under_way;                       /* transactions and copies, of any epoch */
    kb_ipcq_message *sends, *last_send;       /* not altogether given to pe_dma */
    kb_ipcq_receive *receives, *last_receive; /* not complete */
    kb_ipcq_receive *taker;                   /* the first that still needs parts */
    bool blocked, polling;                    /* polling: an event is due */
    kb_time blocked_at;
    kb_ipcq_slot slots[];
} kb_ipcq_ring;

/* Totals of a machine. */
typedef struct kb_ipcq_books {
    uint64_t messages, bytes, parts; /* sent; bytes of payload whose transaction was started */
    uint64_t arrived;                /* parts committed and seen */
    uint64_t received;               /* messages */
    uint64_t credits, credits_arrived;
    uint64_t stalls, polls;
    kb_time stalled; /* blocked with something to send, up to the last end of a stall */
    uint64_t put_bytes, signals, signals_arrived;
} kb_ipcq_books;

/* All of that, and what is under way; part of the machine. */
typedef struct kb_ipcq_state {
    kb_ipcq_books books;
    kb_pool messages, receives;
    kb_ipcq_message *live;
    uint32_t registers; /* next number */
    /* Of probes: sees the transaction of every part when it has ended; or null. */
    void (*watch)(void *watcher, const kb_txn *txn);
    void *watcher;
} kb_ipcq_state;

kb_ipcq_state *kb_ipcq_state_create(void);
void kb_ipcq_state_destroy(kb_ipcq_state *state);

/* ---- ports ---- */

/* Make the ports of a block known to its PE, or not any more. */
void kb_ipcq_attach(kb_ipcq_block *block);
void kb_ipcq_detach(kb_ipcq_block *block);

/* The port of that name that was installed last, or NULL. */
kb_ipcq_port *kb_ipcq_find(const kb_pe *pe, const char *direction);

/* The ring that leaves a port, or that comes to it. KB_EINVAL if it leads nowhere (any more). */
int kb_ipcq_open(kb_ipcq_port *port, bool out, kb_ipcq_ring **ring, kb_err *err);

/* Time of a credit or signal of `bytes` between the pe_ipcq of two PEs. */
int kb_ipcq_credit_time(kb_machine *m, const kb_pe *from, const kb_pe *to, uint32_t bytes,
                        kb_time *time, kb_err *err);

/* Time that pe_ipcq takes for a command, which its caller charges. */
kb_time kb_ipcq_overhead(const kb_machine *m);

uint32_t kb_ipcq_signal_bytes(const kb_machine *m);

/* Messages of the ring that nobody has received altogether. */
uint32_t kb_ipcq_unread(const kb_ipcq_ring *ring);

/* Occupied slots. */
uint32_t kb_ipcq_full(const kb_ipcq_ring *ring);

/* ---- messages ---- */

/* Send a value now. posted(sim, object, 0) and acknowledged(sim, object, 0) are called in time. */
void kb_ipcq_send(kb_ipcq_ring *ring, kb_value *value, kb_event_fn posted, kb_event_fn acknowledged,
                  void *object);

/* Receive the next message now; `done` may be called before this returns. In place only where the
 * ring is in TCM and the value fits a slot. */
void kb_ipcq_receive_value(kb_ipcq_ring *ring, const kb_value *wanted, bool in_place,
                           kb_ipcq_received done, void *object);

/* Give back a slot that is used in place. Nothing happens if the ring has been reset since `epoch`.
 */
void kb_ipcq_release(kb_ipcq_ring *ring, uint32_t epoch, uint32_t slot);

/* An end has failed: forget everything in the ring. What that end sends or receives is dropped;
 * messages that wait on the other end are lost, and are reported to it as sent. */
void kb_ipcq_reset(kb_ipcq_ring *ring, const kb_pe *failed);

/* Whether nothing refers to the ring any more but its ports. */
bool kb_ipcq_at_rest(const kb_ipcq_ring *ring);

/* Laws of the rings, for hw/audit.h. */
void kb_ipcq_audit(kb_machine *m, void (*report)(void *user, const char *text), void *user);

#endif
