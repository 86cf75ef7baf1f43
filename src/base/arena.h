/* Memory for what lives as long as its owner: taken piece by piece, given back as a whole.
 *
 * What is spread over a machine of many PEs lies densely, and on large pages once there is much of
 * it, so that the translation cache reaches further. Pieces are zeroed and begin with a cache line.
 */
#ifndef KB_BASE_ARENA_H
#define KB_BASE_ARENA_H

#include <stddef.h>

/* Zeroed: empty. */
typedef struct kb_arena {
    void *chunks;
    char *at, *end;     /* of what is left of the last one */
    size_t chunk_bytes; /* of the next one */
} kb_arena;

void *kb_arena_take(kb_arena *arena, size_t bytes);
void kb_arena_fini(kb_arena *arena);

#endif
