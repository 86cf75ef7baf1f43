/* Arithmetic on tiles in Lua: operators and the functions of the vector engine. */
#include "bind/b_ptr_block.h"
#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"

/* ---- one operation per name ---- */

typedef struct entry {
    const char *name, *call;
    int op;
} entry;

static const entry binaries[] = {{"minimum", "tl.minimum", KB_MIN},
                                 {"maximum", "tl.maximum", KB_MAX},
                                 {"fdiv", "tl.fdiv", KB_DIV},
                                 {"lt", "tl.lt", KB_LT},
                                 {"le", "tl.le", KB_LE},
                                 {"gt", "tl.gt", KB_GT},
                                 {"ge", "tl.ge", KB_GE},
                                 {"eq", "tl.eq", KB_EQ},
                                 {"ne", "tl.ne", KB_NE},
                                 {NULL, NULL, 0}};

static const entry operators[] = {
    {"__add", "+", KB_ADD},  {"__sub", "-", KB_SUB},        {"__mul", "*", KB_MUL},
    {"__div", "/", KB_DIV},  {"__idiv", "//", KB_FLOORDIV}, {"__mod", "%", KB_MOD},
    {"__pow", "^", KB_POW},  {"__band", "&", KB_AND},       {"__bor", "|", KB_OR},
    {"__bxor", "~", KB_XOR}, {"__shl", "<<", KB_SHL},       {"__shr", ">>", KB_SHR},
    {NULL, NULL, 0}};

static const entry unary_operators[] = {
    {"__unm", "unary -", KB_NEG}, {"__bnot", "unary ~", KB_NOT}, {NULL, NULL, 0}};

static const entry unaries[] = {{"abs", "tl.abs", KB_ABS},
                                {"exp", "tl.exp", KB_EXP},
                                {"exp2", "tl.exp2", KB_EXP2},
                                {"log", "tl.log", KB_LOG},
                                {"log2", "tl.log2", KB_LOG2},
                                {"sin", "tl.sin", KB_SIN},
                                {"cos", "tl.cos", KB_COS},
                                {"sqrt", "tl.sqrt", KB_SQRT},
                                {"rsqrt", "tl.rsqrt", KB_RSQRT},
                                {"erf", "tl.erf", KB_ERF},
                                {"floor", "tl.floor", KB_FLOOR},
                                {"ceil", "tl.ceil", KB_CEIL},
                                {"tanh", "tl.tanh", KB_TANH},
                                {"sigmoid", "tl.sigmoid", KB_SIGMOID},
                                {NULL, NULL, 0}};

static const entry reductions[] = {
    {"sum", "tl.sum", KB_SUM},          {"max", "tl.max", KB_AMAX},
    {"min", "tl.min", KB_AMIN},         {"argmax", "tl.argmax", KB_ARGMAX},
    {"argmin", "tl.argmin", KB_ARGMIN}, {NULL, NULL, 0}};

static const entry *entry_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int binary(lua_State *L)
{
    const entry *e = entry_of(L);
    lua_settop(L, 2);
    bool add = e->op == KB_ADD && !kb_test_tile(L, 2);
    if (add && (kb_is_ptr(L, 2) || kb_test_ptr_block(L, 2))) return kb_pointer_add(L);
    kb_compute c = {.kind = KB_COMPUTE_BINARY, .op = e->op, .in_count = 2};
    return kb_tl_compute(L, e->call, &c, 1);
}

static int unary(lua_State *L)
{
    const entry *e = entry_of(L);
    lua_settop(L, 1); /* a unary operator comes with its operand twice */
    kb_compute c = {.kind = KB_COMPUTE_UNARY, .op = e->op, .in_count = 1};
    return kb_tl_compute(L, e->call, &c, 1);
}

/* tl.sum(x, axis, keep_dims): over all elements without an axis. */
static int reduction(lua_State *L)
{
    static const char *const names[] = {"x", "axis", "keep_dims", NULL};
    const entry *e = entry_of(L);
    kb_unpack_options(L, e->call, names);
    kb_compute c = {.kind = KB_COMPUTE_REDUCE, .op = e->op, .axis = KB_ALL_AXES, .in_count = 1};
    if (!lua_isnil(L, 2)) c.axis = kb_check_axis(L, 2, 1, e->call);
    c.keep = lua_toboolean(L, 3);
    return kb_tl_compute(L, e->call, &c, 1);
}

/* tl.cumsum(x, axis, reverse), tl.cumprod */
static int scan(lua_State *L, const char *call, kb_reduce_op op)
{
    static const char *const names[] = {"x", "axis", "reverse", NULL};
    kb_unpack_options(L, call, names);
    kb_compute c = {.kind = KB_COMPUTE_SCAN, .op = op, .in_count = 1};
    c.axis = lua_isnil(L, 2) ? 0 : kb_check_axis(L, 2, 1, call);
    c.reverse = lua_toboolean(L, 3);
    return kb_tl_compute(L, call, &c, 1);
}

static int tl_cumsum(lua_State *L)
{
    return scan(L, "tl.cumsum", KB_SUM);
}

static int tl_cumprod(lua_State *L)
{
    return scan(L, "tl.cumprod", KB_PROD);
}

static int tl_where(lua_State *L)
{
    lua_settop(L, 3);
    kb_check_kernel(L, "tl.where");
    kb_check_tile(L, 1, "tl.where: condition");
    kb_compute c = {.kind = KB_COMPUTE_WHERE, .in_count = 3};
    return kb_tl_compute(L, "tl.where", &c, 1);
}

static int tl_fma(lua_State *L)
{
    lua_settop(L, 3);
    kb_compute c = {.kind = KB_COMPUTE_FMA, .in_count = 3};
    return kb_tl_compute(L, "tl.fma", &c, 1);
}

/* < <= == of tiles: Lua would turn the result into one boolean. */
static int no_comparison(lua_State *L)
{
    return kb_error(L, "tiles are compared element by element with tl.lt, le, gt, ge, eq, ne");
}

static const luaL_Reg comparisons[] = {
    {"__lt", no_comparison}, {"__le", no_comparison}, {"__eq", no_comparison}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"cumsum", tl_cumsum},
                                     {"cumprod", tl_cumprod},
                                     {"where", tl_where},
                                     {"fma", tl_fma},
                                     {NULL, NULL}};

/* Set one closure per entry in the table on top. */
static void set_entries(lua_State *L, const entry *entries, lua_CFunction function)
{
    for (const entry *e = entries; e->name; e++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)e);
        lua_pushcclosure(L, function, 1);
        lua_setfield(L, -2, e->name);
    }
}

void kb_tl_math_open(lua_State *L)
{
    luaL_setfuncs(L, functions, 0);
    kb_tl_shape_open(L);
    kb_tl_order_open(L);
    kb_tl_random_open(L);
    kb_tl_look_open(L);
    set_entries(L, binaries, binary);
    set_entries(L, unaries, unary);
    set_entries(L, reductions, reduction);
    kb_push_tile_metatable(L);
    luaL_setfuncs(L, comparisons, 0);
    set_entries(L, operators, binary);
    set_entries(L, unary_operators, unary);
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, "methods"); /* x:exp() is tl.exp(x) */
    lua_pop(L, 1);
}
