#include "base/depot.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/pool.h"

/* Blocks that come back are not counted one by one: the pool's `live` is too large until the depot
 * is closed. */
struct kb_depot {
    kb_pool pool;             /* the owner's */
    const char *owner;        /* its `here` */
    _Atomic(void *) returned; /* blocks on their way back to it, linked through their first words */
    bool closed;
};

/* Its address is another one in every thread. */
static _Thread_local const char here;

kb_depot *kb_depot_create(size_t block_size)
{
    kb_depot *depot = kb_xmalloc(sizeof *depot);
    depot->owner = &here;
    kb_pool_init(&depot->pool, block_size);
    atomic_init(&depot->returned, NULL);
    depot->closed = false;
    return depot;
}

static void destroy(kb_depot *depot)
{
    kb_pool_fini(&depot->pool);
    free(depot);
}

static size_t length_of(const void *blocks)
{
    size_t length = 0;
    for (; blocks; blocks = *(void *const *)blocks) length++;
    return length;
}

/* The whole list at once: nobody else takes from it, so no block can come back in between. */
static void *all_returned(kb_depot *depot)
{
    return atomic_exchange_explicit(&depot->returned, NULL, memory_order_acquire);
}

void kb_depot_close(kb_depot *depot)
{
    depot->closed = true;
    depot->pool.live =
        depot->pool.made - length_of(depot->pool.free) - length_of(all_returned(depot));
    if (depot->pool.live == 0) destroy(depot);
}

void *kb_depot_take(kb_depot *depot)
{
    if (!depot->pool.free) depot->pool.free = all_returned(depot);
    return kb_pool_take(&depot->pool);
}

void kb_depot_give_own(kb_depot *depot, void *block)
{
    kb_pool_give(&depot->pool, block);
    if (depot->closed && depot->pool.live == 0) destroy(depot);
}

void kb_depot_give(kb_depot *depot, void *block)
{
    /* What the owner gives back it takes next, while it is still in its caches. */
    if (depot->owner == &here || depot->closed) {
        kb_depot_give_own(depot, block);
        return;
    }
    kb_pool_hide(&depot->pool, block);
    void *first = atomic_load_explicit(&depot->returned, memory_order_relaxed);
    do {
        *(void **)block = first;
    } while (!atomic_compare_exchange_weak_explicit(&depot->returned, &first, block,
                                                    memory_order_release, memory_order_relaxed));
}
