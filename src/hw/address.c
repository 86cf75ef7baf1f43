#include "hw/address.h"

const kb_param kb_address_params[] = {
    {"sip_bits", KB_PARAM_INT, "bit", "4", 1, 32, NULL, "width of sip_id in a physical address"},
    {"die_bits", KB_PARAM_INT, "bit", "5", 1, 16, NULL, "width of die_id"},
    {"offset_bits", KB_PARAM_INT, "bit", "42", 40, 48, NULL, "width of the offset within a die"},
    {"cube_dies", KB_PARAM_INT, NULL, "16", 1, 4096, NULL, "die_ids that are cubes"},
    {"io_dies", KB_PARAM_INT, NULL, "5", 1, 64, NULL, "die_ids after them that are IO chiplets"},
    {"va_base", KB_PARAM_INT, "B", "0x100000000", 0, 0, NULL, "first virtual address"},
    {"va_gb", KB_PARAM_INT, "GiB", "64", 1, 1048576, NULL, "size of the virtual address space"},
    {0}};

/* The first of the parameters that has been given, or else the last. */
static const char *to_blame(const kb_spec *spec, const char *const *paths)
{
    while (paths[1] && !kb_spec_given(spec, paths[0])) paths++;
    return paths[0];
}

static int check_widths(const kb_machine *m, kb_err *err)
{
    static const char *const widths[] = {"address.sip_bits", "address.die_bits",
                                         "address.offset_bits", NULL};
    static const char *const counts[] = {"address.die_bits", "address.cube_dies", "address.io_dies",
                                         NULL};
    const kb_addr_layout *l = &m->layout;
    uint32_t bits = l->sip_bits + l->die_bits + l->offset_bits;
    if (bits > 64)
        return kb_spec_reject(m->spec, to_blame(m->spec, widths), err,
                              "%u bits of sip_id, %u of die_id and %u of offset are %u; an address "
                              "has at most 64",
                              l->sip_bits, l->die_bits, l->offset_bits, bits);
    if (l->cube_dies + l->io_dies > UINT32_C(1) << l->die_bits)
        return kb_spec_reject(m->spec, to_blame(m->spec, counts), err,
                              "%u bits of die_id are too few for %u cube_dies and %u io_dies",
                              l->die_bits, l->cube_dies, l->io_dies);
    return KB_OK;
}

/* Every SIP, cube and IO chiplet needs a number of its own. */
static int check_counts(const kb_machine *m, kb_err *err)
{
    const kb_addr_layout *l = &m->layout;
    const kb_graph *g = m->graph;
    if (g->sips > INT64_C(1) << l->sip_bits)
        return kb_spec_reject(m->spec, "address.sip_bits", err,
                              "%d SIPs need more than %u bits of sip_id", g->sips, l->sip_bits);
    if (kb_graph_cubes(g) > (int)l->cube_dies)
        return kb_spec_reject(m->spec, "address.cube_dies", err,
                              "a SIP of %d cubes needs at least as many cube die_ids, not %u",
                              kb_graph_cubes(g), l->cube_dies);
    if (g->ios > (int)l->io_dies)
        return kb_spec_reject(
            m->spec, "address.io_dies", err,
            "the %d IO chiplets of sip.io_chiplets need at least as many die_ids, "
            "not %u",
            g->ios, l->io_dies);
    return KB_OK;
}

int kb_address_configure(kb_machine *m, kb_err *err)
{
    const kb_spec *spec = m->spec;
    kb_addr_layout *layout = &m->layout;
    *layout = kb_addr_layout_default();
    layout->sip_bits = (uint32_t)kb_spec_int(spec, "address.sip_bits");
    layout->die_bits = (uint32_t)kb_spec_int(spec, "address.die_bits");
    layout->offset_bits = (uint32_t)kb_spec_int(spec, "address.offset_bits");
    layout->cube_dies = (uint32_t)kb_spec_int(spec, "address.cube_dies");
    layout->io_dies = (uint32_t)kb_spec_int(spec, "address.io_dies");
    layout->hbm_slices_per_cube = (uint32_t)m->graph->cube_plan.slices;
    layout->pes_per_cube = (uint32_t)m->graph->cube_plan.pes;
    uint64_t hbm = (uint64_t)kb_spec_int(spec, "cube.memory_map.hbm_total_gb_per_cube") << 30;
    layout->unit_bytes[KB_UNIT_HBM] = hbm / layout->hbm_slices_per_cube & ~UINT64_C(4095);
    layout->unit_bytes[KB_UNIT_PE_TCM] = (uint64_t)kb_spec_int(spec, "pe.pe_tcm.size_mb") << 20;
    layout->unit_bytes[KB_UNIT_CUBE_SRAM] = (uint64_t)kb_spec_int(spec, "cube.sram.size_mb") << 20;
    int status = check_counts(m, err);
    if (!status) status = check_widths(m, err);
    if (status) return status;
    if (kb_addr_layout_check(layout, err)) /* what the ranges of the parameters leave: nothing */
        return kb_fail_at(err, "%s: address", kb_spec_path(spec));
    return KB_OK;
}
