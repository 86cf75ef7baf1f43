#include "hw/pe/pe_dma.h"

#include <assert.h>
#include <stdlib.h>

#include "hw/classes.h"
#include "hw/pe/pe_mmu.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"outstanding", KB_PARAM_INT, NULL, "1", 1, 4096, NULL,
     "transactions under way at a time, per channel"},
    {0}};

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    ((kb_dma_config *)block)->outstanding = (uint32_t)kb_spec_int(spec, "pe.pe_dma.outstanding");
    return KB_OK;
}

/* A command in its channel. */
typedef struct kb_dma_command {
    struct kb_dma_command *prev, *next;
    kb_pe *pe;
    int direction;
    kb_pieces pieces;
    size_t started; /* pieces */
    kb_waiter turn;
    kb_time queued, granted; /* of the present piece */
    kb_event_fn done;
    void *object;
    uint64_t arg;
} dma_command;

static void forget(dma_command *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        c->pe->moving = c->next;
    if (c->next) c->next->prev = c->prev;
    kb_vec_free(&c->pieces);
    free(c);
}

void kb_pe_dma_fini(kb_pe *pe)
{
    while (pe->moving) forget(pe->moving);
}

static void queue(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dma_command *c = object;
    c->queued = sim->now;
    kb_server_acquire(&c->pe->dma[c->direction], sim, &c->turn);
}

static void piece_done(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dma_command *c = object;
    c->pe->dma_books[c->direction].held += sim->now - c->granted;
    kb_server_release(&c->pe->dma[c->direction], sim);
    if (c->started < c->pieces.count) {
        queue(sim, c, 0);
        return;
    }
    dma_command finished = *c;
    forget(c);
    finished.done(sim, finished.object, finished.arg);
}

static void start_piece(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    dma_command *c = object;
    kb_pe *pe = c->pe;
    c->granted = sim->now;
    pe->dma_books[c->direction].grants++;
    pe->dma_books[c->direction].waited += sim->now - c->queued;
    const kb_piece *piece = &c->pieces.data[c->started++];
    kb_txn_request request = {.op = c->direction == KB_DMA_READ ? KB_TXN_READ : KB_TXN_WRITE,
                              .requester = pe->dma_node,
                              .rows = piece->rows,
                              .row_bytes = piece->row_bytes,
                              .stride = piece->stride,
                              .done = piece_done,
                              .object = c};
    kb_err err = {0};
    int status = kb_machine_memory(pe->m, piece->pa, &request.memory, &request.offset, &err);
    if (!status) status = kb_txn_start(pe->m, &request, &err);
    assert(!status); /* translation only yields memories, and every memory has a route */
    (void)status;
}

void kb_pe_dma(kb_pe *pe, int direction, kb_pieces *pieces, kb_event_fn done, void *object,
               uint64_t arg)
{
    dma_command *c = kb_xcalloc(1, sizeof *c);
    *c = (dma_command){.next = pe->moving,
                       .pe = pe,
                       .direction = direction,
                       .pieces = *pieces,
                       .turn = {.fn = start_piece, .object = c},
                       .done = done,
                       .object = object,
                       .arg = arg};
    if (c->next) c->next->prev = c;
    pe->moving = c;
    *pieces = (kb_pieces){0};
    const kb_mmu_config *mmu = kb_machine_config(pe->m, KB_PE_MMU);
    if (mmu->translation)
        kb_sim_after(pe->m->sim, mmu->translation, queue, c, 0);
    else
        queue(pe->m->sim, c, 0);
}

const kb_device_class kb_pe_dma_class = {.kind = KB_PE_DMA,
                                         .help =
                                             "the PE's DMA engine: one read and one write channel",
                                         .params = params,
                                         .config_size = sizeof(kb_dma_config),
                                         .configure = configure,
                                         .transit = kb_txn_forward};
