/* Machines of any shape: meshes of cubes and routers, holes, skip links, PEs, slices, chiplets. */
#include <math.h>
#include <time.h>

#include "random_machine.h"
#include "route_check.h"

typedef struct shape {
    random_sets sets;
    char yaml[200]; /* the IO chiplets */
} shape;

static void random_cube(random_sets *s, kb_rng *rng)
{
    static const char *const corners[] = {"[NW]", "[SE,NW]", "[NE,SW,SE]", "[NW,NE,SW,SE]"};
    static const int sides[] = {1, 2, 3, 6, 9, 16};
    int rows = sides[kb_rng_below(rng, 6)], cols = sides[kb_rng_below(rng, 6)];
    int corner_count = one_to(rng, 4);
    add_number(s, "cube.noc.rows", rows);
    add_number(s, "cube.noc.cols", cols);
    add_number(s, "cube.noc.pitch_mm", 0.1 * one_to(rng, 9));
    if (kb_rng_below(rng, 2)) random_gaps(s, rng, "cube.noc.row_gaps_mm", rows);
    if (kb_rng_below(rng, 2)) random_gaps(s, rng, "cube.noc.col_gaps_mm", cols);
    random_hole(s, rng, rows, cols);
    add_number(s, "cube.noc.overhead_ns", kb_rng_below(rng, 3));
    add_set(s, "cube.hbm_access", kb_rng_below(rng, 2) ? "xbar" : "router");
    add_set(s, "cube.pe_layout.corners", corners[corner_count - 1]);
    add_number(s, "cube.pe_layout.pe_per_corner", one_to(rng, 32 / (uint32_t)corner_count));
    add_number(s, "cube.memory_map.hbm_slices_per_cube", one_to(rng, 64));
    add_number(s, "cube.ucie.connections", one_to(rng, 16));
}

static void random_shape(shape *s, kb_rng *rng)
{
    static const int meshes[][2] = {{1, 1}, {2, 8}, {8, 8}, {8, 2}, {1, 5}, {4, 4}};
    *s = (shape){.sets = {.count = 0}};
    const int *mesh = meshes[kb_rng_below(rng, 6)];
    add_number(&s->sets, "sip.cube_mesh.w", mesh[0]);
    add_number(&s->sets, "sip.cube_mesh.h", mesh[1]);
    add_number(&s->sets, "system.sips.count", one_to(rng, 4));
    add_number(&s->sets, "address.cube_dies", 64);
    add_number(&s->sets, "address.die_bits", 7);
    add_set(&s->sets, "io.ual_ep.enabled", kb_rng_below(rng, 2) ? "true" : "false");
    random_cube(&s->sets, rng);
    random_chiplets(s->yaml, sizeof s->yaml, rng);
}

/* ---- what must hold ---- */

/* Shortest ways between routers of the template, by relaxing its edges until nothing changes. */
static double *shortest_to(const kb_graph *g, uint16_t to)
{
    size_t nodes = g->cube.nodes.count;
    double *mm = kb_xmalloc(nodes * sizeof *mm);
    for (size_t n = 0; n < nodes; n++) mm[n] = n == to ? 0 : 1e9;
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t e = 0; e < g->cube.edges.count; e++) {
            const kb_edge_info *edge = &g->cube.edges.data[e];
            if (edge->to >= KB_TO_PEER || g->cube.nodes.data[edge->to].kind != KB_ROUTER ||
                g->cube.nodes.data[edge->from].kind != KB_ROUTER)
                continue;
            if (mm[edge->to] + edge->length_mm >= mm[edge->from] - 1e-9) continue;
            mm[edge->from] = mm[edge->to] + edge->length_mm;
            changed = true;
        }
    }
    return mm;
}

static uint16_t random_router(const kb_graph *g, kb_rng *rng)
{
    for (;;) {
        uint16_t local = (uint16_t)kb_rng_below(rng, (uint32_t)g->cube.nodes.count);
        if (g->cube.nodes.data[local].kind == KB_ROUTER) return local;
    }
}

static void routes_between_routers_are_shortest(const bed *b, kb_rng *rng)
{
    const kb_graph *g = b->m->graph;
    int cube = (int)kb_rng_below(rng, (uint32_t)kb_graph_cubes(g));
    for (int i = 0; i < 3; i++) {
        uint16_t to = random_router(g, rng);
        double *mm = shortest_to(g, to);
        for (int k = 0; k < 30; k++) {
            uint16_t from = random_router(g, rng);
            kb_node p = kb_graph_node(g, (kb_place){0, cube, from});
            kb_node q = kb_graph_node(g, (kb_place){0, cube, to});
            kb_path there = route(b, p, q), back = route(b, q, p);
            check_path(g, &there);
            assert_int_equal(die_changes(g, &there), 0);
            assert_true(fabs(wire_mm(g, &there) - mm[from]) < 1e-6);
            assert_true(fabs(wire_mm(g, &back) - mm[from]) < 1e-6); /* its own way is as long */
            kb_path_free(&there);
            kb_path_free(&back);
        }
        free(mm);
    }
}

static kb_node random_end(const bed *b, kb_rng *rng)
{
    const kb_graph *g = b->m->graph;
    int sip = (int)kb_rng_below(rng, (uint32_t)g->sips);
    int cube = (int)kb_rng_below(rng, (uint32_t)kb_graph_cubes(g));
    int pe = (int)kb_rng_below(rng, (uint32_t)g->cube_plan.pes);
    switch (kb_rng_below(rng, 6)) {
    case 0:
        return kb_graph_m_cpu(g, sip, cube);
    case 1:
        return kb_graph_pe(g, sip, cube, pe, KB_PE_CPU);
    case 2:
        return kb_graph_pe(g, sip, cube, pe, KB_PE_TCM);
    case 3:
        return kb_graph_io_cpu(g, sip, (int)kb_rng_below(rng, (uint32_t)g->ios));
    default:
        return random_memory(b, rng);
    }
}

static void routes_are_sound(const bed *b, kb_rng *rng)
{
    const kb_graph *g = b->m->graph;
    for (int i = 0; i < 60; i++) {
        kb_node from = random_requester(b, rng), to = random_end(b, rng);
        kb_path path = route(b, from, to);
        check_path(g, &path);
        check_reverse(g, &path);
        kb_place p = kb_graph_place(g, from), q = kb_graph_place(g, to);
        if (p.sip == q.sip && q.die < kb_graph_cubes(g))
            assert_int_equal(die_changes(g, &path), distance(g, p.die, q.die));
        kb_path_free(&path);
    }
}

static void same_cube_traffic_stays(const bed *b)
{
    const kb_graph *g = b->m->graph;
    int sip = g->sips - 1, cube = kb_graph_cubes(g) - 1;
    for (int pe = 0; pe < g->cube_plan.pes; pe++)
        for (int slice = 0; slice < g->cube_plan.slices; slice++) {
            kb_path path = route(b, kb_graph_pe(g, sip, cube, pe, KB_PE_DMA),
                                 kb_graph_slice(g, sip, cube, slice));
            assert_int_equal(die_changes(g, &path), 0);
            kb_path_free(&path);
        }
}

static void names_round_trip(const bed *b, kb_rng *rng)
{
    const kb_graph *g = b->m->graph;
    for (int i = 0; i < 100; i++) {
        kb_node node = kb_rng_below(rng, kb_graph_node_count(g));
        char name[KB_NAME_MAX];
        assert_int_equal(kb_node_parse(g, kb_node_name(g, node, name)), node);
        assert_int_equal(kb_graph_node(g, kb_graph_place(g, node)), node);
    }
}

static void any_shape_has_sound_shortest_routes_and_names(void **state)
{
    (void)state;
    kb_rng rng = {77};
    int built = 0;
    for (int i = 0; i < 80; i++) {
        shape s;
        random_shape(&s, &rng);
        bed b;
        kb_err err = {0};
        if (bed_try(&b, s.yaml, s.sets.list, &err)) {
            if (!is_impossible(err.text)) fail_msg("%s", err.text);
            continue;
        }
        built++;
        routes_between_routers_are_shortest(&b, &rng);
        routes_are_sound(&b, &rng);
        same_cube_traffic_stays(&b);
        names_round_trip(&b, &rng);
        bed_close(&b);
    }
    assert_true(built >= 40);
}

/* Commands within a cube: as long one way as the other, also where each way computes its own. */
static void command_times_within_a_cube_are_symmetric(void **state)
{
    (void)state;
    bed b =
        bed_make("cube.noc.overhead_ns=1.5", "cube.m_cpu.overhead_ns=0", "pe.pe_cpu.overhead_ns=0");
    const kb_graph *g = b.m->graph;
    for (int pe = 0; pe < g->cube_plan.pes; pe++) {
        kb_node m_cpu = kb_graph_m_cpu(g, 0, 5), pe_cpu = kb_graph_pe(g, 0, 5, pe, KB_PE_CPU);
        assert_int_equal(kb_machine_command_time(b.m, m_cpu, pe_cpu),
                         kb_machine_command_time(b.m, pe_cpu, m_cpu));
    }
    bed_close(&b);
}

/* Whatever the corners are: behind its own crossbar, without a bridge. */
static void a_slice_is_in_the_half_of_its_pe(void **state)
{
    (void)state;
    static const char *const corners[] = {"[SE]", "[SE, NW]", "[NE, SW, SE]", "[SW, NW, SE, NE]"};
    for (int i = 0; i < 4; i++) {
        char set[64];
        snprintf(set, sizeof set, "cube.pe_layout.corners=%s", corners[i]);
        for (int slices = 1; slices <= 64; slices += 3) {
            char count[64];
            snprintf(count, sizeof count, "cube.memory_map.hbm_slices_per_cube=%d", slices);
            bed b = bed_make(set, count);
            const kb_graph *g = b.m->graph;
            int own = 0;
            for (int pe = 0; pe < g->cube_plan.pes; pe++) {
                kb_path path = route(&b, kb_graph_pe(g, 0, 0, pe, KB_PE_DMA),
                                     kb_graph_slice(g, 0, 0, kb_graph_own_slice(g, pe)));
                own += path.edges.count == 2;
                kb_path_free(&path);
            }
            /* With fewer slices than PEs some PEs share one, whose half is that of the first. */
            if (slices >= g->cube_plan.pes) assert_int_equal(own, g->cube_plan.pes);
            assert_true(own > 0);
            bed_close(&b);
        }
    }
}

/* Processor time, the least of five: what a busy machine adds does not count. */
static void a_thousand_sips_are_built_in_less_than_50_ms(void **state)
{
    (void)state;
    double least = 1e9;
    for (int i = 0; i < 5; i++) {
        clock_t start = clock();
        bed b = bed_make("system.sips.count=1024", "address.sip_bits=10");
        double ms = 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC;
        if (ms < least) least = ms;
        bed_close(&b);
    }
    if (least >= 50) fail_msg("%.1f ms", least);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_shape_has_sound_shortest_routes_and_names),
        cmocka_unit_test(command_times_within_a_cube_are_symmetric),
        cmocka_unit_test(a_slice_is_in_the_half_of_its_pe),
        cmocka_unit_test(a_thousand_sips_are_built_in_less_than_50_ms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
