/* Probes: cases, routes, absences, and the invariants that judge them. */
#include "engine/probe.h"
#include "machine.h"

static kb_engine_options default_options(const char *const *sets)
{
    kb_engine_options options = {.topology = KB_SOURCE_DIR "/topology.yaml", .sets = sets};
    while (sets && sets[options.set_count]) options.set_count++;
    return options;
}

static kb_probe probe(const char *const *sets, kb_probe_case which, uint64_t bytes)
{
    kb_engine_options options = default_options(sets);
    kb_probe p;
    kb_err err = {0};
    if (kb_probe_run(&options, which, bytes, &p, &err)) fail_msg("%s", err.text);
    return p;
}

static void the_default_topology_file_is_the_default_machine(void **state)
{
    (void)state;
    kb_section sections[KB_SECTION_MAX];
    size_t count = kb_machine_sections(sections);
    kb_spec *file;
    kb_err err = {0};
    kb_spec_source source = {KB_SOURCE_DIR "/topology.yaml", NULL, 0, sections, count};
    if (kb_spec_load(&file, &source, &err)) fail_msg("%s", err.text);
    bed b = bed_default();
    for (size_t s = 0; s < count; s++)
        for (const kb_param *p = sections[s].params; p && p->name && !sections[s].repeated; p++) {
            char path[128];
            snprintf(path, sizeof path, "%s.%s", sections[s].path, p->name);
            if (p->type == KB_PARAM_INT || p->type == KB_PARAM_REAL)
                assert_true(kb_spec_real(file, path) == kb_spec_real(b.spec, path));
            else if (p->type == KB_PARAM_BOOL)
                assert_int_equal(kb_spec_bool(file, path), kb_spec_bool(b.spec, path));
            else if (p->type == KB_PARAM_CHOICE || p->type == KB_PARAM_STRING)
                assert_string_equal(kb_spec_string(file, path), kb_spec_string(b.spec, path));
            else
                assert_int_equal(kb_spec_count(file, path), kb_spec_count(b.spec, path));
        }
    bed_close(&b);
    kb_spec_destroy(file);
}

static void names_lead_to_cases_and_back(void **state)
{
    (void)state;
    kb_probe_case which;
    for (int c = 0; c < KB_PROBE_CASES; c++) {
        assert_true(kb_probe_find(kb_probe_name((kb_probe_case)c), &which));
        assert_int_equal(which, c);
    }
    assert_true(kb_probe_find("pe_dma_cross_cube_worst_write", &which));
    assert_int_equal(which, KB_PROBE_CROSS_CUBE_WORST_WRITE);
    assert_false(kb_probe_find("pe_dma_local", &which));
}

static void a_probe_of_the_worked_example_shows_its_route(void **state)
{
    (void)state;
    kb_probe p = probe(NULL, KB_PROBE_LOCAL_WRITE, 32768);
    assert_null(p.absent);
    assert_int_equal(p.actual, 173000 + 2 * 120);
    assert_int_equal(p.formula.total, p.actual);
    assert_true(p.bw_gbs > 189.1 && p.bw_gbs < 189.2); /* 32768 B / 173.24 ns */
    assert_true(p.utilization > 0.923 && p.utilization < 0.924);
    static const char *const nodes[] = {"sip0.cube0.pe0.pe_dma", "sip0.cube0.xbar.top",
                                        "sip0.cube0.hbm_ctrl.slice0"};
    static const kb_time at[] = {0, 1000 + 80 + 2000, 4000 + 120};
    assert_int_equal(p.route.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(p.route.data[i].node, nodes[i]);
        assert_int_equal(p.route.data[i].at, at[i]);
        assert_int_equal(p.route.data[i].occupancy, i < 2 ? 1000 : 0);
    }
    assert_int_equal(p.route.data[1].overhead, 2000);
    kb_probe_free(&p);
}

static void reads_show_the_way_of_the_data(void **state)
{
    (void)state;
    kb_probe p = probe(NULL, KB_PROBE_LOCAL_READ, 4096);
    assert_string_equal(p.route.data[0].node, "sip0.cube0.hbm_ctrl.slice0");
    assert_string_equal(p.route.data[2].node, "sip0.cube0.pe0.pe_dma");
    /* The request takes 2 ns + p, the first burst 10 ns; then two links and the crossbar. */
    assert_int_equal(p.route.data[0].at, 2120 + 10000);
    assert_int_equal(p.route.data[2].at, 2120 + 10000 + 1000 + 2000 + 1000 + 120);
    kb_probe_free(&p);
}

static void cases_go_where_their_names_say(void **state)
{
    (void)state;
    static const struct {
        kb_probe_case which;
        const char *memory;
    } cases[] = {{KB_PROBE_H2D_WRITE, "sip0.cube0.hbm_ctrl.slice0"},
                 {KB_PROBE_LOCAL_READ, "sip0.cube0.hbm_ctrl.slice0"},
                 {KB_PROBE_SAME_HALF_READ, "sip0.cube0.hbm_ctrl.slice3"},
                 {KB_PROBE_CROSS_HALF_READ, "sip0.cube0.hbm_ctrl.slice4"},
                 {KB_PROBE_CROSS_CUBE_WORST_READ, "sip0.cube15."},
                 {KB_PROBE_CROSS_SIP_WRITE, "sip1."},
                 {KB_PROBE_H2D_SRAM_WRITE, "sip0.cube0.sram"},
                 {KB_PROBE_SRAM_READ, "sip0.cube0.sram"},
                 {KB_PROBE_SRAM_CROSS_CUBE_WRITE, "sip0.cube15.sram"},
                 {KB_PROBE_SRAM_CROSS_SIP_WRITE, "sip1."},
                 {KB_PROBE_TCM_SAME_CUBE_READ, "sip0.cube0.pe7.pe_tcm"},
                 {KB_PROBE_TCM_CROSS_CUBE_WRITE, "sip0.cube15.pe"},
                 {KB_PROBE_TCM_CROSS_SIP_READ, "sip1."}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kb_probe p = probe(NULL, cases[i].which, 4096);
        const char *name = kb_probe_name(cases[i].which);
        bool read = !strcmp(name + strlen(name) - 5, "_read");
        const char *end = p.route.data[read ? 0 : p.route.count - 1].node;
        if (strncmp(end, cases[i].memory, strlen(cases[i].memory)))
            fail_msg("%s ends at %s", kb_probe_name(cases[i].which), end);
        kb_probe_free(&p);
    }
    /* The nearest other cube is a neighbour. */
    kb_probe p = probe(NULL, KB_PROBE_CROSS_CUBE_BEST_WRITE, 4096);
    const char *end = p.route.data[p.route.count - 1].node;
    assert_true(!strncmp(end, "sip0.cube1.", 11) || !strncmp(end, "sip0.cube4.", 11));
    kb_probe_free(&p);
}

static void expect_absent(const char *const *sets, kb_probe_case which, const char *reason)
{
    kb_probe p = probe(sets, which, 4096);
    assert_non_null(p.absent);
    assert_string_equal(p.absent, reason);
    kb_probe_free(&p);
}

static void what_a_machine_does_not_have_is_absent_with_the_reason(void **state)
{
    (void)state;
    const char *one_sip[] = {"system.sips.count=1", NULL};
    expect_absent(one_sip, KB_PROBE_CROSS_SIP_READ, "there is only one SIP");
    const char *one_cube[] = {"sip.cube_mesh.w=1", "sip.cube_mesh.h=1", NULL};
    expect_absent(one_cube, KB_PROBE_CROSS_CUBE_BEST_WRITE, "a SIP has only one cube");
    const char *one_slice[] = {"cube.memory_map.hbm_slices_per_cube=1", NULL};
    const char *one_pe[] = {"cube.pe_layout.corners=[NW]", "cube.pe_layout.pe_per_corner=1", NULL};
    expect_absent(one_pe, KB_PROBE_TCM_SAME_CUBE_READ, "a cube has only one PE");
    expect_absent(one_slice, KB_PROBE_CROSS_HALF_READ,
                  "all slices are in the half of sip0.cube0.pe0");
    expect_absent(one_slice, KB_PROBE_SAME_HALF_READ,
                  "the half of sip0.cube0.pe0 has no slice but its own");
    const char *routers[] = {"cube.hbm_access=router", NULL};
    expect_absent(routers, KB_PROBE_CROSS_HALF_WRITE,
                  "HBM slices are on routers, so a cube has no halves");
}

static void a_topology_that_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    kb_engine_options options = {.topology = "/nonexistent/topology.yaml"};
    kb_probe p;
    kb_err err = {0};
    assert_int_not_equal(kb_probe_run(&options, KB_PROBE_H2D_WRITE, 4096, &p, &err), KB_OK);
    assert_non_null(strstr(err.text, "/nonexistent/topology.yaml"));
}

enum { SIZES = 3, ALL = KB_PROBE_CASES * SIZES };

static void sweep(const char *const *sets, kb_probe out[ALL])
{
    for (int c = 0; c < KB_PROBE_CASES; c++)
        for (int s = 0; s < SIZES; s++)
            out[c * SIZES + s] = probe(sets, (kb_probe_case)c, UINT64_C(4096) << 2 * s);
}

static void the_invariants_hold_on_machines_of_every_kind(void **state)
{
    (void)state;
    static const char *const machines[][4] = {
        {NULL},
        {"cube.hbm_access=router", "sip.cube_mesh.h=2", NULL},
        {"sip.cube_mesh.w=16", "sip.cube_mesh.h=1", "system.sips.count=2", NULL},
        {"system.sips.count=1", "cube.memory_map.hbm_slices_per_cube=1", NULL},
        {"system.flit_bytes=64", "cube.hbm_ctrl.burst_bytes=64", "sip.cube_mesh.w=2", NULL}};
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        static kb_probe probes[ALL];
        kb_invariant judged[KB_PROBE_INVARIANTS];
        sweep(machines[i], probes);
        kb_probe_invariants(probes, ALL, judged);
        for (int v = 0; v < KB_PROBE_INVARIANTS; v++)
            if (!judged[v].ok) fail_msg("%zu: %s: %s", i, judged[v].name, judged[v].detail);
        assert_true(judged[0].judged >= 6 * SIZES);
        for (int p = 0; p < ALL; p++) kb_probe_free(&probes[p]);
    }
}

/* Five probes of which the first breaks, in turn, what each invariant says. */
static void a_broken_invariant_is_reported_with_the_probes_that_break_it(void **state)
{
    (void)state;
    kb_probe a = probe(NULL, KB_PROBE_LOCAL_READ, 4096), b = probe(NULL, KB_PROBE_LOCAL_READ, 8192);
    kb_probe c = probe(NULL, KB_PROBE_SAME_HALF_READ, 4096);
    kb_probe d = probe(NULL, KB_PROBE_CROSS_HALF_READ, 4096);
    kb_probe e = probe(NULL, KB_PROBE_CROSS_CUBE_BEST_READ, 4096);
    kb_probe f = probe(NULL, KB_PROBE_CROSS_SIP_READ, 4096);
    const kb_probe good[] = {a, b, c, d, e, f};
    kb_probe bad[6];
    kb_invariant out[KB_PROBE_INVARIANTS];
    kb_probe_invariants(good, 6, out);
    for (int v = 0; v < KB_PROBE_INVARIANTS; v++) assert_true(out[v].ok);

    memcpy(bad, good, sizeof bad);
    bad[0].actual = c.actual + 1000000;
    kb_probe_invariants(bad, 6, out);
    static const bool expected[] = {false, false, false, false, true, true, false, true, true};
    for (int v = 0; v < KB_PROBE_INVARIANTS; v++) assert_int_equal(out[v].ok, expected[v]);
    assert_string_equal(out[0].detail,
                        "pe_dma_local_read of 4096 B: 1031.240 ns, formula 31.240 ns");

    memcpy(bad, good, sizeof bad);
    bad[5].actual = 1;
    bad[5].utilization = 7;
    kb_probe_invariants(bad, 6, out);
    static const bool faster[] = {false, true, true, true, true, false, true, true, false};
    for (int v = 0; v < KB_PROBE_INVARIANTS; v++) assert_int_equal(out[v].ok, faster[v]);
    for (int p = 0; p < 6; p++) {
        kb_probe copy = good[p];
        kb_probe_free(&copy);
    }
}

static void refinements_make_the_closed_form_a_lower_bound(void **state)
{
    (void)state;
    const char *one_slot[] = {"system.flow_control.enabled=true",
                              "system.flow_control.buffer_flits=1", NULL};
    kb_probe p = probe(one_slot, KB_PROBE_CROSS_CUBE_BEST_WRITE, 65536);
    kb_invariant judged[KB_PROBE_INVARIANTS];
    kb_probe_invariants(&p, 1, judged);
    assert_true(p.actual > p.formula.total);
    assert_true(judged[0].ok && strstr(judged[0].name, "not below"));
    p.actual = p.formula.total - 1;
    kb_probe_invariants(&p, 1, judged);
    assert_false(judged[0].ok);
    kb_probe_free(&p);
    /* The default numbers of slots cover every round trip of the default machine. */
    for (int c = 0; c < KB_PROBE_CASES; c++) {
        p = probe((const char *[]){one_slot[0], NULL}, (kb_probe_case)c, 65536);
        assert_int_equal(p.actual, p.formula.total);
        kb_probe_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_topology_file_is_the_default_machine),
        cmocka_unit_test(names_lead_to_cases_and_back),
        cmocka_unit_test(a_probe_of_the_worked_example_shows_its_route),
        cmocka_unit_test(reads_show_the_way_of_the_data),
        cmocka_unit_test(cases_go_where_their_names_say),
        cmocka_unit_test(what_a_machine_does_not_have_is_absent_with_the_reason),
        cmocka_unit_test(a_topology_that_cannot_be_read_is_an_error),
        cmocka_unit_test(the_invariants_hold_on_machines_of_every_kind),
        cmocka_unit_test(a_broken_invariant_is_reported_with_the_probes_that_break_it),
        cmocka_unit_test(refinements_make_the_closed_form_a_lower_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
