/* Specifications: types, ranges, places, precedence, and the words of every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "topo/spec.h"

static const kb_param hbm_params[] = {{.name = "pseudo_channels",
                                       .type = KB_PARAM_INT,
                                       .default_value = "8",
                                       .min = 1,
                                       .max = 64,
                                       .help = "Pseudo-channels per slice."},
                                      {.name = "efficiency",
                                       .type = KB_PARAM_REAL,
                                       .default_value = "0.8",
                                       .min = 0,
                                       .max = 1,
                                       .help = "Share of the peak rate that bursts reach."},
                                      {.name = "overhead_ns",
                                       .type = KB_PARAM_REAL,
                                       .unit = "ns",
                                       .default_value = "2.0",
                                       .help = "Time per transaction."},
                                      {.name = "open_page",
                                       .type = KB_PARAM_BOOL,
                                       .default_value = "true",
                                       .help = "Keep rows open."},
                                      {0}};

static const kb_param noc_params[] = {
    {.name = "w",
     .type = KB_PARAM_INT,
     .default_value = "6",
     .min = 1,
     .max = 32,
     .help = "Columns."},
    {.name = "kind",
     .type = KB_PARAM_CHOICE,
     .default_value = "mesh",
     .choices = "mesh torus ring",
     .help = "How routers are joined."},
    {.name = "missing",
     .type = KB_PARAM_INT_LIST,
     .default_value = "[]",
     .min = 0,
     .max = 99,
     .help = "Routers that do not exist."},
    {.name = "corners",
     .type = KB_PARAM_STRING_LIST,
     .default_value = "[NW, SE]",
     .choices = "NW NE SW SE",
     .help = "Corners with PEs."},
    {.name = "seed", .type = KB_PARAM_INT, .default_value = "-1", .help = "Any integer."},
    {0}};

static const kb_param chiplet_params[] = {
    {.name = "side",
     .type = KB_PARAM_CHOICE,
     .choices = "N E S W",
     .help = "Edge that it sits on."},
    {.name = "label", .type = KB_PARAM_STRING, .default_value = "", .help = "Name in reports."},
    {0}};

static const kb_param phy_params[] = {{.name = "connections",
                                       .type = KB_PARAM_INT,
                                       .default_value = "4",
                                       .min = 1,
                                       .max = 16,
                                       .help = "Connections per PHY."},
                                      {0}};

static const kb_param cube_params[] = {{.name = "pitch_mm",
                                        .type = KB_PARAM_REAL,
                                        .unit = "mm",
                                        .default_value = "14",
                                        .min = 0,
                                        .max = 100,
                                        .help = "Distance between cubes."},
                                       {0}};

static const kb_section sections[] = {
    {.path = "cube", .help = "A die.", .params = cube_params},
    {.path = "cube.hbm_ctrl", .help = "Memory controller.", .params = hbm_params},
    {.path = "cube.noc", .help = "Routers.", .params = noc_params},
    {.path = "sip.io_chiplets", .help = "IO dies.", .params = chiplet_params, .repeated = true},
    {.path = "sip.io_chiplets.phy", .help = "Links to cubes.", .params = phy_params},
};

static void write_file(const char *text)
{
    FILE *file = fopen("topology.yaml", "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int load_sets(kb_spec **spec, const char *text, const char *const *sets, size_t count,
                     kb_err *err)
{
    write_file(text);
    kb_spec_source source = {.path = "topology.yaml",
                             .sets = sets,
                             .set_count = count,
                             .sections = sections,
                             .section_count = sizeof sections / sizeof sections[0]};
    return kb_spec_load(spec, &source, err);
}

/* `set` may be null. */
static kb_spec *load(const char *text, const char *set)
{
    kb_err err = {0};
    kb_spec *spec = NULL;
    if (load_sets(&spec, text, &set, set ? 1 : 0, &err)) fail_msg("%s", err.text);
    return spec;
}

static void expect_failure(const char *text, const char *set, const char *message)
{
    kb_err err = {0};
    kb_spec *spec = NULL;
    assert_int_equal(load_sets(&spec, text, &set, set ? 1 : 0, &err), KB_EINVAL);
    assert_null(spec);
    assert_string_equal(err.text, message);
}

static const char minimal[] = "cube:\n";
static const char two_chiplets[] =
    "sip:\n"
    "  io_chiplets:\n"
    "    - side: N\n"
    "    - {side: \"E\", label: 'left one', phy: {connections: 2}}\n";

static void absent_sections_have_their_defaults(void **state)
{
    (void)state;
    kb_spec *spec = load(minimal, NULL);
    assert_string_equal(kb_spec_path(spec), "topology.yaml");
    assert_int_equal(kb_spec_int(spec, "cube.hbm_ctrl.pseudo_channels"), 8);
    assert_true(kb_spec_real(spec, "cube.hbm_ctrl.efficiency") == 0.8);
    assert_true(kb_spec_bool(spec, "cube.hbm_ctrl.open_page"));
    assert_string_equal(kb_spec_string(spec, "cube.noc.kind"), "mesh");
    assert_int_equal(kb_spec_count(spec, "cube.noc.missing"), 0);
    assert_int_equal(kb_spec_count(spec, "cube.noc.corners"), 2);
    assert_string_equal(kb_spec_list_string(spec, "cube.noc.corners", 1), "SE");
    assert_int_equal(kb_spec_int(spec, "cube.noc.seed"), -1);
    kb_spec_destroy(spec);
}

static void an_absent_repeated_section_has_no_elements(void **state)
{
    (void)state;
    static const char *const texts[] = {minimal, "sip:\n", "sip:\n  io_chiplets:\n",
                                        "sip: {io_chiplets: []}\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        kb_spec *spec = load(texts[i], NULL);
        assert_int_equal(kb_spec_count(spec, "sip.io_chiplets"), 0);
        kb_spec_destroy(spec);
    }
}

static void the_file_overrides_defaults_in_block_and_flow_style(void **state)
{
    (void)state;
    kb_spec *spec = load("cube:\n"
                         "  pitch_mm: 12.5\n"
                         "  hbm_ctrl: {pseudo_channels: 0x10, efficiency: 1, open_page: false}\n"
                         "  noc:\n"
                         "    kind: 'ring'\n"
                         "    missing: [1, 0x2]\n"
                         "    corners:\n"
                         "      - NE\n"
                         "      - \"SW\"\n"
                         "    seed: -9223372036854775808\n",
                         NULL);
    assert_true(kb_spec_real(spec, "cube.pitch_mm") == 12.5);
    assert_int_equal(kb_spec_int(spec, "cube.hbm_ctrl.pseudo_channels"), 16);
    assert_true(kb_spec_real(spec, "cube.hbm_ctrl.pseudo_channels") == 16.0);
    assert_true(kb_spec_real(spec, "cube.hbm_ctrl.efficiency") == 1.0);
    assert_false(kb_spec_bool(spec, "cube.hbm_ctrl.open_page"));
    assert_string_equal(kb_spec_string(spec, "cube.noc.kind"), "ring");
    assert_int_equal(kb_spec_list_int(spec, "cube.noc.missing", 0), 1);
    assert_int_equal(kb_spec_list_int(spec, "cube.noc.missing", 1), 2);
    assert_string_equal(kb_spec_list_string(spec, "cube.noc.corners", 0), "NE");
    assert_string_equal(kb_spec_list_string(spec, "cube.noc.corners", 1), "SW");
    assert_true(kb_spec_int(spec, "cube.noc.seed") == INT64_MIN);
    kb_spec_destroy(spec);
}

static void repeated_sections_are_addressed_by_number_and_may_have_sections(void **state)
{
    (void)state;
    kb_spec *spec = load(two_chiplets, NULL);
    assert_int_equal(kb_spec_count(spec, "sip.io_chiplets"), 2);
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[0].side"), "N");
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[0].label"), "");
    assert_int_equal(kb_spec_int(spec, "sip.io_chiplets[0].phy.connections"), 4);
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1].side"), "E");
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1].label"), "left one");
    assert_int_equal(kb_spec_int(spec, "sip.io_chiplets[1].phy.connections"), 2);
    kb_spec_destroy(spec);
}

static void times_are_given_in_nanoseconds(void **state)
{
    (void)state;
    kb_spec *spec = load("cube: {hbm_ctrl: {overhead_ns: 1.25}}\n", NULL);
    assert_true(kb_spec_time(spec, "cube.hbm_ctrl.overhead_ns") == 1250); /* 1.25 ns x 1000 ps/ns */
    kb_spec_destroy(spec);
    expect_failure("cube: {hbm_ctrl: {overhead_ns: -1}}\n", NULL,
                   "topology.yaml:1:32: cube.hbm_ctrl.overhead_ns: expected a number from 0 to "
                   "1e+16 ns, got \"-1\"");
    expect_failure("cube: {hbm_ctrl: {overhead_ns: 1e17}}\n", NULL,
                   "topology.yaml:1:32: cube.hbm_ctrl.overhead_ns: expected a number from 0 to "
                   "1e+16 ns, got \"1e17\"");
}

static void set_overrides_the_file_which_overrides_the_default(void **state)
{
    (void)state;
    static const char file[] = "cube: {noc: {w: 4, missing: [1]}}\n";
    static const char *const sets[] = {"cube.noc.w=3", "cube.noc.w=0x5", "cube.noc.missing=[7, 8]",
                                       "cube.hbm_ctrl.efficiency=.5", "cube.noc.corners=[]"};
    kb_err err = {0};
    kb_spec *spec;
    assert_int_equal(load_sets(&spec, file, sets, sizeof sets / sizeof sets[0], &err), KB_OK);
    assert_int_equal(kb_spec_int(spec, "cube.noc.w"), 5); /* the last one wins */
    assert_int_equal(kb_spec_count(spec, "cube.noc.missing"), 2);
    assert_int_equal(kb_spec_list_int(spec, "cube.noc.missing", 1), 8);
    assert_true(kb_spec_real(spec, "cube.hbm_ctrl.efficiency") == 0.5);
    assert_int_equal(kb_spec_count(spec, "cube.noc.corners"), 0);
    kb_spec_destroy(spec);
}

static void set_reaches_elements_and_whole_sections(void **state)
{
    (void)state;
    kb_spec *spec = load(two_chiplets, "sip.io_chiplets[0].side=S");
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[0].side"), "S");
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1].side"), "E");
    kb_spec_destroy(spec);

    spec = load(two_chiplets, "sip.io_chiplets[1].label=");
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1].label"), "");
    kb_spec_destroy(spec);

    /* A section given whole is merged ... */
    spec = load("cube: {noc: {w: 4, kind: ring}}\n", "cube.noc={kind: torus}");
    assert_string_equal(kb_spec_string(spec, "cube.noc.kind"), "torus");
    assert_int_equal(kb_spec_int(spec, "cube.noc.w"), 4);
    kb_spec_destroy(spec);

    /* ... a repeated one is replaced: nothing is left of the old elements. */
    spec = load(two_chiplets, "sip.io_chiplets=[{side: S}, {side: W}]");
    assert_int_equal(kb_spec_count(spec, "sip.io_chiplets"), 2);
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1].side"), "W");
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1].label"), "");
    assert_int_equal(kb_spec_int(spec, "sip.io_chiplets[1].phy.connections"), 4);
    kb_spec_destroy(spec);
}

static void wrong_values_say_what_was_expected_and_what_was_found(void **state)
{
    (void)state;
    expect_failure("cube:\n  hbm_ctrl:\n    efficiency: high\n", NULL,
                   "topology.yaml:3:17: cube.hbm_ctrl.efficiency: expected a number from 0 to 1, "
                   "got \"high\"");
    expect_failure("cube: {pitch_mm: 101}\n", NULL,
                   "topology.yaml:1:18: cube.pitch_mm: expected a number from 0 to 100 mm, got "
                   "\"101\"");
    expect_failure("cube: {pitch_mm: [1]}\n", NULL,
                   "topology.yaml:1:18: cube.pitch_mm: expected a number from 0 to 100 mm, got a "
                   "list");
    expect_failure("cube: {pitch_mm: {a: 1}}\n", NULL,
                   "topology.yaml:1:18: cube.pitch_mm: expected a number from 0 to 100 mm, got a "
                   "mapping");
    expect_failure("cube: {pitch_mm: }\n", NULL,
                   "topology.yaml:1:18: cube.pitch_mm: expected a number from 0 to 100 mm, got "
                   "nothing");
    expect_failure("cube: {pitch_mm: '3'}\n", NULL,
                   "topology.yaml:1:18: cube.pitch_mm: expected a number from 0 to 100 mm, got "
                   "\"3\" in quotes");
    expect_failure("cube: {hbm_ctrl: {open_page: yes}}\n", NULL,
                   "topology.yaml:1:30: cube.hbm_ctrl.open_page: expected true or false, got "
                   "\"yes\"");
    expect_failure("cube: {noc: {kind: tours}}\n", NULL,
                   "topology.yaml:1:20: cube.noc.kind: expected one of mesh, torus, ring, got "
                   "\"tours\"; did you mean \"torus\"?");
    expect_failure("cube: {noc: {seed: 1.0}}\n", NULL,
                   "topology.yaml:1:20: cube.noc.seed: expected an integer, got \"1.0\"");
}

static void integers_are_decimal_or_hexadecimal_and_fit_64_bits(void **state)
{
    (void)state;
    static const char *const wrong[] = {"1_000",
                                        "0x1_0",
                                        "0x",
                                        "-",
                                        "1e3",
                                        "0b1",
                                        "0o7",
                                        "0X1F",
                                        "1.5",
                                        "12a",
                                        "0xg",
                                        "true",
                                        "\"\"",
                                        "9223372036854775808",
                                        "-9223372036854775809",
                                        "0x8000000000000000"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[100];
        kb_err err = {0};
        kb_spec *spec;
        snprintf(text, sizeof text, "cube: {noc: {seed: %s}}\n", wrong[i]);
        assert_int_equal(load_sets(&spec, text, NULL, 0, &err), KB_EINVAL);
        assert_non_null(strstr(err.text, "cube.noc.seed: expected an integer, got \""));
    }
    kb_spec *spec = load("cube: {noc: {seed: 0x7fffFFFFffffFFFF}}\n", NULL);
    assert_true(kb_spec_int(spec, "cube.noc.seed") == INT64_MAX);
    kb_spec_destroy(spec);
}

static void numbers_are_finite(void **state)
{
    (void)state;
    static const char *const wrong[] = {"nan",   ".nan",  "inf",   "-.inf", "infinity",
                                        "0x1p3", "1e999", "1.2.3", "1e",    "--1",
                                        ".",     "1,5",   "1_0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[100];
        kb_err err = {0};
        kb_spec *spec;
        snprintf(text, sizeof text, "cube:\n  hbm_ctrl:\n    efficiency: %s\n", wrong[i]);
        assert_int_equal(load_sets(&spec, text, NULL, 0, &err), KB_EINVAL);
        assert_non_null(strstr(err.text, "topology.yaml:3:17: cube.hbm_ctrl.efficiency: expected "
                                         "a number from 0 to 1, got \""));
    }
}

static void elements_of_lists_are_checked_one_by_one(void **state)
{
    (void)state;
    expect_failure("cube: {noc: {missing: [1, 100]}}\n", NULL,
                   "topology.yaml:1:27: cube.noc.missing[1]: expected an integer from 0 to 99, got "
                   "\"100\"");
    expect_failure("cube: {noc: {missing: 3}}\n", NULL,
                   "topology.yaml:1:23: cube.noc.missing: expected a list of integers from 0 to "
                   "99, such as [1, 2], got \"3\"");
    expect_failure("cube: {noc: {corners: [NW, NX]}}\n", NULL,
                   "topology.yaml:1:28: cube.noc.corners[1]: expected one of NW, NE, SW, SE, got "
                   "\"NX\"");
    expect_failure("cube: {noc: {corners: NW}}\n", NULL,
                   "topology.yaml:1:23: cube.noc.corners: expected a list, such as [a, b], of NW, "
                   "NE, SW, SE, got \"NW\"");
    expect_failure("cube: {noc: {corners: [[NW]]}}\n", NULL,
                   "topology.yaml:1:24: cube.noc.corners[0]: expected one of NW, NE, SW, SE, got a "
                   "list");
}

static void sections_must_be_mappings_and_repeated_ones_lists(void **state)
{
    (void)state;
    expect_failure("- cube\n", NULL,
                   "topology.yaml:1:1: expected a mapping of sections, got a list");
    expect_failure("cube: 5\n", NULL,
                   "topology.yaml:1:7: cube: expected a mapping of parameters, got \"5\"");
    expect_failure("sip: [1]\n", NULL,
                   "topology.yaml:1:6: sip: expected a mapping of sections, got a list");
    expect_failure("sip:\n  io_chiplets:\n    side: N\n", NULL,
                   "topology.yaml:3:5: sip.io_chiplets: expected a list of mappings, one for each, "
                   "got a mapping");
    expect_failure("sip:\n  io_chiplets:\n    - N\n", NULL,
                   "topology.yaml:3:7: sip.io_chiplets[0]: expected a mapping of parameters, got "
                   "\"N\"");
}

static void unknown_keys_name_the_nearest_or_all_valid_ones(void **state)
{
    (void)state;
    expect_failure("cube:\n  hbm_ctl:\n    efficiency: 1\n", NULL,
                   "topology.yaml:2:3: cube.hbm_ctl: unknown key; did you mean \"hbm_ctrl\"?");
    expect_failure("cuve: {}\n", NULL,
                   "topology.yaml:1:1: cuve: unknown key; did you mean \"cube\"?");
    expect_failure("cube:\n  noc:\n    height: 1\n", NULL,
                   "topology.yaml:3:5: cube.noc.height: unknown key; valid keys: w, kind, missing, "
                   "corners, seed");
    expect_failure("cube: {bandwidth: 1}\n", NULL,
                   "topology.yaml:1:8: cube.bandwidth: unknown key; valid keys: pitch_mm, "
                   "hbm_ctrl, noc");
    expect_failure("sip: {io_chiplets: [{side: N}, {sied: S}]}\n", NULL,
                   "topology.yaml:1:33: sip.io_chiplets[1].sied: unknown key; did you mean "
                   "\"side\"?");
}

static void a_list_of_numbers_takes_integers_too_and_limits_each(void **state)
{
    (void)state;
    static const kb_param params[] = {{.name = "gaps",
                                       .type = KB_PARAM_REAL_LIST,
                                       .unit = "mm",
                                       .default_value = "[]",
                                       .min = 0.5,
                                       .max = 9},
                                      {0}};
    static const kb_section table[] = {{.path = "noc", .params = params}};
    kb_spec_source source = {.path = "topology.yaml", .sections = table, .section_count = 1};
    kb_err err = {0};
    kb_spec *spec;
    write_file("noc: {gaps: [2.5, 3, 1e0]}\n");
    if (kb_spec_load(&spec, &source, &err)) fail_msg("%s", err.text);
    static const double gaps[] = {2.5, 3, 1};
    assert_int_equal(kb_spec_count(spec, "noc.gaps"), 3);
    for (size_t i = 0; i < 3; i++) assert_true(kb_spec_list_real(spec, "noc.gaps", i) == gaps[i]);
    kb_spec_destroy(spec);
    write_file("noc: {gaps: [2, 9.5]}\n");
    assert_int_equal(kb_spec_load(&spec, &source, &err), KB_EINVAL);
    assert_string_equal(err.text, "topology.yaml:1:17: noc.gaps[1]: expected a number from 0.5 to "
                                  "9 mm, got \"9.5\"");
    write_file("noc: {gaps: 2}\n");
    assert_int_equal(kb_spec_load(&spec, &source, &err), KB_EINVAL);
    assert_string_equal(err.text, "topology.yaml:1:13: noc.gaps: expected a list of numbers from "
                                  "0.5 to 9 mm, such as [1.5, 2], got \"2\"");
}

static void missing_required_parameters_are_explained(void **state)
{
    (void)state;
    expect_failure("sip:\n  io_chiplets:\n    - label: x\n", NULL,
                   "topology.yaml:3:7: sip.io_chiplets[0]: required parameter \"side\" is missing "
                   "(one of N, E, S, W): Edge that it sits on.");
    expect_failure(minimal, "sip.io_chiplets=[{label: x}]",
                   "--set sip.io_chiplets=[{label: x}]: sip.io_chiplets[0]: required parameter "
                   "\"side\" is missing (one of N, E, S, W): Edge that it sits on.");
    kb_spec_destroy(load("sip: {io_chiplets: [{}]}\n", "sip.io_chiplets[0].side=N"));
}

static void a_required_parameter_of_an_absent_section_names_the_file(void **state)
{
    (void)state;
    static const kb_param params[] = {{.name = "length",
                                       .type = KB_PARAM_REAL,
                                       .unit = "mm",
                                       .min = 1,
                                       .max = 5,
                                       .help = "Length of the cable."},
                                      {0}};
    static const kb_section table[] = {{.path = "host.link", .params = params}};
    kb_spec_source source = {.path = "topology.yaml", .sections = table, .section_count = 1};
    kb_err err = {0};
    kb_spec *spec;
    write_file("host: {}\n");
    assert_int_equal(kb_spec_load(&spec, &source, &err), KB_EINVAL);
    assert_string_equal(err.text, "topology.yaml: host.link: required parameter \"length\" is "
                                  "missing (a number from 1 to 5 mm): Length of the cable.");
}

static void a_default_is_held_to_its_own_table(void **state)
{
    (void)state;
    static const kb_param params[] = {
        {.name = "w", .type = KB_PARAM_INT, .default_value = "9", .min = 1, .max = 5}, {0}};
    static const kb_section table[] = {{.path = "noc", .params = params}};
    kb_spec_source source = {.path = "topology.yaml", .sections = table, .section_count = 1};
    kb_err err = {0};
    kb_spec *spec;
    write_file("noc: {}\n");
    assert_int_equal(kb_spec_load(&spec, &source, &err), KB_EINVAL);
    assert_string_equal(err.text, "noc.w (default): expected an integer from 1 to 5, got \"9\"");
}

static void mistakes_in_set_name_the_set(void **state)
{
    (void)state;
    expect_failure(minimal, "cube.hbm_ctrl.efficiency=high",
                   "--set cube.hbm_ctrl.efficiency=high: expected a number from 0 to 1, got "
                   "\"high\"");
    expect_failure(minimal, "cube.hbm_ctl.efficiency=1",
                   "--set cube.hbm_ctl.efficiency=1: cube.hbm_ctl: unknown key; did you mean "
                   "\"hbm_ctrl\"?");
    expect_failure(minimal, "cube.noc.missing=[1, x]",
                   "--set cube.noc.missing=[1, x]: cube.noc.missing[1]: expected an integer from 0 "
                   "to 99, got \"x\"");
    expect_failure(
        minimal, "cube.noc.missing=[1",
        "--set cube.noc.missing=[1: malformed YAML: expected \",\" or \"]\" here (in the "
        "list that starts at 1:1)");
    expect_failure(minimal, "cube.noc=4",
                   "--set cube.noc=4: expected a mapping of parameters, got \"4\"");
    expect_failure(minimal, "cube.noc.w=",
                   "--set cube.noc.w=: expected an integer from 1 to 32, got \"\" in quotes");
    expect_failure(minimal, "cube.noc.w",
                   "--set cube.noc.w: expected path=value, as in "
                   "cube.noc.w=4");
    expect_failure(minimal, "=4", "--set =4: expected path=value, as in cube.noc.w=4");
    expect_failure(minimal, "cube..w=4",
                   "--set cube..w=4: cube.: unknown key; valid keys: pitch_mm, hbm_ctrl, noc");
    expect_failure(minimal, "cube.noc.w.x=4",
                   "--set cube.noc.w.x=4: cube.noc.w: a parameter has no parts");
}

static void mistakes_in_set_with_elements_say_how_many_there_are(void **state)
{
    (void)state;
    expect_failure(two_chiplets, "sip.io_chiplets[2].side=S",
                   "--set sip.io_chiplets[2].side=S: sip.io_chiplets: there is no such element; "
                   "sip.io_chiplets has 2, numbered from 0 to 1");
    expect_failure(two_chiplets, "sip.io_chiplets[18446744073709551616].side=S",
                   "--set sip.io_chiplets[18446744073709551616].side=S: sip.io_chiplets: there is "
                   "no such element; sip.io_chiplets has 2, numbered from 0 to 1");
    expect_failure(minimal, "sip.io_chiplets[0].side=S",
                   "--set sip.io_chiplets[0].side=S: sip.io_chiplets: there is no such element; "
                   "sip.io_chiplets has none");
    expect_failure(two_chiplets, "sip.io_chiplets[-1].side=S",
                   "--set sip.io_chiplets[-1].side=S: sip.io_chiplets: expected an element's "
                   "number in brackets, as in sip.io_chiplets[0]");
    expect_failure(two_chiplets, "sip.io_chiplets.side=S",
                   "--set sip.io_chiplets.side=S: sip.io_chiplets: a list; name one of its "
                   "elements, as in sip.io_chiplets[0]");
    expect_failure(two_chiplets, "sip.io_chiplets[0]side=S",
                   "--set sip.io_chiplets[0]side=S: sip.io_chiplets[0]: expected \".\" or \"=\" "
                   "after \"]\"");
    expect_failure(two_chiplets, "cube[0].pitch_mm=1",
                   "--set cube[0].pitch_mm=1: cube: not a list, so it has no element [...]");
    expect_failure(two_chiplets, "cube.noc.missing[0]=1",
                   "--set cube.noc.missing[0]=1: cube.noc.missing: a list is set as a whole, as in "
                   "cube.noc.missing=[1, 2]");
    expect_failure(two_chiplets, "sip.io_chiplets[0].side=X",
                   "--set sip.io_chiplets[0].side=X: expected one of N, E, S, W, got \"X\"");
}

static void long_keys_and_values_are_cut_in_messages(void **state)
{
    (void)state;
    char text[3000];
    snprintf(text, sizeof text, "cube: {noc: {kind: %02000d}}\n", 0);
    char message[400];
    /* 60 bytes of the value and "..." fill an excerpt of 64. */
    snprintf(message, sizeof message,
             "topology.yaml:1:20: cube.noc.kind: expected one of mesh, torus, ring, got "
             "\"%060d...\"",
             0);
    expect_failure(text, NULL, message);
}

static void expect_rejection(const char *file, const char *set, const char *path,
                             const char *message)
{
    kb_spec *spec = load(file, set);
    kb_err err = {0};
    assert_int_equal(kb_spec_reject(spec, path, &err, "must divide %d", 6), KB_EINVAL);
    assert_int_equal(err.code, KB_EINVAL);
    assert_string_equal(err.text, message);
    kb_spec_destroy(spec);
}

static void a_rejected_value_is_traced_to_where_it_was_written(void **state)
{
    (void)state;
    static const char file[] = "cube:\n  noc:\n    w: 4\n    missing: [1]\n";
    expect_rejection(file, NULL, "cube.noc.w", "topology.yaml:3:8: cube.noc.w: must divide 6");
    expect_rejection(file, "cube.noc.w=5", "cube.noc.w", "--set cube.noc.w=5: must divide 6");
    expect_rejection(minimal, NULL, "cube.noc.w", "cube.noc.w (default): must divide 6");
    expect_rejection(file, NULL, "cube.noc.missing[0]",
                     "topology.yaml:4:14: cube.noc.missing[0]: must divide 6");
    expect_rejection(two_chiplets, NULL, "sip.io_chiplets[1]",
                     "topology.yaml:4:7: sip.io_chiplets[1]: must divide 6");
    expect_rejection(minimal, NULL, "sip.io_chiplets", "sip.io_chiplets (default): must divide 6");
    expect_rejection(file, "cube.noc={w: 3}", "cube.noc.w",
                     "--set cube.noc={w: 3}: cube.noc.w: must divide 6");
}

static void yaml_errors_and_unreadable_files_come_through(void **state)
{
    (void)state;
    expect_failure("cube: {pitch_mm: 1, pitch_mm: 2}\n", NULL,
                   "topology.yaml:1:21: key \"pitch_mm\" is given twice: on line 1 and on line 1");
    kb_spec_source source = {.path = "nowhere.yaml"};
    kb_err err = {0};
    kb_spec *spec;
    assert_int_equal(kb_spec_load(&spec, &source, &err), KB_EIO);
    assert_null(spec);
    assert_string_equal(err.text, "nowhere.yaml: cannot open: No such file or directory");
    assert_int_equal(kb_spec_load(&spec, &source, NULL), KB_EIO);
}

static void many_elements_are_kept_apart(void **state)
{
    (void)state;
    enum { COUNT = 2000 };
    char *text = malloc(COUNT * 40), *end = text;
    assert_non_null(text);
    end += sprintf(end, "sip:\n  io_chiplets:\n");
    for (int i = 0; i < COUNT; i++) end += sprintf(end, "  - {side: N, label: n%d}\n", i);
    kb_spec *spec = load(text, "sip.io_chiplets[1999].side=W");
    assert_int_equal(kb_spec_count(spec, "sip.io_chiplets"), COUNT);
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1234].label"), "n1234");
    assert_string_equal(kb_spec_string(spec, "sip.io_chiplets[1999].side"), "W");
    kb_spec_destroy(spec);
    free(text);
}

static void the_sections_given_are_kept_for_listing(void **state)
{
    (void)state;
    kb_spec *spec = load(minimal, NULL);
    size_t count = 0;
    const kb_section *kept = kb_spec_sections(spec, &count);
    assert_int_equal(count, sizeof sections / sizeof sections[0]);
    assert_string_equal(kept[1].path, "cube.hbm_ctrl");
    kb_spec_destroy(spec);
}

static char directory[] = "/tmp/kb_spec_XXXXXX";

/* Messages start with the path as given: a relative one is the same on every machine. */
static int enter_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink("topology.yaml");
    return chdir("/") == 0 && rmdir(directory) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_sections_have_their_defaults),
        cmocka_unit_test(an_absent_repeated_section_has_no_elements),
        cmocka_unit_test(the_file_overrides_defaults_in_block_and_flow_style),
        cmocka_unit_test(repeated_sections_are_addressed_by_number_and_may_have_sections),
        cmocka_unit_test(times_are_given_in_nanoseconds),
        cmocka_unit_test(set_overrides_the_file_which_overrides_the_default),
        cmocka_unit_test(set_reaches_elements_and_whole_sections),
        cmocka_unit_test(wrong_values_say_what_was_expected_and_what_was_found),
        cmocka_unit_test(integers_are_decimal_or_hexadecimal_and_fit_64_bits),
        cmocka_unit_test(numbers_are_finite),
        cmocka_unit_test(elements_of_lists_are_checked_one_by_one),
        cmocka_unit_test(sections_must_be_mappings_and_repeated_ones_lists),
        cmocka_unit_test(unknown_keys_name_the_nearest_or_all_valid_ones),
        cmocka_unit_test(a_list_of_numbers_takes_integers_too_and_limits_each),
        cmocka_unit_test(missing_required_parameters_are_explained),
        cmocka_unit_test(a_required_parameter_of_an_absent_section_names_the_file),
        cmocka_unit_test(a_default_is_held_to_its_own_table),
        cmocka_unit_test(mistakes_in_set_name_the_set),
        cmocka_unit_test(mistakes_in_set_with_elements_say_how_many_there_are),
        cmocka_unit_test(long_keys_and_values_are_cut_in_messages),
        cmocka_unit_test(a_rejected_value_is_traced_to_where_it_was_written),
        cmocka_unit_test(yaml_errors_and_unreadable_files_come_through),
        cmocka_unit_test(many_elements_are_kept_apart),
        cmocka_unit_test(the_sections_given_are_kept_for_listing),
    };
    return cmocka_run_group_tests(tests, enter_directory, remove_directory);
}
