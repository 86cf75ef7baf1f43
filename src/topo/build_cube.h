/* Building die templates, and what they are built with. Private to src/topo. */
#ifndef KB_TOPO_BUILD_CUBE_H
#define KB_TOPO_BUILD_CUBE_H

#include "topo/graph.h"

int kb_build_cube(kb_graph *graph, kb_err *err);

/* The template of each IO chiplet (build_io.c); after the cube. */
int kb_build_ios(kb_graph *graph, kb_err *err);

uint16_t kb_die_add_node(const kb_graph *graph, kb_die_type *die, kb_node_info info);
void kb_die_add_edge(const kb_graph *graph, kb_die_type *die, uint16_t from, uint16_t to,
                     double length_mm, double gbs);
/* Both directions, as long as the two are apart (Manhattan). */
void kb_die_join(const kb_graph *graph, kb_die_type *die, uint16_t a, uint16_t b, double gbs);
void kb_die_finish(kb_die_type *die);

/* ---- the mesh of routers (build_noc.c) ---- */

/* Routers and the links among them: the first nodes of the cube's template. */
int kb_noc_build(kb_graph *graph, kb_err *err);

/* The existing router that is nearest to (row, col), counted in rows and columns; equals go to the
 * lower row, then column. */
uint16_t kb_noc_nearest(const kb_cube_plan *plan, int row, int col);

/* The router to which the one at (row, col) is joined on a side, or KB_NO_LOCAL: its neighbour, or
 * with skip links the first one beyond missing ones. */
uint16_t kb_noc_facing(const kb_cube_plan *plan, int row, int col, enum kb_side side);

/* The existing router called `name`, a value of the parameter at `path`; else refused. */
int kb_noc_find(const kb_graph *graph, const char *path, const char *name, uint16_t *router,
                kb_err *err);

/* Fill plan->next and plan->neighbour (noc_table.c). Fails if the routers are not connected. */
int kb_noc_table(kb_graph *graph, kb_err *err);

#endif
