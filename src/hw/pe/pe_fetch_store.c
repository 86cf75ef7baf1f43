/* pe_fetch_store: moves tiles between TCM and the register file at the rate of the TCM ports.
 * Fetches use the read port, stores the write port; the two do not disturb each other, but
 * transfers of others to and from this TCM use the same ports (pe_tcm.h). */
#include "hw/classes.h"
#include "hw/pe/pe_tcm.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per tile"}, {0}};

typedef struct fetch_store_config {
    kb_time overhead;
} fetch_store_config;

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    ((fetch_store_config *)block)->overhead = kb_spec_time(spec, "pe.pe_fetch_store.overhead_ns");
    return KB_OK;
}

static kb_time overhead(const kb_machine *m)
{
    return ((const fetch_store_config *)kb_machine_config(m, KB_PE_FETCH_STORE))->overhead;
}

kb_time kb_pe_fetch_time(const kb_machine *m, uint64_t bytes)
{
    const kb_tcm_config *tcm = kb_machine_config(m, KB_PE_TCM);
    return overhead(m) + kb_time_transfer(bytes, tcm->read_gbs);
}

kb_time kb_pe_store_time(const kb_machine *m, uint64_t bytes)
{
    const kb_tcm_config *tcm = kb_machine_config(m, KB_PE_TCM);
    return overhead(m) + kb_time_transfer(bytes, tcm->write_gbs);
}

const kb_device_class kb_pe_fetch_store_class = {
    .kind = KB_PE_FETCH_STORE,
    .help = "moves tiles between TCM and the register file",
    .params = params,
    .config_size = sizeof(fetch_store_config),
    .configure = configure,
    .transit = kb_txn_forward};
