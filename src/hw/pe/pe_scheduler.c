#include "hw/pe/pe_scheduler.h"

#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "1", 0, 1e6, NULL, "time to dispatch a command"},
    {"tile_queue", KB_PARAM_INT, NULL, "32", 1, 65536, NULL,
     "tiles of a composite that are under way ahead of the fetch stage"},
    {0}};

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    kb_scheduler_config *config = block;
    config->dispatch = kb_spec_time(spec, "pe.pe_scheduler.overhead_ns");
    config->tile_queue = (uint32_t)kb_spec_int(spec, "pe.pe_scheduler.tile_queue");
    return KB_OK;
}

uint32_t kb_pe_tile_queue(const kb_machine *m)
{
    return ((const kb_scheduler_config *)kb_machine_config(m, KB_PE_SCHEDULER))->tile_queue;
}

const kb_device_class kb_pe_scheduler_class = {
    .kind = KB_PE_SCHEDULER,
    .help = "the PE's dispatcher: commands in order, composites cut into tiles",
    .params = params,
    .config_size = sizeof(kb_scheduler_config),
    .configure = configure,
    .transit = kb_txn_forward};
