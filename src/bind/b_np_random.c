/* Seeded random numbers: the same values on every machine for a seed, a shape and a dtype. */
#include "bind/b_np_impl.h"
#include "data/random.h"

#define TYPE_NAME "kernbench.random"

/* random(seed) */
static int random_new(lua_State *L)
{
    lua_Integer seed = luaL_optinteger(L, 1, 0);
    kb_rng *rng = lua_newuserdatauv(L, sizeof *rng, 0);
    rng->state = (uint64_t)seed;
    luaL_setmetatable(L, TYPE_NAME);
    return 1;
}

static kb_array **new_array(lua_State *L, int shape_index, kb_dtype dtype)
{
    size_t shape[KB_MAX_RANK];
    kb_err err;
    int rank = kb_check_shape(L, shape_index, shape);
    kb_array **slot = kb_push_array_slot(L);
    kb_np_try(L, kb_array_create(dtype, rank, shape, slot, &err), &err);
    return slot;
}

static kb_dtype float_dtype(lua_State *L, int index)
{
    kb_dtype dtype = kb_check_dtype(L, index, KB_F64);
    luaL_argcheck(L, kb_dtype_is_float(dtype), index, "a float dtype is needed");
    return dtype;
}

typedef void (*fill_fn)(kb_rng *rng, kb_array *array, kb_executor *executor);

static int random_array(lua_State *L, fill_fn fill)
{
    kb_rng *rng = luaL_checkudata(L, 1, TYPE_NAME);
    kb_array **slot = new_array(L, 2, float_dtype(L, 3));
    fill(rng, *slot, kb_np_executor(L));
    return kb_np_finish(L, 0, slot, NULL);
}

static int random_rand(lua_State *L)
{
    return random_array(L, kb_random_uniform);
}

static int random_randn(lua_State *L)
{
    return random_array(L, kb_random_normal);
}

/* randint(low, high, shape, dtype): low <= x < high */
static int random_randint(lua_State *L)
{
    kb_rng *rng = luaL_checkudata(L, 1, TYPE_NAME);
    lua_Integer low = luaL_checkinteger(L, 2), high = luaL_checkinteger(L, 3);
    luaL_argcheck(L, low < high, 3, "the range is empty: high is excluded");
    kb_dtype dtype = kb_check_dtype(L, 5, KB_I64);
    uint64_t limit;
    lua_pushinteger(L, high - 1);
    lua_replace(L, 3);
    kb_np_element(L, 2, dtype, &limit); /* both ends must be values of the type */
    kb_np_element(L, 3, dtype, &limit);
    kb_array **slot = new_array(L, 4, dtype);
    kb_random_integers(rng, *slot, low, high);
    return kb_np_finish(L, 0, slot, NULL);
}

static const luaL_Reg METHODS[] = {
    {"rand", random_rand},
    {"randn", random_randn},
    {NULL, NULL},
};

/* Besides random(seed): randint, and the generators' method table, for np.lua. */
void kb_np_open_random(lua_State *L)
{
    lua_pushcfunction(L, random_new);
    lua_setfield(L, -2, "random");
    lua_pushcfunction(L, random_randint);
    lua_setfield(L, -2, "randint");
    luaL_newlib(L, METHODS);
    luaL_newmetatable(L, TYPE_NAME);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    lua_setfield(L, -2, "random_methods");
}
