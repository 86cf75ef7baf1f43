#include "base/pool.h"

#include <stdlib.h>

#include "base/err.h"

enum { CHUNK_BYTES = 64 * 1024, ALIGN = 16 };

void kb_pool_init(kb_pool *pool, size_t block_size)
{
    if (block_size < sizeof(void *)) block_size = sizeof(void *);
    *pool = (kb_pool){.block_size = (block_size + ALIGN - 1) / ALIGN * ALIGN};
}

void kb_pool_fini(kb_pool *pool)
{
    for (void *chunk = pool->chunks; chunk;) {
        void *next = *(void **)chunk;
        free(chunk);
        chunk = next;
    }
    pool->chunks = pool->free = NULL;
}

void kb_pool_grow(kb_pool *pool)
{
    size_t count = CHUNK_BYTES / pool->block_size;
    if (count < 4) count = 4;
    char *chunk = kb_xmalloc(ALIGN + count * pool->block_size);
    *(void **)chunk = pool->chunks;
    pool->chunks = chunk;
    /* Linked so that blocks are handed out in address order. */
    for (size_t i = count; i-- > 0;) {
        char *block = chunk + ALIGN + i * pool->block_size;
        *(void **)block = pool->free;
        pool->free = block;
    }
}
