/* Parameter tables as text for people: a reference in Markdown, and a topology.yaml with every
 * parameter at its default and its help above it. The YAML loads back as it is, unless a parameter
 * has no default: those stay commented out, to be filled in, and so does the example of an element
 * of a repeated section. Write errors are left in the stream, for the caller's ferror. */
#ifndef KB_TOPO_PARAMDOC_H
#define KB_TOPO_PARAMDOC_H

#include <stddef.h>
#include <stdio.h>

#include "topo/param.h"

void kb_paramdoc_markdown(FILE *out, const kb_section *sections, size_t count);
void kb_paramdoc_yaml(FILE *out, const kb_section *sections, size_t count);

#endif
