/* Device tensors in Lua: userdata "kernbench.device_tensor". torch.lua builds its Tensor on them.
 */
#include <string.h>

#include "bind/b_np.h"
#include "bind/b_placement.h"
#include "bind/b_select.h"
#include "bind/bind.h"
#include "engine/host_work.h"

#define WORK "kernbench.host_work"

typedef kb_lua_tensor lua_tensor;

static const kb_object_kind TENSOR = {"kernbench.device_tensor", KB_SLOT_TENSOR, NULL};

const kb_lua_tensor *kb_tensor_box(lua_State *L, int index)
{
    return kb_check_kind(L, index, &TENSOR);
}

kb_tensor *kb_test_tensor(lua_State *L, int index)
{
    lua_tensor *box = kb_test_kind(L, index, &TENSOR);
    return box && box->engine->e && !box->freeing ? box->t : NULL;
}

kb_tensor *kb_check_tensor(lua_State *L, int index)
{
    lua_tensor *box = kb_check_kind(L, index, &TENSOR);
    if (!box->engine->e || !box->t || box->freeing)
        luaL_argerror(L, index, "the tensor has been freed");
    return box->t;
}

static int tensor_gc(lua_State *L)
{
    lua_tensor *box = kb_check_kind(L, 1, &TENSOR);
    if (box->engine && box->engine->e) kb_tensor_destroy(box->t);
    box->t = NULL;
    return 0;
}

/* ---- reading the description ---- */

static kb_memory_kind read_memory(lua_State *L)
{
    lua_getfield(L, 2, "memory");
    const char *name = luaL_optstring(L, -1, "hbm");
    for (int kind = 0; kind < KB_MEMORY_KINDS; kind++)
        if (!strcmp(name, kb_device_memory_name((kb_memory_kind)kind))) return (kb_memory_kind)kind;
    kb_error(L, "memory '%s' does not exist; there are hbm, sram and tcm", name);
}

/* ---- work between host and device ---- */

/* Work under way, and the elements that it moves. */
typedef struct lua_work {
    kb_host_work *work;
    kb_selection selection;
    int rank; /* of what is selected */
    size_t shape[KB_MAX_RANK];
} lua_work;

static int work_gc(lua_State *L)
{
    lua_work *box = luaL_checkudata(L, 1, WORK);
    kb_host_work_release(box->work);
    box->work = NULL;
    return 0;
}

/* Push a box for work that is about to be started. */
static lua_work *push_work(lua_State *L)
{
    lua_work *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (lua_work){.work = NULL};
    luaL_setmetatable(L, WORK);
    return box;
}

/* Wait for the work in the box, if there is any, then go on with `k`, whose context is the box. */
static int wait_for(lua_State *L, lua_work *box, kb_wait_reason reason, const char *call,
                    lua_KFunction k)
{
    int at = lua_gettop(L);
    if (!box->work || kb_completion_done(&box->work->done)) return k(L, LUA_OK, at);
    return kb_co_wait(L, &box->work->done, reason, call, k, at);
}

/* ---- making ---- */

static int created(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    lua_pushvalue(L, (int)context - 1);
    const kb_lua_tensor *box = kb_tensor_box(L, -1);
    kb_host_bytes_pushed(L, kb_tensor_host_bytes(box->t));
    return 1;
}

/* An empty box for a tensor. */
static lua_tensor *push_tensor(lua_State *L, kb_lua_engine *engine)
{
    lua_tensor *box = kb_new_object(L, &TENSOR, sizeof *box, 1);
    box->engine = engine;
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    return box;
}

/* Which pieces there are and who holds them. The placement stays where it is, in the table. */
static void read_placement(lua_State *L, kb_tensor_desc *desc)
{
    lua_getfield(L, 2, "placement");
    const kb_lua_placement *placement = kb_check_placement(L, -1);
    luaL_argcheck(L, placement->rank == desc->rank, 2, "the placement is of another shape");
    desc->pieces = placement->pieces;
    desc->piece_count = placement->piece_count;
    desc->shards = placement->shards;
    desc->shard_count = placement->shard_count;
    lua_pop(L, 1);
}

/* engine:tensor{call, name, sip, dtype, memory, shape, placement, padded, last_try}: allocates and
 * maps; waits. Returns nothing when there is no room and last_try is not set: launches that
 * nobody has waited for hold on to their tensors. */
static int tensor_create(lua_State *L)
{
    kb_lua_engine *engine = kb_check_engine(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    lua_getfield(L, 2, "call");
    const char *call = luaL_optstring(L, -1, "torch.empty");
    kb_check_host(L, call);
    kb_co_check_wait(L, call); /* the name stays where it is, in the table */
    lua_settop(L, 2);
    size_t shape[KB_MAX_RANK];
    lua_getfield(L, 2, "shape");
    kb_tensor_desc desc = {.rank = kb_check_extents(L, 3, call, shape), .shape = shape};
    lua_getfield(L, 2, "name");
    desc.name = lua_tostring(L, -1);
    lua_getfield(L, 2, "sip");
    desc.sip = (int)luaL_checkinteger(L, -1);
    lua_getfield(L, 2, "dtype");
    desc.dtype = kb_check_dtype(L, -1, KB_F32);
    desc.memory = read_memory(L);
    lua_getfield(L, 2, "padded");
    desc.padded = lua_toboolean(L, -1);
    read_placement(L, &desc);

    lua_tensor *box = push_tensor(L, engine);
    kb_err err = {0};
    int status = kb_tensor_create(engine->e, &desc, &box->t, &err);
    if (status == KB_ENOSPC || status == KB_ELIMIT) { /* tensors that nobody can reach hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_tensor_create(engine->e, &desc, &box->t, &err);
    }
    if (status == KB_ENOSPC || status == KB_ELIMIT) {
        lua_getfield(L, 2, "last_try");
        if (!lua_toboolean(L, -1)) return 0;
    }
    if (status) return kb_raise(L, &err);
    lua_work *work = push_work(L);
    work->work = kb_tensor_map(box->t, desc.sip);
    return wait_for(L, work, KB_WAIT_MESSAGE, "torch.empty", created);
}

static int nothing(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    (void)context;
    return 0;
}

/* tensor:map(sip): makes it reachable for the PEs of a SIP; waits unless it is already. */
static int tensor_map(lua_State *L)
{
    kb_tensor *t = kb_check_tensor(L, 1);
    lua_Integer sip = luaL_checkinteger(L, 2);
    luaL_argcheck(L, sip >= 0 && sip < t->engine->m->graph->sips, 2, "no such SIP");
    kb_check_host(L, "torch.launch");
    if (t->maps[sip] == KB_MAPPED) return 0;
    kb_co_check_wait(L, "torch.launch");
    lua_work *box = push_work(L);
    box->work = kb_tensor_map(t, (int)sip);
    return wait_for(L, box, KB_WAIT_MESSAGE, "torch.launch", nothing);
}

/* ---- moving elements ---- */

/* Fill in what the key at `index` selects; nil selects everything. */
static void select_elements(lua_State *L, int index, const kb_tensor *t, lua_work *box)
{
    if (lua_isnil(L, index)) {
        lua_newtable(L);
        lua_replace(L, index);
    }
    const char *what = lua_pushfstring(L, "tensor '%s'", t->name);
    kb_check_selection(L, index, what, t->rank, t->shape, &box->selection);
    lua_pop(L, 1);
    box->rank = kb_selection_shape(&box->selection, t->rank, box->shape);
}

/* Whether the array broadcasts to what is selected. */
static bool broadcasts(const kb_array *array, const lua_work *box)
{
    int more = box->rank - array->rank;
    for (int d = 0; more >= 0 && d < array->rank; d++)
        if (array->shape[d] != 1 && array->shape[d] != box->shape[more + d]) return false;
    return more >= 0;
}

/* Replace the array at index 2 by one with the extents of the region and the tensor's type. */
static void spread(lua_State *L, const kb_tensor *t, const lua_work *box)
{
    const kb_array *array = kb_check_array(L, 2);
    char a[KB_SHAPE_TEXT], b[KB_SHAPE_TEXT];
    if (!broadcasts(array, box))
        kb_error(L, "tensor '%s': an array of shape %s does not fit the %s that are assigned",
                 t->name, kb_shape_text(array->rank, array->shape, a),
                 kb_shape_text(box->rank, box->shape, b));
    if (!t->engine->data) return;
    kb_err err = {0};
    kb_array **typed = kb_push_array_slot(L), **slot = kb_push_array_slot(L);
    int status = kb_array_cast(array, t->dtype, typed, &err);
    if (!status) status = kb_array_broadcast_to(*typed, box->rank, box->shape, slot, &err);
    if (!status)
        status = kb_array_reshape_in_place(*slot, t->rank, box->selection.region.extent, &err);
    if (status) kb_raise(L, &err);
    kb_array_pushed(L, *slot);
    lua_replace(L, 2);
    lua_pop(L, 1);
}

/* The array's contents are the tensor's once the transfer is complete. */
static int written(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    const lua_work *box = luaL_checkudata(L, (int)context, WORK);
    kb_err err = {0};
    const kb_array *array = kb_test_array(L, 2);
    if (array && kb_tensor_scatter(kb_check_tensor(L, 1), &box->selection.region, array, &err))
        return kb_raise(L, &err);
    return 0;
}

/* tensor:write(array or nil, key or nil): moves the bytes of the selected elements from the host
 * into every copy; waits. The array is broadcast and converted. Without one the contents do not
 * change (they are zero in a new tensor). */
static int tensor_write(lua_State *L)
{
    kb_tensor *t = kb_check_tensor(L, 1);
    kb_check_host(L, "Tensor:copy_");
    kb_co_check_wait(L, "Tensor:copy_");
    lua_settop(L, 3);
    lua_work *box = push_work(L);
    select_elements(L, 3, t, box);
    if (!lua_isnil(L, 2)) spread(L, t, box);
    kb_err err = {0};
    if (kb_tensor_start_write(t, &box->selection.region, &box->work, &err))
        return kb_raise(L, &err);
    return wait_for(L, box, KB_WAIT_MEMORY, "Tensor:copy_", written);
}

static int read_done(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    const lua_work *box = luaL_checkudata(L, (int)context, WORK);
    kb_err err = {0};
    kb_array **slot = kb_push_array_slot(L);
    status = kb_tensor_gather(kb_check_tensor(L, 1), &box->selection.region, slot, &err);
    if (!status) status = kb_array_reshape_in_place(*slot, box->rank, box->shape, &err);
    if (status) return kb_raise(L, &err);
    kb_array_pushed(L, *slot);
    return 1;
}

/* tensor:read(key or nil): moves the selected elements of one copy of every piece to the host;
 * waits; returns an array. */
static int tensor_read(lua_State *L)
{
    kb_tensor *t = kb_check_tensor(L, 1);
    kb_check_host(L, "Tensor:numpy");
    kb_co_check_wait(L, "Tensor:numpy");
    if (!t->engine->data)
        return kb_error(L,
                        "%s: tensor '%s' has no contents: numbers are switched off (--no-data or "
                        "data = false)",
                        lua_isnoneornil(L, 2) ? "Tensor:numpy" : "Tensor[...]", t->name);
    lua_settop(L, 2);
    lua_work *box = push_work(L);
    select_elements(L, 2, t, box);
    kb_err err = {0};
    if (kb_tensor_start_read(t, &box->selection.region, &box->work, &err)) return kb_raise(L, &err);
    return wait_for(L, box, KB_WAIT_MEMORY, "Tensor:numpy", read_done);
}

/* ---- freeing ---- */

static int unmapped(lua_State *L, int status, lua_KContext context)
{
    lua_settop(L, 1);
    lua_pushcfunction(L, tensor_gc);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 0);
    return nothing(L, status, context);
}

/* The launch that uses it, or NULL: then it is being read, written or mapped. */
static const kb_launch *user_of(const kb_tensor *t)
{
    for (const kb_launch *launch = t->engine->launches; launch; launch = launch->next)
        for (uint32_t i = 0; i < launch->tensor_count; i++)
            if (launch->tensors[i] == t) return launch;
    return NULL;
}

/* tensor:free(): unmaps and gives the memory back; waits. */
static int tensor_free(lua_State *L)
{
    kb_tensor *t = kb_check_tensor(L, 1);
    kb_check_host(L, "Tensor:free");
    kb_co_check_wait(L, "Tensor:free");
    const kb_launch *launch = t->users ? user_of(t) : NULL;
    if (launch)
        return kb_error(L, "Tensor:free: kernel '%s' uses tensor '%s' and has not completed",
                        launch->name, t->name);
    if (t->users) return kb_error(L, "Tensor:free: tensor '%s' is being moved", t->name);
    lua_settop(L, 1);
    lua_work *box = push_work(L);
    box->work = kb_tensor_unmap(t);
    ((lua_tensor *)kb_check_kind(L, 1, &TENSOR))->freeing = true;
    return wait_for(L, box, KB_WAIT_MESSAGE, "Tensor:free", unmapped);
}

static int tensor_is_freed(lua_State *L)
{
    const lua_tensor *box = kb_check_kind(L, 1, &TENSOR);
    lua_pushboolean(L, !box->engine->e || !box->t || box->freeing);
    return 1;
}

static int tensor_name(lua_State *L)
{
    lua_pushstring(L, kb_check_tensor(L, 1)->name);
    return 1;
}

/* tensor:can_wait(): whether the host program runs and a call of it can wait here. */
static int tensor_can_wait(lua_State *L)
{
    const kb_co *co = kb_co_current(L);
    lua_pushboolean(L, co && co->L == L && lua_isyieldable(L) && co->proc->kind != KB_PROC_KERNEL);
    return 1;
}

static const luaL_Reg methods[] = {{"can_wait", tensor_can_wait}, {"write", tensor_write},
                                   {"read", tensor_read},         {"map", tensor_map},
                                   {"free", tensor_free},         {"is_freed", tensor_is_freed},
                                   {"get_name", tensor_name},     {NULL, NULL}};

const luaL_Reg kb_tensor_engine_methods[] = {
    {"tensor", tensor_create}, {"placement", kb_placement_create}, {NULL, NULL}};

void kb_tensor_open(lua_State *L)
{
    kb_placement_open(L);
    kb_new_kind(L, &TENSOR);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, tensor_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_newmetatable(L, WORK);
    lua_pushcfunction(L, work_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
