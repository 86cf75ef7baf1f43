/* What a launch made of its PEs: busy time of engines, bytes, multiply-accumulates, from the first
 * start to the last end, and the least time in which the machine could have done as much. */
#ifndef KB_ENGINE_LAUNCH_USE_H
#define KB_ENGINE_LAUNCH_USE_H

#include "engine/engine.h"

/* Engines of a PE. */
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

/* Which resource needs how long, if it did nothing else and waited for nothing: the roofs of the
 * roofline model. The longest is a lower bound of the launch's time. */
typedef enum kb_bound {
    KB_BOUND_GEMM, /* multiply-accumulates at the peak rate of the operands' type */
    KB_BOUND_MATH, /* cycles of the vector engine */
    KB_BOUND_TCM,  /* bytes through the busier port of the PEs' TCMs */
    KB_BOUND_HBM,  /* bytes of the busiest HBM slice at its peak rate, whoever moved them */
    KB_BOUND_COUNT
} kb_bound;
const char *kb_bound_name(kb_bound bound);

/* Totals over the PEs of the launch. */
typedef struct kb_launch_use {
    kb_time busy[KB_USE_COUNT]; /* a DMA channel counts as busy by the share of it that is */
    uint64_t dma_bytes[2], fetch_bytes, store_bytes, commands, macs;
    uint64_t macs_by_size[4];
    uint64_t slice_bytes;    /* of the slice that moved most, of the SIPs */
    kb_vec(uint64_t) slices; /* private: bytes before, by SIP of the launch, cube and slice */
} kb_launch_use;

/* At the first start, and at the last end. */
struct kb_launch;
void kb_launch_use_begin(struct kb_launch *launch);
void kb_launch_use_end(struct kb_launch *launch);

/* In seconds, of a launch that has ended. */
double kb_launch_use_bound(const struct kb_launch *launch, kb_bound bound);

#endif
