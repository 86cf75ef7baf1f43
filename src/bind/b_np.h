/* Host arrays in Lua: userdata "kernbench.array", each holding one reference to a kb_array.
 *
 * What other bindings need is here; what Lua sees is documented in lua/kernbench/np.lua, which
 * wraps the module "kernbench.core.np" that luaopen_kernbench_core_np returns. */
#ifndef KB_BIND_B_NP_H
#define KB_BIND_B_NP_H

#include <lua.h>

#include "data/array.h"

int luaopen_kernbench_core_np(lua_State *L);

/* How many threads beside the caller's work on large arrays from now on. Results do not depend on
 * it. */
void kb_np_set_threads(lua_State *L, int threads);

/* The array at that index; raises an argument error if there is none. Borrowed: valid while the
 * userdata is reachable; kb_array_retain to keep it. */
kb_array *kb_check_array(lua_State *L, int index);

/* The same, or null. */
kb_array *kb_test_array(lua_State *L, int index);

/* Push a new userdata that takes over the caller's reference. */
void kb_push_array(lua_State *L, kb_array *array);

/* Push a new, empty userdata and return where its array goes: for code that creates one, so that an
 * error in between frees what there is. After storing, call kb_array_pushed. */
kb_array **kb_push_array_slot(lua_State *L);
void kb_array_pushed(lua_State *L, const kb_array *array);

/* Lua has a new object that holds so much memory of the host: now and then it must collect. */
void kb_host_bytes_pushed(lua_State *L, uint64_t bytes);

/* Arguments that describe arrays: a dtype as a string or as the field `dtype` of an options table
 * (`fallback` if absent); a shape as a sequence of extents or one integer. Errors name the
 * argument. */
kb_dtype kb_check_dtype(lua_State *L, int index, kb_dtype fallback);
int kb_check_shape(lua_State *L, int index, size_t shape[KB_MAX_RANK]);

#endif
