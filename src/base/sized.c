#include "base/sized.h"

#include <stdlib.h>
#include <string.h>

void kb_sized_init(kb_sized *sized)
{
    for (size_t i = 0; i < KB_SIZED_LARGEST / KB_SIZED_STEP; i++)
        kb_pool_init(&sized->pools[i], (i + 1) * KB_SIZED_STEP);
}

void kb_sized_fini(kb_sized *sized)
{
    for (size_t i = 0; i < KB_SIZED_LARGEST / KB_SIZED_STEP; i++) kb_pool_fini(&sized->pools[i]);
}

/* Of a size above 0; NULL if blocks of that size do not come from pools. */
static kb_pool *pool_of(kb_sized *sized, size_t size)
{
    return size > KB_SIZED_LARGEST ? NULL : &sized->pools[(size - 1) / KB_SIZED_STEP];
}

static void give(kb_pool *pool, void *block)
{
    if (pool)
        kb_pool_give(pool, block);
    else
        free(block);
}

static void *take(kb_pool *pool, size_t size)
{
    if (!pool) return malloc(size);
    return pool->free || kb_pool_try_grow(pool) ? kb_pool_take(pool) : NULL;
}

void *kb_sized_realloc(kb_sized *sized, void *block, size_t old_size, size_t size)
{
    kb_pool *from = block ? pool_of(sized, old_size) : NULL;
    if (size == 0) {
        if (block) give(from, block);
        return NULL;
    }
    kb_pool *to = pool_of(sized, size);
    if (block && from == to && to) return block;
    void *made = block && from == to ? realloc(block, size) : take(to, size);
    if (!made && block && size <= old_size) return block;
    if (!block || !made || from == to) return made;
    memcpy(made, block, old_size < size ? old_size : size);
    give(from, block);
    return made;
}
