/* Virtual channels: which buffer at the far end of each of its links payload on a route uses, when
 * buffers are finite (hw/flow.h).
 *
 * A buffer waits for the next one on the route. The numbers given here are such that these waits
 * never close a circle, whatever the routes are that kb_route computes between requesters and
 * memories (docs/adr/0014-virtual-channels.md has the argument, tests/c/test_vchannel.c the proof
 * by enumeration):
 *
 *   - a class by where the payload is bound for: to the neighbouring cube on some side, out of the
 *     SIP, or to its end, which it does when it is in its last cube or has come from outside;
 *   - a detour: how often the route has turned from a column into a row inside this cube. Plain XY
 *     never does; ways around missing routers do.
 *
 * Data of reads travels the reverse of the route, in buffers of its own. It has on each link the
 * virtual channel that the route has on the opposite one. */
#ifndef KB_TOPO_VCHANNEL_H
#define KB_TOPO_VCHANNEL_H

#include "topo/route.h"

/* The first four are as enum kb_side. */
enum {
    KB_TOWARDS_NORTH,
    KB_TOWARDS_EAST,
    KB_TOWARDS_SOUTH,
    KB_TOWARDS_WEST,
    KB_TOWARDS_OUT,
    KB_TOWARDS_END,
    KB_TOWARDS_COUNT
};

typedef uint16_t kb_vchannel; /* detour * KB_TOWARDS_COUNT + class */

/* Of every edge of a route from a requester to a memory: out[i] for edge i. */
void kb_vchannel_assign(const kb_graph *graph, const kb_path *path, kb_vchannel *out);

enum { KB_VCHANNEL_NAME_MAX = 24 };

/* "east", "end", "north, detour 1" */
const char *kb_vchannel_name(kb_vchannel channel, char out[KB_VCHANNEL_NAME_MAX]);

#endif
