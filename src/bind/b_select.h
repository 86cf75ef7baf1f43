/* Keys that select elements of an array or a tensor.
 *
 * A key is an integer, or a table with one entry per dimension from the first on (missing ones mean
 * all): an integer picks one and drops the dimension, {} takes all, {start, stop} or {start, stop,
 * step} a range. Indices count from 0; negative ones from the end. */
#ifndef KB_BIND_B_SELECT_H
#define KB_BIND_B_SELECT_H

#include <lua.h>

#include "data/array.h"

typedef struct kb_selection {
    kb_region region;
    bool dropped[KB_MAX_RANK];
} kb_selection;

/* The key at `index` for something of that shape. A wrong one raises "what: ...", at the user's
 * line; an argument error if `what` is null. */
void kb_check_selection(lua_State *L, int index, const char *what, int rank, const size_t *shape,
                        kb_selection *out);

/* Extents of what is selected, without the dropped dimensions; returns how many. */
int kb_selection_shape(const kb_selection *selection, int rank, size_t *shape);

#endif
