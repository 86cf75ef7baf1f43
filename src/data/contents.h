/* Host memory for contents, which several holders share as long as nobody changes it.
 *
 * Reference counted; the count is atomic, since the last holder may be on any thread. Whoever
 * changes the contents must be the only holder, and takes a copy otherwise. One thread may tell
 * whether it is the only holder if no other can get a reference in the meantime: memory blocks and
 * host arrays belong to one thread each, and others only let references go. */
#ifndef KB_DATA_CONTENTS_H
#define KB_DATA_CONTENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Data lie at a multiple of this. */
enum { KB_CONTENTS_ALIGN = 64 };

/* From this size on, that of a large page where the system has them, contents are mapped on their
 * own: a fault for every 4 KB would cost more than the copy that touches them. */
enum { KB_CONTENTS_LARGE = 2 << 20 };

typedef struct kb_contents {
    atomic_uint refs;
    size_t bytes;
    unsigned char *data;
} kb_contents;

/* Contents undefined / all zero, committed by the operating system only when touched if they are
 * large. NULL if there is no memory. */
kb_contents *kb_contents_create(size_t bytes);
kb_contents *kb_contents_zeros(size_t bytes);

/* One of its own with the same contents; ends the process if there is no memory. */
kb_contents *kb_contents_copy(const kb_contents *contents);

kb_contents *kb_contents_retain(kb_contents *contents);
void kb_contents_release(kb_contents *contents); /* NULL is fine */

static inline bool kb_contents_is_shared(const kb_contents *contents)
{
    return atomic_load_explicit(&contents->refs, memory_order_acquire) > 1;
}

#endif
