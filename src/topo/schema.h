/* The sections of a table as the tree that a file must follow: "cube.noc" and "cube.hbm_ctrl" make
 * a node "cube" with two children. Order is the table's. The tables are borrowed. */
#ifndef KB_TOPO_SCHEMA_H
#define KB_TOPO_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "topo/message.h"
#include "topo/param.h"

typedef struct kb_schema kb_schema;
struct kb_schema {
    const char *name; /* last word of the path; not terminated */
    size_t name_length;
    const kb_section *section; /* null: exists only as the parent of others */
    kb_schema *first;          /* child */
    kb_schema *next;           /* sibling */
};

/* The root stands for the whole file; a section whose path is "" declares its parameters. */
kb_schema *kb_schema_create(const kb_section *sections, size_t count);
void kb_schema_destroy(kb_schema *root);

const kb_schema *kb_schema_child(const kb_schema *schema, const char *name, size_t length);
const kb_param *kb_schema_param(const kb_schema *schema, const char *name, size_t length);
bool kb_schema_is_repeated(const kb_schema *schema);

/* First of the section's parameters, ending with a null name; never null itself. */
const kb_param *kb_schema_params(const kb_schema *schema);

/* "unknown key; did you mean ...?", or the valid keys if none is near. */
void kb_schema_unknown(const kb_schema *schema, const char *key, kb_text *out);

#endif
