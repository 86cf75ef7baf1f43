/* What the files of the kernel language share. */
#ifndef KB_BIND_B_TL_H
#define KB_BIND_B_TL_H

#include "bind/b_tile.h"

/* Functions take their arguments by position, as fields of one table, or by position with a table
 * of named ones at the end. Leaves the values of `names` (ended by NULL) in order. In one table its
 * unnamed entries come first. Unknown names, and values given twice, are errors. */
void kb_unpack_options(lua_State *L, const char *call, const char *const *names);

/* Wait for the operation, whose reference is taken over, or, asynchronous, go on as if pe_cpu had
 * issued it. Returns its tile, if it makes one, or its handle. */
int kb_finish_op(lua_State *L, kb_op *op, bool async, kb_wait_reason reason);

/* Whether the kernel issues its next command later than now: operations that complete until then
 * may give room back. If there is none, `return kb_catch_up(...)` waits until then and goes on with
 * `k`, whose context is the top of the stack; `return kb_call_late(...)` goes on with the function
 * itself and the arguments on the stack. */
bool kb_is_ahead(const kb_proc *proc);
int kb_catch_up(lua_State *L, const kb_proc *proc, const char *call, lua_KFunction k);
int kb_call_late(lua_State *L, const kb_proc *proc, const char *call, lua_CFunction function);

/* b_tl_matrix.c: add tl.dot and tl.composite to the table on top. */
void kb_tl_matrix_open(lua_State *L);

/* b_tl_mem.c: add its functions to the table on top. */
void kb_tl_mem_open(lua_State *L);

/* b_tl_atomic.c, b_tl_desc.c: likewise. kb_tl_mem_open does. */
void kb_tl_atomic_open(lua_State *L);
void kb_tl_desc_open(lua_State *L);

/* b_tl_ipcq.c: add its functions to the table on top. */
void kb_tl_ipcq_open(lua_State *L);

/* b_tl_math.c: add its functions to the table on top, and operators and methods to tiles. */
void kb_tl_math_open(lua_State *L);

/* b_tl_shape.c, b_tl_order.c, b_tl_random.c: likewise. kb_tl_math_open does. */
void kb_tl_shape_open(lua_State *L);
void kb_tl_order_open(lua_State *L);
void kb_tl_random_open(lua_State *L);

/* b_tl_look.c: add its functions to the table on top. kb_tl_math_open does. */
void kb_tl_look_open(lua_State *L);

#endif
