/* Routes: computed from coordinates (T10), stored for no pair.
 *
 * Inside a cube XY over the routers, columns first, around missing routers by the shortest way in
 * mm (noc_table.c); between cubes XY over the cube mesh; between SIPs and from the host through the
 * IO chiplet that is nearest to the target. A cube is left through the connection nearest to where
 * the route stands (and, when the next die is the last, to where it goes); equals go to the lower
 * number. Two chiplets of a SIP meet over its cubes. Responses travel the reverse of their
 * request's route. */
#ifndef KB_TOPO_ROUTE_H
#define KB_TOPO_ROUTE_H

#include "topo/graph.h"

/* nodes.count == edges.count + 1 unless empty; edge i leads from node i to node i + 1. */
typedef struct kb_path {
    kb_vec(kb_node) nodes;
    kb_vec(kb_edge) edges;
} kb_path;

void kb_path_free(kb_path *path);

/* Replace `path` by the route. Fails only if there is no connection, naming both ends. */
int kb_route(const kb_graph *graph, kb_node from, kb_node to, kb_path *path, kb_err *err);

/* Replace `path` by the same way in the other direction. */
void kb_path_reverse(const kb_graph *graph, kb_path *path);

/* Time of a command without payload along the path: T1 of every link, T3 of every node entered. */
kb_time kb_path_command_time(const kb_graph *graph, const kb_path *path);

#endif
