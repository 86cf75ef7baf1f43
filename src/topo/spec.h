/* The checked specification of a machine: every parameter's value, from topology.yaml, `--set`
 * overrides and defaults, in this order of precedence: --set, file, default.
 *
 * kb_spec_load accepts only what the sections' tables declare. An error names file:line:column, the
 * key, what was expected, what was found, and the nearest valid key for an unknown one. After
 * loading, the getters cannot fail: asking for a parameter that no table declares is a programming
 * error and asserts. Getters search by name; call them when building, not when simulating. */
#ifndef KB_TOPO_SPEC_H
#define KB_TOPO_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "sim/time.h"
#include "topo/param.h"

typedef struct kb_spec kb_spec;

typedef struct kb_spec_source {
    const char *path;        /* of the YAML file */
    const char *const *sets; /* "sip.cube_mesh.w=8", applied in order after the file */
    size_t set_count;
    const kb_section *sections; /* all that may appear */
    size_t section_count;
} kb_spec_source;

int kb_spec_load(kb_spec **out, const kb_spec_source *source, kb_err *err);
void kb_spec_destroy(kb_spec *spec);

const char *kb_spec_path(const kb_spec *spec); /* of the file it came from */

/* Full paths: "cube.hbm_ctrl.pseudo_channels", "sip.io_chiplets[1].side". */
int64_t kb_spec_int(const kb_spec *spec, const char *path);
double kb_spec_real(const kb_spec *spec, const char *path); /* INT parameters too */
bool kb_spec_bool(const kb_spec *spec, const char *path);
const char *kb_spec_string(const kb_spec *spec, const char *path); /* STRING and CHOICE */
kb_time kb_spec_time(const kb_spec *spec, const char *path); /* a REAL in ns, as picoseconds */

/* Number of elements of a list parameter, or of a repeated section. */
size_t kb_spec_count(const kb_spec *spec, const char *path);
int64_t kb_spec_list_int(const kb_spec *spec, const char *path, size_t index);
double kb_spec_list_real(const kb_spec *spec, const char *path, size_t index);
const char *kb_spec_list_string(const kb_spec *spec, const char *path, size_t index);

/* Report a value that is well-formed alone but wrong in combination: writes
 * "file:line:column: path: message" (or "--set path=value: message", or "path (default): message",
 * wherever the value came from) and returns KB_EINVAL. */
int kb_spec_reject(const kb_spec *spec, const char *path, kb_err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Whether a parameter has been given, in the file or by --set. Of several that do not fit together
 * the first one that has been is to blame. */
bool kb_spec_given(const kb_spec *spec, const char *path);

/* Sections as given at loading, for listing. */
const kb_section *kb_spec_sections(const kb_spec *spec, size_t *count);

#endif
