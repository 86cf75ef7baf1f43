/* Memory on large pages: what is spread over a machine of many PEs would else miss the translation
 * cache at every access. */
#ifndef KB_BASE_LARGE_H
#define KB_BASE_LARGE_H

#include <stdlib.h>
#include <sys/mman.h>

enum { KB_LARGE_PAGE = 2 << 20 };

/* Whole pages, for free(); null when memory has run out. */
static inline void *kb_large_alloc(size_t bytes)
{
    size_t whole = (bytes + KB_LARGE_PAGE - 1) / KB_LARGE_PAGE * KB_LARGE_PAGE;
    void *block = aligned_alloc(KB_LARGE_PAGE, whole);
    if (block) madvise(block, whole, MADV_HUGEPAGE);
    return block;
}

#endif
