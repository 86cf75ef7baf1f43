/* Virtual channels: that buffers of finite size cannot wait for each other in a circle.
 *
 * For many shapes all routes from requesters to memories are walked, and every pair of buffers that
 * follow each other on a route is an edge of the dependency graph. Without a cycle there, whoever
 * waits for a slot waits for somebody who moves in the end (Dally and Seitz, 1987). */
#include "random_machine.h"
#include "route_check.h"
#include "topo/vchannel.h"

/* A buffer: a link, and a virtual channel of it. */
typedef struct depend {
    uint64_t from, to;
} depend;

typedef struct graph {
    kb_vec(depend) depends;
    bool one_channel; /* pretend that there is only one */
    kb_vchannel most;
} graph;

static uint64_t buffer_of(graph *d, kb_edge edge, kb_vchannel channel)
{
    if (channel > d->most) d->most = channel;
    return (uint64_t)edge << 16 | (d->one_channel ? 0 : channel);
}

static void add_route(graph *d, const kb_graph *g, kb_path *path, kb_node from, kb_node to)
{
    kb_err err = {0};
    kb_vchannel channels[1024];
    if (kb_route(g, from, to, path, &err)) fail_msg("%s", err.text);
    assert_true(path->edges.count < 1024);
    kb_vchannel_assign(g, path, channels);
    for (size_t i = 0; i + 1 < path->edges.count; i++) {
        depend x = {buffer_of(d, path->edges.data[i], channels[i]),
                    buffer_of(d, path->edges.data[i + 1], channels[i + 1])};
        kb_vec_push(&d->depends, x);
    }
}

static int by_from(const void *a, const void *b)
{
    const depend *p = a, *q = b;
    if (p->from != q->from) return p->from < q->from ? -1 : 1;
    return (p->to > q->to) - (p->to < q->to);
}

/* Sorted, each once: routes share most of their way, so this keeps the list short. */
static void compact(graph *d)
{
    if (d->depends.count == 0) return;
    qsort(d->depends.data, d->depends.count, sizeof *d->depends.data, by_from);
    size_t kept = 1;
    for (size_t i = 1; i < d->depends.count; i++)
        if (by_from(&d->depends.data[kept - 1], &d->depends.data[i]))
            d->depends.data[kept++] = d->depends.data[i];
    d->depends.count = kept;
}

/* First dependency of a buffer, or count. */
static size_t first_of(const graph *d, uint64_t from)
{
    size_t low = 0, high = d->depends.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (d->depends.data[middle].from < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Take away, again and again, dependencies on buffers that depend on nothing (Kahn): what is left
 * is in or before a cycle. Done over the sorted list with a mark per buffer. */
static size_t left_in_cycles(const graph *d)
{
    size_t n = d->depends.count, left = n, *pending = kb_xcalloc(n + 1, sizeof *pending);
    /* pending[first_of(b)]: dependencies of b that are not taken away yet */
    for (size_t i = 0; i < n; i++) pending[first_of(d, d->depends.data[i].from)]++;
    depend *back = kb_xmalloc((n + 1) * sizeof *back);
    for (size_t i = 0; i < n; i++)
        back[i] = (depend){d->depends.data[i].to, d->depends.data[i].from};
    graph reverse = {.depends = {back, n, n}};
    qsort(back, n, sizeof *back, by_from);
    kb_vec(uint64_t) done = {0};
    for (size_t i = 0; i < n; i++) { /* ends of routes: depend on nothing */
        uint64_t to = back[i].from;
        size_t at = first_of(d, to);
        bool depends = at < n && d->depends.data[at].from == to;
        if (!depends && (i == 0 || back[i - 1].from != to)) kb_vec_push(&done, to);
    }
    while (done.count) {
        uint64_t free = done.data[--done.count];
        for (size_t i = first_of(&reverse, free); i < n && back[i].from == free; i++) {
            left--;
            if (--pending[first_of(d, back[i].to)] == 0) kb_vec_push(&done, back[i].to);
        }
    }
    kb_vec_free(&done);
    free(pending);
    free(back);
    return left;
}

typedef kb_vec(kb_node) nodes;

static void add_cube(const kb_graph *g, int sip, int cube, nodes *requesters, nodes *memories)
{
    const kb_cube_plan *plan = &g->cube_plan;
    for (int pe = 0; pe < plan->pes; pe++) {
        kb_vec_push(requesters, kb_graph_pe(g, sip, cube, pe, KB_PE_DMA));
        kb_vec_push(memories, kb_graph_pe(g, sip, cube, pe, KB_PE_TCM));
    }
    for (int s = 0; s < plan->slices; s++) kb_vec_push(memories, kb_graph_slice(g, sip, cube, s));
    kb_vec_push(memories, kb_graph_node(g, (kb_place){sip, cube, plan->sram}));
}

/* All routes among the cubes of the SIPs, and from the host; if there are more than `most` only one
 * of so many. */
static graph some_routes(const bed *b, size_t most, bool one_channel)
{
    const kb_graph *g = b->m->graph;
    graph d = {.one_channel = one_channel};
    nodes requesters = {0}, memories = {0};
    kb_path path = {0};
    for (int sip = 0; sip < g->sips; sip++)
        for (int cube = 0; cube < kb_graph_cubes(g); cube++)
            add_cube(g, sip, cube, &requesters, &memories);
    kb_vec_push(&requesters, kb_graph_host(g));
    size_t step = 1 + requesters.count * memories.count / most;
    for (size_t i = 0; i < requesters.count; i++) {
        for (size_t k = i % step; k < memories.count; k += step)
            add_route(&d, g, &path, requesters.data[i], memories.data[k]);
        if (i % 16 == 15) compact(&d);
    }
    compact(&d);
    kb_path_free(&path);
    kb_vec_free(&requesters);
    kb_vec_free(&memories);
    return d;
}

static graph all_routes(const bed *b, bool one_channel)
{
    return some_routes(b, SIZE_MAX - 1, one_channel);
}

static void expect_no_cycle_among(bed *b, const char *shape, size_t most)
{
    graph d = some_routes(b, most, false);
    size_t left = left_in_cycles(&d);
    if (left) fail_msg("%s: %zu dependencies are in or before a cycle", shape, left);
    kb_vec_free(&d.depends);
    bed_close(b);
}

static void expect_no_cycle(bed *b, const char *shape)
{
    expect_no_cycle_among(b, shape, SIZE_MAX - 1);
}

static void one_channel_would_not_do(void **state)
{
    (void)state;
    bed b = bed_make("system.sips.count=1", "sip.cube_mesh.w=2", "sip.cube_mesh.h=2");
    graph d = all_routes(&b, true);
    assert_true(left_in_cycles(&d) > 0);
    kb_vec_free(&d.depends);
    bed_close(&b);
}

/* ---- shapes ---- */

/* Every router has a PE: all ways around the hole are taken. */
#define EIGHT_PER_CORNER "cube.pe_layout.pe_per_corner=8"
static const char pe_everywhere[] =
    "cube.pe_layout.pe_routers=[r0c0,r0c1,r0c2,r0c3,r0c4,r0c5,r1c0,r1c1,r1c2,r1c3,r1c4,r1c5,"
    "r2c0,r2c1,r2c4,r2c5,r3c0,r3c1,r3c4,r3c5,r4c0,r4c1,r4c2,r4c3,r4c4,r4c5,r5c0,r5c1,r5c2,r5c3,"
    "r5c4,r5c5]";
#define ONE_CUBE "system.sips.count=1", "sip.cube_mesh.w=1", "sip.cube_mesh.h=1"

static void a_cube_has_no_cycle_with_or_without_a_hole(void **state)
{
    (void)state;
    bed b = bed_make(ONE_CUBE, EIGHT_PER_CORNER, pe_everywhere);
    expect_no_cycle(&b, "hole");
    b = bed_make(ONE_CUBE, EIGHT_PER_CORNER, pe_everywhere, "cube.noc.skip_links=true");
    expect_no_cycle(&b, "skip links");
    b = bed_make(ONE_CUBE, EIGHT_PER_CORNER, pe_everywhere, "cube.hbm_access=router");
    expect_no_cycle(&b, "slices on routers");
    b = bed_make(ONE_CUBE, "cube.noc.missing=[]", "cube.pe_layout.pe_per_corner=8");
    expect_no_cycle(&b, "no hole");
}

static void the_hole_needs_the_detour(void **state)
{
    (void)state;
    bed b = bed_make(ONE_CUBE, EIGHT_PER_CORNER, pe_everywhere);
    graph d = all_routes(&b, false);
    assert_int_equal(d.most, KB_TOWARDS_COUNT + KB_TOWARDS_END);
    kb_vec_free(&d.depends);
    d = all_routes(&b, true);
    assert_true(left_in_cycles(&d) > 0);
    kb_vec_free(&d.depends);
    bed_close(&b);
    /* The PEs of the default machine need none. */
    b = bed_make("system.sips.count=1", "sip.cube_mesh.w=3", "sip.cube_mesh.h=3");
    d = all_routes(&b, false);
    assert_true(d.most < KB_TOWARDS_COUNT);
    kb_vec_free(&d.depends);
    bed_close(&b);
}

static void a_sip_has_no_cycle(void **state)
{
    (void)state;
    bed b = bed_make("system.sips.count=1", "sip.cube_mesh.w=4", "sip.cube_mesh.h=4",
                     "cube.pe_layout.pe_per_corner=1");
    expect_no_cycle(&b, "4 x 4 cubes");
    b = bed_make("system.sips.count=1", "sip.cube_mesh.w=2", "sip.cube_mesh.h=2",
                 "cube.ucie.connections=6", "cube.pe_layout.pe_per_corner=4");
    expect_no_cycle(&b, "connections in front of the hole");
    b = bed_make("system.sips.count=1", "sip.cube_mesh.w=5", "sip.cube_mesh.h=1");
    expect_no_cycle(&b, "a row of cubes");
}

static void systems_have_no_cycle_wherever_their_chiplets_are(void **state)
{
    (void)state;
    static const char *const sides[] = {"N", "S", "E", "W", "NS", "EW", "NE", "NN", "NESW", "WWSN"};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        char yaml[200] = "sip:\n  io_chiplets:\n";
        for (const char *side = sides[i]; *side; side++)
            snprintf(yaml + strlen(yaml), sizeof yaml - strlen(yaml), "    - side: %c\n", *side);
        bed b = bed_yaml(
            yaml, (const char *[]){"sip.cube_mesh.w=3", "sip.cube_mesh.h=2",
                                   "cube.pe_layout.pe_per_corner=1",
                                   "cube.memory_map.hbm_slices_per_cube=4",
                                   i % 2 ? "system.sips.count=2" : "system.sips.count=3", NULL});
        expect_no_cycle(&b, sides[i]);
    }
}

static void the_router_mesh_has_no_cycle(void **state)
{
    (void)state;
    static char yaml[8192];
    FILE *file = fopen(KB_SOURCE_DIR "/topologies/router_mesh.yaml", "r");
    assert_non_null(file);
    yaml[fread(yaml, 1, sizeof yaml - 1, file)] = '\0';
    fclose(file);
    bed b = bed_yaml(yaml, (const char *[]){"sip.cube_mesh.w=3", "sip.cube_mesh.h=2", NULL});
    expect_no_cycle(&b, "router_mesh.yaml");
}

static void random_systems_have_no_cycle(void **state)
{
    (void)state;
    kb_rng rng = {107};
    for (int i = 0; i < 30; i++) {
        bed b = random_bed(&rng);
        char shape[32];
        snprintf(shape, sizeof shape, "case %d", i);
        expect_no_cycle_among(&b, shape, 3000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_channel_would_not_do),
        cmocka_unit_test(a_cube_has_no_cycle_with_or_without_a_hole),
        cmocka_unit_test(the_hole_needs_the_detour),
        cmocka_unit_test(a_sip_has_no_cycle),
        cmocka_unit_test(systems_have_no_cycle_wherever_their_chiplets_are),
        cmocka_unit_test(the_router_mesh_has_no_cycle),
        cmocka_unit_test(random_systems_have_no_cycle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
