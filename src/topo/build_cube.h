/* Building a cube's template, and what die templates are built with. Private to src/topo. */
#ifndef KB_TOPO_BUILD_CUBE_H
#define KB_TOPO_BUILD_CUBE_H

#include "topo/graph.h"

int kb_build_cube(kb_graph *graph, kb_err *err);

uint16_t kb_die_add_node(const kb_graph *graph, kb_die_type *die, kb_node_info info);
void kb_die_add_edge(const kb_graph *graph, kb_die_type *die, uint16_t from, uint16_t to,
                     double length_mm, double gbs);
/* Both directions, as long as the two are apart (Manhattan). */
void kb_die_join(const kb_graph *graph, kb_die_type *die, uint16_t a, uint16_t b, double gbs);
void kb_die_finish(kb_die_type *die);

/* Fill plan->next and plan->neighbour (noc_table.c). Fails if the routers are not connected. */
int kb_noc_table(kb_graph *graph, kb_err *err);

#endif
