/* Totals of a run, read off links, channels and engines, and the audit of their laws. */
#ifndef KB_ENGINE_STATS_H
#define KB_ENGINE_STATS_H

#include "engine/launch.h"
#include "hw/energy.h"

enum {
    KB_BYTES_HBM_READ,
    KB_BYTES_HBM_WRITE,
    KB_BYTES_NOC,    /* over router-to-router links, each link counted; from here as kb_traffic */
    KB_BYTES_XBAR,   /* into and out of crossbars */
    KB_BYTES_UCIE,   /* between dies */
    KB_BYTES_PCIE,   /* between host and SIPs */
    KB_BYTES_FABRIC, /* between SIPs and the switch */
    KB_BYTES_COUNT
};
const char *kb_bytes_name(int kind);

/* Busy time summed over all PEs (of fetch and store: without what the ports of TCM did for others);
 * utilisation = busy / (PEs used x time in kernels). */
typedef struct kb_engine_use {
    kb_time busy;
    double utilization;
} kb_engine_use;

/* Bytes at the memories of one kind, whoever reached them. */
enum { KB_MEMORY_HBM, KB_MEMORY_SRAM, KB_MEMORY_TCM, KB_MEMORY_COUNT };
const char *kb_memory_kind_name(int memory);

enum { KB_VIOLATIONS_KEPT = 8 };

typedef struct kb_stats {
    uint64_t bytes[KB_BYTES_COUNT];
    kb_moved memory[KB_MEMORY_COUNT]; /* TCM: what came over the fabric */
    kb_engine_use use[KB_USE_COUNT];
    uint64_t commands, macs;
    uint64_t tlb_hits, tlb_misses; /* 0 while misses cost nothing (pe_mmu.h) */
    uint64_t dma_bytes;            /* moved by the DMA engines of PEs */
    kb_energy energy;              /* all 0 unless energy.enabled */
    uint32_t pes_used;
    kb_time kernel_time; /* sum over launches of last end - first start */
    uint32_t violation_count;
    char violations[KB_VIOLATIONS_KEPT][160];
} kb_stats;

/* Read everything, and audit it (hw/audit.h). */
void kb_stats_collect(kb_engine *engine, kb_stats *stats);

#endif
