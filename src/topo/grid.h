/* How the SIPs of a tray are arranged: a ring, a torus or a mesh.
 *
 * SIP n stands at x = n mod w, y = n / w; y grows to the south. Neighbours on a ring or torus wrap
 * around, on a mesh they end at the border. A SIP is never its own neighbour: an axis of length one
 * has none. On an axis of length two both directions of a ring lead to the same SIP.
 *
 * The arrangement says who is whose neighbour in collectives. It adds no wires: SIPs reach each
 * other through the switch. */
#ifndef KB_TOPO_GRID_H
#define KB_TOPO_GRID_H

#include "base/err.h"
#include "topo/spec.h"

enum kb_side { KB_NORTH, KB_EAST, KB_SOUTH, KB_WEST };

typedef enum kb_grid_kind { KB_RING_1D, KB_TORUS_2D, KB_MESH_2D } kb_grid_kind;

typedef struct kb_grid {
    kb_grid_kind kind;
    int w, h; /* w x h is the number of SIPs; a ring has h = 1 */
} kb_grid;

enum { KB_NO_SIP = -1 };

/* The parameters of system.sips.grid. */
extern const kb_param kb_grid_params[];

/* Read system.sips.grid. A side length of 0 is computed where only one value is possible; what does
 * not make up system.sips.count is refused. */
int kb_grid_read(kb_grid *out, const kb_spec *spec, kb_err *err);

const char *kb_grid_kind_name(kb_grid_kind kind); /* "torus_2d" */

int kb_grid_x(const kb_grid *grid, int sip);
int kb_grid_y(const kb_grid *grid, int sip);
int kb_grid_sip(const kb_grid *grid, int x, int y);

/* The neighbouring SIP, or KB_NO_SIP. */
int kb_grid_neighbour(const kb_grid *grid, int sip, enum kb_side side);

#endif
