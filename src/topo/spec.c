#include "topo/spec.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "topo/message.h"
#include "topo/spec_priv.h"
#include "topo/spec_value.h"

enum { LONGEST_SET = 200 }; /* bytes of a --set repeated in a message */

void kb_spec_destroy(kb_spec *spec)
{
    if (!spec) return;
    kb_spec_store_fini(&spec->store);
    for (size_t i = 0; i < spec->sets.count; i++) free(spec->sets.data[i]);
    kb_vec_free(&spec->sets);
    free(spec->sections);
    free(spec->path);
    free(spec);
}

const char *kb_spec_path(const kb_spec *spec)
{
    return spec->path;
}

const kb_section *kb_spec_sections(const kb_spec *spec, size_t *count)
{
    *count = spec->section_count;
    return spec->sections;
}

static const kb_value *value_at(const kb_spec *spec, const char *path)
{
    const kb_value *value = kb_spec_store_find(&spec->store, path, strlen(path));
    assert(value && "no table declares this path");
    return value;
}

int64_t kb_spec_int(const kb_spec *spec, const char *path)
{
    const kb_value *value = value_at(spec, path);
    assert(value->param && value->param->type == KB_PARAM_INT);
    return value->atoms[0].integer;
}

double kb_spec_real(const kb_spec *spec, const char *path)
{
    const kb_value *value = value_at(spec, path);
    assert(value->param);
    if (value->param->type == KB_PARAM_INT) return (double)value->atoms[0].integer;
    assert(value->param->type == KB_PARAM_REAL);
    return value->atoms[0].real;
}

bool kb_spec_bool(const kb_spec *spec, const char *path)
{
    const kb_value *value = value_at(spec, path);
    assert(value->param && value->param->type == KB_PARAM_BOOL);
    return value->atoms[0].boolean;
}

const char *kb_spec_string(const kb_spec *spec, const char *path)
{
    const kb_value *value = value_at(spec, path);
    assert(value->param && kb_param_is_text(value->param) && !kb_param_is_list(value->param));
    return value->atoms[0].text;
}

kb_time kb_spec_time(const kb_spec *spec, const char *path)
{
    double ns = kb_spec_real(spec, path);
    assert(ns >= 0 && ns <= KB_LONGEST_NS && "the table must limit this parameter's range");
    return kb_time_from_ns(ns);
}

size_t kb_spec_count(const kb_spec *spec, const char *path)
{
    const kb_value *value = value_at(spec, path);
    assert(!value->param || kb_param_is_list(value->param));
    return value->count;
}

int64_t kb_spec_list_int(const kb_spec *spec, const char *path, size_t index)
{
    const kb_value *value = value_at(spec, path);
    assert(value->param && value->param->type == KB_PARAM_INT_LIST && index < value->count);
    return value->atoms[index].integer;
}

double kb_spec_list_real(const kb_spec *spec, const char *path, size_t index)
{
    const kb_value *value = value_at(spec, path);
    assert(value->param && value->param->type == KB_PARAM_REAL_LIST && index < value->count);
    return value->atoms[index].real;
}

const char *kb_spec_list_string(const kb_spec *spec, const char *path, size_t index)
{
    const kb_value *value = value_at(spec, path);
    assert(value->param && value->param->type == KB_PARAM_STRING_LIST && index < value->count);
    return value->atoms[index].text;
}

/* "--set path=value: " already names the path, unless the fault is deeper inside the value. */
static int place_in_set(const char *path, const char *set, kb_err *err)
{
    char excerpt[LONGEST_SET];
    kb_excerpt(excerpt, sizeof excerpt, set);
    size_t length = strlen(path);
    if (strncmp(set, path, length) == 0 && set[length] == '=')
        return kb_fail_at(err, "--set %s", excerpt);
    return kb_fail_at(err, "--set %s: %s", excerpt, path);
}

int kb_spec_place(const kb_spec *spec, const char *path, const kb_origin *origin, kb_err *err)
{
    const char *colon = *path ? ": " : ""; /* the file as a whole has no path */
    if (origin->kind == KB_FROM_SET) return place_in_set(path, origin->set, err);
    if (origin->kind == KB_FROM_FILE)
        return kb_fail_at(err, "%s:%zu:%zu%s%s", spec->path, origin->line, origin->column, colon,
                          path);
    return kb_fail_at(err, "%s (default)", path);
}

/* The value at `path`, or else of what it is in: an element of a list has no entry of its own. */
static const kb_value *nearest_value(const kb_spec *spec, const char *path)
{
    for (size_t length = strlen(path); length > 0; length--) {
        if (path[length] != '\0' && path[length] != '.' && path[length] != '[') continue;
        const kb_value *value = kb_spec_store_find(&spec->store, path, length);
        if (value) return value;
    }
    return NULL;
}

int kb_spec_reject(const kb_spec *spec, const char *path, kb_err *err, const char *format, ...)
{
    char message[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    kb_fail(err, KB_EINVAL, "%s", message);
    const kb_value *value = nearest_value(spec, path);
    return kb_spec_place(spec, path, value ? &value->origin : &(kb_origin){0}, err);
}

bool kb_spec_given(const kb_spec *spec, const char *path)
{
    const kb_value *value = kb_spec_store_find(&spec->store, path, strlen(path));
    return value && value->origin.kind != KB_FROM_DEFAULT;
}
