/* Blocks of pointers: userdata "kernbench.pointers", what `ptr + tile of integers` gives.
 *
 * One pointer and, for every element of a tile, how many elements from there its lane leads. Such
 * arithmetic with numbers, or with a first tile, costs nothing: only adding another tile of offsets
 * is an operation of the vector engine. */
#ifndef KB_BIND_B_PTR_BLOCK_H
#define KB_BIND_B_PTR_BLOCK_H

#include "bind/b_ptr.h"
#include "bind/b_tile.h"

typedef struct kb_ptr_block {
    kb_ptr base;
    kb_tile *offsets; /* of integers; owned */
} kb_ptr_block;

/* The block at that index, or null; raises if its tensor has been freed. */
kb_ptr_block *kb_test_ptr_block(lua_State *L, int index);

/* a + b or a - b, one of which is a pointer or a block of them: the metamethods of both, and of
 * tiles. Returns one value; may wait. */
int kb_pointer_add(lua_State *L);
int kb_pointer_sub(lua_State *L);

void kb_ptr_block_open(lua_State *L);

#endif
