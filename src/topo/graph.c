#include "topo/graph.h"

#include <assert.h>

/* Name of each kind, and the section of topology.yaml that configures it. */
static const struct {
    const char *name, *section;
} kinds[KB_KIND_COUNT] = {
    [KB_HOST] = {"host", "system.host"},
    [KB_SWITCH] = {"switch", "system.switch"},
    [KB_PCIE_EP] = {"pcie_ep", "io.pcie_ep"},
    [KB_IO_CPU] = {"io_cpu", "io.io_cpu"},
    [KB_IO_NOC] = {"io_noc", "io.io_noc"},
    [KB_IO_UCIE] = {"io_ucie", "io.ucie"},
    [KB_M_CPU] = {"m_cpu", "cube.m_cpu"},
    [KB_ROUTER] = {"router", "cube.noc"},
    [KB_UCIE] = {"ucie", "cube.ucie"},
    [KB_XBAR] = {"xbar", "cube.xbar"},
    [KB_BRIDGE] = {"bridge", "cube.bridge"},
    [KB_HBM_CTRL] = {"hbm_ctrl", "cube.hbm_ctrl"},
    [KB_SRAM] = {"sram", "cube.sram"},
    [KB_UAL_EP] = {"ual_ep", "io.ual_ep"},
    [KB_PE_CPU] = {"pe_cpu", "pe.pe_cpu"},
    [KB_PE_SCHEDULER] = {"pe_scheduler", "pe.pe_scheduler"},
    [KB_PE_DMA] = {"pe_dma", "pe.pe_dma"},
    [KB_PE_FETCH_STORE] = {"pe_fetch_store", "pe.pe_fetch_store"},
    [KB_PE_GEMM] = {"pe_gemm", "pe.pe_gemm"},
    [KB_PE_MATH] = {"pe_math", "pe.pe_math"},
    [KB_PE_TCM] = {"pe_tcm", "pe.pe_tcm"},
    [KB_PE_MMU] = {"pe_mmu", "pe.pe_mmu"},
    [KB_PE_IPCQ] = {"pe_ipcq", "pe.pe_ipcq"},
};

const char *kb_kind_name(kb_kind kind)
{
    return kinds[kind].name;
}

const char *kb_kind_section(kb_kind kind)
{
    return kinds[kind].section;
}

static uint32_t system_nodes(const kb_graph *graph)
{
    return (uint32_t)graph->system.nodes.count;
}

static uint32_t system_edges(const kb_graph *graph)
{
    return (uint32_t)graph->system.edges.count;
}

kb_place kb_graph_place(const kb_graph *graph, kb_node node)
{
    if (node < system_nodes(graph)) return (kb_place){.sip = -1, .local = (uint16_t)node};
    uint32_t sip = (node - system_nodes(graph)) / graph->sip_nodes;
    uint32_t rest = (node - system_nodes(graph)) % graph->sip_nodes;
    uint32_t cubes = (uint32_t)kb_graph_cubes(graph);
    uint32_t die = rest / (uint32_t)graph->cube.nodes.count;
    if (die >= cubes)
        for (die = cubes; (int)die + 1 < graph->dies && graph->die_node[die + 1] <= rest;) die++;
    return (kb_place){(int)sip, (int)die, (uint16_t)(rest - graph->die_node[die])};
}

kb_node kb_graph_node(const kb_graph *graph, kb_place place)
{
    if (place.sip < 0) return place.local;
    return system_nodes(graph) + (uint32_t)place.sip * graph->sip_nodes +
           graph->die_node[place.die] + place.local;
}

const kb_die_type *kb_graph_die_type(const kb_graph *graph, kb_place place)
{
    if (place.sip < 0) return &graph->system;
    int io = place.die - kb_graph_cubes(graph);
    return io < 0 ? &graph->cube : &graph->io[io];
}

const kb_node_info *kb_graph_info(const kb_graph *graph, kb_node node)
{
    kb_place place = kb_graph_place(graph, node);
    return &kb_graph_die_type(graph, place)->nodes.data[place.local];
}

const kb_edge_info *kb_graph_edge_info(const kb_graph *graph, kb_edge edge)
{
    if (edge < system_edges(graph)) return &graph->system.edges.data[edge];
    uint32_t rest = (edge - system_edges(graph)) % graph->sip_edges;
    uint32_t cubes = (uint32_t)kb_graph_cubes(graph);
    uint32_t per_cube = (uint32_t)graph->cube.edges.count;
    if (rest < cubes * per_cube) return &graph->cube.edges.data[rest % per_cube];
    int io = graph->ios - 1;
    while (graph->die_edge[(int)cubes + io] > rest) io--;
    return &graph->io[io].edges.data[rest - graph->die_edge[(int)cubes + io]];
}

static kb_node io_node(const kb_graph *graph, int sip, int io, uint16_t local)
{
    assert(io < graph->ios);
    return kb_graph_node(graph, (kb_place){sip, kb_graph_cubes(graph) + io, local});
}

kb_node kb_graph_host(const kb_graph *graph)
{
    (void)graph;
    return 0;
}

kb_node kb_graph_pcie_ep(const kb_graph *graph, int sip, int io)
{
    return io_node(graph, sip, io, graph->io_plan[io].pcie_ep);
}

kb_node kb_graph_io_cpu(const kb_graph *graph, int sip, int io)
{
    return io_node(graph, sip, io, graph->io_plan[io].io_cpu);
}

kb_node kb_graph_m_cpu(const kb_graph *graph, int sip, int cube)
{
    return kb_graph_node(graph, (kb_place){sip, cube, graph->cube_plan.m_cpu});
}

kb_node kb_graph_slice(const kb_graph *graph, int sip, int cube, int slice)
{
    return kb_graph_node(graph, (kb_place){sip, cube, graph->cube_plan.slice[slice]});
}

kb_node kb_graph_pe(const kb_graph *graph, int sip, int cube, int pe, kb_kind component)
{
    assert(component >= KB_PE_CPU && component <= KB_PE_IPCQ);
    uint16_t local = (uint16_t)(graph->cube_plan.pe[pe] + (component - KB_PE_CPU));
    return kb_graph_node(graph, (kb_place){sip, cube, local});
}

int kb_graph_own_slice(const kb_graph *graph, int pe)
{
    return pe * graph->cube_plan.slices / graph->cube_plan.pes;
}

uint32_t kb_graph_node_count(const kb_graph *graph)
{
    return system_nodes(graph) + (uint32_t)graph->sips * graph->sip_nodes;
}

uint32_t kb_graph_edge_count(const kb_graph *graph)
{
    return system_edges(graph) + (uint32_t)graph->sips * graph->sip_edges;
}
