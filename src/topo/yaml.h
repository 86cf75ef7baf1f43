/* YAML files as a tree of nodes that know where they were written.
 *
 * A document owns its nodes and their text; everything reached from kb_yaml_root is valid until
 * kb_yaml_destroy. Accepted is the part of YAML that a configuration needs: one document of
 * mappings with scalar keys, sequences and scalars, nested at most 32 deep in at most 16 MB of
 * UTF-8. Anchors, aliases, tags, further documents, duplicate keys and NUL characters are refused.
 * What a scalar means (number, text) is decided by whoever reads it, not here.
 *
 * Errors read "file:line:column: message"; lines and columns count from 1, columns in characters.
 */
#ifndef KB_TOPO_YAML_H
#define KB_TOPO_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef struct kb_yaml kb_yaml;

typedef enum kb_yaml_kind { KB_YAML_SCALAR, KB_YAML_SEQUENCE, KB_YAML_MAPPING } kb_yaml_kind;

typedef struct kb_yaml_node kb_yaml_node;
struct kb_yaml_node {
    kb_yaml_kind kind;
    bool quoted; /* a scalar in quotes or in block style: text, whatever it looks like */
    size_t line, column;
    const char *text;    /* of a scalar, terminated; otherwise "" */
    kb_yaml_node *key;   /* if the parent is a mapping: a scalar */
    kb_yaml_node *first; /* child of a sequence or mapping */
    kb_yaml_node *next;  /* sibling, in the order of the file */
    size_t count;        /* children */
};

/* KB_EIO if the file cannot be read, KB_EINVAL if its contents are refused. */
int kb_yaml_load(const char *path, kb_yaml **out, kb_err *err);

/* The same for text in memory, which need not be terminated. `name` stands for the file in
 * messages; if null, messages have no position. */
int kb_yaml_parse(const char *name, const char *text, size_t size, kb_yaml **out, kb_err *err);

void kb_yaml_destroy(kb_yaml *yaml);

const kb_yaml_node *kb_yaml_root(const kb_yaml *yaml);

/* The value of `key`, or null. Linear. */
const kb_yaml_node *kb_yaml_get(const kb_yaml_node *mapping, const char *key);

/* Nothing was written where this value should be: "key:" alone. */
bool kb_yaml_is_blank(const kb_yaml_node *node);

#endif
