/* Placements in Lua: userdata "kernbench.placement", which pieces a tensor has and who holds them,
 * read once from tables for all tensors that lie alike. */
#ifndef KB_BIND_B_PLACEMENT_H
#define KB_BIND_B_PLACEMENT_H

#include "engine/tensor.h"

struct lua_State;

typedef struct kb_lua_placement {
    int rank;
    uint32_t piece_count, shard_count;
    kb_shard *shards;         /* cube, pe and piece filled in */
    kb_tensor_piece pieces[]; /* start and extent filled in; the shards lie behind them */
} kb_lua_placement;

/* The one at `index`; raises if there is none. */
const kb_lua_placement *kb_check_placement(struct lua_State *L, int index);

/* engine:placement{shape, pieces = {{start = {...}, extent = {...}}, ...}, flat = {cube, pe, piece,
 * cube, pe, piece, ...}}: pieces count from 0. It does not depend on the engine. */
int kb_placement_create(struct lua_State *L);

void kb_placement_open(struct lua_State *L);

#endif
