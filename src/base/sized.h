/* An allocator for who knows how large a block is that it gives back, as Lua does: a pool for every
 * multiple of 16 B up to 2 KiB, malloc above. Blocks have no header and are not merged; what the
 * pools have taken stays theirs until the end. One thread only. */
#ifndef KB_BASE_SIZED_H
#define KB_BASE_SIZED_H

#include <stdlib.h>

#include "base/pool.h"

enum { KB_SIZED_STEP = 16, KB_SIZED_LARGEST = 2048 };

typedef struct kb_sized {
    kb_pool pools[KB_SIZED_LARGEST / KB_SIZED_STEP];
} kb_sized;

void kb_sized_init(kb_sized *sized);

/* Everything that came from the pools is gone. */
void kb_sized_fini(kb_sized *sized);

static inline kb_pool *kb_sized_pool(kb_sized *sized, size_t size)
{
    return &sized->pools[(size - 1) / KB_SIZED_STEP];
}

void *kb_sized_take_new(kb_sized *sized, size_t size);

/* A block of a size above 0; NULL when memory has run out. */
static inline void *kb_sized_take(kb_sized *sized, size_t size)
{
    kb_pool *pool = kb_sized_pool(sized, size);
    return size <= KB_SIZED_LARGEST && pool->free ? kb_pool_take_free(pool)
                                                  : kb_sized_take_new(sized, size);
}

static inline void kb_sized_give(kb_sized *sized, void *block, size_t size)
{
    if (size <= KB_SIZED_LARGEST)
        kb_pool_give(kb_sized_pool(sized, size), block);
    else
        free(block);
}

/* A block of `size` with what was in `block` of `old_size`, as far as it fits; that is given back.
 * NULL when memory has run out, and then nothing has changed; that does not happen to blocks that
 * shrink. */
void *kb_sized_resize(kb_sized *sized, void *block, size_t old_size, size_t size);

#endif
