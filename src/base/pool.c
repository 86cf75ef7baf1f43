#include "base/pool.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/err.h"

enum {
    FIRST_BYTES = 64 << 10, /* of the first chunk; each is twice as large as the one before, */
    LARGE_BYTES = 2 << 20,  /* up to a large page */
    FEWEST = 4,             /* blocks in a chunk */
    ALIGN = 16,
    LINE = 64 /* before the first block of a chunk, so that blocks may begin with one */
};

void kb_pool_init(kb_pool *pool, size_t block_size)
{
    if (block_size < sizeof(void *)) block_size = sizeof(void *);
    *pool = (kb_pool){.block_size = (block_size + ALIGN - 1) / ALIGN * ALIGN,
                      .chunk_bytes = FIRST_BYTES};
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

static void link_blocks(kb_pool *pool, char *chunk, size_t bytes)
{
    char *first = chunk + LINE + (0 - (uintptr_t)chunk) % LINE;
    size_t count = (size_t)(chunk + bytes - first) / pool->block_size;
    *(void **)chunk = pool->chunks;
    pool->chunks = chunk;
    pool->made += count;
    /* Linked so that blocks are handed out in address order. */
    for (size_t i = count; i-- > 0;) {
        char *block = first + i * pool->block_size;
        *(void **)block = pool->free;
        pool->free = block;
        kb_pool_hide(pool, block);
    }
}

/* Large chunks lie on large pages: what is spread over a machine of many PEs would else miss the
 * translation cache at every access. */
static char *allocate(size_t bytes)
{
    if (bytes < LARGE_BYTES) return malloc(bytes);
    char *chunk = aligned_alloc(LARGE_BYTES, bytes);
    if (chunk) madvise(chunk, bytes, MADV_HUGEPAGE);
    return chunk;
}

bool kb_pool_try_grow(kb_pool *pool)
{
    size_t bytes = pool->chunk_bytes, least = 2 * LINE + FEWEST * pool->block_size;
    if (bytes < least) bytes = least;
    char *chunk = allocate(bytes);
    if (!chunk) return false;
    link_blocks(pool, chunk, bytes);
    if (pool->chunk_bytes < LARGE_BYTES) pool->chunk_bytes *= 2;
    return true;
}

void kb_pool_grow(kb_pool *pool)
{
    if (!kb_pool_try_grow(pool)) kb_or_die(NULL, pool->chunk_bytes);
}
