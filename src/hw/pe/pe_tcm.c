#include "hw/pe/pe_tcm.h"

#include "hw/classes.h"

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
    kb_tcm_config *config = block;
    uint64_t size = (uint64_t)kb_spec_int(spec, "pe.pe_tcm.size_mb") << 20;
    config->reserved_bytes = (uint64_t)kb_spec_int(spec, "pe.pe_tcm.reserved_mb") << 20;
    if (config->reserved_bytes >= size)
        return kb_spec_reject(spec, "pe.pe_tcm.reserved_mb", err,
                              "the scheduler's part must be smaller than size_mb");
    config->user_bytes = size - config->reserved_bytes;
    config->read_gbs = kb_spec_real(spec, "pe.pe_tcm.read_bw_gbs");
    config->write_gbs = kb_spec_real(spec, "pe.pe_tcm.write_bw_gbs");
    config->read_flit = kb_time_transfer(m->graph->flit_bytes, config->read_gbs);
    config->write_flit = kb_time_transfer(m->graph->flit_bytes, config->write_gbs);
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

bool kb_pe_tcm_charges(const kb_machine *m, kb_node requester, kb_node tcm)
{
    kb_place place = kb_graph_place(m->graph, tcm);
    int pe = kb_graph_info(m->graph, tcm)->a;
    return requester != kb_graph_pe(m->graph, place.sip, place.die, pe, KB_PE_DMA);
}

static size_t state_size(const void *config)
{
    (void)config;
    return sizeof(kb_tcm);
}

static void init(kb_device *device, const void *config)
{
    (void)config;
    kb_place place = kb_graph_place(device->m->graph, device->node);
    int pe = kb_graph_info(device->m->graph, device->node)->a;
    ((kb_tcm *)device)->pe = kb_machine_pe(device->m, place.sip, place.die, pe);
}

/* A written flit: through the write port. */
static void receive(kb_sim *sim, void *object, uint64_t arg)
{
    kb_txn *t = object;
    kb_tcm *tcm = (kb_tcm *)t->memory;
    const kb_tcm_config *config = kb_machine_config(t->m, KB_PE_TCM);
    uint32_t bytes = kb_txn_flit_bytes(t, kb_txn_flit(arg));
    kb_time end = sim->now;
    if (t->request.requester != tcm->pe->dma_node) {
        kb_time time = bytes == t->flit_bytes ? config->write_flit
                                              : kb_time_transfer(bytes, config->write_gbs);
        end = kb_link_claim(&tcm->pe->store, sim->now, time, bytes);
        tcm->write_busy += time;
    } else {
        tcm->bytes_uncharged += bytes;
    }
    tcm->bytes_written += bytes;
    kb_txn_written(t, end);
}

/* The flits of a read through the read port, one after another; first those that are full. */
static void release_through_port(kb_tcm *tcm, kb_txn *t)
{
    const kb_tcm_config *config = kb_machine_config(t->m, KB_PE_TCM);
    kb_link *port = kb_pe_fetch_port(tcm->pe);
    kb_time now = t->m->sim->now, time = config->read_flit;
    uint32_t full = kb_txn_full_flits(t);
    if (full) {
        kb_txn_release(
            t, 0, kb_link_claim_row(port, now, time, time, full, (uint64_t)full * t->flit_bytes));
        kb_txn_release_regularly(t, 1, full, 1, time);
        tcm->read_busy += full * time;
    }
    for (uint32_t flit = full; flit < t->flits; flit++) {
        uint32_t bytes = kb_txn_flit_bytes(t, flit);
        time =
            bytes == t->flit_bytes ? config->read_flit : kb_time_transfer(bytes, config->read_gbs);
        kb_txn_release(t, flit, kb_link_claim(port, now, time, bytes));
        tcm->read_busy += time;
    }
}

static void request(kb_device *device, kb_txn *t)
{
    kb_tcm *tcm = (kb_tcm *)device;
    uint64_t bytes = t->request.rows * t->request.row_bytes;
    tcm->bytes_read += bytes;
    if (t->request.requester != tcm->pe->dma_node) {
        release_through_port(tcm, t);
        return;
    }
    tcm->bytes_uncharged += bytes;
    kb_txn_release(t, 0, t->m->sim->now);
    kb_txn_release_regularly(t, 1, t->flits, 1, 0);
}

static kb_moved moved(const kb_device *device)
{
    const kb_tcm *tcm = (const kb_tcm *)device;
    return (kb_moved){tcm->bytes_read, tcm->bytes_written};
}

const kb_device_class kb_pe_tcm_class = {.kind = KB_PE_TCM,
                                         .help = "the PE's tightly coupled memory",
                                         .params = params,
                                         .config_size = sizeof(kb_tcm_config),
                                         .configure = configure,
                                         .state_size = state_size,
                                         .init = init,
                                         .transit = kb_txn_forward,
                                         .receive = receive,
                                         .request = request,
                                         .moved = moved};
