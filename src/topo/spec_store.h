/* The values of a specification by full path: an open-addressing hash over one array. */
#ifndef KB_TOPO_SPEC_STORE_H
#define KB_TOPO_SPEC_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "topo/param.h"

typedef enum kb_origin_kind { KB_FROM_DEFAULT, KB_FROM_FILE, KB_FROM_SET } kb_origin_kind;

/* Where a value was written, for messages. */
typedef struct kb_origin {
    kb_origin_kind kind;
    size_t line, column; /* in the file */
    const char *set;     /* the whole "path=value"; belongs to the specification */
} kb_origin;

typedef union kb_atom {
    int64_t integer;
    double real;
    bool boolean;
    char *text;
} kb_atom;

typedef struct kb_value {
    char *path;
    const kb_param *param; /* null: a section, of which only count and origin matter */
    kb_atom *atoms;        /* one, or a list's elements */
    size_t count;          /* of atoms, or a repeated section's elements */
    kb_origin origin;
    bool absent; /* forgotten; its place in the hash stays */
} kb_value;

typedef struct kb_spec_store {
    kb_vec(kb_value) values;
    size_t *slots; /* 1 + index into values; 0: free */
    size_t slot_count;
} kb_spec_store;

void kb_spec_store_fini(kb_spec_store *store);

/* The value at the first `length` bytes of `path`, or null; valid until the next put. */
const kb_value *kb_spec_store_find(const kb_spec_store *store, const char *path, size_t length);

/* Replace what is at `path`. Takes over the atoms; copies the path. */
void kb_spec_store_put(kb_spec_store *store, const char *path, kb_value value);

/* Forget everything below "path[...]". Linear. */
void kb_spec_store_forget_elements(kb_spec_store *store, const char *path);

bool kb_param_is_list(const kb_param *param);
bool kb_param_is_text(const kb_param *param); /* its atoms are text */
void kb_atoms_free(const kb_param *param, kb_atom *atoms, size_t count);

#endif
