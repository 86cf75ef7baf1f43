/* Contents of the machine's memories, by physical address.
 *
 * The table of blocks belongs to the timing side's thread. Other threads use host addresses that
 * were found before. What is allocated in the machine is backed by host memory in one block per
 * allocation, zero at first, committed by the operating system only when touched. Blocks with the
 * same contents may share that memory with each other and with arrays: whoever writes to a block
 * first makes it its own. With numbers switched off nothing is ever added here. */
#ifndef KB_DATA_MEMORY_H
#define KB_DATA_MEMORY_H

#include <stdint.h>

#include "addr/physaddr.h"
#include "addr/vaspace.h"
#include "base/vec.h"
#include "data/access.h"
#include "data/contents.h"

/* `rows` runs of `row_bytes`, `stride` bytes apart, inside one allocation. */
typedef struct kb_piece {
    kb_paddr pa;
    uint32_t rows;
    uint64_t row_bytes, stride;
    kb_vaddr va;         /* under which it was reached; 0: by its physical address */
    unsigned char *host; /* its first byte; null until the op log has resolved it */
} kb_piece;
typedef kb_vec(kb_piece) kb_pieces;

typedef struct kb_memory_block {
    uint64_t base, bytes;
    kb_contents *contents;
    kb_access_index *accesses; /* of the op log; null: none yet */
    uint64_t written;          /* by the op log, in that period of it; 0: never */
    uint64_t loaded;           /* bytes that were copied out since */
} kb_memory_block;

typedef struct kb_memory {
    kb_vec(kb_memory_block) blocks; /* sorted by base, disjoint */
    uint64_t bytes, peak_bytes;
} kb_memory;

void kb_memory_fini(kb_memory *memory);

/* KB_ELIMIT if the host has no room for so much. */
int kb_memory_add(kb_memory *memory, kb_paddr base, uint64_t bytes, kb_err *err);
void kb_memory_remove(kb_memory *memory, kb_paddr base);

/* Take a block out of the table. The caller owns what it had; false if there is none. */
bool kb_memory_detach(kb_memory *memory, kb_paddr base, kb_memory_block *out);

/* Give back what a detached block has. On any thread. */
void kb_memory_block_fini(kb_memory_block *block);

/* The block that has all the `bytes` at `pa`, or NULL. Valid until blocks are added or removed. */
kb_memory_block *kb_memory_block_at(const kb_memory *memory, kb_paddr pa, uint64_t bytes);

/* Host address of `bytes` at `pa`, to be read, or NULL if they are not inside one block. */
const unsigned char *kb_memory_at(const kb_memory *memory, kb_paddr pa, uint64_t bytes);

/* For writing from outside, while nothing that the op log holds touches the block: its contents,
 * shared with nobody. Without `keep` they may be undefined. NULL: no memory. */
unsigned char *kb_memory_block_own(kb_memory_block *block, bool keep, kb_err *err);

/* Likewise, for both blocks: give one the contents of another as large, to share. */
void kb_memory_block_share(kb_memory_block *block, kb_memory_block *with);

static inline uint64_t kb_piece_span(const kb_piece *piece)
{
    return (piece->rows - 1) * piece->stride + piece->row_bytes;
}

/* Copy between the rows of resolved pieces, in order, and a dense buffer. */
void kb_pieces_gather(const kb_pieces *pieces, void *to);
void kb_pieces_scatter(const kb_pieces *pieces, const void *from);

#endif
