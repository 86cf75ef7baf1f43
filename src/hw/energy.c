#include "hw/energy.h"

#include "hw/pe/pe_tcm.h"

#define PJ(name, help)                                                                             \
    {                                                                                              \
        name, KB_PARAM_REAL, "pJ", "0", 0, 1e9, NULL, help                                         \
    }
#define MW(name, help)                                                                             \
    {                                                                                              \
        name, KB_PARAM_REAL, "mW", "0", 0, 1e9, NULL, help                                         \
    }

const kb_param kb_energy_params[] = {
    {"enabled", KB_PARAM_BOOL, NULL, "false", 0, 0, NULL, "whether energy is reported"},
    PJ("noc_pj_per_byte", "a byte over a link between routers"),
    PJ("xbar_pj_per_byte", "a byte into or out of a crossbar"),
    PJ("ucie_pj_per_byte", "a byte between two dies"),
    PJ("pcie_pj_per_byte", "a byte between the host and a SIP"),
    PJ("fabric_pj_per_byte", "a byte between a SIP and the switch, or another SIP"),
    PJ("hbm_read_pj_per_byte", "a byte read from HBM"),
    PJ("hbm_write_pj_per_byte", "a byte written to HBM"),
    PJ("sram_pj_per_byte", "a byte into or out of a cube's SRAM"),
    PJ("tcm_pj_per_byte", "a byte into or out of a TCM"),
    PJ("mac_8bit_pj", "a multiply-accumulate of 8-bit operands"),
    PJ("mac_16bit_pj", "a multiply-accumulate of 16-bit operands"),
    PJ("mac_32bit_pj", "a multiply-accumulate of 32-bit operands"),
    PJ("mac_64bit_pj", "a multiply-accumulate of 64-bit operands"),
    PJ("math_lane_pj", "a lane of the vector engine for a cycle"),
    MW("pe_static_mw", "static power of a PE"),
    MW("cube_static_mw", "static power of a cube, without its PEs"),
    {0}};

const char *kb_energy_name(int part)
{
    static const char *const names[KB_ENERGY_COUNT] = {"noc",    "xbar",     "ucie",      "pcie",
                                                       "fabric", "hbm_read", "hbm_write", "sram",
                                                       "pe_tcm", "gemm",     "math",      "static"};
    return names[part];
}

static double joules(const kb_spec *spec, const char *path)
{
    return kb_spec_real(spec, path) * 1e-12;
}

kb_energy_config *kb_energy_configure(const kb_spec *spec)
{
    kb_energy_config *config = kb_xcalloc(1, sizeof *config);
    config->enabled = kb_spec_bool(spec, "energy.enabled");
    config->link[KB_TRAFFIC_NOC] = joules(spec, "energy.noc_pj_per_byte");
    config->link[KB_TRAFFIC_XBAR] = joules(spec, "energy.xbar_pj_per_byte");
    config->link[KB_TRAFFIC_UCIE] = joules(spec, "energy.ucie_pj_per_byte");
    config->link[KB_TRAFFIC_PCIE] = joules(spec, "energy.pcie_pj_per_byte");
    config->link[KB_TRAFFIC_FABRIC] = joules(spec, "energy.fabric_pj_per_byte");
    config->hbm_read = joules(spec, "energy.hbm_read_pj_per_byte");
    config->hbm_write = joules(spec, "energy.hbm_write_pj_per_byte");
    config->sram = joules(spec, "energy.sram_pj_per_byte");
    config->tcm = joules(spec, "energy.tcm_pj_per_byte");
    config->mac[0] = joules(spec, "energy.mac_8bit_pj");
    config->mac[1] = joules(spec, "energy.mac_16bit_pj");
    config->mac[2] = joules(spec, "energy.mac_32bit_pj");
    config->mac[3] = joules(spec, "energy.mac_64bit_pj");
    config->lane = joules(spec, "energy.math_lane_pj");
    config->pe_watts = kb_spec_real(spec, "energy.pe_static_mw") * 1e-3;
    config->cube_watts = kb_spec_real(spec, "energy.cube_static_mw") * 1e-3;
    return config;
}

/* ---- adding up ---- */

typedef struct meter {
    kb_machine *m;
    kb_energy *out;
} meter;

static void add_wire(void *user, kb_node from, const kb_edge_info *info, const kb_wire *wire)
{
    (void)info;
    const meter *a = user;
    if (wire->to == KB_NO_NODE) return;
    kb_traffic kind = kb_traffic_between(a->m->graph, from, wire->to);
    if (kind == KB_TRAFFIC_NONE) return;
    a->out->joules[KB_ENERGY_LINKS + (int)kind] +=
        (double)wire->link.bytes * a->m->energy->link[kind];
}

static void add_device(void *user, kb_device *device)
{
    const meter *a = user;
    const kb_energy_config *config = a->m->energy;
    if (!device->class->moved) return;
    kb_moved moved = device->class->moved(device);
    double read = (double)moved.read, written = (double)moved.written;
    switch (device->class->kind) {
    case KB_HBM_CTRL:
        a->out->joules[KB_ENERGY_HBM_READ] += read * config->hbm_read;
        a->out->joules[KB_ENERGY_HBM_WRITE] += written * config->hbm_write;
        break;
    case KB_SRAM:
        a->out->joules[KB_ENERGY_SRAM] += (read + written) * config->sram;
        break;
    default: /* a TCM: its ports are added with its PE */
        a->out->joules[KB_ENERGY_TCM] +=
            (double)((const kb_tcm *)device)->bytes_uncharged * config->tcm;
    }
}

static void add_pe(void *user, kb_pe *pe)
{
    const meter *a = user;
    const kb_energy_config *config = a->m->energy;
    uint64_t through = pe->fetch.bytes + pe->store.bytes;
    uint64_t dma = pe->dma_bytes[KB_DMA_READ] + pe->dma_bytes[KB_DMA_WRITE];
    a->out->joules[KB_ENERGY_TCM] += (double)(through + dma) * config->tcm;
    for (int i = 0; i < 4; i++)
        a->out->joules[KB_ENERGY_GEMM] += (double)pe->macs_by_size[i] * config->mac[i];
    a->out->joules[KB_ENERGY_MATH] += kb_pe_math_lane_cycles(a->m, pe->math.busy) * config->lane;
}

void kb_energy_total(kb_machine *m, kb_energy *out)
{
    const kb_energy_config *config = m->energy;
    const kb_graph *g = m->graph;
    *out = (kb_energy){.total = 0};
    if (!config->enabled) return;
    meter a = {m, out};
    kb_machine_each_wire(m, add_wire, &a);
    kb_machine_each_device(m, add_device, &a);
    kb_machine_each_pe(m, add_pe, &a);
    double cubes = (double)g->sips * kb_graph_cubes(g), seconds = (double)m->sim->now * 1e-12;
    out->joules[KB_ENERGY_STATIC] =
        cubes * (config->cube_watts + g->cube_plan.pes * config->pe_watts) * seconds;
    for (int i = 0; i < KB_ENERGY_COUNT; i++) out->total += out->joules[i];
}
