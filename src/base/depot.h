/* A pool of equal blocks that one thread takes and any thread may give back.
 *
 * It lives until its owner has closed it and all blocks are back, so those who hold blocks may
 * outlive the owner. Whoever closes it has waited for the other threads: from then on one thread
 * gives blocks back. Contents of a taken block are undefined. */
#ifndef KB_BASE_DEPOT_H
#define KB_BASE_DEPOT_H

#include <stddef.h>

typedef struct kb_depot kb_depot;

kb_depot *kb_depot_create(size_t block_size);
void kb_depot_close(kb_depot *depot);

/* For the owner: the thread that created it. */
void *kb_depot_take(kb_depot *depot);
void kb_depot_give_own(kb_depot *depot, void *block);

/* For any thread. */
void kb_depot_give(kb_depot *depot, void *block);

#endif
