#include "bind/b_select.h"

#include "bind/bind.h"

/* A key while it is read. */
typedef struct reader {
    lua_State *L;
    int index;
    const char *what;
} reader;

static void refuse(const reader *r, const char *text)
{
    if (!r->what) luaL_argerror(r->L, r->index, text);
    kb_error(r->L, "%s: %s", r->what, text);
}

static void bad_axis(const reader *r, int axis, const char *text)
{
    refuse(r, lua_pushfstring(r->L, "dimension %d: %s", axis, text));
}

/* An index (or the end of a range, which may equal the extent) counted from the start. */
static size_t position(const reader *r, int axis, lua_Integer at, size_t extent, bool is_end)
{
    lua_Integer n = (lua_Integer)extent, i = at < 0 ? at + n : at;
    if (i < 0 || (is_end ? i > n : i >= n))
        bad_axis(r, axis,
                 lua_pushfstring(r->L, "index %I outside an extent of %I", (LUAI_UACINT)at,
                                 (LUAI_UACINT)n));
    return (size_t)i;
}

/* Entry `field` of the range on top of the stack, or the fallback. */
static lua_Integer range_field(const reader *r, int axis, int field, lua_Integer fallback)
{
    lua_Integer value = fallback;
    int is_integer = 1;
    if (lua_geti(r->L, -1, field) != LUA_TNIL) value = lua_tointegerx(r->L, -1, &is_integer);
    if (!is_integer) bad_axis(r, axis, "a range is {start, stop, step} of integers");
    lua_pop(r->L, 1);
    return value;
}

static void select_range(const reader *r, int axis, size_t extent, kb_selection *s)
{
    lua_Integer step = range_field(r, axis, 3, 1);
    if (luaL_len(r->L, -1) > 3) bad_axis(r, axis, "a range is {start, stop, step}");
    if (step < 1) bad_axis(r, axis, "a range's step is at least 1");
    lua_Integer last = range_field(r, axis, 2, (lua_Integer)extent);
    size_t start = position(r, axis, range_field(r, axis, 1, 0), extent, true);
    size_t stop = position(r, axis, last, extent, true);
    size_t length = stop > start ? stop - start : 0;
    s->region.start[axis] = start;
    s->region.step[axis] = (size_t)step;
    s->region.extent[axis] = length / (size_t)step + (length % (size_t)step != 0);
}

/* The entry on top of the stack, for dimension `axis`. Pops it. */
static void select_axis(const reader *r, int axis, size_t extent, kb_selection *s)
{
    int is_integer;
    lua_Integer at = lua_tointegerx(r->L, -1, &is_integer);
    s->dropped[axis] = is_integer;
    if (is_integer) {
        s->region.start[axis] = position(r, axis, at, extent, false);
        s->region.extent[axis] = s->region.step[axis] = 1;
    } else if (lua_istable(r->L, -1)) {
        select_range(r, axis, extent, s);
    } else {
        bad_axis(r, axis, "expected an integer index or a range {start, stop, step}");
    }
    lua_pop(r->L, 1);
}

void kb_check_selection(lua_State *L, int index, const char *what, int rank, const size_t *shape,
                        kb_selection *s)
{
    reader r = {L, lua_absindex(L, index), what};
    bool is_table = lua_istable(L, index);
    lua_Integer given = is_table ? luaL_len(L, index) : 1;
    *s = (kb_selection){.dropped = {false}};
    if (!is_table && !lua_isinteger(L, index))
        refuse(&r,
               lua_pushfstring(L, "expected an integer or a table of indices and ranges, got %s",
                               luaL_typename(L, index)));
    if (given > rank)
        refuse(&r,
               lua_pushfstring(L, "%I indices for an array of rank %d", (LUAI_UACINT)given, rank));
    for (int i = 0; i < rank; i++) {
        if (i >= given)
            lua_newtable(L);
        else if (is_table)
            lua_geti(L, r.index, i + 1);
        else
            lua_pushvalue(L, r.index);
        select_axis(&r, i, shape[i], s);
    }
}

int kb_selection_shape(const kb_selection *s, int rank, size_t *shape)
{
    int kept = 0;
    for (int i = 0; i < rank; i++)
        if (!s->dropped[i]) shape[kept++] = s->region.extent[i];
    return kept;
}
