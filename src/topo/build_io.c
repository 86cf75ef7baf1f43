/* The templates of the IO chiplets: each has a PHY for every cube of its stretch of an edge. */
#include <stdio.h>
#include <string.h>

#include "topo/build_cube.h"

static enum kb_side side_of(const kb_spec *spec, int io)
{
    char path[64];
    snprintf(path, sizeof path, "sip.io_chiplets[%d].side", io);
    return (enum kb_side)(strchr("NESW", kb_spec_string(spec, path)[0]) - "NESW");
}

/* Chiplets on one edge share its cubes, each a contiguous stretch, in the order in which they are
 * listed; as equal as whole cubes allow. */
static int share_edge(kb_graph *g, int io, kb_err *err)
{
    kb_io_plan *plan = &g->io_plan[io];
    int ahead = 0, sharing = 0;
    plan->side = side_of(g->spec, io);
    for (int other = 0; other < g->ios; other++) {
        if (side_of(g->spec, other) != plan->side) continue;
        sharing++;
        ahead += other < io;
    }
    int cubes = plan->side == KB_NORTH || plan->side == KB_SOUTH ? g->mesh_w : g->mesh_h;
    if (sharing > cubes)
        return kb_spec_reject(g->spec, "sip.io_chiplets", err,
                              "%d IO chiplets are on side %c, where there are %d cubes; each needs "
                              "one of its own",
                              sharing, "NESW"[plan->side], cubes);
    plan->first = ahead * cubes / sharing;
    plan->phys = (ahead + 1) * cubes / sharing - plan->first;
    return KB_OK;
}

static void add_nodes(kb_graph *g, kb_die_type *die, kb_io_plan *plan)
{
    plan->io_noc = kb_die_add_node(g, die, (kb_node_info){.kind = KB_IO_NOC});
    kb_node_info at_wire = {.home = plan->io_noc,
                            .x_mm = kb_spec_real(g->spec, "io.io_noc.link_mm")};
    at_wire.kind = KB_PCIE_EP;
    plan->fabric_ep = plan->pcie_ep = kb_die_add_node(g, die, at_wire);
    at_wire.kind = KB_IO_CPU;
    plan->io_cpu = kb_die_add_node(g, die, at_wire);
    if (kb_spec_bool(g->spec, "io.ual_ep.enabled")) {
        at_wire.kind = KB_UAL_EP;
        plan->fabric_ep = kb_die_add_node(g, die, at_wire);
    }
    plan->ucie = (uint16_t)die->nodes.count;
    at_wire.kind = KB_IO_UCIE;
    for (int p = 0; p < plan->phys * plan->connections; p++) {
        at_wire.a = (uint16_t)(p / plan->connections);
        at_wire.b = (uint16_t)(p % plan->connections);
        kb_die_add_node(g, die, at_wire);
    }
}

static void build_io(kb_graph *g, int io)
{
    const kb_spec *spec = g->spec;
    kb_die_type *die = &g->io[io];
    kb_io_plan *plan = &g->io_plan[io];
    plan->connections = g->cube_plan.connections;
    add_nodes(g, die, plan);
    double gbs = kb_spec_real(spec, "io.io_noc.bw_gbs");
    for (size_t n = plan->pcie_ep; n < die->nodes.count; n++)
        kb_die_join(g, die, plan->io_noc, (uint16_t)n, gbs);
    kb_die_add_edge(g, die, plan->pcie_ep, KB_TO_HOST,
                    kb_spec_real(spec, "system.host_link.length_mm"),
                    kb_spec_real(spec, "system.host_link.bw_gbs"));
    kb_die_add_edge(g, die, plan->fabric_ep, KB_TO_SWITCH,
                    kb_spec_real(spec, "system.fabric.length_mm"),
                    kb_spec_real(spec, "system.fabric.bw_gbs"));
    for (int p = 0; p < plan->phys * plan->connections; p++)
        kb_die_add_edge(g, die, (uint16_t)(plan->ucie + p), KB_TO_PEER,
                        kb_spec_real(spec, "cube.ucie.length_mm"),
                        kb_spec_real(spec, "cube.ucie.bw_gbs"));
    kb_die_finish(die);
}

int kb_build_ios(kb_graph *g, kb_err *err)
{
    for (int io = 0; io < g->ios; io++) {
        int status = share_edge(g, io, err);
        if (status) return status;
        build_io(g, io);
    }
    return KB_OK;
}
