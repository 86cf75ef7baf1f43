#include "topo/grid.h"

#include <assert.h>
#include <string.h>

const kb_param kb_grid_params[] = {
    {"kind", KB_PARAM_CHOICE, NULL, "ring_1d", 0, 0, "ring_1d torus_2d mesh_2d",
     "who is whose neighbour: in a ring, or in rows and columns with or without wrapping around"},
    {"w", KB_PARAM_INT, NULL, "0", 0, 65536, NULL,
     "SIPs in a row; 0: all of a ring, the square root of a square"},
    {"h", KB_PARAM_INT, NULL, "0", 0, 65536, NULL, "rows of SIPs; 0: likewise, 1 for a ring"},
    {0}};

static const char *const names[] = {
    [KB_RING_1D] = "ring_1d", [KB_TORUS_2D] = "torus_2d", [KB_MESH_2D] = "mesh_2d"};

const char *kb_grid_kind_name(kb_grid_kind kind)
{
    return names[kind];
}

/* The side of a square of `count`, or 0: never a rounded root, which would lose SIPs. */
static int exact_root(int64_t count)
{
    for (int64_t side = 1; side * side <= count; side++)
        if (side * side == count) return (int)side;
    return 0;
}

static int reject(const kb_spec *spec, const char *wanted, kb_err *err)
{
    return kb_spec_reject(spec, "system.sips.grid", err,
                          "%s %s, but system.sips.count is %lld, w is %lld, h is %lld",
                          kb_spec_string(spec, "system.sips.grid.kind"), wanted,
                          (long long)kb_spec_int(spec, "system.sips.count"),
                          (long long)kb_spec_int(spec, "system.sips.grid.w"),
                          (long long)kb_spec_int(spec, "system.sips.grid.h"));
}

int kb_grid_read(kb_grid *out, const kb_spec *spec, kb_err *err)
{
    const char *kind = kb_spec_string(spec, "system.sips.grid.kind");
    int64_t count = kb_spec_int(spec, "system.sips.count");
    int64_t w = kb_spec_int(spec, "system.sips.grid.w");
    int64_t h = kb_spec_int(spec, "system.sips.grid.h");
    *out = (kb_grid){.kind = KB_RING_1D};
    while (strcmp(names[out->kind], kind)) out->kind++;
    if (out->kind == KB_RING_1D) {
        if ((w && w != count) || (h && h != 1))
            return reject(spec, "needs w = count and h = 1, or neither given", err);
        w = count;
        h = 1;
    } else if (!w && !h) {
        w = h = exact_root(count);
        if (!w) return reject(spec, "needs w and h unless count is a square", err);
    }
    if (w * h != count) return reject(spec, "needs w x h = count", err);
    out->w = (int)w;
    out->h = (int)h;
    return KB_OK;
}

int kb_grid_x(const kb_grid *grid, int sip)
{
    return sip % grid->w;
}

int kb_grid_y(const kb_grid *grid, int sip)
{
    return sip / grid->w;
}

int kb_grid_sip(const kb_grid *grid, int x, int y)
{
    assert(x >= 0 && x < grid->w && y >= 0 && y < grid->h);
    return y * grid->w + x;
}

int kb_grid_neighbour(const kb_grid *grid, int sip, enum kb_side side)
{
    static const int dx[4] = {[KB_EAST] = 1, [KB_WEST] = -1};
    static const int dy[4] = {[KB_NORTH] = -1, [KB_SOUTH] = 1};
    assert(sip >= 0 && sip < grid->w * grid->h);
    int x = kb_grid_x(grid, sip) + dx[side], y = kb_grid_y(grid, sip) + dy[side];
    if (grid->kind != KB_MESH_2D) {
        x = (x + grid->w) % grid->w;
        y = (y + grid->h) % grid->h;
    }
    if (x < 0 || x >= grid->w || y < 0 || y >= grid->h) return KB_NO_SIP;
    int neighbour = kb_grid_sip(grid, x, y);
    return neighbour == sip ? KB_NO_SIP : neighbour;
}
