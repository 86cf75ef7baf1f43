/* Communication in the kernel language: messages between PEs. */
#include "bind/b_np.h"
#include "bind/b_tl.h"
#include "engine/kernel_ipcq.h"

static const char *check_direction(lua_State *L, int index, const char *call)
{
    if (lua_type(L, index) != LUA_TSTRING)
        kb_error(L, "%s: expected the name of a direction such as \"E\", got %s", call,
                 luaL_typename(L, index));
    return lua_tostring(L, index);
}

static int sent(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    (void)context;
    return 0;
}

/* tl.send(direction, x): waits until the last byte has left. */
static int tl_send(lua_State *L)
{
    static const char *const names[] = {"direction", "value", NULL};
    kb_proc *proc = kb_check_kernel(L, "tl.send");
    kb_co_check_wait(L, "tl.send");
    kb_unpack_options(L, "tl.send", names);
    const char *direction = check_direction(L, 1, "tl.send");
    kb_tile *tile = kb_check_tile(L, 2, "tl.send");
    kb_handle *h = kb_push_handle(L);
    kb_err err = {0};
    if (kb_kernel_send(proc, direction, tile, &h->op, &err)) return kb_raise(L, &err);
    return kb_co_wait(L, &h->op->comm->posted, KB_WAIT_CREDIT, "tl.send", sent, 0);
}

static int do_recv(lua_State *L, const char *call, bool async)
{
    static const char *const names[] = {"direction", "shape", "dtype", NULL};
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_unpack_options(L, call, names);
    const char *direction = check_direction(L, 1, call);
    size_t shape[KB_MAX_RANK];
    int rank = kb_check_extents(L, 2, call, shape);
    kb_dtype dtype = kb_check_dtype(L, 3, KB_F32);
    bool in_place = false;
    kb_handle *h = kb_push_handle(L);
    kb_err err = {0};
    int status = kb_kernel_receive(proc, direction, dtype, rank, shape, in_place, &h->op, &err);
    if (status == KB_ENOSPC) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_kernel_receive(proc, direction, dtype, rank, shape, in_place, &h->op, &err);
    }
    if (status) return kb_raise(L, &err);
    return kb_finish_issue(L, h, async, KB_WAIT_DATA);
}

static int tl_recv(lua_State *L)
{
    return do_recv(L, "tl.recv", false);
}

static int tl_recv_async(lua_State *L)
{
    return do_recv(L, "tl.recv_async", true);
}

static const luaL_Reg functions[] = {
    {"send", tl_send}, {"recv", tl_recv}, {"recv_async", tl_recv_async}, {NULL, NULL}};

void kb_tl_ipcq_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
