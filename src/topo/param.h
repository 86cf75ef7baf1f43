/* Parameter tables: what a section of topology.yaml may contain.
 *
 * Every parameter is declared once, in the file of the component or structure that it configures,
 * with its unit, default, range and one sentence of help. The YAML reader, `--set`, `kernbench list
 * --components` and the topology reference in docs/ are all made from these tables. */
#ifndef KB_TOPO_PARAM_H
#define KB_TOPO_PARAM_H

#include <stdbool.h>
#include <stddef.h>

typedef enum kb_param_type {
    KB_PARAM_INT,  /* integer in [min, max] */
    KB_PARAM_REAL, /* number in [min, max] */
    KB_PARAM_BOOL, /* true or false */
    KB_PARAM_STRING,
    KB_PARAM_CHOICE,     /* one of `choices`, separated by spaces */
    KB_PARAM_INT_LIST,   /* [1, 2, 3]; each in [min, max] */
    KB_PARAM_REAL_LIST,  /* [1.5, 2]; each in [min, max] */
    KB_PARAM_STRING_LIST /* [a, b]; each one of `choices` if given */
} kb_param_type;

typedef struct kb_param {
    const char *name;
    kb_param_type type;
    const char *unit;          /* "ns", "GB/s", "mm", "B", ... or NULL */
    const char *default_value; /* as it would be written in YAML; NULL: must be given */
    double min, max;           /* numbers; both 0: no limit beyond the type's */
    const char *choices;
    const char *help; /* one sentence */
} kb_param;

/* A section: a mapping at `path`, e.g. "cube.hbm_ctrl". A repeated section is a sequence of
 * mappings; its n-th element is addressed as "sip.io_chiplets[n]". */
typedef struct kb_section {
    const char *path;
    const char *help;
    const kb_param *params; /* ends with a null name */
    bool repeated;
} kb_section;

#endif
