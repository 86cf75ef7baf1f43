/* How the functions of the vector engine take their operands, are issued, and return a tile. */
#ifndef KB_BIND_B_TL_COMPUTE_H
#define KB_BIND_B_TL_COMPUTE_H

#include "bind/b_tile.h"

/* A Lua number or boolean among the operands. */
typedef struct kb_constant {
    kb_dtype from; /* KB_F64: `real`; KB_I64: `integer` */
    double real;
    int64_t integer; /* of a whole `real`, too */
} kb_constant;

/* What one call needs: tiles, and constants where a tile is null. `call` is static text. */
typedef struct kb_operands {
    const char *call;
    kb_tile *tiles[KB_COMPUTE_INPUTS];
    kb_constant constants[KB_COMPUTE_INPUTS];
    kb_dtype dtype; /* of the constants */
} kb_operands;

kb_constant kb_constant_at(lua_State *L, int index);

/* Raise unless there is a number or boolean that the type can hold. */
void kb_check_constant(lua_State *L, int index, kb_dtype dtype, const char *call);

/* Whether the integer type holds that value. */
bool kb_dtype_holds(kb_dtype dtype, int64_t value);

int kb_check_int(lua_State *L, int index, const char *call, const char *what);

/* The axis of the tile at index `tile`; negative ones count from the end. */
int kb_check_axis(lua_State *L, int index, int tile, const char *call);

/* Issue and wait; returns a tile. Use as `return kb_tl_run(...)`. */
int kb_tl_run(lua_State *L, kb_proc *proc, kb_compute *c, const kb_operands *o);

/* The same with the operands at first, first + 1, ...; `call` is static text. */
int kb_tl_compute(lua_State *L, const char *call, kb_compute *c, int first);

#endif
