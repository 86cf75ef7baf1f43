/* Products of matrices, tile by tile.
 *
 * A composite out[M x N] = A[M x K] B[K x N] is cut into ceil(M/m) x ceil(K/k) x ceil(N/n) tiles in
 * the order m, n, k. Each tile is a token that routes itself: DMA_IN (operands that stream from
 * memory) -> FETCH -> GEMM -> after the last k: STORE -> DMA_WB (when the result goes to memory).
 * Every stage is a FIFO of the PE, so tiles overlap and a long composite runs at the pace of its
 * slowest stage; tiles are fetched in the order in which they were fed. The accumulator stays in
 * the register file over k.
 *
 * Operands in TCM are pinned: their tiles skip DMA_IN. A dot whose operands and result are all in
 * TCM is the same machinery without DMA. */
#ifndef KB_HW_PE_TILE_H
#define KB_HW_PE_TILE_H

#include "hw/pe/pe.h"

/* Row-major matrix: in TCM, or in memory at va with rows `stride` bytes apart. */
typedef struct kb_operand {
    bool pinned;
    kb_vaddr va;
    uint64_t stride;
    uint32_t element_bytes;
} kb_operand;

typedef struct kb_composite {
    kb_pe *pe;
    uint32_t M, K, N;
    uint32_t acc_bytes; /* per element, of an accumulator that is fetched first; 0: none */
    kb_operand a, b, out;
    kb_event_fn done; /* done(sim, object, arg) when the last result tile is in its place */
    void *object;
    uint64_t arg;

    /* private */
    kb_gemm_tile tile;
    uint32_t fed_m, fed_n, fed_k; /* origin of the next tile to feed */
    uint64_t tile_bytes;          /* that a tile's streamed operands take in TCM */
    uint64_t results;             /* result tiles not yet in place */
    struct kb_composite *next;
} kb_composite;

/* Check that every tile of streamed operands is mapped; call before issuing. */
int kb_composite_check(const kb_composite *c, kb_err *err);

/* Dispatch: for kb_pe_issue with the composite as object. It must live until `done`. */
void kb_composite_dispatch(kb_sim *sim, void *composite, uint64_t arg);

/* Size of a tile's record, for the machine's pool of them. */
size_t kb_tile_token_bytes(void);

#endif
