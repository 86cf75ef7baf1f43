#include "bind/co.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"

static kb_co **slot(lua_State *L)
{
    return lua_getextraspace(L);
}

kb_co *kb_co_current(lua_State *L)
{
    return *slot(L);
}

/* ---- life ---- */

/* Among what the engine anchors, the coroutine has its address as key, its context this one. */
static const void *context_key(const kb_co *co)
{
    return &co->engine;
}

enum {
    CROWD = 128,      /* coroutines */
    TILES_SHARE = 64, /* so many bytes of tiles count as one of the heap, */
    TILE_RECORD = 384 /* besides what describes a tile, its value and its elements */
};

/* The pause while there are many. A collection visits all their stacks, and takes from them what
 * they need again: a small heap may grow more before the next; not with numbers, when tiles hold
 * memory that Lua does not count. */
static int pause_crowded(const kb_lua_engine *engine)
{
    enum { MIB_MORE = 64, MOST = 2 * KB_GC_PAUSE_CROWDED };
    if (engine->e->data) return KB_GC_PAUSE_CROWDED;
    int mib = lua_gc(engine->L, LUA_GCCOUNT) / 1024 + 1;
    int pause = 100 + MIB_MORE * 100 / mib;
    if (pause < KB_GC_PAUSE_CROWDED) return KB_GC_PAUSE_CROWDED;
    return pause < MOST ? pause : MOST;
}

static void count_coroutine(kb_lua_engine *engine, int change)
{
    engine->coroutines += (uint32_t)change;
    if (engine->coroutines >= CROWD)
        lua_gc(engine->L, LUA_GCSETPAUSE, pause_crowded(engine));
    else if (engine->coroutines == CROWD - 1 && change < 0)
        lua_gc(engine->L, LUA_GCSETPAUSE, KB_GC_PAUSE);
}

void kb_co_count_tile(lua_State *L, size_t bytes)
{
    enum { KIB = 1024, STEP_KIB = 64 };
    kb_lua_engine *engine = kb_co_current(L)->engine;
    if (engine->coroutines < CROWD || !engine->e->data) return;
    engine->uncounted += TILE_RECORD + bytes / TILES_SHARE;
    size_t growth = engine->uncounted / KIB;
    if (growth < STEP_KIB) return;
    engine->uncounted = 0;
    lua_gc(L, LUA_GCSTEP, (int)growth);
}

kb_co *kb_co_create(lua_State *L, kb_lua_engine *engine, kb_proc *proc, int nargs)
{
    kb_co *co = kb_xcalloc(1, sizeof *co);
    kb_push_anchor(L, engine);
    lua_State *thread = lua_newthread(L);
    lua_rawsetp(L, -2, co);
    lua_pop(L, 1);
    if (!lua_checkstack(thread, nargs + LUA_MINSTACK)) luaL_error(L, "too many arguments");
    lua_xmove(L, thread, nargs + 1);
    *co = (kb_co){.proc = proc, .engine = engine, .L = thread, .from = engine->L, .nargs = nargs};
    *slot(thread) = co;
    proc->user = co;
    count_coroutine(engine, 1);
    return co;
}

void kb_co_free(kb_co *co)
{
    lua_State *L = co->engine->L;
    *slot(co->L) = NULL; /* user code may hold the coroutine longer */
    kb_push_anchor(L, co->engine);
    lua_pushnil(L);
    lua_rawsetp(L, -2, co);
    lua_pushnil(L);
    lua_rawsetp(L, -2, context_key(co));
    lua_pop(L, 1);
    count_coroutine(co->engine, -1);
    free(co);
}

void kb_co_push_context(lua_State *L, kb_co *co)
{
    if (!co || co->proc->kind == KB_PROC_KERNEL) {
        lua_pushnil(L);
        return;
    }
    kb_push_anchor(L, co->engine);
    if (lua_rawgetp(L, -1, context_key(co)) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, -3, context_key(co));
    }
    lua_remove(L, -2);
}

void kb_co_stop(kb_co *co)
{
    kb_proc_leave(co->proc); /* before what it waits for can be collected */
    co->ended = true;        /* before any __close runs */
#ifdef KB_HAVE_LUA_CLOSETHREAD
    lua_closethread(co->L, co->from);
#else
    lua_resetthread(co->L);
#endif
}

/* ---- errors ---- */

enum { FRAMES_SHOWN = 16 };

static void add_frame(luaL_Buffer *b, const lua_Debug *at)
{
    lua_State *L = b->L;
    lua_pushfstring(L, "\n\t%s:%d: in ", at->short_src, at->currentline);
    luaL_addvalue(b);
    if (*at->namewhat)
        lua_pushfstring(L, "%s '%s'", at->namewhat, at->name);
    else if (*at->what == 'm')
        lua_pushliteral(L, "main chunk");
    else
        lua_pushfstring(L, "function <%s:%d>", at->short_src, at->linedefined);
    luaL_addvalue(b);
}

/* Push the message with the lines of the user's code that led to it. */
static void push_traceback(lua_State *L, lua_State *thread, const char *message)
{
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, message);
    luaL_addstring(&b, "\nstack traceback:");
    lua_Debug at;
    int shown = 0;
    for (int level = 0; lua_getstack(thread, level, &at); level++) {
        lua_getinfo(thread, "Sln", &at);
        if (at.currentline <= 0 || kb_is_own_chunk(L, &at)) continue;
        if (shown++ < FRAMES_SHOWN) {
            add_frame(&b, &at);
            continue;
        }
        luaL_addstring(&b, "\n\t...");
        break;
    }
    luaL_pushresult(&b);
}

static int to_text(lua_State *L)
{
    luaL_tolstring(L, 1, NULL);
    return 1;
}

/* Replace the error on top of L by its text, whatever it is. */
static void make_text(lua_State *L)
{
    if (luaL_getmetafield(L, -1, "__tostring") != LUA_TNIL) {
        lua_pop(L, 1);
    } else if (!lua_isstring(L, -1)) {
        lua_pushfstring(L, "(the error is an object of type %s)", luaL_typename(L, -1));
        lua_replace(L, -2);
    }
    lua_pushcfunction(L, to_text);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK) return;
    lua_pop(L, 1);
    lua_pushliteral(L, "(the error is an object whose __tostring fails)");
}

/* The error on top of the coroutine's stack as "message [where, t=...]" with traceback, pushed onto
 * the engine's state. */
static const char *describe_error(kb_co *co)
{
    lua_State *L = co->from;
    luaL_checkstack(L, 8, "describing an error");
    lua_xmove(co->L, L, 1);
    make_text(L);
    if (!strstr(lua_tostring(L, -1), " ns]")) { /* not raised with its place */
        kb_push_place(L, co);
        lua_concat(L, 2);
    }
    push_traceback(L, co->L, lua_tostring(L, -1));
    return lua_tostring(L, -1);
}

void kb_co_resume(kb_proc *proc)
{
    kb_co *co = proc->user;
    if (co->unwanted) {
        kb_co_stop(co);
        co->end(co, NULL);
        return;
    }
    int results = 0, nargs = co->nargs;
    co->nargs = 0;
    co->engine->resumes++;
    int status = lua_resume(co->L, co->from, nargs, &results);
    if (status == LUA_YIELD && proc->waiting) {
        assert(results == 0);
        return;
    }
    lua_State *from = co->from;
    int top = lua_gettop(from);
    const char *error = NULL;
    if (status == LUA_YIELD) {
        lua_settop(co->L, 0); /* what was yielded */
        luaL_checkstack(co->L, 4, "describing an error");
        lua_pushliteral(co->L,
                        "coroutine.yield was called outside of any coroutine that the "
                        "program made; a kernel or bench waits by calling what it waits for");
        error = describe_error(co);
    } else if (status != LUA_OK) {
        error = describe_error(co);
    }
    if (error) kb_co_stop(co);
    co->ended = true;
    co->end(co, error); /* frees it */
    lua_settop(from, top);
}

/* ---- waiting ---- */

static void check_place(lua_State *L, kb_co *co, const char *name)
{
    if (co->ended)
        kb_error(L, "%s has to wait, and cannot do so any more: what called it has ended", name);
    if (!lua_isyieldable(L))
        kb_error(L,
                 "%s has to wait, and cannot do so here: Lua does not let a call wait inside "
                 "table.sort's comparison, string.gsub's callback, a metamethod like __gc, or "
                 "require; make the call outside and use its result",
                 name);
    if (co->L != L)
        kb_error(L,
                 "%s has to wait, and cannot do so inside a coroutine that the program made with "
                 "coroutine.create or coroutine.wrap; make the call outside of it",
                 name);
}

void kb_co_check_wait(lua_State *L, const char *name)
{
    kb_co *co = kb_co_current(L);
    if (!co) kb_error(L, "%s: called outside of a bench or kernel", name);
    check_place(L, co, name);
}

static kb_co *check_wait(lua_State *L, const char *name)
{
    kb_co *co = kb_co_current(L);
    assert(co && co->L == L && lua_isyieldable(L)); /* kb_co_check_wait was called */
    (void)name;
    return co;
}

int kb_co_wait(lua_State *L, kb_completion *completion, kb_wait_reason reason, const char *name,
               lua_KFunction k, lua_KContext context)
{
    kb_co *co = check_wait(L, name);
    kb_proc_wait(co->proc, completion, reason, name);
    return lua_yieldk(L, 0, context, k);
}

int kb_co_wait_until(lua_State *L, kb_time when, kb_wait_reason reason, const char *name,
                     lua_KFunction k, lua_KContext context)
{
    kb_co *co = check_wait(L, name);
    kb_proc_wait_until(co->proc, when, reason, name);
    return lua_yieldk(L, 0, context, k);
}

static int waited(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    (void)context;
    return 0;
}

int kb_co_host_wait(lua_State *L, kb_completion *completion, kb_wait_reason reason,
                    const char *name)
{
    kb_check_host(L, name);
    kb_co_check_wait(L, name);
    if (kb_completion_done(completion)) return 0;
    return kb_co_wait(L, completion, reason, name, waited, 0);
}

kb_proc *kb_check_kernel(lua_State *L, const char *name)
{
    kb_co *co = kb_co_current(L);
    if (!co || co->proc->kind != KB_PROC_KERNEL)
        kb_error(L, "%s: called outside of a kernel; pass the function to torch.launch", name);
    return co->proc;
}

kb_co *kb_check_host(lua_State *L, const char *name)
{
    kb_co *co = kb_co_current(L);
    if (!co)
        kb_error(L, "%s: called outside of a bench; run the file with `kernbench FILE.lua`", name);
    if (co->proc->kind == KB_PROC_KERNEL)
        kb_error(L, "%s: called inside a kernel; only the host program may do that", name);
    return co;
}

/* ---- coroutines of the program's own ---- */

static int create(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    *slot(lua_tothread(L, -1)) = kb_co_current(L);
    return 1;
}

static int wrap(lua_State *L)
{
    lua_settop(L, 1);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    if (lua_getupvalue(L, -1, 1)) { /* the coroutine that coroutine.wrap's function resumes */
        if (lua_isthread(L, -1)) *slot(lua_tothread(L, -1)) = kb_co_current(L);
        lua_pop(L, 1);
    }
    return 1;
}

void kb_co_open(lua_State *L)
{
    *slot(L) = NULL; /* Lua leaves it undefined in the main thread; others begin with a copy */
    lua_getglobal(L, "coroutine");
    lua_getfield(L, -1, "create");
    lua_pushcclosure(L, create, 1);
    lua_setfield(L, -2, "create");
    lua_getfield(L, -1, "wrap");
    lua_pushcclosure(L, wrap, 1);
    lua_setfield(L, -2, "wrap");
    lua_pop(L, 1);
}
