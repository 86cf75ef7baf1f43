/* Lua states, and their warnings. */
#include <stdio.h>
#include <string.h>

#include "bind/bind.h"

/* warn(): off until "@on", as in lua_newstate's relative; a message comes in pieces. */
static void warning_ends(void *L, const char *piece, int more);
static void warning_goes_on(void *L, const char *piece, int more);

static void warning_off(void *L, const char *piece, int more)
{
    if (!more && !strcmp(piece, "@on")) lua_setwarnf(L, warning_ends, L);
}

static void warning_goes_on(void *L, const char *piece, int more)
{
    fputs(piece, stderr);
    if (more) return;
    fputc('\n', stderr);
    lua_setwarnf(L, warning_ends, L);
}

/* The one before has ended: a new one, or a command. */
static void warning_ends(void *L, const char *piece, int more)
{
    if (!more && *piece == '@') {
        if (!strcmp(piece, "@off")) lua_setwarnf(L, warning_off, L);
        return;
    }
    fputs("Lua warning: ", stderr);
    lua_setwarnf(L, warning_goes_on, L);
    warning_goes_on(L, piece, more);
}

lua_State *kb_new_state(kb_sized *memory)
{
    kb_sized_init(memory);
    lua_State *L = lua_newstate(kb_object_allocate, memory);
    if (L) lua_setwarnf(L, warning_off, L);
    return L;
}
