/* Fuzzing the reading of YAML and of specifications, as a file's contents and as --set.
 * Run by `./kb fuzz yaml`. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "topo/spec_priv.h"
#include "topo/yaml.h"

static const kb_param many[] = {
    {.name = "int", .type = KB_PARAM_INT, .default_value = "8", .min = 1, .max = 64, .help = "i"},
    {.name = "any", .type = KB_PARAM_INT, .default_value = "8", .help = "i"},
    {.name = "real", .type = KB_PARAM_REAL, .unit = "ns", .default_value = "0.8", .help = "r"},
    {.name = "bool", .type = KB_PARAM_BOOL, .default_value = "true", .help = "b"},
    {.name = "text", .type = KB_PARAM_STRING, .default_value = "", .help = "s"},
    {.name = "kind", .type = KB_PARAM_CHOICE, .default_value = "N", .choices = "N E S W"},
    {.name = "ints", .type = KB_PARAM_INT_LIST, .default_value = "[]", .max = 9, .help = "l"},
    {.name = "reals", .type = KB_PARAM_REAL_LIST, .default_value = "[.5]", .help = "l"},
    {.name = "texts", .type = KB_PARAM_STRING_LIST, .default_value = "[a]", .help = "l"},
    {0}};

static const kb_param required[] = {
    {.name = "side", .type = KB_PARAM_CHOICE, .choices = "N E S W", .help = "Edge."}, {0}};

static const kb_section sections[] = {{.path = "a", .params = many},
                                      {.path = "a.b", .params = many},
                                      {.path = "c.list", .params = required, .repeated = true},
                                      {.path = "c.list.d", .params = many},
                                      {.path = "c.list.e", .params = many, .repeated = true}};

static void load(const kb_yaml *yaml, const char *set)
{
    kb_spec_source source = {.path = "fuzz.yaml",
                             .sets = &set,
                             .set_count = set ? 1 : 0,
                             .sections = sections,
                             .section_count = sizeof sections / sizeof sections[0]};
    kb_err err = {0};
    kb_spec *spec;
    if (kb_spec_from_yaml(&spec, &source, yaml, &err)) {
        if (!err.text[0]) abort();
        return;
    }
    kb_spec_time(spec, "a.b.real");
    kb_spec_count(spec, "c.list");
    kb_spec_reject(spec, "a.ints[0]", &err, "no");
    kb_spec_destroy(spec);
}

static kb_yaml *parse(const char *text, size_t size)
{
    kb_err err = {0};
    kb_yaml *yaml;
    if (kb_yaml_parse("fuzz.yaml", text, size, &yaml, &err) && !err.text[0]) abort();
    return yaml;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char base[] = "c: {list: [{side: N}, {side: S, e: [{}]}]}";
    kb_yaml *file = parse((const char *)data, size);
    if (file) load(file, NULL);
    kb_yaml_destroy(file);

    char *set = kb_xmalloc(size + 1);
    memcpy(set, data, size);
    set[size] = '\0';
    file = parse(base, sizeof base - 1);
    load(file, set);
    kb_yaml_destroy(file);
    free(set);
    return 0;
}
