#include "engine/stats.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hw/hbm_ctrl.h"
#include "topo/names.h"

typedef struct collector {
    kb_engine *engine;
    kb_stats *stats;
    kb_time now;
    bool at_rest; /* nothing is pending: all that has begun must have ended */
} collector;

const char *kb_bytes_name(int kind)
{
    static const char *const names[KB_BYTES_COUNT] = {"hbm_read", "hbm_write", "noc",   "xbar",
                                                      "ucie",     "pcie",      "fabric"};
    return names[kind];
}

const char *kb_use_name(int use)
{
    static const char *const names[KB_USE_COUNT] = {"pe_dma_read", "pe_dma_write", "pe_fetch",
                                                    "pe_store",    "pe_gemm",      "pe_math"};
    return names[use];
}

static void violation(kb_stats *stats, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void violation(kb_stats *stats, const char *format, ...)
{
    if (stats->violation_count < KB_VIOLATIONS_KEPT) {
        char *text = stats->violations[stats->violation_count];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof stats->violations[0], format, args);
        va_end(args);
    }
    stats->violation_count++;
}

/* ---- links ---- */

/* Busy time up to now: what is claimed beyond now is contiguous, since claims are made when a unit
 * is ready. */
static kb_time busy_so_far(const kb_link *link, kb_time now)
{
    return link->busy - (link->free > now ? link->free - now : 0);
}

static int link_kind(kb_kind from, const kb_edge_info *info, const kb_die_type *die)
{
    if (info->to == KB_TO_HOST || from == KB_HOST) return KB_BYTES_PCIE;
    if (info->to == KB_TO_SWITCH || from == KB_SWITCH) return KB_BYTES_FABRIC;
    if (info->to == KB_TO_PEER) return KB_BYTES_UCIE;
    kb_kind to = die->nodes.data[info->to].kind;
    if (from == KB_ROUTER && to == KB_ROUTER) return KB_BYTES_NOC;
    if (from == KB_XBAR || to == KB_XBAR) return KB_BYTES_XBAR;
    return -1;
}

/* The die of an edge, by its number. */
static const kb_die_type *die_of(const kb_graph *g, kb_edge edge)
{
    if (edge < g->system.edges.count) return &g->system;
    uint32_t rest = (edge - (uint32_t)g->system.edges.count) % g->sip_edges;
    int die = g->dies - 1;
    while (g->die_edge[die] > rest) die--;
    return kb_graph_die_type(g, (kb_place){0, die, 0});
}

static void add_link(void *user, kb_edge edge, const kb_edge_info *info, const kb_link *link)
{
    collector *c = user;
    const kb_die_type *die = die_of(c->engine->m->graph, edge);
    kb_kind from = die->nodes.data[info->from].kind;
    int kind = link_kind(from, info, die);
    if (kind >= 0) c->stats->bytes[kind] += link->bytes;
    kb_time busy = busy_so_far(link, c->now);
    if (busy > c->now)
        violation(c->stats, "link %u (from a %s) was busy for %.3f ns of %.3f ns", edge,
                  kb_kind_name(from), kb_time_ns(busy), kb_time_ns(c->now));
}

/* ---- memories ---- */

static void add_device(void *user, kb_device *device)
{
    collector *c = user;
    if (device->class->kind != KB_HBM_CTRL) return;
    const kb_hbm_ctrl *hbm = (const kb_hbm_ctrl *)device;
    const kb_hbm_config *config = kb_machine_config(device->m, KB_HBM_CTRL);
    c->stats->bytes[KB_BYTES_HBM_READ] += hbm->bytes_read;
    c->stats->bytes[KB_BYTES_HBM_WRITE] += hbm->bytes_written;
    uint64_t through = 0;
    char name[KB_NAME_MAX];
    kb_node_name(device->m->graph, device->node, name);
    for (uint32_t i = 0; i < config->channels; i++) {
        through += hbm->channel[i].fifo.bytes;
        kb_time busy = busy_so_far(&hbm->channel[i].fifo, c->now);
        if (busy > c->now)
            violation(c->stats, "%s: pseudo-channel %u was busy for %.3f ns of %.3f ns", name, i,
                      kb_time_ns(busy), kb_time_ns(c->now));
    }
    if (through != hbm->bytes_read + hbm->bytes_written)
        violation(c->stats, "%s: %llu bytes went through its channels, %llu in and out", name,
                  (unsigned long long)through,
                  (unsigned long long)(hbm->bytes_read + hbm->bytes_written));
}

/* ---- PEs ---- */

static void add_use(collector *c, const kb_pe *pe, int use, kb_time busy, uint32_t capacity)
{
    c->stats->use[use].busy += busy;
    if (busy > c->now * capacity)
        violation(c->stats, "%s: %s was busy for %.3f ns of %.3f ns", pe->name, kb_use_name(use),
                  kb_time_ns(busy), kb_time_ns(c->now * capacity));
}

static void add_pe(void *user, kb_pe *pe)
{
    collector *c = user;
    for (int d = 0; d < 2; d++) {
        kb_server *channel = &pe->dma[d];
        kb_server_settle(channel, c->engine->sim);
        add_use(c, pe, KB_USE_DMA_READ + d, channel->busy_integral, channel->capacity);
        if (c->at_rest && (channel->in_use || channel->queued))
            violation(c->stats, "%s: %u commands are still in %s", pe->name,
                      channel->in_use + channel->queued, kb_use_name(KB_USE_DMA_READ + d));
    }
    add_use(c, pe, KB_USE_FETCH, busy_so_far(&pe->fetch, c->now), 1);
    add_use(c, pe, KB_USE_STORE, busy_so_far(&pe->store, c->now), 1);
    add_use(c, pe, KB_USE_GEMM, busy_so_far(&pe->gemm, c->now), 1);
    add_use(c, pe, KB_USE_MATH, busy_so_far(&pe->math, c->now), 1);
    c->stats->commands += pe->commands;
    c->stats->macs += pe->macs;
    c->stats->dma_bytes += pe->dma_bytes[KB_DMA_READ] + pe->dma_bytes[KB_DMA_WRITE];
    c->stats->pes_used += pe->commands > 0;
}

static void check_transactions(const collector *c)
{
    const kb_machine *m = c->engine->m;
    if (m->txns_started != m->txns_completed)
        violation(c->stats, "%llu of %llu transactions did not complete",
                  (unsigned long long)(m->txns_started - m->txns_completed),
                  (unsigned long long)m->txns_started);
    if (m->flits_injected != m->flits_delivered)
        violation(c->stats, "%llu flits were sent, %llu delivered",
                  (unsigned long long)m->flits_injected, (unsigned long long)m->flits_delivered);
}

void kb_stats_collect(kb_engine *engine, kb_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    collector c = {engine, stats, engine->sim->now, kb_sim_pending(engine->sim) == 0};
    kb_machine_each_link(engine->m, add_link, &c);
    kb_machine_each_device(engine->m, add_device, &c);
    kb_machine_each_pe(engine->m, add_pe, &c);
    if (c.at_rest) check_transactions(&c);
    for (const kb_launch *l = engine->launches; l; l = l->next)
        if (l->end > l->start) stats->kernel_time += l->end - l->start;
    double available = (double)stats->kernel_time * stats->pes_used;
    for (int u = 0; u < KB_USE_COUNT; u++)
        stats->use[u].utilization = available > 0 ? (double)stats->use[u].busy / available : 0;
}
