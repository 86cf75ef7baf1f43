#include "hw/hbm_ctrl.h"

#include <stdlib.h>

#include "hw/classes.h"

static const kb_param params[] = {
    {"impl", KB_PARAM_CHOICE, NULL, "pseudo_channels", 0, 0, "pseudo_channels flat",
     "model of every slice: its channels, or one FIFO at the rate of all of them"},
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"pseudo_channels", KB_PARAM_INT, NULL, "8", 1, 1024, NULL, "pseudo-channels of a slice"},
    {"pc_bw_gbs", KB_PARAM_REAL, "GB/s", "32", 1e-3, 1e5, NULL, "peak of one pseudo-channel"},
    {"burst_bytes", KB_PARAM_INT, "B", "256", 1, 65536, NULL,
     "access granularity, and interleaving of addresses over the channels"},
    {"efficiency", KB_PARAM_REAL, NULL, "0.8", 1e-3, 1, NULL, "part of the peak that bursts reach"},
    {"switch_penalty_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL,
     "time a channel loses when it changes between reading and writing"},
    {"refresh_interval_ns", KB_PARAM_REAL, "ns", "0", 0, 1e9, NULL,
     "time between refreshes of a channel; 0: none"},
    {"refresh_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time that a refresh blocks a channel"},
    {"row_bytes", KB_PARAM_INT, "B", "0", 0, 16777216, NULL,
     "row of a bank of one channel; 0: rows are not modelled"},
    {"banks", KB_PARAM_INT, NULL, "16", 1, 4096, NULL, "banks of a channel, one open row in each"},
    {"row_miss_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time to open another row of a bank"},
    {0}};

/* A burst with all that may come before it must fit between two refreshes. */
static int check_refresh(const kb_hbm_config *config, const kb_spec *spec, kb_err *err)
{
    kb_time least = config->refresh + config->burst + config->switch_penalty + config->row_miss;
    if (!config->refresh_interval || config->refresh_interval >= least) return KB_OK;
    return kb_spec_reject(spec, "cube.hbm_ctrl.refresh_interval_ns", err,
                          "a refresh and a burst take %.3f ns, which is longer", kb_time_ns(least));
}

static bool is_power_of_two(uint32_t n)
{
    return (n & (n - 1)) == 0;
}

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    kb_hbm_config *config = block;
    config->channels = (uint32_t)kb_spec_int(spec, "cube.hbm_ctrl.pseudo_channels");
    config->burst_bytes = (uint32_t)kb_spec_int(spec, "cube.hbm_ctrl.burst_bytes");
    config->powers_of_two =
        is_power_of_two(config->channels) && is_power_of_two(config->burst_bytes);
    config->burst_shift = (uint32_t)__builtin_ctz(config->burst_bytes);
    config->burst =
        kb_time_transfer(config->burst_bytes, kb_spec_real(spec, "cube.hbm_ctrl.pc_bw_gbs") *
                                                  kb_spec_real(spec, "cube.hbm_ctrl.efficiency"));
    config->flat_burst = kb_time_transfer(
        config->burst_bytes, config->channels * kb_spec_real(spec, "cube.hbm_ctrl.pc_bw_gbs") *
                                 kb_spec_real(spec, "cube.hbm_ctrl.efficiency"));
    config->switch_penalty = kb_spec_time(spec, "cube.hbm_ctrl.switch_penalty_ns");
    config->refresh_interval = kb_spec_time(spec, "cube.hbm_ctrl.refresh_interval_ns");
    config->refresh = kb_spec_time(spec, "cube.hbm_ctrl.refresh_ns");
    config->row_bytes = (uint64_t)kb_spec_int(spec, "cube.hbm_ctrl.row_bytes");
    config->banks = (uint32_t)kb_spec_int(spec, "cube.hbm_ctrl.banks");
    config->row_miss = kb_spec_time(spec, "cube.hbm_ctrl.row_miss_ns");
    return check_refresh(config, spec, err);
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
    if (config->row_bytes)
        hbm->open_row = kb_xcalloc((size_t)config->channels * config->banks, sizeof(uint64_t));
}

static void fini(kb_device *device)
{
    free(((kb_hbm_ctrl *)device)->open_row);
}

/* Time to open the row of the byte at `offset`, which is open then. */
static kb_time open_row(kb_hbm_ctrl *hbm, const kb_hbm_config *config, uint64_t offset)
{
    uint64_t burst = offset / config->burst_bytes, channel = burst % config->channels;
    uint64_t inside = burst / config->channels * config->burst_bytes; /* of the channel's bytes */
    uint64_t row = inside / config->row_bytes;
    uint64_t *open = &hbm->open_row[channel * config->banks + row % config->banks];
    uint64_t number = row / config->banks + 1;
    if (*open == number) return 0;
    *open = number;
    hbm->row_misses++;
    return config->row_miss;
}

/* Earliest start at or after `start` of something that takes `time` on channel c between two of its
 * refreshes. */
static kb_time avoid_refresh(const kb_hbm_config *config, uint32_t c, kb_time start, kb_time time)
{
    kb_time interval = config->refresh_interval;
    kb_time next = interval * (c + 1) / config->channels;
    if (start >= next) {
        kb_time last = next + (start - next) / interval * interval;
        if (start < last + config->refresh) start = last + config->refresh;
        next = last + interval;
    }
    return start + time > next ? next + config->refresh : start;
}

/* Bursts one by one, the first with what precedes it, around refreshes. */
static kb_time claim_around_refresh(kb_hbm_ctrl *hbm, const kb_hbm_config *config, uint32_t c,
                                    kb_time ready, kb_time before, uint32_t bursts, uint64_t bytes)
{
    kb_link *fifo = &hbm->channel[c].fifo;
    for (uint32_t i = 0; i < bursts; i++) {
        kb_time time = config->burst + (i ? 0 : before);
        kb_time free = fifo->free > ready ? fifo->free : ready;
        kb_time start = avoid_refresh(config, c, free, time);
        fifo->waited += start - ready;
        ready = kb_link_claim(fifo, start, time, i ? 0 : bytes);
    }
    return ready;
}

/* One access per flit: no division if it can be helped. */
static inline uint32_t channel_of(const kb_hbm_config *config, uint64_t offset)
{
    if (config->powers_of_two)
        return (uint32_t)(offset >> config->burst_shift) & (config->channels - 1);
    return (uint32_t)(offset / config->burst_bytes % config->channels);
}

static inline uint32_t bursts_of(const kb_hbm_config *config, uint32_t bytes)
{
    if (bytes <= config->burst_bytes) return 1;
    return (bytes + config->burst_bytes - 1) / config->burst_bytes;
}

/* What a channel loses before a burst of this direction. */
static inline kb_time turn_around(kb_hbm_ctrl *hbm, const kb_hbm_config *config,
                                  kb_hbm_channel *channel, kb_txn_op op)
{
    int last_op = channel->last_op;
    channel->last_op = (int)op;
    if (last_op < 0 || last_op == (int)op) return 0;
    hbm->switches++;
    return config->switch_penalty;
}

/* Queue the bursts of one flit that is ready at `ready`; returns when the last of them ends. */
static kb_time access_flit(kb_hbm_ctrl *hbm, const kb_txn *t, uint32_t flit, kb_time ready)
{
    const kb_hbm_config *config = t->m->config[KB_HBM_CTRL];
    uint64_t offset = kb_txn_flit_offset(t, flit);
    uint32_t bytes = kb_txn_flit_bytes(t, flit);
    uint32_t c = channel_of(config, offset);
    kb_hbm_channel *channel = &hbm->channel[c];
    uint32_t bursts = bursts_of(config, bytes);
    kb_time before = turn_around(hbm, config, channel, t->request.op);
    if (hbm->open_row) before += open_row(hbm, config, offset);
    hbm->bursts += bursts;
    if (config->refresh_interval)
        return claim_around_refresh(hbm, config, c, ready, before, bursts, bytes);
    return kb_link_claim(&channel->fifo, ready, before + bursts * config->burst, bytes);
}

static kb_time commit(kb_device *device, kb_txn *t, uint32_t flit, kb_time when)
{
    kb_hbm_ctrl *hbm = (kb_hbm_ctrl *)device;
    hbm->bytes_written += kb_txn_flit_bytes(t, flit);
    return access_flit(hbm, t, flit, when);
}

/* Whether flits of a run are a burst each, go round the channels, and take nothing else. */
static bool is_stream(const kb_hbm_config *config, const kb_txn *t)
{
    return t->request.rows == 1 && t->flit_bytes == config->burst_bytes && config->powers_of_two &&
           !config->refresh_interval && !config->row_bytes;
}

/* The same as access_flit for all flits of a run, a channel at a time: on each its flits follow
 * each other, so they are released a burst apart. */
static void stream(kb_hbm_ctrl *hbm, kb_txn *t)
{
    const kb_hbm_config *config = t->m->config[KB_HBM_CTRL];
    uint32_t channels = config->channels, c = channel_of(config, t->request.offset);
    uint32_t turns = t->flits / channels, rest = t->flits % channels;
    uint32_t used = turns ? channels : rest, last = rest ? rest - 1 : channels - 1;
    for (uint32_t i = 0; i < used; i++, c = (c + 1) & (channels - 1)) {
        uint32_t bursts = turns + (i < rest);
        uint64_t bytes = (uint64_t)bursts * t->flit_bytes;
        if (i == last) bytes -= t->flit_bytes - t->row_tail;
        kb_hbm_channel *channel = &hbm->channel[c];
        kb_time first = turn_around(hbm, config, channel, t->request.op) + config->burst;
        kb_txn_release(
            t, i,
            kb_link_claim_row(&channel->fifo, t->m->sim->now, first, config->burst, bursts, bytes));
    }
    hbm->bursts += t->flits;
    kb_txn_release_regularly(t, used, t->flits, channels, config->burst);
}

static void request(kb_device *device, kb_txn *t)
{
    kb_hbm_ctrl *hbm = (kb_hbm_ctrl *)device;
    if (is_stream(t->m->config[KB_HBM_CTRL], t)) {
        stream(hbm, t);
    } else {
        for (uint32_t flit = 0; flit < t->flits; flit++)
            kb_txn_release(t, flit, access_flit(hbm, t, flit, t->m->sim->now));
    }
    hbm->bytes_read += t->request.rows * t->request.row_bytes;
}

kb_time kb_hbm_busy(const kb_hbm_ctrl *hbm, const kb_hbm_config *config)
{
    return hbm->bursts * config->burst + hbm->switches * config->switch_penalty +
           hbm->row_misses * config->row_miss;
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
    .fini = fini,
    .transit = kb_txn_forward,
    .receive = kb_txn_commit,
    .commit = commit,
    .request = request,
    .moved = moved};
