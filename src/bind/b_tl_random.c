/* Random numbers in kernels. */
#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"

static int check_rounds(lua_State *L, int index, const char *call)
{
    if (lua_isnil(L, index)) return KB_PHILOX_ROUNDS;
    int rounds = kb_check_int(L, index, call, "n_rounds");
    if (rounds < 1 || rounds > KB_PHILOX_ROUNDS_MAX)
        kb_error(L, "%s: n_rounds is %d; expected 1 to %d", call, rounds,
                 (int)KB_PHILOX_ROUNDS_MAX);
    return rounds;
}

static int draw(lua_State *L, const char *call, kb_philox_kind kind)
{
    static const char *const names[] = {"seed", "offset", "n_rounds", NULL};
    int is_integer;
    kb_unpack_options(L, call, names);
    kb_compute c = {.kind = KB_COMPUTE_RANDOM, .op = kind, .in_count = 1};
    c.start = lua_tointegerx(L, 1, &is_integer);
    if (!is_integer || lua_type(L, 1) != LUA_TNUMBER)
        return kb_error(L, "%s: seed is %s; expected an integer", call, luaL_tolstring(L, 1, NULL));
    c.count = check_rounds(L, 3, call);
    kb_check_tile(L, 2, call);
    return kb_tl_compute(L, call, &c, 2);
}

/* tl.randint(seed, offset, n_rounds), tl.rand, tl.randn: a number for every element of a tile of
 * integers. */
static int tl_randint(lua_State *L)
{
    return draw(L, "tl.randint", KB_RANDINT);
}

static int tl_rand(lua_State *L)
{
    return draw(L, "tl.rand", KB_RAND);
}

static int tl_randn(lua_State *L)
{
    return draw(L, "tl.randn", KB_RANDN);
}

static const luaL_Reg functions[] = {
    {"randint", tl_randint}, {"rand", tl_rand}, {"randn", tl_randn}, {NULL, NULL}};

void kb_tl_random_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
}
