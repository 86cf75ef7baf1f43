/* Parameter tables as Markdown and as YAML that loads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "topo/paramdoc.h"
#include "topo/spec.h"

static const kb_param cube_params[] = {
    {.name = "pitch_mm",
     .type = KB_PARAM_REAL,
     .unit = "mm",
     .default_value = "14",
     .min = 0,
     .max = 100,
     .help = "Distance between cubes."},
    {.name = "kind",
     .type = KB_PARAM_CHOICE,
     .default_value = "mesh",
     .choices = "mesh torus",
     .help = "Mesh | torus."},
    {.name = "seed", .type = KB_PARAM_INT, .default_value = "0x10", .help = "Any integer."},
    {.name = "label", .type = KB_PARAM_STRING, .default_value = "", .help = "Name."},
    {0}};

static const kb_param noc_params[] = {{.name = "missing",
                                       .type = KB_PARAM_INT_LIST,
                                       .default_value = "[14, 15]",
                                       .min = 0,
                                       .max = 99,
                                       .help = "Routers that do not exist."},
                                      {.name = "gaps",
                                       .type = KB_PARAM_REAL_LIST,
                                       .unit = "mm",
                                       .default_value = "[2.5, 3]",
                                       .min = 0.5,
                                       .max = 9,
                                       .help = "Between routers."},
                                      {0}};

static const kb_param chiplet_params[] = {
    {.name = "side", .type = KB_PARAM_CHOICE, .choices = "N S", .help = "Edge that it sits on."},
    {.name = "phys",
     .type = KB_PARAM_INT,
     .default_value = "4",
     .min = 1,
     .max = 8,
     .help = "PHYs."},
    {0}};

static const kb_section sections[] = {
    {.path = "cube", .help = "A die.", .params = cube_params},
    {.path = "sip.io_chiplets", .help = "IO dies.", .params = chiplet_params, .repeated = true},
    {.path = "cube.noc", .help = "Routers.", .params = noc_params},
};

enum { SECTIONS = sizeof sections / sizeof sections[0] };

static char *written(void (*write)(FILE *, const kb_section *, size_t))
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    write(out, sections, SECTIONS);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void the_markdown_reference_has_a_row_for_each_parameter(void **state)
{
    (void)state;
    static const char expected[] =
        "### cube\n\nA die.\n\n"
        "| parameter | type | unit | default | range | help |\n"
        "|---|---|---|---|---|---|\n"
        "| `pitch_mm` | number | mm | `14` | 0 to 100 | Distance between cubes. |\n"
        "| `kind` | choice |  | `mesh` | `mesh`, `torus` | Mesh \\| torus. |\n"
        "| `seed` | integer |  | `0x10` |  | Any integer. |\n"
        "| `label` | text |  | `\"\"` |  | Name. |\n\n"
        "### sip.io_chiplets\n\nIO dies.\n\n"
        "A list with one mapping of these parameters for each element: `sip.io_chiplets[0]`, "
        "`sip.io_chiplets[1]`, ...\n\n"
        "| parameter | type | unit | default | range | help |\n"
        "|---|---|---|---|---|---|\n"
        "| `side` | choice |  | required | `N`, `S` | Edge that it sits on. |\n"
        "| `phys` | integer |  | `4` | 1 to 8 | PHYs. |\n\n"
        "### cube.noc\n\nRouters.\n\n"
        "| parameter | type | unit | default | range | help |\n"
        "|---|---|---|---|---|---|\n"
        "| `missing` | list of integers |  | `[14, 15]` | 0 to 99 | Routers that do not exist. "
        "|\n"
        "| `gaps` | list of numbers | mm | `[2.5, 3]` | 0.5 to 9 | Between routers. |\n\n";
    char *text = written(kb_paramdoc_markdown);
    assert_string_equal(text, expected);
    free(text);
}

static void the_default_yaml_explains_every_parameter(void **state)
{
    (void)state;
    static const char expected[] = "# A die.\n"
                                   "cube:\n"
                                   "  # Distance between cubes.\n"
                                   "  # (a number from 0 to 100 mm)\n"
                                   "  pitch_mm: 14\n"
                                   "  # Mesh | torus.\n"
                                   "  # (one of mesh, torus)\n"
                                   "  kind: mesh\n"
                                   "  # Any integer.\n"
                                   "  # (an integer)\n"
                                   "  seed: 0x10\n"
                                   "  # Name.\n"
                                   "  # (text)\n"
                                   "  label: \"\"\n"
                                   "  # Routers.\n"
                                   "  noc:\n"
                                   "    # Routers that do not exist.\n"
                                   "    # (a list of integers from 0 to 99, such as [1, 2])\n"
                                   "    missing: [14, 15]\n"
                                   "    # Between routers.\n"
                                   "    # (a list of numbers from 0.5 to 9 mm, such as [1.5, 2])\n"
                                   "    gaps: [2.5, 3]\n"
                                   "sip:\n"
                                   "  # IO dies.\n"
                                   "  # (a list; for elements, put this instead of the [])\n"
                                   "  io_chiplets: []\n"
                                   "#     -\n"
                                   "#       # Edge that it sits on.\n"
                                   "#       # (one of N, S)\n"
                                   "#       # side: required\n"
                                   "#       # PHYs.\n"
                                   "#       # (an integer from 1 to 8)\n"
                                   "#       phys: 4\n";
    char *text = written(kb_paramdoc_yaml);
    assert_string_equal(text, expected);
    free(text);
}

static void the_default_yaml_loads_back_as_the_defaults(void **state)
{
    (void)state;
    char path[] = "/tmp/kb_paramdoc_XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    kb_paramdoc_yaml(file, sections, SECTIONS);
    fclose(file);

    kb_spec_source source = {.path = path, .sections = sections, .section_count = SECTIONS};
    kb_err err = {0};
    kb_spec *spec = NULL;
    if (kb_spec_load(&spec, &source, &err)) fail_msg("%s", err.text);
    assert_true(kb_spec_real(spec, "cube.pitch_mm") == 14.0);
    assert_int_equal(kb_spec_int(spec, "cube.seed"), 16);
    assert_string_equal(kb_spec_string(spec, "cube.label"), "");
    assert_int_equal(kb_spec_list_int(spec, "cube.noc.missing", 1), 15);
    assert_true(kb_spec_list_real(spec, "cube.noc.gaps", 0) == 2.5);
    assert_int_equal(kb_spec_count(spec, "sip.io_chiplets"), 0);
    kb_spec_destroy(spec);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_markdown_reference_has_a_row_for_each_parameter),
        cmocka_unit_test(the_default_yaml_explains_every_parameter),
        cmocka_unit_test(the_default_yaml_loads_back_as_the_defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
