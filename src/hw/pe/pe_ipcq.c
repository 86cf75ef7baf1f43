#include "hw/pe/pe_ipcq_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "1", 0, 1e6, NULL,
     "time to accept a command, a credit or a signal"},
    {"poll_ns", KB_PARAM_REAL, "ns", "10", 1e-3, 1e6, NULL,
     "time between two looks at a full ring, with backpressure poll"},
    {"signal_bytes", KB_PARAM_INT, "B", "16", 0, 4096, NULL, "size of a signal (tl.signal)"},
    {0}};

typedef struct ipcq_config {
    kb_time overhead, poll;
    uint32_t signal_bytes;
} ipcq_config;

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    ipcq_config *config = block;
    config->overhead = kb_spec_time(spec, "pe.pe_ipcq.overhead_ns");
    config->poll = kb_spec_time(spec, "pe.pe_ipcq.poll_ns");
    config->signal_bytes = (uint32_t)kb_spec_int(spec, "pe.pe_ipcq.signal_bytes");
    return KB_OK;
}

kb_time kb_ipcq_overhead(const kb_machine *m)
{
    return ((const ipcq_config *)kb_machine_config(m, KB_PE_IPCQ))->overhead;
}

uint32_t kb_ipcq_signal_bytes(const kb_machine *m)
{
    return ((const ipcq_config *)kb_machine_config(m, KB_PE_IPCQ))->signal_bytes;
}

const char *kb_ipcq_buffer_name(kb_ipcq_buffer buffer)
{
    static const char *const names[KB_IPCQ_BUFFERS] = {"tcm", "hbm", "sram"};
    return names[buffer];
}

/* ---- state of the machine ---- */

kb_ipcq_state *kb_ipcq_state_create(void)
{
    kb_ipcq_state *state = kb_xcalloc(1, sizeof *state);
    kb_pool_init(&state->messages, sizeof(kb_ipcq_message));
    kb_pool_init(&state->receives, sizeof(kb_ipcq_receive));
    return state;
}

void kb_ipcq_state_destroy(kb_ipcq_state *state)
{
    if (!state) return;
    for (const kb_ipcq_message *m = state->live; m; m = m->live_next) kb_value_release(m->value);
    kb_pool_fini(&state->messages);
    kb_pool_fini(&state->receives);
    free(state);
}

/* ---- life of a message ---- */

static kb_ipcq_message *make_message(kb_ipcq_ring *ring, kb_value *value)
{
    kb_ipcq_state *state = kb_ipcq_state_of(ring);
    kb_ipcq_message *m = kb_pool_take(&state->messages);
    uint64_t bytes = kb_value_bytes(value), slot = kb_ipcq_shape_of(ring)->slot_bytes;
    *m = (kb_ipcq_message){.live_next = state->live,
                           .ring = ring,
                           .value = kb_value_retain(value),
                           .bytes = bytes,
                           .parts = (uint32_t)((bytes + slot - 1) / slot),
                           .sending = true,
                           .receiving = true};
    if (m->live_next) m->live_next->live_prev = m;
    state->live = m;
    return m;
}

static void let_go(kb_ipcq_state *state, kb_ipcq_message *m)
{
    if (m->sending || m->receiving) return;
    if (m->live_prev)
        m->live_prev->live_next = m->live_next;
    else
        state->live = m->live_next;
    if (m->live_next) m->live_next->live_prev = m->live_prev;
    kb_value_release(m->value);
    kb_pool_give(&state->messages, m);
}

/* ---- sending ---- */

static void serve(kb_ipcq_ring *ring);
static void pump(kb_ipcq_ring *ring);
static void end_dropped(kb_sim *sim, void *object, uint64_t arg);

static void part_left(kb_sim *sim, void *object, uint64_t slot)
{
    (void)slot;
    kb_ipcq_message *m = object;
    if (++m->left == m->parts) m->on_posted(sim, m->object, 0);
}

/* All bytes of a part lie in its slot: the receiver's pe_ipcq sees them now. */
static void part_committed(kb_sim *sim, void *object, uint64_t slot)
{
    (void)sim;
    kb_ipcq_message *m = object;
    if (m->dropped) return;
    const kb_ipcq_ring *sent_on = m->ring;
    uint64_t at = slot * kb_ipcq_shape_of(sent_on)->slot_bytes;
    const kb_ipcq_port *port =
        kb_ipcq_find_by_address(kb_ipcq_receiver(sent_on), kb_paddr_plus(sent_on->from->tx, at));
    assert(port); /* a plan is not removed while something is under way */
    kb_ipcq_ring *ring = port->in;
    assert(ring->slots[slot].state == KB_SLOT_UNDER_WAY);
    ring->slots[slot].state = KB_SLOT_ARRIVED;
    kb_ipcq_state_of(ring)->books.arrived++;
    serve(ring);
}

static void part_acknowledged(kb_sim *sim, void *object, uint64_t slot)
{
    (void)slot;
    kb_ipcq_message *m = object;
    kb_ipcq_state *state = kb_ipcq_state_of(m->ring);
    m->ring->under_way--;
    m->acknowledged++;
    if (m->dropped && m->acknowledged == m->started) {
        end_dropped(sim, m, 0);
    } else if (m->acknowledged == m->parts) {
        m->sending = false;
        m->on_acknowledged(sim, m->object, 0);
        let_go(state, m);
    }
}

static void start_part(kb_ipcq_ring *ring, kb_ipcq_message *m)
{
    const kb_ipcq_shape *shape = kb_ipcq_shape_of(ring);
    uint32_t slot = (uint32_t)(ring->sent++ % shape->n_slots);
    uint64_t before = (uint64_t)m->started++ * shape->slot_bytes;
    uint64_t bytes = m->bytes - before < shape->slot_bytes ? m->bytes - before : shape->slot_bytes;
    assert(ring->slots[slot].state == KB_SLOT_FREE);
    ring->slots[slot] = (kb_ipcq_slot){m, (uint32_t)bytes, KB_SLOT_UNDER_WAY};
    ring->under_way++;
    kb_ipcq_books *books = &kb_ipcq_state_of(ring)->books;
    books->parts++;
    books->bytes += bytes;
    kb_piece piece = {.pa = kb_paddr_plus(ring->from->tx, (uint64_t)slot * shape->slot_bytes),
                      .rows = 1,
                      .row_bytes = bytes,
                      .stride = bytes};
    kb_dma_post post = {.left = part_left,
                        .committed = part_committed,
                        .done = part_acknowledged,
                        .object = m,
                        .arg = slot,
                        .chunk = shape->chunk_bytes,
                        .watch = kb_ipcq_state_of(ring)->watch,
                        .watcher = kb_ipcq_state_of(ring)->watcher};
    kb_pe_dma_physical(kb_ipcq_sender(ring), KB_DMA_WRITE, &piece, &post);
}

static kb_time poll_period(const kb_ipcq_ring *ring)
{
    return ((const ipcq_config *)kb_machine_config(kb_ipcq_sender(ring)->m, KB_PE_IPCQ))->poll;
}

static void block(kb_ipcq_ring *ring)
{
    ring->blocked = true;
    ring->blocked_at = kb_ipcq_sim_of(ring)->now;
    kb_ipcq_state_of(ring)->books.stalls++;
}

static void unblock(kb_ipcq_ring *ring)
{
    kb_ipcq_books *books = &kb_ipcq_state_of(ring)->books;
    kb_time time = kb_ipcq_sim_of(ring)->now - ring->blocked_at;
    books->stalled += time;
    if (kb_ipcq_shape_of(ring)->poll) books->polls += time / poll_period(ring);
    ring->blocked = false;
}

/* Give parts to pe_dma while there are slots. */
static void pump(kb_ipcq_ring *ring)
{
    if (ring->blocked) unblock(ring);
    while (ring->sends) {
        kb_ipcq_message *m = ring->sends;
        if (ring->sent - ring->credited == kb_ipcq_shape_of(ring)->n_slots) {
            block(ring);
            return;
        }
        start_part(ring, m);
        if (m->started < m->parts) continue;
        ring->sends = m->next;
        if (!ring->sends) ring->last_send = NULL;
    }
}

void kb_ipcq_send(kb_ipcq_ring *ring, kb_value *value, kb_event_fn posted, kb_event_fn acknowledged,
                  void *object)
{
    kb_ipcq_message *m = make_message(ring, value);
    m->on_posted = posted;
    m->on_acknowledged = acknowledged;
    m->object = object;
    kb_ipcq_state_of(ring)->books.messages++;
    if (ring->last_send)
        ring->last_send->next = m;
    else
        ring->sends = m;
    ring->last_send = m;
    if (!ring->blocked) pump(ring);
}

/* ---- credits ---- */

static void look(kb_sim *sim, void *object, uint64_t epoch)
{
    (void)sim;
    kb_ipcq_ring *ring = object;
    if (epoch != ring->epoch) return;
    ring->polling = false;
    if (ring->blocked) pump(ring);
}

/* The first look at or after now. */
static void look_later(kb_ipcq_ring *ring)
{
    if (ring->polling) return;
    kb_time period = poll_period(ring), waited = kb_ipcq_sim_of(ring)->now - ring->blocked_at;
    ring->polling = true;
    kb_sim_at(kb_ipcq_sim_of(ring), ring->blocked_at + (waited + period - 1) / period * period,
              look, ring, ring->epoch);
}

static void credit_arrives(kb_sim *sim, void *object, uint64_t address)
{
    (void)sim;
    const kb_pe *pe = object;
    pe->m->ipcq->books.credits_arrived++;
    const kb_ipcq_port *port = kb_ipcq_find_by_register(pe, (kb_paddr){address});
    if (!port) return; /* its plan has been removed meanwhile */
    kb_ipcq_ring *ring = port->out;
    if (ring->stale_credits) {
        ring->stale_credits--;
        return;
    }
    ring->credited++;
    if (!ring->blocked) return;
    if (kb_ipcq_shape_of(ring)->poll)
        look_later(ring);
    else
        pump(ring);
}

static void free_slot(kb_ipcq_ring *ring, uint32_t number)
{
    kb_ipcq_slot *slot = &ring->slots[number];
    kb_ipcq_message *m = slot->message;
    *slot = (kb_ipcq_slot){0};
    ring->released++;
    kb_ipcq_state_of(ring)->books.credits++;
    kb_sim_after(kb_ipcq_sim_of(ring), ring->credit_time, credit_arrives, kb_ipcq_sender(ring),
                 kb_ipcq_register_of(ring->from).bits);
    if (++m->consumed < m->parts) return;
    m->receiving = false;
    let_go(kb_ipcq_state_of(ring), m);
}

void kb_ipcq_release(kb_ipcq_ring *ring, uint32_t epoch, uint32_t slot)
{
    if (epoch == ring->epoch) free_slot(ring, slot);
}

/* ---- receiving ---- */

static void end_receive(kb_ipcq_receive *r)
{
    kb_ipcq_ring *ring = r->ring;
    kb_ipcq_receive **at = &ring->receives, *before = NULL;
    while (*at != r) {
        before = *at;
        at = &before->next;
    }
    *at = r->next;
    if (ring->last_receive == r) ring->last_receive = before;
    if (ring->taker == r) ring->taker = r->next;
}

/* It has got everything, or cannot have it. */
static void finish(kb_ipcq_receive *r, bool matches, uint32_t slot)
{
    kb_ipcq_receive finished = *r;
    kb_ipcq_state *state = kb_ipcq_state_of(r->ring);
    end_receive(r);
    kb_pool_give(&state->receives, r);
    if (matches) state->books.received++;
    finished.done(finished.object, finished.value, matches, slot);
    kb_value_release(finished.value);
}

static void part_out(kb_sim *sim, void *object, uint64_t slot)
{
    (void)sim;
    kb_ipcq_receive *r = object;
    kb_ipcq_ring *ring = r->ring;
    ring->under_way--;
    r->out++;
    if (r->dropped) {
        if (r->out == r->taken) kb_pool_give(&kb_ipcq_state_of(ring)->receives, r);
        return;
    }
    free_slot(ring, (uint32_t)slot);
    if (r->out == r->parts) finish(r, true, 0);
}

/* A part has passed the read port. */
static void part_read(kb_sim *sim, void *object, uint64_t slot)
{
    const kb_ipcq_receive *r = object;
    kb_pe *pe = kb_ipcq_receiver(r->ring);
    uint32_t bytes = r->ring->slots[slot].bytes;
    kb_time time = kb_pe_store_time(pe->m, bytes);
    kb_sim_at(sim, kb_link_claim(&pe->store, sim->now, time, bytes), part_out, object, slot);
}

static void copy_part(kb_ipcq_receive *r, uint32_t slot)
{
    kb_ipcq_ring *ring = r->ring;
    const kb_ipcq_shape *shape = kb_ipcq_shape_of(ring);
    kb_pe *pe = kb_ipcq_receiver(ring);
    uint32_t bytes = ring->slots[slot].bytes;
    ring->under_way++;
    if (shape->buffer == KB_IPCQ_TCM) {
        kb_time time = kb_pe_fetch_time(pe->m, bytes);
        kb_sim *sim = pe->m->sim;
        kb_sim_at(sim, kb_pe_claim_fetch(pe, time, bytes), part_read, r, slot);
        return;
    }
    kb_piece piece = {.pa = kb_paddr_plus(ring->to->rx, (uint64_t)slot * shape->slot_bytes),
                      .rows = 1,
                      .row_bytes = bytes,
                      .stride = bytes};
    kb_dma_post post = {.done = part_out, .object = r, .arg = slot, .chunk = shape->chunk_bytes};
    kb_pe_dma_physical(pe, KB_DMA_READ, &piece, &post);
}

static bool same_type(const kb_value *a, const kb_value *b)
{
    return a->dtype == b->dtype && a->rank == b->rank &&
           !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof a->shape[0]);
}

/* The first part of a message goes to a receive that expects another: it fails, and the message
 * stays. */
static void refuse(kb_ipcq_receive *r, kb_ipcq_message *m)
{
    r->value = kb_value_retain(m->value);
    finish(r, false, 0);
}

/* Take what has arrived, in order, for who waits, in order. */
static void serve(kb_ipcq_ring *ring)
{
    for (kb_ipcq_receive *r = ring->taker; r; r = ring->taker) {
        uint32_t number = (uint32_t)(ring->taken % kb_ipcq_shape_of(ring)->n_slots);
        kb_ipcq_slot *slot = &ring->slots[number];
        if (slot->state != KB_SLOT_ARRIVED) return;
        if (r->taken == 0) {
            if (!same_type(slot->message->value, r->wanted)) {
                refuse(r, slot->message);
                continue;
            }
            r->value = kb_value_retain(slot->message->value);
            r->parts = slot->message->parts;
        }
        slot->state = KB_SLOT_TAKEN;
        ring->taken++;
        if (++r->taken == r->parts) ring->taker = r->next;
        if (r->in_place)
            finish(r, true, number);
        else
            copy_part(r, number);
    }
}

void kb_ipcq_receive_value(kb_ipcq_ring *ring, const kb_value *wanted, bool in_place,
                           kb_ipcq_received done, void *object)
{
    assert(!in_place || (kb_ipcq_shape_of(ring)->buffer == KB_IPCQ_TCM &&
                         kb_value_bytes(wanted) <= kb_ipcq_shape_of(ring)->slot_bytes));
    kb_ipcq_receive *r = kb_pool_take(&kb_ipcq_state_of(ring)->receives);
    *r = (kb_ipcq_receive){
        .ring = ring, .wanted = wanted, .in_place = in_place, .done = done, .object = object};
    if (ring->last_receive)
        ring->last_receive->next = r;
    else
        ring->receives = r;
    ring->last_receive = r;
    if (!ring->taker) ring->taker = r;
    serve(ring);
}

/* ---- failure ---- */

/* The sender of a dropped message is told that it is over. */
static void end_dropped(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_ipcq_message *m = object;
    if (m->left < m->parts) m->on_posted(sim, m->object, 0);
    m->on_acknowledged(sim, m->object, 0);
    m->sending = false;
    let_go(kb_ipcq_state_of(m->ring), m);
}

static void drop_messages(kb_ipcq_ring *ring)
{
    for (kb_ipcq_message *m = kb_ipcq_state_of(ring)->live, *next; m; m = next) {
        next = m->live_next;
        if (m->ring != ring || m->dropped) continue;
        m->dropped = true;
        m->receiving = false;
        if (!m->sending)
            let_go(kb_ipcq_state_of(ring), m);
        else if (m->acknowledged == m->started)
            kb_sim_after(kb_ipcq_sim_of(ring), 0, end_dropped, m, 0);
    }
    ring->sends = ring->last_send = NULL;
    memset(ring->slots, 0, kb_ipcq_shape_of(ring)->n_slots * sizeof ring->slots[0]);
}

static void drop_receives(kb_ipcq_ring *ring)
{
    for (kb_ipcq_receive *r = ring->receives, *next; r; r = next) {
        next = r->next;
        kb_ipcq_receive dropped = *r;
        r->dropped = true;
        if (r->out == r->taken) kb_pool_give(&kb_ipcq_state_of(ring)->receives, r);
        dropped.done(dropped.object, NULL, false, 0);
        kb_value_release(dropped.value);
    }
    ring->receives = ring->last_receive = ring->taker = NULL;
}

/* Receives that wait on the other end wait on; one that has a part of a message begins again. */
static void restart_receives(kb_ipcq_ring *ring)
{
    assert(!ring->receives || ring->receives->taken == 0);
    ring->taker = ring->receives;
}

void kb_ipcq_reset(kb_ipcq_ring *ring, const kb_pe *failed)
{
    if (ring->blocked) unblock(ring);
    drop_messages(ring);
    if (failed == kb_ipcq_receiver(ring) || (ring->receives && ring->receives->taken))
        drop_receives(ring);
    else
        restart_receives(ring);
    ring->stale_credits += ring->released - ring->credited;
    ring->sent = ring->taken = ring->released = ring->credited = 0;
    ring->epoch++;
    ring->polling = false;
}

const kb_device_class kb_pe_ipcq_class = {
    .kind = KB_PE_IPCQ,
    .help = "the PE's queues to other PEs: rings, credits and signals",
    .params = params,
    .config_size = sizeof(ipcq_config),
    .configure = configure,
    .transit = kb_txn_forward};
