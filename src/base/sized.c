#include "base/sized.h"

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

void *kb_sized_take_new(kb_sized *sized, size_t size)
{
    if (size > KB_SIZED_LARGEST) return malloc(size);
    kb_pool *pool = kb_sized_pool(sized, size);
    return pool->free || kb_pool_try_grow(pool) ? kb_pool_take_free(pool) : NULL;
}

/* Null if blocks of that size do not come from pools. */
static kb_pool *pool_of(kb_sized *sized, size_t size)
{
    return size <= KB_SIZED_LARGEST ? kb_sized_pool(sized, size) : NULL;
}

void *kb_sized_resize(kb_sized *sized, void *block, size_t old_size, size_t size)
{
    kb_pool *from = pool_of(sized, old_size), *to = pool_of(sized, size);
    if (from == to && to) return block;
    void *made = from == to ? realloc(block, size) : kb_sized_take(sized, size);
    if (!made) return size <= old_size ? block : NULL;
    if (from == to) return made;
    memcpy(made, block, old_size < size ? old_size : size);
    kb_sized_give(sized, block, old_size);
    return made;
}
