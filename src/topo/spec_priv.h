/* Inside of a specification, shared by spec.c (asking) and spec_load.c (reading). */
#ifndef KB_TOPO_SPEC_PRIV_H
#define KB_TOPO_SPEC_PRIV_H

#include "topo/spec.h"
#include "topo/spec_store.h"
#include "topo/yaml.h"

struct kb_spec {
    char *path;
    kb_section *sections;
    size_t section_count;
    kb_vec(char *) sets; /* values' origins point here */
    kb_spec_store store;
};

/* kb_spec_load with the file's contents already read; `source->path` only names it. */
int kb_spec_from_yaml(kb_spec **out, const kb_spec_source *source, const kb_yaml *yaml,
                      kb_err *err);

/* Put where the value at `path` was written in front of the message in `err`; return its code. */
int kb_spec_place(const kb_spec *spec, const char *path, const kb_origin *origin, kb_err *err);

#endif
