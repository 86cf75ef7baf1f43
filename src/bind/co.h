/* Lua coroutines as processes.
 *
 * Each process (bench, rank worker, kernel instance) is one coroutine, found from its lua_State's
 * extra space, and resumed only by events, flat, from the state that runs the event loop.
 * Coroutines are anchored in a table of the engine's userdata while they live.
 *
 * A blocking call is a pair: the start issues something and ends with `return kb_co_wait(...)`; the
 * continuation runs when it is complete and returns the call's results. No C local survives the
 * wait: what the continuation needs lies on the Lua stack or in the process. */
#ifndef KB_BIND_CO_H
#define KB_BIND_CO_H

#include <lauxlib.h>
#include <lua.h>

#include "engine/launch.h"

struct kb_lua_engine;

typedef struct kb_co {
    kb_proc *proc;
    struct kb_lua_engine *engine;
    lua_State *L;    /* the coroutine */
    lua_State *from; /* who runs the event loop */
    int nargs;       /* on its stack for the first resume */
    bool ended;
    bool unwanted; /* is to end, without an error, when what it waits for has happened */
    /* Called when it has ended: `error` is null or a message with traceback. Frees nothing here. */
    void (*end)(struct kb_co *co, const char *error);
    void *user;
} kb_co;

/* Make a coroutine of the function and `nargs` arguments on top of L, which are popped. */
kb_co *kb_co_create(lua_State *L, struct kb_lua_engine *engine, kb_proc *proc, int nargs);

/* Run it until it waits or ends: kb_proc's resume. */
void kb_co_resume(kb_proc *proc);

/* Close it while it waits; its variables' __close run and cannot wait. Its `end` is not called. */
void kb_co_stop(kb_co *co);
void kb_co_free(kb_co *co);

/* A tile of so many bytes was given to Lua: while many coroutines are alive, a part of them counts
 * as growth of the heap. May collect. */
void kb_co_count_tile(lua_State *L, size_t bytes);

/* The coroutine that runs, or NULL: outside any. */
kb_co *kb_co_current(lua_State *L);

/* Push the table of facts that belong to this process, or nil outside of any host process. */
void kb_co_push_context(lua_State *L, kb_co *co);

/* The process that runs; raises "NAME: ..." if there is none, or if it is of another kind. */
kb_proc *kb_check_kernel(lua_State *L, const char *name);
kb_co *kb_check_host(lua_State *L, const char *name);

/* Raise unless a wait is possible here: call before anything is issued. */
void kb_co_check_wait(lua_State *L, const char *name);

/* Wait for the completion, then continue with `k`. Use as `return kb_co_wait(...)`. */
int kb_co_wait(lua_State *L, kb_completion *completion, kb_wait_reason reason, const char *name,
               lua_KFunction k, lua_KContext context);
int kb_co_wait_until(lua_State *L, kb_time when, kb_wait_reason reason, const char *name,
                     lua_KFunction k, lua_KContext context);

/* The whole of a host program's call that waits, if it must, and returns nothing. `name` lives as
 * long as the call: static, or on its stack. */
int kb_co_host_wait(lua_State *L, kb_completion *completion, kb_wait_reason reason,
                    const char *name);

/* Replace coroutine.create and coroutine.wrap by versions whose coroutines know their process. */
void kb_co_open(lua_State *L);

#endif
