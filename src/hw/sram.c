/* The cube's shared SRAM: as fast as the link to its router; bytes are committed on arrival and
 * read data leaves as the link takes it. */
#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"size_mb", KB_PARAM_INT, "MiB", "32", 1, 16384, NULL, "capacity per cube"},
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "128", 1e-3, 1e5, NULL,
     "bandwidth to its router, per direction"},
    {0}};

static size_t state_size(const void *config)
{
    (void)config;
    return sizeof(kb_device);
}

static void receive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_txn_written(object, sim->now);
}

static void request(kb_device *device, kb_txn *t)
{
    for (uint32_t flit = 0; flit < t->flits; flit++) kb_txn_release(t, flit, device->m->sim->now);
}

const kb_device_class kb_sram_class = {.kind = KB_SRAM,
                                       .help = "SRAM shared by the PEs of a cube",
                                       .params = params,
                                       .state_size = state_size,
                                       .transit = kb_txn_forward,
                                       .receive = receive,
                                       .request = request};
