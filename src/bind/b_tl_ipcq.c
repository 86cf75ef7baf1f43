/* Communication in the kernel language: messages between PEs, puts and signals. */
#include "bind/b_np.h"
#include "bind/b_ptr.h"
#include "bind/b_tl.h"
#include "bind/b_tl_mem.h"
#include "engine/kernel_ipcq.h"

static const char *check_direction(lua_State *L, int index, const char *call)
{
    if (lua_type(L, index) != LUA_TSTRING)
        kb_error(L, "%s: expected the name of a direction such as \"E\", got %s", call,
                 luaL_typename(L, index));
    return lua_tostring(L, index);
}

/* The operation goes on by itself. */
static int let_go(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    kb_proc *proc = kb_co_current(L)->proc;
    kb_op_release(proc->awaited);
    proc->awaited = NULL;
    return 0;
}

static void await(kb_op *op)
{
    kb_op_release(op->proc->awaited); /* of a call whose result could not be pushed */
    op->proc->awaited = op;
}

/* Wait until the bytes of the operation have left. */
static int finish_post(lua_State *L, kb_op *op)
{
    await(op);
    return kb_co_wait(L, &op->comm->posted, KB_WAIT_CREDIT, op->what, let_go, 0);
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
    kb_op *op;
    kb_err err;
    if (kb_kernel_send(proc, direction, tile, &op, &err)) return kb_raise(L, &err);
    return finish_post(L, op);
}

static int tl_recv(lua_State *L);
static int tl_recv_async(lua_State *L);

static int do_recv(lua_State *L, const char *call, bool async)
{
    static const char *const names[] = {"direction", "shape", "dtype", "in_place", NULL};
    kb_proc *proc = kb_check_kernel(L, call);
    kb_co_check_wait(L, call);
    kb_unpack_options(L, call, names);
    const char *direction = check_direction(L, 1, call);
    size_t shape[KB_MAX_RANK];
    int rank = kb_check_extents(L, 2, call, shape);
    kb_dtype dtype = kb_check_dtype(L, 3, KB_F32);
    bool in_place = lua_toboolean(L, 4);
    kb_op *op;
    kb_err err;
    int status = kb_kernel_receive(proc, direction, dtype, rank, shape, in_place, &op, &err);
    if (status == KB_ENOSPC && kb_is_ahead(proc))
        return kb_call_late(L, proc, call, async ? tl_recv_async : tl_recv);
    if (status == KB_ENOSPC) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_kernel_receive(proc, direction, dtype, rank, shape, in_place, &op, &err);
    }
    if (status) return kb_raise(L, &err);
    return kb_finish_op(L, op, async, KB_WAIT_DATA);
}

static int tl_recv(lua_State *L)
{
    return do_recv(L, "tl.recv", false);
}

static int tl_recv_async(lua_State *L)
{
    return do_recv(L, "tl.recv_async", true);
}

/* tl.copy_to_dst(x): the same tile in room of its own; waits. */
static int tl_copy_to_dst(lua_State *L)
{
    kb_proc *proc = kb_check_kernel(L, "tl.copy_to_dst");
    kb_co_check_wait(L, "tl.copy_to_dst");
    lua_settop(L, 1);
    kb_tile *tile = kb_check_tile(L, 1, "tl.copy_to_dst");
    kb_op *op;
    kb_err err;
    int status = kb_kernel_copy(proc, tile, &op, &err);
    if (status == KB_ENOSPC && kb_is_ahead(proc))
        return kb_call_late(L, proc, "tl.copy_to_dst", tl_copy_to_dst);
    if (status == KB_ENOSPC) {
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_kernel_copy(proc, tile, &op, &err);
    }
    if (status) return kb_raise(L, &err);
    return kb_finish_op(L, op, false, KB_WAIT_COMPUTE);
}

/* ---- puts and signals ---- */

/* A PE: its number in this cube, or {sip =, cube =, pe =} with what differs from here. */
static kb_pe *check_pe(lua_State *L, int index, const kb_pe *here, const char *call)
{
    static const char *const keys[3] = {"sip", "cube", "pe"};
    const kb_graph *g = here->m->graph;
    int limit[3] = {g->sips, kb_graph_cubes(g), g->cube_plan.pes};
    int at[3] = {here->sip, here->cube, here->number};
    bool table = lua_istable(L, index);
    for (int i = table ? 0 : 2; i < 3; i++) {
        if (!table)
            lua_pushvalue(L, index);
        else if (lua_getfield(L, index, keys[i]) == LUA_TNIL) {
            lua_pop(L, 1);
            continue;
        }
        int is_integer;
        lua_Integer value = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || value < 0 || value >= limit[i])
            kb_error(L, "%s: %s is %s; expected an integer from 0 to %d", call, keys[i],
                     luaL_tolstring(L, -1, NULL), limit[i] - 1);
        at[i] = (int)value;
        lua_pop(L, 1);
    }
    kb_pe *pe = kb_machine_pe(here->m, at[0], at[1], at[2]);
    if (pe == here) kb_error(L, "%s: %s is the PE on which the kernel runs", call, pe->name);
    return pe;
}

/* The place in the target's part of the tensor that `region` is in this PE's part. */
static kb_piece place_at(lua_State *L, const kb_ptr *ptr, const kb_va_region *region,
                         const kb_pe *target)
{
    const kb_tensor *t = ptr->tensor;
    if (ptr->piece >= t->piece_count)
        kb_error(L, "tl.put: the pointer leads to all of tensor '%s'; expected one to a part",
                 t->name);
    const kb_shard *shard =
        target->sip == t->sip ? kb_tensor_shard_of(t, target->cube, target->number) : NULL;
    if (!shard) kb_error(L, "tl.put: tensor '%s' has no part on %s", t->name, target->name);
    uint64_t offset = region->va.bits - t->pieces[ptr->piece].va.bits;
    uint64_t end = offset + (region->rows - 1) * region->stride + region->row_bytes;
    if (end > t->pieces[shard->piece].bytes)
        kb_error(L, "tl.put: the part of tensor '%s' on %s has %I B; the block ends at %I", t->name,
                 target->name, (lua_Integer)t->pieces[shard->piece].bytes, (lua_Integer)end);
    return (kb_piece){.pa = kb_paddr_plus(shard->pa, offset),
                      .rows = region->rows,
                      .row_bytes = region->row_bytes,
                      .stride = region->stride};
}

/* tl.put(pe, ptr, x): waits until the last byte has left. */
static int tl_put(lua_State *L)
{
    kb_proc *proc = kb_check_kernel(L, "tl.put");
    kb_co_check_wait(L, "tl.put");
    lua_settop(L, 3);
    kb_pe *target = check_pe(L, 1, proc->pe, "tl.put");
    kb_ptr ptr = kb_check_ptr(L, 2, "tl.put");
    kb_tile *tile = kb_check_tile(L, 3, "tl.put");
    kb_fit_block(L, &ptr, tile->value, "tl.put");
    kb_va_region region = kb_ptr_region(L, &ptr, "tl.put");
    kb_piece to = place_at(L, &ptr, &region, target);
    kb_op *op;
    kb_err err;
    if (kb_kernel_put(proc, target, &to, tile, &op, &err)) return kb_raise(L, &err);
    return finish_post(L, op);
}

static uint32_t check_number(lua_State *L, int index, const char *call, const char *what,
                             lua_Integer least)
{
    int is_integer;
    lua_Integer value = lua_tointegerx(L, index, &is_integer);
    if (!is_integer || value < least || value > KB_SIGNAL_MAX)
        kb_error(L, "%s: %s is %s; expected an integer from %I to 2^31 - 1", call, what,
                 luaL_tolstring(L, index, NULL), least);
    return (uint32_t)value;
}

/* tl.signal(pe, id): goes on when it is issued. */
static int tl_signal(lua_State *L)
{
    kb_proc *proc = kb_check_kernel(L, "tl.signal");
    kb_co_check_wait(L, "tl.signal");
    lua_settop(L, 2);
    kb_pe *target = check_pe(L, 1, proc->pe, "tl.signal");
    uint32_t id = check_number(L, 2, "tl.signal", "id", 0);
    kb_op *op;
    kb_err err;
    if (kb_kernel_signal(proc, target, id, &op, &err)) return kb_raise(L, &err);
    await(op);
    return kb_co_wait_until(L, op->issued, KB_WAIT_ISSUE, "tl.signal", let_go, 0);
}

/* tl.signal_wait(id, count = 1): until so many have come, and takes them. */
static int tl_signal_wait(lua_State *L)
{
    kb_proc *proc = kb_check_kernel(L, "tl.signal_wait");
    kb_co_check_wait(L, "tl.signal_wait");
    lua_settop(L, 2);
    uint32_t id = check_number(L, 1, "tl.signal_wait", "id", 0);
    uint32_t count = lua_isnil(L, 2) ? 1 : check_number(L, 2, "tl.signal_wait", "count", 1);
    kb_op *op;
    kb_err err;
    if (kb_kernel_signal_wait(proc, id, count, &op, &err)) return kb_raise(L, &err);
    return kb_finish_op(L, op, false, KB_WAIT_SIGNAL);
}

static const luaL_Reg functions[] = {{"send", tl_send},
                                     {"recv", tl_recv},
                                     {"recv_async", tl_recv_async},
                                     {"copy_to_dst", tl_copy_to_dst},
                                     {"put", tl_put},
                                     {"signal", tl_signal},
                                     {"signal_wait", tl_signal_wait},
                                     {NULL, NULL}};

void kb_tl_ipcq_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
