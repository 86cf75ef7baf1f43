/* Kernel operations in Lua: module "kernbench.core.tl". tl.lua adds to it. */
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_ptr.h"
#include "bind/b_tile.h"
#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"
#include "bind/bind.h"

/* ---- arguments ---- */

static bool is_plain_table(lua_State *L, int index)
{
    if (lua_type(L, index) != LUA_TTABLE) return false;
    if (!lua_getmetatable(L, index)) return true;
    lua_pop(L, 1);
    return false;
}

/* Whether the table has a field with a name. */
static bool has_names(lua_State *L, int index)
{
    bool found = false;
    for (lua_pushnil(L); !found && lua_next(L, index); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING) {
            found = true;
            lua_pop(L, 1); /* ends the traversal; the loop pops the other */
        }
    return found;
}

/* The keys of the table at 1 are among the names, or positions of `most` arguments at most. */
static void check_names(lua_State *L, const char *call, const char *const *names, int most)
{
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        bool known = lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1;
        if (known && lua_tointeger(L, -2) > most)
            kb_error(L, "%s: more than %d arguments", call, most);
        for (int i = 0; !known && names[i] && lua_type(L, -2) == LUA_TSTRING; i++)
            known = !strcmp(lua_tostring(L, -2), names[i]);
        if (!known) kb_error(L, "%s: unknown option '%s'", call, luaL_tolstring(L, -2, NULL));
    }
}

/* Arguments by position, then a table of named ones on top. */
static void unpack_trailing(lua_State *L, const char *call, const char *const *names, int count)
{
    lua_insert(L, 1);
    lua_settop(L, count + 1);
    check_names(L, call, names, 0);
    for (int i = 0; i < count; i++) {
        if (lua_getfield(L, 1, names[i]) == LUA_TNIL) {
            lua_pop(L, 1);
            continue;
        }
        if (!lua_isnil(L, i + 2)) kb_error(L, "%s: %s is given twice", call, names[i]);
        lua_replace(L, i + 2);
    }
    lua_remove(L, 1);
}

void kb_unpack_options(lua_State *L, const char *call, const char *const *names)
{
    int count = 0, top = lua_gettop(L);
    while (names[count]) count++;
    luaL_checkstack(L, count + 4, call);
    if (!is_plain_table(L, 1)) {
        if (top > 1 && is_plain_table(L, top) && has_names(L, top))
            unpack_trailing(L, call, names, count);
        else
            lua_settop(L, count);
        return;
    }
    lua_settop(L, 1);
    check_names(L, call, names, count);
    for (int i = 0; i < count; i++) {
        if (lua_getfield(L, 1, names[i]) != LUA_TNIL) continue;
        lua_pop(L, 1);
        lua_rawgeti(L, 1, i + 1);
    }
    lua_remove(L, 1);
}

/* ---- the end of a call ---- */

static int issued(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    lua_pushvalue(L, (int)context);
    return 1;
}

static int awaited(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    kb_proc *proc = kb_co_current(L)->proc;
    int results = kb_push_result(L, proc->awaited);
    kb_op_release(proc->awaited);
    proc->awaited = NULL;
    return results;
}

enum { MOST_AHEAD = 32 }; /* commands; a kernel that never waits must not keep the run loop */

int kb_finish_op(lua_State *L, kb_op *op, bool async, kb_wait_reason reason)
{
    if (async) {
        kb_push_handle(L, op);
        if (op->proc->ahead++ < MOST_AHEAD) return 1;
        return kb_co_wait_until(L, op->issued, KB_WAIT_ISSUE, op->what, issued, lua_gettop(L));
    }
    kb_op_release(op->proc->awaited); /* of a call whose result could not be pushed */
    op->proc->awaited = op;
    return kb_co_wait(L, &op->done, reason, op->what, awaited, 0);
}

bool kb_is_ahead(const kb_proc *proc)
{
    return kb_proc_now(proc) > proc->engine->sim->now;
}

int kb_catch_up(lua_State *L, const kb_proc *proc, const char *call, lua_KFunction k)
{
    return kb_co_wait_until(L, kb_proc_now(proc), KB_WAIT_ISSUE, call, k, lua_gettop(L));
}

static int call_again(lua_State *L, int status, lua_KContext function)
{
    (void)status;
    return ((lua_CFunction)function)(L);
}

int kb_call_late(lua_State *L, const kb_proc *proc, const char *call, lua_CFunction function)
{
    return kb_co_wait_until(L, kb_proc_now(proc), KB_WAIT_ISSUE, call, call_again,
                            (lua_KContext)function);
}

/* ---- waiting ---- */

/* Wait for the handles at 1..n; those from `last` + 1 on are complete. The last is the first to
 * wait for: most often the others have completed before it. */
static int wait_down(lua_State *L, int status, lua_KContext last)
{
    (void)status;
    int count = lua_gettop(L);
    for (int i = (int)last; i > 0; i--) {
        kb_op *op = kb_test_handle(L, i)->of.op;
        if (op && !kb_completion_done(&op->done))
            return kb_co_wait(L, &op->done, KB_WAIT_COMPUTE, "tl.wait", wait_down, i - 1);
    }
    luaL_checkstack(L, count + 4, "tl.wait: too many handles");
    for (int i = 1; i <= count; i++)
        if (!kb_push_handle_result(L, kb_test_handle(L, i))) lua_pushnil(L);
    return count;
}

static void check_handle(lua_State *L, int index)
{
    const kb_handle *h = kb_test_handle(L, index);
    if (!h)
        kb_error(L, "tl.wait: argument %d is a %s; expected the handle of an operation", index,
                 kb_typename(L, index));
    if (!h->of.op && !h->of.complete)
        kb_error(L, "tl.wait: argument %d is an operation of a simulation that has ended", index);
}

/* tl.wait(handle, ...): returns the tiles of loads, nil for others. */
static int tl_wait(lua_State *L)
{
    kb_check_kernel(L, "tl.wait");
    kb_co_check_wait(L, "tl.wait");
    int count = lua_gettop(L);
    if (count == 0) return kb_error(L, "tl.wait: expected the handle of an operation");
    for (int i = 1; i <= count; i++) check_handle(L, i);
    return wait_down(L, LUA_OK, count);
}

/* ---- who and when ---- */

static int check_axis(lua_State *L, const char *call)
{
    int axis = lua_isnoneornil(L, 1) ? 0 : kb_check_int(L, 1, call, "axis");
    if (axis < 0 || axis > 2)
        kb_error(L, "%s: axis %d; expected 0 (PE in its cube), 1 (cube) or 2 (SIP)", call, axis);
    return axis;
}

static int tl_program_id(lua_State *L)
{
    const kb_pe *pe = kb_check_kernel(L, "tl.program_id")->pe;
    int id[] = {pe->number, pe->cube, pe->sip};
    lua_pushinteger(L, id[check_axis(L, "tl.program_id")]);
    return 1;
}

/* How many there are in the launch: PEs in this cube, cubes; and SIPs of the machine. */
static int tl_num_programs(lua_State *L)
{
    const kb_proc *proc = kb_check_kernel(L, "tl.num_programs");
    const kb_msg *msg = kb_launch_msg_of(proc);
    int count[] = {__builtin_popcount(msg->targets[proc->target].pe_mask), (int)msg->target_count,
                   proc->engine->m->graph->sips};
    lua_pushinteger(L, count[check_axis(L, "tl.num_programs")]);
    return 1;
}

static int tl_now(lua_State *L)
{
    lua_pushnumber(L, kb_time_ns(kb_proc_now(kb_check_kernel(L, "tl.now"))));
    return 1;
}

/* The same in cycles of the PE's clock, that of its vector engine. */
static int tl_cycles(lua_State *L)
{
    const kb_proc *proc = kb_check_kernel(L, "tl.cycles");
    lua_pushinteger(L, (lua_Integer)kb_pe_cycles(proc->engine->m, kb_proc_now(proc)));
    return 1;
}

static const luaL_Reg functions[] = {
    {"wait", tl_wait}, {"program_id", tl_program_id}, {"num_programs", tl_num_programs},
    {"now", tl_now},   {"cycles", tl_cycles},         {NULL, NULL}};

int luaopen_kernbench_core_tl(lua_State *L)
{
    kb_ptr_open(L);
    kb_tile_open(L);
    luaL_newlib(L, functions);
    kb_tl_matrix_open(L);
    kb_tl_mem_open(L);
    kb_tl_ipcq_open(L);
    kb_tl_math_open(L);
    return 1;
}
