/* pe_tcm: the PE's memory. Its ports set the pace of pe_fetch_store; DMA passes at line rate. */
#include "hw/classes.h"
#include "hw/pe/pe_tcm.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"size_mb", KB_PARAM_INT, "MiB", "16", 1, 256, NULL, "capacity"},
    {"reserved_mb", KB_PARAM_INT, "MiB", "4", 0, 256, NULL,
     "upper part, kept for the scheduler's tiles"},
    {"read_bw_gbs", KB_PARAM_REAL, "GB/s", "512", 1e-3, 1e5, NULL, "read port"},
    {"write_bw_gbs", KB_PARAM_REAL, "GB/s", "512", 1e-3, 1e5, NULL, "write port"},
    {0}};

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    kb_tcm_config *config = block;
    uint64_t size = (uint64_t)kb_spec_int(spec, "pe.pe_tcm.size_mb") << 20;
    config->reserved_bytes = (uint64_t)kb_spec_int(spec, "pe.pe_tcm.reserved_mb") << 20;
    if (config->reserved_bytes >= size)
        return kb_spec_reject(spec, "pe.pe_tcm.reserved_mb", err,
                              "the scheduler's part must be smaller than size_mb");
    config->user_bytes = size - config->reserved_bytes;
    config->read_gbs = kb_spec_real(spec, "pe.pe_tcm.read_bw_gbs");
    config->write_gbs = kb_spec_real(spec, "pe.pe_tcm.write_bw_gbs");
    return KB_OK;
}

uint64_t kb_pe_tcm_user_bytes(const kb_machine *m)
{
    return ((const kb_tcm_config *)kb_machine_config(m, KB_PE_TCM))->user_bytes;
}

uint64_t kb_pe_tcm_reserved_bytes(const kb_machine *m)
{
    return ((const kb_tcm_config *)kb_machine_config(m, KB_PE_TCM))->reserved_bytes;
}

const kb_device_class kb_pe_tcm_class = {.kind = KB_PE_TCM,
                                         .help = "the PE's tightly coupled memory",
                                         .params = params,
                                         .config_size = sizeof(kb_tcm_config),
                                         .configure = configure,
                                         .transit = kb_txn_forward};
