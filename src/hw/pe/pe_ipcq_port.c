#include "hw/pe/pe_ipcq_priv.h"

#include <assert.h>
#include <string.h>

void kb_ipcq_attach(kb_ipcq_block *block)
{
    block->next = block->pe->ipcq;
    block->pe->ipcq = block;
}

void kb_ipcq_detach(kb_ipcq_block *block)
{
    kb_ipcq_block **at = &block->pe->ipcq;
    while (*at && *at != block) at = &(*at)->next;
    if (*at) *at = block->next;
}

kb_ipcq_port *kb_ipcq_find(const kb_pe *pe, const char *direction)
{
    for (kb_ipcq_block *block = pe->ipcq; block; block = block->next)
        for (uint32_t i = 0; i < block->count; i++)
            if (!block->ports[i].closed && !strcmp(block->ports[i].name, direction))
                return &block->ports[i];
    return NULL;
}

kb_ipcq_port *kb_ipcq_find_by_address(const kb_pe *pe, kb_paddr at)
{
    for (kb_ipcq_block *block = pe->ipcq; block; block = block->next) {
        uint64_t bytes = (uint64_t)block->shape->n_slots * block->shape->slot_bytes;
        for (uint32_t i = 0; i < block->count; i++)
            if (at.bits - block->ports[i].rx.bits < bytes) return &block->ports[i];
    }
    return NULL;
}

kb_paddr kb_ipcq_register_of(const kb_ipcq_port *port)
{
    const kb_pe *pe = port->block->pe;
    const kb_addr_layout *layout = &pe->m->layout;
    uint64_t number = port->block->registers + (uint64_t)(port - port->block->ports);
    uint64_t room = layout->unit_bytes[KB_UNIT_PE_IPCQ] / KB_IPCQ_REGISTER_BYTES;
    kb_location where = {.sip = (uint32_t)pe->sip,
                         .die_kind = KB_DIE_CUBE,
                         .die = (uint32_t)pe->cube,
                         .unit = KB_UNIT_PE_IPCQ,
                         .index = (uint32_t)pe->number,
                         .offset = number % room * KB_IPCQ_REGISTER_BYTES};
    kb_paddr address = {0};
    int status = kb_paddr_encode(layout, &where, &address, NULL);
    assert(!status); /* a PE of this machine, and an offset within the unit */
    (void)status;
    return address;
}

kb_ipcq_port *kb_ipcq_find_by_register(const kb_pe *pe, kb_paddr at)
{
    for (kb_ipcq_block *block = pe->ipcq; block; block = block->next) {
        if (!block->count) continue; /* a PE of a plan in which it has no neighbours */
        uint64_t first = kb_ipcq_register_of(&block->ports[0]).bits;
        uint64_t number = (at.bits - first) / KB_IPCQ_REGISTER_BYTES;
        if (at.bits >= first && number < block->count) return &block->ports[number];
    }
    return NULL;
}

int kb_ipcq_credit_time(kb_machine *m, const kb_pe *from, const kb_pe *to, uint32_t bytes,
                        kb_time *time, kb_err *err)
{
    const kb_graph *g = m->graph;
    kb_node a = kb_graph_pe(g, from->sip, from->cube, from->number, KB_PE_IPCQ);
    kb_node b = kb_graph_pe(g, to->sip, to->cube, to->number, KB_PE_IPCQ);
    int status = kb_route(g, a, b, &m->path, err);
    if (status) {
        kb_fail_at(err, "no way for credits from %s to %s", from->name, to->name);
        return status;
    }
    double slowest = 1e300;
    for (size_t i = 0; i < m->path.edges.count; i++) {
        double gbs = kb_graph_edge_info(g, m->path.edges.data[i])->gbs;
        if (gbs < slowest) slowest = gbs;
    }
    *time = kb_path_command_time(g, &m->path) + kb_time_transfer(bytes, slowest);
    return KB_OK;
}

static int check_open(const kb_ipcq_port *port, kb_err *err)
{
    const kb_ipcq_port *peer = port->peer;
    if (!peer->closed) return KB_OK;
    return kb_fail(err, KB_EINVAL,
                   "%s: direction %s leads to %s, whose direction %s has been replaced by another "
                   "plan; install a plan that has both ends",
                   port->block->pe->name, port->name, peer->block->pe->name, peer->name);
}

int kb_ipcq_open(kb_ipcq_port *port, bool out, kb_ipcq_ring **ring, kb_err *err)
{
    int status = check_open(port, err);
    if (status) return status;
    *ring = out ? port->out : port->in;
    if (*ring) return KB_OK;
    kb_ipcq_port *from = out ? port : port->peer, *to = from->peer;
    const kb_ipcq_shape *shape = port->block->shape;
    kb_time time;
    status = kb_ipcq_credit_time(port->block->pe->m, to->block->pe, from->block->pe,
                                 shape->credit_bytes, &time, err);
    if (status) return status;
    kb_ipcq_ring *made = kb_xcalloc(1, sizeof *made + shape->n_slots * sizeof made->slots[0]);
    made->from = from;
    made->to = to;
    made->credit_time = time;
    from->out = to->in = *ring = made;
    return KB_OK;
}

uint32_t kb_ipcq_unread(const kb_ipcq_ring *ring)
{
    const kb_ipcq_message *last = NULL;
    uint32_t count = 0;
    for (uint64_t n = ring->taken; n < ring->sent; n++) {
        const kb_ipcq_slot *slot = &ring->slots[n % kb_ipcq_shape_of(ring)->n_slots];
        if (slot->message != last) count++;
        last = slot->message;
    }
    for (const kb_ipcq_message *m = ring->sends; m; m = m->next) count += m != last;
    return count;
}

uint32_t kb_ipcq_full(const kb_ipcq_ring *ring)
{
    return (uint32_t)(ring->sent - ring->released);
}

bool kb_ipcq_at_rest(const kb_ipcq_ring *ring)
{
    return !ring->under_way && !ring->polling && !ring->sends && !ring->receives;
}
