/* Products of matrices, tile by tile.
 *
 * A composite out[M x N] = epilogue(A[M x K] B[K x N]) is cut into ceil(M/m) x ceil(K/k) x
 * ceil(N/n) tiles in the order m, n, k. Each tile is a token that routes itself: DMA_IN (operands
 * that stream from memory) -> FETCH -> GEMM -> after the last k: MATH (the epilogue, if there is
 * one) -> STORE -> DMA_WB (when the result goes to memory). Every stage is a FIFO of the PE, so
 * tiles overlap and a long composite runs at the pace of its slowest stage; tiles are fetched in
 * the order in which they were fed. The accumulator stays in the register file over k.
 *
 * Operands in TCM are pinned: their tiles skip DMA_IN. A dot whose operands and result are all in
 * TCM is the same machinery without DMA; FETCH and GEMM then need no events (tile_ahead.c).
 * Operands of the epilogue come with the last tile of an accumulation: the part that belongs to its
 * result is read and fetched together with A's and B's.
 *
 * A step that needs whole rows (softmax) takes place at once if one tile holds all N columns.
 * Otherwise the results of a block of m rows, after the steps before that one, are stored in the
 * scheduler's part of TCM. When the block's last one is there, the block goes through FETCH -> MATH
 * (this step and those after it) -> STORE -> DMA_WB as a whole, with operands of those steps read
 * just before. Meanwhile the tiles of the next block go on. */
#ifndef KB_HW_PE_TILE_H
#define KB_HW_PE_TILE_H

#include "hw/pe/pe.h"
#include "hw/stages.h"

/* Row-major matrix: in TCM, or in memory at va with rows `stride` bytes apart. */
typedef struct kb_operand {
    bool pinned;
    uint32_t element_bytes;
    kb_vaddr va;
    uint64_t stride;
} kb_operand;

typedef enum kb_step_operand { KB_STEP_ALONE, KB_STEP_ROW, KB_STEP_MATRIX } kb_step_operand;

/* One vector operation of an epilogue. */
typedef struct kb_tile_step {
    uint32_t passes, width; /* per element; bytes of the widest element */
    uint32_t x_bytes;       /* per element of the result that it starts from */
    bool tree;              /* ends in a reduction */
    bool whole_rows;
    kb_step_operand with; /* nothing, a row of N elements, or M x N of them */
    kb_operand operand;
} kb_tile_step;

/* A tile of a composite: where it begins, and how many came before it. */
typedef struct kb_tile_cursor {
    uint32_t m, n, k, number;
} kb_tile_cursor;

/* A composite whose tiles were all fed at once without events (tile_ahead.c): those that the books
 * of its PE do not have yet, because they have not been fetched. */
typedef struct kb_tile_ahead {
    struct kb_composite *next; /* fed after this one, and not wholly fetched */
    kb_tile_cursor first;
    uint32_t tiles;
    kb_time begins, ends; /* fetch of the first and of the last */
    kb_link gemm;         /* free: after the last; busy and waited: of these tiles */
    uint64_t macs;
    struct kb_tile_token *newest; /* of its results; each leads to the one before */
} kb_tile_ahead;

typedef struct kb_composite {
    kb_pe *pe;
    kb_command_label label; /* for the record of stages */
    uint32_t M, K, N;
    uint32_t acc_bytes; /* per element, of an accumulator that is fetched first; 0: none */
    kb_operand a, b, out;
    const kb_tile_step *steps; /* the epilogue; lives as long */
    uint32_t step_count;
    bool b_transposed; /* b is N x K: the rows of its tiles lie along K */
    kb_event_fn done;  /* done(sim, object, arg) when the last result tile is in its place */
    void *object;
    uint64_t arg;

    /* private */
    kb_gemm_tile tile;
    kb_tile_cursor fed;   /* the next tile to feed */
    uint32_t tile_steps;  /* that take place tile by tile; the others on blocks of rows */
    uint64_t tile_bytes;  /* that a tile's streamed operands take in TCM */
    uint64_t step_bytes;  /* and those of its steps, with the last k */
    uint64_t block_bytes; /* that a block of rows takes there, with its operands */
    uint64_t results;     /* result tiles, or blocks of rows, not yet in place */
    struct kb_composite *next;
    kb_tile_ahead ahead;
} kb_composite;

/* Plan the tiles, and check that all of the streamed operands is mapped (KB_EFAULT), and that the
 * scheduler's part of TCM has room for a block of rows if an epilogue needs one (KB_EINVAL). Call
 * it once the composite is filled in, before issuing. */
int kb_composite_check(kb_composite *c, kb_err *err);

/* Dispatch: for kb_pe_issue with the composite as object. It must live until `done`. */
void kb_composite_dispatch(kb_sim *sim, void *composite, uint64_t arg);

/* Size of a tile's record, for the machine's pool of them. */
size_t kb_tile_token_bytes(void);

#endif
