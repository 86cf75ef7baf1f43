/* pe_tcm: the PE's memory, with a read and a write port.
 *
 * The ports are FIFOs that pe_fetch_store shares with everybody who reaches this memory over the
 * fabric: the DMA engines of other PEs, of any cube and SIP, and the host. Law: a flit of such a
 * transaction that arrives at t holds the write port from max(t, free) for its bytes / bandwidth
 * and is committed then; the flits of a read queue at the read port in order when the request
 * arrives and each is released when it has passed. The PE's own DMA works at line rate and is not
 * charged, neither as the near side of a load or store nor when its own TCM is the target. */
#ifndef KB_HW_PE_PE_TCM_H
#define KB_HW_PE_PE_TCM_H

#include "hw/pe/pe.h"

typedef struct kb_tcm_config {
    uint64_t user_bytes, reserved_bytes;
    double read_gbs, write_gbs;
    kb_time read_flit, write_flit; /* a full flit's time at a port */
} kb_tcm_config;

/* What came over the fabric; loads, stores and tiles of the PE itself are not counted here. */
typedef struct kb_tcm {
    kb_device device;
    kb_pe *pe;
    uint64_t bytes_read, bytes_written;
    uint64_t bytes_uncharged;      /* of these, the own DMA's: not through the ports */
    kb_time read_busy, write_busy; /* part of the ports' busy time */
} kb_tcm;

/* Whether a requester is charged for the ports of the TCM at `tcm`: all but the PE's own DMA. */
bool kb_pe_tcm_charges(const kb_machine *m, kb_node requester, kb_node tcm);

#endif
