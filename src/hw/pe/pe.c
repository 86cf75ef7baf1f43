#include "hw/pe/pe.h"

#include <assert.h>
#include <stdio.h>

#include "hw/pe/pe_dma.h"
#include "hw/pe/pe_signal.h"

kb_pe *kb_pe_create(kb_machine *m, int sip, int cube, int number)
{
    kb_pe *pe = kb_arena_take(&m->state, sizeof *pe);
    pe->m = m;
    pe->sip = sip;
    pe->cube = cube;
    pe->number = number;
    pe->dma_node = kb_graph_pe(m->graph, sip, cube, number, KB_PE_DMA);
    snprintf(pe->name, sizeof pe->name, "sip%d.cube%d.pe%d", sip, cube, number);
    const kb_dma_config *dma = kb_machine_config(m, KB_PE_DMA);
    kb_server_init(&pe->dma[KB_DMA_READ], dma->outstanding);
    kb_server_init(&pe->dma[KB_DMA_WRITE], dma->outstanding);
    pe->dma_served[KB_DMA_READ] = pe->dma_served[KB_DMA_WRITE] = KB_VC_COMM;
    kb_alloc_init(&pe->tcm, pe->name, 0, kb_pe_tcm_user_bytes(m));
    return pe;
}

void kb_pe_destroy(kb_pe *pe)
{
    if (!pe) return;
    kb_pe_dma_fini(pe);
    kb_alloc_fini(&pe->tcm);
    kb_tlb_fini(&pe->tlb);
    kb_signal_fini(pe);
}
