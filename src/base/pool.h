/* A pool of equal blocks: O(1) take and give, no allocation in the steady state. Blocks of whole
 * cache lines begin with one.
 *
 * Blocks come from chunks that are only returned when the pool is finished, so a pointer stays
 * valid until it is given back. Contents of a taken block are undefined. AddressSanitizer sees uses
 * of blocks that are not taken. */
#ifndef KB_BASE_POOL_H
#define KB_BASE_POOL_H

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct kb_pool {
    size_t block_size;
    void *free;         /* singly linked through the first word of each free block */
    void *chunks;       /* likewise, to be freed at the end */
    size_t live;        /* blocks taken and not given back */
    size_t made;        /* blocks, in all chunks */
    size_t chunk_bytes; /* of the next chunk */
} kb_pool;

void kb_pool_init(kb_pool *pool, size_t block_size);
void kb_pool_fini(kb_pool *pool);
void kb_pool_grow(kb_pool *pool);
bool kb_pool_try_grow(kb_pool *pool); /* false when memory has run out */

/* Visit the blocks that are taken, in no order; it may give them back. Slow: for the end. */
void kb_pool_each_taken(kb_pool *pool, void (*visit)(void *block));

/* All of a free block but its link. */
static inline void kb_pool_hide(const kb_pool *pool, void *block)
{
    ASAN_POISON_MEMORY_REGION((void **)block + 1, pool->block_size - sizeof(void *));
}

/* When there is a free block. */
static inline void *kb_pool_take_free(kb_pool *pool)
{
    void *block = pool->free;
    pool->free = *(void **)block;
    __builtin_prefetch(pool->free, 1); /* whoever takes that reads its link, and fills it in */
    pool->live++;
    ASAN_UNPOISON_MEMORY_REGION(block, pool->block_size);
    return block;
}

static inline void *kb_pool_take(kb_pool *pool)
{
    if (!pool->free) kb_pool_grow(pool);
    return kb_pool_take_free(pool);
}

static inline void kb_pool_give(kb_pool *pool, void *block)
{
    *(void **)block = pool->free;
    pool->free = block;
    pool->live--;
    kb_pool_hide(pool, block);
}

#endif
