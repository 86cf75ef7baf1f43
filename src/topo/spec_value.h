/* One parameter's value: what is expected, and how a scalar becomes it. */
#ifndef KB_TOPO_SPEC_VALUE_H
#define KB_TOPO_SPEC_VALUE_H

#include "base/err.h"
#include "topo/message.h"
#include "topo/param.h"
#include "topo/spec_store.h"
#include "topo/yaml.h"

/* Times in ns must fit kb_time: 1e16 ns are 115 days. */
#define KB_LONGEST_NS 1e16

/* False if the parameter's numbers are limited by nothing but their type. */
bool kb_param_limits(const kb_param *param, double *min, double *max);

/* "a number from 0 to 1", "one of N, E, S, W", "a list of integers such as [1, 2]". */
void kb_param_expected(const kb_param *param, kb_text *out);

/* The same for one element of a list. */
void kb_param_expected_element(const kb_param *param, kb_text *out);

/* Next of the words separated by spaces: its start, or null; `length` is in and out (0 at first).
 */
const char *kb_param_next_choice(const char *after, size_t *length);

/* Parse a scalar, or one element of a list. On failure the message is "expected ..., got ...",
 * without a place. */
int kb_atom_parse(const kb_param *param, const kb_yaml_node *node, kb_atom *out, kb_err *err);

/* What was found, for messages: "5", a list, a mapping, nothing. */
void kb_yaml_describe(const kb_yaml_node *node, kb_text *out);

#endif
