/* How functions that touch memory find out where, for the files that define them.
 *
 * A block is a pointer with shape and strides (kb_ptr). It is moved whole, as a strided region; or,
 * if it is a block of pointers, has a mask, or is no such region, lane by lane (engine/lanes.h).
 * Everything is checked before anything is issued. */
#ifndef KB_BIND_B_TL_MEM_H
#define KB_BIND_B_TL_MEM_H

#include "bind/b_ptr.h"
#include "bind/b_ptr_block.h"
#include "bind/b_tile.h"
#include "engine/lanes.h"

/* Lanes of one call. Contiguous and strided blocks without a mask may be larger. */
enum { KB_MOST_LANES = 1 << 24 };

/* Elements of a block of which each has an address or a mask of its own; raises if there are more
 * than KB_MOST_LANES. */
size_t kb_lane_count(lua_State *L, const kb_ptr *ptr, const char *call);

/* The mask at that index, spread over the block: a byte per element, on the Lua stack. Null if it
 * is nil or true. Raises if its elements are not known, or if it does not broadcast to the block.
 */
const uint8_t *kb_check_mask(lua_State *L, int index, const kb_ptr *ptr, const char *call);

/* Where each lane of the block leads; `from` is null for one with strides. On the Lua stack. Raises
 * if the pointers are not known, or if a lane that the mask leaves leads outside. */
kb_lanes kb_check_lanes(lua_State *L, const kb_ptr *ptr, const kb_ptr_block *from,
                        const uint8_t *mask, const char *call);

/* Both, for the pointer or block of pointers at 1 whose block `ptr` is. None if it can be moved
 * whole, which is how kb_access_of understands it. */
kb_lanes kb_lanes_of(lua_State *L, const kb_ptr *ptr, int mask, const char *call);

/* Storage of an access. The caller frees `parts`. */
typedef struct kb_access_room {
    kb_va_region whole;
    kb_va_regions parts;
} kb_access_room;

/* The block as regions: lane by lane, or whole if `lanes` has no elements. */
kb_access kb_access_of(lua_State *L, const kb_ptr *ptr, const kb_lanes *lanes, kb_access_room *room,
                       const char *call);

/* Issue, and wait unless `async`. kb_load_lanes takes over `other`, which is null without a mask.
 */
int kb_load_lanes(lua_State *L, const kb_ptr *ptr, const kb_lanes *lanes, kb_value *other,
                  const char *call, bool async);
int kb_store_lanes(lua_State *L, const kb_ptr *ptr, const kb_lanes *lanes, kb_tile *tile,
                   const char *call, bool async);

/* Give a pointer's block the shape of the tile that is to be written there; raises if it holds
 * another type. */
void kb_fit_block(lua_State *L, kb_ptr *ptr, const kb_value *value, const char *call);

#endif
