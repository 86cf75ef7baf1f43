#include "bind/object.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/sized.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLAIN_BLOCKS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define PLAIN_BLOCKS
#endif

/* ---- the ends of objects ---- */

/* A userdata without user values, as Lua lays it out: checked below. */
typedef struct userdata {
    void *next;
    unsigned char tag, mark;
    unsigned short uservalues;
    size_t size;
    void *metatable;
    union {
        LUAI_MAXALIGN;
    } contents;
} userdata;

/* Lua says how large a block is that it gives back, not what it was. So every block of the size
 * that objects with a release have, which hardly anything else has, is followed by a word: what to
 * call, or null. */
typedef struct released {
    char header[offsetof(userdata, contents)];
    char kind[sizeof(kb_object_box)];
    char object[KB_RELEASED_BYTES];
    void (*release)(void *object); /* not Lua's */
} released;

enum { RELEASED_SIZE = offsetof(released, release) }; /* that Lua sees */

#ifdef PLAIN_BLOCKS

static void *take(void *memory, size_t size)
{
    (void)memory;
    return malloc(size);
}

static void give(void *memory, void *block, size_t size)
{
    (void)memory;
    (void)size;
    free(block);
}

static void *resize(void *memory, void *block, size_t old_size, size_t size)
{
    (void)memory;
    (void)old_size;
    return realloc(block, size);
}

#else

static void *take(void *memory, size_t size)
{
    return kb_sized_take(memory, size);
}

static void give(void *memory, void *block, size_t size)
{
    kb_sized_give(memory, block, size);
}

static void *resize(void *memory, void *block, size_t old_size, size_t size)
{
    return kb_sized_resize(memory, block, old_size, size);
}

#endif

/* The same where a block has the word, or is to have it; apart, so that others save no registers.
 */
__attribute__((noinline)) static void *allocate_with_word(void *memory, released *r,
                                                          size_t old_size, size_t size)
{
    bool had = old_size == RELEASED_SIZE, has = size == RELEASED_SIZE;
    released *made;
    if (!r) {
        made = take(memory, sizeof *made);
    } else if (!size) {
        if (r->release) r->release(r->object);
        give(memory, r, sizeof *r);
        return NULL;
    } else {
        made = resize(memory, r, had ? sizeof *r : old_size, has ? sizeof *made : size);
    }
    if (made && has) made->release = NULL;
    return made;
}

void *kb_object_allocate(void *memory, void *block, size_t old_size, size_t size)
{
    if (size == RELEASED_SIZE || (block && old_size == RELEASED_SIZE))
        return allocate_with_word(memory, block, old_size, size);
    if (block && size) return resize(memory, block, old_size, size);
    if (size) return take(memory, size);
    if (block) give(memory, block, old_size);
    return NULL;
}

static size_t bytes_in_use(lua_State *L)
{
    return (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
}

static void check_layout(lua_State *L)
{
    void *memory;
    if (lua_getallocf(L, &memory) != kb_object_allocate)
        luaL_error(L, "this state was not made by kb_new_state");
    int running = lua_gc(L, LUA_GCISRUNNING);
    lua_gc(L, LUA_GCSTOP);
    size_t before = bytes_in_use(L);
    lua_newuserdatauv(L, sizeof(kb_object_box) + KB_RELEASED_BYTES, 0);
    size_t taken = bytes_in_use(L) - before;
    if (running) lua_gc(L, LUA_GCRESTART);
    lua_pop(L, 1);
    if (taken != RELEASED_SIZE) luaL_error(L, "userdata of this Lua are laid out otherwise");
}

/* ---- kinds ---- */

void kb_new_kind(lua_State *L, const kb_object_kind *kind)
{
    if (kind->release) check_layout(L);
    luaL_newmetatable(L, kind->name);
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, kind->slot);
}

void kb_push_kind(lua_State *L, const kb_object_kind *kind)
{
    lua_rawgeti(L, LUA_REGISTRYINDEX, kind->slot);
}

void *kb_new_object(lua_State *L, const kb_object_kind *kind, size_t size, int uservalues)
{
    assert(!kind->release || (size <= KB_RELEASED_BYTES && uservalues == 0));
    if (kind->release) size = KB_RELEASED_BYTES;
    kb_object_box *box = lua_newuserdatauv(L, sizeof *box + size, uservalues);
    memset(box->object, 0, size);
    box->kind = kind;
    if (kind->release) *(void (**)(void *))((char *)box->object + size) = kind->release;
    kb_push_kind(L, kind);
    lua_setmetatable(L, -2);
    return box->object;
}

void *kb_check_kind(lua_State *L, int index, const kb_object_kind *kind)
{
    void *object = kb_test_kind(L, index, kind);
    if (!object) luaL_typeerror(L, index, kind->name);
    return object;
}
