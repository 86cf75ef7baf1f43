#include "base/pool.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/large.h"

enum {
    FIRST_BYTES = 64 << 10, /* of the first chunk; each is twice as large as the one before, up
                             * to a large page */
    FEWEST = 4,             /* blocks in a chunk */
    ALIGN = 16,
    LINE = 64 /* before the first block of a chunk, so that blocks may begin with one */
};

typedef struct chunk {
    struct chunk *next;
    size_t blocks;
} chunk;

void kb_pool_init(kb_pool *pool, size_t block_size)
{
    if (block_size < sizeof(void *)) block_size = sizeof(void *);
    *pool = (kb_pool){.block_size = (block_size + ALIGN - 1) / ALIGN * ALIGN,
                      .chunk_bytes = FIRST_BYTES};
}

void kb_pool_fini(kb_pool *pool)
{
    for (chunk *c = pool->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    pool->chunks = pool->free = NULL;
}

static char *first_block(chunk *c)
{
    return (char *)c + LINE + (0 - (uintptr_t)c) % LINE;
}

static void link_blocks(kb_pool *pool, chunk *c, size_t bytes)
{
    char *first = first_block(c);
    c->blocks = (size_t)((char *)c + bytes - first) / pool->block_size;
    c->next = pool->chunks;
    pool->chunks = c;
    pool->made += c->blocks;
    /* Linked so that blocks are handed out in address order. */
    for (size_t i = c->blocks; i-- > 0;) {
        char *block = first + i * pool->block_size;
        *(void **)block = pool->free;
        pool->free = block;
        kb_pool_hide(pool, block);
    }
}

static int by_address(const void *a, const void *b)
{
    uintptr_t p = (uintptr_t) * (void *const *)a, q = (uintptr_t) * (void *const *)b;
    return (p > q) - (p < q);
}

void kb_pool_each_taken(kb_pool *pool, void (*visit)(void *block))
{
    size_t count = 0;
    void **spare = kb_xmalloc((pool->made + 1) * sizeof *spare);
    for (void *block = pool->free; block; block = *(void **)block) spare[count++] = block;
    qsort(spare, count, sizeof *spare, by_address);
    for (chunk *c = pool->chunks; c; c = c->next)
        for (size_t i = 0; i < c->blocks; i++) {
            void *block = first_block(c) + i * pool->block_size;
            if (!bsearch(&block, spare, count, sizeof *spare, by_address)) visit(block);
        }
    free(spare);
}

bool kb_pool_try_grow(kb_pool *pool)
{
    size_t bytes = pool->chunk_bytes, least = 2 * LINE + FEWEST * pool->block_size;
    if (bytes < least) bytes = least;
    chunk *c = bytes < KB_LARGE_PAGE ? malloc(bytes) : kb_large_alloc(bytes);
    if (!c) return false;
    link_blocks(pool, c, bytes);
    if (pool->chunk_bytes < KB_LARGE_PAGE) pool->chunk_bytes *= 2;
    return true;
}

void kb_pool_grow(kb_pool *pool)
{
    if (!kb_pool_try_grow(pool)) kb_or_die(NULL, pool->chunk_bytes);
}
