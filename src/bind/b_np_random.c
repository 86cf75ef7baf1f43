/* Seeded random numbers: the same values on every machine for a seed, a shape and a dtype. */
#include <math.h>

#include "base/rng.h"
#include "bind/b_np_impl.h"
#include "data/array.h"
#include "data/fmath.h"

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

/* Fills `to` with n draws for an array of that type. */
typedef void (*draw_fn)(kb_rng *rng, kb_dtype dtype, double *to, size_t n);

/* Elements are drawn as doubles and rounded to the array's type a buffer at a time. */
static void fill(kb_array *array, kb_rng *rng, draw_fn draw)
{
    enum { DRAWS = 512 }; /* even: normal numbers come in pairs */
    double draws[DRAWS];
    size_t size = kb_dtype_size(array->dtype);
    for (size_t i = 0; i < array->count; i += DRAWS) {
        size_t n = array->count - i < DRAWS ? array->count - i : DRAWS;
        draw(rng, array->dtype, draws, n);
        kb_convert(array->dtype, (char *)array->data + i * size, KB_F64, draws, n);
    }
}

static int random_array(lua_State *L, draw_fn draw)
{
    kb_rng *rng = luaL_checkudata(L, 1, TYPE_NAME);
    kb_array **slot = new_array(L, 2, float_dtype(L, 3));
    fill(*slot, rng, draw);
    return kb_np_finish(L, 0, slot, NULL);
}

/* Uniform in [0, 1): cut to the bits the type has, since rounding could reach 1. */
static void draw_uniform(kb_rng *rng, kb_dtype dtype, double *to, size_t n)
{
    static const double STEPS[] = {
        [KB_F16] = 0x1p11, [KB_BF16] = 0x1p8, [KB_F32] = 0x1p24, [KB_F64] = 0x1p53};
    double steps = STEPS[dtype], step = 1 / steps;
    for (size_t i = 0; i < n; i++) to[i] = floor(kb_rng_unit(rng) * steps) * step;
}

static int random_rand(lua_State *L)
{
    return random_array(L, draw_uniform);
}

/* Normal, mean 0, variance 1, in pairs (Box and Muller 1958). */
static void draw_normal(kb_rng *rng, kb_dtype dtype, double *to, size_t n)
{
    (void)dtype;
    for (size_t i = 0; i < n; i += 2) {
        double radius = sqrt(-2 * kb_log(1 - kb_rng_unit(rng))); /* 1 - u is never 0 */
        double angle = 0x1.921fb54442d18p+2 * kb_rng_unit(rng);  /* 2 pi u */
        to[i] = radius * kb_cos(angle);
        if (i + 1 < n) to[i + 1] = radius * kb_sin(angle);
    }
}

static int random_randn(lua_State *L)
{
    return random_array(L, draw_normal);
}

/* Uniform in [0, bound) without bias: draws from the incomplete last multiple are thrown away. */
static uint64_t below(kb_rng *rng, uint64_t bound)
{
    uint64_t reject = (0 - bound) % bound, draw;
    do draw = kb_rng_next(rng);
    while (draw < reject);
    return draw % bound;
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
    size_t size = kb_dtype_size(dtype);
    for (size_t i = 0; i < (*slot)->count; i++) {
        int64_t value = (int64_t)((uint64_t)low + below(rng, (uint64_t)high - (uint64_t)low));
        kb_convert(dtype, (char *)(*slot)->data + i * size, KB_I64, &value, 1);
    }
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
