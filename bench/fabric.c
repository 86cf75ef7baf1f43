/* The full model: the transfers of `kernbench probe`, from every PE of a SIP at once; and streams
 * that do not meet. */
#include <inttypes.h>

#include "bench.h"
#include "hw/txn.h"

enum { KIB = 1024, TRANSFER = 64 * KIB, HOST_TRANSFER = 1024 * KIB };

static void counted(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    ++*(uint64_t *)object;
}

/* Topology: every default but one setting. */
static const char *const settings[] = {"system.fidelity=flit", "system.fidelity=train",
                                       "system.flow_control.enabled=true"};

static kb_spec *fabric_spec(const char *const *setting)
{
    kb_section sections[KB_SECTION_MAX];
    size_t count = kb_machine_sections(sections);
    kb_spec_source source = {KB_SOURCE_DIR "/topology.yaml", setting, 1, sections, count};
    kb_spec *spec;
    kb_err err = {0};
    if (kb_spec_load(&spec, &source, &err)) bench_abort("%s", err.text);
    return spec;
}

static void start(kb_machine *m, kb_txn_op op, kb_node from, kb_node memory, uint64_t bytes,
                  uint64_t *done)
{
    kb_txn_request request = {.op = op,
                              .requester = from,
                              .memory = memory,
                              .rows = 1,
                              .row_bytes = bytes,
                              .done = counted,
                              .object = done};
    kb_err err = {0};
    if (kb_txn_start(m, &request, &err)) bench_abort("%s", err.text);
}

/* The transfers of one PE: own slice, other half, next cube, other SIP; and one of the host's. */
static uint64_t start_pe(kb_machine *m, int cube, int pe, uint64_t *done)
{
    const kb_graph *g = m->graph;
    kb_node dma = kb_graph_pe(g, 0, cube, pe, KB_PE_DMA);
    int cubes = kb_graph_cubes(g), slices = g->cube_plan.slices;
    int own = kb_graph_own_slice(g, pe), far = (own + slices / 2) % slices;
    start(m, KB_TXN_READ, dma, kb_graph_slice(g, 0, cube, own), TRANSFER, done);
    start(m, KB_TXN_WRITE, dma, kb_graph_slice(g, 0, cube, far), TRANSFER, done);
    start(m, KB_TXN_READ, dma, kb_graph_slice(g, 0, (cube + 1) % cubes, own), TRANSFER, done);
    start(m, KB_TXN_WRITE, dma, kb_graph_slice(g, 1, cube, own), TRANSFER, done);
    if (cube || pe) return 4;
    start(m, KB_TXN_WRITE, kb_graph_host(g), kb_graph_slice(g, 0, 5, 0), HOST_TRANSFER, done);
    return 5;
}

/* As many transfers as all PEs have started. */
static kb_run run(uint64_t parameter, uint64_t (*begin_pe)(kb_machine *, int, int, uint64_t *))
{
    kb_spec *spec = fabric_spec(&settings[parameter]);
    kb_sim *sim = kb_sim_create();
    kb_machine *m;
    kb_err err = {0};
    if (kb_machine_create(&m, sim, spec, &err)) bench_abort("%s", err.text);
    uint64_t started = 0, done = 0;
    double begin = bench_clock();
    for (int cube = 0; cube < kb_graph_cubes(m->graph); cube++)
        for (int pe = 0; pe < m->graph->cube_plan.pes; pe++)
            started += begin_pe(m, cube, pe, &done);
    kb_sim_run(sim, KB_TIME_NEVER, UINT64_MAX);
    kb_train_settle(m);
    kb_run r = {m->flit_hops, bench_clock() - begin};
    if (done != started || m->flits_injected != m->flits_delivered)
        bench_abort("fabric: %" PRIu64 " of %" PRIu64 " transfers completed", done, started);
    kb_machine_destroy(m);
    kb_sim_destroy(sim);
    kb_spec_destroy(spec);
    return r;
}

/* A transfer of 1 MiB that nobody disturbs. */
static uint64_t stream_pe(kb_machine *m, int cube, int pe, uint64_t *done)
{
    const kb_graph *g = m->graph;
    start(m, KB_TXN_READ, kb_graph_pe(g, 0, cube, pe, KB_PE_DMA),
          kb_graph_slice(g, 0, cube, kb_graph_own_slice(g, pe)), HOST_TRANSFER, done);
    return 1;
}

static kb_run stream(uint64_t parameter)
{
    return run(parameter, stream_pe);
}

static kb_run fabric(uint64_t parameter)
{
    return run(parameter, start_pe);
}

const kb_rate bench_fabric_rates[] = {
    {"fabric_flit", "flit hops", "transfers of all PEs of a SIP on the full model, flit by flit",
     fabric, 0},
    {"fabric_train", "flit hops", "the same, by train where nobody is in the way", fabric, 1},
    {"fabric_credits", "flit hops", "flit by flit with finite buffers", fabric, 2},
    {"stream_flit", "flit hops", "every PE of a SIP streams its own slice, flit by flit", stream,
     0},
    {"stream_train", "flit hops", "the same, by train", stream, 1},
    {0},
};
