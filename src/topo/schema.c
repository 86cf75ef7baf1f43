#include "topo/schema.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "topo/nearest.h"

enum { LIST_BYTES = 400 }; /* of valid keys in a message, at most */

static bool same(const char *a, size_t a_length, const char *b, size_t b_length)
{
    return a_length == b_length && memcmp(a, b, a_length) == 0;
}

/* The child of that name, made if there is none yet. */
static kb_schema *child_of(kb_schema *parent, const char *name, size_t length)
{
    kb_schema **link = &parent->first;
    for (; *link; link = &(*link)->next)
        if (same((*link)->name, (*link)->name_length, name, length)) return *link;
    *link = kb_xcalloc(1, sizeof **link);
    (*link)->name = name;
    (*link)->name_length = length;
    return *link;
}

static void add_section(kb_schema *root, const kb_section *section)
{
    kb_schema *schema = root;
    for (const char *word = section->path; *word;) {
        size_t length = strcspn(word, ".");
        assert(length > 0 && "a section's path has an empty word");
        assert(!kb_schema_param(schema, word, length) && "a section named like a parameter");
        schema = child_of(schema, word, length);
        word += length;
        if (*word == '.') word++;
    }
    assert(!schema->section && "a section is declared twice");
    schema->section = section;
}

kb_schema *kb_schema_create(const kb_section *sections, size_t count)
{
    kb_schema *root = kb_xcalloc(1, sizeof *root);
    root->name = "";
    for (size_t i = 0; i < count; i++) add_section(root, &sections[i]);
    return root;
}

void kb_schema_destroy(kb_schema *root)
{
    if (!root) return;
    for (kb_schema *child = root->first; child;) {
        kb_schema *next = child->next;
        kb_schema_destroy(child);
        child = next;
    }
    free(root);
}

const kb_schema *kb_schema_child(const kb_schema *schema, const char *name, size_t length)
{
    for (const kb_schema *child = schema->first; child; child = child->next)
        if (same(child->name, child->name_length, name, length)) return child;
    return NULL;
}

const kb_param *kb_schema_params(const kb_schema *schema)
{
    static const kb_param none[] = {{.name = NULL}};
    return schema->section && schema->section->params ? schema->section->params : none;
}

const kb_param *kb_schema_param(const kb_schema *schema, const char *name, size_t length)
{
    for (const kb_param *param = kb_schema_params(schema); param->name; param++)
        if (same(param->name, strlen(param->name), name, length)) return param;
    return NULL;
}

bool kb_schema_is_repeated(const kb_schema *schema)
{
    return schema->section && schema->section->repeated;
}

static void list_key(kb_text *out, size_t start, const char *name, size_t length)
{
    if (out->used - start > LIST_BYTES) return;
    kb_text_add(out, "%s%.*s", out->used == start ? "" : ", ", (int)length, name);
    if (out->used - start > LIST_BYTES) kb_text_add(out, ", ...");
}

static void list_keys(const kb_schema *schema, kb_text *out)
{
    kb_text_add(out, "unknown key; valid keys: ");
    size_t start = out->used;
    for (const kb_param *param = kb_schema_params(schema); param->name; param++)
        list_key(out, start, param->name, strlen(param->name));
    for (const kb_schema *child = schema->first; child; child = child->next)
        list_key(out, start, child->name, child->name_length);
    if (out->used == start) kb_text_add(out, "none");
}

void kb_schema_unknown(const kb_schema *schema, const char *key, kb_text *out)
{
    kb_nearest nearest = kb_nearest_start(key);
    for (const kb_param *param = kb_schema_params(schema); param->name; param++)
        kb_nearest_offer(&nearest, param->name, strlen(param->name));
    for (const kb_schema *child = schema->first; child; child = child->next)
        kb_nearest_offer(&nearest, child->name, child->name_length);
    if (nearest.match)
        kb_text_add(out, "unknown key; did you mean \"%.*s\"?", (int)nearest.length, nearest.match);
    else
        list_keys(schema, out);
}
