/* The longest ways of a machine: of all routes from a PE's DMA, or from the host, to a memory, the
 * one on which a command takes longest; of equals the one with more wire, then with more links,
 * then the first found.
 *
 * Memories are HBM slices, SRAMs and TCMs. Within a cube every pair is tried. Elsewhere cubes are
 * alike, and so are SIPs: within a SIP one pair of cubes is tried for every displacement (the
 * corners' alone when these are too many), between SIPs first the SIP that is farthest from SIP 0,
 * then either end in turn until nothing changes. */
#ifndef KB_TOPO_LONGEST_H
#define KB_TOPO_LONGEST_H

#include "topo/route.h"

typedef enum kb_scope {
    KB_WITHIN_CUBE,
    KB_WITHIN_SIP,
    KB_BETWEEN_SIPS,
    KB_FROM_HOST,
    KB_SCOPE_COUNT
} kb_scope;

typedef struct kb_longest {
    kb_node from, to; /* KB_NO_NODE if the machine has no such route */
    kb_time command;
    double mm;
    size_t links;
} kb_longest;

/* Fails as kb_route does. */
int kb_longest_route(const kb_graph *graph, kb_scope scope, kb_longest *out, kb_err *err);

#endif
