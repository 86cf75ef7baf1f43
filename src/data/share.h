/* When entries of the op log share contents of memory, and when they take copies.
 *
 * A block of memory is at rest in a period of the log if no entry of that period has written to it:
 * everything before has been executed, so its contents are final. A load of a dense range of it
 * then needs no copy; its value lies over them. The first write of a period gives the
 * block contents of its own if anyone else holds them. That copy of a whole block is never for more
 * bytes than loads have copied before, or the sharing of loads or of contents has saved. */
#ifndef KB_DATA_SHARE_H
#define KB_DATA_SHARE_H

#include "data/log_entry.h"

/* If the entry is such a load, give its value the array. False if it has to be executed. */
bool kb_share_load(const kb_memory *memory, uint64_t period, const kb_log_entry *entry);

/* The block is about to be written. Returns what it has had, if it has new ones; else
 * null. Entries before may still read the former one. */
kb_contents *kb_share_write(kb_memory_block *block, uint64_t period);

#endif
