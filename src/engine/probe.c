#include "engine/probe.h"

#include <assert.h>
#include <string.h>

#include "engine/probe_ipcq.h"

/* Which memories are considered, and which of them it is. */
typedef enum target_kind { SLICE, SRAM, TCM } target_kind;
typedef enum target_scope { OWN, SAME_HALF, CROSS_HALF, SAME_CUBE, CROSS_CUBE, CROSS_SIP } scope;

typedef struct case_info {
    const char *name;
    kb_txn_op op;
    target_kind kind;
    scope scope;
    bool nearest; /* of those in scope; else the farthest */
    bool host;
} case_info;

#define PE_CASE(WHAT, name, ...)                                                                   \
    [KB_PROBE_##WHAT##_READ] = {"pe_dma_" name "_read", KB_TXN_READ, __VA_ARGS__, false},          \
    [KB_PROBE_##WHAT##_WRITE] = {"pe_dma_" name "_write", KB_TXN_WRITE, __VA_ARGS__, false}

static const case_info cases[KB_PROBE_CASES] = {
    [KB_PROBE_H2D_WRITE] = {"h2d_write", KB_TXN_WRITE, SLICE, OWN, false, true},
    [KB_PROBE_D2H_READ] = {"d2h_read", KB_TXN_READ, SLICE, OWN, false, true},
    [KB_PROBE_H2D_SRAM_WRITE] = {"h2d_sram_write", KB_TXN_WRITE, SRAM, OWN, false, true},
    [KB_PROBE_D2H_SRAM_READ] = {"d2h_sram_read", KB_TXN_READ, SRAM, OWN, false, true},
    PE_CASE(LOCAL, "local", SLICE, OWN, false),
    PE_CASE(SAME_HALF, "same_half", SLICE, SAME_HALF, false),
    PE_CASE(CROSS_HALF, "cross_half", SLICE, CROSS_HALF, false),
    PE_CASE(CROSS_CUBE_BEST, "cross_cube_best", SLICE, CROSS_CUBE, true),
    PE_CASE(CROSS_CUBE_WORST, "cross_cube_worst", SLICE, CROSS_CUBE, false),
    PE_CASE(CROSS_SIP, "cross_sip", SLICE, CROSS_SIP, false),
    PE_CASE(SRAM, "sram", SRAM, OWN, false),
    PE_CASE(SRAM_CROSS_CUBE, "sram_cross_cube", SRAM, CROSS_CUBE, false),
    PE_CASE(SRAM_CROSS_SIP, "sram_cross_sip", SRAM, CROSS_SIP, false),
    PE_CASE(TCM_SAME_CUBE, "tcm_same_cube", TCM, SAME_CUBE, false),
    PE_CASE(TCM_CROSS_CUBE, "tcm_cross_cube", TCM, CROSS_CUBE, false),
    PE_CASE(TCM_CROSS_SIP, "tcm_cross_sip", TCM, CROSS_SIP, false),
    [KB_PROBE_IPCQ_SAME_CUBE] = {.name = "ipcq_same_cube"},
    [KB_PROBE_IPCQ_CROSS_CUBE] = {.name = "ipcq_cross_cube"},
    [KB_PROBE_IPCQ_CROSS_SIP] = {.name = "ipcq_cross_sip"},
};

const char *kb_probe_name(kb_probe_case which)
{
    return cases[which].name;
}

bool kb_probe_find(const char *name, kb_probe_case *which)
{
    for (int c = 0; c < KB_PROBE_CASES; c++) {
        if (strcmp(cases[c].name, name)) continue;
        *which = (kb_probe_case)c;
        return true;
    }
    return false;
}

/* ---- the memory of a case ---- */

/* A search for the memory with the least or the greatest closed form. */
typedef struct search {
    kb_machine *m;
    kb_probe *probe;
    const case_info *info;
    bool found;
    kb_time best;
    kb_err *err;
} search;

/* Memories of a kind in a cube. */
static int memories(const kb_graph *g, target_kind kind)
{
    return kind == SLICE ? g->cube_plan.slices : kind == TCM ? g->cube_plan.pes : 1;
}

static kb_node memory_node(const kb_graph *g, target_kind kind, int sip, int cube, int index)
{
    if (kind == SLICE) return kb_graph_slice(g, sip, cube, index);
    if (kind == TCM) return kb_graph_pe(g, sip, cube, index, KB_PE_TCM);
    return kb_graph_node(g, (kb_place){sip, cube, g->cube_plan.sram});
}

static int offer(search *s, int sip, int cube, int index)
{
    kb_formula formula;
    kb_node memory = memory_node(s->m->graph, s->info->kind, sip, cube, index);
    int status = kb_closed_form(s->m, s->info->op, s->probe->requester, memory, 0, s->probe->bytes,
                                &formula, s->err);
    if (status) return status;
    if (s->found && (s->info->nearest ? formula.total >= s->best : formula.total <= s->best))
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

/* Those of the cube but the first, which is pe0's own. */
static int search_own_cube(search *s)
{
    for (int i = 1; i < memories(s->m->graph, s->info->kind); i++) {
        int status = offer(s, 0, 0, i);
        if (status) return status;
    }
    if (!s->found) s->probe->absent = "a cube has only one PE";
    return KB_OK;
}

/* Most memories that are tried one by one. */
enum { SEARCH_MAX = 4096 };

/* In a large mesh the cubes next to pe0's and those at the far edges stand for the rest: routes are
 * XY, so a cube in between lies between them in distance too. */
static bool worth_trying(const kb_graph *g, target_kind kind, int cube)
{
    if (kb_graph_cubes(g) * memories(g, kind) <= SEARCH_MAX) return true;
    int x = cube % g->mesh_w, y = cube / g->mesh_w;
    return (x <= 1 || x == g->mesh_w - 1) && (y <= 1 || y == g->mesh_h - 1);
}

static int search_cubes(search *s, int sip)
{
    const kb_graph *g = s->m->graph;
    for (int cube = sip ? 0 : 1; cube < kb_graph_cubes(g); cube++) {
        if (!worth_trying(g, s->info->kind, cube)) continue;
        for (int i = 0; i < memories(g, s->info->kind); i++) {
            int status = offer(s, sip, cube, i);
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
    const case_info *info = &cases[probe->which];
    search s = {.m = m, .probe = probe, .info = info, .err = err};
    switch (info->scope) {
    case SAME_HALF:
        return search_half(&s, true);
    case CROSS_HALF:
        return search_half(&s, false);
    case SAME_CUBE:
        return search_own_cube(&s);
    case CROSS_CUBE:
        return search_cubes(&s, 0);
    case CROSS_SIP:
        return search_sip(&s);
    default:
        return offer(&s, 0, 0, info->kind == SLICE ? kb_graph_own_slice(m->graph, 0) : 0);
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
        const kb_stop *stop = &txn->route->stops[i];
        kb_probe_hop seen = {.at = hop->first - txn->started,
                             .waited = hop->waited,
                             .overhead = stop->overhead,
                             .occupancy = stop->flit_occupancy};
        kb_node_name(g, stop->node, seen.node);
        kb_vec_push(&probe->route, seen);
    }
}

static int measure(kb_engine *engine, kb_probe *probe, kb_err *err)
{
    kb_txn_request request = {.op = cases[probe->which].op,
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
    *out = (kb_probe){.which = which,
                      .bytes = bytes,
                      .requester = cases[which].host ? kb_graph_host(g)
                                                     : kb_graph_pe(g, 0, 0, 0, KB_PE_DMA)};
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
