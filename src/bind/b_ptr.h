/* Pointers to device memory in kernels: userdata "kernbench.pointer".
 *
 * A pointer is a place in one piece of a tensor, or in the whole of one whose pieces adjoin, with
 * the shape and strides that loads take when they are given none. Arithmetic counts elements. */
#ifndef KB_BIND_B_PTR_H
#define KB_BIND_B_PTR_H

#include <lua.h>

#include "bind/bind.h"
#include "engine/kernel.h"
#include "engine/tensor.h"

#define KB_PTR_WHOLE (KB_NO_PIECE - 1) /* instead of a piece: all of the tensor */

typedef struct kb_ptr {
    const kb_lua_tensor *owner; /* lives as long as the pointer does in Lua */
    kb_tensor *tensor;          /* valid while owner->t is it */
    uint32_t piece;             /* or KB_PTR_WHOLE, or KB_NO_PIECE */
    int64_t at;                 /* element of the piece */
    kb_dtype dtype;
    int rank;
    size_t shape[KB_MAX_RANK];
    size_t stride[KB_MAX_RANK]; /* elements */
} kb_ptr;

/* The pointer at the index, of which `shape` and `stride` have as many entries as it has
 * dimensions. One to a tensor that has been freed raises. */
kb_ptr kb_check_ptr(lua_State *L, int index, const char *what);
bool kb_test_ptr(lua_State *L, int index, kb_ptr *ptr); /* false: it is something else */
bool kb_is_ptr(lua_State *L, int index);

/* Push a pointer; `owner` is the index of the tensor, the pointer or the block of pointers from
 * which it stems. */
void kb_push_ptr(lua_State *L, const kb_ptr *ptr, int owner);

/* Push the pointer at the index, moved by so many elements; false if their number overflows. */
bool kb_push_moved_ptr(lua_State *L, int index, int64_t elements);

/* Push what keeps the tensor alive. */
void kb_push_owner(lua_State *L, int owner);
void kb_check_ptr_alive(lua_State *L, const kb_ptr *ptr); /* raises if the tensor was freed */
void kb_ptr_open(lua_State *L);

/* How many elements the piece has into which the pointer leads. */
size_t kb_ptr_elements(const kb_ptr *ptr);
kb_vaddr kb_ptr_base(const kb_ptr *ptr);                                     /* of the piece */
void kb_check_ptr_extent(lua_State *L, const kb_ptr *ptr, const char *call); /* raises if empty */

/* Push a sequence of sizes. */
void kb_push_sizes(lua_State *L, int rank, const size_t *sizes);

/* The memory of a block of that shape at the pointer; raises if any of it lies outside the piece,
 * or if there is nothing in it. The block is rows of adjacent elements (single elements if the last
 * stride is not 1), which must be equally far apart. */
kb_va_region kb_ptr_region(lua_State *L, const kb_ptr *ptr, const char *call);

/* Whether they are. */
bool kb_ptr_is_region(const kb_ptr *ptr);

#endif
