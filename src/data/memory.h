/* Contents of the machine's memories, by physical address.
 *
 * What is allocated in the machine is backed by host memory in one block per allocation, zero at
 * first, committed by the operating system only when touched. With numbers switched off nothing is
 * ever added here. */
#ifndef KB_DATA_MEMORY_H
#define KB_DATA_MEMORY_H

#include <stdint.h>

#include "addr/physaddr.h"
#include "addr/vaspace.h"
#include "base/vec.h"

/* `rows` runs of `row_bytes`, `stride` bytes apart, inside one allocation. */
typedef struct kb_piece {
    kb_paddr pa;
    uint32_t rows;
    uint64_t row_bytes, stride;
    kb_vaddr va;         /* under which it was reached; 0: by its physical address */
    unsigned char *host; /* its first byte; null until resolved */
} kb_piece;
typedef kb_vec(kb_piece) kb_pieces;

typedef struct kb_memory_block {
    uint64_t base, bytes;
    unsigned char *host;
} kb_memory_block;

typedef struct kb_memory {
    kb_vec(kb_memory_block) blocks; /* sorted by base, disjoint */
    uint64_t bytes, peak_bytes;
} kb_memory;

void kb_memory_fini(kb_memory *memory);

/* KB_ELIMIT if the host has no room for so much. */
int kb_memory_add(kb_memory *memory, kb_paddr base, uint64_t bytes, kb_err *err);
void kb_memory_remove(kb_memory *memory, kb_paddr base);

/* Host address of `bytes` at `pa`, or NULL if they are not inside one block. */
unsigned char *kb_memory_at(const kb_memory *memory, kb_paddr pa, uint64_t bytes);

/* Find the host addresses of pieces, each inside one block. They hold until the block is removed.
 */
void kb_memory_resolve(const kb_memory *memory, kb_pieces *pieces);

/* Copy between the rows of resolved pieces, in order, and a dense buffer. */
void kb_pieces_gather(const kb_pieces *pieces, void *to);
void kb_pieces_scatter(const kb_pieces *pieces, const void *from);

#endif
