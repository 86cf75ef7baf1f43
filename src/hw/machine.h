/* A machine: the graph with devices at its nodes and links on its edges.
 *
 * The machine owns the graph, all device and link state, and the simulation's transactions; it
 * borrows the specification and the event kernel. State of links and devices exists per die from
 * the first use on. */
#ifndef KB_HW_MACHINE_H
#define KB_HW_MACHINE_H

#include "addr/pagetable.h"
#include "addr/physaddr.h"
#include "addr/vaspace.h"
#include "base/arena.h"
#include "base/pool.h"
#include "base/vec.h"
#include "hw/device.h"
#include "hw/txn_route.h"
#include "sim/link.h"
#include "topo/route.h"

struct kb_pe;
struct kb_energy_config;
struct kb_buffer;
struct kb_flow;

/* A link in use, and where it has been seen to lead. */
typedef struct kb_wire {
    kb_link link;              /* first: whoever knows the link knows the wire */
    kb_node to;                /* KB_NO_NODE: nothing has gone over it */
    bool several;              /* routes disagree on that, which is an error */
    kb_track track;            /* trains on it */
    struct kb_buffer *buffers; /* at its end, if they are finite (flow.h) */
} kb_wire;

/* State of one die, all of it lazily created. */
typedef struct kb_die_state {
    kb_wire *wires;          /* by local edge */
    kb_device **devices;     /* by local node */
    struct kb_pe **pes;      /* of a cube, by number */
    kb_pagetable *pagetable; /* of a cube, shared by its PEs' MMUs */
} kb_die_state;

/* How long a command takes from one node to another. */
typedef struct kb_command {
    kb_node from, to;
    kb_time time;
} kb_command;

enum { KB_TXN_CLASSES = 12 };

typedef struct kb_machine {
    kb_arena state; /* of links, devices, PEs, transactions and routes */
    kb_sim *sim;
    const kb_spec *spec;
    kb_graph *graph;
    kb_addr_layout layout;
    const kb_device_class *classes[KB_KIND_COUNT]; /* of nodes that are not overridden */
    struct kb_override *overrides;                 /* sorted by node */
    size_t override_count;
    void *config[KB_KIND_COUNT];
    struct kb_energy_config *energy;
    struct kb_flow *flow;       /* finite buffers; null: they are not */
    kb_die_state system, *dies; /* dies: by sip * graph->dies + die */
    kb_path path;               /* scratch for routes */
    const kb_vaspace *va;       /* what is in use, for messages about addresses; or null */

    struct kb_ipcq_state *ipcq;              /* queues between PEs (pe/pe_ipcq.h) */
    kb_pool tiles;                           /* of composites, under way */
    kb_pool dma_commands;                    /* likewise, of pe_dma */
    struct kb_stages *stages;                /* a record of them, or null; borrowed */
    struct kb_txn *txn_free[KB_TXN_CLASSES]; /* by power of two of the hops they have room for */
    struct kb_txn *txns_made;
    kb_txn_routes routes;
    kb_command *commands;  /* a table of some that were asked for */
    bool by_train;         /* transactions become trains where they can (train.h) */
    struct kb_txn *trains; /* under way */
    kb_vec(kb_time) times; /* scratch */
    uint64_t txns_started, txns_completed;
    uint64_t flits_injected, flits_delivered;
    uint64_t flit_hops;                  /* flits times links */
    uint64_t passages, regular_passages; /* of trains over links; of them in a rhythm (passage.h) */
    uint64_t short_flit_hops;            /* those of flits that are not full */

    /* The host's side of synchronised messages (msg.h). */
    uint32_t *launches;              /* by SIP: sent and not completed */
    struct kb_msg *held, *last_held; /* groups that wait for that, and what is behind them */

    /* Kept apart from what links, channels and servers count, for the audit. */
    uint64_t host_bytes[2]; /* by kb_txn_op: requested by the host */
    kb_time waited;         /* for links, by transactions that have completed */
} kb_machine;

int kb_machine_create(kb_machine **out, kb_sim *sim, const kb_spec *spec, kb_err *err);
void kb_machine_destroy(kb_machine *m);

/* All sections of topology.yaml, the structural ones and every component's, into the caller's
 * array. Returns how many there are. */
enum { KB_SECTION_MAX = 64 };
size_t kb_machine_sections(kb_section out[KB_SECTION_MAX]);

/* What a node is: its kind's class, or the one that an override names. */
const kb_device_class *kb_machine_class(const kb_machine *m, kb_node node, kb_kind kind);

const void *kb_machine_config(const kb_machine *m, kb_kind kind);
kb_wire *kb_machine_wire(kb_machine *m, kb_edge edge);
static inline kb_link *kb_machine_link(kb_machine *m, kb_edge edge)
{
    return &kb_machine_wire(m, edge)->link;
}
kb_device *kb_machine_device(kb_machine *m, kb_node node); /* of a class with state */
struct kb_pe *kb_machine_pe(kb_machine *m, int sip, int cube, int pe);
kb_pagetable *kb_machine_pagetable(kb_machine *m, int sip, int cube);

/* Visit what exists, in the order of numbers, all with what has happened up to now. */
typedef void (*kb_link_visitor)(void *user, kb_edge edge, const kb_edge_info *info,
                                const kb_link *link);
typedef void (*kb_wire_visitor)(void *user, kb_node from, const kb_edge_info *info,
                                const kb_wire *wire);
typedef void (*kb_device_visitor)(void *user, kb_device *device);
typedef void (*kb_pe_visitor)(void *user, struct kb_pe *pe);
void kb_machine_each_link(kb_machine *m, kb_link_visitor visit, void *user);
void kb_machine_each_wire(kb_machine *m, kb_wire_visitor visit, void *user);
void kb_machine_each_device(kb_machine *m, kb_device_visitor visit, void *user);
void kb_machine_each_pe(kb_machine *m, kb_pe_visitor visit, void *user);

/* The memory node behind a physical address (an HBM slice, the SRAM of a cube, the TCM of a PE),
 * and the offset within it. KB_EINVAL for other units and for a SIP or cube that this machine
 * lacks. */
int kb_machine_memory(const kb_machine *m, kb_paddr address, kb_node *node, uint64_t *offset,
                      kb_err *err);

/* Latency of a command from one node to another: T1 and T3 only (law T5). */
kb_time kb_machine_command_time(kb_machine *m, kb_node from, kb_node to);

#endif
