#include "data/memory.h"

#include <string.h>

void kb_memory_block_fini(kb_memory_block *block)
{
    kb_access_index_destroy(block->accesses);
    kb_contents_release(block->contents);
}

void kb_memory_fini(kb_memory *memory)
{
    for (size_t i = 0; i < memory->blocks.count; i++) kb_memory_block_fini(&memory->blocks.data[i]);
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

static int no_memory(uint64_t bytes, kb_err *err)
{
    return kb_fail(err, KB_ELIMIT,
                   "no host memory for %llu bytes of tensor contents; use --no-data for timing "
                   "alone",
                   (unsigned long long)bytes);
}

int kb_memory_add(kb_memory *memory, kb_paddr base, uint64_t bytes, kb_err *err)
{
    kb_contents *contents = kb_contents_zeros(bytes);
    if (!contents) return no_memory(bytes, err);
    size_t at = blocks_up_to(memory, base.bits);
    kb_vec_push(&memory->blocks, ((kb_memory_block){0}));
    kb_memory_block *block = &memory->blocks.data[at];
    memmove(block + 1, block, (memory->blocks.count - 1 - at) * sizeof *block);
    *block = (kb_memory_block){.base = base.bits, .bytes = bytes, .contents = contents};
    memory->bytes += bytes;
    if (memory->bytes > memory->peak_bytes) memory->peak_bytes = memory->bytes;
    return KB_OK;
}

bool kb_memory_detach(kb_memory *memory, kb_paddr base, kb_memory_block *out)
{
    size_t at = blocks_up_to(memory, base.bits);
    if (at == 0 || memory->blocks.data[at - 1].base != base.bits) return false;
    kb_memory_block *block = &memory->blocks.data[at - 1];
    memory->bytes -= block->bytes;
    *out = *block;
    memmove(block, block + 1, (memory->blocks.count - at) * sizeof *block);
    memory->blocks.count--;
    return true;
}

void kb_memory_remove(kb_memory *memory, kb_paddr base)
{
    kb_memory_block block;
    if (kb_memory_detach(memory, base, &block)) kb_memory_block_fini(&block);
}

kb_memory_block *kb_memory_block_at(const kb_memory *memory, kb_paddr pa, uint64_t bytes)
{
    size_t at = blocks_up_to(memory, pa.bits);
    if (at == 0) return NULL;
    kb_memory_block *block = &memory->blocks.data[at - 1];
    uint64_t offset = pa.bits - block->base;
    return offset <= block->bytes && bytes <= block->bytes - offset ? block : NULL;
}

const unsigned char *kb_memory_at(const kb_memory *memory, kb_paddr pa, uint64_t bytes)
{
    const kb_memory_block *block = kb_memory_block_at(memory, pa, bytes);
    return block ? block->contents->data + (pa.bits - block->base) : NULL;
}

unsigned char *kb_memory_block_own(kb_memory_block *block, bool keep, kb_err *err)
{
    block->written = block->loaded = 0;
    if (!kb_contents_is_shared(block->contents)) return block->contents->data;
    kb_contents *own = kb_contents_create(block->bytes);
    if (!own) {
        no_memory(block->bytes, err);
        return NULL;
    }
    if (keep) memcpy(own->data, block->contents->data, block->bytes);
    kb_contents_release(block->contents);
    block->contents = own;
    return own->data;
}

void kb_memory_block_share(kb_memory_block *block, kb_memory_block *with)
{
    block->written = block->loaded = with->written = 0;
    kb_contents *old = block->contents;
    block->contents = kb_contents_retain(with->contents);
    kb_contents_release(old);
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
