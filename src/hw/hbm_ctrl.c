#include "hw/hbm_ctrl.h"

#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"pseudo_channels", KB_PARAM_INT, NULL, "8", 1, 1024, NULL, "pseudo-channels of a slice"},
    {"pc_bw_gbs", KB_PARAM_REAL, "GB/s", "32", 1e-3, 1e5, NULL, "peak of one pseudo-channel"},
    {"burst_bytes", KB_PARAM_INT, "B", "256", 1, 65536, NULL,
     "access granularity, and interleaving of addresses over the channels"},
    {"efficiency", KB_PARAM_REAL, NULL, "0.8", 1e-3, 1, NULL, "part of the peak that bursts reach"},
    {"switch_penalty_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL,
     "time a channel loses when it changes between reading and writing"},
    {0}};

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    kb_hbm_config *config = block;
    config->channels = (uint32_t)kb_spec_int(spec, "cube.hbm_ctrl.pseudo_channels");
    config->burst_bytes = (uint32_t)kb_spec_int(spec, "cube.hbm_ctrl.burst_bytes");
    config->burst =
        kb_time_transfer(config->burst_bytes, kb_spec_real(spec, "cube.hbm_ctrl.pc_bw_gbs") *
                                                  kb_spec_real(spec, "cube.hbm_ctrl.efficiency"));
    config->switch_penalty = kb_spec_time(spec, "cube.hbm_ctrl.switch_penalty_ns");
    return KB_OK;
}

static size_t state_size(const void *config)
{
    const kb_hbm_config *hbm = config;
    return sizeof(kb_hbm_ctrl) + hbm->channels * sizeof(kb_hbm_channel);
}

static void init(kb_device *device, const void *block)
{
    const kb_hbm_config *config = block;
    kb_hbm_ctrl *hbm = (kb_hbm_ctrl *)device;
    for (uint32_t c = 0; c < config->channels; c++) hbm->channel[c].last_op = -1;
}

/* Queue the bursts of one flit; returns when the last of them ends. */
static kb_time access_flit(kb_hbm_ctrl *hbm, const kb_hbm_config *config, const kb_txn *t,
                           uint32_t flit)
{
    uint64_t offset = kb_txn_flit_offset(t, flit);
    uint32_t bytes = kb_txn_flit_bytes(t, flit);
    kb_hbm_channel *channel = &hbm->channel[offset / config->burst_bytes % config->channels];
    uint32_t bursts = (bytes + config->burst_bytes - 1) / config->burst_bytes;
    kb_time time = bursts * config->burst;
    if (channel->last_op != (int)t->request.op) {
        if (channel->last_op >= 0) {
            time += config->switch_penalty;
            hbm->switches++;
        }
        channel->last_op = (int)t->request.op;
    }
    hbm->bursts += bursts;
    return kb_link_claim(&channel->fifo, t->m->sim->now, time, bytes);
}

static void receive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    kb_txn *t = object;
    kb_hbm_ctrl *hbm = (kb_hbm_ctrl *)t->memory;
    uint32_t flit = kb_txn_flit(arg);
    hbm->bytes_written += kb_txn_flit_bytes(t, flit);
    kb_txn_written(t, access_flit(hbm, t->m->config[KB_HBM_CTRL], t, flit));
}

static void request(kb_device *device, kb_txn *t)
{
    kb_hbm_ctrl *hbm = (kb_hbm_ctrl *)device;
    const kb_hbm_config *config = t->m->config[KB_HBM_CTRL];
    for (uint32_t flit = 0; flit < t->flits; flit++)
        kb_txn_release(t, flit, access_flit(hbm, config, t, flit));
    hbm->bytes_read += t->request.rows * t->request.row_bytes;
}

kb_time kb_hbm_busy(const kb_hbm_ctrl *hbm, const kb_hbm_config *config)
{
    return hbm->bursts * config->burst + hbm->switches * config->switch_penalty;
}

static kb_moved moved(const kb_device *device)
{
    const kb_hbm_ctrl *hbm = (const kb_hbm_ctrl *)device;
    return (kb_moved){hbm->bytes_read, hbm->bytes_written};
}

const kb_device_class kb_hbm_ctrl_class = {
    .kind = KB_HBM_CTRL,
    .help = "controller of one HBM slice: pseudo-channels that serve bursts in order of arrival",
    .params = params,
    .config_size = sizeof(kb_hbm_config),
    .configure = configure,
    .state_size = state_size,
    .init = init,
    .transit = kb_txn_forward,
    .receive = receive,
    .request = request,
    .moved = moved};
