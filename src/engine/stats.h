/* Totals of a run, read off links, channels and engines, and the audit of their laws. */
#ifndef KB_ENGINE_STATS_H
#define KB_ENGINE_STATS_H

#include "engine/launch.h"

enum {
    KB_BYTES_HBM_READ,
    KB_BYTES_HBM_WRITE,
    KB_BYTES_NOC,    /* over router-to-router links, each link counted */
    KB_BYTES_XBAR,   /* into and out of crossbars */
    KB_BYTES_UCIE,   /* between dies */
    KB_BYTES_PCIE,   /* between host and SIPs */
    KB_BYTES_FABRIC, /* between SIPs and the switch */
    KB_BYTES_COUNT
};
const char *kb_bytes_name(int kind);

enum {
    KB_USE_DMA_READ,
    KB_USE_DMA_WRITE,
    KB_USE_FETCH,
    KB_USE_STORE,
    KB_USE_GEMM,
    KB_USE_MATH,
    KB_USE_COUNT
};
const char *kb_use_name(int use);

/* Busy time summed over all PEs; utilisation = busy / (PEs used x time in kernels). */
typedef struct kb_engine_use {
    kb_time busy;
    double utilization;
} kb_engine_use;

enum { KB_VIOLATIONS_KEPT = 8 };

typedef struct kb_stats {
    uint64_t bytes[KB_BYTES_COUNT];
    kb_engine_use use[KB_USE_COUNT];
    uint64_t commands, macs;
    uint64_t dma_bytes; /* moved by the DMA engines of PEs */
    uint32_t pes_used;
    kb_time kernel_time; /* sum over launches of last end - first start */
    uint32_t violation_count;
    char violations[KB_VIOLATIONS_KEPT][160];
} kb_stats;

/* Read everything; checks that no link, channel or engine was busy for longer than time has passed,
 * and, when nothing is pending any more, that every transaction and flit that started has arrived
 * and that nothing is left in a queue. */
void kb_stats_collect(kb_engine *engine, kb_stats *stats);

#endif
