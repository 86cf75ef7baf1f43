/* Random machines and memory addresses, for tests. */
#ifndef KB_TESTS_RANDOM_MACHINE_H
#define KB_TESTS_RANDOM_MACHINE_H

#include "base/rng.h"
#include "machine.h"

enum { CHIPLETS_SIZE = 200 };

typedef struct random_sets {
    char text[48][96];
    const char *list[49];
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

static inline int one_to(kb_rng *rng, uint32_t most)
{
    return 1 + (int)kb_rng_below(rng, most);
}

static inline void random_gaps(random_sets *s, kb_rng *rng, const char *path, int lines)
{
    char text[80] = "[";
    for (int i = 1; i < lines; i++) /* at most 15 of 0.9 mm in a cube of 14 */
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s0.%d", i > 1 ? "," : "",
                 one_to(rng, 9));
    strcat(text, "]");
    add_set(s, path, text);
}

/* A rectangle of routers left out, or none. */
static inline void random_hole(random_sets *s, kb_rng *rng, int rows, int cols)
{
    char text[80] = "[";
    int h = one_to(rng, 3), w = one_to(rng, 3);
    if (rows > 2 && cols > 2 && kb_rng_below(rng, 3)) {
        int top = (int)kb_rng_below(rng, (uint32_t)rows),
            left = (int)kb_rng_below(rng, (uint32_t)cols);
        for (int r = top; r < top + h && r < rows; r++)
            for (int c = left; c < left + w && c < cols; c++)
                snprintf(text + strlen(text), sizeof text - strlen(text), "%sr%dc%d",
                         text[1] ? "," : "", r, c);
    }
    strcat(text, "]");
    add_set(s, "cube.noc.missing", text);
    add_set(s, "cube.noc.skip_links", kb_rng_below(rng, 2) ? "true" : "false");
}

/* Finite buffers, small ones mostly, or none. The closed form does not know them. */
static inline void random_flow_control(random_sets *s, kb_rng *rng)
{
    add_set(s, "system.flow_control.enabled", kb_rng_below(rng, 2) ? "true" : "false");
    add_number(s, "system.flow_control.buffer_flits", one_to(rng, 6));
    add_number(s, "system.flow_control.die_buffer_flits", one_to(rng, 20));
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
    if (kb_rng_below(rng, 2)) random_gaps(s, rng, "cube.noc.row_gaps_mm", rows);
    if (kb_rng_below(rng, 2)) random_gaps(s, rng, "cube.noc.col_gaps_mm", cols);
    random_hole(s, rng, rows, cols);
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

/* One to five IO chiplets on any sides. */
static inline void random_chiplets(char *yaml, size_t size, kb_rng *rng)
{
    snprintf(yaml, size, "sip:\n  io_chiplets:\n");
    for (int left = one_to(rng, 5); left; left--)
        snprintf(yaml + strlen(yaml), size - strlen(yaml), "    - side: %c\n",
                 "NESW"[kb_rng_below(rng, 4)]);
}

/* Only what cannot work may be refused. */
static inline bool is_impossible(const char *message)
{
    return strstr(message, "cannot reach") || strstr(message, "each needs one of its own") ||
           strstr(message, "no router is left");
}

/* Draws structure and rates, until a machine with these chiplets can be built. */
static inline bed random_bed_on(const char *chiplets, random_sets *s, kb_rng *rng)
{
    for (;;) {
        bed b;
        kb_err err = {0};
        s->count = 0;
        random_structure(s, rng);
        random_rates(s, rng);
        if (!bed_try(&b, chiplets, s->list, &err)) return b;
        if (!is_impossible(err.text)) fail_msg("%s", err.text);
    }
}

/* Draws the chiplets too, into `yaml` of CHIPLETS_SIZE. */
static inline bed random_bed_with(random_sets *s, char *yaml, kb_rng *rng)
{
    for (;;) {
        bed b;
        kb_err err = {0};
        s->count = 0;
        random_structure(s, rng);
        random_rates(s, rng);
        random_chiplets(yaml, CHIPLETS_SIZE, rng);
        if (!bed_try(&b, yaml, s->list, &err)) return b;
        if (!is_impossible(err.text)) fail_msg("%s", err.text);
    }
}

static inline bed random_bed(kb_rng *rng)
{
    random_sets s;
    char chiplets[CHIPLETS_SIZE];
    return random_bed_with(&s, chiplets, rng);
}

/* The same, half of them with finite buffers. */
static inline bed random_bed_with_buffers(kb_rng *rng)
{
    random_sets s;
    char chiplets[CHIPLETS_SIZE];
    bed b = random_bed_with(&s, chiplets, rng);
    bed_close(&b);
    random_flow_control(&s, rng);
    return bed_yaml(chiplets, s.list);
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
