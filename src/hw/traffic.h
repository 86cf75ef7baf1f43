/* Kinds of links, for totals of traffic. Links between other parts (a router and what hangs off it)
 * are of no kind. */
#ifndef KB_HW_TRAFFIC_H
#define KB_HW_TRAFFIC_H

#include "topo/graph.h"

typedef enum kb_traffic {
    KB_TRAFFIC_NOC,    /* between routers */
    KB_TRAFFIC_XBAR,   /* into and out of crossbars */
    KB_TRAFFIC_UCIE,   /* between dies */
    KB_TRAFFIC_PCIE,   /* between host and SIPs */
    KB_TRAFFIC_FABRIC, /* between SIPs, or to and from their switch */
    KB_TRAFFIC_COUNT,
    KB_TRAFFIC_NONE = KB_TRAFFIC_COUNT
} kb_traffic;

/* Of the link between two nodes. */
kb_traffic kb_traffic_between(const kb_graph *g, kb_node from, kb_node to);

#endif
