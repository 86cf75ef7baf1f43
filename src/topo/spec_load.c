/* Reading a specification: walk the file along the schema, then each --set, then add defaults. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "topo/message.h"
#include "topo/schema.h"
#include "topo/spec_priv.h"
#include "topo/spec_value.h"

enum { PATH_BYTES = 600, MESSAGE_BYTES = 600 };

typedef struct loader {
    kb_spec *spec;
    kb_schema *schema;
    kb_err *err;
    char buffer[PATH_BYTES];
    kb_text path;        /* of what is being looked at */
    kb_origin_kind kind; /* of text that is being read */
    const char *set;     /* the --set being applied, if it is one */
} loader;

/* The path is a stack: push, descend, pop to what push returned. */
static size_t push(loader *l, const char *name, size_t length)
{
    size_t before = l->path.used;
    kb_text_add(&l->path, "%s%.*s", before ? "." : "", (int)length, name);
    return before;
}

static size_t push_index(loader *l, size_t index)
{
    size_t before = l->path.used;
    kb_text_add(&l->path, "[%zu]", index);
    return before;
}

static void pop(loader *l, size_t before)
{
    assert(l->path.used < l->path.size - 1 && "the tables' paths are too long");
    l->path.used = before;
    l->path.data[before] = '\0';
}

/* `node` matters only in a file; elsewhere it may be null. */
static kb_origin origin_of(const loader *l, const kb_yaml_node *node)
{
    kb_origin origin = {.kind = l->kind};
    if (l->kind == KB_FROM_SET) origin.set = l->set;
    if (l->kind == KB_FROM_FILE && node) origin.line = node->line, origin.column = node->column;
    return origin;
}

/* The message is in l->err; say where. */
static int fail_at(loader *l, const kb_yaml_node *node)
{
    kb_origin origin = origin_of(l, node);
    return kb_spec_place(l->spec, l->path.data, &origin, l->err);
}

static int fail_expected(loader *l, const kb_yaml_node *node, const char *expected)
{
    char got[100];
    kb_text text = kb_text_start(got, sizeof got);
    kb_yaml_describe(node, &text);
    kb_fail(l->err, KB_EINVAL, "expected %s, got %s", expected, got);
    return fail_at(l, node);
}

static int fail_unknown(loader *l, const kb_schema *schema, const char *key,
                        const kb_yaml_node *node)
{
    char excerpt[KB_EXCERPT], message[MESSAGE_BYTES];
    kb_text text = kb_text_start(message, sizeof message);
    kb_schema_unknown(schema, key, &text);
    kb_fail(l->err, KB_EINVAL, "%s", message);
    kb_excerpt(excerpt, sizeof excerpt, key);
    push(l, excerpt, strlen(excerpt));
    return fail_at(l, node);
}

static void put_section(loader *l, const kb_yaml_node *node, size_t count)
{
    kb_value value = {.origin = origin_of(l, node), .count = count};
    kb_spec_store_put(&l->spec->store, l->path.data, value);
}

static int parse_list(loader *l, const kb_param *param, const kb_yaml_node *node, kb_atom *atoms,
                      size_t *parsed)
{
    for (const kb_yaml_node *item = node->first; item; item = item->next, ++*parsed) {
        size_t before = push_index(l, *parsed);
        if (kb_atom_parse(param, item, &atoms[*parsed], l->err)) return fail_at(l, item);
        pop(l, before);
    }
    return KB_OK;
}

static int read_param(loader *l, const kb_param *param, const kb_yaml_node *node)
{
    bool list = kb_param_is_list(param);
    if (list && node->kind != KB_YAML_SEQUENCE) {
        char expected[MESSAGE_BYTES];
        kb_text text = kb_text_start(expected, sizeof expected);
        kb_param_expected(param, &text);
        return fail_expected(l, node, expected);
    }
    size_t parsed = 0;
    kb_atom *atoms = kb_xcalloc(list ? node->count + 1 : 1, sizeof *atoms);
    int rc;
    if (list)
        rc = parse_list(l, param, node, atoms, &parsed);
    else if ((rc = kb_atom_parse(param, node, atoms, l->err)))
        rc = fail_at(l, node);
    if (rc) {
        kb_atoms_free(param, atoms, parsed);
        return rc;
    }
    kb_value value = {
        .param = param, .atoms = atoms, .count = list ? parsed : 1, .origin = origin_of(l, node)};
    kb_spec_store_put(&l->spec->store, l->path.data, value);
    return KB_OK;
}

static int read_section(loader *l, const kb_schema *schema, const kb_yaml_node *node);

static int read_entry(loader *l, const kb_schema *schema, const kb_yaml_node *node)
{
    const char *key = node->key->text;
    size_t length = strlen(key);
    const kb_param *param = kb_schema_param(schema, key, length);
    const kb_schema *child = kb_schema_child(schema, key, length);
    if (!param && !child) return fail_unknown(l, schema, key, node->key);
    size_t before = push(l, key, length);
    int rc = param ? read_param(l, param, node) : read_section(l, child, node);
    if (!rc) pop(l, before);
    return rc;
}

static int read_mapping(loader *l, const kb_schema *schema, const kb_yaml_node *node)
{
    if (node->kind != KB_YAML_MAPPING && !kb_yaml_is_blank(node))
        return fail_expected(l, node,
                             schema->section ? "a mapping of parameters" : "a mapping of sections");
    put_section(l, node, 0);
    for (const kb_yaml_node *child = node->first; child; child = child->next) {
        int rc = read_entry(l, schema, child);
        if (rc) return rc;
    }
    return KB_OK;
}

static int read_elements(loader *l, const kb_schema *schema, const kb_yaml_node *node)
{
    if (node->kind != KB_YAML_SEQUENCE && !kb_yaml_is_blank(node))
        return fail_expected(l, node, "a list of mappings, one for each");
    /* A --set of the whole list replaces the file's elements. */
    kb_spec_store_forget_elements(&l->spec->store, l->path.data);
    put_section(l, node, node->count);
    size_t index = 0;
    for (const kb_yaml_node *item = node->first; item; item = item->next) {
        size_t before = push_index(l, index++);
        int rc = read_mapping(l, schema, item);
        if (rc) return rc;
        pop(l, before);
    }
    return KB_OK;
}

static int read_section(loader *l, const kb_schema *schema, const kb_yaml_node *node)
{
    return kb_schema_is_repeated(schema) ? read_elements(l, schema, node)
                                         : read_mapping(l, schema, node);
}

/* Text of one value: a default from a table, or what follows --set path=. The nodes live as long as
 * the document. */
static int parse_inline(loader *l, const char *text, kb_yaml **out)
{
    if (text[strspn(text, " ")] == '\0') text = "\"\"";
    if (kb_yaml_parse(NULL, text, strlen(text), out, l->err)) return fail_at(l, NULL);
    return KB_OK;
}

/* Where a --set's path leads: a parameter, a section, or a whole repeated section. */
typedef struct target {
    const kb_schema *schema;
    const kb_param *param; /* null: a section */
    bool whole;            /* a repeated section, no element of it chosen yet */
} target;

static int enter(loader *l, target *at, const char *name, size_t length)
{
    if (at->param) {
        kb_fail(l->err, KB_EINVAL, "a parameter has no parts");
        return fail_at(l, NULL);
    }
    if (at->whole) {
        kb_fail(l->err, KB_EINVAL, "a list; name one of its elements, as in %s[0]", l->path.data);
        return fail_at(l, NULL);
    }
    const kb_param *param = kb_schema_param(at->schema, name, length);
    const kb_schema *child = kb_schema_child(at->schema, name, length);
    if (!param && !child) {
        char word[KB_EXCERPT + 1];
        kb_text text = kb_text_start(word, sizeof word);
        kb_text_add(&text, "%.*s", (int)length, name);
        return fail_unknown(l, at->schema, word, NULL);
    }
    push(l, name, length);
    if (child) at->schema = child;
    at->param = param;
    at->whole = child && kb_schema_is_repeated(child);
    return KB_OK;
}

static int fail_index(loader *l, size_t count)
{
    if (count == 0)
        kb_fail(l->err, KB_EINVAL, "there is no such element; %s has none", l->path.data);
    else
        kb_fail(l->err, KB_EINVAL, "there is no such element; %s has %zu, numbered from 0 to %zu",
                l->path.data, count, count - 1);
    return fail_at(l, NULL);
}

/* At "[n]": choose that element and move behind it. */
static int enter_element(loader *l, target *at, const char **cursor)
{
    const char *digits = *cursor + 1;
    size_t length = strspn(digits, "0123456789");
    *cursor = digits + length + 1;
    if (at->param && kb_param_is_list(at->param))
        kb_fail(l->err, KB_EINVAL, "a list is set as a whole, as in %s=[1, 2]", l->path.data);
    else if (!at->whole)
        kb_fail(l->err, KB_EINVAL, "not a list, so it has no element [...]");
    else if (length == 0 || digits[length] != ']')
        kb_fail(l->err, KB_EINVAL, "expected an element's number in brackets, as in %s[0]",
                l->path.data);
    else {
        const kb_value *list = kb_spec_store_find(&l->spec->store, l->path.data, l->path.used);
        size_t count = list ? list->count : 0, index = 0;
        for (size_t i = 0; i < length && index < count; i++)
            index = index * 10 + (size_t)(digits[i] - '0');
        if (index >= count) return fail_index(l, count);
        push_index(l, index);
        at->whole = false;
        return KB_OK;
    }
    return fail_at(l, NULL);
}

static int resolve(loader *l, const char *path, target *at)
{
    for (const char *cursor = path;; cursor++) {
        size_t length = strcspn(cursor, ".[");
        int rc = enter(l, at, cursor, length);
        cursor += length;
        if (!rc && *cursor == '[') rc = enter_element(l, at, &cursor);
        if (rc || *cursor == '\0') return rc;
        if (*cursor != '.') {
            kb_fail(l->err, KB_EINVAL, "expected \".\" or \"=\" after \"]\"");
            return fail_at(l, NULL);
        }
    }
}

static int apply_target(loader *l, const target *at, const char *text)
{
    kb_yaml *yaml;
    int rc = parse_inline(l, text, &yaml);
    if (rc) return rc;
    const kb_yaml_node *node = kb_yaml_root(yaml);
    if (at->param)
        rc = read_param(l, at->param, node);
    else if (at->whole)
        rc = read_elements(l, at->schema, node);
    else
        rc = read_mapping(l, at->schema, node);
    kb_yaml_destroy(yaml);
    return rc;
}

static int apply_set(loader *l, const char *set)
{
    const char *equals = strchr(set, '=');
    char excerpt[KB_EXCERPT];
    if (!equals || equals == set)
        return kb_fail(l->err, KB_EINVAL, "--set %s: expected path=value, as in cube.noc.w=4",
                       kb_excerpt(excerpt, sizeof excerpt, set));
    kb_vec_push(&l->spec->sets, kb_xstrdup(set));
    l->set = l->spec->sets.data[l->spec->sets.count - 1];
    char *path = kb_xstrdup(set);
    path[equals - set] = '\0';
    pop(l, 0);
    target at = {.schema = l->schema};
    int rc = resolve(l, path, &at);
    free(path);
    return rc ? rc : apply_target(l, &at, equals + 1);
}

static int fail_missing(loader *l, const kb_param *param, const kb_origin *section)
{
    char expected[MESSAGE_BYTES];
    kb_text text = kb_text_start(expected, sizeof expected);
    kb_param_expected(param, &text);
    kb_fail(l->err, KB_EINVAL, "required parameter \"%s\" is missing (%s): %s", param->name,
            expected, param->help);
    if (section->kind == KB_FROM_DEFAULT)
        return kb_fail_at(l->err, "%s: %s", l->spec->path, l->path.data);
    return kb_spec_place(l->spec, l->path.data, section, l->err);
}

static int fill_param(loader *l, const kb_param *param)
{
    kb_yaml *yaml;
    int rc = parse_inline(l, param->default_value, &yaml);
    if (rc) return rc;
    rc = read_param(l, param, kb_yaml_root(yaml));
    kb_yaml_destroy(yaml);
    return rc;
}

static const kb_value *here(const loader *l)
{
    return kb_spec_store_find(&l->spec->store, l->path.data, l->path.used);
}

static int fill_mapping(loader *l, const kb_schema *schema);

static int fill_section(loader *l, const kb_schema *schema)
{
    if (!kb_schema_is_repeated(schema)) return fill_mapping(l, schema);
    if (!here(l)) put_section(l, NULL, 0);
    size_t count = here(l)->count;
    for (size_t i = 0; i < count; i++) {
        size_t before = push_index(l, i);
        int rc = fill_mapping(l, schema);
        if (rc) return rc;
        pop(l, before);
    }
    return KB_OK;
}

/* Give every parameter below the current path that has no value yet its default. */
static int fill_mapping(loader *l, const kb_schema *schema)
{
    if (!here(l)) put_section(l, NULL, 0);
    kb_origin origin = here(l)->origin;
    for (const kb_param *param = kb_schema_params(schema); param->name; param++) {
        size_t before = push(l, param->name, strlen(param->name));
        int rc = KB_OK;
        if (!here(l) && param->default_value) rc = fill_param(l, param);
        bool missing = !here(l) && !rc;
        if (rc) return rc;
        pop(l, before);
        if (missing) return fail_missing(l, param, &origin);
    }
    for (const kb_schema *child = schema->first; child; child = child->next) {
        size_t before = push(l, child->name, child->name_length);
        int rc = fill_section(l, child);
        if (rc) return rc;
        pop(l, before);
    }
    return KB_OK;
}

static int load(loader *l, const kb_spec_source *source, const kb_yaml *yaml)
{
    l->kind = KB_FROM_FILE;
    int rc = read_mapping(l, l->schema, kb_yaml_root(yaml));
    l->kind = KB_FROM_SET;
    for (size_t i = 0; i < source->set_count && !rc; i++) rc = apply_set(l, source->sets[i]);
    l->kind = KB_FROM_DEFAULT;
    if (rc) return rc;
    pop(l, 0);
    return fill_mapping(l, l->schema);
}

int kb_spec_from_yaml(kb_spec **out, const kb_spec_source *source, const kb_yaml *yaml, kb_err *err)
{
    *out = NULL;
    kb_spec *spec = kb_xcalloc(1, sizeof *spec);
    spec->path = kb_xstrdup(source->path);
    spec->section_count = source->section_count;
    spec->sections = kb_xcalloc(source->section_count + 1, sizeof *spec->sections);
    for (size_t i = 0; i < source->section_count; i++) spec->sections[i] = source->sections[i];

    loader l = {.spec = spec, .err = err};
    l.path = kb_text_start(l.buffer, sizeof l.buffer);
    l.schema = kb_schema_create(spec->sections, spec->section_count);
    int rc = load(&l, source, yaml);
    kb_schema_destroy(l.schema);
    if (rc)
        kb_spec_destroy(spec);
    else
        *out = spec;
    return rc;
}

int kb_spec_load(kb_spec **out, const kb_spec_source *source, kb_err *err)
{
    *out = NULL;
    kb_yaml *yaml;
    int rc = kb_yaml_load(source->path, &yaml, err);
    if (rc) return rc;
    rc = kb_spec_from_yaml(out, source, yaml, err);
    kb_yaml_destroy(yaml);
    return rc;
}
