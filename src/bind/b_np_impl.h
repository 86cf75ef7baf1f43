/* Shared by src/bind/b_np*.c only. */
#ifndef KB_BIND_B_NP_IMPL_H
#define KB_BIND_B_NP_IMPL_H

#include <lauxlib.h>
#include <lua.h>

#include "bind/b_np.h"
#include "data/executor.h"

/* Threads for work on large arrays, as many as engines are opened with. */
kb_executor *kb_np_executor(lua_State *L);

/* Raise the error's text unless code is 0. */
void kb_np_try(lua_State *L, int code, const kb_err *err);

/* For a slot that has just been filled: raise, or account for it and return 1 (a Lua result). */
int kb_np_finish(lua_State *L, int code, kb_array **slot, const kb_err *err);

/* A number or boolean at `index` as one element of `dtype`: an argument error if an integer type
 * cannot hold it exactly; floats round. */
void kb_np_element(lua_State *L, int index, kb_dtype dtype, void *out);

/* The argument as an array. A number or boolean becomes a scalar array (pushed on the stack, which
 * keeps it alive) that adopts `like`'s type: an integer any type that holds it, a fraction any
 * float type, else f64. `like` null: i64 or f64. */
kb_array *kb_np_operand(lua_State *L, int index, const kb_array *like);

/* One element as a Lua number or boolean; u64 above 2^63 keeps its bits, as Lua integers do. */
void kb_np_push_element(lua_State *L, const kb_array *array, size_t index);

/* An axis counted from 0, or from the end if negative; absent: KB_ALL_AXES. */
int kb_np_axis(lua_State *L, int index, int rank);

int kb_np_get(lua_State *L); /* (array, key) */
int kb_np_set(lua_State *L); /* (array, key, value) */

/* Register functions into the table on top of the stack. */
void kb_np_open_make(lua_State *L);
void kb_np_open_math(lua_State *L);
void kb_np_open_random(lua_State *L);

/* Put the operators into the metatable on top of the stack. */
void kb_np_open_operators(lua_State *L);

#endif
