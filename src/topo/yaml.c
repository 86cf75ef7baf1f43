#include "topo/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "base/vec.h"
#include "topo/message.h"
#include "topo/yaml_problem.h"

enum { MAX_DEPTH = 32, MAX_MEGABYTES = 16, MAX_BYTES = MAX_MEGABYTES * 1024 * 1024 };

/* A node with its scalar's text behind it, in the list by which the document frees it. */
typedef struct block {
    struct block *older;
    kb_yaml_node node;
    char text[];
} block;

struct kb_yaml {
    kb_yaml_node *root;
    block *newest;
};

typedef struct reader {
    yaml_parser_t parser;
    kb_yaml *yaml;
    const char *name;
    const char *text;
    size_t size;
    kb_err *err;
} reader;

static int fail(const reader *r, yaml_mark_t mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail(const reader *r, yaml_mark_t mark, const char *format, ...)
{
    char message[sizeof r->err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    if (!r->name) return kb_fail(r->err, KB_EINVAL, "%s", message);
    return kb_fail(r->err, KB_EINVAL, "%s:%zu:%zu: %s", r->name, mark.line + 1, mark.column + 1,
                   message);
}

static int next_event(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) return KB_OK;
    char message[400];
    yaml_mark_t mark = kb_yaml_problem(&r->parser, r->text, r->size, message, sizeof message);
    return fail(r, mark, "%s", message);
}

static kb_yaml_node *new_node(reader *r, kb_yaml_kind kind, yaml_mark_t mark, const char *text,
                              size_t length)
{
    block *b = kb_xmalloc(sizeof *b + length + 1);
    memcpy(b->text, text, length);
    b->text[length] = '\0';
    b->node = (kb_yaml_node){
        .kind = kind, .line = mark.line + 1, .column = mark.column + 1, .text = b->text};
    b->older = r->yaml->newest;
    r->yaml->newest = b;
    return &b->node;
}

/* What YAML offers and a configuration does not need: refused at the first sight of it. */
static int refuse_features(const reader *r, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    char excerpt[KB_EXCERPT];
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        kb_excerpt(excerpt, sizeof excerpt, (const char *)event->data.alias.anchor);
        return fail(r, event->start_mark, "aliases (*%s) are not supported; write the value again",
                    excerpt);
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    if (!anchor && !tag) return KB_OK;
    kb_excerpt(excerpt, sizeof excerpt, (const char *)(anchor ? anchor : tag));
    if (anchor)
        return fail(r, event->start_mark, "anchors (&%s) are not supported; remove it", excerpt);
    return fail(r, event->start_mark, "tags (%s) are not supported; remove it", excerpt);
}

static int read_scalar(reader *r, const yaml_event_t *event, kb_yaml_node **out)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (memchr(text, '\0', length))
        return fail(r, event->start_mark, "text must not contain the NUL character (\\0)");
    *out = new_node(r, KB_YAML_SCALAR, event->start_mark, text, length);
    (*out)->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return KB_OK;
}

typedef struct sorted_key {
    const kb_yaml_node *node;
} sorted_key;

static int compare_keys(const void *left, const void *right)
{
    const kb_yaml_node *a = ((const sorted_key *)left)->node;
    const kb_yaml_node *b = ((const sorted_key *)right)->node;
    int order = strcmp(a->text, b->text);
    if (order != 0) return order;
    if (a->line != b->line) return a->line < b->line ? -1 : 1;
    return (a->column > b->column) - (a->column < b->column);
}

/* By sorting, so that a hostile file of a million keys costs no more than reading it. */
static int refuse_duplicates(const reader *r, const kb_yaml_node *mapping)
{
    if (mapping->count < 2) return KB_OK;
    sorted_key *keys = kb_xmalloc(mapping->count * sizeof *keys);
    size_t count = 0;
    for (const kb_yaml_node *n = mapping->first; n; n = n->next) keys[count++].node = n->key;
    qsort(keys, count, sizeof *keys, compare_keys);

    const kb_yaml_node *again = NULL, *before = NULL;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(keys[i - 1].node->text, keys[i].node->text) != 0) continue;
        before = keys[i - 1].node;
        again = keys[i].node;
        break;
    }
    free(keys);
    if (!again) return KB_OK;
    char excerpt[KB_EXCERPT];
    yaml_mark_t mark = {.line = again->line - 1, .column = again->column - 1};
    return fail(r, mark, "key \"%s\" is given twice: on line %zu and on line %zu",
                kb_excerpt(excerpt, sizeof excerpt, again->text), before->line, again->line);
}

static int read_node(reader *r, yaml_event_t *event, size_t depth, kb_yaml_node **out);

static int read_pair(reader *r, yaml_event_t *event, size_t depth, kb_yaml_node **out)
{
    kb_yaml_node *key = NULL;
    yaml_mark_t mark = event->start_mark;
    int rc = read_node(r, event, depth, &key);
    if (rc) return rc;
    if (key->kind != KB_YAML_SCALAR) return fail(r, mark, "a key must be a single word");
    yaml_event_t value;
    rc = next_event(r, &value);
    if (!rc) rc = read_node(r, &value, depth, out);
    if (!rc) (*out)->key = key;
    return rc;
}

static int read_children(reader *r, kb_yaml_node *parent, size_t depth)
{
    bool mapping = parent->kind == KB_YAML_MAPPING;
    for (kb_yaml_node **tail = &parent->first;; tail = &(*tail)->next, parent->count++) {
        yaml_event_t event;
        int rc = next_event(r, &event);
        if (rc) return rc;
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return mapping ? refuse_duplicates(r, parent) : KB_OK;
        }
        rc = mapping ? read_pair(r, &event, depth, tail) : read_node(r, &event, depth, tail);
        if (rc) return rc;
    }
}

/* Consumes the event, also on failure. `depth` counts the collections around the node. */
static int read_node(reader *r, yaml_event_t *event, size_t depth, kb_yaml_node **out)
{
    yaml_mark_t mark = event->start_mark;
    yaml_event_type_t type = event->type;
    int rc = refuse_features(r, event);
    if (!rc && type == YAML_SCALAR_EVENT) rc = read_scalar(r, event, out);
    yaml_event_delete(event);
    if (rc || type == YAML_SCALAR_EVENT) return rc;
    if (depth == MAX_DEPTH) return fail(r, mark, "nested more than %d deep", MAX_DEPTH);
    bool mapping = type == YAML_MAPPING_START_EVENT;
    *out = new_node(r, mapping ? KB_YAML_MAPPING : KB_YAML_SEQUENCE, mark, "", 0);
    return read_children(r, *out, depth + 1);
}

static int skip_event(reader *r, yaml_event_type_t *type, yaml_mark_t *mark)
{
    yaml_event_t event;
    int rc = next_event(r, &event);
    if (rc) return rc;
    *type = event.type;
    *mark = event.start_mark;
    yaml_event_delete(&event);
    return KB_OK;
}

static int fail_empty(const reader *r)
{
    return fail(r, (yaml_mark_t){0}, r->name ? "the file is empty" : "no value is given");
}

static int read_document(reader *r)
{
    yaml_event_type_t type = YAML_NO_EVENT;
    yaml_mark_t mark;
    int rc = skip_event(r, &type, &mark); /* the stream's start */
    if (!rc) rc = skip_event(r, &type, &mark);
    if (rc) return rc;
    if (type == YAML_STREAM_END_EVENT) return fail_empty(r);

    yaml_event_t event;
    rc = next_event(r, &event);
    if (!rc) rc = read_node(r, &event, 0, &r->yaml->root);
    if (!rc && kb_yaml_is_blank(r->yaml->root)) rc = fail_empty(r);
    if (!rc) rc = skip_event(r, &type, &mark); /* the document's end */
    if (!rc) rc = skip_event(r, &type, &mark);
    if (!rc && type != YAML_STREAM_END_EVENT)
        rc = fail(r, mark, "a second document starts here; a file holds only one");
    return rc;
}

int kb_yaml_parse(const char *name, const char *text, size_t size, kb_yaml **out, kb_err *err)
{
    static const char bom[] = {'\xEF', '\xBB', '\xBF'};
    if (size >= sizeof bom && memcmp(text, bom, sizeof bom) == 0)
        text += sizeof bom, size -= sizeof bom;
    reader r = {.name = name, .text = text, .size = size, .err = err};
    *out = NULL;
    if (size > MAX_BYTES)
        return kb_fail(err, KB_EINVAL, "%s: larger than %d MB", name ? name : "text",
                       MAX_MEGABYTES);
    if (!yaml_parser_initialize(&r.parser))
        return kb_fail(err, KB_ELIMIT, "out of memory for reading YAML");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    r.yaml = kb_xcalloc(1, sizeof *r.yaml);
    int rc = read_document(&r);
    yaml_parser_delete(&r.parser);
    if (rc)
        kb_yaml_destroy(r.yaml);
    else
        *out = r.yaml;
    return rc;
}

int kb_yaml_load(const char *path, kb_yaml **out, kb_err *err)
{
    *out = NULL;
    FILE *file = fopen(path, "rb");
    if (!file) return kb_fail(err, KB_EIO, "%s: cannot open: %s", path, strerror(errno));
    kb_vec(char) text = {0};
    size_t got = 1;
    /* One byte more than allowed is enough to see that there are too many. */
    while (got > 0 && text.count <= MAX_BYTES) {
        if (text.count == text.capacity)
            kb_vec_reserve(&text, text.capacity ? 2 * text.capacity : 16384);
        got = fread(text.data + text.count, 1, text.capacity - text.count, file);
        text.count += got;
    }
    int rc = ferror(file) ? kb_fail(err, KB_EIO, "%s: cannot read: %s", path, strerror(errno))
                          : kb_yaml_parse(path, text.data, text.count, out, err);
    fclose(file);
    kb_vec_free(&text);
    return rc;
}

void kb_yaml_destroy(kb_yaml *yaml)
{
    if (!yaml) return;
    for (block *b = yaml->newest; b;) {
        block *older = b->older;
        free(b);
        b = older;
    }
    free(yaml);
}

const kb_yaml_node *kb_yaml_root(const kb_yaml *yaml)
{
    return yaml->root;
}

const kb_yaml_node *kb_yaml_get(const kb_yaml_node *mapping, const char *key)
{
    if (mapping->kind != KB_YAML_MAPPING) return NULL;
    for (const kb_yaml_node *n = mapping->first; n; n = n->next)
        if (strcmp(n->key->text, key) == 0) return n;
    return NULL;
}

bool kb_yaml_is_blank(const kb_yaml_node *node)
{
    return node->kind == KB_YAML_SCALAR && !node->quoted && node->text[0] == '\0';
}
