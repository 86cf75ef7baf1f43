#include "data/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void kb_memory_fini(kb_memory *memory)
{
    for (size_t i = 0; i < memory->blocks.count; i++) free(memory->blocks.data[i].host);
    kb_vec_free(&memory->blocks);
}

/* Number of blocks that begin at or below `base`. */
static size_t blocks_up_to(const kb_memory *memory, uint64_t base)
{
    size_t low = 0, high = memory->blocks.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memory->blocks.data[middle].base <= base)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int kb_memory_add(kb_memory *memory, kb_paddr base, uint64_t bytes, kb_err *err)
{
    unsigned char *host = calloc(bytes, 1);
    if (!host)
        return kb_fail(err, KB_ELIMIT,
                       "no host memory for %llu bytes of tensor contents; use --no-data for timing "
                       "alone",
                       (unsigned long long)bytes);
    size_t at = blocks_up_to(memory, base.bits);
    kb_vec_push(&memory->blocks, ((kb_memory_block){0}));
    kb_memory_block *block = &memory->blocks.data[at];
    memmove(block + 1, block, (memory->blocks.count - 1 - at) * sizeof *block);
    *block = (kb_memory_block){base.bits, bytes, host};
    memory->bytes += bytes;
    if (memory->bytes > memory->peak_bytes) memory->peak_bytes = memory->bytes;
    return KB_OK;
}

void kb_memory_remove(kb_memory *memory, kb_paddr base)
{
    size_t at = blocks_up_to(memory, base.bits);
    if (at == 0 || memory->blocks.data[at - 1].base != base.bits) return;
    kb_memory_block *block = &memory->blocks.data[at - 1];
    memory->bytes -= block->bytes;
    free(block->host);
    memmove(block, block + 1, (memory->blocks.count - at) * sizeof *block);
    memory->blocks.count--;
}

unsigned char *kb_memory_at(const kb_memory *memory, kb_paddr pa, uint64_t bytes)
{
    size_t at = blocks_up_to(memory, pa.bits);
    if (at == 0) return NULL;
    const kb_memory_block *block = &memory->blocks.data[at - 1];
    uint64_t offset = pa.bits - block->base;
    if (offset > block->bytes || bytes > block->bytes - offset) return NULL;
    return block->host + offset;
}

void kb_memory_resolve(const kb_memory *memory, kb_pieces *pieces)
{
    for (size_t i = 0; i < pieces->count; i++) {
        kb_piece *piece = &pieces->data[i];
        uint64_t span = (piece->rows - 1) * piece->stride + piece->row_bytes;
        piece->host = kb_memory_at(memory, piece->pa, span);
        assert(piece->host);
    }
}

void kb_pieces_gather(const kb_pieces *pieces, void *to)
{
    unsigned char *out = to;
    for (size_t i = 0; i < pieces->count; i++) {
        const kb_piece *piece = &pieces->data[i];
        for (uint32_t row = 0; row < piece->rows; row++, out += piece->row_bytes)
            memcpy(out, piece->host + row * piece->stride, piece->row_bytes);
    }
}

void kb_pieces_scatter(const kb_pieces *pieces, const void *from)
{
    const unsigned char *in = from;
    for (size_t i = 0; i < pieces->count; i++) {
        const kb_piece *piece = &pieces->data[i];
        for (uint32_t row = 0; row < piece->rows; row++, in += piece->row_bytes)
            memcpy(piece->host + row * piece->stride, in, piece->row_bytes);
    }
}
