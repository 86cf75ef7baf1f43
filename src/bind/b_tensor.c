/* Device tensors in Lua: userdata "kernbench.device_tensor". torch.lua builds its Tensor on them.
 */
#include <string.h>

#include "bind/b_np.h"
#include "bind/bind.h"

#define TENSOR "kernbench.device_tensor"
#define WORK   "kernbench.host_work"

typedef kb_lua_tensor lua_tensor;

const kb_lua_tensor *kb_tensor_box(lua_State *L, int index)
{
    return luaL_checkudata(L, index, TENSOR);
}

kb_tensor *kb_test_tensor(lua_State *L, int index)
{
    lua_tensor *box = luaL_testudata(L, index, TENSOR);
    return box && box->engine->e ? box->t : NULL;
}

kb_tensor *kb_check_tensor(lua_State *L, int index)
{
    lua_tensor *box = luaL_checkudata(L, index, TENSOR);
    if (!box->engine->e || !box->t) luaL_argerror(L, index, "the tensor has been freed");
    return box->t;
}

static int tensor_gc(lua_State *L)
{
    lua_tensor *box = luaL_checkudata(L, 1, TENSOR);
    if (box->engine && box->engine->e) kb_tensor_destroy(box->t);
    box->t = NULL;
    return 0;
}

/* ---- reading the description ---- */

static void read_extents(lua_State *L, const char *key, int rank, size_t *out)
{
    lua_getfield(L, -1, key);
    luaL_checktype(L, -1, LUA_TTABLE);
    for (int d = 0; d < rank; d++) {
        lua_rawgeti(L, -1, d + 1);
        out[d] = (size_t)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

/* pieces = {{start = {...}, extent = {...}}, ...}, into memory that Lua owns. */
static kb_tensor_piece *read_pieces(lua_State *L, int rank, uint32_t *count)
{
    lua_getfield(L, 2, "pieces");
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_Unsigned n = lua_rawlen(L, -1);
    int list = lua_gettop(L);
    kb_tensor_piece *pieces = lua_newuserdatauv(L, (n + 1) * sizeof *pieces, 0);
    memset(pieces, 0, (n + 1) * sizeof *pieces);
    for (lua_Unsigned i = 0; i < n; i++) {
        lua_rawgeti(L, list, (lua_Integer)i + 1);
        luaL_checktype(L, -1, LUA_TTABLE);
        read_extents(L, "start", rank, pieces[i].start);
        read_extents(L, "extent", rank, pieces[i].extent);
        lua_pop(L, 1);
    }
    *count = (uint32_t)n;
    return pieces;
}

static lua_Integer integer_at(lua_State *L, int table, lua_Integer i)
{
    lua_rawgeti(L, table, i);
    lua_Integer value = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return value;
}

/* shards = {cube, pe, piece, cube, pe, piece, ...}: flat, pieces from 0. */
static kb_shard *read_shards(lua_State *L, uint32_t *count)
{
    lua_getfield(L, 2, "shards");
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_Unsigned n = lua_rawlen(L, -1) / 3;
    int list = lua_gettop(L);
    kb_shard *shards = lua_newuserdatauv(L, (n + 1) * sizeof *shards, 0);
    memset(shards, 0, (n + 1) * sizeof *shards);
    for (lua_Unsigned i = 0; i < n; i++) {
        lua_Integer at = (lua_Integer)i * 3;
        shards[i].cube = (int)integer_at(L, list, at + 1);
        shards[i].pe = (int)integer_at(L, list, at + 2);
        shards[i].piece = (uint32_t)integer_at(L, list, at + 3);
    }
    *count = (uint32_t)n;
    return shards;
}

/* ---- work between host and device ---- */

static int work_gc(lua_State *L)
{
    kb_host_work **work = luaL_checkudata(L, 1, WORK);
    kb_host_work_free(*work);
    *work = NULL;
    return 0;
}

/* Push a box for work that is about to be started. */
static kb_host_work **push_work(lua_State *L)
{
    kb_host_work **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, WORK);
    return box;
}

/* ---- functions ---- */

static int created(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    lua_pushvalue(L, (int)context);
    return 1;
}

/* engine:tensor{call, name, sip, dtype, shape, pieces, shards, last_try}: allocates and maps;
 * waits. Returns nothing when there is no room and last_try is not set: launches that nobody has
 * waited for hold on to their tensors. */
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
    desc.pieces = read_pieces(L, desc.rank, &desc.piece_count);
    desc.shards = read_shards(L, &desc.shard_count);

    lua_tensor *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (lua_tensor){NULL, engine};
    luaL_setmetatable(L, TENSOR);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    int result = lua_gettop(L);
    kb_err err = {0};
    int status = kb_tensor_create(engine->e, &desc, &box->t, &err);
    if (status == KB_ENOSPC || status == KB_ELIMIT) { /* tensors that nobody can reach hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = kb_tensor_create(engine->e, &desc, &box->t, &err);
    }
    lua_getfield(L, 2, "last_try");
    if ((status == KB_ENOSPC || status == KB_ELIMIT) && !lua_toboolean(L, -1)) return 0;
    if (status) return kb_raise(L, &err);
    kb_host_work **work = push_work(L);
    *work = kb_tensor_map(box->t, true);
    return kb_co_wait(L, &(*work)->done, KB_WAIT_MESSAGE, "torch.empty", created, result);
}

static int nothing(lua_State *L, int status, lua_KContext context)
{
    (void)L;
    (void)status;
    (void)context;
    return 0;
}

/* The array's contents are the tensor's once the transfer is complete. */
static int written(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    kb_err err = {0};
    kb_array *array = kb_test_array(L, 2);
    if (array && kb_tensor_scatter(kb_check_tensor(L, 1), array, &err)) return kb_raise(L, &err);
    return 0;
}

/* tensor:write(array or nil): moves the bytes of every shard from the host; waits. Without an array
 * the contents do not change (they are zero in a new tensor). */
static int tensor_write(lua_State *L)
{
    kb_tensor *t = kb_check_tensor(L, 1);
    kb_check_host(L, "Tensor:copy_");
    kb_co_check_wait(L, "Tensor:copy_");
    lua_settop(L, 2);
    kb_array *array = lua_isnil(L, 2) ? NULL : kb_check_array(L, 2);
    if (array) {
        bool same = array->rank == t->rank && array->dtype == t->dtype;
        for (int d = 0; same && d < t->rank; d++) same = array->shape[d] == t->shape[d];
        char a[KB_SHAPE_TEXT], b[KB_SHAPE_TEXT];
        if (!same)
            return kb_error(L, "tensor '%s' is %s %s, the array is %s %s", t->name,
                            kb_shape_text(t->rank, t->shape, a), kb_dtype_name(t->dtype),
                            kb_shape_text(array->rank, array->shape, b),
                            kb_dtype_name(array->dtype));
    }
    kb_host_work **work = push_work(L);
    kb_err err = {0};
    if (kb_tensor_start_write(t, work, &err)) return kb_raise(L, &err);
    return kb_co_wait(L, &(*work)->done, KB_WAIT_MEMORY, "Tensor:copy_", written, 0);
}

static int read_done(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    kb_err err = {0};
    kb_array **slot = kb_push_array_slot(L);
    if (kb_tensor_gather(kb_check_tensor(L, 1), slot, &err)) return kb_raise(L, &err);
    kb_array_pushed(L, *slot);
    return 1;
}

/* tensor:read(): moves one copy of every piece to the host; waits; returns an array. */
static int tensor_read(lua_State *L)
{
    kb_tensor *t = kb_check_tensor(L, 1);
    kb_check_host(L, "Tensor:numpy");
    kb_co_check_wait(L, "Tensor:numpy");
    if (!t->engine->data)
        return kb_error(L,
                        "Tensor:numpy: tensor '%s' has no contents: numbers are switched off "
                        "(--no-data or data = false)",
                        t->name);
    kb_host_work **work = push_work(L);
    kb_err err = {0};
    if (kb_tensor_start_read(t, work, &err)) return kb_raise(L, &err);
    return kb_co_wait(L, &(*work)->done, KB_WAIT_MEMORY, "Tensor:numpy", read_done, 0);
}

static int unmapped(lua_State *L, int status, lua_KContext context)
{
    lua_settop(L, 1);
    lua_pushcfunction(L, tensor_gc);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 0);
    return nothing(L, status, context);
}

/* tensor:free(): unmaps and gives the memory back; waits. */
static int tensor_free(lua_State *L)
{
    kb_tensor *t = kb_check_tensor(L, 1);
    kb_check_host(L, "Tensor:free");
    kb_co_check_wait(L, "Tensor:free");
    kb_host_work **work = push_work(L);
    *work = kb_tensor_map(t, false);
    return kb_co_wait(L, &(*work)->done, KB_WAIT_MESSAGE, "Tensor:free", unmapped, 0);
}

static int tensor_is_freed(lua_State *L)
{
    const lua_tensor *box = luaL_checkudata(L, 1, TENSOR);
    lua_pushboolean(L, !box->engine->e || !box->t);
    return 1;
}

static int tensor_name(lua_State *L)
{
    lua_pushstring(L, kb_check_tensor(L, 1)->name);
    return 1;
}

static const luaL_Reg methods[] = {{"write", tensor_write},   {"read", tensor_read},
                                   {"free", tensor_free},     {"is_freed", tensor_is_freed},
                                   {"get_name", tensor_name}, {NULL, NULL}};

const luaL_Reg kb_tensor_engine_methods[] = {{"tensor", tensor_create}, {NULL, NULL}};

void kb_tensor_open(lua_State *L)
{
    luaL_newmetatable(L, TENSOR);
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
