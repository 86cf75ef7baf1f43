/* pe_math: a vector unit. cycles = ceil(elements / lanes) x passes, plus log2(lanes) for the tree
 * that ends a reduction; `lanes` is for 16-bit elements, wider ones have fewer, 8-bit ones no more.
 */
#include "hw/classes.h"
#include "hw/pe/pe.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per command"},
    {"ghz", KB_PARAM_REAL, "GHz", "1", 1e-3, 100, NULL, "clock"},
    {"lanes", KB_PARAM_INT, NULL, "128", 4, 65536, NULL, "lanes for 16-bit elements"},
    {0}};

typedef struct math_config {
    kb_time overhead;
    double ghz;
    uint32_t lanes;
} math_config;

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    math_config *config = block;
    config->overhead = kb_spec_time(spec, "pe.pe_math.overhead_ns");
    config->ghz = kb_spec_real(spec, "pe.pe_math.ghz");
    config->lanes = (uint32_t)kb_spec_int(spec, "pe.pe_math.lanes");
    return KB_OK;
}

kb_time kb_pe_math_time(const kb_machine *m, uint64_t elements, uint32_t passes,
                        uint32_t element_bytes, bool reduction)
{
    const math_config *config = kb_machine_config(m, KB_PE_MATH);
    uint32_t lanes = config->lanes;
    if (element_bytes > 2) lanes = lanes * 2 / element_bytes;
    uint64_t cycles = (elements + lanes - 1) / lanes * passes;
    if (reduction)
        for (uint32_t width = 1; width < lanes; width *= 2) cycles++;
    return config->overhead + kb_time_cycles(cycles, config->ghz);
}

uint64_t kb_pe_cycles(const kb_machine *m, kb_time time)
{
    const math_config *config = kb_machine_config(m, KB_PE_MATH);
    return (uint64_t)((double)time * config->ghz / 1000.0);
}

double kb_pe_math_lane_cycles(const kb_machine *m, kb_time busy)
{
    const math_config *config = kb_machine_config(m, KB_PE_MATH);
    return (double)busy * config->ghz / 1000.0 * config->lanes;
}

const kb_device_class kb_pe_math_class = {.kind = KB_PE_MATH,
                                          .help = "the PE's vector engine",
                                          .params = params,
                                          .config_size = sizeof(math_config),
                                          .configure = configure,
                                          .transit = kb_txn_forward};
