#include "hw/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "hw/flow.h"
#include "hw/hbm_ctrl.h"
#include "hw/pe/pe_ipcq.h"
#include "topo/names.h"

/* Payload over the links of a node. */
typedef struct flow {
    uint64_t in, out;
} flow;

typedef struct auditor {
    kb_machine *m;
    kb_audit_report report;
    void *user;
    kb_time now;
    flow *system, **dies; /* by local node; of dies that payload has passed */
    kb_time waited;       /* on all links */
} auditor;

typedef unsigned long long ull;

static void violation(const auditor *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void violation(const auditor *a, const char *format, ...)
{
    char text[3 * KB_NAME_MAX + 160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    a->report(a->user, text);
}

static const char *name_of(const auditor *a, kb_node node, char out[KB_NAME_MAX])
{
    return kb_node_name(a->m->graph, node, out);
}

kb_time kb_link_busy_so_far(const kb_link *link, kb_time now)
{
    kb_time ahead = link->free > now ? link->free - now : 0;
    return link->busy > ahead ? link->busy - ahead : 0;
}

/* ---- links ---- */

static flow *flow_of(auditor *a, kb_node node)
{
    const kb_graph *g = a->m->graph;
    kb_place place = kb_graph_place(g, node);
    flow **flows = &a->system;
    if (place.sip >= 0) flows = &a->dies[place.sip * g->dies + place.die];
    if (!*flows) *flows = kb_xcalloc(kb_graph_die_type(g, place)->nodes.count, sizeof **flows);
    return &(*flows)[place.local];
}

/* Busy time against bytes: every full flit takes the same time, and each short one is rounded on
 * its own, by half a picosecond at most. */
static void check_busy(const auditor *a, kb_node from, const kb_edge_info *info,
                       const kb_wire *wire)
{
    const kb_link *link = &wire->link;
    double flit = a->m->graph->flit_bytes, exact = (double)link->bytes * 1000.0 / info->gbs;
    double rounding = (double)info->flit_occupancy - flit * 1000.0 / info->gbs;
    double slack = (rounding < 0 ? -rounding : rounding) * ((double)link->bytes / flit) +
                   0.5 * (double)a->m->short_flit_hops + 1;
    double off = (double)link->busy - exact;
    kb_time busy = kb_link_busy_so_far(link, a->now);
    char p[KB_NAME_MAX], q[KB_NAME_MAX];
    if (off > slack || off < -slack)
        violation(a, "%s -> %s: busy for %.3f ns, its %llu bytes take %.3f ns", name_of(a, from, p),
                  name_of(a, wire->to, q), kb_time_ns(link->busy), (ull)link->bytes,
                  exact / 1000.0);
    if (busy > a->now)
        violation(a, "%s -> %s: busy for %.3f ns of %.3f ns", name_of(a, from, p),
                  name_of(a, wire->to, q), kb_time_ns(busy), kb_time_ns(a->now));
}

static void audit_link(void *user, kb_node from, const kb_edge_info *info, const kb_wire *wire)
{
    auditor *a = user;
    if (wire->to == KB_NO_NODE) return;
    char name[KB_NAME_MAX];
    if (wire->several)
        violation(a, "%s: a link leads to more than one node", name_of(a, from, name));
    a->waited += wire->link.waited;
    flow_of(a, from)->out += wire->link.bytes;
    flow_of(a, wire->to)->in += wire->link.bytes;
    check_busy(a, from, info, wire);
}

/* ---- conservation ---- */

static void check_moved(const auditor *a, kb_node node, const flow *f, kb_moved moved)
{
    char name[KB_NAME_MAX];
    if (f->in != moved.written)
        violation(a, "%s: %llu bytes came in, %llu were written", name_of(a, node, name),
                  (ull)f->in, (ull)moved.written);
    if (f->out != moved.read)
        violation(a, "%s: %llu bytes went out, %llu were read", name_of(a, node, name), (ull)f->out,
                  (ull)moved.read);
}

static void check_requester(const auditor *a, kb_node node, const flow *f,
                            const uint64_t requested[2])
{
    char name[KB_NAME_MAX];
    if (f->in != requested[KB_TXN_READ])
        violation(a, "%s: %llu bytes came in, %llu were requested", name_of(a, node, name),
                  (ull)f->in, (ull)requested[KB_TXN_READ]);
    if (f->out != requested[KB_TXN_WRITE])
        violation(a, "%s: %llu bytes went out, %llu were requested", name_of(a, node, name),
                  (ull)f->out, (ull)requested[KB_TXN_WRITE]);
}

static void audit_node(auditor *a, kb_place place, const flow *f)
{
    kb_machine *m = a->m;
    kb_node node = kb_graph_node(m->graph, place);
    const kb_node_info *info = kb_graph_info(m->graph, node);
    char name[KB_NAME_MAX];
    if (info->kind == KB_HOST) {
        check_requester(a, node, f, m->host_bytes);
    } else if (info->kind == KB_PE_DMA) {
        kb_pe *pe = kb_machine_pe(m, place.sip, place.die, info->a);
        check_requester(a, node, f, pe->dma_bytes);
    } else if (kb_machine_class(m, node, info->kind)->moved) {
        const kb_device *memory = kb_machine_device(m, node);
        check_moved(a, node, f, memory->class->moved(memory));
    } else if (f->in != f->out) {
        violation(a, "%s: %llu bytes in, %llu bytes out", name_of(a, node, name), (ull)f->in,
                  (ull)f->out);
    }
}

static void audit_die(auditor *a, kb_place place, const flow *flows)
{
    if (!flows) return;
    size_t nodes = kb_graph_die_type(a->m->graph, place)->nodes.count;
    for (size_t n = 0; n < nodes; n++) {
        place.local = (uint16_t)n;
        if (flows[n].in || flows[n].out) audit_node(a, place, &flows[n]);
    }
}

/* ---- memories and PEs ---- */

static void audit_device(void *user, kb_device *device)
{
    const auditor *a = user;
    if (device->class->kind != KB_HBM_CTRL || device->class->impl) return;
    const kb_hbm_ctrl *hbm = (const kb_hbm_ctrl *)device;
    const kb_hbm_config *config = kb_machine_config(a->m, KB_HBM_CTRL);
    char name[KB_NAME_MAX];
    name_of(a, device->node, name);
    uint64_t through = 0;
    kb_time busy = 0;
    for (uint32_t i = 0; i < config->channels; i++) {
        const kb_link *fifo = &hbm->channel[i].fifo;
        through += fifo->bytes;
        busy += fifo->busy;
        if (kb_link_busy_so_far(fifo, a->now) > a->now)
            violation(a, "%s: pseudo-channel %u was busy for %.3f ns of %.3f ns", name, i,
                      kb_time_ns(kb_link_busy_so_far(fifo, a->now)), kb_time_ns(a->now));
    }
    if (through != hbm->bytes_read + hbm->bytes_written)
        violation(a, "%s: %llu bytes went through its channels, %llu in and out", name,
                  (ull)through, (ull)(hbm->bytes_read + hbm->bytes_written));
    kb_time expected = kb_hbm_busy(hbm, config);
    if (busy != expected)
        violation(a, "%s: its channels were busy for %.3f ns, its bursts take %.3f ns", name,
                  kb_time_ns(busy), kb_time_ns(expected));
}

static void check_use(const auditor *a, const kb_pe *pe, const char *what, kb_time busy,
                      uint32_t capacity)
{
    if (busy > a->now * capacity)
        violation(a, "%s: %s was busy for %.3f ns of %.3f ns", pe->name, what, kb_time_ns(busy),
                  kb_time_ns(a->now * capacity));
}

static void check_channel(const auditor *a, kb_pe *pe, int direction, bool at_rest)
{
    static const char *const names[2] = {"pe_dma's read channel", "pe_dma's write channel"};
    const char *what = names[direction];
    kb_server *channel = &pe->dma[direction];
    kb_dma_books books = {0};
    for (int vc = 0; vc < KB_VC_COUNT; vc++) {
        books.grants += pe->dma_books[direction][vc].grants;
        books.waited += pe->dma_books[direction][vc].waited;
        books.held += pe->dma_books[direction][vc].held;
    }
    kb_server_settle(channel, a->m->sim);
    check_use(a, pe, what, channel->busy_integral, channel->capacity);
    if (channel->in_use > channel->capacity)
        violation(a, "%s: %s has %u units in use of %u", pe->name, what, channel->in_use,
                  channel->capacity);
    if (!at_rest) return;
    if (channel->in_use || channel->queued)
        violation(a, "%s: %u transactions are still in %s", pe->name,
                  channel->in_use + channel->queued, what);
    if (channel->grants != books.grants)
        violation(a, "%s: %s was granted %llu times, taken %llu times", pe->name, what,
                  (ull)channel->grants, (ull)books.grants);
    if (channel->queued_integral != books.waited)
        violation(a, "%s: the queue of %s says %.3f ns, transactions waited %.3f ns", pe->name,
                  what, kb_time_ns(channel->queued_integral), kb_time_ns(books.waited));
    if (channel->busy_integral != books.held)
        violation(a, "%s: %s says that it was held %.3f ns, transactions held it %.3f ns", pe->name,
                  what, kb_time_ns(channel->busy_integral), kb_time_ns(books.held));
}

static void audit_pe(void *user, kb_pe *pe)
{
    const auditor *a = user;
    bool at_rest = kb_sim_pending(a->m->sim) == 0;
    for (int d = 0; d < 2; d++) check_channel(a, pe, d, at_rest);
    check_use(a, pe, "TCM's read port", kb_link_busy_so_far(&pe->fetch, a->now), 1);
    check_use(a, pe, "TCM's write port", kb_link_busy_so_far(&pe->store, a->now), 1);
    check_use(a, pe, "pe_gemm", kb_link_busy_so_far(&pe->gemm, a->now), 1);
    check_use(a, pe, "pe_math", kb_link_busy_so_far(&pe->math, a->now), 1);
}

/* ---- finite buffers ---- */

static void check_buffer(const auditor *a, const kb_buffer *b, uint32_t returning, bool at_rest)
{
    char from[KB_NAME_MAX], to[KB_NAME_MAX], channel[KB_VCHANNEL_NAME_MAX];
    name_of(a, b->from, from);
    name_of(a, b->to, to);
    kb_vchannel_name(b->channel, channel);
    const char *op = b->op == KB_TXN_READ ? "reads" : "writes";
    uint32_t credits = b->credits + returning;
    if (credits > b->slots)
        violation(a, "%s -> %s: %u credits for %u slots (%s, bound %s)", from, to, credits,
                  b->slots, op, channel);
    if (!at_rest) return;
    if (credits < b->slots)
        violation(a, "%s -> %s: %u of %u credits are back (%s, bound %s)", from, to, credits,
                  b->slots, op, channel);
    if (b->waiting_count + b->source_count)
        violation(a, "%s -> %s: %u still wait for a credit (%s, bound %s)", from, to,
                  b->waiting_count + b->source_count, op, channel);
}

static void audit_flow(const auditor *a)
{
    const kb_machine *m = a->m;
    kb_time taken = 0, waiting = 0;
    bool at_rest = kb_sim_pending(m->sim) == 0;
    for (kb_buffer *b = m->flow->made; b; b = b->next_made) {
        uint32_t returning;
        taken += kb_buffer_taken(b, a->now, &returning);
        check_buffer(a, b, returning, at_rest);
        waiting += b->waiting_integral + b->source_integral;
    }
    if (!at_rest || m->txns_started != m->txns_completed) return;
    if (taken != m->flow->taken)
        violation(a,
                  "machine: buffers say that slots were taken %.3f ns, transactions took them "
                  "%.3f ns",
                  kb_time_ns(taken), kb_time_ns(m->flow->taken));
    if (waiting != m->flow->blocked_time)
        violation(a,
                  "machine: buffers say that credits were waited for %.3f ns, transactions "
                  "waited %.3f ns",
                  kb_time_ns(waiting), kb_time_ns(m->flow->blocked_time));
}

/* ---- the whole ---- */

static void check_completion(const auditor *a)
{
    const kb_machine *m = a->m;
    if (m->txns_started != m->txns_completed)
        violation(a, "machine: %llu transactions started, %llu completed", (ull)m->txns_started,
                  (ull)m->txns_completed);
    if (m->flits_injected != m->flits_delivered)
        violation(a, "machine: %llu flits were sent, %llu delivered", (ull)m->flits_injected,
                  (ull)m->flits_delivered);
    if (m->txns_started == m->txns_completed && a->waited != m->waited)
        violation(a, "machine: links say that flits waited %.3f ns, transactions waited %.3f ns",
                  kb_time_ns(a->waited), kb_time_ns(m->waited));
}

void kb_machine_audit(kb_machine *m, kb_audit_report report, void *user)
{
    const kb_graph *g = m->graph;
    size_t dies = (size_t)g->sips * (size_t)g->dies;
    auditor a = {.m = m,
                 .report = report,
                 .user = user,
                 .now = m->sim->now,
                 .dies = kb_xcalloc(dies, sizeof *a.dies)};
    kb_machine_each_wire(m, audit_link, &a);
    if (kb_sim_pending(m->sim) == 0) {
        audit_die(&a, (kb_place){.sip = -1}, a.system);
        for (size_t d = 0; d < dies; d++)
            audit_die(&a, (kb_place){(int)(d / (size_t)g->dies), (int)(d % (size_t)g->dies), 0},
                      a.dies[d]);
        check_completion(&a);
    }
    if (m->flow) audit_flow(&a);
    kb_machine_each_device(m, audit_device, &a);
    kb_machine_each_pe(m, audit_pe, &a);
    kb_ipcq_audit(m, report, user);
    for (size_t d = 0; d < dies; d++) free(a.dies[d]);
    free(a.dies);
    free(a.system);
}
