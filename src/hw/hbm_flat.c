/* An HBM slice without channels: `impl: flat` of hbm_ctrl.
 *
 * One FIFO serves bursts at the rate of all pseudo-channels together, burst / (channels x pc_bw x
 * efficiency), wherever they lie. What a run gains by it is what conflicts between channels cost.
 * The order of bursts, and when reads and writes queue, is as in hbm_ctrl.c; changes of direction,
 * refresh and rows cost nothing. */
#include "hw/classes.h"
#include "hw/hbm_ctrl.h"

typedef struct hbm_flat {
    kb_device device;
    kb_link fifo;
    kb_moved moved;
} hbm_flat;

static size_t state_size(const void *config)
{
    (void)config;
    return sizeof(hbm_flat);
}

/* The bursts of so many bytes. */
static kb_time time_of(const kb_hbm_config *config, uint32_t bytes)
{
    return (bytes + config->burst_bytes - 1) / config->burst_bytes * config->flat_burst;
}

/* Queue the bursts of one flit that is ready at `ready`; returns when the last of them ends. */
static kb_time access_flit(hbm_flat *hbm, const kb_txn *t, uint32_t flit, kb_time ready)
{
    uint32_t bytes = kb_txn_flit_bytes(t, flit);
    kb_time time = time_of(t->m->config[KB_HBM_CTRL], bytes);
    return kb_link_claim(&hbm->fifo, ready, time, bytes);
}

static kb_time commit(kb_device *device, kb_txn *t, uint32_t flit, kb_time when)
{
    hbm_flat *hbm = (hbm_flat *)device;
    hbm->moved.written += kb_txn_flit_bytes(t, flit);
    return access_flit(hbm, t, flit, when);
}

/* The same for the first flits of a read, which are full. */
static uint32_t release_full(hbm_flat *hbm, kb_txn *t, uint32_t flits)
{
    kb_time time = time_of(t->m->config[KB_HBM_CTRL], t->flit_bytes);
    kb_txn_release(t, 0,
                   kb_link_claim_row(&hbm->fifo, t->m->sim->now, time, time, flits,
                                     (uint64_t)flits * t->flit_bytes));
    kb_txn_release_regularly(t, 1, flits, 1, time);
    return flits;
}

static void request(kb_device *device, kb_txn *t)
{
    hbm_flat *hbm = (hbm_flat *)device;
    uint32_t full = kb_txn_full_flits(t), flit = 0;
    if (full) flit = release_full(hbm, t, full);
    for (; flit < t->flits; flit++)
        kb_txn_release(t, flit, access_flit(hbm, t, flit, t->m->sim->now));
    hbm->moved.read += t->request.rows * t->request.row_bytes;
}

static kb_moved moved(const kb_device *device)
{
    return ((const hbm_flat *)device)->moved;
}

const kb_device_class kb_hbm_flat_class = {
    .kind = KB_HBM_CTRL,
    .impl = "flat",
    .help = "HBM slice as one FIFO at the rate of all its channels",
    .state_size = state_size,
    .transit = kb_txn_forward,
    .receive = kb_txn_commit,
    .commit = commit,
    .request = request,
    .moved = moved};
