#include "engine/probe.h"

#include <assert.h>
#include <string.h>

#include "engine/probe_ipcq.h"

static const char *const names[KB_PROBE_CASES] = {
    [KB_PROBE_H2D_WRITE] = "h2d_write",
    [KB_PROBE_D2H_READ] = "d2h_read",
    [KB_PROBE_LOCAL_READ] = "pe_dma_local_read",
    [KB_PROBE_LOCAL_WRITE] = "pe_dma_local_write",
    [KB_PROBE_SAME_HALF_READ] = "pe_dma_same_half_read",
    [KB_PROBE_SAME_HALF_WRITE] = "pe_dma_same_half_write",
    [KB_PROBE_CROSS_HALF_READ] = "pe_dma_cross_half_read",
    [KB_PROBE_CROSS_HALF_WRITE] = "pe_dma_cross_half_write",
    [KB_PROBE_CROSS_CUBE_BEST_READ] = "pe_dma_cross_cube_best_read",
    [KB_PROBE_CROSS_CUBE_BEST_WRITE] = "pe_dma_cross_cube_best_write",
    [KB_PROBE_CROSS_CUBE_WORST_READ] = "pe_dma_cross_cube_worst_read",
    [KB_PROBE_CROSS_CUBE_WORST_WRITE] = "pe_dma_cross_cube_worst_write",
    [KB_PROBE_CROSS_SIP_READ] = "pe_dma_cross_sip_read",
    [KB_PROBE_CROSS_SIP_WRITE] = "pe_dma_cross_sip_write",
    [KB_PROBE_IPCQ_SAME_CUBE] = "ipcq_same_cube",
    [KB_PROBE_IPCQ_CROSS_CUBE] = "ipcq_cross_cube",
    [KB_PROBE_IPCQ_CROSS_SIP] = "ipcq_cross_sip",
};

const char *kb_probe_name(kb_probe_case which)
{
    return names[which];
}

bool kb_probe_find(const char *name, kb_probe_case *which)
{
    for (int c = 0; c < KB_PROBE_CASES; c++) {
        if (strcmp(names[c], name)) continue;
        *which = (kb_probe_case)c;
        return true;
    }
    return false;
}

static kb_txn_op op_of(kb_probe_case which)
{
    return which == KB_PROBE_H2D_WRITE || (which > KB_PROBE_D2H_READ && which % 2) ? KB_TXN_WRITE
                                                                                   : KB_TXN_READ;
}

/* ---- the memory of a case ---- */

/* A search for the slice with the least or the greatest closed form. */
typedef struct search {
    kb_machine *m;
    kb_probe *probe;
    bool farthest;
    bool found;
    kb_time best;
    kb_err *err;
} search;

static int offer(search *s, int sip, int cube, int slice)
{
    kb_formula formula;
    kb_node memory = kb_graph_slice(s->m->graph, sip, cube, slice);
    int status = kb_closed_form(s->m, op_of(s->probe->which), s->probe->requester, memory, 0,
                                s->probe->bytes, &formula, s->err);
    if (status) return status;
    if (s->found && (s->farthest ? formula.total <= s->best : formula.total >= s->best))
        return KB_OK;
    s->found = true;
    s->best = formula.total;
    s->probe->memory = memory;
    return KB_OK;
}

/* Slices of the crossbar of pe0, other than its own, or of the other one. */
static int search_half(search *s, bool same)
{
    const kb_graph *g = s->m->graph;
    const kb_cube_plan *plan = &g->cube_plan;
    if (!plan->xbar) {
        s->probe->absent = "HBM slices are on routers, so a cube has no halves";
        return KB_OK;
    }
    for (int slice = 0; slice < plan->slices; slice++) {
        int half = g->cube.nodes.data[plan->slice[slice]].b;
        if (slice == kb_graph_own_slice(g, 0) || (half == plan->pe_half[0]) != same) continue;
        int status = offer(s, 0, 0, slice);
        if (status) return status;
    }
    if (!s->found)
        s->probe->absent = same ? "the half of sip0.cube0.pe0 has no slice but its own"
                                : "all slices are in the half of sip0.cube0.pe0";
    return KB_OK;
}

/* Most pairs of a cube and a slice that are tried one by one. */
enum { SEARCH_MAX = 4096 };

/* In a large mesh the cubes next to pe0's and those at the far edges stand for the rest: routes are
 * XY, so a cube in between lies between them in distance too. */
static bool worth_trying(const kb_graph *g, int cube)
{
    if (kb_graph_cubes(g) * g->cube_plan.slices <= SEARCH_MAX) return true;
    int x = cube % g->mesh_w, y = cube / g->mesh_w;
    return (x <= 1 || x == g->mesh_w - 1) && (y <= 1 || y == g->mesh_h - 1);
}

static int search_cubes(search *s, int sip)
{
    const kb_graph *g = s->m->graph;
    for (int cube = sip ? 0 : 1; cube < kb_graph_cubes(g); cube++) {
        if (!worth_trying(g, cube)) continue;
        for (int slice = 0; slice < g->cube_plan.slices; slice++) {
            int status = offer(s, sip, cube, slice);
            if (status) return status;
        }
    }
    if (!s->found) s->probe->absent = "a SIP has only one cube";
    return KB_OK;
}

static int search_sip(search *s)
{
    if (s->m->graph->sips > 1) return search_cubes(s, 1);
    s->probe->absent = "there is only one SIP";
    return KB_OK;
}

static int find_memory(kb_machine *m, kb_probe *probe, kb_err *err)
{
    search s = {.m = m, .probe = probe, .farthest = true, .err = err};
    switch (probe->which) {
    case KB_PROBE_SAME_HALF_READ:
    case KB_PROBE_SAME_HALF_WRITE:
        return search_half(&s, true);
    case KB_PROBE_CROSS_HALF_READ:
    case KB_PROBE_CROSS_HALF_WRITE:
        return search_half(&s, false);
    case KB_PROBE_CROSS_CUBE_BEST_READ:
    case KB_PROBE_CROSS_CUBE_BEST_WRITE:
        s.farthest = false;
        return search_cubes(&s, 0);
    case KB_PROBE_CROSS_CUBE_WORST_READ:
    case KB_PROBE_CROSS_CUBE_WORST_WRITE:
        return search_cubes(&s, 0);
    case KB_PROBE_CROSS_SIP_READ:
    case KB_PROBE_CROSS_SIP_WRITE:
        return search_sip(&s);
    default:
        probe->memory = kb_graph_slice(m->graph, 0, 0, kb_graph_own_slice(m->graph, 0));
        return KB_OK;
    }
}

/* ---- running ---- */

void kb_probe_watch(void *object, const kb_txn *txn)
{
    kb_probe *probe = object;
    const kb_graph *g = txn->m->graph;
    probe->actual = txn->ended - txn->started;
    for (uint32_t i = 0; i < txn->hop_count; i++) {
        const kb_hop *hop = &txn->hops[i];
        kb_probe_hop seen = {.at = hop->first - txn->started,
                             .waited = hop->waited,
                             .overhead = hop->overhead,
                             .occupancy = hop->flit_occupancy};
        kb_node_name(g, hop->node, seen.node);
        kb_vec_push(&probe->route, seen);
    }
}

static int measure(kb_engine *engine, kb_probe *probe, kb_err *err)
{
    kb_txn_request request = {.op = op_of(probe->which),
                              .requester = probe->requester,
                              .memory = probe->memory,
                              .rows = 1,
                              .row_bytes = probe->bytes,
                              .object = probe,
                              .watch = kb_probe_watch};
    int status = kb_closed_form(engine->m, request.op, request.requester, request.memory, 0,
                                probe->bytes, &probe->formula, err);
    if (!status) status = kb_txn_start(engine->m, &request, err);
    if (status) return status;
    probe->bound = kb_closed_form_is_bound(engine->m);
    kb_engine_run(engine, KB_TIME_NEVER, UINT64_MAX, NULL, NULL);
    return KB_OK;
}

static void rate(kb_probe *probe)
{
    assert(probe->route.count > 0); /* the only transaction has ended */
    probe->bw_gbs = (double)probe->bytes * 1000.0 / (double)probe->actual;
    probe->utilization = probe->bw_gbs / probe->formula.bottleneck_gbs;
}

int kb_probe_run_on(kb_engine *engine, kb_probe_case which, uint64_t bytes, kb_probe *out,
                    kb_err *err)
{
    assert(bytes > 0);
    const kb_graph *g = engine->m->graph;
    bool host = which == KB_PROBE_H2D_WRITE || which == KB_PROBE_D2H_READ;
    *out = (kb_probe){.which = which,
                      .bytes = bytes,
                      .requester = host ? kb_graph_host(g) : kb_graph_pe(g, 0, 0, 0, KB_PE_DMA)};
    int status;
    if (which >= KB_PROBE_IPCQ_SAME_CUBE) {
        status = kb_probe_ipcq(engine, out, err);
    } else {
        status = find_memory(engine->m, out, err);
        if (!status && !out->absent) status = measure(engine, out, err);
    }
    if (!status && !out->absent) rate(out);
    if (status) kb_probe_free(out);
    return status;
}

int kb_probe_run(const kb_engine_options *options, kb_probe_case which, uint64_t bytes,
                 kb_probe *out, kb_err *err)
{
    kb_engine *engine;
    *out = (kb_probe){0};
    int status = kb_engine_create(&engine, options, err);
    if (status) return status;
    status = kb_probe_run_on(engine, which, bytes, out, err);
    kb_engine_destroy(engine);
    return status;
}

void kb_probe_free(kb_probe *probe)
{
    kb_vec_free(&probe->route);
}
