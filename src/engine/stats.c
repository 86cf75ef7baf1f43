#include "engine/stats.h"

#include <stdio.h>
#include <string.h>

#include "hw/audit.h"
#include "hw/pe/pe_tcm.h"

typedef struct collector {
    kb_engine *engine;
    kb_stats *stats;
    kb_time now;
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

const char *kb_memory_kind_name(int memory)
{
    static const char *const names[KB_MEMORY_COUNT] = {"hbm", "sram", "pe_tcm"};
    return names[memory];
}

/* ---- links ---- */

static void add_link(void *user, kb_node from, const kb_edge_info *info, const kb_wire *wire)
{
    (void)info;
    collector *c = user;
    if (wire->to == KB_NO_NODE) return;
    kb_traffic kind = kb_traffic_between(c->engine->m->graph, from, wire->to);
    if (kind != KB_TRAFFIC_NONE) c->stats->bytes[KB_BYTES_NOC + (int)kind] += wire->link.bytes;
}

/* ---- memories ---- */

/* While a run goes on, some of what others have claimed lies ahead. */
static void take_off(kb_engine_use *use, kb_time busy)
{
    use->busy -= busy < use->busy ? busy : use->busy;
}

static void add_device(void *user, kb_device *device)
{
    collector *c = user;
    kb_kind kind = device->class->kind;
    if (!device->class->moved) return;
    kb_moved moved = device->class->moved(device);
    int memory = kind == KB_HBM_CTRL ? KB_MEMORY_HBM
                 : kind == KB_SRAM   ? KB_MEMORY_SRAM
                                     : KB_MEMORY_TCM;
    c->stats->memory[memory].read += moved.read;
    c->stats->memory[memory].written += moved.written;
    if (memory != KB_MEMORY_TCM) return;
    const kb_tcm *tcm = (const kb_tcm *)device;
    take_off(&c->stats->use[KB_USE_FETCH], tcm->read_busy);
    take_off(&c->stats->use[KB_USE_STORE], tcm->write_busy);
}

/* ---- PEs ---- */

static void add_pe(void *user, kb_pe *pe)
{
    collector *c = user;
    kb_engine_use *use = c->stats->use;
    for (int d = 0; d < 2; d++) {
        kb_server_settle(&pe->dma[d], c->engine->sim);
        use[KB_USE_DMA_READ + d].busy += pe->dma[d].busy_integral;
        c->stats->dma_bytes += pe->dma_bytes[d];
    }
    use[KB_USE_FETCH].busy += kb_link_busy_so_far(&pe->fetch, c->now);
    use[KB_USE_STORE].busy += kb_link_busy_so_far(&pe->store, c->now);
    use[KB_USE_GEMM].busy += kb_link_busy_so_far(&pe->gemm, c->now);
    use[KB_USE_MATH].busy += kb_link_busy_so_far(&pe->math, c->now);
    c->stats->commands += pe->commands;
    c->stats->macs += pe->macs;
    c->stats->tlb_hits += pe->tlb_hits;
    c->stats->tlb_misses += pe->tlb_misses;
    c->stats->pes_used += pe->commands > 0;
}

/* ---- all ---- */

static void keep_violation(void *user, const char *text)
{
    kb_stats *stats = user;
    if (stats->violation_count < KB_VIOLATIONS_KEPT)
        snprintf(stats->violations[stats->violation_count], sizeof stats->violations[0], "%s",
                 text);
    stats->violation_count++;
}

void kb_stats_collect(kb_engine *engine, kb_stats *stats)
{
    memset(stats, 0, sizeof *stats);
    collector c = {engine, stats, engine->sim->now};
    kb_machine_each_wire(engine->m, add_link, &c);
    kb_machine_each_pe(engine->m, add_pe, &c);
    kb_machine_each_device(engine->m, add_device, &c);
    kb_energy_total(engine->m, &stats->energy);
    kb_machine_audit(engine->m, keep_violation, stats);
    stats->bytes[KB_BYTES_HBM_READ] = stats->memory[KB_MEMORY_HBM].read;
    stats->bytes[KB_BYTES_HBM_WRITE] = stats->memory[KB_MEMORY_HBM].written;
    for (const kb_launch *l = engine->launches; l; l = l->next)
        if (l->end > l->start) stats->kernel_time += l->end - l->start;
    double available = (double)stats->kernel_time * stats->pes_used;
    for (int u = 0; u < KB_USE_COUNT; u++)
        stats->use[u].utilization = available > 0 ? (double)stats->use[u].busy / available : 0;
}
