/* Kinds of userdata, for those that every command or instance of a kernel looks at.
 *
 * As luaL_newmetatable and its relatives have them, but an object is preceded by the address of its
 * kind, static data, so that a look at it is enough.
 *
 * A kind may say how its objects end: `release` is called when Lua gives their memory back, and
 * must not call Lua. A __gc would do the same, but Lua calls it as any function, and gives the
 * memory back in the collection after that. Such objects have at most KB_RELEASED_BYTES, and no
 * user values. */
#ifndef KB_BIND_OBJECT_H
#define KB_BIND_OBJECT_H

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

enum { KB_RELEASED_BYTES = 32 };

/* Where the registry has the metatable; luaL_ref takes positive numbers. */
typedef enum kb_object_slot {
    KB_SLOT_TENSOR = -5,
    KB_SLOT_TILE,
    KB_SLOT_HANDLE,
    KB_SLOT_POINTER,
    KB_SLOT_POINTERS
} kb_object_slot;

typedef struct kb_object_kind {
    const char *name; /* "kernbench.tile", also of the metatable */
    kb_object_slot slot;
    void (*release)(void *object); /* or null */
} kb_object_kind;

/* Make the metatable and push it. In states of kb_new_state only. */
void kb_new_kind(lua_State *L, const kb_object_kind *kind);
void kb_push_kind(lua_State *L, const kb_object_kind *kind);

/* Push an object; it is zero. */
void *kb_new_object(lua_State *L, const kb_object_kind *kind, size_t size, int uservalues);

typedef struct kb_object_box {
    const kb_object_kind *kind;
    uint64_t object[];
} kb_object_box;

/* The object at the index, or null if there is none of that kind. */
static inline void *kb_test_kind(lua_State *L, int index, const kb_object_kind *kind)
{
    kb_object_box *box = lua_touserdata(L, index);
    if (!box || lua_rawlen(L, index) < sizeof *box) return NULL; /* of light userdata that is 0 */
    return box->kind == kind ? box->object : NULL;
}

void *kb_check_kind(lua_State *L, int index, const kb_object_kind *kind);

/* The lua_Alloc that calls `release`; `memory` is a kb_sized. Under AddressSanitizer every block is
 * one of malloc's. */
void *kb_object_allocate(void *memory, void *block, size_t old_size, size_t size);

#endif
