/* The machine as a graph: nodes, directed edges, and where they are.
 *
 * All SIPs of a machine are alike, and so are all cubes: the graph keeps one template for a cube
 * and one for each IO chiplet of a SIP and computes everything else, so that a system of a thousand
 * SIPs costs no more to build than one. A node is a number: system nodes first (host, switch), then
 * SIP by SIP, each with its cubes (row by row) and its IO chiplets. Edges are numbered the same
 * way.
 *
 * Every edge is one direction of a full-duplex link; the two directions share nothing. */
#ifndef KB_TOPO_GRAPH_H
#define KB_TOPO_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/vec.h"
#include "sim/time.h"
#include "topo/grid.h"
#include "topo/spec.h"

typedef uint32_t kb_node;
typedef uint32_t kb_edge;
#define KB_NO_NODE UINT32_MAX

typedef enum kb_kind {
    KB_HOST,
    KB_SWITCH,
    KB_PCIE_EP,
    KB_IO_CPU,
    KB_IO_NOC,
    KB_IO_UCIE,
    KB_M_CPU,
    KB_ROUTER,
    KB_UCIE,
    KB_XBAR,
    KB_BRIDGE,
    KB_HBM_CTRL,
    KB_SRAM,
    KB_UAL_EP,
    KB_PE_CPU,
    KB_PE_SCHEDULER,
    KB_PE_DMA,
    KB_PE_FETCH_STORE,
    KB_PE_GEMM,
    KB_PE_MATH,
    KB_PE_TCM,
    KB_PE_MMU,
    KB_PE_IPCQ,
    KB_KIND_COUNT
} kb_kind;

const char *kb_kind_name(kb_kind kind);    /* "hbm_ctrl" */
const char *kb_kind_section(kb_kind kind); /* "cube.hbm_ctrl" */

/* A node of a die template. `a` and `b` are the indices in its name: row and column of a router,
 * side and connection of a UCIe port, slice, PE (first), half of a crossbar, side of a bridge. */
typedef struct kb_node_info {
    kb_kind kind;
    uint16_t a, b;
    uint16_t home; /* local number of the router (or io_noc) through which it meets its die */
    double x_mm, y_mm;
    kb_time overhead; /* T3 */
} kb_node_info;

/* Where an edge leads: a local node, or out of the die. */
enum { KB_TO_PEER = 0xfff0, KB_TO_HOST, KB_TO_SWITCH };

typedef struct kb_edge_info {
    uint16_t from, to;
    double length_mm, gbs;
    kb_time propagation;    /* T1 */
    kb_time flit_occupancy; /* of a full flit, T2 */
} kb_edge_info;

typedef struct kb_die_type {
    kb_vec(kb_node_info) nodes;
    kb_vec(kb_edge_info) edges; /* sorted by `from` once built */
    uint16_t *first_edge;       /* of each node, and one past the end */
} kb_die_type;

enum { KB_MESH_MAX = 16, KB_PE_MAX = 32, KB_SLICE_MAX = 64 };
#define KB_NO_LOCAL 0xffffu

/* What routing and naming need to know of a cube, in local node numbers. */
typedef struct kb_cube_plan {
    int rows, cols, pes, slices, connections;
    bool xbar;       /* HBM behind crossbars; otherwise on the PEs' routers */
    bool skip_links; /* routers that face each other across missing ones are joined */
    double width_mm;
    uint16_t router[KB_MESH_MAX][KB_MESH_MAX]; /* KB_NO_LOCAL where there is none */
    uint8_t *next;                             /* [from][to] -> side, cells row * cols + col */
    uint16_t neighbour[KB_MESH_MAX * KB_MESH_MAX][4]; /* [cell][side] -> router */
    uint16_t ucie[4][KB_MESH_MAX];                    /* [side][connection] */
    uint16_t m_cpu, sram, xbars[2], bridges[2];
    uint16_t slice[KB_SLICE_MAX];
    uint16_t slice_entry[KB_SLICE_MAX]; /* router through which remote traffic reaches it */
    uint16_t pe[KB_PE_MAX];             /* first node of each PE: its pe_cpu */
    uint8_t pe_half[KB_PE_MAX];         /* 0 top, 1 bottom */
    uint8_t pe_west[KB_PE_MAX];         /* bridge it uses: 0 left, 1 right */
} kb_cube_plan;

typedef struct kb_io_plan {
    enum kb_side side;
    int first; /* cube of its edge, from the west or north, that PHY 0 leads to */
    int phys, connections;
    uint16_t pcie_ep, io_cpu, io_noc, ucie; /* ucie: first, phy by phy */
    uint16_t fabric_ep;                     /* joined to the switch: ual_ep, or else pcie_ep */
} kb_io_plan;

typedef struct kb_graph {
    const kb_spec *spec;
    uint32_t flit_bytes;
    double ns_per_mm;
    int sips, mesh_w, mesh_h, ios;
    int dies;     /* of a SIP: cubes, then IO chiplets */
    kb_grid grid; /* of the SIPs */

    kb_die_type system, cube, io[8];
    kb_cube_plan cube_plan;
    kb_io_plan io_plan[8];

    uint32_t sip_nodes, sip_edges; /* of one SIP */
    uint32_t *die_node, *die_edge; /* first of each die, within its SIP */
} kb_graph;

/* The graph borrows the specification. */
int kb_graph_create(kb_graph **out, const kb_spec *spec, kb_err *err);
void kb_graph_destroy(kb_graph *graph);

/* The structural sections of topology.yaml (system, sip, cube); components add theirs. */
extern const kb_section kb_topo_sections[];
extern const size_t kb_topo_section_count;

/* Coordinates of a node. sip is -1 for system nodes; die counts cubes first, then IO chiplets. */
typedef struct kb_place {
    int sip, die;
    uint16_t local;
} kb_place;

kb_place kb_graph_place(const kb_graph *graph, kb_node node);
kb_node kb_graph_node(const kb_graph *graph, kb_place place);
const kb_die_type *kb_graph_die_type(const kb_graph *graph, kb_place place);
const kb_node_info *kb_graph_info(const kb_graph *graph, kb_node node);
const kb_edge_info *kb_graph_edge_info(const kb_graph *graph, kb_edge edge);

static inline int kb_graph_cubes(const kb_graph *graph)
{
    return graph->mesh_w * graph->mesh_h;
}

kb_node kb_graph_host(const kb_graph *graph);
kb_node kb_graph_pcie_ep(const kb_graph *graph, int sip, int io);
kb_node kb_graph_io_cpu(const kb_graph *graph, int sip, int io);
kb_node kb_graph_m_cpu(const kb_graph *graph, int sip, int cube);
kb_node kb_graph_slice(const kb_graph *graph, int sip, int cube, int slice);
kb_node kb_graph_pe(const kb_graph *graph, int sip, int cube, int pe, kb_kind component);

/* The HBM slice that is a PE's own. */
int kb_graph_own_slice(const kb_graph *graph, int pe);

uint32_t kb_graph_node_count(const kb_graph *graph);
uint32_t kb_graph_edge_count(const kb_graph *graph);

#endif
