/* What libyaml found wrong, in words that say what to do about it. */
#ifndef KB_TOPO_YAML_PROBLEM_H
#define KB_TOPO_YAML_PROBLEM_H

#include <stddef.h>

#include <yaml.h>

/* After a failed yaml_parser_parse on `text`: write the message and return where the problem is. */
yaml_mark_t kb_yaml_problem(const yaml_parser_t *parser, const char *text, size_t size,
                            char *message, size_t message_size);

#endif
