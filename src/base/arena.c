#include "base/arena.h"

#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/large.h"

enum { LINE = 64, FIRST_BYTES = 16 << 10 };

/* Its first line holds the link. */
static void add_chunk(kb_arena *arena, size_t least)
{
    size_t bytes = arena->chunk_bytes ? arena->chunk_bytes : FIRST_BYTES;
    if (bytes < KB_LARGE_PAGE) arena->chunk_bytes = 2 * bytes;
    if (bytes < least + LINE) bytes = least + LINE;
    void *made = bytes < KB_LARGE_PAGE ? aligned_alloc(LINE, bytes) : kb_large_alloc(bytes);
    char *chunk = kb_or_die(made, bytes);
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
