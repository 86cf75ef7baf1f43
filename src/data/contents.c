#include "data/contents.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"

/* malloc reuses small blocks much faster than aligned_alloc does. */
static void *align(void *data)
{
    return (char *)data + ((0 - (uintptr_t)data) & (KB_CONTENTS_ALIGN - 1));
}

static void *map(size_t bytes)
{
    void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return NULL;
    madvise(data, bytes, MADV_HUGEPAGE);
    return data;
}

static kb_contents *create(size_t bytes, bool zero)
{
    bool large = bytes >= KB_CONTENTS_LARGE;
    size_t size = sizeof(kb_contents) + (large ? 0 : KB_CONTENTS_ALIGN + bytes);
    kb_contents *contents = zero && !large ? calloc(size, 1) : malloc(size);
    if (!contents) return NULL;
    atomic_init(&contents->refs, 1);
    contents->bytes = bytes;
    contents->data = large ? map(bytes) : align(contents + 1);
    if (contents->data) return contents;
    free(contents);
    return NULL;
}

kb_contents *kb_contents_create(size_t bytes)
{
    return create(bytes, false);
}

kb_contents *kb_contents_zeros(size_t bytes)
{
    return create(bytes, true);
}

kb_contents *kb_contents_copy(const kb_contents *contents)
{
    kb_contents *copy = kb_or_die(create(contents->bytes, false), contents->bytes);
    memcpy(copy->data, contents->data, contents->bytes);
    return copy;
}

kb_contents *kb_contents_retain(kb_contents *contents)
{
    atomic_fetch_add_explicit(&contents->refs, 1, memory_order_relaxed);
    return contents;
}

void kb_contents_release(kb_contents *contents)
{
    /* acq_rel: the thread that frees has seen what every other holder did before letting go. The
     * only holder need not count down. */
    if (!contents) return;
    if (atomic_load_explicit(&contents->refs, memory_order_acquire) > 1 &&
        atomic_fetch_sub_explicit(&contents->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (contents->bytes >= KB_CONTENTS_LARGE) munmap(contents->data, contents->bytes);
    free(contents);
}
