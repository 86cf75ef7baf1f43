/* What the binding files share: the engine's userdata, errors, option tables, opening of modules.
 */
#ifndef KB_BIND_BIND_H
#define KB_BIND_BIND_H

#include <lauxlib.h>
#include <lua.h>

#include "base/sized.h"
#include "bind/co.h"
#include "bind/object.h"
#include "engine/engine.h"
#include "engine/tensor.h"

/* Userdata "kernbench.engine". Its user value is the table that anchors coroutines and launches. */
typedef struct kb_lua_engine {
    kb_engine *e; /* null once closed */
    lua_State *L; /* the state that runs the event loop: the main one */
    uint64_t resumes;
    uint32_t coroutines; /* alive */
    size_t uncounted;    /* bytes of tiles of which the collector has not been told */
    bool running;
} kb_lua_engine;

/* Percent: the heap's growth before a collection begins. Collect early: the boxes of tiles are
 * small, but hold memory that Lua does not count, and what is dropped late leaves the caches in
 * between. Not so while many coroutines are alive: each collection visits all their stacks, and
 * takes from them what they need again; the memory of tiles then counts by kb_co_count_tile. */
enum { KB_GC_PAUSE = 130, KB_GC_PAUSE_CROWDED = 200 };

kb_lua_engine *kb_check_engine(lua_State *L, int index);

/* Give a new engine its user value, and make it known to the two below; `index` is absolute. */
void kb_register_engine(lua_State *L, int index);

/* Push its userdata, or the table that anchors what it refers to. Not from its finalizer. */
void kb_push_engine(lua_State *L, const kb_lua_engine *engine);
void kb_push_anchor(lua_State *L, const kb_lua_engine *engine);

/* Raise the error: "file:line: message", with place and simulated time inside a process. The line
 * is the nearest one of the user's code, not of the program's own Lua files. */
int kb_raise(lua_State *L, const kb_err *err) __attribute__((noreturn));
/* Formats as lua_pushfstring does; with place and time in kernels. For arguments that are wrong. */
int kb_error(lua_State *L, const char *format, ...) __attribute__((noreturn));

/* Push "file:line: " of that line, or nothing but an empty string. */
void kb_push_where(lua_State *L);

/* Push " [where, t=...]" of a coroutine's process, or an empty string if there is none. */
void kb_push_place(lua_State *L, const kb_co *co);

/* What the value at `index` is, for messages: "number", "tile", "pointer". */
const char *kb_typename(lua_State *L, int index);

/* The key at index 2 of an access to `owner`, whose fields have names only. */
const char *kb_check_key(lua_State *L, const char *owner);

/* Whether the function is one of the program's own Lua files; `at` has its source. */
bool kb_is_own_chunk(lua_State *L, const lua_Debug *at);

/* Fields of the table on top of the stack. */
void kb_set_number(lua_State *L, const char *key, double value);
void kb_set_integer(lua_State *L, const char *key, lua_Integer value);
void kb_set_count(lua_State *L, const char *key, uint64_t value);
void kb_set_string(lua_State *L, const char *key, const char *value);

/* Shape in a sequence at `index`: rank and extents; zero extents are refused for device tensors. */
int kb_check_extents(lua_State *L, int index, const char *what, size_t shape[KB_MAX_RANK]);

/* A state like luaL_newstate's whose small objects lie in `memory`, to be finished after it; NULL
 * when memory has run out. Under AddressSanitizer every object is a block of its own. */
lua_State *kb_new_state(kb_sized *memory);

/* Make every module of the program available to require, and find lua/ and benches/ on disk. */
void kb_bind_open(lua_State *L);

/* Folder that holds lua/, benches/, kernels/ and topology.yaml; pushes it as a string. */
void kb_push_home(lua_State *L);

int luaopen_kernbench_core(lua_State *L); /* engine, tensors, launches, topology */
int luaopen_kernbench_core_tl(lua_State *L);
int luaopen_kernbench_core_topo(lua_State *L);
int luaopen_kernbench_core_yaml(lua_State *L);

/* b_base.c: Lua's functions that are replaced */
void kb_base_open(lua_State *L);

/* b_tensor.c, b_launch.c, b_stats.c, b_worker.c, b_event.c: methods of the engine, registered by
 * b_engine.c */
extern const luaL_Reg kb_tensor_engine_methods[];
extern const luaL_Reg kb_launch_engine_methods[];
extern const luaL_Reg kb_stats_engine_methods[];
extern const luaL_Reg kb_stages_engine_methods[];
extern const luaL_Reg kb_worker_engine_methods[];
extern const luaL_Reg kb_event_engine_methods[];
extern const luaL_Reg kb_ipcq_engine_methods[];
void kb_tensor_open(lua_State *L);
void kb_launch_open(lua_State *L);
void kb_stages_open(lua_State *L);
void kb_worker_open(lua_State *L);
void kb_event_open(lua_State *L);

/* b_ipcq.c: what it waits for from another PE, as fields of the table on top. */
void kb_set_comm_wait(lua_State *L, const kb_proc *proc);

/* b_probe.c: functions of the module kernbench.core */
int kb_lua_probe(lua_State *L);
int kb_lua_probe_cases(lua_State *L);
void kb_probe_open(lua_State *L);

/* b_graph.c: the function open of kernbench.core.topo, and what it returns */
int kb_topo_open(lua_State *L);
void kb_graph_open(lua_State *L);

/* Userdata of a device tensor. */
typedef struct kb_lua_tensor {
    kb_tensor *t; /* null once freed */
    kb_lua_engine *engine;
    bool freeing; /* nobody may begin to use it any more */
} kb_lua_tensor;

/* The device tensor at that index; raises if there is none or it was freed. */
kb_tensor *kb_check_tensor(lua_State *L, int index);
kb_tensor *kb_test_tensor(lua_State *L, int index);
const kb_lua_tensor *kb_tensor_box(lua_State *L, int index);

/* Push the pointer through which a PE sees the tensor at `index`; raises when it has no part of it.
 */
void kb_push_pointer(lua_State *L, int index, int cube, int pe);

#endif
