/* What the files of pe_ipcq share: pe_ipcq.c moves messages, pe_ipcq_port.c knows the ends of
 * rings, pe_ipcq_audit.c checks the books. */
#ifndef KB_HW_PE_PE_IPCQ_PRIV_H
#define KB_HW_PE_PE_IPCQ_PRIV_H

#include "hw/pe/pe_ipcq.h"

static inline kb_pe *kb_ipcq_sender(const kb_ipcq_ring *ring)
{
    return ring->from->block->pe;
}

static inline kb_pe *kb_ipcq_receiver(const kb_ipcq_ring *ring)
{
    return ring->to->block->pe;
}

static inline kb_ipcq_state *kb_ipcq_state_of(const kb_ipcq_ring *ring)
{
    return kb_ipcq_sender(ring)->m->ipcq;
}

static inline kb_sim *kb_ipcq_sim_of(const kb_ipcq_ring *ring)
{
    return kb_ipcq_sender(ring)->m->sim;
}

static inline const kb_ipcq_shape *kb_ipcq_shape_of(const kb_ipcq_ring *ring)
{
    return ring->from->block->shape;
}

/* The port whose rx ring holds the address, or NULL. */
kb_ipcq_port *kb_ipcq_find_by_address(const kb_pe *pe, kb_paddr at);

/* The address of a port's credit register, and the port behind such an address, or NULL. */
kb_paddr kb_ipcq_register_of(const kb_ipcq_port *port);
kb_ipcq_port *kb_ipcq_find_by_register(const kb_pe *pe, kb_paddr at);

#endif
