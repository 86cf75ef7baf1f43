#include "hw/pe/pe_ipcq.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
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

static kb_pe *sender(const kb_ipcq_ring *ring)
{
    return ring->from->block->pe;
}

static kb_pe *receiver(const kb_ipcq_ring *ring)
{
    return ring->to->block->pe;
}

static kb_ipcq_state *state_of(const kb_ipcq_ring *ring)
{
    return sender(ring)->m->ipcq;
}

static kb_sim *sim_of(const kb_ipcq_ring *ring)
{
    return sender(ring)->m->sim;
}

static const kb_ipcq_shape *shape_of(const kb_ipcq_ring *ring)
{
    return ring->from->block->shape;
}

/* ---- ports ---- */

void kb_ipcq_attach(kb_ipcq_block *block)
{
    block->next = block->pe->ipcq;
    block->pe->ipcq = block;
}

void kb_ipcq_detach(kb_ipcq_block *block)
{
    kb_ipcq_block **at = &block->pe->ipcq;
    while (*at && *at != block) at = &(*at)->next;
    if (*at) *at = block->next;
}

kb_ipcq_port *kb_ipcq_find(const kb_pe *pe, const char *direction)
{
    for (kb_ipcq_block *block = pe->ipcq; block; block = block->next)
        for (uint32_t i = 0; i < block->count; i++)
            if (!block->ports[i].closed && !strcmp(block->ports[i].name, direction))
                return &block->ports[i];
    return NULL;
}

/* The port whose rx ring holds the address. */
static kb_ipcq_port *find_by_address(const kb_pe *pe, kb_paddr at)
{
    for (kb_ipcq_block *block = pe->ipcq; block; block = block->next) {
        uint64_t bytes = (uint64_t)block->shape->n_slots * block->shape->slot_bytes;
        for (uint32_t i = 0; i < block->count; i++)
            if (at.bits - block->ports[i].rx.bits < bytes) return &block->ports[i];
    }
    return NULL;
}

static kb_paddr register_of(const kb_ipcq_port *port)
{
    const kb_pe *pe = port->block->pe;
    const kb_addr_layout *layout = &pe->m->layout;
    uint64_t number = port->block->registers + (uint64_t)(port - port->block->ports);
    uint64_t room = layout->unit_bytes[KB_UNIT_PE_IPCQ] / KB_IPCQ_REGISTER_BYTES;
    kb_location where = {.sip = (uint32_t)pe->sip,
                         .die_kind = KB_DIE_CUBE,
                         .die = (uint32_t)pe->cube,
                         .unit = KB_UNIT_PE_IPCQ,
                         .index = (uint32_t)pe->number,
                         .offset = number % room * KB_IPCQ_REGISTER_BYTES};
    kb_paddr address = {0};
    int status = kb_paddr_encode(layout, &where, &address, NULL);
    assert(!status); /* a PE of this machine, and an offset within the unit */
    (void)status;
    return address;
}

static kb_ipcq_port *find_by_register(const kb_pe *pe, kb_paddr at)
{
    for (kb_ipcq_block *block = pe->ipcq; block; block = block->next) {
        uint64_t first = register_of(&block->ports[0]).bits;
        uint64_t number = (at.bits - first) / KB_IPCQ_REGISTER_BYTES;
        if (at.bits >= first && number < block->count) return &block->ports[number];
    }
    return NULL;
}

int kb_ipcq_credit_time(kb_machine *m, const kb_pe *from, const kb_pe *to, uint32_t bytes,
                        kb_time *time, kb_err *err)
{
    const kb_graph *g = m->graph;
    kb_node a = kb_graph_pe(g, from->sip, from->cube, from->number, KB_PE_IPCQ);
    kb_node b = kb_graph_pe(g, to->sip, to->cube, to->number, KB_PE_IPCQ);
    int status = kb_route(g, a, b, &m->path, err);
    if (status) {
        kb_fail_at(err, "no way for credits from %s to %s", from->name, to->name);
        return status;
    }
    double slowest = 1e300;
    for (size_t i = 0; i < m->path.edges.count; i++) {
        double gbs = kb_graph_edge_info(g, m->path.edges.data[i])->gbs;
        if (gbs < slowest) slowest = gbs;
    }
    *time = kb_path_command_time(g, &m->path) + kb_time_transfer(bytes, slowest);
    return KB_OK;
}

static int check_open(const kb_ipcq_port *port, kb_err *err)
{
    const kb_ipcq_port *peer = port->peer;
    if (!peer->closed) return KB_OK;
    return kb_fail(err, KB_EINVAL,
                   "%s: direction %s leads to %s, whose direction %s has been replaced by another "
                   "plan; install a plan that has both ends",
                   port->block->pe->name, port->name, peer->block->pe->name, peer->name);
}

int kb_ipcq_open(kb_ipcq_port *port, bool out, kb_ipcq_ring **ring, kb_err *err)
{
    int status = check_open(port, err);
    if (status) return status;
    *ring = out ? port->out : port->in;
    if (*ring) return KB_OK;
    kb_ipcq_port *from = out ? port : port->peer, *to = from->peer;
    const kb_ipcq_shape *shape = port->block->shape;
    kb_time time;
    status = kb_ipcq_credit_time(port->block->pe->m, to->block->pe, from->block->pe,
                                 shape->credit_bytes, &time, err);
    if (status) return status;
    kb_ipcq_ring *made = kb_xcalloc(1, sizeof *made + shape->n_slots * sizeof made->slots[0]);
    made->from = from;
    made->to = to;
    made->credit_time = time;
    from->out = to->in = *ring = made;
    return KB_OK;
}

uint32_t kb_ipcq_unread(const kb_ipcq_ring *ring)
{
    const kb_ipcq_message *last = NULL;
    uint32_t count = 0;
    for (uint64_t n = ring->taken; n < ring->sent; n++) {
        const kb_ipcq_slot *slot = &ring->slots[n % shape_of(ring)->n_slots];
        if (slot->message != last) count++;
        last = slot->message;
    }
    for (const kb_ipcq_message *m = ring->sends; m; m = m->next) count += m != last;
    return count;
}

uint32_t kb_ipcq_full(const kb_ipcq_ring *ring)
{
    return (uint32_t)(ring->sent - ring->released);
}

bool kb_ipcq_at_rest(const kb_ipcq_ring *ring)
{
    return !ring->under_way && !ring->polling && !ring->sends && !ring->receives;
}

/* ---- life of a message ---- */

static kb_ipcq_message *make_message(kb_ipcq_ring *ring, kb_value *value)
{
    kb_ipcq_state *state = state_of(ring);
    kb_ipcq_message *m = kb_pool_take(&state->messages);
    uint64_t bytes = kb_value_bytes(value), slot = shape_of(ring)->slot_bytes;
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
    uint64_t at = slot * shape_of(sent_on)->slot_bytes;
    const kb_ipcq_port *port =
        find_by_address(receiver(sent_on), kb_paddr_plus(sent_on->from->tx, at));
    assert(port); /* a plan is not removed while something is under way */
    kb_ipcq_ring *ring = port->in;
    assert(ring->slots[slot].state == KB_SLOT_UNDER_WAY);
    ring->slots[slot].state = KB_SLOT_ARRIVED;
    state_of(ring)->books.arrived++;
    serve(ring);
}

static void part_acknowledged(kb_sim *sim, void *object, uint64_t slot)
{
    (void)slot;
    kb_ipcq_message *m = object;
    kb_ipcq_state *state = state_of(m->ring);
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
    const kb_ipcq_shape *shape = shape_of(ring);
    uint32_t slot = (uint32_t)(ring->sent++ % shape->n_slots);
    uint64_t before = (uint64_t)m->started++ * shape->slot_bytes;
    uint64_t bytes = m->bytes - before < shape->slot_bytes ? m->bytes - before : shape->slot_bytes;
    assert(ring->slots[slot].state == KB_SLOT_FREE);
    ring->slots[slot] = (kb_ipcq_slot){m, (uint32_t)bytes, KB_SLOT_UNDER_WAY};
    ring->under_way++;
    kb_ipcq_books *books = &state_of(ring)->books;
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
                        .watch = state_of(ring)->watch,
                        .watcher = state_of(ring)->watcher};
    kb_pe_dma_physical(sender(ring), KB_DMA_WRITE, &piece, &post);
}

static kb_time poll_period(const kb_ipcq_ring *ring)
{
    return ((const ipcq_config *)kb_machine_config(sender(ring)->m, KB_PE_IPCQ))->poll;
}

static void block(kb_ipcq_ring *ring)
{
    ring->blocked = true;
    ring->blocked_at = sim_of(ring)->now;
    state_of(ring)->books.stalls++;
}

static void unblock(kb_ipcq_ring *ring)
{
    kb_ipcq_books *books = &state_of(ring)->books;
    kb_time time = sim_of(ring)->now - ring->blocked_at;
    books->stalled += time;
    if (shape_of(ring)->poll) books->polls += time / poll_period(ring);
    ring->blocked = false;
}

/* Give parts to pe_dma while there are slots. */
static void pump(kb_ipcq_ring *ring)
{
    if (ring->blocked) unblock(ring);
    while (ring->sends) {
        kb_ipcq_message *m = ring->sends;
        if (ring->sent - ring->credited == shape_of(ring)->n_slots) {
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
    state_of(ring)->books.messages++;
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
    kb_time period = poll_period(ring), waited = sim_of(ring)->now - ring->blocked_at;
    ring->polling = true;
    kb_sim_at(sim_of(ring), ring->blocked_at + (waited + period - 1) / period * period, look, ring,
              ring->epoch);
}

static void credit_arrives(kb_sim *sim, void *object, uint64_t address)
{
    (void)sim;
    const kb_pe *pe = object;
    pe->m->ipcq->books.credits_arrived++;
    const kb_ipcq_port *port = find_by_register(pe, (kb_paddr){address});
    if (!port) return; /* its plan has been removed meanwhile */
    kb_ipcq_ring *ring = port->out;
    if (ring->stale_credits) {
        ring->stale_credits--;
        return;
    }
    ring->credited++;
    if (!ring->blocked) return;
    if (shape_of(ring)->poll)
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
    state_of(ring)->books.credits++;
    kb_sim_after(sim_of(ring), ring->credit_time, credit_arrives, sender(ring),
                 register_of(ring->from).bits);
    if (++m->consumed < m->parts) return;
    m->receiving = false;
    let_go(state_of(ring), m);
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
    kb_ipcq_state *state = state_of(r->ring);
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
        if (r->out == r->taken) kb_pool_give(&state_of(ring)->receives, r);
        return;
    }
    free_slot(ring, (uint32_t)slot);
    if (r->out == r->parts) finish(r, true, 0);
}

/* A part has passed the read port. */
static void part_read(kb_sim *sim, void *object, uint64_t slot)
{
    const kb_ipcq_receive *r = object;
    kb_pe *pe = receiver(r->ring);
    uint32_t bytes = r->ring->slots[slot].bytes;
    kb_time time = kb_pe_store_time(pe->m, bytes);
    kb_sim_at(sim, kb_link_claim(&pe->store, sim->now, time, bytes), part_out, object, slot);
}

static void copy_part(kb_ipcq_receive *r, uint32_t slot)
{
    kb_ipcq_ring *ring = r->ring;
    const kb_ipcq_shape *shape = shape_of(ring);
    kb_pe *pe = receiver(ring);
    uint32_t bytes = ring->slots[slot].bytes;
    ring->under_way++;
    if (shape->buffer == KB_IPCQ_TCM) {
        kb_time time = kb_pe_fetch_time(pe->m, bytes);
        kb_sim *sim = pe->m->sim;
        kb_sim_at(sim, kb_link_claim(&pe->fetch, sim->now, time, bytes), part_read, r, slot);
        return;
    }
    kb_piece piece = {.pa = kb_paddr_plus(ring->to->rx, (uint64_t)slot * shape->slot_bytes),
                      .rows = 1,
                      .row_bytes = bytes,
                      .stride = bytes};
    kb_dma_post post = {.done = part_out, .object = r, .arg = slot};
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
        uint32_t number = (uint32_t)(ring->taken % shape_of(ring)->n_slots);
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
    assert(!in_place || (shape_of(ring)->buffer == KB_IPCQ_TCM &&
                         kb_value_bytes(wanted) <= shape_of(ring)->slot_bytes));
    kb_ipcq_receive *r = kb_pool_take(&state_of(ring)->receives);
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
    let_go(state_of(m->ring), m);
}

static void drop_messages(kb_ipcq_ring *ring)
{
    for (kb_ipcq_message *m = state_of(ring)->live, *next; m; m = next) {
        next = m->live_next;
        if (m->ring != ring || m->dropped) continue;
        m->dropped = true;
        m->receiving = false;
        if (!m->sending)
            let_go(state_of(ring), m);
        else if (m->acknowledged == m->started)
            kb_sim_after(sim_of(ring), 0, end_dropped, m, 0);
    }
    ring->sends = ring->last_send = NULL;
    memset(ring->slots, 0, shape_of(ring)->n_slots * sizeof ring->slots[0]);
}

static void drop_receives(kb_ipcq_ring *ring)
{
    for (kb_ipcq_receive *r = ring->receives, *next; r; r = next) {
        next = r->next;
        kb_ipcq_receive dropped = *r;
        r->dropped = true;
        if (r->out == r->taken) kb_pool_give(&state_of(ring)->receives, r);
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
    if (failed == receiver(ring) || (ring->receives && ring->receives->taken))
        drop_receives(ring);
    else
        restart_receives(ring);
    ring->stale_credits += ring->released - ring->credited;
    ring->sent = ring->taken = ring->released = ring->credited = 0;
    ring->epoch++;
    ring->polling = false;
}

/* ---- laws ---- */

typedef struct auditor {
    void (*report)(void *user, const char *text);
    void *user;
} auditor;

__attribute__((format(printf, 2, 3))) static void violation(const auditor *a, const char *format,
                                                            ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    a->report(a->user, text);
}

/* At rest nothing is under way: every freed slot's credit is back, every other slot holds a part
 * that has arrived, or one that is used in place. */
static void audit_ring(const auditor *a, const kb_ipcq_ring *ring)
{
    const char *from = sender(ring)->name, *to = receiver(ring)->name;
    uint32_t occupied = 0, under_way = 0;
    for (uint32_t i = 0; i < shape_of(ring)->n_slots; i++) {
        occupied += ring->slots[i].state != KB_SLOT_FREE;
        under_way += ring->slots[i].state == KB_SLOT_UNDER_WAY;
    }
    if (ring->credited != ring->released)
        violation(a, "%s -> %s: %llu slots were freed, %llu credits came back", from, to,
                  (unsigned long long)ring->released, (unsigned long long)ring->credited);
    if (occupied != ring->sent - ring->released)
        violation(a, "%s -> %s: %u slots are occupied, %llu parts were sent and not freed", from,
                  to, occupied, (unsigned long long)(ring->sent - ring->released));
    if (under_way || ring->under_way)
        violation(a, "%s -> %s: %u parts are still under way", from, to,
                  under_way ? under_way : ring->under_way);
}

static void audit_pe(void *user, kb_pe *pe)
{
    for (const kb_ipcq_block *block = pe->ipcq; block; block = block->next)
        for (uint32_t i = 0; i < block->count; i++)
            if (block->ports[i].out) audit_ring(user, block->ports[i].out);
}

void kb_ipcq_audit(kb_machine *m, void (*report)(void *user, const char *text), void *user)
{
    auditor a = {report, user};
    const kb_ipcq_books *b = &m->ipcq->books;
    if (kb_sim_pending(m->sim) > 0) return;
    kb_machine_each_pe(m, audit_pe, &a);
    if (b->credits != b->credits_arrived)
        violation(&a, "machine: %llu credits were sent, %llu arrived",
                  (unsigned long long)b->credits, (unsigned long long)b->credits_arrived);
    if (b->signals != b->signals_arrived)
        violation(&a, "machine: %llu signals were sent, %llu arrived",
                  (unsigned long long)b->signals, (unsigned long long)b->signals_arrived);
}

const kb_device_class kb_pe_ipcq_class = {
    .kind = KB_PE_IPCQ,
    .help = "the PE's queues to other PEs: rings, credits and signals",
    .params = params,
    .config_size = sizeof(ipcq_config),
    .configure = configure,
    .transit = kb_txn_forward};
