/* Moving only some elements of a tile: between memory, which holds those that take part one after
 * another in the order of the pieces, and an array of all of them. */
#ifndef KB_DATA_MASKED_H
#define KB_DATA_MASKED_H

#include "data/array.h"
#include "data/memory.h"

/* Elements where `mask`, of bool and the array's shape, is true come from memory; the others from
 * `other`, which broadcasts to that shape, or are 0 if it is null. */
int kb_masked_load(const kb_pieces *pieces, const kb_array *mask, const kb_array *other,
                   kb_array *to, kb_err *err);

void kb_masked_store(const kb_pieces *pieces, const kb_array *mask, const kb_array *from);

#endif
