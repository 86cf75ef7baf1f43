#include "hw/flow.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hw/txn.h"

const kb_param kb_flow_params[] = {
    {"enabled", KB_PARAM_BOOL, NULL, "false", 0, 0, NULL,
     "whether buffers are finite; otherwise they have room for everything"},
    {"buffer_flits", KB_PARAM_INT, "flit", "4", 1, 1e9, NULL,
     "buffer per virtual channel at the end of every link inside a die"},
    {"die_buffer_flits", KB_PARAM_INT, "flit", "16", 1, 1e9, NULL,
     "the same for links between dies: UCIe, PCIe, fabric"},
    {0}};

/* A flit is in the list of the buffer that it occupies (none at its source), and, when it is first
 * there, in that of the buffer that it waits for. */
struct kb_blocked {
    struct kb_blocked *behind, *next;
    kb_txn *txn;
    uint64_t arg;  /* hop and flit */
    kb_time ready; /* when it came here; of a write's rest: when the flit before went */
    kb_time since; /* when it came to be first */
    bool rest;     /* and all flits of the write that follow */
};

kb_flow *kb_flow_create(const kb_spec *spec)
{
    if (!kb_spec_bool(spec, "system.flow_control.enabled")) return NULL;
    kb_flow *flow = kb_xcalloc(1, sizeof *flow);
    flow->buffer_flits = (uint32_t)kb_spec_int(spec, "system.flow_control.buffer_flits");
    flow->die_buffer_flits = (uint32_t)kb_spec_int(spec, "system.flow_control.die_buffer_flits");
    kb_pool_init(&flow->blocked, sizeof(kb_blocked));
    return flow;
}

void kb_flow_destroy(kb_flow *flow)
{
    if (!flow) return;
    while (flow->made) {
        kb_buffer *next = flow->made->next_made;
        kb_vec_free(&flow->made->returns);
        free(flow->made);
        flow->made = next;
    }
    kb_pool_fini(&flow->blocked);
    kb_vec_free(&flow->channels);
    free(flow);
}

/* ---- which buffers ---- */

void kb_flow_choose(kb_machine *m)
{
    kb_flow *flow = m->flow;
    kb_vec_reserve(&flow->channels, m->path.edges.count);
    flow->channels.count = m->path.edges.count;
    kb_vchannel_assign(m->graph, &m->path, flow->channels.data);
}

static bool between_dies(const kb_graph *g, kb_node from, kb_node to)
{
    kb_place a = kb_graph_place(g, from), b = kb_graph_place(g, to);
    return a.sip != b.sip || a.die != b.die;
}

static kb_buffer *find_buffer(kb_machine *m, size_t hop, kb_vchannel channel, int op)
{
    kb_wire *wire = kb_machine_wire(m, m->path.edges.data[hop]);
    for (kb_buffer *b = wire->buffers; b; b = b->next)
        if (b->channel == channel && b->op == op) return b;
    kb_flow *flow = m->flow;
    kb_buffer *b = kb_xcalloc(1, sizeof *b);
    b->from = m->path.nodes.data[hop];
    b->to = m->path.nodes.data[hop + 1];
    b->channel = channel;
    b->op = op;
    b->slots = between_dies(m->graph, b->from, b->to) ? flow->die_buffer_flits : flow->buffer_flits;
    b->credits = b->slots;
    b->wake = KB_TIME_NEVER;
    b->propagation = kb_graph_edge_info(m->graph, m->path.edges.data[hop])->propagation;
    b->next = wire->buffers;
    wire->buffers = b;
    b->next_made = flow->made;
    flow->made = b;
    return b;
}

void kb_flow_fill(kb_machine *m, int op, kb_buffer **out)
{
    size_t edges = m->path.edges.count;
    for (size_t i = 0; i < edges; i++) {
        size_t at = op == KB_TXN_READ ? edges - 1 - i : i;
        out[i] = find_buffer(m, i, m->flow->channels.data[at], op);
    }
}

/* ---- credits ---- */

static void settle(kb_buffer *b, kb_time now)
{
    kb_time passed = now - b->changed;
    b->taken_integral += (b->slots - b->credits) * passed;
    b->waiting_integral += b->waiting_count * passed;
    b->source_integral += b->source_count * passed;
    b->changed = now;
}

/* Count the credits that are back by now. */
static void collect(kb_buffer *b, kb_time now)
{
    while (b->first < b->returns.count && b->returns.data[b->first] <= now) {
        settle(b, b->returns.data[b->first++]);
        b->credits++;
    }
    if (b->first < b->returns.count) return;
    b->first = b->returns.count = 0;
}

void kb_buffer_settle(kb_buffer *b, kb_time now)
{
    collect(b, now);
    settle(b, now);
}

kb_time kb_buffer_taken(kb_buffer *b, kb_time now, uint32_t *returning)
{
    kb_buffer_settle(b, now);
    kb_time taken = b->taken_integral;
    for (size_t i = b->first; i < b->returns.count; i++) taken += b->returns.data[i] - now;
    *returning = (uint32_t)(b->returns.count - b->first);
    return taken;
}

static bool is_free(kb_buffer *b, kb_time now)
{
    collect(b, now);
    return b->credits > 0 && !b->waiting.head;
}

static void take_slots(kb_buffer *b, kb_txn *t, uint32_t count)
{
    kb_time now = t->m->sim->now;
    settle(b, now);
    b->credits -= count;
    t->slots_taken -= count * now; /* up to the sum of (given back - taken), modulo 2^64 */
}

/* Flits in buffers and those at their sources are counted apart. */
static uint32_t *count_of(kb_buffer *b, uint64_t arg)
{
    return arg >> 32 ? &b->waiting_count : &b->source_count;
}

static void hand_out(kb_sim *sim, void *object, uint64_t arg);

/* See to it that the next credit is handed out. */
static void wake(kb_buffer *b, kb_sim *sim)
{
    if (!b->waiting.head || b->first == b->returns.count) return;
    kb_time next = b->returns.data[b->first];
    if (next >= b->wake) return;
    b->wake = next;
    kb_sim_at(sim, next, hand_out, b, 0);
}

static void wait_for(kb_buffer *b, kb_blocked *r)
{
    kb_sim *sim = r->txn->m->sim;
    settle(b, sim->now);
    ++*count_of(b, r->arg);
    r->since = sim->now;
    r->next = NULL;
    if (b->waiting.head)
        b->waiting.tail->next = r;
    else
        b->waiting.head = r;
    b->waiting.tail = r;
    wake(b, sim);
}

/* A slot will be free at `free`. Credits of flits that leave over different links may come back in
 * another order; hardly any does. */
static void give_back(kb_buffer *b, kb_txn *t, kb_time free)
{
    kb_time back = free + b->propagation;
    t->slots_taken += back;
    if (b->first > 64 && 2 * b->first > b->returns.count) { /* the front is used up */
        b->returns.count -= b->first;
        memmove(b->returns.data, b->returns.data + b->first,
                b->returns.count * sizeof *b->returns.data);
        b->first = 0;
    }
    kb_vec_push(&b->returns, back);
    size_t at = b->returns.count - 1;
    for (; at > b->first && b->returns.data[at - 1] > back; at--)
        b->returns.data[at] = b->returns.data[at - 1];
    b->returns.data[at] = back;
    wake(b, t->m->sim);
}

/* ---- the way of a flit ---- */

static kb_buffer *occupied(const kb_txn *t, uint64_t arg)
{
    uint32_t hop = (uint32_t)(arg >> 32);
    return hop ? t->buffers[hop - 1] : NULL;
}

/* A flit that has its slot at the other end goes there. */
static void go(kb_sim *sim, kb_txn *t, uint64_t arg)
{
    kb_time left = kb_txn_send(sim, t, arg);
    kb_buffer *here = occupied(t, arg);
    if (here) give_back(here, t, left);
    if (!here && kb_txn_flit(arg) + 1 == t->flits) kb_txn_has_left(t, left);
}

/* A flit that was blocked goes: what it has waited for is the link. */
static void go_on(kb_sim *sim, kb_txn *t, uint64_t arg, kb_time ready)
{
    t->hops[arg >> 32].waited += sim->now - ready;
    t->route->stops[arg >> 32].wire->link.waited += sim->now - ready;
    go(sim, t, arg);
}

/* The head of a buffer has gone: so do those behind it, up to one without a credit. */
static void unblock(kb_sim *sim, kb_buffer *b)
{
    while (b->ready.head) {
        kb_blocked *r = b->ready.head;
        kb_buffer *next = r->txn->buffers[r->arg >> 32];
        if (!is_free(next, sim->now)) {
            wait_for(next, r);
            return;
        }
        b->ready.head = r->behind;
        take_slots(next, r->txn, 1);
        go_on(sim, r->txn, r->arg, r->ready);
        kb_pool_give(&r->txn->m->flow->blocked, r);
    }
}

/* The slot that has come free goes to who has waited longest. */
static void grant(kb_sim *sim, kb_buffer *b)
{
    kb_blocked *r = b->waiting.head;
    kb_txn *t = r->txn;
    uint64_t arg = r->arg;
    kb_time ready = r->ready;
    t->blocked += sim->now - r->since;
    take_slots(b, t, 1);
    if (r->rest && kb_txn_flit(arg) + 1 < t->flits) {
        r->ready = r->since = sim->now;
        r->arg++;
        go_on(sim, t, arg, ready);
        return;
    }
    b->waiting.head = r->next;
    --*count_of(b, arg);
    kb_buffer *from = occupied(t, arg);
    if (from) from->ready.head = r->behind;
    kb_pool_give(&t->m->flow->blocked, r);
    go_on(sim, t, arg, ready);
    if (from) unblock(sim, from);
}

static void hand_out(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_buffer *b = object;
    if (b->wake == sim->now) b->wake = KB_TIME_NEVER;
    collect(b, sim->now);
    while (b->waiting.head && b->credits) grant(sim, b);
    wake(b, sim);
}

static kb_blocked *blocked(kb_txn *t, uint64_t arg)
{
    kb_blocked *r = kb_pool_take(&t->m->flow->blocked);
    *r = (kb_blocked){.txn = t, .arg = arg, .ready = t->m->sim->now};
    return r;
}

void kb_flow_ready(kb_sim *sim, kb_txn *t, uint64_t arg)
{
    kb_buffer *here = occupied(t, arg), *next = t->buffers[arg >> 32];
    bool behind = here && here->ready.head;
    if (!behind && is_free(next, sim->now)) {
        take_slots(next, t, 1);
        go(sim, t, arg);
        return;
    }
    kb_blocked *r = blocked(t, arg);
    if (!behind) wait_for(next, r);
    if (!here) return;
    if (behind)
        here->ready.tail->behind = r;
    else
        here->ready.head = r;
    here->ready.tail = r;
}

uint32_t kb_flow_begin_write(kb_txn *t)
{
    kb_buffer *first = t->buffers[0];
    uint32_t now = is_free(first, t->m->sim->now) ? first->credits : 0;
    if (now > t->flits) now = t->flits;
    take_slots(first, t, now);
    if (now == t->flits) return now;
    kb_blocked *r = blocked(t, now);
    r->rest = true;
    wait_for(first, r);
    return now;
}

void kb_flow_end(kb_txn *t)
{
    give_back(t->buffers[t->hop_count - 2], t, t->m->sim->now);
}

void kb_flow_complete(const kb_txn *t)
{
    t->m->flow->taken += t->slots_taken;
    t->m->flow->blocked_time += t->blocked;
}

kb_flow_waits kb_flow_waiting(kb_flow *flow, kb_time now)
{
    kb_flow_waits waits = {0};
    kb_time most = 0;
    for (kb_buffer *b = flow->made; b; b = b->next_made) {
        kb_buffer_settle(b, now);
        waits.in_buffers += b->waiting_integral;
        waits.at_sources += b->source_integral;
        if (b->waiting_integral <= most) continue;
        most = b->waiting_integral;
        waits.most = b;
    }
    return waits;
}
