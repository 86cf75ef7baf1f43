/* Random machines and memory addresses, for tests. */
#ifndef KB_TESTS_RANDOM_MACHINE_H
#define KB_TESTS_RANDOM_MACHINE_H

#include "base/rng.h"
#include "machine.h"

typedef struct random_sets {
    char text[40][96];
    const char *list[41];
    size_t count;
} random_sets;

static inline void add_set(random_sets *s, const char *path, const char *value)
{
    snprintf(s->text[s->count], sizeof s->text[0], "%s=%s", path, value);
    s->list[s->count] = s->text[s->count];
    s->list[++s->count] = NULL;
}

static inline void add_number(random_sets *s, const char *path, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%g", value);
    add_set(s, path, text);
}

/* 0 to 20 ns in steps of 1 ps, or 0. */
static inline double random_ns(kb_rng *rng)
{
    return kb_rng_below(rng, 3) ? kb_rng_below(rng, 20000) / 1000.0 : 0;
}

static inline double random_gbs(kb_rng *rng)
{
    static const double usual[] = {32, 64, 128, 204.8, 256, 512};
    return kb_rng_below(rng, 2) ? usual[kb_rng_below(rng, 6)] : 10 + kb_rng_below(rng, 5000) / 10.0;
}

static inline void random_structure(random_sets *s, kb_rng *rng)
{
    static const int flits[] = {64, 128, 256, 512, 1024, 4096, 96, 200};
    static const int bursts[] = {64, 128, 256, 512, 100};
    static const int channels[] = {1, 2, 3, 8, 16};
    int rows = 1 + (int)kb_rng_below(rng, 7), cols = 1 + (int)kb_rng_below(rng, 7);
    add_number(s, "system.sips.count", 1 + kb_rng_below(rng, 3));
    add_number(s, "sip.cube_mesh.w", 1 + kb_rng_below(rng, 4));
    add_number(s, "sip.cube_mesh.h", 1 + kb_rng_below(rng, 4));
    add_number(s, "cube.noc.rows", rows);
    add_number(s, "cube.noc.cols", cols);
    add_set(s, "cube.noc.missing", rows == 6 && cols == 6 ? "[r2c2, r2c3, r3c2, r3c3]" : "[]");
    add_set(s, "cube.hbm_access", kb_rng_below(rng, 2) ? "xbar" : "router");
    add_number(s, "cube.pe_layout.pe_per_corner", 1 + kb_rng_below(rng, 4));
    add_number(s, "cube.memory_map.hbm_slices_per_cube", 1 + kb_rng_below(rng, 16));
    add_number(s, "cube.ucie.connections", 1 + kb_rng_below(rng, 5));
    add_number(s, "system.flit_bytes", flits[kb_rng_below(rng, 8)]);
    add_number(s, "cube.hbm_ctrl.burst_bytes", bursts[kb_rng_below(rng, 5)]);
    add_number(s, "cube.hbm_ctrl.pseudo_channels", channels[kb_rng_below(rng, 5)]);
}

static inline void random_rates(random_sets *s, kb_rng *rng)
{
    static const char *const times[] = {"cube.noc.overhead_ns",      "cube.ucie.overhead_ns",
                                        "cube.xbar.overhead_ns",     "cube.bridge.overhead_ns",
                                        "cube.hbm_ctrl.overhead_ns", "cube.sram.overhead_ns",
                                        "io.pcie_ep.overhead_ns",    "io.io_noc.overhead_ns",
                                        "pe.pe_dma.overhead_ns",     "system.host.overhead_ns"};
    static const char *const rates[] = {"cube.noc.bw_gbs",         "cube.ucie.bw_gbs",
                                        "cube.bridge.bw_gbs",      "cube.xbar.pe_to_xbar_bw_gbs",
                                        "cube.sram.bw_gbs",        "cube.xbar.xbar_to_hbm_bw_gbs",
                                        "system.host_link.bw_gbs", "system.fabric.bw_gbs",
                                        "cube.hbm_ctrl.pc_bw_gbs"};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        add_number(s, times[i], random_ns(rng));
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        add_number(s, rates[i], random_gbs(rng));
    add_number(s, "system.ns_per_mm", kb_rng_below(rng, 100) / 1000.0);
}

static inline bed random_bed(kb_rng *rng)
{
    random_sets s = {.count = 0};
    random_structure(&s, rng);
    random_rates(&s, rng);
    static const char *const chiplets[] = {
        "sip:\n  io_chiplets:\n    - side: N\n",
        "sip:\n  io_chiplets:\n    - side: W\n    - side: E\n",
        "sip:\n  io_chiplets:\n    - side: S\n    - side: N\n    - side: E\n    - side: W\n"};
    return bed_yaml(chiplets[kb_rng_below(rng, 3)], s.list);
}

static inline kb_node random_memory(const bed *b, kb_rng *rng)
{
    const kb_graph *g = b->m->graph;
    int sip = (int)kb_rng_below(rng, (uint32_t)g->sips);
    int cube = (int)kb_rng_below(rng, (uint32_t)kb_graph_cubes(g));
    if (kb_rng_below(rng, 4) == 0)
        return kb_graph_node(g, (kb_place){sip, cube, g->cube_plan.sram});
    int slice = (int)kb_rng_below(rng, (uint32_t)g->cube_plan.slices);
    return kb_graph_slice(g, sip, cube, slice);
}

static inline kb_node random_requester(const bed *b, kb_rng *rng)
{
    const kb_graph *g = b->m->graph;
    if (kb_rng_below(rng, 4) == 0) return kb_graph_host(g);
    int sip = (int)kb_rng_below(rng, (uint32_t)g->sips);
    int cube = (int)kb_rng_below(rng, (uint32_t)kb_graph_cubes(g));
    int pe = (int)kb_rng_below(rng, (uint32_t)g->cube_plan.pes);
    return kb_graph_pe(g, sip, cube, pe, KB_PE_DMA);
}

/* From one byte to some hundred flits; a third of them whole flits. */
static inline uint64_t random_bytes(const bed *b, kb_rng *rng, uint32_t most_flits)
{
    uint32_t flit = b->m->graph->flit_bytes;
    uint64_t flits = 1 + kb_rng_below(rng, 1 + kb_rng_below(rng, most_flits));
    if (kb_rng_below(rng, 3) == 0) return flits * flit;
    return (flits - 1) * flit + 1 + kb_rng_below(rng, flit);
}

#endif
