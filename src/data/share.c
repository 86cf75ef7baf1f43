#include "data/share.h"

/* Smaller loads are copied: that is cheap, and leaves their blocks free to be written. */
enum { LEAST_BYTES = 4096 };

bool kb_share_load(const kb_memory *memory, uint64_t period, const kb_log_entry *entry)
{
    if (entry->op != KB_LOG_LOAD || entry->move.mask) return false;
    kb_value *value = entry->move.value;
    const kb_piece *piece = entry->move.pieces.data;
    uint64_t bytes = kb_value_bytes(value);
    if (bytes < LEAST_BYTES || entry->move.pieces.count != 1 || kb_piece_span(piece) != bytes)
        return false;
    kb_memory_block *block = kb_memory_block_at(memory, piece->pa, bytes);
    if (block->written == period) return false;
    block->loaded += bytes;
    unsigned char *data = block->contents->data + (piece->pa.bits - block->base);
    if (block->loaded < block->bytes || (uintptr_t)data % KB_CONTENTS_ALIGN) return false;
    return kb_array_over(block->contents, data, value->dtype, value->rank, value->shape,
                         &value->array, NULL) == KB_OK;
}

kb_contents *kb_share_write(kb_memory_block *block, uint64_t period)
{
    if (block->written == period) return NULL;
    block->written = period;
    block->loaded = 0;
    if (!kb_contents_is_shared(block->contents)) return NULL;
    kb_contents *former = block->contents;
    block->contents = kb_contents_copy(former);
    return former;
}
