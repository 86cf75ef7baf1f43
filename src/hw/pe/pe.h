/* A processing element: HBM <-> pe_dma <-> TCM <-> pe_fetch_store <-> registers <-> engines.
 *
 * The kernel (whatever runs on pe_cpu) issues commands one at a time; each costs pe_cpu its issue
 * time and then pe_scheduler a dispatch. DMA commands go to a channel of pe_dma, products of
 * matrices are cut into tiles (tile.h). Every stage is a FIFO. A PE runs one kernel at a time;
 * starts that come while it is busy queue. State is created on first use. */
#ifndef KB_HW_PE_PE_H
#define KB_HW_PE_PE_H

#include "addr/alloc.h"
#include "addr/vaspace.h"
#include "data/memory.h"
#include "hw/machine.h"
#include "hw/pe/tlb.h"
#include "hw/txn.h"
#include "sim/server.h"

enum { KB_DMA_READ, KB_DMA_WRITE };

/* Virtual channels, which share a DMA channel: of kernels and of communication between PEs. */
typedef enum kb_vc { KB_VC_COMPUTE, KB_VC_COMM, KB_VC_COUNT } kb_vc;

/* A kernel start that pe_cpu has received. `begin` runs when the PE is free. */
typedef struct kb_pe_start {
    struct kb_pe_start *next;
    void (*begin)(void *object, struct kb_pe *pe);
    void *object;
} kb_pe_start;

/* Commands of a virtual channel that wait, in the order in which they came. */
typedef struct kb_dma_queue {
    struct kb_dma_command *head, *tail;
} kb_dma_queue;

/* What the commands of a virtual channel saw; the audit compares their sum with the integrals of
 * the channel that they share. */
typedef struct kb_dma_books {
    uint64_t grants;
    kb_time waited, held; /* sums over transactions: until the grant, and from it to the end */
} kb_dma_books;

/* There are thousands, visited in turn: what goes together lies in one cache line. */
typedef struct kb_pe {
    kb_machine *m;
    int sip, cube, number;
    kb_node dma_node;
    kb_link scheduler; /* dispatches, one after another */
    kb_time cpu_free;  /* pe_cpu issues until then */
    uint64_t commands;

    struct kb_composite *feeding, *last;     /* composites, fed strictly in order */
    struct kb_composite *ahead, *last_ahead; /* that were fed without events (tile_ahead.c) */
    struct kb_tile_token *fed, *last_fed;    /* tiles that have not been fetched, in order */
    kb_time all_fed;       /* until then, tiles of `ahead` are fed as others have been fetched */
    uint32_t staged_tiles; /* fed, and still in the scheduler's part of TCM */
    uint32_t tiles_ahead;  /* of `ahead`, not yet fetched */

    kb_link fetch, gemm; /* the read port of TCM; the matrix engine */
    kb_link store, math; /* the write port; the vector engine */
    kb_alloc tcm;        /* user data; the scheduler's part lies above it */

    uint64_t staged_bytes; /* in the scheduler's part */
    bool awaits_ahead;     /* kb_tile_feed is due when a tile of `ahead` is fetched */
    bool running;          /* pe_cpu: a kernel runs */
    kb_pe_start *start_head, *start_tail;
    uint64_t macs;
    struct kb_dma_command *moving;     /* commands in or before a channel */
    uint64_t dma_arrival;              /* number of the next transaction to queue */
    kb_time dma_began;                 /* first grant of the move whose `done` is being called */
    kb_vc dma_served[2];               /* virtual channel that had the last grant */
    struct kb_txn_route *dma_route[2]; /* that the last transaction took, or null */
    kb_server dma[2];                  /* read and write channel */
    kb_dma_queue dma_queue[2][KB_VC_COUNT];
    kb_dma_books dma_books[2][KB_VC_COUNT];
    uint64_t dma_bytes[2];

    uint64_t macs_by_size[4]; /* by log2 of the operands' bytes */
    kb_tlb tlb;               /* empty until a miss costs something */
    uint64_t tlb_hits, tlb_misses;
    struct kb_ipcq_block *ipcq;     /* ends of rings that are installed here (pe_ipcq.h) */
    struct kb_ipcq_signal *signals; /* that have come or are waited for (pe_signal.h) */
    uint32_t signal_epoch;          /* how often they were reset */
    char name[40];                  /* "sip0.cube2.pe5" */
} kb_pe;

kb_pe *kb_pe_create(kb_machine *m, int sip, int cube, int number);
void kb_pe_destroy(kb_pe *pe);

/* ---- pe_cpu ---- */

/* Begin a kernel now, or when those before it have ended. */
void kb_pe_cpu_start(kb_pe *pe, kb_pe_start *start);
void kb_pe_cpu_end(kb_pe *pe);

/* Issue a command as soon as pe_cpu is free: fn(sim, object, arg) runs when pe_scheduler dispatches
 * it. Returns when pe_cpu is free to go on. */
kb_time kb_pe_issue(kb_pe *pe, kb_event_fn dispatch, void *object, uint64_t arg);

/* The time at which the kernel of the PE is: until pe_cpu has issued its commands it can be ahead
 * of the simulation's, which it need not wait for to issue the next. */
kb_time kb_pe_now(const kb_pe *pe);

/* ---- pe_mmu and pe_dma ---- */

/* A rectangle of bytes in virtual memory. */
typedef struct kb_va_region {
    kb_vaddr va;
    uint32_t rows;
    uint64_t row_bytes, stride;
} kb_va_region;

/* Translate a region for a PE, appending its contiguous physical pieces in order. KB_EFAULT names
 * the PE and the first address that is not mapped. Time for this is charged by kb_pe_dma. */
int kb_pe_translate(kb_pe *pe, const kb_va_region *region, kb_pieces *pieces, kb_err *err);

/* Move the pieces, one transaction after another, through the read or write channel; then call
 * done(sim, object, arg). Takes over the pieces. Call when the command is dispatched. */
void kb_pe_dma_vc(kb_pe *pe, int direction, kb_vc vc, kb_pieces *pieces, kb_event_fn done,
                  void *object, uint64_t arg);

static inline void kb_pe_dma(kb_pe *pe, int direction, kb_pieces *pieces, kb_event_fn done,
                             void *object, uint64_t arg)
{
    kb_pe_dma_vc(pe, direction, KB_VC_COMPUTE, pieces, done, object, arg);
}

/* An atomic operation on the pieces (atomic.h), one after another, through the write channel, which
 * each holds until its old values are back. `operands` as there. perform(sim, object, 0) when the
 * last piece takes place, done(sim, object, 0) at the end. */
void kb_pe_dma_atomic(kb_pe *pe, uint32_t operands, kb_pieces *pieces, kb_event_fn perform,
                      kb_event_fn done, void *object);

/* Events of a transfer: the last flit of a write has left the TCM; its last byte is committed (both
 * may be null); the transfer is complete. Each is called with `object` and `arg`. */
typedef struct kb_dma_post {
    kb_event_fn left, committed, done;
    void *object;
    uint64_t arg;
    uint64_t chunk;                                  /* bytes of a transaction at most; 0: all */
    void (*watch)(void *watcher, const kb_txn *txn); /* as in a kb_txn_request; or null */
    void *watcher;
} kb_dma_post;

/* Move one piece of one row, given by its physical address and so not translated, on vc_comm: in
 * one transaction, or in chunks that follow one another, each arbitrated anew. */
void kb_pe_dma_physical(kb_pe *pe, int direction, const kb_piece *piece, const kb_dma_post *post);

/* ---- engines ---- */

kb_time kb_pe_fetch_time(const kb_machine *m, uint64_t bytes); /* TCM -> registers */
kb_time kb_pe_store_time(const kb_machine *m, uint64_t bytes); /* registers -> TCM */

typedef struct kb_gemm_tile {
    uint32_t m, k, n;
} kb_gemm_tile;

kb_gemm_tile kb_pe_gemm_tile(const kb_machine *m);
/* Time of one tile; `last` tiles of an accumulation pay the pipeline depth. */
kb_time kb_pe_gemm_time(const kb_machine *m, kb_gemm_tile tile, uint32_t element_bytes, bool last);
/* Peak multiply-accumulates per second, for operands of that size. */
double kb_pe_gemm_peak(const kb_machine *m, uint32_t element_bytes);

/* Time of `elements` at `passes` per element, plus the tree of a reduction. */
kb_time kb_pe_math_time(const kb_machine *m, uint64_t elements, uint32_t passes,
                        uint32_t element_bytes, bool reduction);

/* Whole cycles of the vector engine's clock that fit into the time. */
uint64_t kb_pe_cycles(const kb_machine *m, kb_time time);

/* Lanes times cycles that fit into the time; lanes are those for 16-bit elements. */
double kb_pe_math_lane_cycles(const kb_machine *m, kb_time busy);

/* Bring the read port of TCM, pe_gemm and the count of multiply-accumulates up to now, before
 * reading them. */
void kb_pe_settle(kb_pe *pe);

/* The read port, to be claimed now by others than tiles that are fed. */
static inline kb_link *kb_pe_fetch_port(kb_pe *pe)
{
    if (pe->m->sim->now < pe->all_fed) kb_pe_settle(pe);
    return &pe->fetch;
}

static inline kb_time kb_pe_claim_fetch(kb_pe *pe, kb_time time, uint64_t bytes)
{
    return kb_link_claim(kb_pe_fetch_port(pe), pe->m->sim->now, time, bytes);
}

uint64_t kb_pe_tcm_user_bytes(const kb_machine *m);
uint64_t kb_pe_tcm_reserved_bytes(const kb_machine *m);
uint32_t kb_pe_tile_queue(const kb_machine *m);

#endif
