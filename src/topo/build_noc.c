/* The mesh of routers of a cube: where they stand, which are left out, and how they are joined. */
#include <stdio.h>
#include <string.h>

#include "topo/build_cube.h"

static const int step_row[4] = {[KB_NORTH] = -1, [KB_SOUTH] = 1};
static const int step_col[4] = {[KB_EAST] = 1, [KB_WEST] = -1};

/* Row and column of a router's name; the mesh must have them, the router need not exist. */
static int parse_name(const kb_graph *g, const char *path, const char *name, int *row, int *col,
                      kb_err *err)
{
    const kb_cube_plan *plan = &g->cube_plan;
    char only[16] = ""; /* no other spelling of the numbers: "r+1c2", "r01c2" */
    if (sscanf(name, "r%3dc%3d", row, col) == 2) snprintf(only, sizeof only, "r%dc%d", *row, *col);
    if (strcmp(only, name) || *row < 0 || *col < 0)
        return kb_spec_reject(g->spec, path, err, "expected router names such as r2c3, got \"%s\"",
                              name);
    if (*row >= plan->rows || *col >= plan->cols)
        return kb_spec_reject(g->spec, path, err,
                              "there is no router %s in a mesh of %d rows and %d columns", name,
                              plan->rows, plan->cols);
    return KB_OK;
}

int kb_noc_find(const kb_graph *g, const char *path, const char *name, uint16_t *router,
                kb_err *err)
{
    int row, col;
    int status = parse_name(g, path, name, &row, &col, err);
    if (status) return status;
    *router = g->cube_plan.router[row][col];
    if (*router != KB_NO_LOCAL) return KB_OK;
    return kb_spec_reject(g->spec, path, err, "router %s is one of cube.noc.missing", name);
}

static int read_missing(kb_graph *g, bool missing[KB_MESH_MAX][KB_MESH_MAX], kb_err *err)
{
    const char *path = "cube.noc.missing";
    for (size_t i = 0; i < kb_spec_count(g->spec, path); i++) {
        int row, col;
        int status = parse_name(g, path, kb_spec_list_string(g->spec, path, i), &row, &col, err);
        if (status) return status;
        missing[row][col] = true;
    }
    return KB_OK;
}

/* Places of `count` lines of routers along one axis, in the middle of the cube. */
static int place_lines(const kb_graph *g, const char *path, const char *lines, int count,
                       double *at, kb_err *err)
{
    const kb_spec *spec = g->spec;
    size_t given = kb_spec_count(spec, path);
    double pitch = kb_spec_real(spec, "cube.noc.pitch_mm"), width = g->cube_plan.width_mm;
    if (given && given != (size_t)count - 1)
        return kb_spec_reject(spec, path, err, "expected %d gaps between %d %s, found %zu",
                              count - 1, count, lines, given);
    at[0] = 0;
    for (int i = 1; i < count; i++)
        at[i] = given ? at[i - 1] + kb_spec_list_real(spec, path, (size_t)i - 1) : i * pitch;
    double margin = (width - at[count - 1]) / 2;
    if (margin < -1e-9) /* more than what adding up gaps rounds */
        return kb_spec_reject(spec, given ? path : "cube.noc.pitch_mm", err,
                              "%d %s of routers over %g mm do not fit into a cube of %g mm", count,
                              lines, at[count - 1], width);
    for (int i = 0; i < count; i++) at[i] += margin > 0 ? margin : 0;
    return KB_OK;
}

static int add_routers(kb_graph *g, kb_err *err)
{
    kb_cube_plan *plan = &g->cube_plan;
    bool missing[KB_MESH_MAX][KB_MESH_MAX] = {{false}};
    double x[KB_MESH_MAX] = {0}, y[KB_MESH_MAX] = {0};
    int status = read_missing(g, missing, err);
    if (!status) status = place_lines(g, "cube.noc.col_gaps_mm", "columns", plan->cols, x, err);
    if (!status) status = place_lines(g, "cube.noc.row_gaps_mm", "rows", plan->rows, y, err);
    if (status) return status;
    for (int r = 0; r < plan->rows; r++)
        for (int c = 0; c < plan->cols; c++) {
            plan->router[r][c] = KB_NO_LOCAL;
            if (missing[r][c]) continue;
            kb_node_info info = {.kind = KB_ROUTER, .x_mm = x[c], .y_mm = y[r]};
            info.a = (uint16_t)r;
            info.b = (uint16_t)c;
            info.home = (uint16_t)g->cube.nodes.count;
            plan->router[r][c] = kb_die_add_node(g, &g->cube, info);
        }
    if (g->cube.nodes.count == 0)
        return kb_spec_reject(g->spec, "cube.noc.missing", err, "no router is left");
    return KB_OK;
}

uint16_t kb_noc_facing(const kb_cube_plan *plan, int row, int col, enum kb_side side)
{
    for (;;) {
        row += step_row[side];
        col += step_col[side];
        if (row < 0 || row >= plan->rows || col < 0 || col >= plan->cols) return KB_NO_LOCAL;
        if (plan->router[row][col] != KB_NO_LOCAL || !plan->skip_links)
            return plan->router[row][col];
    }
}

/* A skip link is as long as the gaps that it crosses: routers stand where the gaps put them. */
static void join_routers(kb_graph *g)
{
    const kb_cube_plan *plan = &g->cube_plan;
    double gbs = kb_spec_real(g->spec, "cube.noc.bw_gbs");
    for (int r = 0; r < plan->rows; r++)
        for (int c = 0; c < plan->cols; c++) {
            uint16_t here = plan->router[r][c];
            if (here == KB_NO_LOCAL) continue;
            uint16_t east = kb_noc_facing(plan, r, c, KB_EAST);
            uint16_t south = kb_noc_facing(plan, r, c, KB_SOUTH);
            if (east != KB_NO_LOCAL) kb_die_join(g, &g->cube, here, east, gbs);
            if (south != KB_NO_LOCAL) kb_die_join(g, &g->cube, here, south, gbs);
        }
}

int kb_noc_build(kb_graph *g, kb_err *err)
{
    kb_cube_plan *plan = &g->cube_plan;
    plan->rows = (int)kb_spec_int(g->spec, "cube.noc.rows");
    plan->cols = (int)kb_spec_int(g->spec, "cube.noc.cols");
    plan->skip_links = kb_spec_bool(g->spec, "cube.noc.skip_links");
    int status = add_routers(g, err);
    if (!status) join_routers(g);
    return status;
}

uint16_t kb_noc_nearest(const kb_cube_plan *plan, int row, int col)
{
    uint16_t best = KB_NO_LOCAL;
    int best_distance = 1 << 20;
    for (int r = 0; r < plan->rows; r++)
        for (int c = 0; c < plan->cols; c++) {
            int distance = (r > row ? r - row : row - r) + (c > col ? c - col : col - c);
            if (plan->router[r][c] == KB_NO_LOCAL || distance >= best_distance) continue;
            best = plan->router[r][c];
            best_distance = distance;
        }
    return best;
}
