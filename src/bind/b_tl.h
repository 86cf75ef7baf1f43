/* What the files of the kernel language share. */
#ifndef KB_BIND_B_TL_H
#define KB_BIND_B_TL_H

#include <lua.h>

/* Functions take their arguments by position or as fields of one table. With a table, replace it by
 * the values of `names` (ended by NULL) in order; its unnamed entries come first. Unknown names are
 * errors. */
void kb_unpack_options(lua_State *L, const char *call, const char *const *names);

/* b_tl_math.c: add its functions to the table on top, and operators and methods to tiles. */
void kb_tl_math_open(lua_State *L);

/* b_tl_look.c: add its functions to the table on top. kb_tl_math_open does. */
void kb_tl_look_open(lua_State *L);

#endif
