/* Tiles and handles in Lua: userdata "kernbench.tile", a value in TCM, and "kernbench.handle", an
 * operation under way. Both hold references; collecting them lets go. A handle that was waited for
 * holds what the operation yielded, no longer the operation. */
#ifndef KB_BIND_B_TILE_H
#define KB_BIND_B_TILE_H

#include "bind/bind.h"
#include "engine/kernel.h"

typedef struct kb_handle {
    kb_op_holder of;
    kb_tile *tile; /* once somebody has waited for it, if it yields one */
    const char *what;
} kb_handle;

void kb_push_tile(lua_State *L, kb_tile *tile);
kb_tile *kb_test_tile(lua_State *L, int index);

/* A tile that the running kernel may use; raises "WHAT: ..." otherwise. */
kb_tile *kb_check_tile(lua_State *L, int index, const char *what);
void kb_check_usable(lua_State *L, const kb_tile *tile, const char *what); /* that, of a tile */

/* Its elements, computed now, borrowed. Null if there are none: without numbers only those of tiles
 * made of constants are known. */
kb_array *kb_tile_array(lua_State *L, const kb_tile *tile);

/* "(32, 64) f16" */
const char *kb_value_text(const kb_value *value, char *text, size_t size);

/* Takes over the issuer's reference. */
void kb_push_handle(lua_State *L, kb_op *op);
kb_handle *kb_test_handle(lua_State *L, int index);

/* Push what the complete operation yields: its tile, or nothing. Returns how many values. Raises if
 * it has failed. */
int kb_push_result(lua_State *L, const kb_op *op);
int kb_push_handle_result(lua_State *L, kb_handle *h);

void kb_push_tile_metatable(lua_State *L);
void kb_tile_open(lua_State *L);

#endif
