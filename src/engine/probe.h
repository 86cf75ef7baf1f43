/* Probes: one transaction on an idle machine, beside its closed form.
 *
 * A probe makes a fresh engine, runs one transaction of its case, and reports the simulated time,
 * what hw/closed_form.h predicts, and when the first flit passed each node. Cases are named by who
 * moves what to where: the host to and from slice 0 and the SRAM of sip0.cube0; pe0 of that cube to
 * its own slice, to the farthest slice of its own and of the other half, to the nearest and the
 * farthest slice of another cube, and to the farthest of another SIP; to the SRAM of its cube, and
 * the farthest of another cube and another SIP; and to the farthest TCM of another PE of its cube,
 * of another cube and of another SIP. Nearest and farthest are by the closed form at that size. */
#ifndef KB_ENGINE_PROBE_H
#define KB_ENGINE_PROBE_H

#include "engine/engine.h"
#include "hw/closed_form.h"
#include "topo/names.h"

/* Of the PE's cases the read comes first, then the write. */
typedef enum kb_probe_case {
    KB_PROBE_H2D_WRITE,
    KB_PROBE_D2H_READ,
    KB_PROBE_H2D_SRAM_WRITE,
    KB_PROBE_D2H_SRAM_READ,
    KB_PROBE_LOCAL_READ,
    KB_PROBE_LOCAL_WRITE,
    KB_PROBE_SAME_HALF_READ,
    KB_PROBE_SAME_HALF_WRITE,
    KB_PROBE_CROSS_HALF_READ,
    KB_PROBE_CROSS_HALF_WRITE,
    KB_PROBE_CROSS_CUBE_BEST_READ,
    KB_PROBE_CROSS_CUBE_BEST_WRITE,
    KB_PROBE_CROSS_CUBE_WORST_READ,
    KB_PROBE_CROSS_CUBE_WORST_WRITE,
    KB_PROBE_CROSS_SIP_READ,
    KB_PROBE_CROSS_SIP_WRITE,
    KB_PROBE_SRAM_READ,
    KB_PROBE_SRAM_WRITE,
    KB_PROBE_SRAM_CROSS_CUBE_READ,
    KB_PROBE_SRAM_CROSS_CUBE_WRITE,
    KB_PROBE_SRAM_CROSS_SIP_READ,
    KB_PROBE_SRAM_CROSS_SIP_WRITE,
    KB_PROBE_TCM_SAME_CUBE_READ,
    KB_PROBE_TCM_SAME_CUBE_WRITE,
    KB_PROBE_TCM_CROSS_CUBE_READ,
    KB_PROBE_TCM_CROSS_CUBE_WRITE,
    KB_PROBE_TCM_CROSS_SIP_READ,
    KB_PROBE_TCM_CROSS_SIP_WRITE,
    KB_PROBE_IPCQ_SAME_CUBE, /* probe_ipcq.h */
    KB_PROBE_IPCQ_CROSS_CUBE,
    KB_PROBE_IPCQ_CROSS_SIP,
    KB_PROBE_CASES
} kb_probe_case;

const char *kb_probe_name(kb_probe_case which); /* "pe_dma_local_read" */
bool kb_probe_find(const char *name, kb_probe_case *which);

/* A node of the data's way. */
typedef struct kb_probe_hop {
    char node[KB_NAME_MAX];
    kb_time at;        /* the first flit was ready here, from the start of the transaction */
    kb_time waited;    /* all flits, for the link that leaves */
    kb_time overhead;  /* of the node; the first one's is not charged */
    kb_time occupancy; /* of a full flit on the link that leaves; 0 at the end */
} kb_probe_hop;

typedef struct kb_probe {
    kb_probe_case which;
    bool bound;         /* the formula is a lower bound: refinements are on that it does not know */
    const char *absent; /* why this machine has no such case; NULL: it has, and the rest is valid */
    uint64_t bytes;
    kb_node requester, memory;
    kb_time actual;
    kb_formula formula;
    double bw_gbs;      /* bytes / actual */
    double utilization; /* of formula.bottleneck_gbs */
    kb_vec(kb_probe_hop) route;
} kb_probe;

/* `bytes` > 0. An absent case is not an error. The caller frees the probe. */
int kb_probe_run(const kb_engine_options *options, kb_probe_case which, uint64_t bytes,
                 kb_probe *out, kb_err *err);

/* The same on an engine that nothing has run on since it was created; not to be used again after.
 */
int kb_probe_run_on(kb_engine *engine, kb_probe_case which, uint64_t bytes, kb_probe *out,
                    kb_err *err);
void kb_probe_free(kb_probe *probe);

/* What must hold among probes of one machine. */
typedef struct kb_invariant {
    const char *name; /* a sentence */
    bool ok;
    uint32_t judged;  /* pairs or probes that it was judged on */
    char detail[240]; /* the first that breaks it, or why none was judged, or empty */
} kb_invariant;

enum { KB_PROBE_INVARIANTS = 9 };

/* Probes in any order, of any cases and sizes. What the given ones do not decide is ok. */
void kb_probe_invariants(const kb_probe *probes, size_t count,
                         kb_invariant out[KB_PROBE_INVARIANTS]);

#endif
