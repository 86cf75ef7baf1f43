#include "hw/sram.h"

#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"size_mb", KB_PARAM_INT, "MiB", "32", 1, 16384, NULL, "capacity per cube"},
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "128", 1e-3, 1e5, NULL,
     "bandwidth to its router, per direction"},
    {"router", KB_PARAM_STRING, NULL, "auto", 0, 0, NULL,
     "router that it hangs off, such as r3c0; auto: in the middle of the first column"},
    {0}};

static size_t state_size(const void *config)
{
    (void)config;
    return sizeof(kb_sram);
}

static kb_time commit(kb_device *device, kb_txn *t, uint32_t flit, kb_time when)
{
    ((kb_sram *)device)->bytes_written += kb_txn_flit_bytes(t, flit);
    return when;
}

static void request(kb_device *device, kb_txn *t)
{
    kb_txn_release(t, 0, device->m->sim->now);
    kb_txn_release_regularly(t, 1, t->flits, 1, 0);
    ((kb_sram *)device)->bytes_read += t->request.rows * t->request.row_bytes;
}

static kb_moved moved(const kb_device *device)
{
    const kb_sram *sram = (const kb_sram *)device;
    return (kb_moved){sram->bytes_read, sram->bytes_written};
}

const kb_device_class kb_sram_class = {.kind = KB_SRAM,
                                       .help = "SRAM shared by the PEs of a cube",
                                       .params = params,
                                       .state_size = state_size,
                                       .transit = kb_txn_forward,
                                       .receive = kb_txn_commit,
                                       .commit = commit,
                                       .request = request,
                                       .moved = moved};
