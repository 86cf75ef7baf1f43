#include "base/arena.h"

#include <sanitizer/asan_interface.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"

enum { LINE = 64, FIRST_BYTES = 16 << 10, LARGE_BYTES = 2 << 20 };

/* Its first line holds the link. */
static void add_chunk(kb_arena *arena, size_t least)
{
    size_t bytes = arena->chunk_bytes ? arena->chunk_bytes : FIRST_BYTES;
    if (bytes < LARGE_BYTES) arena->chunk_bytes = 2 * bytes;
    if (bytes < least + LINE) bytes = least + LINE;
    bool large = bytes >= LARGE_BYTES;
    if (large) bytes = (bytes + LARGE_BYTES - 1) / LARGE_BYTES * LARGE_BYTES;
    char *chunk = kb_or_die(aligned_alloc(large ? LARGE_BYTES : LINE, bytes), bytes);
    if (large) madvise(chunk, bytes, MADV_HUGEPAGE);
    *(void **)chunk = arena->chunks;
    arena->chunks = chunk;
    arena->at = chunk + LINE;
    arena->end = chunk + bytes;
    ASAN_POISON_MEMORY_REGION(arena->at, bytes - LINE);
}

void *kb_arena_take(kb_arena *arena, size_t bytes)
{
    size_t lines = (bytes + LINE - 1) / LINE * LINE;
    if ((size_t)(arena->end - arena->at) < lines) add_chunk(arena, lines);
    void *piece = arena->at;
    arena->at += lines;
    ASAN_UNPOISON_MEMORY_REGION(piece, bytes);
    return memset(piece, 0, bytes);
}

void kb_arena_fini(kb_arena *arena)
{
    for (void *chunk = arena->chunks, *next; chunk; chunk = next) {
        next = *(void **)chunk;
        free(chunk);
    }
    *arena = (kb_arena){0};
}
