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

void *kb_sized_resize(kb_sized *sized, void *block, size_t old_size, size_t size)
{
    kb_pool *from = kb_sized_pool(sized, old_size), *to = kb_sized_pool(sized, size);
    if (from == to && to) return block;
    void *made = from == to ? realloc(block, size) : kb_sized_take(sized, size);
    if (!made) return size <= old_size ? block : NULL;
    if (from == to) return made;
    memcpy(made, block, old_size < size ? old_size : size);
    kb_sized_give(sized, block, old_size);
    return made;
}
